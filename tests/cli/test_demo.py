"""`similar-images demo`: from a folder of photographs to a notebook on their collection."""

import json
import shutil

import pytest

from similar_images import Collection
from similar_images.cli import notebook

HOG = ("--network", "hog-colour")


@pytest.fixture
def demo(run, tmp_path, monkeypatch):
    """Run the command without its server; return its result, the names of the notebooks and their folders."""
    served = []
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(notebook, "_serve", lambda command, folder, environment: served.append((command[3], folder)))

    def demo(*arguments: object):
        served.clear()
        return run("demo", *arguments), list(served)

    return demo


def files(folder) -> dict:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_photographs_are_searched_in_a_notebook_and_their_folder_stays_as_it_is(demo, photos, tmp_path):
    before = files(photos)
    done, served = demo(photos)
    assert done.returncode == 0, done.stderr
    ((name, folder),) = served
    assert name == "photos.ipynb" and tmp_path / "data" in folder.parents
    opening = [cell for cell in json.loads((folder / name).read_text())["cells"] if cell["id"] == notebook.OPEN]
    assert 'Collection.open("photos_file_list.txt")' in "".join(opening[0]["source"])
    collection = Collection.open(folder / "photos_file_list.txt")
    assert collection.network.name == "efficientnetlite0" and collection.not_indexed == 0
    assert [hit.name.split("/")[0] for hit in collection.nearest(photos / "red" / "0.jpg", k=4)] == ["red"] * 4
    assert files(photos) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "photos"]


def test_second_run_computes_only_new_images_and_repairs_the_index(demo, photos):
    folder = demo(photos, *HOG)[1][0][1]
    before = files(folder)
    done, _ = demo(photos, *HOG)
    assert "no changes; 12 images" in done.stderr and files(folder) == before
    shutil.copy(photos / "red" / "0.jpg", photos / "red" / "9.jpg")
    (folder / "photos.ipynb").write_text("mine")
    assert demo(photos, *HOG)[0].returncode == 0
    collection = Collection.open(folder / "photos_file_list.txt")
    assert len(collection) == 13 and collection.not_indexed == 0
    assert (folder / "photos.ipynb").read_text() == "mine"
    (folder / "photos_file_list.faiss.index").write_bytes(b"damaged")
    assert demo(photos, *HOG)[1]
    assert Collection.open(folder / "photos_file_list.txt").not_indexed == 0


def test_archives_and_networks_have_collections_of_their_own(demo, photos, tmp_path, monkeypatch):
    shutil.make_archive(str(tmp_path / "album"), "zip", photos)
    monkeypatch.setenv("HOME", str(tmp_path))
    runs = [(photos, *HOG), ("album.zip", *HOG), ("~/photos",), ("album.zip",)]
    folders = {demo(*arguments)[1][0][1] for arguments in runs}
    assert len(folders) == 4
    assert all(list(folder.glob("*.faiss.index")) for folder in folders)


def test_own_place_of_the_collection(demo, photos, tmp_path):
    done, served = demo(photos, *HOG, "-o", tmp_path / "here", "--app")
    assert done.returncode == 0 and served[0][1] == tmp_path / "here"
    done, served = demo(photos, "-o", photos / "inside")
    assert done.returncode == 1 and not served
    assert "expected -o outside" in done.stderr and not (photos / "inside").exists()


@pytest.mark.parametrize("place", ["missing", "empty"])
def test_a_folder_without_images_is_one_line_and_leaves_nothing(demo, tmp_path, place):
    (tmp_path / "empty").mkdir()
    done, served = demo(place)
    assert done.returncode in (1, 2) and not served
    assert place in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*_file_list*"))


def test_without_a_folder_a_sample_is_painted(demo):
    done, served = demo(*HOG)
    assert done.returncode == 0, done.stderr
    assert len(Collection.open(served[0][1] / "sample_file_list.txt")) == 600
