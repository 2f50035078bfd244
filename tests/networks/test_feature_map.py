"""The last feature map of a network."""

import numpy as np
import pytest
from random_networks import load

from similar_images.networks import feature_map
from similar_images.networks.catalog import NETWORKS

CORNER = (slice(0, 64), slice(-64, None))  # the upper right of 224 x 224 pixels


def make_corner_pair() -> np.ndarray:
    """Return two images that differ in their upper right corner alone, uint8 (2, 224, 224, 3)."""
    pixels = np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8).repeat(2, axis=0)
    pixels[1][CORNER] = (250, 20, 20)
    return pixels


def find_change(maps: np.ndarray) -> tuple[int, int]:
    """Return the row and column where two maps (2, r, c, d) differ most."""
    row, column = np.unravel_index(np.linalg.norm(maps[0] - maps[1], axis=-1).argmax(), maps.shape[1:3])
    return int(row), int(column)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_mean_over_positions_equals_the_vector(engine):
    encoder = load("efficientnetlite0", engine=engine)
    pixels = make_corner_pair()
    maps = encoder.positions(pixels)
    assert maps.shape == (2, 7, 7, 1280) and maps.dtype == np.float32
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), encoder.encode(pixels), atol=1e-4)
    row, column = find_change(maps)
    assert row <= 2 and column >= 4


def test_exports_match_keras(mobilenet_file):
    pixels = make_corner_pair()
    keras = load("mobilenetv2", mobilenet_file, engine="tensorflow")
    expected = keras.positions(pixels)
    assert expected.shape == (2, 7, 7, 1280)
    np.testing.assert_allclose(expected.mean(axis=(1, 2)), keras.encode(pixels), rtol=1e-3, atol=1e-4)
    for engine in ("onnxruntime", "openvino"):
        maps = load("mobilenetv2", mobilenet_file, engine=engine).positions(pixels)
        assert maps.dtype == np.float32 and maps.flags.c_contiguous
        np.testing.assert_allclose(maps, expected, rtol=1e-2, atol=1e-3)
    row, column = find_change(expected)
    assert row <= 2 and column >= 4


def test_model_is_cut_at_its_last_feature_map(tmp_path):
    import keras
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 2, strides=2), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    assert feature_map.cut_keras_model(model).output.shape == (None, 4, 4, 5)
    kernel, dense = np.ones((5, 3, 2, 2), np.float32), np.ones((80, 4), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["maps"], strides=[2, 2]),
            helper.make_node("Flatten", ["maps"], ["flat"]),
            helper.make_node("MatMul", ["flat", "dense"], ["vectors"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, 8, 8])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["b", 4])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(dense, "dense")],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "small.onnx")
    part = onnx.load_from_string(feature_map.cut_onnx_model(tmp_path / "small.onnx", ["x"], "positions"))
    assert [one.name for one in part.graph.output] == ["positions"]
    assert [one.name for one in part.graph.initializer] == ["kernel"]  # later weights take no memory


def test_network_without_feature_map_names_another():
    encoder = load("hog-colour")
    side = NETWORKS["hog-colour"].side
    with pytest.raises(ValueError, match=r"^hog-colour has no feature map .*: use .* such as efficientnetlite0$"):
        encoder.positions(np.zeros((1, side, side, 3), np.uint8))


def test_channels_first_maps_are_transposed():
    maps = np.arange(2 * 5 * 3 * 3, dtype=np.float32).reshape(2, 5, 3, 3)
    turned = feature_map.to_channels_last(maps)
    assert turned.shape == (2, 3, 3, 5) and turned[1, 2, 0, 4] == maps[1, 4, 2, 0]
    assert feature_map.to_channels_last(turned).shape == (2, 3, 3, 5)
