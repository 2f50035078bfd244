"""Networks exported to ONNX, and the backends that compute them without TensorFlow.

An export is created once, by a process of its own, from the Keras network, and checked against it.
"""

import mmap
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import cpu_count  # the cores that this process may use, by affinity and cgroup

from similar_images.files import hold_lock, mismatch, read_json, replace_file, sha256, write_json
from similar_images.networks import feature_map
from similar_images.networks.catalog import NETWORKS, Network
from similar_images.networks.extras import need
from similar_images.networks.telemetry import import_onnxruntime, import_openvino
from similar_images.spawn import hide_main

FORMAT = "similar-images onnx 1"
MANIFEST: dict[str, Any] = {"network": str, "source": str | None, "weights": str, "sha256": str}
OPSET, IR = 18, 8  # of ONNX, from 2022: supported by tf2onnx and both runtimes
CHECKED = 8  # images of noise; the vectors of the export and of Keras are compared
COSINE = 0.9999  # the least between a vector of the export and Keras'
INPUT, OUTPUT = "pixels", "vectors"
POSITIONS = "positions"  # a second output of some: float32 (b, r, c, d), the last feature map or the patches
IDS, MASK = "input_ids", "attention_mask"  # the inputs of a network for words, int64 (b, t)


class OnnxExport(NamedTuple):
    """A network in an ONNX file: RGB uint8 pixels (b, side, side, 3) in, float32 vectors (b, d) out."""

    path: Path
    weights: str  # SHA-256, see catalog.describe

    @property
    def model(self) -> Path:
        """What the backends read."""
        return self.path


class OnnxModel(NamedTuple):
    """The same in memory."""

    model: bytes
    weights: str


def model_of(graph: Any) -> bytes:
    """Return an ONNX model of a graph (onnx.GraphProto)."""
    from onnx import helper

    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR).SerializeToString()


def check_contained(model: Path | bytes) -> None:
    """Raise ValueError if an ONNX model has a tensor in another file: it could name any file of the user's."""
    with _bytes_of(model) as content:
        if content.find(b"location") < 0:  # the key before the name of such a file
            return
    import onnx

    parts: list[Any] = [
        onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model, load_external_data=False)
    ]
    while parts:  # the graph, graphs in its nodes, functions, training
        part = parts.pop()
        if isinstance(part, onnx.TensorProto):
            if part.external_data or part.data_location == onnx.TensorProto.EXTERNAL:
                name = "a model in memory" if isinstance(model, bytes) else model
                raise ValueError(f"{name} keeps its weights in another file, which is not read: choose another network")
            continue
        for field, value in part.ListFields():
            if field.message_type is not None:
                parts += [value] if hasattr(value, "ListFields") else value


@contextmanager
def _bytes_of(model: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    """Yield the bytes of a model, which may be of hundreds of megabytes, without reading all of them at once."""
    if isinstance(model, bytes) or model.stat().st_size == 0:
        yield model if isinstance(model, bytes) else b""
        return
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def open_session(model: Path | bytes, threads: int) -> Any:
    """Return ONNX Runtime's session of a model, on the CPU. Raises ValueError if it has tensors in another file."""
    check_contained(model)
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxRuntime:
    """Computes an exported network with ONNX Runtime, on the CPU."""

    name = "onnxruntime"

    def __init__(self, export: OnnxExport | OnnxModel, precision: str = "float32", threads: int | None = None):
        if precision != "float32":
            raise ValueError(f"ONNX Runtime does not support {precision} on CPUs: use --engine openvino or tensorflow")
        self._threads = threads or cpu_count()
        self._session = open_session(export.model, self._threads)
        self._path = export.model if isinstance(export.model, Path) else None
        self.weights = export.weights

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._session.run([OUTPUT], {INPUT: pixels})[0]

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return feature_map.channels_last(self._with_positions.run([POSITIONS], {INPUT: pixels})[0])

    @cached_property
    def _with_positions(self) -> Any:
        """The session that gives positions."""
        if self._path is None or POSITIONS in {one.name for one in self._session.get_outputs()}:
            return self._session
        return open_session(feature_map.of_file(self._path, [INPUT], POSITIONS), self._threads)


class OpenVino:
    """Computes an exported network with OpenVINO, on the CPU."""

    name = "openvino"

    def __init__(self, export: OnnxExport | OnnxModel, precision: str = "float32", threads: int | None = None):
        core = import_openvino("--engine openvino", "openvino").Core()
        hint = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
        supported = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision != "float32" and {"bf16": "BF16", "f16": "FP16"}[hint] not in supported:
            raise ValueError(f"this processor does not support {precision}: omit --precision")
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads or cpu_count(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled = lambda model: core.compile_model(core.read_model(model), "CPU", settings)
        check_contained(export.model)
        self._model = self._compiled(export.model)
        self._path = export.model if isinstance(export.model, Path) else None
        self.weights = export.weights

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self._model(pixels)[OUTPUT].copy()

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return feature_map.channels_last(self._with_positions(pixels)[POSITIONS].copy())

    @cached_property
    def _with_positions(self) -> Any:
        """The model that gives positions."""
        if self._path is None or POSITIONS in {name for one in self._model.outputs for name in one.get_names()}:
            return self._model
        return self._compiled(feature_map.of_file(self._path, [INPUT], POSITIONS))


BACKENDS: dict[str, type[OnnxRuntime] | type[OpenVino]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def find_or_create_export(network: Network, model_file: Path | None, weights_file: Path | None) -> OnnxExport:
    """Return the export of a network from these files; several processes may call this at once.

    Raises as loader.load does, and ValueError if the export does not compute the same vectors as Keras.
    """
    if export := find_export(network, model_file, weights_file):
        return export
    path = _path(network, model_file, weights_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(path, wait=True):
        if export := find_export(network, model_file, weights_file):  # created by another process meanwhile
            return export
        # TensorFlow and the export need several times the network's memory, which is freed when the process ends.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            with hide_main():
                exporting = process.submit(_export, network.name, model_file, weights_file, path)
            return exporting.result()


def find_export(network: Network, model_file: Path | None, weights_file: Path | None) -> OnnxExport | None:
    """Return the export of a network from these files; None if there is none, or it is damaged."""
    if model_file and not model_file.is_file():
        return None
    path = _path(network, model_file, weights_file)
    try:
        manifest = read_json(_manifest_path(path), FORMAT)
        if mismatch(manifest, MANIFEST):
            return None
        expected = {"network": network.name, "source": _source(model_file, weights_file), "sha256": sha256(path)}
    except (FileNotFoundError, ValueError):
        return None
    return OnnxExport(path, manifest["weights"]) if expected.items() <= manifest.items() else None


def is_exported(network: Network, model_file: Path | None, weights_file: Path | None) -> bool:
    """Return whether there is an export of a network from these files."""
    return find_export(network, model_file, weights_file) is not None


def _path(network: Network, model_file: Path | None, weights_file: Path | None) -> Path:
    """Return where the export is: beside the model file, or where Keras keeps its downloads."""
    if model_file:
        return model_file.with_name(model_file.name + ".onnx")
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    source = sha256(weights_file)[:16] if weights_file else "imagenet"
    return home / "models" / f"{network.name}-{source}.onnx"


def _manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _source(model_file: Path | None, weights_file: Path | None) -> str | None:
    """Return the SHA-256 of the file that a network comes from; None: ImageNet's weights, downloaded by Keras."""
    file = model_file or weights_file
    return sha256(file) if file else None


def _export(name: str, model_file: Path | None, weights_file: Path | None, path: Path) -> OnnxExport:
    """Write the export and its manifest, if it computes the same vectors as Keras."""
    from similar_images.networks.keras import TensorFlow

    network = NETWORKS[name]
    tensorflow = TensorFlow(network, model_file, weights_file)
    with replace_file(path) as partial:
        _write(network, tensorflow.model, partial)
        pixels = noise(CHECKED, (network.side, network.side, 3))
        exported = OnnxRuntime(OnnxExport(partial, tensorflow.weights))
        cosine = check_same(name, tensorflow(pixels), exported(pixels), "TensorFlow")
        manifest = {
            "format": FORMAT,
            "network": name,
            "source": _source(model_file, weights_file),
            "weights": tensorflow.weights,
            "sha256": sha256(partial),
            "cosine": cosine,
        }
    write_json(_manifest_path(path), manifest)  # until then, the manifest of an older file does not fit this one
    return OnnxExport(path, tensorflow.weights)


def noise(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return images of noise, uint8 (count, height, width, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def check_same(network: str, expected: np.ndarray, exported: np.ndarray, source: str = "PyTorch") -> float:
    """Return the least cosine between vectors (b, d) of a network and of its export. Raises ValueError below COSINE."""
    cosine = least_cosine(expected, exported)
    if not cosine >= COSINE:
        remedy = "choose another network" if source == "PyTorch" else "use --engine tensorflow"
        raise ValueError(
            f"the ONNX export of {network} differs from the network: expected cosines with the vectors of {source} of "
            f"at least {COSINE}, got {cosine:.6f}; {remedy}"
        )
    return cosine


def _write(network: Network, model: Any, path: Path) -> None:
    """Write the network with its preprocessing as ONNX.

    During tf2onnx's conversion the weights are inputs, since it would need many times their memory; they are stored
    afterwards.
    """
    onnxruntime = import_onnxruntime()  # before tf2onnx, which may import it
    purpose = f"the ONNX export of {network.name}"
    onnx, tf2onnx = need("onnx", "keras", purpose), need("tf2onnx", "keras", purpose)
    tensorflow = need("tensorflow", "keras", purpose)

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
    options = onnxruntime.SessionOptions()  # precomputes what depends on weights alone, for any machine
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def least_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the least cosine between rows of two arrays (n, d)."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())
