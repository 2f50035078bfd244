"""Fixtures of all tests: the commands as users run them, small photographs, and real data where available."""

import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Cores are shared out among the processes of the tests: with as many threads in each they wait for each other. The first
# process, whose environment the others inherit, sets nothing. NumPy and Faiss read it when they are loaded.
if WORKERS := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


OWN = "similar-"  # how the tests' own home in the temporary folder is called
HOMES = (  # variables with folders outside HOME
    "HF_HOME",
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "KERAS_HOME",
    "MPLCONFIGDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
)


def pytest_configure(config: pytest.Config) -> None:
    """Give the tests a home and a temporary folder of their own, before they import anything; removed at the end.

    Restore the handler of Ctrl-C if it is ignored, as in background jobs: programs that the tests start inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Beside the folder of pytest-xdist's first process, not in it: Chromium's socket allows for short paths only.
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    own = tempfile.TemporaryDirectory(prefix=OWN, dir=root, ignore_cleanup_errors=True)
    patch = pytest.MonkeyPatch()
    config.add_cleanup(own.cleanup)
    config.add_cleanup(patch.undo)
    patch.setenv("PYTEST_DEBUG_TEMPROOT", root)  # pytest keeps the files of a failed test
    for name in HOMES:
        patch.delenv(name, raising=False)
    spec = importlib.util.find_spec("similar_images")
    if spec is not None and spec.origin == str(ROOT / "similar_images" / "__init__.py"):  # not the installed package
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    for name, folder in (("HOME", "home"), ("USERPROFILE", "home"), ("XDG_CACHE_HOME", "cache"), ("TMPDIR", "tmp")):
        path = Path(own.name, folder)
        path.mkdir(exist_ok=True)
        patch.setenv(name, str(path))
    patch.setattr(tempfile, "tempdir", None)  # TMPDIR is read again


def committed(name: str) -> str:
    """Return a file of the project as git has it: users change and save the notebooks that they use."""
    git = ["git", "show", f":./{name}"]
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    return done.stdout if done.returncode == 0 else (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `similar-images COMMAND` in `tmp_path`: in this process, or with an `env` in a process of its own."""
    from commands import program

    def run(command: str, *arguments: object, cwd: Path = tmp_path, env: Mapping[str, str] | None = None):
        if env is not None:
            words = program(command, *arguments)
            return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
        from click.testing import CliRunner

        from similar_images.cli.main import main

        monkeypatch.chdir(cwd)
        words = [command, *map(str, arguments)]
        done = CliRunner().invoke(main, words, prog_name="similar-images", catch_exceptions=False)
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of 12 pictures of three kinds, four each: red, green, blue, with some texture of their own."""
    from sample_images import write_photos

    write_photos(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def indexed(tmp_path) -> Path:
    """The list of these photographs in `tmp_path`, with their vectors of hog-colour and their index."""
    from sample_images import make_indexed_photos

    make_indexed_photos(tmp_path)
    return tmp_path / "photos_file_list.txt"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photographs, weights and vectors."""
    folder = Path(os.environ.get("SIMILAR_IMAGES_DATA", ROOT.parent / "shared"))
    if not (folder / "photos").is_dir():
        pytest.skip(f"no real photographs and weights in {folder} (SIMILAR_IMAGES_DATA)")
    return folder


@pytest.fixture(scope="session")
def browser():
    """The only Chromium of this process: Playwright cannot start a second one in a thread."""
    from browser import chromium

    with chromium() as browser:
        yield browser
