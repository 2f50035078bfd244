"""A collection of which only some rows are searched: those that a filter leaves.

Shape letters: n rows in all, m of them that match, b queries, c numbers in a transformed vector, k hits.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.collection.column_files import file_columns
from similar_images.collection.columns import Columns, name_columns
from similar_images.collection.opened import FEW, SAME, UNLIKE, UNLIKE_TRANSFORMED, Hit, OpenCollection
from similar_images.index.backend import find_ivf, is_better_exact, search
from similar_images.index.exact import MAX_EXACT_ELEMENTS, ExactSearch, ExactSubset, unit_rows
from similar_images.index.similarity import SEED
from similar_images.inputs.sources import Source
from similar_images.vectors.store import list_path

Where = Mapping[str, Any] | np.ndarray | Sequence[int]
SAMPLE = 1000  # rows of a subset whose nearest similarities say what has no close match in it
SAMPLE_ELSEWHERE = 200  # where another engine searches them: each takes milliseconds
KEPT = 2  # subsets, each with a copy of a part of the index


class FilteredCollection(OpenCollection):
    """What is known of every row, and which rows match it."""

    source: Source | None = None  # the folder or archive of the images, if there are any and it is known

    @cached_property
    def columns(self) -> Columns:
        """What is known of every row: a mapping of the names of columns to arrays (n,), read when it is first used.

        `name`, `folder` (of images), the columns of a table LIST.columns.csv or .parquet beside the list, and `date`
        and `camera` once they were read. Texts are str, "" where there is none. Whole numbers are int64 or uint64,
        masked if they are missing (`numpy.ma`); other numbers are floats or NaN, dates datetime64[s] or NaT, in UTC if
        they had a time zone. Warns of columns of other kinds, which are skipped. Raises ValueError, with the remedy, for
        a table that does not fit the names.
        """
        own = name_columns(self.names, folders=self.noun == "image")
        return Columns(own | file_columns(list_path(self.vectors.path), self.names))

    def matching(self, where: Where) -> np.ndarray:
        """Return which rows match, bool (n,).

        `where` maps columns to a value, a list of values (any of them), or a pair (low, high) of a range with both
        ends, either may be None. Of `name` a part is enough, in upper or lower case; a `folder` includes its
        subfolders; a date may be `datetime.date` or ISO such as "2019" or "2019-07-31", and stands for all of that
        year, month or day; a number is compared in the precision of its column; None, NaN and NaT match empty values.
        Or `where` is a bool array (n,), or rows.
        Raises ValueError for an unknown column or a value that does not fit, IndexError for an unknown row.
        """
        if isinstance(where, Mapping):
            return self.columns.matching(where)
        given, n = np.asarray(where), len(self)
        if given.dtype == bool:
            given = np.ma.filled(where, False) if isinstance(where, np.ma.MaskedArray) else given
            if given.shape != (n,):
                raise ValueError(f"expected a bool array of shape ({n},), got {given.shape}")
            return given
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise ValueError(
                f"expected where as a mapping of columns, a bool array ({n},) or rows, got {given.dtype} {given.shape}"
            )
        given = given.astype(np.int64)
        if given.size and not 0 <= given.min() <= given.max() < n:
            raise IndexError(f"expected rows from 0 to {n - 1}, got {given.min()} to {given.max()}")
        matching = np.zeros(n, bool)
        matching[given] = True
        return matching

    def is_like_nothing(self, hits: list[Hit], where: Where | None = None) -> bool:
        """Return whether the best hit is less similar than the best hits of 99% of the collection's own rows.

        With a similarity other than the cosine of 98% (centred) or 96% (whitened): it tells less of what is foreign.
        Of a search with `where`, only rows that match count, with their best hits among each other.

        False if the index does not know, or if the collection, or what matches, is too small.
        """
        if where is None:
            return super().is_like_nothing(hits)
        line = self._subset(where).unlike if hits and hits[0].similarity < SAME else None
        return line is not None and hits[0].similarity < line

    def _subset(self, where: Where) -> "Subset":
        matching = self.matching(where)
        key = np.packbits(matching).tobytes()
        subsets, lock = self._subsets
        with lock:
            if key not in subsets:
                subsets[key] = Subset(self, matching, where if isinstance(where, Mapping) else None)
            return subsets[key]

    def _hits(self, similarities: np.ndarray, rows: np.ndarray, without: Collection[int], k: int) -> list[Hit]:
        """Return up to k hits of found rows (any,), row -1: none, but those that are a query's own."""
        kept = [i for i, row in enumerate(rows.tolist()) if 0 <= row < len(self) and row not in without][:k]
        similarities, rows = similarities[kept], rows[kept]
        known = self._similarities
        percentiles = (
            np.interp(similarities, known["random_pairs"], known["percentiles"]).tolist()
            if known
            else [None] * len(kept)
        )
        joined = self.source.join if self.source else lambda name: None
        return [
            Hit(row, name, similarity, joined(name), percentile)
            for row, similarity, percentile in zip(rows.tolist(), similarities.tolist(), percentiles, strict=True)
            for name in (self.names[row],)
        ]

    def _is_better_exact(self, k: int, m: int) -> bool:
        """Return whether to search for k hits of m rows exactly: in less time, or since the index cannot give so many."""
        if self.index is None or not self.has_vectors:
            return False
        return is_better_exact(k, self.index.reranked, m) or min(k, m) > self.index.backend.max_hits

    @cached_property
    def _exact(self) -> ExactSearch:
        """An exact search over all rows."""
        return ExactSearch(self.compared)

    @property
    def _reranking(self) -> np.ndarray | None:
        """The vectors (n, c) that hits of the index are re-ranked with, which lack what the index lacks; None: none."""
        kept = self.index.vectors if self.index else None
        return self.compared if kept is None and self.has_vectors else kept

    @cached_property
    def _subsets(self) -> tuple[LRUCache, Lock]:
        return LRUCache(KEPT), forks.new_lock()


class Subset:
    """The rows of a collection that match, bool (n,), and how they are searched: prepared once for many queries."""

    def __init__(self, collection: FilteredCollection, matching: np.ndarray, where: Mapping[str, Any] | None = None):
        self._collection = collection
        self._matching = matching.copy()
        self._matching[collection.removed] = False
        self._rows, self._absent = np.flatnonzero(self._matching), ~self._matching
        index, probe_all = collection.index, not collection.has_vectors
        self._are_few = collection.has_vectors and len(self._rows) * self._c <= MAX_EXACT_ELEMENTS
        self._index: Any = None
        if index is not None and not index.is_local:
            if where is not None or not self._are_few:
                self._index = index.backend.restrict(self._matching, self._conditions(where), probe_all)
        elif index is not None and not self._are_few and (probe_all or find_ivf(index.backend) is not None):
            self._index = index.backend.restrict(self._matching, probe_all=probe_all)
        if self._are_few and self._index is None:
            self._few  # noqa: B018  # read now, not with the first query

    def search(self, unit: np.ndarray, k: int, exact: bool, reranked: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) for transformed unit vectors (b, c), row -1: none."""
        if self._are_few and (exact or self._index is None):
            return self._few.search(unit, k)
        collection = self._collection
        if self._index is not None and not exact and not (reranked and collection._is_better_exact(k, len(self._rows))):
            k = min(k, self._index.ntotal)
            if not k:
                return np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64)
            array = collection._reranking if reranked else None
            depth = collection.index.reranked if collection.index else 0
            found = search(self._index, unit, k, array, depth)
            if not collection.has_vectors or (found[1] >= 0).all():
                return found  # else the lists that were probed hold less than k that match
        return collection._exact.search(unit, k, self._absent)

    @cached_property
    def _few(self) -> ExactSubset:
        """The rows, if they are few, to be compared exactly."""
        return ExactSubset(*self._unit_of(self._rows))

    def _conditions(self, where: Mapping[str, Any] | None) -> dict[str, tuple[np.ndarray, tuple]] | None:
        """Return each column of a filter with its values (n,) and conditions, as an engine takes them."""
        if where is None:
            return None
        columns = self._collection.columns
        return {column: (columns[column], conditions) for column, conditions in columns.conditions(where).items()}

    @cached_property
    def unlike(self) -> float | None:
        """The similarity below which a query has no close match among these rows; None if they are too few to say."""
        if not self._collection.has_vectors or len(self._rows) < FEW:
            return None
        index = self._collection.index
        count = SAMPLE if index is None or index.is_local else SAMPLE_ELSEWHERE
        drawn = np.random.default_rng(SEED).permutation(self._rows)[:count]
        rows, unit = self._unit_of(np.sort(drawn))
        if len(rows) < FEW:
            return None
        similarities, found = self.search(unit, 2, exact=self._are_few, reranked=True)
        nearest = np.where(found[:, 0] == rows, similarities[:, 1], similarities[:, 0])
        return float(np.percentile(nearest, UNLIKE_TRANSFORMED.get(self._collection.similarity.name, UNLIKE)))

    @property
    def _c(self) -> int:
        offset = self._collection.similarity.offset
        if offset is not None:
            return len(offset)
        return self._collection.array.shape[1] if self._collection.has_vectors else 0

    def _unit_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return those of the rows that have a vector, and their transformed unit vectors (b, c)."""
        collection = self._collection
        kept = collection.index.vectors if collection.index else None
        if kept is not None and not collection.not_indexed:
            return unit_rows(kept, rows)
        rows, unit = unit_rows(collection.array, rows)
        return rows, collection.similarity.transform(unit)
