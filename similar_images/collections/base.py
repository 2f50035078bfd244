"""What collections of images and of texts share: names, vectors and index, opened together and searched."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from similar_images.index import index as indexes
from similar_images.index.exact import ExactSearch
from similar_images.index.index import Index
from similar_images.inputs.sources import Source
from similar_images.networks import catalog
from similar_images.vectors.store import Vectors, index_path, list_path

FEW = 100  # queries; fewer say nothing about what a collection has no match for
UNLIKE = 1  # percent of a collection's own rows; a query further from its nearest hit than these has no close match


class Hit(NamedTuple):
    row: int
    name: str
    similarity: float  # cosine, -1 to 1


class Query(NamedTuple):
    """A vector (d,) with the description of the network that made it."""

    vector: np.ndarray
    network: dict


class Described(Protocol):
    """A loaded network that describes itself as the manifests do."""

    description: dict


E = TypeVar("E", bound=Described)


class BaseCollection(ABC, Generic[E]):
    """Names, vectors and index of one collection. Row i is line i."""

    noun: str  # what one row is: "image" or "text"
    accepts: str  # what `encode` takes
    source: Source | None = None  # the folder or archive of the images, if there are any and it is known

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError where there are no names, or where the index was not built from these vectors."""
        if vectors.names is None:
            raise ValueError(
                f"there is no list of names for {vectors.path}: save it as {list_path(vectors.path)}, one name per line"
            )
        if index is not None:
            indexes.check_matches(index, vectors)
        self.vectors, self.index = vectors, index
        self.names: list[str] = vectors.names
        self._loading = Lock()
        self._encoder: E | None = None

    @abstractmethod
    def encode(self, new: Any) -> Query:
        """Return the query of a new image or text. The first call loads the network."""

    @abstractmethod
    def _load(self) -> E:
        """Load the network that made the vectors."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def array(self) -> np.ndarray:
        """The vectors (n, d). Raises ValueError where only their index is there."""
        if self.vectors.array is None:
            raise ValueError(f"an exact search needs the vectors {self.vectors.path}: extract them first")
        return self.vectors.array

    @property
    def has_vectors(self) -> bool:
        """Whether the vectors are there, for an exact search and to re-rank the hits of the index."""
        return self.vectors.array is not None

    @property
    def network(self) -> dict | None:
        """The network that made the vectors, as catalog.describe gives it; None if unknown."""
        return self.vectors.network

    @property
    def recipe(self) -> str:
        """How a search works by default: the recipe of the index, or exact."""
        return self.index.recipe if self.index else "exact"

    @property
    def removed(self) -> list[int]:
        """The rows that were removed from the index; no search finds them."""
        return self.index.removed if self.index else []

    @property
    def not_indexed(self) -> int:
        """How many rows have a vector but are not in the index, so that only an exact search finds them."""
        if self.index is None:
            return 0
        left_out = len(self._skipped) + sum(row not in self._skipped for row in self.removed)
        return max(0, len(self) - left_out - self.index.faiss.ntotal)

    @cached_property
    def _skipped(self) -> frozenset[int]:
        """The rows without a vector."""
        if not self.has_vectors:
            return frozenset(row for row in range(len(self)) if self.was_skipped(row))
        return frozenset(entry.row for entry in self.vectors.skipped)

    @property
    def measured(self) -> dict | None:
        """What the index reached when it was built or changed: recall (at 10), its interval, milliseconds, bytes."""
        return self.index.manifest.get("measured") if self.index and self.index.manifest else None

    @property
    def recall(self) -> float | None:
        """The recall@10 of a default search, measured when the index was built; None if unknown."""
        return self.measured["recall" if self.has_vectors else "recall_alone"] if self.measured else None

    def row_named(self, name: str) -> int | None:
        """Return the row of a name, the first of several; None if it is not in the collection."""
        return self._rows.get(name)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in reversed(list(enumerate(self.names)))}

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return not self.array[row].any()

    def percentile(self, similarity: float) -> float | None:
        """Return the percentage of random pairs of this collection that are less similar; None if unknown."""
        known = self._similarities
        return float(np.interp(similarity, known["random_pairs"], known["percentiles"])) if known else None

    def is_like_nothing(self, hits: list[Hit]) -> bool:
        """Return whether the best hit is less similar than the best hits of 99% of the collection's own rows.

        False if the index does not know, or if the collection is too small.
        """
        known = self._similarities
        if not known or not hits or not self.measured or self.measured["queries"] < FEW:
            return False
        return bool(hits[0].similarity < np.interp(UNLIKE, known["percentiles"], known["nearest"]))

    @property
    def _similarities(self) -> dict[str, np.ndarray] | None:
        known = self.index.manifest.get("similarities") if self.index and self.index.manifest else None
        # as float: NumPy makes objects of whole numbers beyond 64 bits
        return (
            {key: np.array(known[key], float) for key in ("percentiles", "random_pairs", "nearest")} if known else None
        )

    @property
    def is_loaded(self) -> bool:
        """Whether the network for new queries is loaded."""
        return self._encoder is not None

    def load_network(self) -> None:
        """Load the network for new queries, once. Raises ValueError if it is not the one that made the vectors."""
        self._loaded()

    def _loaded(self) -> E:
        with self._loading:
            if self._encoder is None:
                encoder = self._load()
                self._check_network(encoder.description)
                self._encoder = encoder
            return self._encoder

    def vector(self, row: int) -> np.ndarray:
        """Return the stored vector (d,) of a row. Raises IndexError, and ValueError for a skipped row."""
        if not 0 <= row < len(self):
            raise IndexError(f"expected a row from 0 to {len(self) - 1}, got {row}")
        vector = np.array(self.array[row], dtype=np.float32)
        if not vector.any():
            reasons = [entry.reason for entry in self.vectors.skipped if entry.row == row]
            raise ValueError(
                f"{self.names[row]} has no vector, it was skipped: {', '.join(reasons) or 'reason unknown'}"
            )
        return vector

    def nearest(self, query: Any, k: int = 8, exact: bool = False, reranked: bool = True) -> list[Hit]:
        """Return up to k hits, the most similar first.

        A query is a row (which is then left out of the hits), something new as `encode` takes it, what `encode`
        returned, or a vector (d,) of floats. Hits of an approximate index are re-ranked with the exact vectors;
        `exact` compares with all vectors instead; with `reranked` False they stay as the index found them.
        Raises TypeError for any other query.
        """
        if k < 1:
            raise ValueError(f"expected k of at least 1, got {k}")
        if isinstance(query, (int, np.integer)):
            return self._search(self.vector(int(query)), k, exact, reranked, without=int(query))
        if isinstance(query, np.ndarray) and query.dtype != np.uint8:
            return self._search(query, k, exact, reranked)
        if not isinstance(query, Query):
            query = self.encode(query)
        self._check_network(query.network)
        return self._search(query.vector, k, exact, reranked)

    def _search(self, vector: np.ndarray, k: int, exact: bool, reranked: bool, without: int = -1) -> list[Hit]:
        unit = self._unit(vector)
        n = len(self)
        wanted = min(k + (without >= 0), n)
        if exact or self.index is None:
            similarities, rows = self.exact_search(unit, wanted)
        else:
            similarities, rows = self.index.search(unit, wanted, self.vectors.array if reranked else None)
        hits = [
            Hit(int(row), self.names[row], float(similarity))
            for similarity, row in zip(similarities[0], rows[0], strict=True)
            if row != without and 0 <= row < n
        ]
        return hits[:k]

    def exact_search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) of the nearest of all rows that are not removed, for unit vectors (b, d)."""
        return self._exact.search(unit, k, self.removed)

    @cached_property
    def _exact(self) -> ExactSearch:
        return ExactSearch(self.array)

    def _unit(self, vector: np.ndarray) -> np.ndarray:
        """Return a vector (d,) as a unit vector (1, d)."""
        d = self.index.faiss.d if self.index else self.array.shape[1]
        if vector.shape != (d,):
            raise ValueError(f"expected a vector of shape ({d},), made by {self._name()}, got {vector.shape}")
        try:
            unit = indexes.normalised(vector[None])
        except ValueError as error:
            raise ValueError(f"expected a vector of numbers, got NaN or infinity in {vector}") from error
        if not unit.any():
            raise ValueError("expected a vector with a direction, got zeros")
        return unit

    def _wrong(self, new: object) -> TypeError:
        """Return the error for a query of a type that `encode` does not take."""
        return TypeError(
            f"expected one query: {self.accepts}, a row or a vector (d,) in NumPy, got {type(new).__name__}"
        )

    def _check_network(self, network: dict) -> None:
        if self.network is not None and not catalog.same(self.network, network):
            keys = [key for key in network if network[key] != self.network.get(key)]
            raise ValueError(
                f"expected a query made by {self._name()}, as the collection was, got one of {network['name']}; "
                f"different: {', '.join(f'{key} {network[key]}, not {self.network.get(key)}' for key in keys)}"
            )

    def _name(self) -> str:
        return self.network["name"] if self.network else "the network of the collection"


def open_index(vectors: Path, index: str | Path | None) -> Index | None:
    """Open an index, by default the one beside the vectors if there is one.

    Raises FileNotFoundError where a given one does not exist.
    """
    path = Path(index) if index else index_path(vectors)
    if path.is_file():
        return indexes.open_index(path)
    if index:
        raise FileNotFoundError(f"there is no index {index}: build it with build_search_db.py")
    return None
