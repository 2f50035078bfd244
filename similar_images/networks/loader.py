"""Load a network with the fastest backend of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from similar_images.events import Progress, ignore
from similar_images.networks import hog_colour
from similar_images.networks.catalog import (
    LEGACY_NETWORK,
    NETWORKS,
    Backend,
    Encoder,
    Network,
    has_gpu_device,
    make_encoder,
)
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import is_hub_network

OPTIONS = {"model": "-m (model=)", "weights": "--weights (weights=)"}  # in the shell and in Python


@dataclass(frozen=True)
class LoadOptions:
    """Files and computation of a network; None: the default."""

    model_file: Path | None = None  # the whole network in Keras' format; saved there if it does not exist
    weights_file: Path | None = None  # weights in Keras' format
    resampling: str | None = None  # Pillow's filter
    engine: str | None = None  # one of catalog.ENGINES; None: the fastest
    precision: str = "float32"
    threads: int | None = None
    export: bool = True  # whether networks may be exported to ONNX, and downloaded from the hub


class HogColour:
    """Computes the network without weights."""

    name, weights = "scikit-image", None

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return hog_colour.encode(pixels)


def load(name: str = LEGACY_NETWORK, options: LoadOptions = LoadOptions(), progress: Progress = ignore) -> Encoder:
    """Load a network of the table, or of the hub: hf:OWNER/NAME, hf:OWNER/NAME@REVISION, or a folder of its form.

    Without files, Keras downloads the ImageNet weights over https, checks them against the sum it knows (except those
    of mobilenetv2), and keeps them in ~/.keras/models. `progress` gets notes on downloads and exports.
    Raises ValueError if a file does not exist or does not fit the network, or the machine lacks the precision,
    NetworkUnavailable if a download fails, MissingExtra if a package is not installed.
    """
    if is_hub_network(name):
        if options.weights_file or options.resampling or options.model_file:
            raise ValueError(f"{name} comes with its weights and resampling: omit -m, --weights and --resampling")
        from similar_images.networks import hub

        return hub.load(name, options.engine, options.precision, options.threads, options.export, progress)
    if name not in NETWORKS:
        raise ValueError(
            f"expected a network of {', '.join(NETWORKS)}, hf:OWNER/NAME or a folder with config.json, got {name}"
        )
    network = NETWORKS[name]
    _check_files(network, options)
    if network.has_weights:
        return make_encoder(network, _load_backend(network, options), options.resampling)
    if options.engine not in (None, HogColour.name) or options.precision != "float32":
        raise ValueError(f"{name} is computed by scikit-image, in float32: omit --engine and --precision")
    return make_encoder(network, HogColour(), options.resampling)


def _check_files(network: Network, options: LoadOptions) -> None:
    if network.keras is None and (options.model_file or options.weights_file):
        has = f"has its weights from the package {network.package}" if network.package else "has no weights"
        raise ValueError(f"{network.name} {has}: omit -m and --weights")
    if options.weights_file and not options.weights_file.is_file():
        raise ValueError(f"there is no file {options.weights_file} with weights: check --weights")


def _load_backend(network: Network, options: LoadOptions) -> Backend:
    """Load a network with weights: with TensorFlow, or as ONNX."""
    from similar_images.networks import efficientnet_lite, onnx

    files, engine = (options.model_file, options.weights_file), options.engine
    if engine not in (None, "tensorflow") and not network.exports:
        raise ValueError(f"{network.name} cannot be exported to ONNX: omit --engine, or use --engine tensorflow")
    if engine is None:
        engine = fastest_engine(network.name, options.precision)
        if network.keras and engine == "onnxruntime" and not (options.export or onnx.find_export(network, *files)):
            engine = "tensorflow"
    if network.keras and engine == "tensorflow":
        from similar_images.networks.keras import TensorFlow

        return TensorFlow(network, *files, options.precision, options.threads)
    if engine not in onnx.BACKENDS:
        engines = "tensorflow, " * bool(network.keras) + " or ".join(onnx.BACKENDS)
        raise ValueError(f"expected the engine of {network.name} to be {engines}, got {engine}")
    model = onnx.find_or_create_export(network, *files) if network.keras else efficientnet_lite.export(network)
    return onnx.BACKENDS[engine](model, options.precision, options.threads)


def is_here(description: NetworkDescription) -> bool:
    """Return whether a network loads without a download."""
    if description.name in NETWORKS:
        return NETWORKS[description.name].is_here
    from similar_images.networks import hub

    return hub.is_here(description)


def recorded_files(recorded: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Return the first existing file, by its kind, of the network files that a manifest in `folder` records.

    Raises FileNotFoundError, with the remedy, if none of them exists.
    """
    files = {kind: folder / recorded[kind] for kind in OPTIONS if kind in recorded}
    for kind, file in files.items():  # a model was saved from the weights; a model in the hub's form is a folder
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
