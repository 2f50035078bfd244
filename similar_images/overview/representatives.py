"""Representative rows: the most isolated, the most typical, and a spread that covers a collection.

Shape letters: n rows, d numbers in a vector, k chosen rows.
"""

from collections.abc import Sequence

import faiss
import numpy as np

from similar_images.index.exact import ExactSearch, inner_products, normalise, rows_except, unit_rows
from similar_images.index.neighbours import Neighbours
from similar_images.vectors.store import block_rows

NEAREST = 8  # neighbours of a row
SAMPLE = 20_000  # vectors that centroids are trained on
TRIED = 16  # vectors nearest to a centroid; others may have them already
ROUNDS = 25  # of k-means
HELD = 2**24  # similarities at once


def isolation(neighbours: Neighbours) -> np.ndarray:
    """Return the mean similarity float32 (n,) of each row to its nearest, at most NEAREST; NaN for rows without any."""
    known = neighbours.rows[:, :NEAREST] >= 0
    total = np.where(known, neighbours.similarities[:, :NEAREST], 0).sum(axis=1)
    means = np.full(len(total), np.nan, np.float32)
    np.divide(total, known.sum(axis=1), out=means, where=known.any(axis=1))
    return means


def popularity(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed similarity float64 (n,) of each row to the rows with it among their nearest, and the mean.

    Rows that many others are near to are typical of them. Source: Radovanovic, Nanopoulos & Ivanovic, "Hubs in space:
    popular nearest neighbors in high-dimensional data", 2010.
    """
    near, similarities = neighbours.rows[:, :NEAREST], neighbours.similarities[:, :NEAREST]
    known, n = near >= 0, len(near)
    counts = np.bincount(near[known], minlength=n)
    sums = np.bincount(near[known], np.maximum(similarities[known], 0), minlength=n)
    return sums, sums / np.maximum(counts, 1)


def covering(vectors: np.ndarray, k: int, absent: Sequence[int] = (), seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return up to k rows int64 of vectors (n, d) that cover the others, and their similarities to those.

    They are the rows nearest to the centroids of k-means on unit vectors, which covers better than the farthest-point
    and the facility-location method (benchmarks/clusters.py). A chosen row represents the rows nearest to it; the row that represents most comes first, and its similarity is their mean. Rows of
    zeros and `absent` ones are not chosen.
    """
    kept = rows_except(len(vectors), absent)
    _, sample = unit_rows(vectors, np.sort(np.random.default_rng(seed).permutation(kept)[: max(SAMPLE, 40 * k)]))
    if not len(sample):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    means = faiss.Kmeans(
        vectors.shape[1], min(k, len(sample)), niter=ROUNDS, seed=seed, spherical=True, min_points_per_centroid=1
    )
    means.train(sample)
    _, near = ExactSearch(vectors).search(normalise(np.asarray(means.centroids)), min(TRIED, len(sample)), absent)
    chosen: dict[int, None] = {}
    for candidates in near.tolist():
        if (row := next((row for row in candidates if row not in chosen), None)) is not None:
            chosen[row] = None
    rows = np.array(list(chosen), np.int64)
    counts, sums = _stands_for(vectors, rows, kept)
    order = np.argsort(-counts, kind="stable")
    return rows[order], (sums / np.maximum(counts, 1))[order].astype(np.float32)


def _stands_for(vectors: np.ndarray, chosen: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows of those `kept` each chosen row (k,) is nearest to, and the sum of their similarities."""
    _, centres = unit_rows(vectors, chosen)
    counts, sums = np.zeros(len(chosen), np.int64), np.zeros(len(chosen))
    for first in range(0, len(kept), block_rows(vectors)):
        _, unit = unit_rows(vectors, kept[first : first + block_rows(vectors)])
        for some in np.array_split(unit, max(1, len(unit) * len(chosen) // HELD)):
            similarities = inner_products(some, centres) if len(some) else np.empty((0, len(chosen)), np.float32)
            nearest = similarities.argmax(axis=1)
            counts += np.bincount(nearest, minlength=len(chosen))
            sums += np.bincount(nearest, similarities.max(axis=1), minlength=len(chosen))
    return counts, sums
