"""Query pipeline: encode, transform, search, re-rank, describe.

Shape letters: n rows, m rows that match a filter, q queries, d numbers of a vector, c of a transformed vector, k hits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.collection.columns import Where
from similar_images.collection.encoder import Query, QueryEncoder
from similar_images.collection.store import Store
from similar_images.index.backend import Searchable, find_ivf, is_better_exact, rerank_depth, search
from similar_images.index.exact import (
    MAX_EXACT_ELEMENTS,
    ExactSearch,
    ExactSubset,
    check_k,
    cosines,
    normalise,
    rank,
    row_mask,
    rows_except,
    unit_rows,
)
from similar_images.index.index import Index
from similar_images.index.manifest import Measurement
from similar_images.index.quality import PERCENTILES, percentiles, random_pairs
from similar_images.index.similarity import COSINE, SEED, Similarity, transform_all
from similar_images.inputs.sources import Location

# Of the mean of the negatives, subtracted from the mean of several positives, or from one: benchmarks/similarity.py.
NEGATIVE_SHARE, NEGATIVE_SHARE_OF_ONE = 0.5, 0.25
SAMPLE_ROWS = 1000  # for the spread of a query's similarities, and for the close matches of a subset
SAMPLE_ROWS_REMOTE = 200  # for a subset in another engine, which takes milliseconds each
MAX_SUBSETS = 2  # cached, each with a copy of a part of the index
MIN_MEASURED_QUERIES = 100  # fewer say nothing about close matches
SAME = 1 - 1e-5  # similarity; higher ones are of the same pixels
# Percent of a collection's own rows; a best hit less similar than the best hits of these is no close match. Of 60
# photographs of COCO, foreign to 1,515 of Caltech-101, they find 73% with the cosine, 68% centred, 65% whitened
# (EfficientNet-Lite0).
UNLIKE_PERCENTS = {"cosine": 1, "centred": 2, "whitened": 4}

MAX_WEIGHT = 1e9
MIN_NUMBER, MAX_NUMBER = 1e-15, 1e15  # float32 holds the squares of numbers between them

Found = tuple[np.ndarray, np.ndarray]  # similarities and rows (q, <= k), row -1: none


class Hit(NamedTuple):
    """One of the nearest rows of a query."""

    row: int
    name: str
    similarity: float  # -1 to 1, a cosine
    path: Location | None = None  # as `Collection.path` returns it; None: unknown, outside of the folder, or a text
    percentile: float | None = None  # percentage of less similar random pairs; None: unknown


@dataclass(frozen=True)
class SearchOptions:
    """The number of hits and how to find them."""

    k: int = 8
    exact: bool = False
    reranked: bool = True
    where: Where | None = None  # search matching rows only


class QueryPart(NamedTuple):
    """One of several combined queries."""

    unit: np.ndarray  # transformed, (c,)
    weight: float
    row: int | None  # in the collection
    is_words: bool


class KnownSimilarities(NamedTuple):
    """Similarities of random pairs, and of nearest neighbours, at percentiles."""

    percentiles: np.ndarray
    random_pairs: np.ndarray
    nearest: np.ndarray | None = None


class Searcher:
    """Searches a store with an index, or exactly by a similarity."""

    def __init__(
        self,
        store: Store,
        encoder: QueryEncoder[Any],
        index: Index | None = None,
        similarity: Similarity | None = None,
        removed: Sequence[int] = (),
    ):
        """`similarity` replaces the one of the index; `removed` rows count without an index only."""
        self.store, self.encoder, self.index, self.tried_similarity = store, encoder, index, similarity
        self.similarity = similarity or (index.similarity if index else COSINE)
        self._memmap = store.vectors.memmap  # None: there are only names
        self.removed: list[int] = sorted({*(index.removed if index else removed), *store.retired})  # or retired
        absent = index.manifest.absent if index and index.manifest else ()
        self.outdated = store.retired.difference(absent) if index else frozenset[int]()  # rows only the index finds
        self.recipe = index.recipe if index else "exact"
        self.reranked = index.reranked if index else 0  # hits of the index to rank by their exact similarity
        self._subsets: LRUCache[bytes, Subset] = LRUCache(MAX_SUBSETS)
        self.lock = forks.new_lock()
        known = index.manifest.similarities if index and index.manifest else None
        # as float: NumPy makes objects of whole numbers beyond 64 bits
        self.known = (
            KnownSimilarities(*(np.array(getattr(known, key), float) for key in KnownSimilarities._fields))
            if known
            else None
        )

    def nearest(self, query: Any, negatives: Sequence[Any], options: SearchOptions) -> list[Hit]:
        """Return up to k hits of a query, or of a list of queries, the most similar first."""
        unit, own_rows = self.combine(query, negatives)
        return self._search(unit, [own_rows], options, has_words(query, *negatives))[0]

    def nearest_many(self, queries: Sequence[Any] | np.ndarray, options: SearchOptions) -> list[list[Hit]]:
        """Return the hits of each query, in one search. Raises errors with the number of the query."""
        encoded = []
        for i, query in enumerate(queries):
            try:
                vector, row = self.encode(query)
                encoded.append((self._check_vector(vector), [] if row is None else [row], has_words(query)))
            except (ValueError, TypeError, IndexError) as error:
                raise type(error)(f"query {i}: {error}") from error
        hits: dict[int, list[Hit]] = {}
        for are_words in (False, True):
            group = [i for i, entry in enumerate(encoded) if entry[2] == are_words]
            if group:
                unit, own_rows = self.transform([encoded[i][0] for i in group]), [encoded[i][1] for i in group]
                hits |= zip(group, self._search(unit, own_rows, options, are_words), strict=True)
        return [hits[i] for i in range(len(queries))]

    def compare(self, query: Any, rows: Sequence[int], negatives: Sequence[Any]) -> list[Hit]:
        """Return rows, in this order, as hits of a query. Raises IndexError for an unknown row."""
        unit, _ = self.combine(query, negatives)
        for row in rows:
            self.check_row(row)
        if not len(rows):
            return []
        compared = np.array(rows, dtype=np.int64)
        similarities = cosines(self.compared, compared[None], unit)[0].clip(-1, 1)
        return self.describe(similarities, compared, not has_words(query, *negatives))

    def _search(
        self, unit: np.ndarray, own_rows: Sequence[list[int]], options: SearchOptions, are_words: bool
    ) -> list[list[Hit]]:
        """Return the hits of transformed unit vectors (q, c), without each query's own rows."""
        check_k(options.k)
        if are_words:  # the index, and the percentiles, were measured with images
            options = replace(options, exact=options.exact or self._memmap is not None)
        encodes_hits = self._encodes_hits(options)
        k = rerank_depth(options.k, self.reranked) if encodes_hits else options.k
        n = len(self.store.names)
        similarities, rows = self.find(unit, replace(options, k=min(k + max(map(len, own_rows)), n)))
        if options.where is None and not (rows >= 0).any():
            self.store.check_any_vector(self.removed)
        hits = []
        for vector, scores, found, own in zip(unit, similarities, rows, own_rows, strict=True):
            kept = [i for i, row in enumerate(found.tolist()) if 0 <= row < n and row not in own][:k]
            scores, found = scores[kept], found[kept]
            if encodes_hits and len(found):
                scores, found = self._rerank_encoded(vector, found)
            hits.append(self.describe(scores[: options.k], found[: options.k], not are_words))
        return hits

    def encode(self, query: Any) -> tuple[np.ndarray, int | None]:
        """Return the vector (d,) of a query, and its row if it is one of the collection."""
        if is_row(query):
            return self.vector(int(query)), int(query)
        if is_vector(query):
            return query, None
        if not isinstance(query, Query):
            query = self.encoder.encode(query)
        self.encoder.check(query.network)
        return query.vector, None

    def vector(self, row: int) -> np.ndarray:
        """Return the vector (d,) of a row. Raises IndexError, and ValueError for a skipped row."""
        self.check_row(row)
        name = self.store.names[row]
        if self._memmap is not None:
            vector = np.array(self._memmap[row], np.float32)
            if vector.any():
                return vector
        elif not self.store.was_skipped(row):
            return np.asarray(self.encoder.encode_names([name])[0])
        raise ValueError(f"{name} has no vector, it was skipped: {self.store.skip_reason(row)}")

    def check_row(self, row: int) -> None:
        """Raise IndexError for an unknown row."""
        if not 0 <= row < len(self.store.names):
            raise IndexError(f"expected a row from 0 to {len(self.store.names) - 1}, got {row}")

    def transform(self, vectors: Sequence[np.ndarray]) -> np.ndarray:
        """Return vectors (d,) as transformed unit vectors (q, c)."""
        return self.similarity.transform(normalise(np.stack([self._check_vector(vector) for vector in vectors])))

    @cached_property
    def _d(self) -> int:
        """The dimension of the network's vectors."""
        return self.index.d if self.index else self.store.array.shape[1]

    def _check_vector(self, vector: np.ndarray) -> np.ndarray:
        """Return a vector (d,) whose squares float32 holds; its length may change.

        Raises ValueError for another shape, for NaN and infinity, and for zeros.
        """
        if vector.ndim != 1:
            raise ValueError(
                f"expected one vector ({self._d},), got {vector.dtype} {vector.shape}: nearest_many takes several"
            )
        if vector.shape != (self._d,):
            raise ValueError(
                f"expected a vector of shape ({self._d},), made by {self.encoder.name}, got {vector.shape}"
            )
        if vector.dtype.kind not in "fiu":
            raise ValueError(f"expected a vector of numbers, got {vector.dtype}")
        if not (finite := np.isfinite(vector)).all():
            raise ValueError(f"expected a vector of numbers, got NaN or infinity at position {int(np.argmin(finite))}")
        largest = np.abs(vector).max()
        if largest == 0:
            raise ValueError("expected a vector with a direction, got zeros")
        return vector if MIN_NUMBER < largest < MAX_NUMBER else vector / largest

    def combine(self, query: Any, negatives: Sequence[Any]) -> tuple[np.ndarray, list[int]]:
        """Return a query, or the mean of several minus a share of the negatives' mean, (1, c), and its own rows.

        If words are among images, each counts by the spread of its similarities to the collection: words have a smaller
        spread, and would not count beside an image.
        """
        if not isinstance(query, list) and not len(negatives):
            vector, row = self.encode(query)
            return self.transform([vector]), [] if row is None else [row]
        positives = query if isinstance(query, list) else [query]
        if not positives:
            raise ValueError("expected at least one positive query, got none")
        parts = [[self._part(entry) for entry in entries] for entries in (positives, negatives)]
        if len({part.is_words for part in chain(*parts)}) > 1:
            parts = [[part._replace(weight=part.weight / self._spread(part.unit)) for part in some] for some in parts]
        wanted, unwanted = map(weighted_mean, parts)
        share = NEGATIVE_SHARE if len(positives) > 1 else NEGATIVE_SHARE_OF_ONE
        unit = normalise((wanted - share * unwanted)[None])
        if not unit.any():
            raise ValueError("expected positives and negatives that differ, got the same")
        return unit, [part.row for part in chain(*parts) if part.row is not None]

    def _part(self, entry: Any) -> QueryPart:
        query, weight = split_weight(entry)
        vector, row = self.encode(query)
        return QueryPart(self.transform([vector])[0], weight, row, has_words(query))

    def _spread(self, unit: np.ndarray) -> float:
        """Return the standard deviation of the similarities of a transformed unit vector (c,) to a sample of rows."""
        return max(float(np.std(self._sample @ unit)), 1e-6)

    @cached_property
    def _sample(self) -> np.ndarray:
        """Transformed unit vectors (b, c) of random rows."""
        rows = np.random.default_rng(SEED).permutation(rows_except(len(self.store), self.removed))[:SAMPLE_ROWS]
        return unit_rows(self.compared, np.sort(rows))[1]

    def find(self, unit: np.ndarray, options: SearchOptions) -> Found:
        """Return similarities and rows (q, <= k) for transformed unit vectors (q, c), re-ranked exactly."""
        if options.where is not None or self.outdated:
            where = np.ones(len(self.store), bool) if options.where is None else options.where
            return self.subset(where).search(unit, options)
        k, backend = options.k, self.index and self.index.backend
        if options.exact or backend is None or (options.reranked and self.is_better_exact(k, backend.ntotal)):
            return self.exact.search(unit, k, self.removed_mask)
        array = self.reranking if options.reranked else None
        found = search(backend, unit, min(k, backend.ntotal), array, self.reranked)
        if options.reranked and self._memmap is not None and (found[1] < 0).any():  # it does not reach all its rows
            return self.exact.search(unit, k, self.removed_mask)
        return found

    def is_better_exact(self, k: int, m: int) -> bool:
        """Return whether exact search of m rows is faster than the index, or the index cannot return k hits."""
        if self.index is None or self._memmap is None:
            return False
        return is_better_exact(k, self.reranked, m) or min(k, m) > self.index.backend.max_hits

    def _encodes_hits(self, options: SearchOptions) -> bool:
        """Return whether hits without stored vectors are encoded to re-rank them."""
        return self._memmap is None and options.reranked and self.reranked > 0 and not options.exact

    def _rerank_encoded(self, unit: np.ndarray, rows: np.ndarray) -> Found:
        names = [self.store.names[row] for row in rows.tolist()]
        encoded = self.similarity.transform(normalise(self.encoder.encode_names(names)))
        similarities, rows = rank((encoded @ unit)[None], rows[None], len(rows))
        return similarities[0], rows[0]

    def describe(self, similarities: Iterable[Any], rows: Iterable[Any], with_percentiles: bool = True) -> list[Hit]:
        """Return similarities and rows (k,) as hits."""
        scores, found = np.asarray(similarities, float), np.asarray(rows, np.int64).tolist()
        known, source = self.known if with_percentiles else None, self.store.source
        shares = np.interp(scores, known.random_pairs, known.percentiles).tolist() if known else [None] * len(found)
        names = [self.store.names[row] for row in found]
        paths = [source.join(name) if source else None for name in names]
        return list(map(Hit, found, names, scores.tolist(), paths, shares))

    @cached_property
    def compared(self) -> np.ndarray:
        """The vectors (n, c) that exact search compares."""
        kept = self.index.vectors if self.index else None
        if kept is not None and not self.not_indexed:
            return kept
        return transform_all(self.store.array, self.similarity)

    @property
    def reranking(self) -> np.ndarray | None:
        """The vectors (n, c) for re-ranking hits of the index, without rows that the index lacks; None: none."""
        kept = self.index.vectors if self.index else None
        return self.compared if kept is None and self._memmap is not None else kept

    @cached_property
    def exact(self) -> ExactSearch:
        return ExactSearch(self.compared)

    @cached_property
    def removed_mask(self) -> np.ndarray:
        return row_mask(self.removed, len(self.store))

    @cached_property
    def not_indexed(self) -> int:
        """Number of rows with a vector that the index lacks; only exact search finds them."""
        if self.index is None:
            return 0
        store = self.store
        if self._memmap is None:
            skipped = {row for row in range(len(store)) if store.was_skipped(row)}
        else:
            built = self.index.manifest.vectors.skipped if self.index.manifest else []
            skipped = {row for row in built if not self._memmap[row].any()}
            skipped |= {entry.row for entry in store.vectors.skipped}
        found = self.index.ntotal - len(self.outdated)
        return max(0, len(store) - len(skipped.union(self.removed)) - found)

    @property
    def measured(self) -> Measurement | None:
        """Measurements of the index when it was built or changed."""
        return self.index.manifest.measured if self.index and self.index.manifest else None

    def percentile(self, similarity: float) -> float | None:
        """Return the percentage of less similar random pairs; None if unknown."""
        return float(np.interp(similarity, self.known.random_pairs, self.known.percentiles)) if self.known else None

    def measure_percentiles(self) -> None:
        """Measure the similarities of random pairs. Raises ValueError without vectors."""
        pairs = percentiles(random_pairs(self.compared, self.removed))
        self.known = KnownSimilarities(np.array(PERCENTILES, float), np.array(pairs))

    @property
    def unlike_percent(self) -> int:
        return UNLIKE_PERCENTS[self.similarity.name]

    def has_no_close_match(self, hits: Sequence[Hit], where: Where | None = None) -> bool:
        """Return whether the best hit is less similar than the best hits of nearly all rows; False if unknown."""
        if not hits or hits[0].similarity >= SAME:
            return False
        close = self._close_similarity if where is None else self.subset(where).close_similarity
        return close is not None and hits[0].similarity < close

    @property
    def _close_similarity(self) -> float | None:
        """The similarity below which a best hit is no close match; None if unknown."""
        if self.known is None or self.known.nearest is None or self.measured is None:
            return None
        if self.measured.queries < MIN_MEASURED_QUERIES:
            return None
        return float(np.interp(self.unlike_percent, self.known.percentiles, self.known.nearest))

    def subset(self, where: Where) -> "Subset":
        """Return the rows that match, prepared once for many queries."""
        matching = self.store.matching(where)
        key = np.packbits(matching).tobytes()
        with self.lock:
            if key not in self._subsets:
                self._subsets[key] = Subset(self, matching, where)
            return self._subsets[key]


class Subset:
    """The rows that match a filter, and how they are searched."""

    def __init__(self, searcher: Searcher, matching: np.ndarray, where: Where):
        self._searcher, store, index = searcher, searcher.store, searcher.index
        self._matching = matching.copy()
        self._matching[searcher.removed] = False
        self._rows, self._absent = np.flatnonzero(self._matching), ~self._matching
        probes_all = not store.has_vectors
        self._are_few = store.has_vectors and len(self._rows) * self._c <= MAX_EXACT_ELEMENTS
        self.index: Searchable | None = None
        if index is not None and not index.is_local:
            conditions = store.columns.conditions(where) if isinstance(where, Mapping) else None
            if conditions is not None or not self._are_few:
                self.index = index.backend.restrict(self._matching, conditions, probes_all)
        elif index is not None and not self._are_few and (probes_all or find_ivf(index.backend) is not None):
            self.index = index.backend.restrict(self._matching, probe_all=probes_all)
        if self._are_few and self.index is None:
            self._few  # noqa: B018  # read now, not with the first query

    def search(self, unit: np.ndarray, options: SearchOptions) -> Found:
        """Return similarities and rows (q, <= k) for transformed unit vectors (q, c)."""
        k, searcher = options.k, self._searcher
        if self._are_few and (options.exact or self.index is None):
            return self._few.search(unit, k)
        is_better_exact = options.reranked and searcher.is_better_exact(k, len(self._rows))
        if self.index is not None and not options.exact and not is_better_exact:
            k = min(k, self.index.ntotal)
            if not k:
                return np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64)
            array = searcher.reranking if options.reranked else None
            found = search(self.index, unit, k, array, searcher.reranked)
            if not searcher.store.has_vectors or (found[1] >= 0).all():
                return found  # otherwise the probed lists hold less than k matching rows
        return searcher.exact.search(unit, k, self._absent)

    @cached_property
    def _few(self) -> ExactSubset:
        return ExactSubset(*self._unit_rows(self._rows))

    @cached_property
    def close_similarity(self) -> float | None:
        """The similarity below which a best hit is no close match; None if there are too few rows."""
        searcher = self._searcher
        if not searcher.store.has_vectors or len(self._rows) < MIN_MEASURED_QUERIES:
            return None
        count = SAMPLE_ROWS if searcher.index is None or searcher.index.is_local else SAMPLE_ROWS_REMOTE
        drawn = np.random.default_rng(SEED).permutation(self._rows)[:count]
        rows, unit = self._unit_rows(np.sort(drawn))
        if len(rows) < MIN_MEASURED_QUERIES:
            return None
        similarities, found = self.search(unit, SearchOptions(2, exact=self._are_few))
        nearest = np.where(found[:, 0] == rows, similarities[:, 1], similarities[:, 0])
        return float(np.percentile(nearest, searcher.unlike_percent))

    @property
    def _c(self) -> int:
        offset, store = self._searcher.similarity.offset, self._searcher.store
        if offset is not None:
            return len(offset)
        return store.array.shape[1] if store.has_vectors else 0

    def _unit_rows(self, rows: np.ndarray) -> Found:
        """Return the rows with a vector, and their transformed unit vectors (b, c)."""
        searcher = self._searcher
        kept = searcher.index.vectors if searcher.index else None
        if kept is not None and not searcher.not_indexed:
            return unit_rows(kept, rows)
        rows, unit = unit_rows(searcher.store.array, rows)
        return rows, searcher.similarity.transform(unit)


def is_row(query: object) -> TypeGuard[int | np.integer]:
    """Return whether a query is a row; True and False are none."""
    return isinstance(query, int | np.integer) and not isinstance(query, bool)


def is_vector(query: object) -> bool:
    """Return whether a query is an array of numbers, not the pixels of an image."""
    return isinstance(query, np.ndarray) and query.dtype != np.uint8 and query.ndim < 3


def has_words(*queries: Any) -> bool:
    """Return whether words are among queries, lists of them, and (query, weight)."""
    return any(
        query.words is not None if isinstance(query, Query) else isinstance(query, list | tuple) and has_words(*query)
        for query in queries
    )


def split_weight(entry: Any) -> tuple[Any, float]:
    """Return the query and the weight of an entry, a query or (query, weight).

    Raises ValueError for a weight of 0 or less, or above MAX_WEIGHT.
    """
    if not isinstance(entry, tuple) or isinstance(entry, Query):
        return entry, 1.0
    query, weight = entry
    if not (isinstance(weight, (int, float, np.number)) and 0 < weight <= MAX_WEIGHT):
        raise ValueError(f"expected a weight above 0 in (query, weight), at most {MAX_WEIGHT:g}, got {weight!s:.60}")
    return query, float(weight)


def weighted_mean(parts: Sequence[QueryPart]) -> np.ndarray:
    """Return the weighted mean (c,) of parts, 0 if there are none."""
    if not parts:
        return np.zeros(1, np.float32)
    largest = max(part.weight for part in parts)  # float32 would lose the smallest weights
    weights = [part.weight / largest for part in parts]
    return np.average([part.unit for part in parts], axis=0, weights=weights).astype(np.float32)
