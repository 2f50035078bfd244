"""Collections made with a network of the hub's form: resumed, refused and searched, also where PyTorch is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hub_networks import edit, save
from PIL import Image

from similar_images import Collection
from similar_images.networks import hub
from similar_images.vectors.store import open_vectors

NPY = "photos_file_list.txt.saved_predictions.npy"
SEARCH = """
import sys
for name in ("torch", "transformers", "onnxscript", "safetensors"):
    sys.modules[name] = None
from similar_images import Collection
collection = Collection.open("photos_file_list.txt")
print(collection.nearest("photos/red/0.jpg", k=1)[0].name)
print(len(collection.nearest(collection.encode_text("a dog"), k=3)))
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return save("clip", tmp_path_factory.mktemp("original") / "clip")


@pytest.fixture
def network(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "clip")


@pytest.fixture
def collection(network, photos, tmp_path) -> Collection:
    return Collection.create(photos, tmp_path, str(network))


def manifest(tmp_path: Path) -> dict:
    return json.loads((tmp_path / NPY).with_suffix(".json").read_text())


def test_the_manifest_records_the_network(collection, network, tmp_path):
    known = manifest(tmp_path)
    assert known["files"] == {"model": "clip"}
    assert known["network"] == hub.load(str(network)).description.to_json()
    assert {key: known["network"][key] for key in ("name", "source", "revision", "dimension", "reads")} == {
        **{"name": "clip", "source": "folder", "revision": None, "dimension": 16, "reads": "images and words"},
    }


def test_images_and_words_are_searched_without_pytorch(collection, tmp_path):
    command = [sys.executable, "-c", SEARCH]
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("red/0.jpg\n3\n", 0), done.stderr


def test_vector_of_an_image_equals_its_query(collection, photos):
    (hit, *_) = collection.nearest(photos / "green" / "2.jpg", k=2)
    assert hit.name == "green/2.jpg" and hit.similarity == pytest.approx(1, abs=1e-5)


def test_new_images_are_added_by_the_same_network(collection, photos, tmp_path, run):
    before = open_vectors(tmp_path / NPY).array[:].copy()
    shutil.copy(photos / "red" / "0.jpg", photos / "zebra.jpg")
    done = run("extract", "-d", "photos")
    assert done.returncode == 0, done.stderr
    after = open_vectors(tmp_path / NPY).array
    np.testing.assert_array_equal(after[:12], before)
    np.testing.assert_allclose(after[12], before[8], rtol=0, atol=1e-5)  # red is the last of the folders


def test_another_network_is_refused(collection, tmp_path, run):
    save("vit", tmp_path / "vit")
    done = run("extract", "-d", "photos", "--network", "vit")
    assert done.returncode == 1
    assert done.stderr == f"Error: {NPY} was made with clip, not vit: choose another -o, or use --overwrite\n"


def test_changed_weights_are_refused(collection, photos, network, tmp_path, run):
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(network / "model.safetensors")
    save_file(
        {name: value + 0.01 * torch.ones_like(value) for name, value in weights.items()},
        network / "model.safetensors",
        {"format": "pt"},
    )
    Image.new("RGB", (20, 20), "yellow").save(photos / "zebra.jpg")
    done = run("extract", "-d", "photos")
    assert done.returncode == 1 and "weights" in done.stderr and done.stderr.splitlines()[-1].startswith("Error: ")
    with pytest.raises(ValueError, match="weights"):
        Collection.open(tmp_path / "photos_file_list.txt").nearest(photos / "red" / "0.jpg")


@pytest.mark.slow
def test_a_changed_configuration_is_refused(collection, photos, network, tmp_path):
    edit(
        network / "config.json",
        vision_config=json.loads((network / "config.json").read_text())["vision_config"] | {"layer_norm_eps": 0.1},
    )
    with pytest.raises(ValueError, match="files"):
        Collection.open(tmp_path / "photos_file_list.txt").nearest(photos / "red" / "0.jpg")


def test_moved_folder_is_named_with_the_remedy(collection, photos, network, tmp_path):
    network.rename(tmp_path / "elsewhere")
    opened = Collection.open(tmp_path / "photos_file_list.txt")
    with pytest.raises(
        FileNotFoundError, match=r"the network of this collection, is missing: restore it, or give its new place"
    ):
        opened.nearest(photos / "red" / "0.jpg")


def test_renamed_folder_is_another_network(collection, photos, network, tmp_path):
    (tmp_path / "new").mkdir()
    network.rename(tmp_path / "new" / "clip")
    opened = Collection.open(tmp_path / "photos_file_list.txt", model=tmp_path / "new" / "clip")
    assert opened.nearest(photos / "red" / "0.jpg", k=1)[0].name == "red/0.jpg"


@pytest.mark.parametrize("network_name", ["clipp", "./no/folder", "hf:clip"])
def test_a_network_that_there_is_not(network_name, photos, run):
    done = run("extract", "-d", "photos", "--network", network_name)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "hf:OWNER/NAME" in done.stderr
