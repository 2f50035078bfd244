"""The table of networks: what turns the pixels of an image into a vector.

Shape letters: b images in a batch, d numbers in a vector.
"""

import hashlib
import importlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError

import numpy as np

from similar_images import hog_colour, images
from similar_images.files import check_writeable, replacing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's own chatter, not its errors


class Network(NamedTuple):
    name: str
    keras: str | None  # "module.Class" in keras.applications; None: needs no weights
    layer: str | None  # the layer whose output is the vector; None: the pooled last layer
    side: int  # pixels
    dimension: int
    resampling: str  # Pillow's filter that squeezes an image to (side, side)
    preprocessing: str  # what the network wants of RGB pixels from 0 to 255
    source: str

    @property
    def preprocess(self) -> str:
        """The name of what `preprocessing` describes: a function of Keras, or of this package."""
        return f"keras.applications.{self.keras.split('.')[0]}.preprocess_input" if self.keras else "none"


CAFFE = "BGR, the mean of ImageNet subtracted"
TF = "x / 127.5 - 1"
NONE = "none: the network scales its input itself"

# Resampling: nearest is what VGG16's vectors of 2022 were made with, and hog-colour averages over boxes. For the
# others benchmarks/resampling.py (1,515 photographs of Caltech-101, MobileNetV2) gave a precision@8 of 0.687 with
# nearest, 0.718 with bilinear and bicubic, 0.721 with lanczos: bilinear is within noise of the best, and faster.
NETWORKS = {
    network.name: network
    for network in (
        Network("vgg16", "vgg16.VGG16", "fc2", 224, 4096, "nearest", CAFFE, "Simonyan & Zisserman 2014"),
        Network("vgg19", "vgg19.VGG19", "fc2", 224, 4096, "bilinear", CAFFE, "Simonyan & Zisserman 2014"),
        Network("resnet50", "resnet.ResNet50", None, 224, 2048, "bilinear", CAFFE, "He et al. 2015"),
        Network("mobilenetv2", "mobilenet_v2.MobileNetV2", None, 224, 1280, "bilinear", TF, "Sandler et al. 2018"),
        Network("efficientnetb0", "efficientnet.EfficientNetB0", None, 224, 1280, "bilinear", NONE, "Tan & Le 2019"),
        Network(
            "efficientnetv2b0", "efficientnet_v2.EfficientNetV2B0", None, 224, 1280, "bilinear", NONE, "Tan & Le 2021"
        ),
        Network("convnexttiny", "convnext.ConvNeXtTiny", None, 224, 768, "bilinear", NONE, "Liu et al. 2022"),
        Network(
            "hog-colour", None, None, hog_colour.SIDE, hog_colour.DIMENSION, "box", NONE, "Dalal & Triggs 2005; colour"
        ),
    )
}


class NetworkUnavailable(OSError):
    """A network whose weights could not be had, with the ways on."""


class Encoder:
    """A network that is loaded and ready to encode images."""

    def __init__(self, network: Network, model=None, resampling: str | None = None):
        self.network = network
        self.resampling = resampling or network.resampling
        self._model = model
        self.description = describe(network, self.resampling, _digest(model) if model else None)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 vectors (b, d) for RGB uint8 pixels (b, side, side, 3)."""
        if self._model is None:
            return hog_colour.encode(pixels)
        preprocess_input = _keras_module(self.network).preprocess_input
        own = pixels.astype(np.float32)  # preprocess_input writes into its argument
        return np.asarray(self._model.predict_on_batch(preprocess_input(own)), dtype=np.float32)

    def encode_image(self, source: images.Source) -> np.ndarray:
        """Return the float32 vector (d,) of one image. Raises UnreadableImage."""
        return self.encode(images.read(source, self.network.side, self.resampling)[None])[0]


def describe(network: Network, resampling: str | None = None, weights: str | None = None) -> dict:
    """Return what a manifest keeps of a network: enough to encode a query as the collection was.

    `weights` is the SHA-256 over the network's weights, None where it has none or they are not known.
    """
    return {
        "name": network.name,
        "source": f"keras.applications.{network.keras}" if network.keras else "similar_images.hog_colour",
        "layer": network.layer or ("pooled" if network.keras else None),
        "dimension": network.dimension,
        "side": network.side,
        "resampling": resampling or network.resampling,
        "preprocessing": network.preprocess,
        "weights": weights,
    }


def same(one: dict, other: dict) -> bool:
    """Return whether two descriptions are of one network; weights count where both are known."""
    weights = {one["weights"], other["weights"]} - {None}
    return {**one, "weights": None} == {**other, "weights": None} and len(weights) <= 1


def load(
    name: str = "vgg16",
    model_file: Path | None = None,
    weights_file: Path | None = None,
    resampling: str | None = None,
) -> Encoder:
    """Load a network of the table.

    `model_file`: where the whole network is; one that does not exist is written, once it is loaded.
    `weights_file`: weights for it, as Keras saves them. With neither, ImageNet's weights are downloaded by
    Keras over https, checked against the sum it knows (of all but mobilenetv2), and kept in ~/.keras/models.
    Raises ValueError where a file does not fit the network, NetworkUnavailable where a download fails.
    """
    if name not in NETWORKS:
        raise ValueError(f"expected a network of {', '.join(NETWORKS)}, got {name}")
    network = NETWORKS[name]
    if network.keras is None:
        if model_file or weights_file:
            raise ValueError(f"{name} has no weights: leave -m and --weights out")
        return Encoder(network, resampling=resampling)
    if model_file and model_file.exists():
        if weights_file:
            raise ValueError(f"{model_file} holds a whole network: leave --weights out, or name a new file with -m")
        return Encoder(network, _load_model(network, model_file), resampling)
    if model_file:
        if model_file.suffix not in (".h5", ".keras"):
            raise ValueError(f"expected a file ending in .h5 or .keras for the network (-m), got {model_file}")
        check_writeable(model_file)
    model = _build(network, model_file, weights_file)
    if model_file:
        with replacing(model_file) as partial:
            model.save(partial)
    return Encoder(network, model, resampling)


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
    keras = _import_keras()
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
    return _import_keras().Model(model.inputs, model.get_layer(network.layer).output)


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


def _digest(model) -> str:
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
    _import_keras()
    return importlib.import_module(f"keras.applications.{network.keras.split('.')[0]}")


def _import_keras():
    if "keras" in sys.modules:
        return sys.modules["keras"]
    with _quiet():  # of GPUs that are not there
        import keras
        import tensorflow

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
