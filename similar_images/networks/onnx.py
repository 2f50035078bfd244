"""Networks exported to ONNX, and the backends that compute them without TensorFlow.

A process of its own exports a Keras network once and compares the vectors of both.
"""

import mmap
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from joblib import cpu_count  # the cores that this process may use, by affinity and cgroup

from similar_images.files import hold_lock, replace_file, sha256
from similar_images.networks import feature_map
from similar_images.networks.catalog import NETWORKS, Network
from similar_images.networks.extras import need
from similar_images.networks.telemetry import import_onnxruntime, import_openvino
from similar_images.records import read_record, write_record
from similar_images.spawn import hide_main

if TYPE_CHECKING:
    from tokenizers import Encoding

OPSET, IR = 18, 8  # of ONNX, from 2022: supported by tf2onnx and both runtimes
CHECKED_IMAGES = 8  # random images whose vectors by the export and by Keras are compared
MIN_COSINE = 0.9999  # between these vectors
INPUT, OUTPUT = "pixels", "vectors"
POSITIONS = "positions"  # optional output, float32 (b, r, c, d): the last feature map or the patches
Export = TypeVar("Export")
IDS, MASK = "input_ids", "attention_mask"  # inputs of a network for words, int64 (b, t)


class OnnxModel(NamedTuple):
    """A network in ONNX: RGB uint8 pixels (b, side, side, 3) in, float32 vectors (b, d) out."""

    content: Path | bytes
    weights: str  # SHA-256 over the weights

    @property
    def path(self) -> Path | None:
        """The file; None for a model in memory."""
        return self.content if isinstance(self.content, Path) else None


@dataclass(frozen=True, kw_only=True)
class OnnxManifest:
    """The manifest of an export."""

    FORMAT: ClassVar[str] = "similar-images onnx 1"
    network: str
    source: str | None  # SHA-256 of the file with the network; None: ImageNet weights, downloaded by Keras
    weights: str
    sha256: str  # of the export
    cosine: float | None = None  # smallest cosine between vectors of the export and of Keras


def make_model(graph: Any) -> bytes:
    """Return the ONNX model of a graph (onnx.GraphProto)."""
    from onnx import helper

    opset = helper.make_opsetid("", OPSET)
    model: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=IR).SerializeToString()
    return model


def check_contained(model: Path | bytes) -> None:
    """Raise ValueError if an ONNX model has a tensor in another file, since it could name any file of the user."""
    with _open_bytes(model) as content:
        if content.find(b"location") < 0:  # key before the name of another file
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
                raise ValueError(f"{name} keeps its weights in another file: choose a network in one file")
            continue
        for field, value in part.ListFields():
            if field.message_type is not None:
                parts += [value] if hasattr(value, "ListFields") else value


@contextmanager
def _open_bytes(model: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    """Yield the bytes of a model; a file, perhaps of hundreds of megabytes, is memory-mapped."""
    if isinstance(model, bytes) or model.stat().st_size == 0:
        yield model if isinstance(model, bytes) else b""
        return
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def open_session(model: Path | bytes, threads: int) -> Any:
    """Return a session of ONNX Runtime on the CPU. Raises ValueError if the model has tensors in another file."""
    check_contained(model)
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxRuntime:
    """Computes an exported network with ONNX Runtime, on the CPU."""

    name = "onnxruntime"

    def __init__(self, model: OnnxModel, precision: str = "float32", threads: int | None = None):
        if precision != "float32":
            raise ValueError(f"ONNX Runtime does not support {precision} on CPUs: use --engine openvino or tensorflow")
        self._threads = threads or cpu_count()
        self._session = open_session(model.content, self._threads)
        self._path = model.path
        self.weights = model.weights

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run([OUTPUT], {INPUT: pixels})[0])

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return feature_map.to_channels_last(self._with_positions.run([POSITIONS], {INPUT: pixels})[0])

    @cached_property
    def _with_positions(self) -> Any:
        """A session with positions as an output."""
        if self._path is None or POSITIONS in {one.name for one in self._session.get_outputs()}:
            return self._session
        return open_session(feature_map.cut_onnx_model(self._path, [INPUT], POSITIONS), self._threads)


def openvino_compiler(precision: str, threads: int = 0, extra: str = "openvino") -> Callable[[Path | bytes], Any]:
    """Return OpenVINO's function that compiles a model for the CPU; 0 threads: all cores.

    Raises MissingExtra, naming the extra that installs OpenVINO, ValueError if the processor lacks the precision.
    """
    core = import_openvino("--engine openvino", extra).Core()
    supported = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision != "float32" and {"bfloat16": "BF16", "float16": "FP16"}[precision] not in supported:
        raise ValueError(f"this processor does not support {precision}: omit --precision")
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    return lambda content: core.compile_model(core.read_model(content), "CPU", settings)


class OpenVino:
    """Computes an exported network with OpenVINO, on the CPU."""

    name = "openvino"

    def __init__(self, model: OnnxModel, precision: str = "float32", threads: int | None = None):
        self._compile = openvino_compiler(precision, threads or cpu_count())
        check_contained(model.content)
        self._model = self._compile(model.content)
        self._path = model.path
        self.weights = model.weights

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return np.array(self._model(pixels)[OUTPUT])  # a copy

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        return feature_map.to_channels_last(self._with_positions(pixels)[POSITIONS].copy())

    @cached_property
    def _with_positions(self) -> Any:
        """A model with positions as an output."""
        if self._path is None or POSITIONS in {name for one in self._model.outputs for name in one.get_names()}:
            return self._model
        return self._compile(feature_map.cut_onnx_model(self._path, [INPUT], POSITIONS))


BACKENDS: dict[str, type[OnnxRuntime] | type[OpenVino]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def find_or_create_export(network: Network, model_file: Path | None, weights_file: Path | None) -> OnnxModel:
    """Return the export of a network from these files; several processes may call this at once.

    Raises as loader.load does, and ValueError if the vectors of the export differ from Keras' vectors.
    """
    path = _export_path(network, model_file, weights_file)
    return create_once(
        path,
        lambda: find_export(network, model_file, weights_file),
        lambda: export_in_process(network.name, _export, network.name, model_file, weights_file, path),
    )


def create_once(path: Path, find: Callable[[], Export | None], create: Callable[[], Export]) -> Export:
    """Return the export at a path: the existing one, or a new one; several processes may call this at once."""
    if export := find():
        return export
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(path, wait=True):
        return find() or create()  # perhaps created by another process meanwhile


def export_in_process(name: str, export: Callable[..., Export], *arguments: object) -> Export:
    """Return the export of a network, made in a process of its own. Its memory, several times the network's, is freed with it.

    Raises OSError if the process is killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        with hide_main():
            exporting = process.submit(export, *arguments)
        try:
            return exporting.result()
        except BrokenProcessPool as error:
            raise OSError(
                f"the export of {name} was stopped, perhaps for lack of memory: choose a smaller network"
            ) from error


def find_export(network: Network, model_file: Path | None, weights_file: Path | None) -> OnnxModel | None:
    """Return the export of a network from these files; None if it is missing or damaged."""
    if model_file and not model_file.is_file():
        return None
    path = _export_path(network, model_file, weights_file)
    try:
        manifest = read_record(_manifest_path(path), OnnxManifest)
        expected = (network.name, _digest_source(model_file, weights_file), sha256(path))
    except (FileNotFoundError, ValueError):
        return None
    found = (manifest.network, manifest.source, manifest.sha256)
    return OnnxModel(path, manifest.weights) if found == expected else None


def _export_path(network: Network, model_file: Path | None, weights_file: Path | None) -> Path:
    """Return the path of the export: beside the model file, or in Keras' folder of downloads."""
    if model_file:
        return model_file.with_name(model_file.name + ".onnx")
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    source = sha256(weights_file)[:16] if weights_file else "imagenet"
    return home / "models" / f"{network.name}-{source}.onnx"


def _manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _digest_source(model_file: Path | None, weights_file: Path | None) -> str | None:
    """Return the SHA-256 of the file with the network; None for ImageNet weights, downloaded by Keras."""
    file = model_file or weights_file
    return sha256(file) if file else None


def _export(name: str, model_file: Path | None, weights_file: Path | None, path: Path) -> OnnxModel:
    """Write the export and its manifest. Raises ValueError if its vectors differ from Keras' vectors."""
    from similar_images.networks.keras import TensorFlow

    network = NETWORKS[name]
    tensorflow = TensorFlow(network, model_file, weights_file)
    with replace_file(path) as partial:
        _write(network, tensorflow.model, partial)
        pixels = random_pixels(CHECKED_IMAGES, (network.side, network.side, 3))
        exported = OnnxRuntime(OnnxModel(partial, tensorflow.weights))
        manifest = OnnxManifest(
            network=name,
            source=_digest_source(model_file, weights_file),
            weights=tensorflow.weights,
            sha256=sha256(partial),
            cosine=check_export(name, tensorflow(pixels), exported(pixels), "TensorFlow"),
        )
    write_record(_manifest_path(path), manifest)  # after the file: an older manifest has another checksum
    return OnnxModel(path, tensorflow.weights)


def to_tokens(encodings: "Sequence[Encoding]") -> dict[str, np.ndarray]:
    """Return the IDs and the masks of texts, int64 (b, t), by the names of a network's inputs."""
    tokens = {IDS: [one.ids for one in encodings], MASK: [one.attention_mask for one in encodings]}
    return {name: np.array(rows, dtype=np.int64) for name, rows in tokens.items()}


def random_pixels(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return images of random pixels, uint8 (count, height, width, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def check_export(network: str, expected: np.ndarray, exported: np.ndarray, source: str = "PyTorch") -> float:
    """Return the smallest cosine between vectors (b, d) of a network and its export.

    Raises ValueError if it is below MIN_COSINE.
    """
    cosine = min_cosine(expected, exported)
    if not cosine >= MIN_COSINE:
        remedy = "choose another network" if source == "PyTorch" else "use --engine tensorflow"
        raise ValueError(
            f"the ONNX export of {network} differs from the network: expected cosines with the vectors of {source} of "
            f"at least {MIN_COSINE}, got {cosine:.6f}; {remedy}"
        )
    return cosine


def _write(network: Network, model: Any, path: Path) -> None:
    """Write the network with its preprocessing as ONNX.

    During the conversion the weights are inputs, because tf2onnx would need many times their memory.
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

    @tensorflow.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
    def compute(pixels: Any, *weights: Any) -> dict[str, Any]:
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
    options = onnxruntime.SessionOptions()  # precomputes constants, without optimising for this machine
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def min_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the smallest cosine between rows of two arrays (n, d)."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())
