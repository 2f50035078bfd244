"""20,000 vectors on Milvus: load, search, add, remove, and reopen after a kill without loss."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from conftest import ROOT
from milvus_collections import Milvus, add, opened, rows_of, saved

from similar_images.index.exact import normalise
from similar_images.milvus import build as building
from similar_images.vectors.store import open_vectors

REAL = Path(os.environ.get("SIMILAR_IMAGES_DATA", ROOT.parent / "shared"), "vectors", "caltech101_mobilenetv2.npy")
FIRST, N, D, K = 19_000, 20_000, 64, 10
REMOVED = list(range(5, 18_000, 60))
BUILD = [sys.executable, "-m", "similar_images", "build"]


def mixed() -> np.ndarray:
    """Return vectors (N, D): mixtures of real vectors if available, else clusters."""
    if not REAL.is_file():
        return clustered(N, D)
    from sklearn.decomposition import PCA

    random = np.random.default_rng(1)
    real = PCA(D, svd_solver="randomized", random_state=0).fit_transform(np.load(REAL).astype(np.float32)) + 0.02
    one, other = (real[random.integers(0, len(real), N)] for _ in range(2))
    return (0.7 * one + 0.3 * other + random.normal(size=(N, D)) * real.std(axis=0) / 5).astype(np.float32)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("vectors"), mixed())


@pytest.fixture(scope="module")
def changed(milvus: Milvus, vectors: Path, tmp_path_factory) -> tuple[Path, Path]:
    """Return vectors and manifest after loading 19,000 rows, adding 1,000 and removing some."""
    folder = tmp_path_factory.mktemp("changed")
    array = np.load(vectors)
    few = saved(folder, array[:FIRST])
    manifest = milvus.build(few, "grown", similarity="cosine")
    assert opened(few, manifest).index.ntotal == FIRST
    saved(folder, array)
    assert opened(few, manifest).not_indexed == N - FIRST
    assert add(few, manifest).n == N
    building.remove(open_vectors(few), manifest, REMOVED)
    return few, manifest


def check(vectors: Path, manifest: Path) -> None:
    """Assert that each remaining row is present once, and found."""
    collection = opened(vectors, manifest)
    search = collection.index.backend
    assert search.count() == search.ntotal == N - len(REMOVED) == len(collection) - len(REMOVED)
    for start in range(0, N, 5000):
        ids = search.connection.call(
            "query", search.name, filter=f"row >= {start} and row < {start + 5000}", output_fields=["row"], limit=16_000
        )
        assert sorted(one["row"] for one in ids) == sorted({*range(start, start + 5000)} - {*REMOVED})
    queries = np.setdiff1d(np.random.default_rng(2).integers(0, N, 100), REMOVED)
    unit = normalise(collection.array)
    similarities = unit[queries] @ unit.T
    similarities[:, REMOVED] = -2
    similarities[np.arange(len(queries)), queries] = -2
    true = np.argsort(-similarities, axis=1)[:, :K]
    found = collection.nearest_many(queries.tolist(), K)
    recall = np.mean([len({*rows_of(hits)} & {*rows.tolist()}) / K for hits, rows in zip(found, true, strict=True)])
    assert recall >= 0.95
    assert abs(found[0][0].similarity - similarities[0].max()) < 1e-3
    assert collection.recall >= 0.95
    assert not {*REMOVED} & {row for hits in found for row in rows_of(hits)}


@pytest.mark.cluster  # minutes on Milvus Lite
def test_20_000_vectors_are_found_after_add_and_remove(changed):
    check(*changed)


@pytest.mark.cluster  # minutes on Milvus Lite
def test_removed_row_is_hidden_even_if_milvus_finds_it(changed, milvus):
    vectors, manifest = changed
    collection = opened(vectors, manifest)
    search = collection.index.backend
    search._removed = np.array([*REMOVED, rows_of(collection.nearest(7, 1))[0]])
    assert not {*search._removed.tolist()} & {*rows_of(collection.nearest(7, 50))}


@pytest.mark.cluster  # minutes on Milvus Lite
def test_killing_server_or_process_loses_nothing(milvus, vectors, tmp_path):
    """Kill the server, or with Milvus Lite the process that loaded and changed the collection."""
    folder = tmp_path / "killed"
    saved(folder, np.load(vectors))
    (folder / "names.txt").write_text("".join(f"{row % 10}/image {row}.jpg\n" for row in REMOVED))
    uri = milvus.server.uri() if milvus.server else str(folder / "killed.db")
    program = (
        "import os, signal, sys; from similar_images.cli.main import main\n"
        "for command in (['build', '--milvus', sys.argv[1], '--similarity', 'cosine'], ['build', '--remove', 'names.txt']):\n"
        "    main([*command, '-i', 'v.npy'], standalone_mode=False)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, uri], cwd=folder, env=environment(), capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if milvus.server:
        milvus.server.kill()
        milvus.server.start()
    until(lambda: opened(folder / "v.npy", folder / "v.milvus.json"))
    check(folder / "v.npy", folder / "v.milvus.json")


@pytest.mark.cluster  # minutes on Milvus Lite
def test_killed_load_resumes(milvus, vectors, tmp_path):
    folder = tmp_path / "interrupted"
    saved(folder, np.load(vectors))
    uri = milvus.server.uri() if milvus.server else str(folder / "interrupted.db")
    command = [*BUILD, "-i", "v.npy", "--milvus", uri, "--similarity", "cosine", "-o", "half.milvus.json"]
    program = (
        "import os, signal, sys; from similar_images.milvus import loading; from similar_images.cli.main import main\n"
        "upsert, done = loading._upsert, []\n"
        "def dies(*given):\n"
        "    upsert(*given); done.append(1)\n"
        "    if len(done) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "loading._upsert = dies\n"
        "main(['build', *sys.argv[1:]], standalone_mode=False)\n"
    )
    first = subprocess.run(
        [sys.executable, "-c", program, *command[2:]], cwd=folder, env=environment(), capture_output=True
    )
    assert first.returncode == -signal.SIGKILL and not (folder / "half.milvus.json").exists(), first.stderr
    again = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "resuming the interrupted load" in again.stderr
    collection = opened(folder / "v.npy", folder / "half.milvus.json")
    search = collection.index.backend
    assert search.count() == len(collection) == N
    names = search.connection.call("list_collections")
    assert [name for name in names if name.startswith("half_")] == [search.name]
    assert not list(folder.glob(".half*"))


def test_overwriting_drops_the_old_collection_and_readers_continue(milvus, tmp_path):
    vectors = saved(tmp_path, clustered(400, 24))
    manifest = milvus.build(vectors, "twice")
    reader = opened(vectors, manifest)
    before = rows_of(reader.nearest(3, 5))
    first = reader.index.backend.name
    milvus.build(vectors, "twice", "HNSW")
    assert rows_of(reader.nearest(3, 5)) == before
    assert reader.index.backend.name != first
    assert first not in reader.index.backend.connection.call("list_collections")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def until(works, seconds: float = 60) -> None:
    """Wait until `works` succeeds: a restarted server needs some seconds to load its collections."""
    end = time.monotonic() + seconds
    while True:
        try:
            works()
            return
        except (OSError, ValueError):
            if time.monotonic() > end:
                raise
            time.sleep(1)
