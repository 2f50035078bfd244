"""The reference in docs/reference is complete and is what `make docs` writes today."""

import builtins
import importlib
import inspect
import re
import subprocess
import sys

import click
import pytest
from conftest import ROOT

import similar_images
from similar_images.cli.main import COMMANDS, main

REFERENCE = ROOT / "docs" / "reference"
PAGES = ("commands.md", "python.md")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write the reference as `make docs` does."""
    folder = tmp_path_factory.mktemp("reference")
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "-b", "markdown", "-d", folder / "doctrees"]
    subprocess.run([*command, ROOT / "docs" / "sphinx", folder], cwd=ROOT, check=True, timeout=300)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_up_to_date(written, page):
    expected = (written / page).read_text(encoding="utf-8")
    assert (REFERENCE / page).read_text(encoding="utf-8") == expected, "run `make docs` and commit docs/reference"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_reference(name):
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
    for parameter in main.get_command(click.Context(main), name).params:
        for option in parameter.opts if isinstance(parameter, click.Option) else []:
            assert option in section, (name, option)


@pytest.mark.parametrize("name", similar_images.__all__)
def test_every_public_class_and_its_methods_are_in_the_reference(name):
    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    thing = getattr(similar_images, name)
    section = re.split(rf"\*class\* {thing.__name__}\b", page)[1].split("### *class*")[0]
    own = [
        member
        for base in thing.__mro__
        if base.__module__.startswith("similar_images")
        for member in vars(base).items()
    ]
    for member, value in own:
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod)):
            assert f" {member}" in section or f"*{member}" in section, (name, member)


def test_every_name_in_the_reference_is_importable_as_it_says():
    module, found = "similar_images", 0
    for line in (REFERENCE / "python.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            module = "similar_images"
        elif named := re.fullmatch(r"From `([\w.]+)`:", line):
            module = named[1]
        elif heading := re.match(r"### (?:\*class\* )?(\w+)", line):
            assert hasattr(importlib.import_module(module), heading[1]), (module, heading[1])
            found += 1
    assert found > 25


def test_documented_errors_are_public():
    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    builtin = {name for name in dir(builtins) if name.endswith("Error")}
    for raised in re.findall(r"(?:Raises|, |or |and )(\w*(?:Error|Unreadable\w+|Missing\w+|\w+Unavailable))\b", page):
        assert raised in builtin or raised in similar_images.__all__, raised
