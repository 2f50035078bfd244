"""Old module names still import."""

import ast
import importlib

import pytest
from conftest import ROOT

from similar_images import _moved


@pytest.mark.parametrize(("old", "new"), _moved.MODULES.items())
def test_an_old_module_name_gives_the_new_module(old, new):
    assert importlib.import_module(f"similar_images.{old}") is importlib.import_module(f"similar_images.{new}")


@pytest.mark.parametrize(
    ("package", "home"), [(package, home) for package, homes in _moved.PACKAGES.items() for home in homes]
)
def test_a_module_that_became_a_folder_still_has_its_names(package, home):
    module = importlib.import_module(f"similar_images.{home}")
    tree = ast.parse((ROOT / "similar_images" / f"{home.replace('.', '/')}.py").read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    folder = importlib.import_module(f"similar_images.{package}")
    for name in names:
        assert hasattr(folder, name)
    assert names and hasattr(module, names[0])
