"""Networks as Keras has them: built, loaded, checked, cut at the layer that gives the vector.

Whatever comes from a file is checked before Keras sees it: code in it is refused.
"""

import hashlib
import importlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
from joblib import cpu_count  # of the cores that this process may use, by affinity and cgroup

from similar_images.files import check_writeable, replacing
from similar_images.networks.catalog import Network, NetworkUnavailable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's own chatter, not its errors


class TensorFlow:
    """A network as Keras computes it."""

    name = "tensorflow"

    def __init__(
        self,
        network: Network,
        model_file: Path | None = None,
        weights_file: Path | None = None,
        precision: str = "float32",
        threads: int | None = None,
    ):
        import_keras(threads)
        model = load(network, model_file, weights_file)
        self.weights = digest(model)
        self.model = model if precision == "float32" else at_precision(model, precision)
        self._preprocess = preprocess_input(network)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        own = pixels.astype(np.float32)  # preprocess_input writes into its argument
        return np.asarray(self.model.predict_on_batch(self._preprocess(own)), dtype=np.float32)


def load(network: Network, model_file: Path | None = None, weights_file: Path | None = None):
    """Return the Keras model of a network, up to the layer that gives the vector, as networks.load says."""
    if model_file and model_file.exists():
        if weights_file:
            raise ValueError(f"{model_file} holds a whole network: leave --weights out, or name a new file with -m")
        return _load_model(network, model_file)
    if model_file:
        if model_file.suffix not in (".h5", ".keras"):
            raise ValueError(f"expected a file ending in .h5 or .keras for the network (-m), got {model_file}")
        check_writeable(model_file)
    model = _build(network, model_file, weights_file)
    if model_file:
        with replacing(model_file) as partial:
            model.save(partial)
    return model


def preprocess_input(network: Network) -> Callable:
    """Return Keras' function that prepares float32 pixels from 0 to 255 for a network; it may change its argument."""
    return _keras_module(network).preprocess_input


def at_precision(model, precision: str):
    """Return the model with its layers computing at half precision, the weights kept in float32."""

    def half(layer):
        return layer.__class__.from_config(layer.get_config() | {"dtype": f"mixed_{precision}"})

    copy = import_keras().models.clone_model(model, clone_function=half)
    copy.set_weights(model.get_weights())
    return copy


def _build(network: Network, model_file: Path | None, weights_file: Path | None):
    _check_weights(weights_file)
    build = getattr(_keras_module(network), network.keras.split(".")[1])
    top = {} if network.layer else {"include_top": False, "pooling": "avg"}
    top["input_shape"] = (network.side, network.side, 3)
    if weights_file is None:
        try:
            with redirect_stdout(sys.stderr):  # Keras draws its progress bar on stdout
                return _cut(build(weights="imagenet", **top), network)
        except Exception as error:  # Keras raises a bare Exception for a download that fails
            if isinstance(error.__context__, HTTPError):
                error.__context__.close()  # and leaves the connection open
            raise NetworkUnavailable(_ways_on(network, model_file, error)) from error
    model = build(weights=None, **top)
    try:
        model.load_weights(weights_file)
    except Exception as error:  # whatever Keras or HDF5 stumbles over: the file does not fit
        layers = "with its classifier" if network.layer else "without its classifier (include_top=False)"
        raise ValueError(
            f"{weights_file} does not fit {network.name}: expected weights of keras.applications.{network.keras} "
            f"{layers}, {len(model.weights)} arrays; {_first_line(error)}"
        ) from error
    return _cut(model, network)


def _check_weights(file: Path | None) -> None:
    if file is None:
        return
    if not file.is_file():
        raise ValueError(f"there is no file {file} with weights")
    if file.suffix != ".h5":
        raise ValueError(f"expected weights in a file ending in .weights.h5 or .h5, got {file}")
    _check_hdf5(file)


def _load_model(network: Network, file: Path):
    _check_no_code(_architecture(file), file)
    keras = import_keras()
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file makes Keras and HDF5 raise anything
        raise ValueError(f"{file} cannot be loaded as a Keras network: {_first_line(error)}") from error
    model = _cut(model, network)
    wanted, found = (None, network.side, network.side, 3), tuple(model.input_shape)
    if len(found) != 4 or any(size not in (None, want) for size, want in zip(found, wanted, strict=True)):
        raise ValueError(f"{file} does not fit {network.name}: expected input {wanted}, got {found}")
    wanted, found = (None, network.dimension), tuple(model.output_shape)
    if found != wanted:
        raise ValueError(f"{file} does not fit {network.name}: expected output {wanted}, got {found}")
    return model


def _cut(model, network: Network):
    """Return the model up to the layer that gives the vector."""
    names = [layer.name for layer in model.layers]
    if network.layer not in names or names[-1] == network.layer:
        return model
    return import_keras().Model(model.inputs, model.get_layer(network.layer).output)


def _architecture(file: Path) -> dict:
    """Return a saved network's layers as Keras wrote them down, without loading any."""
    if not file.is_file():
        raise ValueError(f"expected the file of a network, got the folder {file}")
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                return json.loads(archive.read("config.json"))
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file} is not a network saved by Keras: {_first_line(error)}") from error
    import h5py

    _check_hdf5(file)
    with h5py.File(file) as content:
        if "model_config" not in content.attrs:
            raise ValueError(f"{file} holds weights only: pass it with --weights, not with -m")
        return json.loads(content.attrs["model_config"])


def _check_hdf5(file: Path) -> None:
    import h5py

    try:
        h5py.File(file).close()
    except OSError as error:
        raise ValueError(f"{file} is not an HDF5 file, or it is truncated: {_first_line(error)}") from error


def _check_no_code(architecture: object, file: Path) -> None:
    """Refuse layers that carry code (Lambda), or that come from modules other than Keras' own."""
    for part in _parts(architecture):
        kind, module = part.get("class_name"), part.get("module")
        if kind in ("Lambda", "__lambda__"):
            raise ValueError(f"{file} is refused: its layer {kind} runs code from the file; save it without")
        if kind and isinstance(module, str) and module.split(".")[0] not in ("keras", "builtins"):
            raise ValueError(f"{file} is refused: its part {kind} needs code from the module {module}")


def _parts(architecture: object) -> Iterator[dict]:
    stack = [architecture]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def digest(model) -> str:
    """Return a SHA-256 over the shapes and values of all weights, whatever file they came in."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(str(weights.shape).encode())
        digest.update(np.ascontiguousarray(weights))
    return digest.hexdigest()


def _ways_on(network: Network, model_file: Path | None, error: Exception) -> str:
    return (
        f"the ImageNet weights of {network.name} (keras.applications.{network.keras}) could not be downloaded: "
        f"{_first_line(error)}. Three ways on: on a machine with internet run "
        f"`./extract_image_vectors.py --network {network.name} -m {model_file or network.name + '.h5'} ...` and bring that file here "
        f"for -m; or give weights that you have with --weights FILE; or take the network that needs none, "
        f"--network hog-colour"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _keras_module(network: Network):
    import_keras()
    return importlib.import_module(f"keras.applications.{network.keras.split('.')[0]}")


def sees_gpu() -> bool:
    """Return whether TensorFlow sees a GPU."""
    import_keras()
    import tensorflow

    return bool(tensorflow.config.list_physical_devices("GPU"))


def import_keras(threads: int | None = None):
    """Return the module keras; the number of threads counts for the first call in a process."""
    if "keras" in sys.modules:
        return sys.modules["keras"]
    with _quiet():  # of GPUs that are not there
        import keras
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(threads or cpu_count())
        tensorflow.config.list_physical_devices()
        return keras


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what native code writes to stderr; it is shown where an error follows."""
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
