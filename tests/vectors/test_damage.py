"""Damaged and altered vectors are refused in one line, whatever the damage."""

import json
import os
import shutil

import numpy as np
import pytest
from damage import mutants, wrong_values

from similar_images.events import Skipped
from similar_images.inputs.names import write_names
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.vectors import store
from similar_images.vectors.store import check_complete, open_vectors
from similar_images.vectors.writer import Writer

NETWORK = describe(NETWORKS["resnet50"])
N, D = 40, NETWORK.dimension


@pytest.fixture
def vectors(tmp_path):
    """Vectors of 40 images, one of them skipped."""
    names = [f"{row}.jpg" for row in range(N)]
    write_names(tmp_path / "list.txt", names)
    writer = Writer(tmp_path / "list.npy", tmp_path / "list.txt", names, tmp_path)
    writer.begin(NETWORK)
    array = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    array[7] = 0
    writer.append(array, [Skipped(7, "7.jpg", "damaged")])
    writer.finish()
    return tmp_path / "list.npy"


def opened_or_refused(path) -> str | None:
    """Return the message with which vectors are refused, in one line, or None."""
    try:
        list(open_vectors(path).skipped)
    except (ValueError, OSError) as error:
        assert "\n" not in str(error)
        return str(error)
    return None


def test_every_damaged_header_is_refused_in_one_line(vectors):
    content = vectors.read_bytes()
    vectors.with_suffix(".json").unlink()
    for mutant in mutants(content, 300, within=128):
        vectors.write_bytes(mutant)
        opened_or_refused(vectors)


def test_every_damaged_manifest_is_refused_in_one_line(vectors):
    manifest = vectors.with_suffix(".json")
    whole = manifest.read_bytes()
    for mutant in mutants(whole, 200):
        manifest.write_bytes(mutant)
        opened_or_refused(vectors)
    refused = 0
    for content in wrong_values(json.loads(whole)):
        manifest.write_text(json.dumps(content))
        refused += opened_or_refused(vectors) is not None
    assert refused > 150


@pytest.fixture(params=["compared completely", "compared by a sample"])
def size(request, monkeypatch):
    if request.param == "compared by a sample":
        monkeypatch.setattr(store, "WHOLE_BYTES", 0)


def change(path, rows: np.ndarray) -> None:
    """Write other rows into vectors, as another program would, later."""
    array = np.load(path, mmap_mode="r+")
    array[:] = rows
    array.flush()
    later = path.with_suffix(".json").stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def test_swapped_rows_are_refused(vectors, size):
    change(vectors, np.load(vectors)[::-1])
    with pytest.raises(ValueError, match="was altered after it was made: restore it, or rebuild"):
        open_vectors(vectors)


def test_overwritten_row_is_refused(vectors, size):
    rows = np.load(vectors)
    rows[33] = 1
    change(vectors, rows)
    with pytest.raises(ValueError, match="was altered"):
        open_vectors(vectors)


def test_copied_collection_opens_with_any_times(vectors, size, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in ("list.json", "list.txt", "list.npy"):
        shutil.copyfile(tmp_path / file, copy / file)
    os.utime(copy / "list.json", (0, 0))
    assert len(open_vectors(copy / "list.npy").names) == N


def test_complete_check_finds_an_alteration_with_an_old_time(vectors):
    rows = np.load(vectors)
    rows[33] = 1
    change(vectors, rows)
    os.utime(vectors, (0, 0))
    opened = open_vectors(vectors)
    with pytest.raises(ValueError, match="was altered"):
        check_complete(opened)


def test_earlier_manifest_without_a_sample_opens(vectors):
    manifest = vectors.with_suffix(".json")
    content = json.loads(manifest.read_text())
    del content["sample"], content["engine"]
    manifest.write_text(json.dumps(content))
    check_complete(open_vectors(vectors))


def test_an_evaluation_reads_every_byte(vectors, run):
    assert run("evaluate", vectors, "--labels", "none", "--alterations", "0").returncode == 0
    rows = np.load(vectors)
    rows[33] = 1
    change(vectors, rows)
    os.utime(vectors, (0, 0))
    refused = run("evaluate", vectors, "--labels", "none", "--alterations", "0")
    assert refused.returncode == 1 and "was altered after it was made" in refused.stderr
