"""Modules of the package do not import each other in a cycle, not even from within functions."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_imports(node: ast.AST) -> list[str]:
    """Return the names of imported modules and their members, without imports for type checkers only."""
    names: list[str] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names += [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            names += [f"{child.module}.{alias.name}" for alias in child.names]
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            names += find_imports(child)
    return names


def test_modules_import_each_other_without_cycles():
    paths = {module_name(path): path for path in (ROOT / "similar_images").rglob("*.py")}
    graph = {}
    for module, path in paths.items():
        names = find_imports(ast.parse(path.read_text(encoding="utf-8")))
        imported = {name if name in paths else name.rpartition(".")[0] for name in names}
        graph[module] = (imported & paths.keys()) - {module}
    assert len(graph["similar_images.index.index"]) > 3
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))
