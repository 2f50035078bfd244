"""Export networks of the hub from their own ONNX files, with the scaling of pixels put in front. Without PyTorch.

Repositories for transformers.js have this form: onnx/vision_model.onnx, and onnx/text_model.onnx for words.
"""

from pathlib import Path
from typing import Any

import numpy as np

from similar_images.inputs.images import Preparation
from similar_images.inputs.names import one_line
from similar_images.networks.hub_checks import CONFIG, ONNX_IMAGES, ONNX_WORDS, TOKENIZER
from similar_images.networks.hub_files import IMAGES, WORDS, HubNetwork, Scaling
from similar_images.networks.onnx import (
    IDS,
    INPUT,
    MASK,
    OUTPUT,
    check_contained,
    check_export,
    open_session,
    random_pixels,
    to_tokens,
)

VECTORS = ("image_embeds", "text_embeds", "pooler_output")  # names of the output with vectors, in order of preference
MAX_TOKENS = 77  # CLIP's, for a network that gives no maximum


def export(network: HubNetwork, preparation: Preparation, scaling: Scaling, folder: Path) -> tuple[str, int]:
    """Write a network with the scaling of its pixels, and its tokenizer; return the vectors' layer and dimension.

    Raises ValueError for a network of another form, or if the scaling changes its vectors.
    """
    try:
        layer, d = _write_images(network, preparation, scaling, folder / IMAGES)
        if (network.folder / ONNX_WORDS).is_file() and (network.folder / TOKENIZER).is_file():
            _write_words(network, folder, d)
    except (OSError, ValueError):
        raise
    except Exception as error:  # onnx and ONNX Runtime have errors of their own for damaged files
        raise ValueError(f"{network.name} has unusable ONNX files: {one_line(error)}") from error
    return layer, d


def _write_images(network: HubNetwork, preparation: Preparation, scaling: Scaling, path: Path) -> tuple[str, int]:
    import onnx

    name = next(name for name in ONNX_IMAGES if (network.folder / name).is_file())
    model, layer = _load_model(network, name)
    inputs = _inputs(model)
    if len(inputs) != 1:
        raise ValueError(f"{network.name}: expected {name} to take one input, pixels, got {', '.join(sorted(inputs))}")
    (pixels,) = inputs
    if inputs[pixels].tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise ValueError(f"{network.name}: expected {name} to take float32 pixels")
    original = open_session(model.SerializeToString(), 1)
    _prepend_scaling(model, pixels, scaling)
    onnx.save(model, path)
    factor, mean, std = (np.asarray(value, np.float32) for value in scaling)
    images = random_pixels(2, preparation.shape)
    scaled = ((images * factor - mean) / std).transpose(0, 3, 1, 2)
    expected = original.run([OUTPUT], {pixels: np.ascontiguousarray(scaled, np.float32)})[0]
    if expected.ndim != 2:
        raise ValueError(f"{network.name}: expected {name} to give vectors (b, d), got {expected.shape}")
    check_export(network.name, expected, open_session(path, 1).run([OUTPUT], {INPUT: images})[0])
    return layer, expected.shape[1]


def _write_words(network: HubNetwork, folder: Path, d: int) -> None:
    import onnx

    model, _ = _load_model(network, ONNX_WORDS)
    inputs = _inputs(model)
    if not {IDS} <= inputs.keys() <= {IDS, MASK}:
        raise ValueError(
            f"{network.name}: expected {ONNX_WORDS} to take {IDS} and {MASK}, got {', '.join(sorted(inputs))}"
        )
    length = inputs[IDS].tensor_type.shape.dim[-1].dim_value  # 0: any number of tokens
    tokenizer = _write_tokenizer(network, folder / TOKENIZER, length, pads=bool(length) or MASK not in inputs)
    onnx.save(model, folder / WORDS)
    tokens = to_tokens(tokenizer.encode_batch(["a dog", "two cats on a sofa"]))
    shape = open_session(folder / WORDS, 1).run([OUTPUT], {name: tokens[name] for name in inputs})[0].shape
    if shape != (2, d):
        raise ValueError(f"{network.name}: expected {ONNX_WORDS} to give vectors (b, {d}) as of images, got {shape}")


def _load_model(network: HubNetwork, name: str) -> tuple[Any, str]:
    """Return an ONNX model with OUTPUT as its only output, and the original name of that output."""
    import onnx

    check_contained(network.folder / name)
    model = onnx.load(network.folder / name, load_external_data=False)
    outputs = {one.name for one in model.graph.output}
    chosen = next((one for one in VECTORS if one in outputs), None)
    if chosen is None:
        raise ValueError(
            f"{network.name}: expected {name} to give {', '.join(VECTORS)}, got {', '.join(sorted(outputs))}"
        )
    model.graph.node.append(onnx.helper.make_node("Identity", [chosen], [OUTPUT]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["b", "d"]))
    return model, chosen


def _inputs(model: Any) -> dict[str, Any]:
    """Return the type of each input by its name, without weights, which old models list as inputs too."""
    constants = {one.name for one in model.graph.initializer}
    return {one.name: one.type for one in model.graph.input if one.name not in constants}


def _prepend_scaling(model: Any, pixels: str, scaling: Scaling) -> None:
    """Make uint8 pixels (b, height, width, 3) the input of a model of scaled float32 pixels (b, 3, height, width)."""
    from onnx import TensorProto, helper, numpy_helper

    for name, values in zip(("factor", "mean", "std"), scaling, strict=True):
        array = np.asarray(values, np.float32).reshape((1, -1, 1, 1))
        model.graph.initializer.append(numpy_helper.from_array(array, f"{INPUT}_{name}"))
    steps = [
        helper.make_node("Cast", [INPUT], [f"{INPUT}_0"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", [f"{INPUT}_0"], [f"{INPUT}_1"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", [f"{INPUT}_1", f"{INPUT}_factor"], [f"{INPUT}_2"]),
        helper.make_node("Sub", [f"{INPUT}_2", f"{INPUT}_mean"], [f"{INPUT}_3"]),
        helper.make_node("Div", [f"{INPUT}_3", f"{INPUT}_std"], [pixels]),
    ]
    nodes = [*steps, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["b", "h", "w", 3]))


def _write_tokenizer(network: HubNetwork, path: Path, length: int, pads: bool) -> Any:
    """Write and return the tokenizer, which truncates texts, and pads them; with `pads` to the same length."""
    from tokenizers import Tokenizer

    config, text = network.config("tokenizer_config.json"), network.config(CONFIG).get("text_config") or {}
    own_maximum = int(config.get("model_max_length") or MAX_TOKENS)
    length = length or min(own_maximum, text.get("max_position_embeddings") or MAX_TOKENS)
    tokenizer = Tokenizer.from_file(str(network.folder / TOKENIZER))
    pad = config.get("pad_token") or ""
    pad = pad.get("content", "") if isinstance(pad, dict) else pad
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad) or 0, pad_token=pad, length=length if pads else None)
    tokenizer.save(str(path))
    return tokenizer
