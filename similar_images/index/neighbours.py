"""The nearest rows of every row, the basis of near-duplicates, maps and clusters.

Shape letters: n vectors in all, b in a block, d numbers in a vector, k neighbours of a row.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.index.backend import search
from similar_images.index.exact import ExactSearch, check_k, cosines, row_mask, unit_blocks
from similar_images.index.index import Index
from similar_images.index.quality import columns_without_self
from similar_images.vectors.store import BLOCK_BYTES

BLOCK_QUERIES = 4096  # queries compared with all vectors at once
RERANKED = 20  # hits for 10 neighbours
MAX_EXACT_ROWS = 20_000  # an exact search for the neighbours of fewer takes seconds


class Neighbours(NamedTuple):
    """The k nearest rows of every row, the nearest first."""

    rows: np.ndarray  # int64 (n, k); -1: none
    similarities: np.ndarray  # float32 (n, k), cosine of the compared vectors; -1 without a row

    @property
    def has_any(self) -> np.ndarray:
        """Which rows have a neighbour, bool (n,): not skipped or removed rows."""
        return self.rows[:, 0] >= 0


def find_neighbours(
    vectors: np.ndarray,
    k: int,
    index: Index | None = None,
    removed: Sequence[int] = (),
    progress: Progress = ignore,
) -> Neighbours:
    """Return the k nearest rows of every row of vectors (n, d), without the row itself.

    The index proposes neighbours, re-ranked with the exact vectors; without an index the search is exact. Rows of zeros
    (skipped images) and `removed` rows have no neighbours and are no neighbours. `progress` receives the number of
    finished rows. Raises ValueError if k is below 1.
    """
    check_k(k)
    n = len(vectors)
    found = Neighbours(np.full((n, k), -1, np.int64), np.full((n, k), -1, np.float32))
    for block_rows, similarities, rows in neighbour_blocks(vectors, k + 1, index, removed):
        columns = columns_without_self(rows, block_rows, k)
        rows, similarities = (np.take_along_axis(part, columns, axis=1) for part in (rows, similarities))
        missing = (rows < 0) | np.isneginf(similarities)
        found.rows[block_rows, : rows.shape[1]] = np.where(missing, -1, rows)
        found.similarities[block_rows, : rows.shape[1]] = np.where(missing, -1, np.clip(similarities, -1, 1))
        progress(Event("neighbours", int(block_rows[-1]) + 1, n))
    progress(Event("neighbours", n, n))
    return found


def neighbour_blocks(
    vectors: np.ndarray, k: int, index: Index | None = None, removed: Sequence[int] = ()
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows (b,), and the similarities and rows (b, <= k) of their neighbours, including themselves; row -1: none.

    The vectors of all neighbours of a block fit into memory. Rows of zeros and `removed` rows are excluded.
    """
    exact, absent = ExactSearch(vectors) if index is None else None, row_mask(removed, len(vectors))
    for rows, unit in unit_blocks(vectors):
        present = ~absent[rows]
        rows, unit = rows[present], unit[present]
        step = BLOCK_QUERIES if index is None else max(1, BLOCK_BYTES // (4 * k * vectors.shape[1]))
        for start in range(0, len(rows), step):
            queries = unit[start : start + step]
            found = exact.search(queries, k, absent) if exact else nearest_rows(vectors, index, queries, k)
            yield rows[start : start + step], *found


def nearest_rows(
    vectors: np.ndarray, index: Index | None, unit: np.ndarray, k: int, removed: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities and rows (b, <= k) of the nearest neighbours of unit vectors (b, d); row -1: none.

    The similarities are cosines of these vectors, whatever the similarity of the index. `removed` rows are excluded; an
    index does not contain them.
    """
    if index is None:
        return ExactSearch(vectors).search(unit, k, removed)
    reranked = min(index.reranked, RERANKED)
    if index.similarity.is_cosine:
        return search(index.backend, unit, k, vectors, reranked)
    _, rows = search(index.backend, index.similarity.transform(unit), k, index.vectors, reranked)  # only proposes rows
    return np.where(rows < 0, -np.inf, cosines(vectors, np.maximum(rows, 0), unit)), rows
