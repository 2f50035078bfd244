"""Two processes export the same network at once: one exports, the other waits and uses the result."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import hub_networks
import pytest
from conftest import ROOT

from similar_images.files import sha256
from similar_images.networks.catalog import NETWORKS

IMAGES = """
import sys; from pathlib import Path; from similar_images.networks.loader import LoadOptions, load
encoder = load("mobilenetv2", LoadOptions(weights_file=Path(sys.argv[1]), engine="onnxruntime"))
print(encoder.description.weights)
"""
HUB = """
import sys
from similar_images.networks import hub
print(hub.load(sys.argv[1], progress=lambda event: print(event.note)).encode_text("a cat").shape)
"""
TEXTS = """
import sys; from similar_images.networks import text, text_openvino
export = text_openvino._export
text_openvino._export = lambda *given: print("exported") or export(*given)
print(text.load_text_network(sys.argv[1], engine="openvino").encode_text("a cat").shape)
"""


def run_at_once(code: str, argument: Path, n: int = 2) -> list[str]:
    """Run the code in n processes at once; return their output."""
    command = [sys.executable, "-c", code, str(argument)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(n)]
    ended = [process.communicate(timeout=280) for process in started]
    assert [process.returncode for process in started] == [0] * n, ended
    return [shown for shown, _ in ended]


def test_image_network(mobilenet_file, tmp_path, monkeypatch):
    keras_home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    weights = tmp_path / "own.weights.h5"
    from similar_images.networks.keras import load_keras_model

    load_keras_model(NETWORKS["mobilenetv2"], mobilenet_file).save_weights(weights)
    first, second = run_at_once(IMAGES, weights)
    assert first == second
    export, manifest = sorted((keras_home / "models").iterdir())  # no lock and no partial file is left
    assert json.loads(manifest.read_text())["sha256"] == sha256(export)


def test_network_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shown = run_at_once(HUB, hub_networks.save("clip", tmp_path / "clip"))
    assert sorted(one.count("exporting") for one in shown) == [0, 1]
    assert all(one.endswith("(16,)\n") for one in shown)
    check_files(tmp_path, {"images.onnx", "words.onnx", "tokenizer.json", "network.json"})


def test_text_network(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")
    from similar_images.networks import text

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network = shutil.copytree(text._folder(text.DEFAULT), tmp_path / "copied")
    shown = run_at_once(TEXTS, network)
    assert sorted(shown) == ["(384,)\n", "exported\n(384,)\n"]
    check_files(tmp_path, {"manifest.json", "model.bin", "model.xml", "tokenizer.json"})


def check_files(tmp_path: Path, names: set[str]) -> None:
    """Check that the cache has the files of one export, without a lock or a partial folder."""
    (folder,) = (tmp_path / "cache" / "similar-images").iterdir()
    assert {path.name for path in folder.iterdir()} == names
