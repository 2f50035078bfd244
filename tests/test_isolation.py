"""Tests leave no files in the user's home or the temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HOMES, OWN, ROOT

WRITERS = (  # tests with notebooks, compilers, plots or caches
    "tests/notebooks/test_notebook.py",
    "tests/evaluation/test_evaluation.py",
    "tests/cli/test_scripts.py::test_the_whole_way",
)
ASKED = """
from pathlib import Path
import tempfile
from IPython.paths import get_ipython_dir
from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir
from matplotlib import get_cachedir, get_configdir
from platformdirs import user_cache_dir, user_data_dir
folders = (jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir, get_cachedir, get_configdir, user_cache_dir)
for folder in (*folders, user_data_dir, get_ipython_dir, Path.home, tempfile.gettempdir):
    print(folder())
"""
INTERRUPTED = """
import signal, subprocess, sys

def test_interrupt():
    program = [sys.executable, "-c", "import signal; signal.raise_signal(signal.SIGINT)"]
    assert subprocess.run(program, stderr=subprocess.DEVNULL).returncode == -signal.SIGINT
"""


def test_programs_of_tests_write_to_their_own_folder(tmp_path):
    command = [sys.executable, "-c", ASKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, cwd=tmp_path)
    own = Path(os.environ["HOME"]).parent
    assert own.name.startswith(OWN)
    assert [folder for folder in done.stdout.splitlines() if not Path(folder).is_relative_to(own)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of POSIX")
def test_programs_of_tests_can_be_interrupted(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_interrupt.py").write_text(INTERRUPTED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_interrupt.py"]
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    done = subprocess.run(ignoring, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_run_leaves_home_and_temporary_folder_empty(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in (*HOMES, "XDG_CACHE_HOME")}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *WRITERS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "HOME": str(home), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert list(home.rglob("*")) == []
    assert [path for path in temporary.rglob("*") if not path.is_dir()] == []
