"""Files, backends and packages of networks; errors if they are missing."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from random_networks import load

from similar_images.collection.images import Collection
from similar_images.inputs.sources import open_source
from similar_images.networks import catalog, extras, loader
from similar_images.networks.catalog import NETWORKS
from similar_images.vectors.store import vectors_path
from similar_images.vectors.writer import Writer

WITHOUT_TENSORFLOW = """
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "torch", "tf2onnx", "onnx", "h5py")))
from pathlib import Path
import numpy as np
from similar_images.networks.loader import LoadOptions, load
"""


@pytest.mark.parametrize("engine", [None, "onnxruntime", "openvino", "tensorflow"])
@pytest.mark.parametrize("export", [True, False])
def test_missing_weights_are_not_replaced_by_imagenet(tmp_path, monkeypatch, engine, export):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("similar_images.networks.onnx.find_export", lambda *_: pytest.fail("an export was looked for"))
    with pytest.raises(ValueError, match=r"there is no file .*absent\.weights\.h5 with weights: check --weights"):
        load("mobilenetv2", None, tmp_path / "absent.weights.h5", engine=engine, export=export)


def test_first_existing_recorded_file_is_loaded(tmp_path):
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
def test_missing_recorded_file_is_reported_with_its_option(tmp_path, recorded, option):
    with pytest.raises(FileNotFoundError) as raised:
        loader.recorded_files(recorded, tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'away'}, the network of this collection, is missing: restore it, or give its new place with {option}"
    )


def test_collection_reports_its_missing_network(photos, tmp_path):
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


def test_unsupported_engine_is_refused(mobilenet_file):
    with pytest.raises(ValueError, match=r"expected the engine of mobilenetv2 to be .*, got scikit-image"):
        load("mobilenetv2", mobilenet_file, engine="scikit-image")


def test_without_tensorflow_the_error_names_the_extra(tmp_path):
    code = f"load('vgg16', LoadOptions(Path({str(tmp_path / 'm.h5')!r}), engine='tensorflow'))"
    done = subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW + code], cwd=ROOT, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"MissingExtra: vgg16 needs TensorFlow: {extras.install_command('keras')}")


def test_existing_export_needs_no_tensorflow(mobilenet_file):
    code = f"""
options = [LoadOptions(Path({str(mobilenet_file)!r}), export=export) for export in (True, False)]
print([load("mobilenetv2", each).encode(np.zeros((1, 224, 224, 3), np.uint8)).shape for each in options])
"""
    done = subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW + code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[(1, 1280), (1, 1280)]\n", done.stderr


def test_importing_networks_imports_no_heavy_library():
    code = (
        "import sys; from similar_images.networks import efficientnet_lite, hub, loader, onnx, text, text_openvino;"
        "print([name for name in ('tensorflow', 'keras', 'torch', 'onnxruntime', 'openvino', 'onnx', 'transformers',"
        "'h5py', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
