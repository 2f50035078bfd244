"""Load a network of the table, with the fastest backend for this machine."""

from pathlib import Path

import numpy as np

from similar_images.networks import hog_colour
from similar_images.networks.catalog import GPU_DEVICES, NETWORKS, Encoder


class HogColour:
    """The engine of the network that needs no weights."""

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
) -> Encoder:
    """Load a network of the table.

    `model_file`: where the whole network is; one that does not exist is written, once it is loaded.
    `weights_file`: weights for it, as Keras saves them. With neither, ImageNet's weights are downloaded by
    Keras over https, checked against the sum it knows (of all but mobilenetv2), and kept in ~/.keras/models.
    `engine`: one of ENGINES; by default TensorFlow where there is a GPU, else ONNX Runtime, of a network that was
    exported to ONNX already or, with `export`, is now.
    Raises ValueError where a file does not fit the network or the machine has no such precision,
    NetworkUnavailable where a download fails.
    """
    if name not in NETWORKS:
        raise ValueError(f"expected a network of {', '.join(NETWORKS)}, got {name}")
    network = NETWORKS[name]
    if network.keras is None:
        if model_file or weights_file:
            raise ValueError(f"{name} has no weights: leave -m and --weights out")
        if engine not in (None, HogColour.name) or precision != "float32":
            raise ValueError(f"{name} is computed by scikit-image, in float32: leave --engine and --precision out")
        return Encoder(network, HogColour(), resampling)
    from similar_images.networks import onnx

    if engine not in (None, "tensorflow") and not network.exports:
        raise ValueError(f"{name} cannot be exported to ONNX: leave --engine out, or pass --engine tensorflow")
    if engine is None:
        engine = fastest_engine(name, precision)
        if engine == "onnxruntime" and not export and not onnx.is_exported(network, model_file, weights_file):
            engine = "tensorflow"
    if engine == "tensorflow":
        from similar_images.networks import keras as keras_networks

        return Encoder(
            network, keras_networks.TensorFlow(network, model_file, weights_file, precision, threads), resampling
        )
    exported = onnx.exported(network, model_file, weights_file)
    return Encoder(network, onnx.RUNTIMES[engine](exported, precision, threads), resampling)


def fastest_engine(network: str, precision: str = "float32") -> str | None:
    """Return the fastest engine for a network of the table at a precision; None for one that needs no engine.

    benchmarks/extraction.py: on CPUs ONNX Runtime and OpenVINO are within 5% of each other in float32, the first with
    less memory; half precision only the second has.
    """
    if NETWORKS[network].keras is None:
        return None
    if has_gpu() or not NETWORKS[network].exports:
        return "tensorflow"
    return "onnxruntime" if precision == "float32" else "openvino"


def has_gpu() -> bool:
    """Return whether TensorFlow would compute on a GPU; TensorFlow is asked only where the machine has one."""
    if not any(Path(device).exists() for device in GPU_DEVICES):
        return False
    from similar_images.networks import keras as keras_networks

    return keras_networks.sees_gpu()
