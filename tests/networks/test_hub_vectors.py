"""Networks of the hub, compared with the library transformers: images and words, every backend."""

import shutil
import subprocess
import sys
from pathlib import Path

import hub_networks
import numpy as np
import onnx
import platformdirs
import pytest
from conftest import ROOT
from hub_networks import KINDS, READ_WORDS, TEXTS, image, save

from similar_images.networks import hub
from similar_images.networks.hub import ENGINES

TOLERANCE = 1e-5
WITHOUT = """
import sys
for name in ("torch", "transformers", "onnxscript", "safetensors"):
    sys.modules[name] = None
from similar_images.networks import hub
encoder = hub.load(sys.argv[1])
print(encoder.encode_text("a cat").shape, encoder.engine.name)
"""

pytestmark = pytest.mark.usefixtures("exports_here")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder of a network, saved once."""
    folders: dict[str, Path] = {}

    def saved(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = save(kind, tmp_path_factory.mktemp("networks") / kind)
        return folders[kind]

    return saved


OFTEN = ("clip", "siglip", "dinov2")  # an export takes seconds: the others are slow tests


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [one if one in OFTEN else pytest.param(one, marks=pytest.mark.slow) for one in KINDS])
def test_images(kind, engine, saved):
    folder, shown = saved(kind), image()
    encoder = hub.load(str(folder), engine)
    assert encoder.engine.name == engine
    expected = hub_networks.expected_image(folder, kind, shown)
    vector = encoder.encode_image(shown)
    assert vector.shape == expected.shape == (encoder.dimension,)
    np.testing.assert_allclose(vector, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", READ_WORDS)
def test_words(kind, saved):
    encoder, texts = hub.load(str(saved(kind))), [*TEXTS, "dog " * 99]  # the last one is truncated
    expected = hub_networks.expected_words(saved(kind), kind, texts)
    np.testing.assert_allclose(encoder.encode_texts(texts), expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(encoder.encode_text(texts[1]), expected[1], rtol=0, atol=TOLERANCE)
    assert np.abs(expected[0] - expected[1]).max() > 10 * TOLERANCE


def test_network_for_images_refuses_words(saved):
    with pytest.raises(ValueError, match="dinov2 does not read words"):
        hub.load(str(saved("dinov2"))).encode_text("a dog")


def test_exports_of_images_and_words_share_no_weights(saved):
    folder = hub.find_or_create_export(str(saved("clip"))).folder
    images, words = (
        sum(len(one.raw_data) for one in onnx.load(folder / name).graph.initializer) for name in (hub.IMAGES, hub.WORDS)
    )
    whole = sum(one.numel() * 4 for one in hub_networks.model("clip").parameters())
    assert max(images, words) < 0.7 * whole and images + words > 0.95 * whole


@pytest.mark.slow
def test_half_precision_weights_are_computed_in_float32(saved, tmp_path):
    folder, shown = save("vit", tmp_path / "half", half=True), image()
    np.testing.assert_allclose(
        hub.load(str(folder)).encode_image(shown),
        hub_networks.expected_image(folder, "vit", shown),
        rtol=0,
        atol=TOLERANCE,
    )


@pytest.mark.slow
def test_sharded_weights(saved, tmp_path):
    folder = save("vit", tmp_path / "vit", max_shard_size="60KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    encoder, whole = hub.load(str(folder)), hub.load(str(saved("vit")))
    np.testing.assert_allclose(encoder.encode_image(image()), whole.encode_image(image()), rtol=0, atol=TOLERANCE)
    assert len(encoder.description.weights.split()) == len(list(folder.glob("*.safetensors")))


def test_any_path_to_a_folder_is_the_same_network(saved, monkeypatch):
    folder = saved("dinov2")
    expected = hub.load(str(folder)).description
    assert (expected.name, expected.revision, expected.source) == ("dinov2", None, "folder")
    assert hub.load(f"{folder}/").description == expected
    monkeypatch.chdir(folder)
    assert hub.load(".").description == expected


@pytest.mark.slow
def test_changed_configuration_is_another_network(saved, tmp_path):
    before = hub.load(str(saved("vit"))).description
    folder = save("vit", tmp_path / "vit")
    hub_networks.edit(folder / "preprocessor_config.json", resample=3)
    after = hub.load(str(folder)).description
    assert (before.resampling, after.resampling) == ("bilinear", "bicubic")
    assert before.weights == after.weights and before.files != after.files


@pytest.mark.parametrize("name", [hub.IMAGES, hub.WORDS, hub.TOKENIZER, hub.MANIFEST])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:99]), Path.unlink])
def test_damaged_export_is_ignored(name, damage, saved, tmp_path):
    export = hub.find_or_create_export(str(saved("clip")))
    folder = shutil.copytree(export.folder, tmp_path / "copied")
    assert hub._find_export(folder, "clip")
    damage(folder / name)
    assert hub._find_export(folder, "clip") is None


@pytest.mark.slow
def test_damaged_export_is_replaced(saved):
    encoder = hub.load(str(saved("clip")))
    expected, said = encoder.encode_text("a dog"), []
    path = hub.find_or_create_export(str(saved("clip"))).folder / hub.WORDS
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    np.testing.assert_array_equal(hub.load(str(saved("clip")), progress=said.append).encode_text("a dog"), expected)
    assert [event.note for event in said] == ["exporting clip to ONNX, once: this takes seconds to minutes"]
    assert path.stat().st_size == len(content)


def test_export_needs_no_pytorch(saved):
    hub.load(str(saved("clip")))
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(saved("clip"))], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("(16,) onnxruntime\n", 0), done.stderr


@pytest.mark.slow
def test_missing_tokenizer_is_reported(tmp_path):
    folder, said = save("clip", tmp_path / "clip"), []
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert hub.load(str(folder), progress=said.append).description.reads == "images"
    assert said[-1].note == "clip reads words, but has no usable tokenizer: it will encode images only"


@pytest.mark.parametrize("engine", ["tensorflow", "magic"])
def test_unsupported_engine_is_refused(engine, saved):
    with pytest.raises(ValueError, match=r"expected the engine of .* to be onnxruntime, openvino, torch, got"):
        hub.load(str(saved("dinov2")), engine)


def test_half_precision_of_pytorch_on_a_processor_is_refused(saved):
    with pytest.raises(ValueError, match="PyTorch computes float32 on a processor: for bfloat16 use --engine openvino"):
        hub.load(str(saved("dinov2")), "torch", "bfloat16")


def test_exports_use_the_cache_of_the_tests(saved):
    hub.load(str(saved("dinov2")))
    assert list(platformdirs.user_cache_path("similar-images").glob("dinov2-*"))
