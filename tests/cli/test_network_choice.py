"""The network of an extraction: named, default, or of the existing vectors."""

import pytest

from similar_images.inputs.sources import open_source
from similar_images.networks import loader
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.vectors.manifest import Runtime, manifest_path
from similar_images.vectors.store import open_vectors, vectors_path
from similar_images.vectors.writer import Writer


@pytest.fixture
def network_of(run, photos, tmp_path):
    """Extract from the folder photos, and return the name of the network."""

    def network_of(*options: str) -> str:
        done = run("extract", "-d", "photos", *options)
        assert done.returncode == 0, done.stderr
        return open_vectors(vectors_path(tmp_path / "photos_file_list.txt")).network.name

    return network_of


def test_a_collection_keeps_its_network_when_it_grows_and_when_it_is_rebuilt(network_of, photos):
    assert network_of("--network", "hog-colour") == "hog-colour"
    (photos / "red" / "new.jpg").write_bytes((photos / "red" / "1.jpg").read_bytes())
    assert network_of() == "hog-colour"
    assert network_of("-l", "photos_file_list.txt") == "hog-colour"
    assert network_of("--overwrite") == "hog-colour"


def test_damaged_vectors_are_rebuilt_by_overwrite_with_the_default(network_of, tmp_path):
    network_of("--network", "hog-colour")
    manifest_path(vectors_path(tmp_path / "photos_file_list.txt")).write_text("{")
    assert network_of("--overwrite") == "efficientnetlite0"


@pytest.mark.parametrize(
    ("given", "network"),
    [
        ((), "efficientnetlite0"),
        (("-l", "list.txt"), "vgg16"),
        (("-m", "no.h5"), "vgg16"),
        (("--weights", "list.txt"), "vgg16"),
        (("-o", "own.npy"), "efficientnetlite0"),
        (("-l", "list.txt", "--network", "resnet50"), "resnet50"),
    ],
)
def test_options_of_2022_choose_vgg16(given, network, run, photos, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("red/0.jpg\n")
    loaded = []

    def load(name, *_, **__):
        loaded.append(name)
        raise ValueError("enough")

    monkeypatch.setattr(loader, "load", load)
    assert run("extract", "-d", "photos", *given).returncode == 1
    assert loaded == [network]


@pytest.mark.parametrize(("made", "wanted"), [("hog-colour", "mobilenetv2"), ("mobilenetv2", "hog-colour")])
def test_another_network_is_refused_before_it_is_loaded(made, wanted, photos, tmp_path, run):
    names_file = tmp_path / "photos_file_list.txt"
    path, names = vectors_path(names_file), open_source(photos).find().names
    writer = Writer(path, names_file, names, photos)
    runtime = Runtime({"hog-colour": "scikit-image"}.get(made, "onnxruntime"), "float32", 8)
    writer.begin(describe(NETWORKS[made]), {}, runtime=runtime)
    writer.finish()
    assert run("extract", "-d", "photos", "--network", wanted).stderr == (
        f"Error: {path.name} was made with {made}, not {wanted}: choose another -o, or use --overwrite\n"
    )
