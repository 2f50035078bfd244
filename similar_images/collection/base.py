"""What collections of images and of texts share: names, vectors and index, opened together and searched."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Generic, Protocol, Self, TypeGuard, TypeVar

import numpy as np

from similar_images import forks
from similar_images.collection.combined import WITH_WORDS, Part, Query, has_words, mean
from similar_images.collection.filtered import Subset, Where
from similar_images.collection.opened import Hit as Hit
from similar_images.collection.opened import open_index as open_index
from similar_images.collection.overview import OverviewedCollection
from similar_images.index.backend import search
from similar_images.index.exact import cosines, normalise, rows_except, unit_rows
from similar_images.index.index import Index
from similar_images.index.neighbours import check_k
from similar_images.index.similarity import SEED, Similarity, fit
from similar_images.inputs.texts import PROMPT_SLOT
from similar_images.networks.description import NetworkDescription, is_same_network
from similar_images.vectors.store import Vectors

# Of the mean of the negatives, subtracted from that of several positives, or from one: benchmarks/similarity.py.
SHARE, SHARE_OF_ONE = 0.5, 0.25
SMALLEST, LARGEST = 1e-15, 1e15  # numbers of a vector whose squares float32 holds
SAMPLE = 1000  # rows whose similarities say how much those of a query differ


class Described(Protocol):
    """A loaded network that describes itself as the manifests do."""

    description: NetworkDescription


E = TypeVar("E", bound=Described)


def is_row(query: object) -> TypeGuard[int | np.integer]:
    """Return whether a query is the number of a row; True and False are none."""
    return isinstance(query, int | np.integer) and not isinstance(query, bool)


def is_vector(query: object) -> bool:
    """Return whether a query is an array of numbers, and not the pixels of an image."""
    return isinstance(query, np.ndarray) and query.dtype != np.uint8 and query.ndim < 3


def _without_percentiles(hits: list[Hit]) -> list[Hit]:
    return [hit._replace(percentile=None) for hit in hits]


class BaseCollection(OverviewedCollection, ABC, Generic[E]):
    """A collection with the network that made it, which is loaded for the first new query."""

    accepts: str  # what `encode` takes

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError where there are no names, or where the index was not built from these vectors."""
        super().__init__(vectors, index)
        self._loading = forks.new_lock()
        self._encoder: E | None = None

    @abstractmethod
    def encode(self, new: Any) -> Query:
        """Return the query of a new image or text. The first call loads the network."""

    @abstractmethod
    def _load(self) -> E:
        """Load the network that made the vectors."""

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

    def with_similarity(self, name: str) -> Self:
        """Return the collection with an exact search by a similarity of SIMILARITIES, fitted on it now, and no index.

        Raises ValueError for another name.
        """
        return self.with_index(None, fit(self.array, name, self.removed))

    def with_index(self, index: Index | None, similarity: Similarity | None = None) -> Self:
        """Return the collection searched with another index of its vectors, or without one exactly by a similarity."""
        other = copy.copy(self)
        for cached in ("_exact", "compared", "_similarities", "_subsets", "_sampled", "_removed_mask", "_left_out"):
            other.__dict__.pop(cached, None)
        other.index, other._similarity, other._absent = index, similarity, self.removed
        return other

    def nearest(
        self,
        query: Any = None,
        k: int = 8,
        exact: bool = False,
        reranked: bool = True,
        negatives: Sequence[Any] = (),
        where: Where | None = None,
        text: str | Sequence[str] = (),
        prompt: str = PROMPT_SLOT,
    ) -> list[Hit]:
        """Return up to k hits, the most similar first.

        A query is a row, something new as `encode` takes it, what `encode` returned, or a vector (d,) of floats. A list
        of queries asks for what is like all of them, and unlike the `negatives`; an entry may be (query, weight). Rows
        are left out of their own hits. Hits of an approximate index are re-ranked with the exact vectors; `exact`
        compares with all vectors instead; with `reranked` False they stay as the index found them. With `where` only the
        rows that match are searched: see `matching`. `text` is words that hits are to show, beside the query or alone, for
        a network that reads words; with words the search is exact where the vectors are there. `prompt` says what else the
        network reads, such as "a photo of a {}".
        Raises TypeError for any other query, ValueError for a weight that is not positive, or a network without words.
        """
        words = [self.encode_text(one, prompt) for one in ([text] if isinstance(text, str) else text)]
        if words:
            given = query if isinstance(query, list) else [] if query is None else [query]
            query = [*given, *words] if len(given) + len(words) > 1 else words[0]
        unit, rows = self._unit_of(query, negatives)
        if not has_words(query, *negatives):
            return self._search(unit, k, exact, reranked, [rows], where)[0]
        exact = exact or self.has_vectors  # the index was measured with images, and so were the percentiles
        return _without_percentiles(self._search(unit, k, exact, reranked, [rows], where)[0])

    def encode_text(self, text: str, prompt: str = PROMPT_SLOT) -> Query:
        """Return the query of words, as `nearest` takes it also in a list. The first call loads the network.

        Raises ValueError if the network does not read words.
        """
        raise ValueError(f"{self._name()} does not read words: {WITH_WORDS}")

    def compare(self, query: Any, rows: Sequence[int], negatives: Sequence[Any] = ()) -> list[Hit]:
        """Return rows as hits of a query, as `nearest` takes it, in the order that they have.

        Raises ValueError where the vectors are missing, IndexError for an unknown row.
        """
        unit, _ = self._unit_of(query, negatives)
        if wrong := [row for row in rows if not 0 <= row < len(self)]:
            raise IndexError(f"expected rows from 0 to {len(self) - 1}, got {wrong[0]}")
        if not len(rows):
            return []
        asked = np.array(rows, dtype=np.int64)
        found = cosines(self.compared, asked[None], unit)[0]
        hits = self._hits(found.clip(-1, 1), asked, (), len(asked))
        return _without_percentiles(hits) if has_words(query, *negatives) else hits

    def nearest_many(
        self,
        queries: Sequence[Any] | np.ndarray,
        k: int = 8,
        exact: bool = False,
        reranked: bool = True,
        where: Where | None = None,
    ) -> list[list[Hit]]:
        """Return the hits of each query of a list, or of each vector of an array (q, d), in one search."""
        if isinstance(queries, np.ndarray) and queries.ndim != 2:
            raise ValueError(f"expected vectors (q, d) or a list of queries, got an array of shape {queries.shape}")
        if not len(queries):
            return []
        vectors, own = [], []
        for i, query in enumerate(queries):
            try:
                vector, row = self._vector_of(query)
                vectors.append(self._checked(vector))
            except (ValueError, TypeError, IndexError) as error:
                raise type(error)(f"query {i}: {error}") from error
            own.append([] if row is None else [row])
        hits: dict[int, list[Hit]] = {}
        for are_words in (False, True):
            some = [i for i, query in enumerate(queries) if has_words(query) == are_words]
            if some:
                unit, without = self._unit([vectors[i] for i in some]), [own[i] for i in some]
                found = self._search(unit, k, exact or (are_words and self.has_vectors), reranked, without, where)
                hits |= zip(some, map(_without_percentiles, found) if are_words else found, strict=True)
        return [hits[i] for i in range(len(queries))]

    def _unit_of(self, query: Any, negatives: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        """Return a query, with its negatives, as one transformed unit vector (1, c), and the rows that it is made of."""
        if isinstance(query, list) or len(negatives):
            return self._combined(query if isinstance(query, list) else [query], negatives)
        vector, row = self._vector_of(query)
        return self._unit([vector]), [] if row is None else [row]

    def _vector_of(self, query: Any) -> tuple[np.ndarray, int | None]:
        """Return the vector (d,) of a query, and its row if it is one of the collection."""
        if is_row(query):
            return self.vector(int(query)), int(query)
        if is_vector(query):
            return query, None
        if not isinstance(query, Query):
            query = self.encode(query)
        self._check_network(query.network)
        return query.vector, None

    def _combined(self, positives: Sequence[Any], negatives: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        """Return one query (1, c), the mean of the positives minus a share of that of the negatives, and their rows.

        Where words are among images, each counts by how much its similarities to the collection differ: those of words
        differ less, and would not be seen beside an image.
        """
        if not positives:
            raise ValueError("expected at least one positive query, got none")
        parts = [[self._part(entry) for entry in entries] for entries in (positives, negatives)]
        if len({part.is_words for part in chain(*parts)}) > 1:
            parts = [
                [part._replace(weight=part.weight / self._deviation(part.unit)) for part in some] for some in parts
            ]
        wanted, unwanted = map(mean, parts)
        share = SHARE if len(positives) > 1 else SHARE_OF_ONE
        unit = normalise((wanted - share * unwanted)[None])
        if not unit.any():
            raise ValueError("expected positives and negatives that differ, got the same")
        return unit, [part.row for part in chain(*parts) if part.row is not None]

    def _part(self, entry: Any) -> Part:
        """Return a query, or (query, weight), as a part of a combined one."""
        weighted = isinstance(entry, tuple) and not isinstance(entry, Query)
        query, weight = entry if weighted else (entry, 1.0)
        vector, row = self._vector_of(query)
        return Part.of(self._unit([vector])[0], weight, row, has_words(query))

    def _deviation(self, unit: np.ndarray) -> float:
        """Return the standard deviation of the similarities of a transformed unit vector (c,) to a sample of the rows."""
        return max(float(np.std(self._sampled @ unit)), 1e-6)

    @cached_property
    def _sampled(self) -> np.ndarray:
        """Transformed unit vectors (b, c) of random rows."""
        rows = np.random.default_rng(SEED).permutation(rows_except(len(self), self.removed))[:SAMPLE]
        return unit_rows(self.compared, np.sort(rows))[1]

    def _search(
        self,
        unit: np.ndarray,
        k: int,
        exact: bool,
        reranked: bool,
        without: list[list[int]],
        where: Where | None = None,
    ) -> list[list[Hit]]:
        """Return up to k hits of each transformed unit vector (q, c), but the rows that are its own."""
        check_k(k)
        n = len(self)
        subset = None if where is None else self._subset(where)
        similarities, rows = self._found(unit, min(k + max(map(len, without)), n), exact, reranked, subset)
        if subset is None and not (rows >= 0).any():
            self._check_any_vector()
        return [self._hits(*found, k) for found in zip(similarities, rows, without, strict=True)]

    def search(
        self, unit: np.ndarray, k: int, exact: bool = False, reranked: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) of the nearest rows for the network's unit vectors (b, d); row -1: none."""
        return self._found(self.similarity.transform(unit), k, exact, reranked)

    def exact_search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the same from a comparison with all rows that are not removed."""
        return self.search(unit, k, exact=True)

    def _found(
        self, unit: np.ndarray, k: int, exact: bool, reranked: bool, subset: Subset | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        if subset is not None:
            return subset.search(unit, k, exact, reranked)
        if exact or self.index is None or (reranked and self._is_better_exact(k, self.index.ntotal)):
            return self._exact.search(unit, k, self._removed_mask)
        array = self._reranking if reranked else None
        found = search(self.index.backend, unit, min(k, self.index.ntotal), array, self.index.reranked)
        if reranked and self.has_vectors and (found[1] < 0).any():  # the index does not reach all of its rows
            return self._exact.search(unit, k, self._removed_mask)
        return found

    def _unit(self, vectors: Sequence[np.ndarray]) -> np.ndarray:
        """Return vectors (d,) as transformed unit vectors (b, c)."""
        return self.similarity.transform(normalise(np.stack([self._checked(vector) for vector in vectors])))

    def _checked(self, vector: np.ndarray) -> np.ndarray:
        """Return a vector (d,) whose numbers float32 can hold; its length may change.

        Raises ValueError for another shape, for anything but finite numbers, and for zeros.
        """
        d = self.index.d if self.index else self.array.shape[1]
        if vector.ndim != 1:
            raise ValueError(
                f"expected one vector ({d},), got {vector.dtype} {vector.shape}: nearest_many takes several"
            )
        if vector.shape != (d,):
            raise ValueError(f"expected a vector of shape ({d},), made by {self._name()}, got {vector.shape}")
        if vector.dtype.kind not in "fiu":
            raise ValueError(f"expected a vector of numbers, got {vector.dtype}")
        if not (finite := np.isfinite(vector)).all():
            at = int(np.argmin(finite))
            raise ValueError(f"expected a vector of numbers, got NaN or infinity at position {at}")
        largest = np.abs(vector).max()
        if largest == 0:
            raise ValueError("expected a vector with a direction, got zeros")
        return vector if SMALLEST < largest < LARGEST else vector / largest

    def _wrong(self, new: object) -> TypeError:
        """Return the error for a query of a type that `encode` does not take."""
        return TypeError(
            f"expected one query: {self.accepts}, a row or a vector (d,) in NumPy, got {type(new).__name__}"
        )

    def _check_network(self, network: NetworkDescription) -> None:
        if self.network is not None and not is_same_network(self.network, network):
            differences = network.differences(self.network)
            raise ValueError(
                f"expected a query made by {self._name()}, as the collection was, got one of {network.name}; "
                f"different: {', '.join(f'{key} {new}, not {own}' for key, new, own in differences)}"
            )

    def _name(self) -> str:
        return self.network.name if self.network else "the network of the collection"
