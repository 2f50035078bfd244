"""The names, vectors and index of a collection, opened together, and what they say of it."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similar_images.index import exact
from similar_images.index import index as indexes
from similar_images.index.exact import unit_blocks
from similar_images.index.index import Index
from similar_images.index.quality import PERCENTILES, percentiles, random_pairs
from similar_images.index.similarity import COSINE, Similarity, transform_all
from similar_images.inputs.names import compose
from similar_images.inputs.sources import Location
from similar_images.milvus.manifest import is_milvus, milvus_path
from similar_images.milvus.opening import check_content, open_milvus
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.store import Vectors, index_path, list_path

FEW = 100  # queries; fewer say nothing about what a collection has no match for
# Of 60 photographs of COCO, foreign to 1,515 of Caltech-101, these lines find 73% with the cosine, 68% centred and 65%
# whitened (EfficientNet-Lite0).
UNLIKE_TRANSFORMED = {"centred": 2, "whitened": 4}
SAME = 1 - 1e-5  # similarity; above it the vectors are those of the same pixels
UNLIKE = 1  # percent of a collection's own rows; a query further from its nearest hit than these has no close match


class Hit(NamedTuple):
    """One of the nearest rows of a query."""

    row: int
    name: str
    similarity: float  # -1 to 1, a cosine
    path: Location | None = (
        None  # as `Collection.path` gives it; None: the folder is unknown, the name leads out of it, or it is a text
    )
    percentile: float | None = None  # of random pairs that are less similar; None: the index does not know


class OpenCollection:
    """Names, vectors and index of one collection. Row i is line i."""

    noun: str  # what one row is: "image" or "text"

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError where there are no names, or where the index was not built from these vectors."""
        if vectors.names is None:
            raise ValueError(
                f"there is no list of names for {vectors.path}: save it as {list_path(vectors.path)}, one name per line"
            )
        if index is not None:
            indexes.check_matches(index, vectors)
            if not index.is_local:
                check_content(index, vectors)
        self.vectors, self.index = vectors, index
        self.names: list[str] = vectors.names
        self._similarity: Similarity | None = None
        self._absent: list[int] = []  # removed from an index that this collection does not have

    def __len__(self) -> int:
        return len(self.names)

    @property
    def array(self) -> np.ndarray:
        """The vectors (n, d). Raises ValueError where only their index is there."""
        if self.vectors.array is None:
            raise ValueError(f"an exact search needs the vectors {self.vectors.path}: extract them first")
        return self.vectors.array

    @cached_property
    def compared(self) -> np.ndarray:
        """The vectors (n, c) that an exact search compares; with the cosine those of the network."""
        kept = self.index.vectors if self.index else None
        if kept is not None and not self.not_indexed:
            return kept
        return transform_all(self.array, self.similarity)

    @property
    def has_vectors(self) -> bool:
        """Whether the vectors are there, for an exact search and to re-rank the hits of the index."""
        return self.vectors.array is not None

    @property
    def network(self) -> NetworkDescription | None:
        """The network that made the vectors; None if unknown."""
        return self.vectors.network

    @property
    def recipe(self) -> str:
        """How a search works by default: the recipe of the index, or exact."""
        return self.index.recipe if self.index else "exact"

    @property
    def removed(self) -> list[int]:
        """The rows that were removed from the index; no search finds them."""
        return self.index.removed if self.index else self._absent

    @cached_property
    def _removed_mask(self) -> np.ndarray:
        """Which rows were removed, bool (n,)."""
        return exact.row_mask(self.removed, len(self))

    @property
    def not_indexed(self) -> int:
        """How many rows have a vector but are not in the index, so that only an exact search finds them."""
        if self.index is None:
            return 0
        return max(0, len(self) - self._left_out - self.index.ntotal)

    @cached_property
    def _left_out(self) -> int:
        """How many rows are not to be found: they were skipped or removed."""
        return len(self._skipped.union(self.removed))

    @cached_property
    def _skipped(self) -> frozenset[int]:
        """The rows without a vector."""
        if not self.has_vectors:
            return frozenset(row for row in range(len(self)) if self.was_skipped(row))
        built = self.index.manifest["vectors"] if self.index and self.index.manifest else {}
        without = (row for row in built.get("skipped", []) if not self.array[row].any())
        return frozenset([*without, *(entry.row for entry in self.vectors.skipped)])

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
        row = self._rows.get(name)
        if row is None and not name.isascii():  # accents that are composed here may be decomposed there
            row = self._composed_rows.get(compose(name))
        return row

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in reversed(list(enumerate(self.names)))}

    @cached_property
    def _composed_rows(self) -> dict[str, int]:
        return {compose(name): row for name, row in reversed(self._rows.items()) if not name.isascii()}

    def _check_row(self, row: int) -> None:
        """Raise IndexError for an unknown row."""
        if not 0 <= row < len(self):
            raise IndexError(f"expected a row from 0 to {len(self) - 1}, got {row}")

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return not self.array[row].any()

    def percentile(self, similarity: float) -> float | None:
        """Return the percentage of random pairs of this collection that are less similar; None if unknown."""
        known = self._similarities
        return float(np.interp(similarity, known["random_pairs"], known["percentiles"])) if known else None

    def is_like_nothing(self, hits: list[Hit]) -> bool:
        """Return whether the best hit is less similar than the best hits of 99% of the collection's own rows.

        With a similarity other than the cosine of 98% (centred) or 96% (whitened): it tells less of what is foreign.

        False if the index does not know, or if the collection is too small.
        """
        known = self._similarities
        if not known or not hits or not self.measured or self.measured["queries"] < FEW or hits[0].similarity >= SAME:
            return False
        percent = UNLIKE_TRANSFORMED.get(self.similarity.name, UNLIKE)
        return bool(hits[0].similarity < np.interp(percent, known["percentiles"], known["nearest"]))

    @cached_property
    def _similarities(self) -> dict[str, np.ndarray] | None:
        known = self.index.manifest.get("similarities") if self.index and self.index.manifest else None
        # as float: NumPy makes objects of whole numbers beyond 64 bits
        return (
            {key: np.array(known[key], float) for key in ("percentiles", "random_pairs", "nearest")} if known else None
        )

    def measure_percentiles(self) -> None:
        """Measure the similarities of random pairs, so that hits have percentiles without an index.

        Raises ValueError without vectors.
        """
        pairs = percentiles(random_pairs(self.compared, self.removed))
        self._similarities = {"percentiles": np.array(PERCENTILES, float), "random_pairs": np.array(pairs)}

    def _check_any_vector(self) -> None:
        """Raise ValueError if every row was skipped or removed."""
        if not self.has_vectors or any(not {*rows.tolist()} <= {*self.removed} for rows, _ in unit_blocks(self.array)):
            return
        raise ValueError(f"no {self.noun} of this collection has a vector: all {len(self)} were skipped or removed")

    @property
    def similarity(self) -> Similarity:
        """What the hits are ordered by: the similarity of the index, without one the cosine."""
        if self._similarity is not None:
            return self._similarity
        return self.index.similarity if self.index else COSINE

    def vector(self, row: int) -> np.ndarray:
        """Return the stored vector (d,) of a row. Raises IndexError, and ValueError for a skipped row."""
        self._check_row(row)
        vector = np.array(self.array[row], dtype=np.float32)
        if not vector.any():
            reasons = [entry.reason for entry in self.vectors.skipped if entry.row == row]
            raise ValueError(
                f"{self.names[row]} has no vector, it was skipped: {', '.join(reasons) or 'reason unknown'}"
            )
        return vector


def open_index(vectors: Path, index: str | Path | None) -> Index | None:
    """Open an index, by default the one beside the vectors if there is one: that of Faiss, else that in Milvus.

    Raises FileNotFoundError where a given one does not exist.
    """
    for path in [Path(index)] if index else [index_path(vectors), milvus_path(vectors)]:
        if path.is_file():
            return open_milvus(path) if is_milvus(path) else indexes.open_index(path)
    if index:
        raise FileNotFoundError(f"there is no index {index}: build it with similar-images build")
    return None
