"""Two processes that export the same network at once: one exports, the other waits and uses the result."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from random_networks import saved

from similar_images.files import sha256
from similar_images.networks.catalog import NETWORKS

IMAGES = """
import sys; from pathlib import Path; from similar_images.networks import loader, onnx
encoder = loader.load("mobilenetv2", None, Path(sys.argv[1]), engine="onnxruntime")
print(encoder.description.weights)
"""
TEXTS = """
import sys; from similar_images.networks import text, text_openvino
export = text_openvino._export
text_openvino._export = lambda *given: print("exported") or export(*given)
print(text.load_text_network(sys.argv[1], engine="openvino").encode_text("a cat").shape)
"""


def at_once(code: str, argument: Path, n: int = 2) -> list[str]:
    """Run the code in n processes that start together; return what they print."""
    command = [sys.executable, "-c", code, str(argument)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(n)]
    ended = [process.communicate(timeout=280) for process in started]
    assert [process.returncode for process in started] == [0] * n, ended
    return [shown for shown, _ in ended]


def test_of_images(tmp_path, monkeypatch):
    keras_home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    model = saved(NETWORKS["mobilenetv2"], tmp_path)
    weights = tmp_path / "own.weights.h5"
    from similar_images.networks.keras import load_keras_model

    load_keras_model(NETWORKS["mobilenetv2"], model).save_weights(weights)
    first, second = at_once(IMAGES, weights)
    assert first == second
    export, manifest = sorted((keras_home / "models").iterdir())  # no lock and no partial file is left
    assert json.loads(manifest.read_text())["sha256"] == sha256(export)


def test_of_texts(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")
    from similar_images.networks import text

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network = shutil.copytree(text._folder(text.DEFAULT), tmp_path / "copied")
    shown = at_once(TEXTS, network)
    assert sorted(shown) == ["(384,)\n", "exported\n(384,)\n"]
    (folder,) = (tmp_path / "cache" / "similar-images").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "model.bin",
        "model.xml",
        "tokenizer.json",
    ]
