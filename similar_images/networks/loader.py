"""Load a network of the table with the fastest backend for this machine."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from similar_images.networks import hog_colour
from similar_images.networks.catalog import NETWORKS, Encoder, encoder_of, has_gpu_device
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import Tell, is_hub_network

OPTIONS = {"model": "-m (model=)", "weights": "--weights (weights=)"}  # in the shell and in Python


class HogColour:
    """The backend of the network that needs no weights."""

    name, weights = "scikit-image", None

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return hog_colour.encode(pixels)


def load(
    name: str = "vgg16",
    model_file: Path | None = None,
    weights_file: Path | None = None,
    resampling: str | None = None,
    engine: str | None = None,
    precision: str = "float32",
    threads: int | None = None,
    export: bool = True,
    tell: Tell = lambda sentence: None,
) -> Encoder:
    """Load a network of the table, or of the hub: hf:OWNER/NAME, hf:OWNER/NAME@REVISION, or a folder of its form.

    `model_file`: the file of the whole network; if it does not exist, the network is saved there.
    `weights_file`: weights for it, as Keras saves them. Without either file, Keras downloads ImageNet's weights over
    https, checks them against the sum it knows (except mobilenetv2's), and keeps them in ~/.keras/models.
    `engine`: one of ENGINES. The default is TensorFlow if there is a GPU, else ONNX Runtime, which needs an export of
    the network: an existing one, or with `export` a new one.
    A network of the hub is downloaded only with `export`; `tell` gets what is done, and how large it is, before.
    Raises ValueError if a file does not exist or does not fit the network, or the machine lacks the precision,
    NetworkUnavailable if a download fails, MissingExtra if a package is not installed.
    """
    if is_hub_network(name):
        if weights_file or resampling or model_file:
            raise ValueError(f"{name} has its weights and resampling with it: omit -m, --weights and --resampling")
        from similar_images.networks import hub

        return hub.load(name, engine, precision, threads, download=export, tell=tell)
    if name not in NETWORKS:
        raise ValueError(
            f"expected a network of {', '.join(NETWORKS)}, hf:OWNER/NAME or a folder with config.json, got {name}"
        )
    network = NETWORKS[name]
    if network.keras is None and (model_file or weights_file):
        has = f"has its weights from the package {network.package}" if network.package else "has no weights"
        raise ValueError(f"{name} {has}: omit -m and --weights")
    if not network.has_weights:
        if engine not in (None, HogColour.name) or precision != "float32":
            raise ValueError(f"{name} is computed by scikit-image, in float32: omit --engine and --precision")
        return encoder_of(network, HogColour(), resampling)
    if weights_file and not weights_file.is_file():
        raise ValueError(f"there is no file {weights_file} with weights: check --weights")
    from similar_images.networks import efficientnet_lite, onnx

    if network.package:
        engine = engine or fastest_engine(name, precision)
        if engine not in onnx.BACKENDS:
            raise ValueError(f"expected the engine of {name} to be {' or '.join(onnx.BACKENDS)}, got {engine}")
        return encoder_of(
            network, onnx.BACKENDS[engine](efficientnet_lite.export(network), precision, threads), resampling
        )
    if engine not in (None, "tensorflow") and not network.exports:
        raise ValueError(f"{name} cannot be exported to ONNX: omit --engine, or use --engine tensorflow")
    if engine is None:
        engine = fastest_engine(name, precision)
        if engine == "onnxruntime" and not export and not onnx.find_export(network, model_file, weights_file):
            engine = "tensorflow"
    if engine == "tensorflow":
        from similar_images.networks.keras import TensorFlow

        return encoder_of(network, TensorFlow(network, model_file, weights_file, precision, threads), resampling)
    if engine not in onnx.BACKENDS:
        raise ValueError(f"expected the engine of {name} to be tensorflow, {' or '.join(onnx.BACKENDS)}, got {engine}")
    exported = onnx.find_or_create_export(network, model_file, weights_file)
    return encoder_of(network, onnx.BACKENDS[engine](exported, precision, threads), resampling)


def is_here(description: NetworkDescription) -> bool:
    """Return whether the network of a manifest can be loaded without a download."""
    if description.name in NETWORKS:
        return NETWORKS[description.name].is_here
    from similar_images.networks import hub

    return hub.is_here(description)


def recorded_files(recorded: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Return the file that a network is loaded from: of those that a manifest in `folder` records, the first there.

    Raises FileNotFoundError, with the remedy, if none of them exists.
    """
    files = {kind: folder / recorded[kind] for kind in OPTIONS if kind in recorded}
    for kind, file in files.items():  # the model was saved from the weights; that of the hub's form is a folder
        if file.exists():
            return {kind: file}
    for kind, file in files.items():
        raise FileNotFoundError(
            f"{file}, the network of this collection, is missing: restore it, or give its new place with {OPTIONS[kind]}"
        )
    return {}


def fastest_engine(network: str, precision: str = "float32") -> str | None:
    """Return the fastest backend for a network at a precision; None if it has only one.

    benchmarks/extraction.py: on CPUs ONNX Runtime and OpenVINO are within 5% of each other in float32, and the former
    takes less memory; only the latter supports half precision.
    """
    if is_hub_network(network):
        from similar_images.networks import hub

        return hub.fastest_engine(precision)
    known = NETWORKS[network]
    if not known.has_weights:
        return None
    if known.keras and (has_gpu() or not known.exports):
        return "tensorflow"
    return "onnxruntime" if precision == "float32" else "openvino"


def has_gpu() -> bool:
    """Return whether TensorFlow would use a GPU; TensorFlow is imported only if the machine has one."""
    if not has_gpu_device() or find_spec("tensorflow") is None:
        return False
    from similar_images.networks.keras import sees_gpu

    return sees_gpu()
