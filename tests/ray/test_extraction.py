"""Extraction on Ray gives the bytes of a plain run, also after kills; invalid runs end with one line."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from traffic import recorded

pytest.importorskip("ray", reason="Ray is not installed: make install-cluster")
pytestmark = pytest.mark.cluster
EXTRACT = [sys.executable, "-m", "similar_images", "extract"]
SUFFIXES = (".txt", ".npy", ".json", ".skipped.csv")


@pytest.fixture
def many(photos, tmp_path) -> Path:
    """A folder of output, and a list of 600 rows, with two broken images and an empty line among them."""
    (photos / "red" / "1.jpg").write_text("broken")
    (photos / "green" / "a #1?.jpg").write_text("")
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.jpg"))]
    lines = [*(names * 47)[:599], ""]
    (tmp_path / "v.txt").write_text("".join(f"{name}\n" for name in lines))
    return tmp_path


def command(folder: str, *options: str, network: str = "hog-colour") -> list[str]:
    """Return the command that extracts into a folder of its own, with a copy of the list."""
    where = ["-l", f"{folder}/v.txt", "-d", "photos", "-o", f"{folder}/v.npy"]
    return [*EXTRACT, *where, "--network", network, "-b", "8", *options]


def begin(many: Path, folder: str, *options: str, **others: str) -> subprocess.Popen:
    (many / folder).mkdir(exist_ok=True)
    (many / folder / "v.txt").write_bytes((many / "v.txt").read_bytes())
    return subprocess.Popen(
        command(folder, *options, **others), cwd=many, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def extract(many: Path, folder: str, *options: str, **others: str) -> str:
    process = begin(many, folder, *options, **others)
    output, error = process.communicate(timeout=200)
    assert process.returncode == 0 and output == f"{folder}/v.npy\n", error
    return error


def same(many: Path, one: str, other: str) -> None:
    for suffix in SUFFIXES:
        assert (many / one / f"v{suffix}").read_bytes() == (many / other / f"v{suffix}").read_bytes(), suffix


def rows_done(folder: Path) -> int:
    manifest = folder / "v.json"
    return json.loads(manifest.read_text())["rows_done"] if manifest.exists() else 0


def wait_for_rows(process: subprocess.Popen, folder: Path) -> None:
    while process.poll() is None and not rows_done(folder):
        time.sleep(0.02)
    assert 0 < rows_done(folder) < 600, "the run was too fast"


def workers(process: subprocess.Popen) -> list[psutil.Process]:
    """Return the processes of Ray's workers, with one network each."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if any("MapWorker" in part for part in child.cmdline())]


@pytest.mark.parametrize("network", ["hog-colour", "efficientnetlite0"])
def test_two_workers_give_the_bytes_of_a_plain_run(many, network):
    extract(many, "plain", network=network)
    error = extract(many, "ray", "--ray", "--workers", "2", network=network)
    same(many, "plain", "ray")
    assert len(json.loads((many / "ray" / "v.json").read_text())["skipped"]) == 93
    lines = error.splitlines()
    assert lines[-1].startswith("507 of 600 images, 93 skipped") and len(lines) == 94  # Ray itself says nothing


def test_a_killed_worker_is_replaced_and_a_killed_run_resumed_with_the_same_bytes(many):
    extract(many, "plain")
    process = begin(many, "ray", "--ray", "--workers", "2")
    wait_for_rows(process, many / "ray")
    workers(process)[0].kill()
    done = rows_done(many / "ray")
    while process.poll() is None and rows_done(many / "ray") == done:
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    assert process.poll() is None, "the run was too fast to be killed"
    process.kill()
    assert process.communicate()[0] == ""
    assert psutil.wait_procs(started, timeout=150)[1] == []  # Ray ends with the run that started it
    assert 0 < rows_done(many / "ray") < 600
    extract(many, "ray", "--ray", "--workers", "2")
    same(many, "plain", "ray")


def refused(many: Path, *options: str, **environment: str) -> str:
    """Return the line that a run ends with that cannot be; it changes nothing."""
    (many / "no").mkdir()
    (many / "no" / "v.txt").write_bytes((many / "v.txt").read_bytes())
    done = subprocess.run(
        command("no", *options), cwd=many, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert [path.name for path in (many / "no").iterdir()] == ["v.txt"]
    return done.stderr


def test_more_gpus_than_there_are_is_refused(many):
    error = refused(many, "--ray", "--workers", "2", "--gpus-per-worker", "64")
    assert "expected GPUs for 2 workers with 64 each, got " in error and "smaller --gpus-per-worker" in error


def test_an_address_where_nothing_listens_is_refused(many):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert f"no Ray cluster answers at 127.0.0.1:{port}" in refused(many, "--ray", f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["http://head", "ray://head:10001", "head", "head:port"])
def test_invalid_address_is_refused(many, address):
    assert "expected the HOST:PORT of a Ray cluster" in refused(many, "--ray", address)


def test_without_ray_the_extra_is_named(many):
    (many / "ray.py").write_text("raise ModuleNotFoundError(name='ray')")
    error = refused(many, "--ray", PYTHONPATH=str(many))
    assert error == "Error: --ray needs Ray: pip install 'similar-images[cluster]'\n"


def test_no_traffic_and_no_files_remain(photos, tmp_path):
    program = [sys.executable, "-m", "similar_images", "extract", "-d", "photos", "--network", "hog-colour"]
    home = tmp_path / "home"
    home.mkdir()
    before = set(Path("/tmp").glob("ray*"))
    assert recorded([*program, "--ray", "--workers", "1"], tmp_path, home) == []
    assert [path.name for path in home.iterdir()] == ["strace.log"]
    assert set(Path("/tmp").glob("ray*")) <= before
