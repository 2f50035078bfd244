"""get_ms_coco_vectors.sh: COCO's vectors, checked and described."""

import shutil
import sys

import numpy as np
import pytest
from conftest import ROOT
from downloads import (
    DATASET,
    LIST,
    MANIFEST,
    NPY,
    PREDICTIONS,
    ROWS,
    SORTED,
    VECTORS,
    assert_fails,
    assert_vectors_are_complete,
    files,
    images_zip,
    make_zip,
    npy,
    ranges,
    run,
    vectors_zip,
    write_tool,
)


@pytest.mark.parametrize("under", ["", "predictions/vgg/"])
def test_the_vectors_are_downloaded_checked_and_described_once(under, folder, path, server):
    server.content = vectors_zip(under=under)
    assert_vectors_are_complete(run(VECTORS, folder, path, server), folder)
    again = run(VECTORS, folder, path, server)
    assert_vectors_are_complete(again, folder)
    assert "already complete" in again.stderr
    assert server.requests == [("GET", "/vectors.zip?dl=1", None)]
    (folder / LIST).write_text(SORTED.replace("42", "43"))
    assert_fails(run(VECTORS, folder, path, server), "lines have changed")


def test_macos_files_in_a_zip_are_ignored(folder, curl, server):
    server.content = make_zip({f"vgg/{NPY}": npy(ROWS), LIST: SORTED.encode(), f"__MACOSX/vgg/._{NPY}": b"Mac OS X"})
    assert_vectors_are_complete(run(VECTORS, folder, curl, server), folder)


def test_vectors_over_a_broken_connection_resume(folder, path, server):
    server.content, server.breaks = vectors_zip(), 1
    assert_vectors_are_complete(run(VECTORS, folder, path, server), folder)
    assert ranges(server) == [None, f"bytes={len(server.content) // 2}-"]


def test_both_scripts_fit_together_in_either_order(folder, tmp_path, curl, server):
    images, vectors = images_zip(), vectors_zip(names=None)
    server.content = images
    assert run(DATASET, folder, curl, server).returncode == 0
    server.content = vectors
    assert_vectors_are_complete(run(VECTORS, folder, curl, server), folder)

    server.content = vectors_zip()
    other = tmp_path / "other"
    other.mkdir()
    assert_vectors_are_complete(run(VECTORS, other, curl, server), other)
    server.content = images
    assert run(DATASET, other, curl, server).returncode == 0
    assert files(other) == files(folder)


def test_vectors_without_any_names_ask_for_the_dataset_first(folder, curl, server):
    server.content = vectors_zip(names=None)
    assert_fails(run(VECTORS, folder, curl, server), "has no names: run get_ms_coco_dataset.sh first")
    assert files(folder) == [f"{PREDICTIONS}.part"]
    (folder / LIST).write_text(SORTED)
    assert_vectors_are_complete(run(VECTORS, folder, curl, server), folder)
    assert ranges(server) == [None, f"bytes={len(server.content)}-"]


BAD_ZIPS = {
    "another dimension": (vectors_zip(ROWS[:, :100]), "expected vectors of vgg16, (n, 4096), got (5, 100)"),
    "other numbers": (
        vectors_zip(ROWS.astype(np.int32)),
        "expected vectors of shape (n, d), float32 or float16",
    ),
    "one dimension": (vectors_zip(ROWS[0]), "expected vectors of shape (n, d), float32 or float16"),
    "pickled": (vectors_zip(npy(np.array([{}] * 5, dtype=object), allow_pickle=True)), "not a plain array"),
    "cut off": (vectors_zip(npy(ROWS)[:-1]), "truncated"),
    "not a .npy": (vectors_zip(b"vectors"), "is not a .npy file of vectors"),
    "fewer vectors": (vectors_zip(ROWS[:4]), "has 5 lines, but"),
    "fewer names": (vectors_zip(names="a.jpg\nb.jpg\n"), "expected 5 names, got 2"),
    "fewer of both": (vectors_zip(ROWS[:2], "a.jpg\nb.jpg\n"), "expected 5 names, got 2"),
    "no vectors": (make_zip({LIST: SORTED.encode()}), "expected one .npy in it, got 0"),
    "a damaged zip": (
        vectors_zip().replace(ROWS[3].tobytes(), ROWS[2].tobytes()),
        "expected a complete zip, got a damaged one",
    ),
    "half a zip": (vectors_zip()[:40_000], "expected a complete zip, got a damaged one"),
}


@pytest.mark.parametrize("content, message", BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_unexpected_vectors_are_refused(content, message, folder, curl, server):
    server.content = content
    assert_fails(run(VECTORS, folder, curl, server), message, "the download was removed. Rerun to start over")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name, mine", [(LIST, SORTED[::-1].strip().encode()), (NPY, npy(ROWS[::-1])), (MANIFEST, b"{}")]
)
def test_another_file_of_that_name_is_never_overwritten(name, mine, folder, curl, server):
    server.content = vectors_zip()
    (folder / name).write_bytes(mine)
    assert_fails(
        run(VECTORS, folder, curl, server), f"{name} exists and differs from the one", "move it away and rerun"
    )
    assert (folder / name).read_bytes() == mine
    assert files(folder) == sorted([name, PREDICTIONS])


def test_vectors_that_someone_put_there_are_described_without_a_download(folder, curl, server):
    (folder / LIST).write_text("mine.jpg\n")
    assert_fails(run(VECTORS, folder, curl, server), f"{LIST}: expected 5 lines, got 1; move it away")
    (folder / NPY).write_bytes(npy(ROWS))
    (folder / LIST).write_text(SORTED)
    assert_vectors_are_complete(run(VECTORS, folder, curl, server), folder)
    (folder / NPY).write_bytes(npy(ROWS[:3]))
    (folder / MANIFEST).unlink()
    assert_fails(run(VECTORS, folder, curl, server), "has 5 lines, but", "move it away and rerun")
    assert server.requests == []


def test_without_its_packages_the_script_says_how_to_install_them(folder, tmp_path, curl, server):
    shutil.copy(ROOT / VECTORS, tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    write_tool(curl, "python3", f'exec "{sys.executable}" -S "$@"')  # without installed packages
    assert_fails(run(tmp_path / VECTORS, folder, curl, server), "cannot import similar_images: run `make install`")
    assert server.requests == []
