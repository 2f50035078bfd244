"""Import optional packages: if one is missing, the error names the command that installs it."""

from importlib import import_module
from types import ModuleType

TITLES = {
    "milvus_lite": "Milvus Lite",
    "pyarrow": "PyArrow",
    "ray": "Ray",
    "sentence_transformers": "sentence-transformers",
    "sknetwork": "scikit-network",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
}


class MissingExtra(OSError):
    """A package is missing that `pip install 'similar-images[EXTRA]'` installs."""


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import and return `module` for a `purpose`, such as "the map"; `extra` is one of the extras in pyproject.toml.

    Raises MissingExtra if the module, or a package that it imports, is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).split(".")[0]
        raise MissingExtra(f"{purpose} needs {TITLES.get(package, package)}: {install_command(extra)}") from error


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'similar-images[{extra}]'"
