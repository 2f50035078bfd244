"""Networks of the hub that come as ONNX: their own files, with the scaling of pixels put before them. No PyTorch.

The form is that of repositories for transformers.js: onnx/vision_model.onnx, and onnx/text_model.onnx for words.
"""

from pathlib import Path
from typing import Any

import numpy as np

from similar_images.inputs.preparation import Preparation
from similar_images.networks.hub_files import ONNX_IMAGES, ONNX_WORDS, TOKENIZER, HubNetwork
from similar_images.networks.onnx import IDS, INPUT, MASK, OUTPUT, noise, open_session

VECTORS = ("image_embeds", "text_embeds", "pooler_output")  # what the vector is called, the first that is there
TOKENS = 77  # of a text, where the network does not say it: CLIP's


def write(
    network: HubNetwork,
    preparation: Preparation,
    scaling: tuple[float, list[float], list[float]],
    images: Path,
    words: Path,
    tokenizer: Path,
) -> tuple[str, int]:
    """Write a network with the scaling of its pixels, and its tokenizer; return what the vector is, and its dimension.

    Raises ValueError for a network of another form.
    """
    import onnx

    model = _loaded(network, next(name for name in ONNX_IMAGES if (network.folder / name).is_file()))
    _put_scaling_before(network, model, scaling)
    onnx.save(model, images)
    vectors = open_session(images, 1).run([OUTPUT], {INPUT: noise(2, preparation.shape)})[0]
    if vectors.ndim != 2:
        raise ValueError(f"{network.name}: expected vectors (b, d) of its images, got {vectors.shape}")
    if not ((network.folder / ONNX_WORDS).is_file() and (network.folder / TOKENIZER).is_file()):
        return "pooled", vectors.shape[1]
    reading = _loaded(network, ONNX_WORDS)
    inputs = {one.name for one in reading.graph.input}
    if not {IDS} <= inputs <= {IDS, MASK}:
        raise ValueError(
            f"{network.name}: expected {ONNX_WORDS} with {IDS} and {MASK}, got {', '.join(sorted(inputs))}"
        )
    onnx.save(reading, words)
    _write_tokenizer(network, tokenizer, pads=MASK not in inputs)
    return "image embedding", vectors.shape[1]


def _loaded(network: HubNetwork, name: str) -> Any:
    """Return an ONNX model with OUTPUT as its only output."""
    import onnx

    model = onnx.load(network.folder / name, load_external_data=False)
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer):
        raise ValueError(f"{network.name}: {name} keeps its weights in another file, which is not read")
    known = {one.name for one in model.graph.output}
    chosen = next((one for one in VECTORS if one in known), None)
    if chosen is None:
        raise ValueError(
            f"{network.name}: expected {name} to give {', '.join(VECTORS)}, got {', '.join(sorted(known))}"
        )
    model.graph.node.append(onnx.helper.make_node("Identity", [chosen], [OUTPUT]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["b", "d"]))
    return model


def _put_scaling_before(network: HubNetwork, model: Any, scaling: tuple[float, list[float], list[float]]) -> None:
    """Make uint8 pixels (b, height, width, 3) the input of a model of scaled float32 pixels (b, 3, height, width)."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {one.name for one in model.graph.initializer}
    given = [one.name for one in model.graph.input if one.name not in constants]
    if len(given) != 1:
        raise ValueError(f"{network.name}: expected one input, of pixels, got {', '.join(given)}")
    factor, mean, std = scaling
    for name, values in (("factor", factor), ("mean", mean), ("std", std)):
        array = np.asarray(values, np.float32).reshape((1, -1, 1, 1))
        model.graph.initializer.append(numpy_helper.from_array(array, f"{INPUT}_{name}"))
    steps = [
        helper.make_node("Cast", [INPUT], [f"{INPUT}_0"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", [f"{INPUT}_0"], [f"{INPUT}_1"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", [f"{INPUT}_1", f"{INPUT}_factor"], [f"{INPUT}_2"]),
        helper.make_node("Sub", [f"{INPUT}_2", f"{INPUT}_mean"], [f"{INPUT}_3"]),
        helper.make_node("Div", [f"{INPUT}_3", f"{INPUT}_std"], given),
    ]
    nodes = [*steps, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["b", "h", "w", 3]))


def _write_tokenizer(network: HubNetwork, path: Path, pads: bool) -> None:
    """Write the tokenizer, which truncates and pads; with `pads` all texts to the same length, without a mask."""
    from tokenizers import Tokenizer

    config, text = network.config("tokenizer_config.json"), network.config("config.json").get("text_config", {})
    length = min(config.get("model_max_length", 10**9), text.get("max_position_embeddings", TOKENS))
    tokenizer = Tokenizer.from_file(str(network.folder / TOKENIZER))
    pad = config.get("pad_token") or ""
    pad = pad.get("content", "") if isinstance(pad, dict) else pad
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad) or 0, pad_token=pad, length=length if pads else None)
    tokenizer.save(str(path))
