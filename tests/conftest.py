"""What the tests share: the scripts as people run them, small photographs, and the real data where it is."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
# Cores are shared out among the processes of the tests: with as many threads in each they wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


@pytest.fixture(scope="session", autouse=True)
def keras_home(tmp_path_factory):
    """Keep what Keras downloads, and what is exported of networks, away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run(tmp_path):
    """Run a script of the project's root in `tmp_path`, in a process of its own."""

    def run(script: str, *arguments: object, cwd: Path = tmp_path, **options: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / script), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, **options)

    return run


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of 12 pictures of three kinds, four each: red, green, blue, with some texture of their own."""
    folder = tmp_path / "photos"
    random = np.random.default_rng(0)
    for channel, kind in enumerate(("red", "green", "blue")):
        (folder / kind).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 90, (60, 80, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(folder / kind / f"{number}.jpg")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photographs, weights and vectors."""
    folder = Path(os.environ.get("SIMILAR_IMAGES_DATA", ROOT.parent / "shared"))
    if not (folder / "photos").is_dir():
        pytest.skip(f"no real photographs and weights in {folder} (SIMILAR_IMAGES_DATA)")
    return folder
