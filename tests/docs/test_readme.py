import importlib.util
import re
import subprocess

import pytest
from conftest import ROOT

from similar_images.index.recipes import RECIPES
from similar_images.networks.catalog import NETWORKS

README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
COMMANDS = [*SCRIPTS, *sorted(path.name for path in ROOT.glob("get_*.sh"))]


def section(script: str) -> str:
    """Return what the README says below the heading of a script."""
    return README.split(f"### `{script}`\n")[1].split("\n#")[0]


def options(script: str) -> set[str]:
    spec = importlib.util.spec_from_file_location("script", ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {option for parameter in module.main.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_is_in_the_readme_and_no_other(script):
    documented = set(re.findall(r"`(--?[a-z][a-z-]*)`", section(script)))
    given = {option for option in options(script) if option.startswith("-")}
    mentioned_of_others = documented - given
    assert given <= documented
    assert all(
        f"`{option}`" not in line.split("|")[1]
        for option in mentioned_of_others
        for line in section(script).splitlines()
        if line.startswith("|")
    )


@pytest.mark.parametrize("name", [*COMMANDS, "Similar image.ipynb", "Text_similarity.ipynb"])
def test_every_command_is_in_the_table_of_files(name):
    assert f"`{name}`" in README


def test_every_network_is_in_the_table_with_its_dimension_and_resampling():
    for network in NETWORKS.values():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{network.name}` |"))
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[3:5] == [str(network.dimension), network.resampling]


def test_every_recipe_is_in_the_table():
    for recipe in ("auto", *RECIPES):
        assert f"| `{recipe}` |" in section("build_search_db.py")


def test_every_target_of_make_that_the_readme_names_exists():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines()}
    named = set(re.findall(r"make ([a-z]+)(?=[`\s]*(?:#|`|\n))", README))
    assert {"demo", "test", "coco", "install"} <= named <= targets


def test_every_link_of_the_readme_leads_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
