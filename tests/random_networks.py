"""Networks with random weights in Keras' format."""

from pathlib import Path
from typing import Any

from similar_images.networks import loader
from similar_images.networks.catalog import Encoder, Network
from similar_images.networks.keras import _keras_module, import_keras
from similar_images.networks.loader import LoadOptions


def save_network(network: Network, folder: Path) -> Path:
    """Save a network of the table with random weights, and return its file."""
    keras = import_keras()
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    build = getattr(_keras_module(network), network.keras.split(".")[1])
    top = {} if network.layer else {"include_top": False, "pooling": "avg"}
    model = build(weights=None, input_shape=(network.side, network.side, 3), **top)
    model.save(folder / f"{network.name}.keras")
    return folder / f"{network.name}.keras"


def load(name: str, *files: Path | None, **options: Any) -> Encoder:
    """Load a network with these fields of LoadOptions."""
    return loader.load(name, LoadOptions(*files, **options))
