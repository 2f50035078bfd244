"""Search only some rows: exactly where they are few, else by a copy of the index that holds nothing but them.

In such a copy other rows are not scanned at all. With a selector, which Faiss asks about rows while it searches, the
same probes take twice as long where a tenth of the rows matches, and as long where half does: benchmarks/filters.py.

Shape letters: n vectors in all, m of them searched, b queries, c numbers in a transformed vector, k hits.
"""

from typing import Any

import faiss
import numpy as np

from similar_images.index.engine import parameters
from similar_images.index.exact import ExactSearch
from similar_images.index.index import with_ids
from similar_images.index.parts import is_mapped

FEW = 2_000_000  # numbers; vectors with so many in all are compared exactly in the time that an index takes
# Times as many rows are scanned as without a filter: where they are spread over all lists, and where they fill some
# lists and others not at all, since they may all be far from a query.
PROBES = 2, 8


class FewRows:
    """Exact search over the unit vectors (m, c) of some rows int64 (m,), which are copied."""

    def __init__(self, rows: np.ndarray, unit: np.ndarray):
        self._rows, self._exact = rows, ExactSearch(unit)

    def search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) for unit vectors (b, c), equal similarities by row."""
        similarities, found = self._exact.search(unit, k)
        return similarities, self._rows[found]


def is_inverted(index: faiss.Index) -> bool:
    """Return whether an index has inverted lists, so that a copy of a part of it is searched in less time."""
    return _inverted(index) is not None


def only(index: faiss.Index, matching: np.ndarray, everywhere: bool = False) -> Any:
    """Return a copy of an index with the ids where `matching`, bool (n,), is true. With `everywhere` all lists are probed.

    Else as many lists are probed as hold PROBES times the rows that a search of the whole index scans. An index whose
    parts stay on disk is not copied: its rows are selected while it is searched.
    Raises ValueError where Faiss cannot remove from the index.
    """
    if is_mapped(index):
        return Selected(index, matching, everywhere)
    copy = with_ids(faiss.clone_index(index))  # without them Faiss would number the rest anew
    bits = np.packbits(matching, bitorder="little")
    try:
        copy.remove_ids(faiss.IDSelectorNot(faiss.IDSelectorBitmap(bits)))  # type: ignore[call-arg, arg-type]
    except RuntimeError as error:
        raise ValueError("an index of this recipe cannot be filtered: build it with another --recipe") from error
    if (inverted := _inverted(copy)) is not None:
        inverted.nprobe = inverted.nlist if everywhere else probes(index, copy)
    return copy


def probes(index: faiss.Index, copy: faiss.Index) -> int:
    """Return how many lists of a copy are probed that holds some rows of an index."""
    return _probes(_inverted(index), _sizes(index), _sizes(copy))


def _probes(inverted: Any, before: np.ndarray, after: np.ndarray) -> int:
    """Return the same for how many rows each list holds (l,), before and after."""
    share = after.sum() / max(1, before.sum())
    if share in (0, 1):
        return inverted.nprobe
    purity = (after**2 / np.maximum(before, 1)).sum() / after.sum()  # of the lists, as a row that is left sees them
    uneven = max(0.0, (purity - share) / (1 - share))
    times = PROBES[0] + uneven * (PROBES[1] - PROBES[0])
    return min(inverted.nlist, round(inverted.nprobe * times / share))


class Selected:
    """An index whose parts stay on disk, with the ids where `matching`, bool (n,), is true."""

    def __init__(self, index: faiss.Index, matching: np.ndarray, everywhere: bool):
        lists = _inverted(index)
        found = _matching_sizes(lists.invlists, matching)
        nprobe = lists.nlist if everywhere else _probes(lists, _sizes(index), found)
        self._bits = np.packbits(matching, bitorder="little")
        self._selector = faiss.IDSelectorBitmap(self._bits)  # type: ignore[call-arg, arg-type]
        self.lists = nprobe, lists.nlist
        self._index, self.metric_type = index, index.metric_type
        self.ntotal = self.most_hits = int(found.sum())

    def search(self, unit: np.ndarray, k: int, nprobe: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and rows (b, k) for vectors (b, c), row -1: none."""
        chosen = parameters(self._index, nprobe or self.lists[0], sel=self._selector)
        return self._index.search(unit, k, params=chosen)


def _matching_sizes(lists: Any, matching: np.ndarray) -> np.ndarray:
    """Return how many of the matching rows each inverted list holds."""
    counts = np.zeros(lists.nlist)
    for i in range(lists.nlist):
        if n := lists.list_size(i):
            ids = lists.get_ids(i)
            counts[i] = np.count_nonzero(matching[faiss.rev_swig_ptr(ids, n)])
            lists.release_ids(i, ids)
    return counts


def _inverted(index: faiss.Index) -> Any:
    """Return the part of an index that has inverted lists, faiss.IndexIVF; None if none has."""
    found = faiss.try_extract_index_ivf(index)
    return None if found is None else faiss.downcast_index(found)


def _sizes(index: faiss.Index) -> np.ndarray:
    """Return how many rows each inverted list holds."""
    lists = _inverted(index).invlists
    return np.array([lists.list_size(i) for i in range(lists.nlist)], float)
