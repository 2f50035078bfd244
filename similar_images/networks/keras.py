"""Networks in Keras: built or loaded, checked, and cut at the layer whose output is the vector.

Files are checked before Keras reads them; files with code are refused.
"""

import hashlib
import importlib
import json
import os
import sys
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError

import numpy as np
from joblib import cpu_count  # the cores that this process may use, by affinity and cgroup

from similar_images import forks
from similar_images.files import check_writeable, replace_file
from similar_images.networks import feature_map
from similar_images.networks.catalog import Network, NetworkUnavailable, has_gpu_device
from similar_images.networks.extras import need

# TensorFlow's log: errors only, and without a GPU no errors about GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu_device() else "3")

_importing = forks.new_lock()
_importing_process: int | None = None  # pid of the process that imported TensorFlow


class TensorFlow:
    """Computes a network with Keras on TensorFlow."""

    name = "tensorflow"

    def __init__(
        self,
        network: Network,
        model_file: Path | None = None,
        weights_file: Path | None = None,
        precision: str = "float32",
        threads: int | None = None,
    ):
        import_keras(threads, network.name)
        model = load_keras_model(network, model_file, weights_file)
        self.weights = digest_weights(model)
        self.model = model if precision == "float32" else convert_precision(model, precision)
        self._preprocess = preprocess_input(network)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        _check_process()
        own = pixels.astype(np.float32)  # preprocess_input writes into its argument
        return np.asarray(self.model.predict_on_batch(self._preprocess(own)), dtype=np.float32)

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 (b, r, c, d): see Encoder.positions."""
        _check_process()
        given = self._preprocess(pixels.astype(np.float32))
        return np.asarray(feature_map.cut_keras_model(self.model).predict_on_batch(given), dtype=np.float32)


def load_keras_model(network: Network, model_file: Path | None = None, weights_file: Path | None = None) -> Any:
    """Return the Keras model of a network up to the layer whose output is the vector; for the files see LoadOptions."""
    if model_file and model_file.exists():
        if weights_file:
            raise ValueError(f"{model_file} contains a whole network: omit --weights, or give a new file with -m")
        return _load_model(network, model_file)
    if model_file:
        if model_file.suffix not in (".h5", ".keras"):
            raise ValueError(f"expected a file ending in .h5 or .keras for the network (-m), got {model_file}")
        check_writeable(model_file)
    model = _build(network, model_file, weights_file)
    if model_file:
        with replace_file(model_file) as partial:
            model.save(partial)
    return model


def preprocess_input(network: Network) -> Callable[[Any], Any]:
    """Return Keras' function that scales float32 pixels for a network. The function may change its argument."""
    preprocess: Callable[[Any], Any] = _keras_module(network).preprocess_input
    return preprocess


def convert_precision(model: Any, precision: str) -> Any:
    """Return the model with computation in half precision; the weights stay in float32."""

    def half(layer: Any) -> Any:
        return layer.__class__.from_config(layer.get_config() | {"dtype": f"mixed_{precision}"})

    copy = import_keras().models.clone_model(model, clone_function=half)
    copy.set_weights(model.get_weights())
    return copy


def _build(network: Network, model_file: Path | None, weights_file: Path | None) -> Any:
    builder = str(network.keras).split(".")[1]
    build = getattr(_keras_module(network), builder)
    top: dict[str, Any] = {} if network.layer else {"include_top": False, "pooling": "avg"}
    top["input_shape"] = (network.side, network.side, 3)
    if weights_file is None:
        try:
            with redirect_stdout(sys.stderr):  # Keras draws its progress bar on stdout
                return _cut(build(weights="imagenet", **top), network)
        except Exception as error:  # Keras raises a bare Exception if a download fails
            if isinstance(error.__context__, HTTPError):
                error.__context__.close()  # and leaves the connection open
            raise NetworkUnavailable(_explain_download_error(network, model_file, error)) from error
    shapes = _shapes(weights_file)
    model = build(weights=None, **top)
    layers = "with its classifier" if network.layer else "without its classifier (include_top=False)"
    misfit = (
        f"{weights_file} does not fit {network.name}: expected weights of keras.applications.{network.keras} {layers}, "
        f"{len(model.weights)} arrays"
    )
    if Counter(tuple(one.shape) for one in model.weights) - shapes:  # Keras would warn of each layer
        raise ValueError(f"{misfit}, got {shapes.total()} arrays, of other shapes")
    try:
        model.load_weights(weights_file)
    except Exception as error:  # Keras and HDF5 raise anything if the file does not fit
        raise ValueError(f"{misfit}; {_first_line(error)}") from error
    return _cut(model, network)


def _shapes(file: Path) -> Counter[tuple[int, ...]]:
    """Return the number of arrays of each shape in a file of weights. Raises ValueError for another kind of file."""
    import h5py

    if file.suffix != ".h5":
        raise ValueError(f"expected weights in a file ending in .weights.h5 or .h5, got {file}")
    _check_hdf5(file)
    shapes: Counter[tuple[int, ...]] = Counter()
    with h5py.File(file) as content:
        content.visititems(lambda _, item: shapes.update([item.shape] if isinstance(item, h5py.Dataset) else []))
    return shapes


def _load_model(network: Network, file: Path) -> Any:
    _check_no_code(_architecture(file), file)
    keras = import_keras()
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras and HDF5 raise anything if the file is damaged
        raise ValueError(f"{file} cannot be loaded as a Keras network: {_first_line(error)}") from error
    model = _cut(model, network)
    shape, found = (None, network.side, network.side, 3), tuple(model.input_shape)
    if len(found) != 4 or any(size not in (None, expected) for size, expected in zip(found, shape, strict=True)):
        raise ValueError(f"{file} does not fit {network.name}: expected input {shape}, got {found}")
    output = tuple(model.output_shape)
    if output != (None, network.dimension):
        raise ValueError(
            f"{file} does not fit {network.name}: expected output {(None, network.dimension)}, got {output}"
        )
    return model


def _cut(model: Any, network: Network) -> Any:
    """Return the model up to the layer whose output is the vector."""
    names = [layer.name for layer in model.layers]
    if network.layer not in names or names[-1] == network.layer:
        return model
    return import_keras().Model(model.inputs, model.get_layer(network.layer).output)


def _architecture(file: Path) -> dict[str, Any]:
    """Return the description of a saved network's layers, without loading any."""
    if not file.is_file():
        raise ValueError(f"expected the file of a network, got the folder {file}")
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                config: dict[str, Any] = json.loads(archive.read("config.json"))
                return config
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file} is not a network saved by Keras: {_first_line(error)}") from error
    import h5py

    _check_hdf5(file)
    with h5py.File(file) as content:
        if "model_config" not in content.attrs:
            raise ValueError(f"{file} contains weights only: give it with --weights, not with -m")
        stored: dict[str, Any] = json.loads(content.attrs["model_config"])
        return stored


def _check_hdf5(file: Path) -> None:
    import h5py

    try:
        h5py.File(file).close()
    except OSError as error:
        raise ValueError(f"{file} is not an HDF5 file, or it is truncated: {_first_line(error)}") from error


def _check_no_code(architecture: object, file: Path) -> None:
    """Raise ValueError for layers that contain code (Lambda) or belong to other modules than Keras' own."""
    for part in _parts(architecture):
        kind, module = part.get("class_name"), part.get("module")
        if kind in ("Lambda", "__lambda__"):
            raise ValueError(
                f"{file} is refused: its layer {kind} runs code from the file; save the network without it"
            )
        if kind and isinstance(module, str) and module.split(".")[0] not in ("keras", "builtins"):
            raise ValueError(f"{file} is refused: its part {kind} needs code from the module {module}")


def _parts(architecture: object) -> Iterator[dict[str, Any]]:
    stack = [architecture]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def digest_weights(model: Any) -> str:
    """Return a SHA-256 over the shapes and values of all weights, the same for every file format."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(str(weights.shape).encode())
        digest.update(np.ascontiguousarray(weights).data)
    return digest.hexdigest()


def _explain_download_error(network: Network, model_file: Path | None, error: Exception) -> str:
    return (
        f"the ImageNet weights of {network.name} (keras.applications.{network.keras}) are not available: the download "
        f"failed ({_first_line(error)}). Alternatives: (1) use --network efficientnetlite0, which needs no download; "
        f"(2) on a machine with internet access, run "
        f"`similar-images extract --network {network.name} -m {model_file or network.name + '.h5'} ...`, and copy "
        f"that file here for -m; (3) give your own weights with --weights FILE"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _keras_module(network: Network) -> Any:
    import_keras()
    return importlib.import_module(f"keras.applications.{str(network.keras).split('.')[0]}")


def sees_gpu() -> bool:
    """Return whether TensorFlow sees a GPU."""
    import_keras()
    import tensorflow

    return bool(tensorflow.config.list_physical_devices("GPU"))


def import_keras(threads: int | None = None, purpose: str = "Keras") -> ModuleType:
    """Return the module keras, completely imported; only the first call in a process sets the number of threads.

    Raises MissingExtra, saying that `purpose` needs it.
    """
    global _importing_process
    with _importing:  # a module is in sys.modules before it is complete
        if sys.modules.get("keras"):
            _check_process()
            return importlib.import_module("keras")  # waits for another thread's import of it
        with _silence_stderr():
            tensorflow = need("tensorflow", "keras", purpose)
            keras = need("keras", "keras", purpose)
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads or cpu_count())
            tensorflow.config.list_physical_devices()
        _importing_process = os.getpid()
        return keras


def _check_process() -> None:
    """Raise ValueError in a forked child of the process that imported TensorFlow, whose threads are gone there."""
    if _importing_process not in (None, os.getpid()):
        raise ValueError(
            "TensorFlow cannot compute in a forked process: start processes with multiprocessing's method spawn, or use "
            "--engine onnxruntime"
        )


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Suppress the output of native code on stderr, unless an error follows.

    TensorFlow logs some lines before it reads its log level. Only redirecting file descriptor 2 keeps them off the
    terminal. It belongs to all threads: with more than one thread the lines are shown.
    """
    if threading.active_count() > 1:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
