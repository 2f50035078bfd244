"""Networks with random weights, saved as Keras saves them."""

from pathlib import Path

from similar_images.networks.catalog import Network
from similar_images.networks.keras import _keras_module, import_keras


def saved(network: Network, folder: Path) -> Path:
    """Save a network of the table with random weights, and return its file."""
    keras = import_keras()
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    build = getattr(_keras_module(network), network.keras.split(".")[1])
    top = {} if network.layer else {"include_top": False, "pooling": "avg"}
    model = build(weights=None, input_shape=(network.side, network.side, 3), **top)
    model.save(folder / f"{network.name}.keras")
    return folder / f"{network.name}.keras"
