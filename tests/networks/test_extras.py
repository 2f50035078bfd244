"""What an optional package that is missing leads to: one line with the command that installs it."""

import sys
import tomllib

import pytest
from conftest import ROOT

from similar_images.networks.extras import EXTRAS, MissingExtra, need


def test_a_module_that_is_installed_is_returned():
    assert need("json.decoder", "text", "this test").JSONDecoder


def test_a_missing_module_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtra) as raised:
        need("tensorflow", "keras", "vgg16")
    assert str(raised.value) == "vgg16 needs TensorFlow: pip install 'similar-images[keras]'"


def test_a_package_that_a_module_imports_may_be_the_missing_one(monkeypatch, tmp_path):
    (tmp_path / "incomplete_module.py").write_text("import no_such_package.part")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match="a plot needs no_such_package: pip install"):
        need("incomplete_module", "evaluate", "a plot")


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) <= set(project["optional-dependencies"])
