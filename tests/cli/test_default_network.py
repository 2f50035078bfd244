"""The network of an extraction that names none."""

import json

import pytest
from click.testing import CliRunner

from similar_images.cli.extract import main
from similar_images.networks import loader
from similar_images.vectors.manifest import manifest_path
from similar_images.vectors.store import vectors_path


def extract(run, *options: str, network: tuple[str, ...] = ()) -> str:
    """Extract from the folder photos; return the name of the network."""
    done = run("extract", "-d", "photos", *options, *network)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def made_with(tmp_path, names: str = "photos_file_list.txt") -> str:
    return json.loads(manifest_path(vectors_path(tmp_path / names)).read_text())["network"]["name"]


def test_a_folder_is_seen_by_efficientnetlite0(run, photos, tmp_path):
    extract(run)
    assert made_with(tmp_path) == "efficientnetlite0"


def test_a_collection_keeps_its_network_when_it_grows_and_when_it_is_rebuilt(run, photos, tmp_path):
    extract(run, network=("--network", "hog-colour"))
    (photos / "red" / "0.jpg").rename(photos / "red" / "new.jpg")
    (photos / "red" / "0.jpg").write_bytes((photos / "red" / "1.jpg").read_bytes())
    extract(run)
    assert made_with(tmp_path) == "hog-colour"
    extract(run, "-l", "photos_file_list.txt")
    extract(run, "--overwrite")
    assert made_with(tmp_path) == "hog-colour"


@pytest.mark.parametrize(
    ("given", "network"),
    [
        (("-l", "list.txt"), "vgg16"),
        (("-m", "no.h5"), "vgg16"),
        (("--weights", "list.txt"), "vgg16"),
        (("-o", "own.npy"), "efficientnetlite0"),
        (("-l", "list.txt", "--network", "resnet50"), "resnet50"),
    ],
)
def test_what_2022_knew_is_vgg16(given, network, photos, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("red/0.jpg\n")
    monkeypatch.chdir(tmp_path)
    loaded = []

    def load(name, *_, **__):
        loaded.append(name)
        raise ValueError("enough")

    monkeypatch.setattr(loader, "load", load)
    assert CliRunner().invoke(main, ["-d", "photos", *given]).exit_code == 1
    assert loaded == [network]


def test_damaged_vectors_are_rebuilt_by_overwrite_with_the_default(run, photos, tmp_path):
    extract(run, network=("--network", "hog-colour"))
    manifest_path(vectors_path(tmp_path / "photos_file_list.txt")).write_text("{")
    extract(run, "--overwrite")
    assert made_with(tmp_path) == "efficientnetlite0"
