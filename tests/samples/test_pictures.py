import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from similar_images import Collection
from similar_images.evaluation.evaluation import precision
from similar_images.evaluation.labels import folder_labels
from similar_images.index.exact import normalise
from similar_images.inputs.images import read_pixels, resize_to_square
from similar_images.inputs.sources import open_source
from similar_images.networks import hog_colour
from similar_images.samples import pictures as sample

CALTECH = {  # kinds of the sample -> their classes in Caltech-101
    "butterfly": "butterfly",
    "dolphin": "dolphin",
    "flamingo": "flamingo",
    "football": "soccer_ball",
    "hedgehog": "hedgehog",
    "leopard": "Leopards",
    "panda": "panda",
    "pizza": "pizza",
    "starfish": "starfish",
    "strawberry": "strawberry",
    "sunflower": "sunflower",
    "umbrella": "umbrella",
}
PHOTOGRAPHS = 8  # of each class


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """The complete collection, painted by the command."""
    folder = tmp_path_factory.mktemp("sample") / "pictures"
    done = make(folder)
    assert done.returncode == 0, done.stderr
    return folder


def make(folder) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "similar_images.cli.sample", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_it_is_about_600_jpegs_of_at_least_24_kinds(painted):
    names = open_source(painted).find().names
    assert len(names) == 600
    kinds, counts = np.unique(folder_labels(names), return_counts=True)
    assert len(kinds) >= 24 and set(counts) == {sample.EACH}
    for name in names[:: sample.EACH]:
        with Image.open(painted / name) as picture:
            assert (picture.format, picture.size) == ("JPEG", (320, 240))


def test_each_run_gives_the_same_bytes(painted, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "EACH", 2)
    sample.write(tmp_path / "again")
    for name in open_source(tmp_path / "again").find().names:
        assert (tmp_path / "again" / name).read_bytes() == (painted / name).read_bytes()


def test_no_two_pictures_are_the_same(painted):
    contents = [(painted / name).read_bytes() for name in open_source(painted).find().names]
    assert len(set(contents)) == len(contents)


def test_a_kind_varies(painted):
    """Pictures of a kind differ from their mean by more than noise."""
    for kind in sample.KINDS:
        pixels = [
            read_pixels(path, resize_to_square(32, "box")).astype(float) for path in sorted((painted / kind).iterdir())
        ]
        assert np.std(pixels, axis=0).mean() > 12, kind


def test_the_weightless_network_finds_the_kind_of_a_picture(painted):
    names = open_source(painted).find().names
    pixels = np.stack([read_pixels(painted / name, resize_to_square(hog_colour.SIDE, "box")) for name in names])
    assert precision(normalise(hog_colour.encode(pixels)), folder_labels(names), 8) >= 0.85


@pytest.fixture(scope="module")
def seen(painted, tmp_path_factory) -> Collection:
    """The collection of the sample, made with the default network."""
    return Collection.create(painted, tmp_path_factory.mktemp("files"))


def test_the_default_network_finds_the_kind_of_a_picture(seen):
    assert precision(normalise(seen.array), folder_labels(seen.names), 8) >= 0.95


def test_photographs_find_the_pictures_of_their_kind(seen, data):
    found = {}
    for kind, photographs in CALTECH.items():
        files = sorted((data / "photos" / "caltech101" / photographs).glob("*.jpg"))[:PHOTOGRAPHS]
        hits = [hit.name for file in files for hit in seen.nearest(file, k=8)]
        found[kind] = np.mean([name.startswith(f"{kind}/") for name in hits])
    assert min(found.values()) > 0.5 and np.mean(list(found.values())) > 0.8, found


def test_missing_picture_is_painted_again(painted):
    picture = painted / "apple" / "apple-03.jpg"
    content = picture.read_bytes()
    picture.unlink()
    assert make(painted).returncode == 0
    assert picture.read_bytes() == content


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    done = make(tmp_path)
    assert done.returncode == 1
    assert "with other files" in done.stderr and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
