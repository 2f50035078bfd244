"""Exact search: normalise vectors, compare queries with all vectors, re-rank candidates.

Shape letters: n vectors in all, b queries or vectors in a block, d numbers in a vector, k hits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import faiss
import numpy as np
from joblib import cpu_count  # the cores that this process may use, by affinity and cgroup

from similar_images import forks
from similar_images.networks.onnx import make_model, open_session
from similar_images.vectors.store import block_rows, release

CACHED_BYTES = 2**20  # of float32 vectors that one core compares with the queries at once, within its cache
SINGLE_QUERY_FACTOR = 16  # times as many vectors for one query: no vector is read twice
MAX_SIMILARITIES = 16 * 2**20  # in memory at once, for all queries
SAFE_SQUARES = 1e-30, 1e30  # squared norms without underflow or overflow in float32
MAX_EXACT_ELEMENTS = 2_000_000  # numbers; an exact search of fewer is as fast as an index
ROUNDING = 2e-7  # cosine; similarities are tied within it, since float32 sums depend on the order
Blocks = Iterator[tuple[np.ndarray, np.ndarray]]  # rows int64 (b,) and unit vectors (b, d)


class ExactSearch:
    """Exact search by cosine over vectors (n, d), float32 or float16 (others are copied), in memory or memory-mapped.

    Reads the vectors in blocks, on all cores. The first search also computes their norms (4 bytes a vector).
    """

    def __init__(self, array: np.ndarray):
        self._array = array if array.dtype in (np.float16, np.float32) else np.asarray(array, np.float32)
        self._block = max(1, CACHED_BYTES // (4 * array.shape[1]))

    def search(
        self, unit: np.ndarray, k: int, removed: Sequence[int] | np.ndarray = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) of the nearest vectors of unit vectors (b, d), without removed rows.

        `removed` contains rows, or is a mask bool (n,): a mask is faster for many searches. Ties are ordered by row.
        Raises ValueError if a row contains NaN or infinity.
        """
        unit = np.ascontiguousarray(unit, dtype=np.float32)
        if not len(unit):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        absent = self._norms.zeros | row_mask(removed, len(self._array))
        k = min(k, len(self._array) - int(np.count_nonzero(absent)))
        if k < 1:
            return np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64)
        found, rows = self._scan(unit, k + 1, absent)
        tied = np.flatnonzero(found[:, k - 1] - found[:, k] <= ROUNDING)
        found, rows = rank(found, rows, k)
        if len(tied):  # more rows are tied than fit: take the lowest
            _, rows[tied] = self._scan(unit[tied], k, absent, found[tied, -1:])
            found[tied], rows[tied] = rank(found[tied], rows[tied], k)
        return np.clip(found, -1, 1), rows

    def _scan(
        self, unit: np.ndarray, k: int, absent: np.ndarray, level: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the k highest similarities and their rows (b, k); similarities near `level` (b, 1) are set to it."""
        step = max(self._block, MAX_SIMILARITIES // len(unit))
        with omp_threads(1) if len(unit) == 1 else nullcontext():
            heap = faiss.ResultHeap(len(unit), k, keep_max=True)
            for start in range(0, len(self._array), step):
                similarities = self._similarities(unit, start, min(start + step, len(self._array)))
                np.copyto(similarities, -np.inf, where=absent[start : start + similarities.shape[1]])
                if level is not None:
                    np.copyto(similarities, level, where=np.abs(similarities - level) <= ROUNDING)
                # A full heap drops the lowest id of ties: with negative ids the highest row.
                ids = -np.arange(start, start + similarities.shape[1])
                heap.heaps.addn_with_ids(len(ids), faiss.swig_ptr(similarities), faiss.swig_ptr(ids), 0, 0, len(unit))
        order = np.lexsort((-heap.I, -heap.D), axis=1)
        return take_columns(heap.D, order), -take_columns(heap.I, order)

    def _similarities(self, unit: np.ndarray, start: int, end: int) -> np.ndarray:
        """Return the cosines (b, end - start) of unit vectors (b, d) with the rows from start to end."""
        similarities = np.empty((len(unit), end - start), np.float32)

        def compare(first: int, last: int) -> None:
            similarities[:, first - start : last - start] = inner_products(unit, self._array[first:last])

        _run_on_all_cores(compare, start, end, self._block if len(unit) > 1 else SINGLE_QUERY_FACTOR * self._block)
        with np.errstate(invalid="ignore"):  # 0 times infinity, in absent rows and rows set below
            similarities *= self._norms.reciprocals[start:end]
        first, last = np.searchsorted(self._norms.unsafe, (start, end))
        if first < last:
            similarities[:, self._norms.unsafe[first:last] - start] = unit @ self._norms.unit[first:last].T
        return similarities

    @cached_property
    def _norms(self) -> "_Norms":
        squares = np.empty(len(self._array), np.float32)

        def add(first: int, last: int) -> None:
            with omp_threads(1):
                squares[first:last] = _squares(_as_float32(self._array[first:last]))

        _run_on_all_cores(add, 0, len(squares), self._block)
        outside = np.flatnonzero(~_are_safe(squares))
        unsafe, vectors = unit_rows(self._array, outside)
        with np.errstate(divide="ignore"):
            return _Norms(1 / np.sqrt(squares), unsafe, vectors, row_mask(np.setdiff1d(outside, unsafe), len(squares)))


class ExactSubset:
    """Exact search over copied unit vectors (m, c) of rows int64 (m,)."""

    def __init__(self, rows: np.ndarray, unit: np.ndarray):
        self._rows, self._exact = rows, ExactSearch(unit)

    def search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (b, <= k) for unit vectors (b, c), ties by row."""
        similarities, found = self._exact.search(unit, k)
        return similarities, self._rows[found]


class _Norms(NamedTuple):
    """The norms of vectors (n, d), computed in float32 if possible."""

    reciprocals: np.ndarray  # (n,)
    unsafe: np.ndarray  # rows with squares outside float32's range
    unit: np.ndarray  # their unit vectors, computed in float64
    zeros: np.ndarray  # bool (n,): rows of zeros


def exact_search(
    array: np.ndarray, unit: np.ndarray, k: int, removed: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Search vectors (n, d) once, as `ExactSearch.search` does."""
    return ExactSearch(array).search(unit, k, removed)


def rank(similarities: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k highest similarities (b, <= k) and their rows, highest first, ties by row."""
    if similarities.shape[1] > max(1000, 4 * k):
        least = -np.partition(-similarities, k - 1, axis=1)[:, k - 1 : k] - ROUNDING
        kept = int(np.count_nonzero(similarities >= least, axis=1).max())
        chosen = np.argpartition(-similarities, min(kept, similarities.shape[1] - 1), axis=1)[:, :kept]
        similarities, rows = (take_columns(part, chosen) for part in (similarities, rows))
    order = np.argsort(-similarities, axis=1)
    similarities, rows = take_columns(similarities, order), take_columns(rows, order)
    falls = similarities[:, 1:] < similarities[:, :-1] - ROUNDING
    if k < similarities.shape[1]:  # hits below the ties of the k-th need no order
        after = falls[:, k - 1 :]
        width = k + int(np.where(after.any(axis=1), after.argmax(axis=1), after.shape[1]).max(initial=0))
        similarities, rows, falls = similarities[:, :width], rows[:, :width], falls[:, : width - 1]
    if not falls.all():
        rows = take_columns(rows, np.lexsort((rows, _tie_levels(similarities, falls)), axis=1))
    return similarities[:, :k], rows[:, :k]


def take_columns(part: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the columns (b, k) of each row of an array (b, any); a single row takes a fifth of NumPy's time."""
    return part[:, columns[0]] if len(columns) == 1 else np.take_along_axis(part, columns, axis=1)


def _tie_levels(similarities: np.ndarray, falls: np.ndarray) -> np.ndarray:
    """Return increasing numbers for decreasing similarities (b, m), the same number for ties.

    `falls` (b, m - 1) is true before a step larger than rounding. A long run of small steps is split by the distance
    from its first similarity.
    """
    run = np.zeros(similarities.shape, np.int64)
    run[:, 1:] = np.maximum.accumulate(np.where(falls, np.arange(1, similarities.shape[1]), 0), axis=1)
    with np.errstate(invalid="ignore"):
        steps = (take_columns(similarities, run) - similarities) // ROUNDING
    levels = np.zeros(similarities.shape, np.int64)
    np.cumsum(falls | (steps[:, 1:] != steps[:, :-1]), axis=1, out=levels[:, 1:])
    return levels


@contextmanager
def omp_threads(n: int) -> Iterator[None]:
    """Let Faiss use n threads in calls of this Python thread: waking more costs more than little work."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def inner_products(unit: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the inner products (b, n) of float32 vectors (b, d) with vectors (n, d), float32 or float16.

    Computed on the caller's thread: NumPy's threads would wait for each other, and for the network's threads.
    """
    unit = np.ascontiguousarray(unit)
    if len(unit) > 1:
        return _multiply(unit, _as_float32(vectors))
    vectors = np.ascontiguousarray(vectors)
    if vectors.dtype == np.float16:
        return _scan_codes(unit, vectors)
    products = np.empty((1, len(vectors)), np.float32)
    pointers = map(faiss.swig_ptr, (products, unit, vectors))
    faiss.fvec_inner_products_ny(*pointers, vectors.shape[1], len(vectors))  # type: ignore[attr-defined]
    return products


def _scan_codes(unit: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the inner products (1, n) of a vector (1, d) with float16 vectors (n, d), read in place as Faiss codes."""
    quantizer = faiss.ScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16)
    select = quantizer.select_InvertedListScanner  # type: ignore[attr-defined]
    scanner = select(faiss.METRIC_INNER_PRODUCT, None, True, None)
    scanner.set_query(faiss.swig_ptr(unit))
    scanner.set_list(0, 0.0)
    result = faiss.RangeSearchResult(1)
    partial = faiss.RangeSearchPartialResult(result)  # type: ignore[attr-defined]
    codes = faiss.swig_ptr(vectors.view(np.uint8))
    scanner.scan_codes_range(len(vectors), codes, None, -np.inf, partial.new_result(0))
    partial.finalize()
    return faiss.rev_swig_ptr(result.distances, len(vectors))[None].copy()


def _as_float32(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d) as contiguous float32; ONNX Runtime converts float16 faster than NumPy."""
    from onnx import TensorProto

    if vectors.dtype == np.float16:
        return _onnx_function("Cast", TensorProto.FLOAT16, to=TensorProto.FLOAT)(np.ascontiguousarray(vectors))
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _multiply(unit: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the inner products (b, n) of float32 vectors (b, d) and (n, d)."""
    from onnx import TensorProto

    return _onnx_function("Gemm", TensorProto.FLOAT, transB=1)(unit, vectors)


@lru_cache
def _onnx_function(operator: str, given: int, **attributes: Any) -> Callable[..., np.ndarray]:
    """Return a function that applies one ONNX operator to arrays (any, any) and returns float32."""
    from onnx import TensorProto, helper

    names = ["one", "other"][: 2 if operator == "Gemm" else 1]
    inputs = [helper.make_tensor_value_info(name, given, [name, "d"]) for name in names]
    output = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    node = helper.make_node(operator, names, ["result"], **attributes)
    session = open_session(make_model(helper.make_graph([node], operator, inputs, [output])), 1)
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def _run_on_all_cores(work: Callable[[int, int], None], start: int, end: int, step: int) -> None:
    """Call work(first, last) for blocks of rows from start to end; cores take turns, so a file is read in order."""
    blocks = [(first, min(first + step, end)) for first in range(start, end, step)]
    cores = max(1, min(_cores(), len(blocks)))

    def share(core: int) -> None:
        for block in blocks[core::cores]:
            work(*block)

    futures = [_threads().submit(share, core) for core in range(1, cores)]
    share(0)
    for future in futures:
        future.result()


@lru_cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), "similar-images-exact")


@lru_cache
def _cores() -> int:
    return int(cpu_count())


forks.run_in_child(_threads.cache_clear)
forks.run_in_child(lambda: faiss.omp_set_num_threads(1))  # a forked child has no OpenMP threads: see forks


def check_k(k: int) -> None:
    """Raise ValueError for a k below 1, TypeError unless it is a whole number."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise TypeError(f"expected k as a whole number, got {k!r:.60}")
    if k < 1:
        raise ValueError(f"expected k of at least 1, got {k}")


def normalise(block: np.ndarray) -> np.ndarray:
    """Return float32 unit vectors for vectors (b, d), zeros for rows of zeros.

    Raises ValueError if a row contains NaN or infinity.
    """
    block = _as_float32(block)
    squares = _squares(block)
    if not _are_safe(squares).all():
        norms = np.sqrt(np.einsum("bd,bd->b", block, block, dtype=np.float64))[:, None]
        if not np.isfinite(norms).all():
            raise ValueError(f"row {int(np.argmin(np.isfinite(norms)))} contains NaN or infinity")
        unit: np.ndarray = np.zeros_like(block)
        np.divide(block, norms, out=unit, where=norms > 0, casting="same_kind")
        return unit
    unit = block / np.sqrt(squares)[:, None]
    return unit


def _squares(vectors: np.ndarray) -> np.ndarray:
    """Return the squared norms (n,) of float32 vectors (n, d), computed in float32."""
    squares = np.empty(len(vectors), np.float32)
    faiss.fvec_norms_L2sqr(*map(faiss.swig_ptr, (squares, vectors)), vectors.shape[1], len(vectors))  # type: ignore[attr-defined]
    return squares


def _are_safe(squares: np.ndarray) -> np.ndarray:
    """Return which squared norms are exact in float32: not 0, infinity or NaN."""
    return (squares > SAFE_SQUARES[0]) & (squares < SAFE_SQUARES[1])


def unit_blocks(array: np.ndarray, start: int = 0) -> Blocks:
    """Yield rows int64 (b,) and unit vectors (b, d) of vectors (n, d), without rows of zeros (skipped images)."""
    for first in range(start, len(array), block_rows(array)):
        yield unit_rows(array, np.arange(first, min(first + block_rows(array), len(array))))


def skip_removed(blocks: Iterable[tuple[np.ndarray, np.ndarray]], removed: Sequence[int]) -> Blocks:
    """Yield rows (b,) and unit vectors (b, d) without removed rows."""
    absent = np.array(removed, np.int64)  # once: NumPy would convert the list for each block
    for rows, unit in blocks:
        present = ~np.isin(rows, absent)
        yield rows[present], unit[present]


def row_mask(rows: Sequence[int] | np.ndarray, n: int) -> np.ndarray:
    """Return a mask bool (n,) of rows; a mask is returned unchanged."""
    given = np.asarray(rows)
    if given.dtype == bool:
        return given
    mask = np.zeros(n, bool)
    mask[given.astype(np.int64)] = True
    return mask


def rows_except(n: int, absent: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the rows from 0 to n - 1 without `absent` rows, in order."""
    return np.flatnonzero(~row_mask(absent, n))


def unit_rows(array: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows without rows of zeros, and their unit vectors. Raises ValueError for NaN or infinity.

    Pages of a memory-mapped array are released.
    """
    try:
        unit = normalise(array[rows])
        release(array)
    except ValueError:
        bad = rows[~np.isfinite(array[rows].astype(np.float32)).all(axis=1)]
        raise ValueError(f"expected numbers in every row, got NaN or infinity in row {bad[0]}") from None
    kept = unit.any(axis=1)
    return rows[kept], unit[kept]


def cosines(array: np.ndarray, rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the cosines (b, k) of unit vectors (b, d) with the rows (b, k) of vectors (n, d); 0 for zeros."""
    if array.dtype != np.float32 or not array.flags.c_contiguous:
        return np.concatenate([_cosines(array[some], one[None]) for some, one in zip(rows, unit, strict=True)])
    rows, unit = np.ascontiguousarray(rows), np.ascontiguousarray(unit)
    dots, squares = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.float32)
    given, ids, queries, products, norms = map(faiss.swig_ptr, (array, rows, unit, dots, squares))
    b, k = rows.shape
    d = array.shape[1]
    faiss.fvec_inner_products_by_idx(products, queries, given, ids, d, b, k)  # type: ignore[attr-defined]
    faiss.pairwise_indexed_inner_product(d, b * k, given, ids, given, ids, norms)  # type: ignore[attr-defined]
    safe = _are_safe(squares)
    similarities = np.divide(dots, np.sqrt(squares), out=np.zeros_like(dots), where=safe)
    if not safe.all():
        queries, places = np.nonzero(~safe)
        vectors = normalise(array[rows[queries, places]])
        similarities[queries, places] = np.einsum("md,md->m", vectors, unit[queries])
    return similarities


def _cosines(vectors: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the cosines (1, k) of a unit vector (1, d) with vectors (k, d); 0 for zeros."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.sqrt(np.einsum("kd,kd->k", vectors, vectors))
    similarities = np.zeros((1, len(vectors)), np.float32)
    np.divide(unit @ vectors.T, lengths, out=similarities, where=lengths > 0)
    return similarities
