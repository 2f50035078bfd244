"""The scripts of the top level, or the line that says what to type if the packages they need are not installed."""

import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def command(name: str) -> Any:
    """Return the command of a file in this folder. Ends the program with one line if a package is missing."""
    try:
        return import_module("similar_images.cli." + name).main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "similar_images":
            raise
        sys.exit(f"Error: {error.name} is not installed for {sys.executable}: {_remedy()}")


def _remedy() -> str:
    python = ROOT / ".venv" / "bin" / "python"
    typed = " ".join(map(shlex.quote, [str(python), *sys.argv]))
    activate = "`source {}`".format(shlex.quote(str(python.with_name("activate"))))
    install = "" if python.exists() else f"`make install` in {shlex.quote(str(ROOT))}, then "
    return f"run {install}{typed} (or {activate} first)"
