"""Missing optional packages: one line with the command to install them."""

import re
import sys
import tomllib

import pytest
from conftest import ROOT

from similar_images.networks.extras import MissingExtra, need


def test_installed_module_is_returned():
    assert need("json.decoder", "text", "this test").JSONDecoder


def test_missing_module_is_reported_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtra) as raised:
        need("tensorflow", "keras", "vgg16")
    assert str(raised.value) == "vgg16 needs TensorFlow: pip install 'similar-images[keras]'"


def test_missing_package_of_an_installed_module_is_named(monkeypatch, tmp_path):
    (tmp_path / "incomplete_module.py").write_text("import no_such_package.part")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match="a plot needs no_such_package: pip install"):
        need("incomplete_module", "evaluate", "a plot")


def test_extras_match_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    source = "".join(path.read_text() for path in (ROOT / "similar_images").rglob("*.py"))
    named = set(re.findall(r'\b(?:need|import_openvino)\(.*?, "(\w+)"[,)]', source))
    assert "keras" in named and named <= set(project["optional-dependencies"])
