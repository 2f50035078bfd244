"""Networks that several test files share."""

import pytest
from random_networks import load, save_network

from similar_images.networks.catalog import NETWORKS


@pytest.fixture(scope="session")
def mobilenet_file(tmp_path_factory):
    """MobileNetV2 with random weights in Keras' format, with its export to ONNX."""
    file = save_network(NETWORKS["mobilenetv2"], tmp_path_factory.mktemp("mobilenet"))
    load("mobilenetv2", file, engine="onnxruntime")
    return file


@pytest.fixture
def exports_here(monkeypatch):
    """Export networks of the hub in this process: their libraries are loaded already."""
    from similar_images.networks import hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # an export sets it
    monkeypatch.setattr(hub, "export_in_process", lambda name, export, *arguments: export(*arguments))
