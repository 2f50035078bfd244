"""`Collection.create`: from a folder or archive to a collection, in Python."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from similar_images import Collection
from similar_images.index import similarity


def contents(folder) -> dict:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_folder_becomes_a_collection_and_grows_with_it(photos, tmp_path):
    seen = []
    made = Collection.create(photos, tmp_path / "files", progress=lambda done, n: seen.append((done, n)))
    assert made.network.name == "efficientnetlite0" and made.index is not None
    assert seen == [(8, 12), (12, 12)]
    assert [hit.name.split("/")[0] for hit in made.nearest(photos / "blue" / "2.jpg", k=4)] == ["blue"] * 4
    kept = contents(tmp_path / "files")
    assert len(Collection.create(photos, tmp_path / "files")) == 12 and contents(tmp_path / "files") == kept
    shutil.copy(photos / "red" / "0.jpg", photos / "red" / "9.jpg")
    seen.clear()
    grown = Collection.create(photos, tmp_path / "files", progress=lambda done, n: seen.append((done, n)))
    assert seen == [(13, 13)] and grown.not_indexed == 0 and grown.nearest(12, k=1)[0].name == "red/0.jpg"


def test_files_equal_the_files_of_the_commands(photos, tmp_path, run):
    Collection.create(photos, tmp_path / "python")
    (tmp_path / "shell").mkdir()
    for script, *options in (
        ("extract", "-d", "../photos"),
        ("build", "-i", "photos_file_list.txt"),
    ):
        assert run(script, *options, cwd=tmp_path / "shell").returncode == 0
    ours, theirs = contents(tmp_path / "python"), contents(tmp_path / "shell")
    same = ("photos_file_list.txt", "photos_file_list.txt.saved_predictions.npy", "photos_file_list.faiss.index")
    assert set(ours) == set(theirs) and all(ours[name] == theirs[name] for name in same)


def test_a_skipped_image_leaves_nothing_to_add(photos, tmp_path):
    (photos / "red" / "bad.jpg").write_bytes(b"no image")
    made = Collection.create(photos, tmp_path / "files")
    assert [entry.name for entry in made.vectors.skipped] == ["red/bad.jpg"] and made.not_indexed == 0
    kept = contents(tmp_path / "files")
    Collection.create(photos, tmp_path / "files")
    assert contents(tmp_path / "files") == kept


@pytest.mark.parametrize("damage", [b"damaged", None])
def test_an_index_that_cannot_be_used_is_built_again(photos, tmp_path, damage):
    Collection.create(photos, tmp_path)
    index = tmp_path / "photos_file_list.faiss.index"
    index.write_bytes(damage) if damage else index.unlink()
    assert Collection.create(photos, tmp_path).index.backend.ntotal == 12


def test_another_network_and_an_empty_folder_are_refused(photos, tmp_path):
    Collection.create(photos, tmp_path, network="hog-colour")
    assert Collection.create(photos, tmp_path).network.name == "hog-colour"
    with pytest.raises(ValueError, match="was made with hog-colour, not efficientnetlite0"):
        Collection.create(photos, tmp_path, network="efficientnetlite0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no image in .*empty"):
        Collection.create(tmp_path / "empty", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("started", ["script.py", "-c"])
def test_a_script_needs_no_guard_for_its_main_module(photos, tmp_path, started):
    code = "from similar_images import Collection\nprint(len(Collection.create('photos', 'files')))\n"
    (tmp_path / "script.py").write_text(code)
    command = [sys.executable, *(["-c", code] if started == "-c" else [started])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "12\n", "")


def test_grown_collection_gets_the_similarity_of_its_size(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(similarity, "MIN_PCA_VECTORS", 13)
    assert Collection.create(photos, tmp_path / "files").similarity.name == "cosine"
    shutil.copy(photos / "red" / "0.jpg", photos / "red" / "9.jpg")
    grown = Collection.create(photos, tmp_path / "files")
    assert grown.similarity.name == "whitened" and len(grown.index.vectors) == 13
