"""How `similar-images COMMAND` starts: quickly, and with help that shows the command."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT

from similar_images.cli.main import COMMANDS, main

HEAVY = ("faiss", "keras", "skimage", "sklearn", "tensorflow", "torch", "transformers")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(command):
    shown = CliRunner().invoke(main, [command, "--help"], prog_name="similar-images").output
    assert shown.startswith(f"Usage: similar-images {command} ")
    assert f"  similar-images {command} " in shown.partition("Examples:")[2]


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from similar_images.cli.main import COMMANDS, main\n"
        "for command in ([], *([name] for name in COMMANDS)):\n"
        "    assert CliRunner().invoke(main, [*command, '--help']).exit_code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
