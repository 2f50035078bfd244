"""Two writers on one output, a full disk, and many skipped images."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from vector_files import HOG, D, new_writer, rows, write

from similar_images.events import Skipped
from similar_images.inputs.names import write_names
from similar_images.vectors import store
from similar_images.vectors.store import open_vectors
from similar_images.vectors.writer import Writer

OTHER_RUN = """
import sys
import numpy as np
from pathlib import Path
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.vectors.writer import Writer
folder, n = Path(sys.argv[1]), int(sys.argv[2])
network = describe(NETWORKS["hog-colour"])
writer = Writer(folder / "list.npy", folder / "list.txt", [f"{row}.jpg" for row in range(n)], folder)
writer.begin(network)
writer.append(np.ones((n - writer.rows_done, network.dimension), np.float32), [])
writer.finish()
"""


@pytest.mark.parametrize("there", [0, 2], ids=["a new output", "a resumed output"])
def test_run_overtaken_by_another_changes_nothing(tmp_path, there):
    if there:
        write(new_writer(tmp_path, there), (0, there))
    slow = new_writer(tmp_path, 4)
    subprocess.run([sys.executable, "-c", OTHER_RUN, str(tmp_path), "4"], cwd=ROOT, check=True)
    finished = (tmp_path / "list.npy").read_bytes()
    with pytest.raises(
        BlockingIOError, match=r"another run has written .* meanwhile: rerun the same command to resume"
    ):
        slow.begin(HOG)
    assert (tmp_path / "list.npy").read_bytes() == finished
    assert new_writer(tmp_path, 4).is_complete


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes the rights of the user root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("options", [{"overwrite": True}, {}], ids=["overwritten", "grown"])
def test_a_full_disk_keeps_the_old_vectors(small_disk, options):
    write(new_writer(small_disk, 100), (0, 100))
    kept = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    names = [f"{row}.jpg" for row in range(700)]
    writer = Writer(small_disk / "list.npy", small_disk / "list.txt", names, small_disk, **options)
    with pytest.raises(OSError, match=r"no space on disk .* nothing was changed"):
        writer.begin(HOG)
    assert {path.name: path.read_bytes() for path in small_disk.iterdir()} == kept
    assert len(open_vectors(small_disk / "list.npy").names) == 100


def test_overwriting_keeps_vectors_open_in_a_reader(tmp_path):
    write(new_writer(tmp_path, 3), (0, 3))
    reader = open_vectors(tmp_path / "list.npy")
    write(new_writer(tmp_path, 3, overwrite=True), (10, 13))
    assert np.array_equal(reader.array, rows(0, 3))
    assert np.array_equal(open_vectors(tmp_path / "list.npy").array, rows(10, 13))


def test_skipped_images_are_not_copied_at_every_batch(tmp_path):
    writer = new_writer(tmp_path, 20_000)
    known = writer._skipped
    writer.begin(HOG, dtype="float16")
    for row in range(0, 20_000, 8):
        skipped = [Skipped(one, f"{one}.jpg", "damaged") for one in range(row, row + 8)]
        writer.append(np.zeros((8, D), np.float32), skipped)
        assert writer._skipped is known and len(writer.skipped) == row + 8
    writer.finish()
    assert len(open_vectors(tmp_path / "list.npy").skipped) == 20_000


def test_4096_dimensions_without_a_manifest_are_assumed_to_be_vgg16(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((2, 4096), np.float32))
    write_names(tmp_path / "v.txt", ["a.jpg", "b.jpg"])
    assert open_vectors(tmp_path / "v.npy").is_guess
    assert not open_vectors(tmp_path / "v.npy", network="vgg16").is_guess


def test_altered_vectors_are_not_extended(tmp_path):
    write(new_writer(tmp_path, 3), (0, 3))
    array = np.load(tmp_path / "list.npy", mmap_mode="r+")
    array[1] = 5
    array.flush()
    later = (tmp_path / "list.json").stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "list.npy", ns=(later, later))
    with pytest.raises(ValueError, match="was altered after it was made"):
        new_writer(tmp_path, 4)


def test_killed_retry_leaves_zeros_in_a_skipped_row(tmp_path):
    first = new_writer(tmp_path, 3)
    first.begin(HOG)
    first.append(np.zeros((3, D), np.float32), [Skipped(1, "1.jpg", "damaged")])
    first.finish()
    killed = new_writer(tmp_path, 3)
    killed.begin(HOG, retries=True)
    killed.replace([1], np.ones((1, D), np.float32), [])
    killed._file.close()  # the vector is on disk, the manifest does not know it
    killed._lock.close()
    resumed = new_writer(tmp_path, 3)
    resumed.begin(HOG)
    resumed.finish()
    opened = open_vectors(tmp_path / "list.npy")
    assert not opened.array[1].any() and [entry.row for entry in opened.skipped] == [1]


def test_reader_gets_matching_vectors_and_manifest_during_a_replacement(tmp_path, monkeypatch):
    write(new_writer(tmp_path, 3), (0, 3))
    first, opened_array = open_vectors(tmp_path / "list.npy"), store.open_array

    def overtaken(path: Path, n: int | None = None) -> np.ndarray:
        array = opened_array(path, n)
        monkeypatch.undo()
        write(new_writer(tmp_path, 3, overwrite=True), (10, 13))
        return array

    monkeypatch.setattr(store, "open_array", overtaken)
    second = open_vectors(tmp_path / "list.npy")
    assert second.manifest.sha256 != first.manifest.sha256
    assert np.array_equal(second.array, rows(10, 13))
