"""Vectors of an earlier version, without colour profiles, keep their rows, with a note."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from similar_images.inputs.images import DECODING_VERSION
from similar_images.vectors.manifest import manifest_path, read_manifest
from similar_images.vectors.store import vectors_path
from similar_images.vectors.writer import adopt

NOTE = "ignored colour profiles"


@pytest.fixture
def extract(run, tmp_path, monkeypatch):
    """A function that runs the command on three images, and returns its messages."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 10, 200)).save(f"photos/{number}.png")

    def extract(*options: str) -> str:
        done = run("extract", "-d", "photos", "--network", "hog-colour", "--workers", "1", *options)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return extract


def decoding() -> int | None:
    return read_manifest(vectors_path(Path("photos_file_list.txt"))).decoding


def make_earlier() -> None:
    """Make the manifest one of an earlier version."""
    path = manifest_path(vectors_path(Path("photos_file_list.txt")))
    content = json.loads(path.read_text())
    del content["decoding"]
    path.write_text(json.dumps(content))


def test_new_vectors_record_how_files_are_decoded(extract):
    assert NOTE not in extract() and decoding() == DECODING_VERSION
    Image.new("RGB", (40, 30)).save("photos/3.png")
    assert NOTE not in extract() and decoding() == DECODING_VERSION


def test_earlier_vectors_are_noted_and_kept(extract):
    extract()
    make_earlier()
    before = np.load(vectors_path(Path("photos_file_list.txt")))
    Image.new("RGB", (40, 30)).save("photos/3.png")
    assert f"{NOTE}: its rows stay as they are; use --overwrite" in extract() and decoding() == 1
    assert np.array_equal(np.load(vectors_path(Path("photos_file_list.txt")))[:3], before)
    assert NOTE not in extract("--overwrite") and decoding() == DECODING_VERSION


def test_vectors_of_another_tool_count_as_earlier(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((1, 4096), np.float32))
    (tmp_path / "list.txt").write_text("a.jpg\n")
    adopt(tmp_path / "v.npy", tmp_path / "list.txt", tmp_path)
    assert read_manifest(tmp_path / "v.npy").decoding == 1
