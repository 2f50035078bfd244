"""Queries and their encoder: the network of a collection, loaded for the first new query."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from similar_images import forks
from similar_images.networks.description import NetworkDescription, is_same_network

WORDS_REMEDY = (
    "make the collection with a network that does, such as `similar-images extract -d FOLDER --network "
    "hf:openai/clip-vit-base-patch32`"
)


class Query(NamedTuple):
    """A vector (d,) with the description of the network that made it."""

    vector: np.ndarray
    network: NetworkDescription
    words: str | None = None  # the text of a query for images by words


class Described(Protocol):
    """A loaded network with its description."""

    description: NetworkDescription


E = TypeVar("E", bound=Described)


class QueryEncoder(ABC, Generic[E]):
    """Encodes new queries with the network that made the vectors."""

    accepts: str  # the types that `encode` takes

    def __init__(self, network: NetworkDescription | None):
        self.network = network
        self._lock = forks.new_lock()
        self.loaded: E | None = None

    @abstractmethod
    def encode(self, new: Any) -> Query:
        """Return the query of a new image or text."""

    def encode_names(self, names: Sequence[str]) -> np.ndarray:
        """Return the vectors (b, d) of texts without stored vectors: their names are the texts themselves."""
        raise NotImplementedError

    @abstractmethod
    def _open(self) -> E:
        """Load the network that made the vectors."""

    @property
    def name(self) -> str:
        """The name of the network, for messages."""
        return self.network.name if self.network else "the network of the collection"

    def load(self) -> E:
        """Return the network, loaded once. Raises ValueError if another network made the vectors."""
        with self._lock:
            if self.loaded is None:
                opened = self._open()
                self.check(opened.description)
                self.loaded = opened
            return self.loaded

    def check(self, network: NetworkDescription) -> None:
        """Raise ValueError, with the differences, unless this network made the vectors."""
        if self.network is not None and not is_same_network(self.network, network):
            differences = network.differences(self.network)
            raise ValueError(
                f"expected a query made by {self.name}, as the collection was, got one of {network.name}; "
                f"different: {', '.join(f'{key} {new}, not {own}' for key, new, own in differences)}"
            )

    def type_error(self, new: object) -> TypeError:
        """Return the error for a query of a type that `encode` does not take."""
        return TypeError(
            f"expected one query: {self.accepts}, a row or a vector (d,) in NumPy, got {type(new).__name__}"
        )
