"""Names in the collection and files of the user."""

import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from collection_files import save_vectors
from PIL import Image

from similar_images import Collection
from similar_images.networks import loader

VECTORS = "photos_file_list.txt.saved_predictions.npy"


@pytest.fixture
def collection(photos, tmp_path, monkeypatch) -> Collection:
    monkeypatch.chdir(tmp_path)
    return Collection.create("photos", network="hog-colour")


def own_image(name: str) -> None:
    """Save an image of the user's, under a name that the collection has too."""
    Path(name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (40, 40), "yellow").save(name)


def test_a_file_of_the_users_is_not_the_collections_image_of_that_name(collection):
    row = collection.row("red/0.jpg")
    assert row == collection.names.index("red/0.jpg") and collection.row("other.jpg") is None
    assert collection.image(row).samefile("photos/red/0.jpg")
    own_image("red/0.jpg")
    assert collection.row("red/0.jpg") is None
    assert collection.row("photos/red/0.jpg") == collection.row(Path("photos/red/0.jpg").absolute()) == row


def test_the_collections_own_file_is_its_row_from_its_folder(collection, photos, monkeypatch):
    monkeypatch.chdir(photos)
    opened = Collection.open("../photos_file_list.txt")
    assert opened.row("red/0.jpg") == opened.names.index("red/0.jpg")


def test_name_of_a_file_is_ambiguous_if_the_folder_is_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    collection = Collection.open(save_vectors(Path("v.npy"), np.eye(2, dtype=np.float32), ["a.jpg", "b.jpg"]))
    assert collection.row("a.jpg") == 0
    own_image("a.jpg")
    with pytest.raises(
        ValueError, match=r"a\.jpg is both a file here and a name in the collection.*images=FOLDER \(-d\)"
    ):
        collection.row("a.jpg")
    assert Collection.open("v.npy", images=tmp_path).row("a.jpg") == 0
    assert Collection.open("v.npy", images=tmp_path / "elsewhere").row("a.jpg") is None


def test_the_command_searches_for_the_file_and_says_so(collection, run):
    own_image("red/0.jpg")
    done = run("search", "red/0.jpg", "-k", "12")
    names = [line.split("  ")[1] for line in done.stdout.splitlines()]
    assert len(names) == 12 and "red/0.jpg" in names  # a row would leave itself out
    assert done.stderr == "red/0.jpg: searching for the file here; for the collection's image give photos/red/0.jpg\n"
    done = run("search", "photos/red/0.jpg", "-k", "12")
    assert (done.stdout.count("\n"), done.stderr) == (11, "")


def test_rows_that_the_index_lacks_are_counted_and_the_command_says_how_to_add_them(collection, photos, run, tmp_path):
    assert collection.not_indexed == 0
    own_image("photos/green/new.png")
    (photos / "green" / "broken.jpg").write_text("no image")
    assert run("extract", "-d", "photos", "--network", "hog-colour").returncode == 0
    grown = Collection.open("photos_file_list.txt")
    assert (len(grown), grown.not_indexed) == (14, 1)
    done = run("search", "red/0.jpg", "-k", "1")
    assert done.stderr == (
        "1 of 14 images is not in the index and not searched: "
        f"add with similar-images build -i {VECTORS} -o photos_file_list.faiss.index --add\n"
    )
    assert run("search", "red/0.jpg", "-k", "1", "--exact").stderr == ""
    assert run("build", "-i", VECTORS, "--add").returncode == 0
    assert Collection.open("photos_file_list.txt").not_indexed == 0
    (tmp_path / "out.txt").write_text("red/1.jpg\n")
    assert run("build", "-i", VECTORS, "--remove", "out.txt").returncode == 0
    assert Collection.open("photos_file_list.txt").not_indexed == 0
    assert Collection(grown.vectors).not_indexed == 0  # an exact search has them all


def test_queries_at_once_load_the_network_once(collection, monkeypatch):
    load, loaded = loader.load, []

    def slow(*arguments: object, **options: object) -> object:
        loaded.append(arguments)
        time.sleep(0.2)
        return load(*arguments, **options)

    monkeypatch.setattr(loader, "load", slow)
    threads = [Thread(target=collection.encode, args=("photos/red/0.jpg",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(loaded), collection.is_loaded) == (1, True)
