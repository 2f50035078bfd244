"""Extraction on a head and two nodes in separate network namespaces: a lost node costs no row; a token is required."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: make install-cluster")
from ray_nodes import PORT, Node, cluster, wait_until_joined

pytestmark = pytest.mark.cluster
ROWS = 3000
SUFFIXES = (".npy", ".json", ".txt", ".skipped.csv")


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    with cluster(2) as started:
        yield started


@pytest.fixture
def listed(photos, tmp_path) -> Path:
    """A folder with a list of ROWS images, some of them broken, in each of two folders for output."""
    (photos / "red" / "1.jpg").write_text("broken")
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.jpg"))]
    for output in ("plain", "ray"):
        (tmp_path / output).mkdir()
        (tmp_path / output / "v.txt").write_text("".join(f"{name}\n" for name in (names * ROWS)[:ROWS]))
    return tmp_path


def command(listed: Path, output: str, *options: str) -> list[str]:
    where = ("-l", str(listed / output / "v.txt"), "-d", str(listed / "photos"), "-o", str(listed / output / "v.npy"))
    return [sys.executable, "-m", "similar_images", "extract", *where, "--network", "hog-colour", *options]


def begin(listed: Path, nodes: list[Node], token: dict | None = None, workers: int = 2) -> subprocess.Popen:
    """Start the extraction on the head, without workers."""
    address = f"{nodes[0].address}:{PORT}"
    options = ("--ray", address, "--workers", str(workers))
    return nodes[0].popen(command(listed, "ray", *options), stderr=subprocess.PIPE, text=True, **(token or {}))


@pytest.mark.parametrize("token", [None, "f" * 64])
def test_missing_or_wrong_token_is_refused(nodes, listed, token):
    process = begin(listed, nodes, {"token": token})
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and error.count("\n") == 1
    assert "refuses the token, or there is none: set RAY_AUTH_MODE=token" in error
    assert not (listed / "ray" / "v.npy").exists()


def test_lost_node_costs_no_row_and_a_node_without_images_is_named(nodes, listed):
    subprocess.run(command(listed, "plain"), check=True, capture_output=True)
    process, manifest = begin(listed, nodes), listed / "ray" / "v.json"
    while process.poll() is None and not (manifest.exists() and json.loads(manifest.read_text())["rows_done"]):
        time.sleep(0.05)
    assert process.poll() is None and len(nodes[2].processes("MapWorker")) == 1
    nodes[2].kill()
    assert 0 < json.loads(manifest.read_text())["rows_done"] < ROWS, "the run was too fast"
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    assert "a node of the cluster was lost: continuing with 1 workers" in error
    for suffix in SUFFIXES:
        assert (listed / "plain" / f"v{suffix}").read_bytes() == (listed / "ray" / f"v{suffix}").read_bytes()

    nodes[2].join(nodes[0], listed / "photos")
    wait_until_joined(nodes[0], 3)
    (listed / "ray" / "v.npy").unlink()
    manifest.unlink()
    process = begin(listed, nodes)
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "is not there: images must be on storage that all nodes share" in error.splitlines()[-1]
    assert error.count("skipped") < ROWS / 12  # skipped by a node with the images
