"""Open an index in parts while a writer replaces the parts."""

import threading

import numpy as np
import pytest
from arrays import clustered
from conditions import wait_for_more
from part_files import part_files

from similar_images.index import parts
from similar_images.index.builder import BuildRequest, build, remove
from similar_images.index.index import open_index
from similar_images.inputs.names import write_names
from similar_images.vectors.store import open_vectors

N, D, SIZE = 6000, 32, 1500


@pytest.fixture
def vectors(tmp_path):
    np.save(tmp_path / "v.npy", clustered(N, D))
    write_names(tmp_path / "v.txt", [f"{row}.jpg" for row in range(N)])
    return open_vectors(tmp_path / "v.npy")


@pytest.fixture
def path(tmp_path, vectors):
    path = tmp_path / "v.faiss.index"
    build(vectors, path, BuildRequest("reduced", part_size=SIZE))
    return path


def test_part_removed_after_check_is_named(path, monkeypatch):
    gone = next(iter(part_files(path)))
    monkeypatch.setattr(parts, "_check", lambda *_: path.with_name(gone).unlink(missing_ok=True))
    with pytest.raises(ValueError, match=f"its part {gone} is missing: restore that file"):
        open_index(path)


def test_reader_sees_old_or_new_parts(vectors, path):
    stop, wrong, read = threading.Event(), [], []

    def reader() -> None:
        while not stop.is_set():
            try:
                opened = open_index(path)
                read.append(opened.backend.ntotal == N - len(opened.removed))
            except Exception as error:
                wrong.append(error)

    thread = threading.Thread(target=reader)
    thread.start()
    for row in range(8, 14):
        remove(vectors, path, [row])
        wait_for_more(read, wrong)
    stop.set()
    thread.join()
    assert read and all(read) and not wrong
