"""Hostile, damaged and foreign folders of networks: each is refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
from hub_networks import edit, save

from similar_images.networks import hub, hub_files

pytestmark = pytest.mark.usefixtures("exports_here")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return save("clip", tmp_path_factory.mktemp("original") / "clip")


@pytest.fixture
def folder(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "clip")


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as raised:
        hub.load(str(folder))
    message = str(raised.value)
    assert "\n" not in message and len(message) < 700
    return message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "onnx/data.pkl"])
def test_pickle_beside_the_weights(name, folder):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04cos\nsystem\n.")
    assert f"{name} may contain code: only safetensors and ONNX are read" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "entries",
    [{"auto_map": {"AutoModel": "own.Model"}}, {"parts": [{"vision_config": {"backbone": {"auto_map": {}}}}]}],
    ids=["at its top", "deep inside"],
)
def test_code_in_a_configuration(name, entries, folder):
    edit(folder / name, **entries)
    assert f"{name} needs code of its own (auto_map), which never runs" in refusal(folder)


@pytest.mark.parametrize("name", ["preprocessor_config.json", "notes/readme.md", "onnx"])
def test_link_out_of_the_folder(name, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir() if name == "onnx" else outside.write_text("{}")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    assert f"{name} leads out of the folder and is not read" in refusal(folder)


def test_links_within_the_folder_and_circular_links_are_accepted(folder):
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    (folder / "model.safetensors").symlink_to("weights.safetensors")
    (folder / "circle").symlink_to("circle")
    assert hub_files.find(str(folder), download=False).weights


@pytest.mark.parametrize(
    "name", ["../model-00001-of-00002.safetensors", "/etc/passwd", "own.bin", "part/model-00001-of-00002.safetensors"]
)
def test_shard_outside_the_folder(name, folder):
    (folder / "model.safetensors").rename(folder.parent / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "expected names such as model-00001-of-00002.safetensors" in refusal(folder)


@pytest.mark.parametrize("listed", [{}, {"weight_map": 3}, {"weight_map": {"a": "model-00001-of-00002.safetensors"}}])
def test_missing_shards(listed, folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))
    assert "names missing files" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{", "[1]", '"a"', "[" * 100_000, "\x00"])
def test_configuration_without_object(content, folder):
    (folder / "config.json").write_text(content)
    assert "config.json" in refusal(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "vocab.json", "model.safetensors.index.json"])
def test_oversized_configuration_is_refused_before_reading(name, folder, monkeypatch):
    if name == "model.safetensors.index.json":
        (folder / "model.safetensors").unlink()
    with (folder / name).open("wb") as file:
        file.truncate(177 * 10**6)
    monkeypatch.setattr(
        Path, "read_text", lambda path, **_: "{}" if path.stat().st_size < 10**6 else pytest.fail("read")
    )
    assert refusal(folder) == f"{folder / name}: expected at most 64 MB, got 177 MB; choose another network"


def test_damaged_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "clip cannot be loaded by transformers" in refusal(folder)


def test_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "has no weights in a safe format: expected model.safetensors or onnx/vision_model.onnx" in refusal(folder)


def test_weights_of_another_network(folder, tmp_path):
    other = save("vit", tmp_path / "vit")
    shutil.copy(other / "model.safetensors", folder)
    assert "clip lacks weights: " in refusal(folder)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model_type": "own_network"}, "is of the type own_network, unknown to transformers"),
        ({"model_type": ["clip"]}, "unknown to transformers"),
        ({"model_type": "siglip2"}, "takes images of any shape (NaFlex), not of a fixed size"),
    ],
)
def test_unknown_type(entries, message, folder):
    edit(folder / "config.json", **entries)
    assert message in refusal(folder)


def test_network_for_texts(folder):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=10, **small)
    transformers.BertModel(config).save_pretrained(folder)
    assert "does not encode images alone" in refusal(folder)


@pytest.mark.parametrize("entries", [{"size": {"longest_edge": 9}}, {"image_mean": {"red": 1}}], ids=str)
def test_unsupported_preparation(entries, folder):
    edit(folder / "preprocessor_config.json", **entries)
    assert refusal(folder).startswith("clip: its preprocessor_config.json ")


def test_missing_preparation(folder):
    (folder / "preprocessor_config.json").unlink()
    assert "clip lacks its preparation of images: expected a preprocessor_config.json" in refusal(folder)


def test_folder_without_configuration(tmp_path):
    assert "is not a network of the hub's form: it has no config.json" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name", ["hf:", "hf:clip", "hf:a/b/c", "hf:a/../b", "hf:a--b/c", "hf:a/b@", "hf:ä/b", "hf:a/b c"]
)
def test_invalid_hub_name(name):
    with pytest.raises(ValueError, match="expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, got"):
        hub_files.split_name(name)
