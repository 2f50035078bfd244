"""Networks exported to ONNX: compared with Keras, created once, and matched to their source."""

import json

import numpy as np
import pytest
from random_networks import load, save_network

from similar_images.networks import loader
from similar_images.networks import onnx as onnx_networks
from similar_images.networks.catalog import NETWORKS

EXPORTED = [network for network in NETWORKS.values() if network.keras and network.exports]
QUICK = "mobilenetv2"  # the others take 30 to 60 s each


def random_pixels(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "network",
    [pytest.param(one, marks=() if one.name == QUICK else pytest.mark.slow, id=one.name) for one in EXPORTED],
)
def test_exports_match_keras_with_both_runtimes(network, tmp_path):
    file = save_network(network, tmp_path)
    keras = load(network.name, file, engine="tensorflow")
    pixels = random_pixels(3, network.side)
    expected = keras.encode(pixels)
    for engine in ("onnxruntime", "openvino"):
        encoder = load(network.name, file, engine=engine)
        got = encoder.encode(pixels)
        assert got.shape == (3, network.dimension) and got.dtype == np.float32
        cosines = (got * expected).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.min() > 0.9999
        assert encoder.description == keras.description
    manifest = json.loads((tmp_path / f"{network.name}.keras.onnx.json").read_text())
    assert manifest["cosine"] > 0.9999


def test_export_is_reused_unless_damaged_or_from_another_network(mobilenet_file, monkeypatch, tmp_path):
    made = []
    pool = onnx_networks.ProcessPoolExecutor
    monkeypatch.setattr(onnx_networks, "ProcessPoolExecutor", lambda *arguments: made.append(1) or pool(*arguments))
    onnx = mobilenet_file.with_name("mobilenetv2.keras.onnx")
    whole = onnx.read_bytes()
    load("mobilenetv2", mobilenet_file, engine="onnxruntime")
    assert made == []
    onnx.write_bytes(whole[:-100])
    assert not onnx_networks.find_export(NETWORKS["mobilenetv2"], mobilenet_file, None)
    load("mobilenetv2", mobilenet_file, engine="onnxruntime")
    assert made == [1] and onnx_networks.find_export(NETWORKS["mobilenetv2"], mobilenet_file, None)
    other = tmp_path / mobilenet_file.name
    other.write_bytes(mobilenet_file.read_bytes() + b" ")
    for suffix in (".onnx", ".onnx.json"):
        (tmp_path / (mobilenet_file.name + suffix)).write_bytes(
            mobilenet_file.with_name(mobilenet_file.name + suffix).read_bytes()
        )
    assert not onnx_networks.find_export(NETWORKS["mobilenetv2"], other, None)


def test_export_with_different_vectors_is_refused_and_deleted(mobilenet_file, monkeypatch, tmp_path):
    file = tmp_path / "m.keras"
    file.write_bytes(mobilenet_file.read_bytes())
    monkeypatch.setattr(onnx_networks, "min_cosine", lambda one, other: 0.97)
    path = tmp_path / "m.keras.onnx"
    with pytest.raises(ValueError, match=r"at least 0\.9999, got 0\.970000; use --engine tensorflow"):
        onnx_networks._export("mobilenetv2", file, None, path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"m.keras"}


def test_tensorflow_computes_networks_without_an_export(tmp_path):
    assert loader.fastest_engine("convnexttiny") == "tensorflow"
    with pytest.raises(ValueError, match="convnexttiny cannot be exported to ONNX"):
        load("convnexttiny", engine="onnxruntime")


def test_export_reports_keras_errors(tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"bad\.h5 is not an HDF5 file"):
        load("mobilenetv2", tmp_path / "bad.h5", engine="onnxruntime")


def test_half_precision_is_refused_or_close(mobilenet_file):
    with pytest.raises(ValueError, match="ONNX Runtime does not support bfloat16"):
        load("mobilenetv2", mobilenet_file, engine="onnxruntime", precision="bfloat16")
    pixels = random_pixels(2, 224)
    expected = load("mobilenetv2", mobilenet_file, engine="onnxruntime").encode(pixels)
    for engine in ("openvino", "tensorflow"):
        try:
            got = load("mobilenetv2", mobilenet_file, engine=engine, precision="bfloat16").encode(pixels)
        except ValueError as error:
            assert "this processor does not support bfloat16" in str(error)
            continue
        cosines = (got * expected).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
        assert got.dtype == np.float32 and cosines.min() > 0.98


def test_without_an_export_keras_computes_queries(mobilenet_file, tmp_path):
    file = tmp_path / "m.keras"
    file.write_bytes(mobilenet_file.read_bytes())
    assert load("mobilenetv2", file, export=False).engine.name == "tensorflow"
    assert not loader.has_gpu()
