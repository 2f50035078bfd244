"""README and guides are short, complete and true: their commands, options, targets and links exist."""

import re
import shlex
import subprocess

import click
import pytest
from conftest import ROOT

from similar_images.cli.main import COMMANDS, main
from similar_images.index.recipes import RECIPES
from similar_images.networks.catalog import NETWORKS

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *GUIDES]}
FILES = sorted(path.name for path in [*ROOT.glob("*.py"), *ROOT.glob("get_*.sh")])
COMMAND = re.compile(r"^    (?:(?:\.venv/bin/python |\./)(\w+)\.py|similar-images ([a-z-]+)) ?(.*)$", re.M)
SCRIPTS = {"extract_image_vectors": "extract", "build_search_db": "build"}
LINES = [(page, *match) for page, text in PAGES.items() for match in COMMAND.findall(text)]


def command(name: str) -> click.Command:
    return main.get_command(click.Context(main), name)


def test_the_readme_has_at_most_200_lines():
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("name", [*FILES, "Similar image.ipynb", "Text_similarity.ipynb"])
def test_the_readme_names_every_script_and_notebook(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_every_command(name):
    assert f"`similar-images {name}`" in README


@pytest.mark.parametrize(("page", "script", "name", "arguments"), LINES)
def test_every_option_of_an_example_exists(page, script, name, arguments):
    options = {option for parameter in command(name or SCRIPTS[script]).params for option in parameter.opts}
    words = shlex.split(arguments.replace("[", " ").replace("]", " "), comments=True)
    given = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    assert given <= options, page


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page]):
        assert link.startswith("https://") or (folder / link).exists(), link


def test_the_readme_links_every_guide():
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README))
    assert linked == {path.name for path in GUIDES}


def test_every_network_is_in_the_guide_with_its_dimension_and_resampling():
    for network in NETWORKS.values():
        row = next(line for line in PAGES["own-images.md"].splitlines() if line.startswith(f"| `{network.name}` |"))
        assert [cell.strip() for cell in row.split("|")][3:5] == [str(network.dimension), network.resampling]


def test_every_recipe_is_in_the_guide():
    for recipe in ("auto", *RECIPES):
        assert f"| `{recipe}` |" in PAGES["own-images.md"]


def test_named_make_targets_exist():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    named = {target for text in PAGES.values() for target in re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.M)}
    assert {"demo", "test", "coco", "install"} <= named <= {*targets, "help"}
