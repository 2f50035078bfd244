"""Search backends: the protocol of a backend, Faiss with its files, and the search that re-ranks its hits.

Shape letters: n vectors in all, m matching, b queries, c numbers in a transformed vector, k hits.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import faiss
import numpy as np

from similar_images import forks
from similar_images.files import NoSpace, is_full
from similar_images.index.exact import ROUNDING, cosines, omp_threads, rank, take_columns

MEASURED_K = 10  # k of the measured recall; the query itself may be one more hit
# Share of an index' rows; an exact search is faster than re-ranking more: on 9,144 vectors of 1,280 numbers it takes
# as long as re-ranking 300, and less for 1,000 queries at once.
MAX_RERANKED_SHARE = 0.05
TIE_FACTOR = 4  # widens the search if more rows are tied than fit
MIN_LIMIT_BYTES = 64 * 2**20  # limit of an array in an index file; tables of small files may be larger than the file
# Factor on the scanned rows of a filtered search: matches spread over all lists, and matches that fill some lists only
# (all of them may be far from a query).
PROBE_FACTORS = 2, 8
_limits = forks.new_lock()  # Faiss' read limits belong to the whole process


class ColumnCondition(NamedTuple):
    """A condition on rows: a column has one of the alternatives, or, if it is negated, none of them."""

    column: str
    values: np.ndarray  # (n,)
    alternatives: tuple[Any, ...]
    is_negated: bool


class Searchable(Protocol):
    """Rows that some software searches by the inner product of unit vectors (n, c)."""

    @property
    def d(self) -> int:
        """Numbers in a vector, c."""

    @property
    def ntotal(self) -> int:
        """Number of vectors."""

    @property
    def bytes(self) -> int:
        """Memory or disk space of the index."""

    @property
    def lists(self) -> tuple[int, int]:
        """Numbers of inverted lists that a search probes and of all lists; (0, 0) without lists."""

    @property
    def max_hits(self) -> int:
        """The largest k of a search."""

    def search(self, unit: np.ndarray, k: int, nprobe: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities float32 (b, k) and rows int64 (b, k) for unit vectors (b, c); row -1: no hit.

        `nprobe` overrides the usual number of probed lists.
        """


class Backend(Searchable, Protocol):
    """A complete index, which can be restricted to some rows."""

    def restrict(
        self, matching: np.ndarray, conditions: Sequence[ColumnCondition] | None = None, probe_all: bool = False
    ) -> Searchable | None:
        """Return a backend with the rows whose `matching`, bool (n,), is true; None if it cannot search only these.

        `conditions` are the filter for backends with columns of their own. With `probe_all` all lists are searched.
        """


class FaissBackend:
    """A Faiss index."""

    def __init__(self, index: faiss.Index):
        self.index = index

    @property
    def d(self) -> int:
        return self.index.d

    @property
    def ntotal(self) -> int:
        return self.index.ntotal

    @property
    def max_hits(self) -> int:
        return self.index.ntotal

    @property
    def bytes(self) -> int:
        return index_bytes(self.index)

    @property
    def lists(self) -> tuple[int, int]:
        index = self.index
        inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
        return (inner.nprobe, inner.nlist) if isinstance(inner, faiss.IndexIVF) else (0, 0)

    def search(self, unit: np.ndarray, k: int, nprobe: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Search as Searchable.search does, a single query on one thread: more would wait for the network's threads."""
        with omp_threads(1) if len(unit) == 1 else nullcontext():
            params = self._search_parameters(nprobe)
            found, rows = self.index.search(unit, k, params=params) if params else self.index.search(unit, k)
        if self.index.metric_type == faiss.METRIC_L2:
            found = np.float32(1) - found / np.float32(2)  # unit vectors: |x - y|^2 = 2 - 2 cos
        return found, rows

    def restrict(
        self, matching: np.ndarray, conditions: Sequence[ColumnCondition] | None = None, probe_all: bool = False
    ) -> "FaissBackend":
        """Restrict as Backend.restrict does.

        The result is a copy without the other rows, so that a search does not scan them: with a selector the same probes take
        twice as long if a tenth of the rows matches, and as long if half does (benchmarks/filters.py). A memory-mapped
        index is not copied, but searched with a selector. Without `probe_all` the search probes as many lists as
        contain PROBE_FACTORS times the rows that an unfiltered search scans.
        Raises ValueError if Faiss cannot remove rows of this index.
        """
        if is_mapped(self.index):
            return SelectedRows(self.index, matching, probe_all)
        copy = with_ids(faiss.clone_index(self.index))  # without ids Faiss would renumber the rows
        bits = np.packbits(matching, bitorder="little")
        try:
            copy.remove_ids(faiss.IDSelectorNot(faiss.IDSelectorBitmap(bits)))  # type: ignore[call-arg, arg-type]
        except RuntimeError as error:
            raise ValueError("an index of this recipe cannot be filtered: build it with another --recipe") from error
        if (ivf := find_ivf(copy)) is not None:
            before = find_ivf(self.index)
            ivf.nprobe = ivf.nlist if probe_all else _filtered_nprobe(before, _list_sizes(before), _list_sizes(ivf))
        return FaissBackend(copy)

    def _search_parameters(self, nprobe: int | None, **options: Any) -> Any:
        if not nprobe:
            return None
        parameters: Any = faiss.SearchParametersIVF(nprobe=nprobe, **options)  # type: ignore[call-arg]
        if isinstance(self.index, faiss.IndexPreTransform):
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)  # type: ignore[call-arg]
        return parameters


class SelectedRows(FaissBackend):
    """A memory-mapped index whose searches select the rows with a true `matching`, bool (n,)."""

    def __init__(self, index: faiss.Index, matching: np.ndarray, probe_all: bool):
        super().__init__(index)
        ivf = find_ivf(index)
        sizes = _matching_sizes(ivf.invlists, matching)
        self._nprobe = ivf.nlist if probe_all else _filtered_nprobe(ivf, _list_sizes(ivf), sizes)
        self._nlist, self._n = ivf.nlist, int(sizes.sum())
        self._bits = np.packbits(matching, bitorder="little")
        self._selector = faiss.IDSelectorBitmap(self._bits)  # type: ignore[call-arg, arg-type]

    @property
    def ntotal(self) -> int:
        return self._n

    @property
    def max_hits(self) -> int:
        return self._n

    @property
    def lists(self) -> tuple[int, int]:
        return self._nprobe, self._nlist

    def _search_parameters(self, nprobe: int | None, **options: Any) -> Any:
        return super()._search_parameters(nprobe or self._nprobe, sel=self._selector)


def search(
    backend: Searchable, unit: np.ndarray, k: int, array: np.ndarray | None = None, reranked: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities float32 (b, k) and rows int64 (b, k) for transformed unit vectors (b, c); row -1: no hit.

    With vectors (n, c) in `array` the best hits, at least `reranked`, are ranked by their exact similarity. If
    `reranked` is 0, only hits of inverted lists are: their codes are coarse.
    """
    attempt, width, most = _search_raw, k + 1, backend.max_hits
    if array is not None and (reranked or find_ivf(backend) is not None):
        attempt, width = partial(_search_reranked, array=array), rerank_depth(k, reranked)
    width = max(k, min(width, most))
    nprobe = None if k <= MEASURED_K + 1 else _nprobe_for(backend, k)
    similarities, rows, is_cut = attempt(backend, unit, k, width, nprobe)
    if (rows[:, : min(k, most)] < 0).any() and nprobe != (nlist := backend.lists[1]):
        nprobe = nlist  # the probed lists contain fewer than k rows
        again = np.flatnonzero((rows < 0).any(axis=1))
        similarities[again], rows[again], is_cut[again] = attempt(backend, unit[again], k, width, nprobe)
    while is_cut.any() and width < most:  # more rows are tied than were requested: find the lowest
        width = min(TIE_FACTOR * width, most)
        again = np.flatnonzero(is_cut)
        similarities[again], rows[again], is_cut[again] = attempt(backend, unit[again], k, width, nprobe)
    return np.clip(similarities, -1, 1), rows


def rerank_depth(k: int, reranked: int) -> int:
    """Return the number of hits to re-rank for a recall@k equal to the recall@10 measured with `reranked`."""
    return max(reranked, 2 * k, ceil(reranked * (k - 1) / MEASURED_K))


def is_better_exact(k: int, reranked: int, n: int) -> bool:
    """Return whether an exact search of n rows takes less time than re-ranking for the same recall@k."""
    return k > MEASURED_K + 1 and rerank_depth(k, reranked) > MAX_RERANKED_SHARE * n


def find_ivf(index: Any) -> Any:
    """Return the inner faiss.IndexIVF of a Faiss index or backend; None if there is none."""
    index = index.index if isinstance(index, FaissBackend) else index
    found = faiss.try_extract_index_ivf(index) if isinstance(index, faiss.Index) else None
    return None if found is None else faiss.downcast_index(found)


def is_mapped(index: faiss.Index) -> bool:
    """Return whether the parts of an index stay on disk."""
    ivf = find_ivf(index)
    return ivf is not None and isinstance(faiss.downcast_InvertedLists(ivf.invlists), faiss.HStackInvertedLists)


def takes_ids(index: faiss.Index) -> bool:
    """Return whether rows can be added to an index with their ids."""
    if isinstance(index, faiss.IndexPreTransform):
        return takes_ids(faiss.downcast_index(index.index))
    return isinstance(index, (faiss.IndexIDMap, faiss.IndexIVF))


def with_ids(index: faiss.Index) -> faiss.Index:
    """Return an index that adds and removes rows by their ids."""
    if takes_ids(index):
        return index
    table = faiss.IndexIDMap(faiss.IndexFlat(index.d, index.metric_type))  # IndexIDMap only accepts an empty index
    table.index, table.ntotal, table.own_fields = index, index.ntotal, False
    table.referenced_objects.append(index)  # type: ignore[attr-defined]  # Faiss' Python adds it
    faiss.copy_array_to_vector(np.arange(index.ntotal), table.id_map)
    return table


def without_trivial_ids(index: faiss.Index) -> faiss.Index:
    """Return an index without its table of ids (8 bytes a vector) if the ids are 0, 1, 2, ..."""
    if isinstance(index, faiss.IndexIDMap):
        ids = faiss.vector_to_array(index.id_map)
        if np.array_equal(ids, np.arange(len(ids))):
            return faiss.downcast_index(index.index)
    return index


def index_bytes(index: faiss.Index) -> int:
    """Return the bytes of an index: Faiss keeps the arrays in memory that it writes."""
    if is_mapped(index):
        ivf = find_ivf(index)
        return int(index.ntotal * (ivf.code_size + 8)) + index_bytes(faiss.downcast_index(ivf.quantizer))
    count = 0

    def add(content: bytes) -> int:
        nonlocal count
        count += len(content)
        return len(content)

    faiss.write_index(without_trivial_ids(index), faiss.PyCallbackIOWriter(add))  # type: ignore[attr-defined]
    return count


def read_index(path: Path, mapped: bool = False, with_table: bool = True) -> faiss.Index:
    """Return the index in a file; its lists stay on disk if it is `mapped`. Raises ValueError if Faiss cannot read it.

    An array in the file may be as long as the file, at least MIN_LIMIT_BYTES: without the limits a wrong length can
    end the process (4 of 600 altered files exhausted the memory; with them none of 3,600 of six types did).
    Faiss' table for product codes is not stored in the file; it is computed here, `with_table`.
    """
    size = max(MIN_LIMIT_BYTES, path.stat().st_size)
    with _limits:
        limits = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
        faiss.set_deserialization_vector_byte_limit(size)
        faiss.set_deserialization_loop_limit(size)
        try:
            # IO_FLAG_MMAP would start 32 threads for each part and query, ten times as slow as the search.
            flags = faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE | (faiss.IO_FLAG_MMAP_IFC if mapped else 0)
            index = faiss.read_index(str(path), flags)
        except (RuntimeError, MemoryError) as error:
            raise ValueError("Faiss cannot read it") from error
        finally:
            faiss.set_deserialization_vector_byte_limit(limits[0])
            faiss.set_deserialization_loop_limit(limits[1])
    if with_table and isinstance(ivf := find_ivf(index), faiss.IndexIVFPQ):
        ivf.precompute_table()
    return index


def write_index(index: faiss.Index, path: Path) -> None:
    """Write an index. Raises OSError on failure; Faiss leaves an incomplete file if the disk is full."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise (NoSpace(path) if is_full(error) else OSError(f"cannot write {path}: {error}")) from error


Attempt = Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]


def _nprobe_for(backend: Searchable, k: int) -> int | None:
    """Return the number of lists to probe for a recall@k equal to the measured recall@10; None without lists."""
    nprobe, nlist = backend.lists
    return min(nlist, ceil(nprobe * ((k - 1) / MEASURED_K) ** 0.5)) or None


def _search_raw(
    backend: Searchable, unit: np.ndarray, k: int, width: int, nprobe: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return similarities and rows (b, k) of a backend, and whether rows tied with the last are missing, bool (b,)."""
    found, rows = backend.search(unit, width, nprobe)
    is_cut = (rows[:, -1] >= 0) & (found[:, k - 1] - found[:, -1] <= ROUNDING)
    return *rank(found, rows, k), is_cut


def _search_reranked(
    backend: Searchable, unit: np.ndarray, k: int, width: int, nprobe: int | None, array: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same as _search_raw for the `width` best rows of a backend, ranked by their exact similarities."""
    found, candidates = backend.search(unit, width, nprobe)
    candidates[candidates >= len(array)] = -1  # an altered file without a manifest
    order = candidates.argsort(axis=1)  # reads the file in one direction
    is_last = take_columns(np.abs(found - found[:, -1:]) <= ROUNDING, order)
    candidates = take_columns(candidates, order)
    candidates[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = -1
    exact = cosines(array, np.maximum(candidates, 0), unit)
    exact[candidates < 0] = -np.inf
    similarities, rows = rank(exact, candidates, k)
    is_cut = is_last & (candidates >= 0) & (exact >= similarities[:, -1:] - ROUNDING)
    return similarities, rows, cast(np.ndarray, is_cut.any(axis=1))


def _filtered_nprobe(ivf: Any, before: np.ndarray, after: np.ndarray) -> int:
    """Return the number of lists to probe, given the rows in each list (l,) before and after filtering."""
    share = after.sum() / max(1, before.sum())
    if share in (0, 1):
        return int(ivf.nprobe)
    purity = (after**2 / np.maximum(before, 1)).sum() / after.sum()  # mean share of matches in a matching row's list
    uneven = max(0.0, (purity - share) / (1 - share))
    factor = PROBE_FACTORS[0] + uneven * (PROBE_FACTORS[1] - PROBE_FACTORS[0])
    return int(min(ivf.nlist, round(ivf.nprobe * factor / share)))


def _list_sizes(ivf: Any) -> np.ndarray:
    """Return the number of rows in each inverted list."""
    return np.array([ivf.invlists.list_size(i) for i in range(ivf.nlist)], float)


def _matching_sizes(lists: Any, matching: np.ndarray) -> np.ndarray:
    """Return the number of matching rows in each inverted list."""
    counts = np.zeros(lists.nlist)
    for i in range(lists.nlist):
        if n := lists.list_size(i):
            ids = lists.get_ids(i)
            counts[i] = np.count_nonzero(matching[faiss.rev_swig_ptr(ids, n)])
            lists.release_ids(i, ids)
    return counts
