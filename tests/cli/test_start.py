"""How commands start: from a clone without its packages, and as `similar-images COMMAND`."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT

from similar_images.cli.main import COMMANDS, main
from similar_images.cli.options import SCRIPTS

NAMES = sorted(path.name for path in ROOT.glob("*.py"))


def without_packages(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a script in a Python that has no packages, from another folder."""
    command = [sys.executable, "-S", str(ROOT / script), *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("script", NAMES)
def test_without_its_packages_a_script_says_in_one_line_what_to_type(script):
    done = without_packages(script, "my photo.jpg")
    python = ROOT / ".venv" / "bin" / "python"
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"Error: click is not installed for {sys.executable}: run ")
    assert f"{python} {ROOT / script} 'my photo.jpg' (or `source {python.parent}/activate` first)\n" in done.stderr
    assert ("`make install` in" in done.stderr) != python.exists()


def test_a_fault_of_the_package_is_not_taken_for_a_missing_one(tmp_path):
    code = "from similar_images.cli.script import command; command('absent')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "ModuleNotFoundError: No module named 'similar_images.cli.absent'" in done.stderr


def test_each_script_is_a_command():
    assert {f"{name}.py" for name in SCRIPTS} == set(NAMES)
    assert set(SCRIPTS.values()) <= set(COMMANDS)


@pytest.mark.parametrize(("script", "command"), SCRIPTS.items())
def test_help_shows_what_was_started(script, command):
    shown = CliRunner().invoke(main, [command, "--help"], prog_name="similar-images").output
    assert shown.startswith(f"Usage: similar-images {command} ") and ".py" not in shown
    assert f"  similar-images {command} " in shown.partition("Examples:")[2]
    by_script = CliRunner().invoke(main.get_command(None, command), ["--help"], prog_name=f"{script}.py").output
    assert f"  ./{script}.py " in by_script and f"similar-images {command}" not in by_script


def test_errors_name_what_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.txt").write_text("a.jpg\n")
    failed = CliRunner().invoke(main, ["search", "-i", "v.txt", "a.jpg"])
    assert "make them with similar-images extract," in failed.output
    failed = CliRunner().invoke(main.get_command(None, "search"), ["-i", "v.txt", "a.jpg"])
    assert "make them with extract_image_vectors.py," in failed.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['similar-images', '--help']\n"
        "from similar_images.cli.main import main\n"
        "try: main()\nexcept SystemExit: print([name for name in ('tensorflow', 'torch', 'faiss', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]") and all(f"  {name} " in done.stdout for name in COMMANDS)
