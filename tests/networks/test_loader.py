"""Which files, backend and packages a network is loaded with, and what is said if one of them is missing."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from random_networks import saved

from similar_images.collection.images import Collection
from similar_images.inputs.sources import open_source
from similar_images.networks import catalog, extras, loader
from similar_images.networks.catalog import NETWORKS
from similar_images.vectors.store import vectors_path
from similar_images.vectors.writer import Writer


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    return saved(NETWORKS["mobilenetv2"], tmp_path_factory.mktemp("mobilenet"))


@pytest.mark.parametrize("engine", [None, "onnxruntime", "openvino", "tensorflow"])
@pytest.mark.parametrize("export", [True, False])
def test_missing_weights_do_not_select_imagenets(tmp_path, monkeypatch, engine, export):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("similar_images.networks.onnx.find_export", lambda *_: pytest.fail("an export was looked for"))
    with pytest.raises(ValueError, match=r"there is no file .*absent\.weights\.h5 with weights: check --weights"):
        loader.load("mobilenetv2", None, tmp_path / "absent.weights.h5", engine=engine, export=export)


def test_of_the_recorded_files_the_first_that_exists_is_loaded(tmp_path):
    recorded = {"weights": "w.h5", "model": "m.keras"}
    (tmp_path / "w.h5").touch()
    assert loader.recorded_files(recorded, tmp_path) == {"weights": tmp_path / "w.h5"}
    (tmp_path / "m.keras").touch()  # saved from the weights
    assert loader.recorded_files(recorded, tmp_path) == {"model": tmp_path / "m.keras"}
    assert loader.recorded_files({}, tmp_path) == {}


@pytest.mark.parametrize(
    ("recorded", "option"),
    [({"model": "away"}, "-m (model=)"), ({"weights": "away"}, "--weights (weights=)")],
)
def test_a_recorded_file_that_is_missing_is_named_with_the_option_for_its_new_place(tmp_path, recorded, option):
    with pytest.raises(FileNotFoundError) as raised:
        loader.recorded_files(recorded, tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'away'}, the network of this collection, is missing: restore it, or give its new place with {option}"
    )


def test_a_collection_whose_network_has_moved_says_so(photos, tmp_path):
    names_file = tmp_path / "photos_file_list.txt"
    path, names = vectors_path(names_file), open_source(photos).find().names
    writer = Writer(path, names_file, names, photos)
    writer.begin(catalog.describe(NETWORKS["mobilenetv2"]), {"model": tmp_path / "moved.keras"})
    writer.append(np.ones((len(names), 1280), np.float32), [])
    writer.finish()
    with pytest.raises(
        FileNotFoundError, match=r"moved\.keras, the network of this collection, is missing.*-m \(model=\)"
    ):
        Collection.open(path).load_network()
    assert not (tmp_path / "moved.keras").exists()


def test_an_engine_that_is_not_of_the_network_is_refused(mobilenet):
    with pytest.raises(ValueError, match=r"expected the engine of mobilenetv2 to be .*, got scikit-image"):
        loader.load("mobilenetv2", mobilenet, engine="scikit-image")


def test_without_tensorflow_the_extra_is_named(mobilenet, tmp_path):
    hidden = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'torch', 'tf2onnx', 'onnx', 'h5py')));"
    )
    code = (
        "from pathlib import Path; from similar_images.networks import loader;"
        f"loader.load('vgg16', Path({str(tmp_path / 'm.h5')!r}), engine='tensorflow')"
    )
    done = subprocess.run([sys.executable, "-c", hidden + code], cwd=ROOT, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"MissingExtra: vgg16 needs TensorFlow: {extras.remedy('keras')}")


def test_without_tensorflow_an_existing_export_extracts_and_queries(mobilenet):
    loader.load("mobilenetv2", mobilenet, engine="onnxruntime")
    hidden = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'torch', 'tf2onnx', 'onnx', 'h5py')));"
    )
    code = (
        "from pathlib import Path; from similar_images.networks import loader; import numpy as np;"
        f"encoders = [loader.load('mobilenetv2', Path({str(mobilenet)!r}), export=export) for export in (True, False)];"
        "print([one.encode(np.zeros((1, 224, 224, 3), np.uint8)).shape for one in encoders])"
    )
    done = subprocess.run([sys.executable, "-c", hidden + code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[(1, 1280), (1, 1280)]\n", done.stderr


def test_importing_the_networks_imports_nothing_heavy():
    code = (
        "import sys; from similar_images.networks import catalog, extras, loader, onnx, telemetry, text, text_openvino;"
        "print([name for name in ('tensorflow', 'keras', 'torch', 'onnxruntime', 'openvino', 'onnx', 'transformers',"
        "'h5py', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
