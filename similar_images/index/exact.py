"""Vectors compared exactly: normalise them, compare queries with all of them, re-rank candidates.

Shape letters: n vectors in all, b queries or vectors in a block, d numbers in a vector, k hits.
"""

from collections.abc import Iterator, Sequence

import faiss
import numpy as np

from similar_images.vectors.store import block_rows

WORK_BYTES = 4 * 2**20  # of float32 vectors compared at once; they stay in the processor's cache
SAFE = 1e-30, 1e30  # squared norms in float32 that neither underflow nor overflow


def exact_search(
    array: np.ndarray, unit: np.ndarray, k: int, removed: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Compare unit vectors (b, d) with all vectors (n, d), read in blocks; return similarities and rows (b, <= k).

    Equal similarities are ordered by row. Raises ValueError where a row holds NaN or infinity.
    """
    unit = np.ascontiguousarray(unit, dtype=np.float32)
    if not len(unit):
        return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
    gone = np.unique(np.asarray(removed, dtype=np.int64))
    heap = faiss.ResultHeap(len(unit), k, keep_max=True)
    for start, similarities in _compared(array, unit):
        first, last = np.searchsorted(gone, (start, start + similarities.shape[1]))
        similarities[:, gone[first:last] - start] = -np.inf
        better = np.flatnonzero((similarities > heap.D[:, :1]).any(axis=0))  # than the worst hit so far, at the root
        if 2 * len(better) < similarities.shape[1]:
            similarities, ids = similarities[:, better], -(start + better)
        else:
            ids = -np.arange(start, start + similarities.shape[1])
        # A full heap drops the lowest id of equal similarities: with negative ids the highest row.
        similarities = np.ascontiguousarray(similarities)
        heap.heaps.addn_with_ids(len(ids), faiss.swig_ptr(similarities), faiss.swig_ptr(ids), 0, 0, len(unit))
    order = np.lexsort((-heap.I, -heap.D), axis=1)
    found, rows = np.take_along_axis(heap.D, order, axis=1), -np.take_along_axis(heap.I, order, axis=1)
    count = np.count_nonzero(found[0] >= -2)  # cosines; without k rows to find the rest keeps its lowest value
    return np.clip(found[:, :count], -1, 1), rows[:, :count]


def _compared(array: np.ndarray, unit: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first row of each block and the cosines (b, rows) of its vectors; -inf for rows of zeros."""
    size = max(1, WORK_BYTES // (4 * array.shape[1]))
    buffer = np.empty((min(size, len(array)), array.shape[1]), np.float32)
    squares = np.empty(len(buffer), np.float32)
    for start in range(0, len(array), size):
        block = _as_float32(array[start : start + size], buffer)
        b = len(block)
        np.einsum("bd,bd->b", block, block, out=squares[:b])  # Faiss would wait for threads in each block
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            # One query on one thread: BLAS would wait for its other threads in each block.
            similarities = np.einsum("bd,d->b", block, unit[0])[None] if len(unit) == 1 else unit @ block.T
            similarities /= np.sqrt(squares[:b])
        unsafe = np.flatnonzero(~((squares[:b] > SAFE[0]) & (squares[:b] < SAFE[1])))  # zeros, extremes, NaN
        if len(unsafe):
            kept, vectors = unit_rows(array, start + unsafe)
            similarities[:, unsafe] = -np.inf
            similarities[:, kept - start] = unit @ vectors.T
        yield start, similarities


def _as_float32(block: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """Return contiguous float32 of a block (b, d): itself, or a conversion into the buffer."""
    if block.dtype == np.float32 and block.flags.c_contiguous:
        return block
    converted = buffer[: len(block)]
    np.copyto(converted, block)  # faiss.ScalarQuantizer's conversion takes six times as long
    return converted


def normalised(block: np.ndarray) -> np.ndarray:
    """Return float32 unit vectors for vectors (b, d), zeros where a row is zeros.

    Raises ValueError where a row holds NaN or infinity.
    """
    block = block.astype(np.float32)
    norms = np.sqrt(np.einsum("bd,bd->b", block, block, dtype=np.float64))[:, None]
    if not np.isfinite(norms).all():
        raise ValueError(f"row {int(np.argmin(np.isfinite(norms)))} holds NaN or infinity")
    return np.divide(block, norms, out=np.zeros_like(block), where=norms > 0, casting="same_kind")


def blocks(array: np.ndarray, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows int64 (b,) and unit vectors (b, d) of vectors (n, d), without rows of zeros (skipped images)."""
    for first in range(start, len(array), block_rows(array)):
        yield unit_rows(array, np.arange(first, min(first + block_rows(array), len(array))))


def unit_rows(array: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the rows that are not zeros, and their unit vectors. Raises ValueError for NaN or infinity."""
    try:
        unit = normalised(array[rows])
    except ValueError:
        bad = rows[~np.isfinite(array[rows].astype(np.float32)).all(axis=1)]
        raise ValueError(f"expected numbers in every row, got NaN or infinity in row {bad[0]}") from None
    kept = unit.any(axis=1)
    return rows[kept], unit[kept]


def cosines(array: np.ndarray, rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the cosines (b, k) of unit vectors (b, d) with the rows (b, k) of vectors (n, d); 0 for zeros."""
    if array.dtype != np.float32 or not array.flags.c_contiguous:
        each = [
            cosines(array[some].astype(np.float32), np.arange(len(some))[None], one[None])
            for some, one in zip(rows, unit, strict=True)
        ]
        return np.concatenate(each)
    rows, unit = np.ascontiguousarray(rows), np.ascontiguousarray(unit)
    dots, squares = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.float32)
    given, ids, queries, products, norms = map(faiss.swig_ptr, (array, rows, unit, dots, squares))
    b, k = rows.shape
    d = array.shape[1]
    faiss.fvec_inner_products_by_idx(products, queries, given, ids, d, b, k)  # type: ignore[attr-defined]
    faiss.pairwise_indexed_inner_product(d, b * k, given, ids, given, ids, norms)  # type: ignore[attr-defined]
    return np.divide(dots, np.sqrt(squares), out=np.zeros_like(dots), where=squares > 0)
