"""Networks exported to ONNX, and the runtimes that compute them without TensorFlow.

The export is made once, in a process of its own, from the very Keras network, and held against it.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import cpu_count  # of the cores that this process may use, by affinity and cgroup

from similar_images.files import read_json, replacing, sha256, write_json
from similar_images.networks import catalog
from similar_images.networks.catalog import Network

FORMAT = "similar-images onnx 1"
OPSET = 18  # of ONNX, from 2022: what tf2onnx and both runtimes know
CHECKED = 8  # images of noise on which the export is held against Keras
COSINE = 0.9999  # that each of their vectors must reach with Keras' own
INPUT, OUTPUT = "pixels", "vectors"


class Exported(NamedTuple):
    """A network in a file of ONNX: RGB uint8 pixels (b, side, side, 3) in, float32 vectors (b, d) out."""

    path: Path
    weights: str  # SHA-256, as catalog.describe has it


class OnnxRuntime:
    """A network as ONNX Runtime computes it, on the CPU."""

    name = "onnxruntime"

    def __init__(self, exported: Exported, precision: str = "float32", threads: int | None = None):
        import onnxruntime

        if precision != "float32":
            raise ValueError(f"ONNX Runtime has no {precision} on the CPU: choose --engine openvino or tensorflow")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cpu_count()
        self._session = onnxruntime.InferenceSession(exported.path, options, providers=["CPUExecutionProvider"])
        self.weights = exported.weights

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._session.run([OUTPUT], {INPUT: pixels})[0]


class OpenVino:
    """A network as OpenVINO computes it, on the CPU."""

    name = "openvino"

    def __init__(self, exported: Exported, precision: str = "float32", threads: int | None = None):
        import openvino

        core = openvino.Core()
        hint = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision != "float32" and {"bf16": "BF16", "f16": "FP16"}[hint] not in able:
            raise ValueError(f"this processor has no {precision}: leave --precision out")
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads or cpu_count(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._model = core.compile_model(core.read_model(exported.path), "CPU", settings)
        self.weights = exported.weights

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._model(pixels)[OUTPUT].copy()


RUNTIMES = {runtime.name: runtime for runtime in (OnnxRuntime, OpenVino)}


def exported(network: Network, model_file: Path | None, weights_file: Path | None) -> Exported:
    """Return the export of a network; it is made where there is none of these files.

    Raises as load.load does, and ValueError where the export does not compute what Keras computes.
    """
    path = _path(network, model_file, weights_file)
    known = _known(path, network, model_file, weights_file)
    if known is None:
        arguments = network.name, model_file, weights_file
        # TensorFlow and the export need several times the memory of the network: given back when the process ends.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            process.submit(_export, *arguments, path).result()
        known = _known(path, network, model_file, weights_file)
    return known


def is_exported(network: Network, model_file: Path | None, weights_file: Path | None) -> bool:
    """Return whether there is an export of a network from these files."""
    return _known(_path(network, model_file, weights_file), network, model_file, weights_file) is not None


def _path(network: Network, model_file: Path | None, weights_file: Path | None) -> Path:
    """Return where the export is: beside the model file, or where Keras keeps what it downloads."""
    if model_file:
        return model_file.with_name(model_file.name + ".onnx")
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    source = sha256(weights_file)[:16] if weights_file and weights_file.is_file() else "imagenet"
    return home / "models" / f"{network.name}-{source}.onnx"


def _manifest(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _known(path: Path, network: Network, model_file: Path | None, weights_file: Path | None) -> Exported | None:
    """Return what is at `path` where it is whole, and was made from this network and these files."""
    if not path.is_file() or not _manifest(path).is_file():
        return None
    try:
        manifest = read_json(_manifest(path), FORMAT)
    except ValueError:
        return None
    expected = {"network": network.name, "source": _source(model_file, weights_file), "sha256": sha256(path)}
    return Exported(path, manifest["weights"]) if expected.items() <= manifest.items() else None


def _source(model_file: Path | None, weights_file: Path | None) -> str | None:
    """Return the SHA-256 of the file that a network comes from; None: ImageNet's weights, by Keras."""
    file = model_file or weights_file
    return sha256(file) if file and file.is_file() else None


def _export(name: str, model_file: Path | None, weights_file: Path | None, path: Path) -> None:
    """Write the export and its manifest, once it computes what Keras computes."""
    from similar_images.networks import keras as keras_networks

    network = catalog.NETWORKS[name]
    keras = keras_networks.TensorFlow(network, model_file, weights_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        _write(network, keras.model, partial)
        exported = Exported(partial, keras.weights)
        pixels = np.random.default_rng(0).integers(0, 256, (CHECKED, network.side, network.side, 3), dtype=np.uint8)
        cosine = _least_cosine(keras(pixels), OnnxRuntime(exported)(pixels))
        if not cosine >= COSINE:
            raise ValueError(
                f"the ONNX export of {name} is not the network: expected cosines with Keras' vectors of at least "
                f"{COSINE}, got {cosine:.6f}; pass --engine tensorflow"
            )
        manifest = {
            "format": FORMAT,
            "network": name,
            "source": _source(model_file, weights_file),
            "weights": keras.weights,
            "sha256": sha256(partial),
            "cosine": cosine,
        }
        _manifest(path).unlink(missing_ok=True)
    write_json(_manifest(path), manifest)


def _write(network: Network, model, path: Path) -> None:
    """Write the network with its preprocessing as ONNX.

    The weights are inputs while tf2onnx works, whose memory would be many times theirs, and stored afterwards.
    """
    import onnx
    import onnxruntime
    import tensorflow
    import tf2onnx

    from similar_images.networks.keras import preprocess_input

    trainable = len(model.trainable_variables)
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    shape = (None, network.side, network.side, 3)
    signature = [
        tensorflow.TensorSpec(shape, tensorflow.uint8, name=INPUT),
        *(tensorflow.TensorSpec(one.shape, one.dtype, name=f"weight_{i}") for i, one in enumerate(variables)),
    ]

    @tensorflow.function(input_signature=signature, autograph=False)
    def compute(pixels, *weights):
        prepared = preprocess_input(network)(tensorflow.cast(pixels, tensorflow.float32))
        given, kept = list(weights[:trainable]), list(weights[trainable:])
        return {OUTPUT: model.stateless_call(given, kept, prepared, training=False)[0]}

    proto, _ = tf2onnx.convert.from_function(compute, signature, opset=OPSET)
    inputs = {entry.name: entry for entry in proto.graph.input}
    for i, variable in enumerate(variables):
        if f"weight_{i}" in inputs:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(variable.numpy(), f"weight_{i}"))
    del proto.graph.input[:]
    proto.graph.input.append(inputs[INPUT])
    options = onnxruntime.SessionOptions()  # folds what depends on weights alone, for any machine
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _least_cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())
