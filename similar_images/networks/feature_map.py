"""The last feature map of a network: the last output with rows and columns, in its ONNX file or Keras model.

The vector of a pooled network is the mean over its rows and columns.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from similar_images.networks.extras import need


def cut_onnx_model(path: Path, inputs: list[str], output: str) -> bytes:
    """Return the ONNX model up to its last feature map, with this name for the output. Raises ValueError without one."""
    import onnx.shape_inference
    from onnx.utils import Extractor

    whole = Extractor(onnx.shape_inference.infer_shapes(onnx.load(path)))
    names = {one.name for one in whole.graph.value_info if _has_positions(_sizes(one))}
    last = next((name for node in reversed(whole.graph.node) for name in node.output if name in names), None)
    if last is None:
        raise ValueError(f"{path} has no feature map")
    part = whole.extract_model(inputs, [last])
    part.graph.node.append(onnx.helper.make_node("Identity", [last], [output]))
    del part.graph.output[:]
    part.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    model: bytes = part.SerializeToString()
    return model


def cut_keras_model(model: Any) -> Any:
    """Return the Keras model up to its last feature map. Raises ValueError without one."""
    for layer in reversed(model.layers):
        if _has_positions(list(layer.output.shape)):
            return need("keras", "keras", "a feature map").Model(model.inputs, layer.output)
    raise ValueError(f"{model.name} has no feature map")


def to_channels_last(maps: np.ndarray) -> np.ndarray:
    """Return square feature maps (b, r, c, d) or (b, d, r, c) as float32 (b, r, c, d)."""
    return np.asarray(maps if maps.shape[1] == maps.shape[2] else np.moveaxis(maps, 1, 3), np.float32)


def _sizes(tensor: Any) -> list[int]:
    """Return the sizes of a tensor in a graph; 0 for an unknown size."""
    return [one.dim_value for one in tensor.type.tensor_type.shape.dim]


def _has_positions(sizes: Sequence[int | None]) -> bool:
    return len(sizes) == 4 and all(size is not None and size > 1 for size in sizes[1:])
