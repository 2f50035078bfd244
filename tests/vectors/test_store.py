import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from vector_files import HOG, D, new_writer, rows, write

from similar_images.events import Skipped
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.vectors.store import fingerprint, open_vectors
from similar_images.vectors.writer import Writer, adopt


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_rows_are_read_back_by_line(tmp_path):
    write(new_writer(tmp_path, 5), (0, 2), (2, 5))
    opened = open_vectors(tmp_path / "list.npy")
    assert opened.names == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert np.array_equal(opened.array, rows(0, 5))
    assert np.array_equal(np.load(tmp_path / "list.npy"), rows(0, 5))  # any tool can read it
    assert opened.network == HOG


def test_stopped_run_resumes_to_the_same_bytes(tmp_path):
    write(new_writer(tmp_path, 5), (0, 5))
    expected = files(tmp_path)

    write(new_writer(tmp_path, 5, overwrite=True), (0, 2))  # as an interrupt does
    with pytest.raises(ValueError, match="incomplete, 2 of 5 rows"):
        open_vectors(tmp_path / "list.npy")
    second = new_writer(tmp_path, 5)
    assert second.rows_done == 2
    write(second, (2, 5))
    assert files(tmp_path) == expected


def test_grown_list_computes_new_rows_and_ends_with_the_same_bytes(tmp_path):
    write(new_writer(tmp_path, 3), (0, 3))
    before = fingerprint(open_vectors(tmp_path / "list.npy").array)
    second = new_writer(tmp_path, 5)
    assert second.rows_done == 3 and not second.is_complete
    write(second, (3, 5))
    assert new_writer(tmp_path, 5).is_complete
    assert fingerprint(open_vectors(tmp_path / "list.npy").array[:3]) == before
    grown = files(tmp_path)

    write(new_writer(tmp_path, 5, overwrite=True), (0, 5))
    assert files(tmp_path) == grown


def test_skipped_rows_are_kept_with_their_reasons(tmp_path):
    output = new_writer(tmp_path, 2)
    output.begin(HOG)
    output.append(np.zeros((2, D)), [Skipped(1, "1.jpg", "truncated")])
    output.finish()
    assert open_vectors(tmp_path / "list.npy").skipped == [Skipped(1, "1.jpg", "truncated")]


def test_existing_vectors_need_overwrite(tmp_path):
    write(new_writer(tmp_path, 3), (0, 3))
    expected = files(tmp_path)
    with pytest.raises(ValueError, match=r"was made with resampling box instead of nearest.*--overwrite"):
        write(new_writer(tmp_path, 3), network=replace(HOG, resampling="nearest"))
    (tmp_path / "list.txt").write_text("other.jpg\n1.jpg\n2.jpg\n")
    with pytest.raises(ValueError, match="for another list"):
        Writer(tmp_path / "list.npy", tmp_path / "list.txt", ["other.jpg", "1.jpg", "2.jpg"], tmp_path)
    with pytest.raises(ValueError, match="for another list"):
        new_writer(tmp_path, 2)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match="for the images in"):
        Writer(tmp_path / "list.npy", tmp_path / "list.txt", ["0.jpg", "1.jpg", "2.jpg"], tmp_path / "elsewhere")
    assert new_writer(tmp_path, 3).is_complete  # after it has restored the list
    assert files(tmp_path) == expected
    (tmp_path / "list.json").unlink()
    with pytest.raises(FileExistsError, match="use --overwrite"):
        new_writer(tmp_path, 3)


def test_truncated_vectors_are_not_resumed(tmp_path):
    write(new_writer(tmp_path, 5), (0, 3))
    content = (tmp_path / "list.npy").read_bytes()
    (tmp_path / "list.npy").write_bytes(content[: 128 + 2 * 4 * D])
    with pytest.raises(ValueError, match="expected 3 rows"):
        new_writer(tmp_path, 5)
    (tmp_path / "list.npy").unlink()
    with pytest.raises(ValueError, match="expected 3 rows"):
        new_writer(tmp_path, 5)


@pytest.fixture
def three(tmp_path) -> dict:
    """Three complete vectors; return the contents of their files."""
    write(new_writer(tmp_path, 3), (0, 3))
    return files(tmp_path)


def test_other_disk_errors_are_not_called_full(tmp_path, three, monkeypatch):

    def failing(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "posix_fallocate", failing)
    with pytest.raises(OSError, match=r"cannot write .*: Input/output error. Fix this .*nothing was changed") as raised:
        new_writer(tmp_path, 3, overwrite=True).begin(HOG)
    assert "space" not in str(raised.value)
    assert files(tmp_path) == three


def test_too_small_disk_changes_nothing(tmp_path, three, monkeypatch):
    def full(*_):
        monkeypatch.undo()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no space on disk"):
        new_writer(tmp_path, 5).begin(HOG)
    names_of_five = files(tmp_path).pop("list.txt")
    assert files(tmp_path) | {"list.txt": three["list.txt"]} == three
    assert names_of_five.count(b"\n") == 5
    assert np.array_equal(open_vectors(tmp_path / "list.npy").array, rows(0, 3))


def test_invalid_vectors_are_refused_with_the_expected_form(tmp_path):
    path = tmp_path / "bad.npy"

    def save(array: np.ndarray) -> bytes:
        np.save(path, array)
        return path.read_bytes()

    good = save(np.ones((4, 3), dtype=np.float32))
    for content, message in (
        (b"", "not a .npy"),
        (b"only text\n" * 9, "not a .npy"),
        (pickle.dumps([1, 2]), "not a .npy"),
        (save(np.array([{}, {}], dtype=object)), "cannot be read as vectors"),
        (good[:60], "cannot be read as vectors"),
        (good[:-1], "truncated"),
        (good + b"\0", "expected 176 bytes"),
        (save(np.ones(4, dtype=np.float32)), r"expected vectors of shape \(n, d\)"),
        (save(np.ones((4, 3), dtype=np.int64)), "float32 or float16, got shape"),
        (save(np.asfortranarray(np.ones((4, 3), dtype=np.float32))), r"expected vectors of shape"),
        (save(np.ones((0, 3), dtype=np.float32)), "expected"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            open_vectors(path)


def test_vectors_without_a_manifest_find_their_list_and_their_network(tmp_path):
    path = tmp_path / "ms_coco_file_list.txt.saved_predictions.npy"
    np.save(path, np.ones((2, 4096), dtype=np.float32))
    (tmp_path / "ms_coco_file_list.txt").write_text("a.jpg\r\nb.jpg\r\n")
    opened = open_vectors(path)
    assert opened.names == ["a.jpg", "b.jpg"]
    assert (opened.network.name, opened.network.layer, opened.network.resampling) == (
        "vgg16",
        "fc2",
        "nearest",
    )
    (tmp_path / "ms_coco_file_list.txt").write_text("a.jpg\n")
    with pytest.raises(ValueError, match=r"1 lines, but .* 2 rows"):
        open_vectors(path)


def test_changed_list_or_manifest_is_refused(tmp_path):
    write(new_writer(tmp_path, 3), (0, 3))
    manifest = json.loads((tmp_path / "list.json").read_text())
    for change, message in (
        ({"format": "other 1"}, "expected the format"),
        ({"n": "3"}, "damaged, n: expected int, got '3'"),
        ({"n": 4}, "does not match its manifest"),
        ({"dtype": "float16"}, "does not match its manifest"),
    ):
        (tmp_path / "list.json").write_text(json.dumps(manifest | change))
        with pytest.raises(ValueError, match=message):
            open_vectors(tmp_path / "list.npy")
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(ValueError, match="damaged: expected JSON"):
        open_vectors(tmp_path / "list.npy")
    (tmp_path / "list.json").write_text(json.dumps(manifest))
    (tmp_path / "list.txt").write_text("0.jpg\nx.jpg\n2.jpg\n")
    with pytest.raises(ValueError, match="lines have changed"):
        open_vectors(tmp_path / "list.npy")


def test_adopt_writes_a_manifest_for_vectors_of_another_tool(tmp_path):
    path, names = tmp_path / "ms_coco_file_list.txt.saved_predictions.npy", tmp_path / "ms_coco_file_list.txt"
    np.save(path, np.ones((2, 4096), dtype=np.float32))
    names.write_text("a.jpg\nb.jpg\n")
    adopt(path, names, tmp_path / "val2014")
    opened = open_vectors(path)
    assert opened.network == describe(NETWORKS["vgg16"])
    assert opened.images == tmp_path / "val2014"
    np.save(path, np.ones((2, 100), dtype=np.float32))
    with pytest.raises(ValueError, match=r"expected vectors of vgg16, \(n, 4096\)"):
        adopt(path, names, tmp_path)


def test_fingerprint_differs_for_other_vectors_of_the_same_shape():
    one, other = np.ones((9, 4), dtype=np.float32), np.ones((9, 4), dtype=np.float32)
    assert fingerprint(one) == fingerprint(other)
    other[4] = 2
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) != fingerprint(one.astype(np.float16))
