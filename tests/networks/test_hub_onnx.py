"""Repositories with ONNX files: exported with the scaling of pixels, and without PyTorch."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hub_networks import SIDE, TEXTS, TOKENS, WORDS, image
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from similar_images.networks import hub, hub_onnx
from similar_images.networks.hub_files import HubNetwork
from similar_images.networks.onnx import OnnxModel, OpenVino, open_session

D = 5
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
PREPARED = {
    **{"image_processor_type": "CLIPFeatureExtractor", "do_resize": True, "size": SIDE, "resample": 2},
    **{"do_center_crop": False, "do_normalize": True, "image_mean": MEAN, "image_std": STD},
}
RANDOM = np.random.default_rng(0)
COLOURS, TABLE = RANDOM.normal(size=(3, D)), RANDOM.normal(size=(len(WORDS), D))  # float64: the oracle

pytestmark = pytest.mark.usefixtures("exports_here")


def save_model(path: Path, nodes: list, inputs: list, output: tuple, constants: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    outputs = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def save_images(path: Path, output: str = "image_embeds", kind: int = TensorProto.FLOAT) -> None:
    """Save a network that multiplies the mean of the pixels with COLOURS."""
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "colours"], [output]),
    ]
    given = [helper.make_tensor_value_info("pixel_values", kind, ["b", 3, "h", "w"])]
    save_model(path, nodes, given, (output, ["b", D]), {"colours": COLOURS.astype(np.float32)})


def save_words(path: Path, masked: bool, name: str = "input_ids", tokens: int | str = "t") -> None:
    """Save a network that adds the rows of TABLE for its tokens; `masked` skips tokens by the mask."""
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", tokens])]
    nodes = [helper.make_node("Gather", ["table", name], ["rows"])]
    last = "rows"
    if masked:
        given.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["b", tokens]))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
            helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        ]
        last = "kept"
    nodes.append(helper.make_node("ReduceSum", [last, "axes"], ["text_embeds"], keepdims=0))
    constants = {"table": TABLE.astype(np.float32), "axes": np.array([1]), "last": np.array([2])}
    save_model(path, nodes, given, ("text_embeds", ["b", D]), constants)


def save_tokenizer(folder: Path) -> None:
    known = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="<unk>"))
    known.pre_tokenizer, known.normalizer = pre_tokenizers.Whitespace(), normalizers.Lowercase()
    known.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    known.save(str(folder / "tokenizer.json"))
    config = {"model_max_length": TOKENS, "pad_token": {"content": "<pad>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def save(folder: Path, masked: bool = False, tokens: int | str = "t") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": None}))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    save_images(folder / "onnx" / "vision_model.onnx")
    save_words(folder / "onnx" / "text_model.onnx", masked, tokens=tokens)
    save_tokenizer(folder)
    return folder


def add_rows(text: str, padded: int = 0) -> np.ndarray:
    rows = [2, *(WORDS.index(word) for word in text.lower().split()), 3]
    return TABLE[rows + [0] * (padded - len(rows))].sum(axis=0)


@pytest.fixture
def without_pytorch(monkeypatch):
    for name in ("torch", "transformers", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_images(engine, tmp_path, without_pytorch):
    shown = image()
    encoder = hub.load(str(save(tmp_path / "net")), engine)
    pixels = np.asarray(shown.resize((SIDE, SIDE), 2), dtype=float)
    expected = ((pixels / 255 - MEAN) / STD).mean(axis=(0, 1)) @ COLOURS
    np.testing.assert_allclose(encoder.encode_image(shown), expected, rtol=0, atol=1e-5)
    assert encoder.description.layer == "image_embeds" and encoder.dimension == D
    assert len(encoder.description.weights.split()) == 2


@pytest.mark.parametrize(
    ("masked", "tokens", "padded"), [(True, "t", 0), (False, "t", TOKENS), (False, 9, 9), (True, 9, 0)]
)
def test_words(masked, tokens, padded, tmp_path):
    encoder = hub.load(str(save(tmp_path / "net", masked, tokens)))
    expected = [add_rows(text, padded) for text in TEXTS]
    np.testing.assert_allclose(encoder.words(TEXTS), expected, rtol=0, atol=1e-5)


def test_network_for_images_only(tmp_path):
    folder = save(tmp_path / "net")
    shutil.rmtree(folder / "onnx")
    save_images(folder / "onnx" / "model.onnx", "pooler_output")
    assert hub.load(str(folder)).description.reads == "images"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "vision_model.onnx").write_bytes(b"\x08\x07damaged"), "has unusable ONNX files"),
        (
            lambda f: save_images(f / "vision_model.onnx", "logits"),
            "to give image_embeds, text_embeds, pooler_output, got logits",
        ),
        (
            lambda f: save_words(f / "vision_model.onnx", True),
            "to take one input, pixels, got attention_mask, input_ids",
        ),
        (lambda f: save_words(f / "vision_model.onnx", False), "to take float32 pixels"),
        (
            lambda f: save_words(f / "text_model.onnx", False, "words"),
            "to take input_ids and attention_mask, got words",
        ),
    ],
)
def test_unsupported_model_is_refused(change, message, tmp_path):
    folder = save(tmp_path / "net")
    change(folder / "onnx")
    with pytest.raises(ValueError) as raised:
        hub.load(str(folder))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_weights_in_another_file_are_refused(tmp_path):
    folder = save(tmp_path / "net")
    path = folder / "onnx" / "vision_model.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.data", size_threshold=0)
    with pytest.raises(
        ValueError, match=r"vision_model\.onnx keeps its weights in another file: choose a network in one file"
    ):
        hub.load(str(folder))


def external(values: np.ndarray, name: str = "colours") -> TensorProto:
    """Return a tensor with its numbers in a file beside the model."""
    tensor = numpy_helper.from_array(values, name)
    onnx.external_data_helper.set_external_data(tensor, "secret.data")
    tensor.ClearField("raw_data")
    return tensor


def graph_of(tensor: TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "part", [], [], [tensor])


def sparse(values: TensorProto, places: TensorProto) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(values, places, [3, D])


SECRET = external(COLOURS.astype(np.float32))
PLAIN = numpy_helper.from_array(COLOURS.astype(np.float32).ravel(), "colours")
PLACES = np.arange(3 * D)


def add_function(model: onnx.ModelProto, **parts: object) -> None:
    model.functions.append(onnx.FunctionProto(domain="own", name="f", **parts))


def add_node(model: onnx.ModelProto, **attributes: object) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["secret"], **attributes))


def add_training(model: onnx.ModelProto) -> None:
    model.training_info.add().initialization.CopyFrom(graph_of(SECRET))


HIDDEN = {
    "an initializer": lambda model: model.graph.initializer.append(SECRET),
    "values of a sparse initializer": lambda model: model.graph.sparse_initializer.append(
        sparse(external(COLOURS.astype(np.float32).ravel()), numpy_helper.from_array(PLACES))
    ),
    "places of a sparse initializer": lambda model: model.graph.sparse_initializer.append(
        sparse(PLAIN, external(PLACES))
    ),
    "an attribute": lambda model: add_node(model, value=SECRET),
    "an attribute of several tensors": lambda model: add_node(model, values=[PLAIN, SECRET]),
    "a sparse attribute": lambda model: add_node(model, sparse_value=sparse(PLAIN, external(PLACES))),
    "several sparse attributes": lambda model: add_node(model, values=[sparse(PLAIN, external(PLACES))]),
    "a graph in a node": lambda model: add_node(model, then_branch=graph_of(SECRET)),
    "graphs in a graph in a node": lambda model: add_node(
        model, body=helper.make_graph([helper.make_node("If", [], [], branches=[graph_of(SECRET)])], "body", [], [])
    ),
    "a function": lambda model: add_function(model, node=[helper.make_node("Constant", [], ["a"], value=SECRET)]),
    "a default of a function": lambda model: add_function(
        model, attribute_proto=[helper.make_attribute("value", SECRET)]
    ),
    "the information for training": add_training,
}


@pytest.mark.parametrize("place", HIDDEN)
@pytest.mark.parametrize("name", ["vision_model.onnx", "text_model.onnx"])
def test_external_tensor_is_refused_at_any_place(name, place, tmp_path, monkeypatch):
    folder = save(tmp_path / "net")
    path = folder / "onnx" / name
    model = onnx.load(path)
    HIDDEN[place](model)
    path.write_bytes(model.SerializeToString())
    opened = []
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: opened.append(True))
    message = f"{name} keeps its weights in another file: choose a network in one file"
    for read in (
        lambda: hub_onnx._load_model(HubNetwork(folder, "net", None, "", ""), name=f"onnx/{name}"),
        lambda: open_session(path, 1),
        lambda: OpenVino(OnnxModel(path, "")),
    ):
        with pytest.raises(ValueError, match=message):
            read()
    assert not opened


def test_output_named_location_is_accepted(tmp_path):
    path = tmp_path / "model.onnx"
    save_images(path, "location")
    assert open_session(path, 1).get_outputs()[0].name == "location"
