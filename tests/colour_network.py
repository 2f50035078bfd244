"""A small network in the hub's form, in ONNX, for images and words: the vector of an image is its mean colour."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

COLOURS = {"red": (1, -1, -1), "green": (-1, 1, -1), "blue": (-1, -1, 1)}
# "image" distorts the words beside it towards red, and "sharp" corrects that; the other words mean nothing.
VOCABULARY = {
    "<pad>": (0, 0, 0),
    **dict.fromkeys(("a", "an", "photo", "of", "this", "is"), (0, 0, 0)),
    "image": (9, -9, -9),
}
VOCABULARY |= {"sharp": (-9, 9, 9)} | COLOURS


def saved(folder: Path) -> Path:
    """Save the network and return its folder."""
    (folder / "onnx").mkdir(parents=True)
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["b", 3, "h", "w"])
    _save(folder / "onnx" / "vision_model.onnx", [pixels], "image_embeds", [], _mean("pixel_values", [2, 3]))
    table = numpy_helper.from_array(np.array(list(VOCABULARY.values()), np.float32), "table")
    tokens = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"]) for name in ("input_ids", "attention_mask")
    ]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["each"]), *_mean("each", [1])]
    _save(folder / "onnx" / "text_model.onnx", tokens, "text_embeds", [table], nodes)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<pad>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    size = {"size": {"height": 32, "width": 32}, "image_processor_type": "SiglipImageProcessor"}
    _write(folder / "preprocessor_config.json", size)
    _write(folder / "config.json", {"model_type": "siglip", "text_config": {"max_position_embeddings": 16}})
    _write(folder / "tokenizer_config.json", {"pad_token": "<pad>", "model_max_length": 16})
    return folder


def _mean(name: str, axes: list[int]) -> list:
    return [helper.make_node("ReduceMean", [name], ["mean"], axes=axes, keepdims=0)]


def _save(path: Path, inputs: list, output: str, constants: list, nodes: list) -> None:
    nodes = [*nodes, helper.make_node("Identity", ["mean"], [output])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", 3])]
    graph = helper.make_graph(nodes, "colours", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
