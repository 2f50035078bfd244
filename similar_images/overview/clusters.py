"""Clusters of similar rows: Louvain's communities of the graph of neighbours, by scikit-network.

Its Leiden draws from C's `rand` whatever the seed, so that each run gives other bytes, and agrees with labels as well.
Source: Blondel, Guillaume, Lambiotte & Lefebvre, "Fast unfolding of communities in large networks", 2008.

Shape letters: n rows, d numbers in a vector, k neighbours of a row, m rows of a cluster, c clusters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from similar_images.index.exact import unit_rows
from similar_images.index.neighbours import Neighbours
from similar_images.networks.extras import need
from similar_images.vectors.store import block_rows

NEAREST = 8  # linked neighbours: benchmarks/clusters.py
RESOLUTION = 4.0  # more gives more and smaller clusters
ROWS = 40  # per unit of resolution: a high one would split the few kinds of a small collection
SMALLEST = 3  # rows; smaller clusters are dropped


class Cluster(NamedTuple):
    number: int  # its label
    name: str  # of its most typical image
    rows: np.ndarray  # int64 (m,), the most typical first: by the mean similarity to the others of the cluster

    @property
    def size(self) -> int:
        """The number of its images."""
        return len(self.rows)

    @property
    def typical(self) -> int:
        """The row of the most typical image."""
        return int(self.rows[0])


class Clusters(list[Cluster]):
    """The clusters of a collection, the largest first."""

    def __init__(self, table: np.ndarray, names: Sequence[str]):
        """`table` is int32 (n, 2), as `find_clusters` returns it."""
        self.labels = np.ascontiguousarray(table[:, 0])  # int32 (n,): the cluster of each row, -1: none
        order = np.lexsort((table[:, 1], self.labels))
        inside = order[np.searchsorted(self.labels[order], 0) :]
        sizes = np.bincount(self.labels[inside])
        parts = np.split(inside, np.cumsum(sizes)[:-1]) if len(inside) else []
        super().__init__(Cluster(number, names[rows[0]], rows) for number, rows in enumerate(parts))

    def __repr__(self) -> str:
        return f"{len(self)} clusters of {int((self.labels >= 0).sum())} rows, {int((self.labels < 0).sum())} in none"


def communities(neighbours: Neighbours, k: int = NEAREST, resolution: float | None = None) -> np.ndarray:
    """Return the label int (n,) of each row; rows that no link reaches are alone in theirs.

    Two rows are linked, with their similarity as weight, if one is among the k nearest of the other. The resolution is by
    default RESOLUTION, less for few rows. Raises MissingExtra if scikit-network is not installed.
    """
    need("sknetwork", "map", "the search for clusters")
    from scipy.sparse import csr_matrix
    from sknetwork.clustering import Louvain

    n, rows = len(neighbours.rows), neighbours.rows[:, :k]
    linked = (rows >= 0) & (neighbours.similarities[:, :k] > 0)
    if not linked.any():
        return np.arange(n)
    ends = np.repeat(np.arange(n), linked.sum(axis=1)), rows[linked]
    graph = csr_matrix((neighbours.similarities[:, :k][linked], ends), shape=(n, n))
    if resolution is None:
        resolution = min(RESOLUTION, max(1.0, neighbours.has_any.sum() / ROWS))
    louvain = Louvain(resolution=resolution, random_state=0)
    return np.asarray(louvain.fit_predict(graph.maximum(graph.T).tocsr()))


def find_clusters(neighbours: Neighbours, vectors: np.ndarray) -> np.ndarray:
    """Return int32 (n, 2): each row's cluster, -1 for none, and its place in it, 0 for the most typical.

    The largest cluster is 0. Equal input gives equal bytes.
    """
    found = communities(neighbours)
    sizes = np.bincount(found)
    order = np.argsort(-sizes, kind="stable")
    numbers = np.empty(len(sizes), np.int64)
    numbers[order] = np.arange(len(sizes))
    labels = np.where((sizes[found] >= SMALLEST) & neighbours.has_any, numbers[found], -1)
    kept, labels = np.unique(np.append(labels, -1), return_inverse=True)  # no number is left out
    labels = labels[:-1] - 1
    ranks = np.full(len(labels), -1)
    similar = _typicality(vectors, labels, len(kept) - 1)
    order = np.lexsort((np.arange(len(labels)), -similar, labels))
    order = order[labels[order] >= 0]
    starts = np.searchsorted(labels[order], labels[order])
    ranks[order] = np.arange(len(order)) - starts
    return np.stack([labels, ranks], axis=1).astype(np.int32)


def _typicality(vectors: np.ndarray, labels: np.ndarray, c: int) -> np.ndarray:
    """Return the cosine float32 (n,) of each row with the mean of its cluster, which orders rows as the mean similarity
    to the others does."""
    sums, similar = np.zeros((c, vectors.shape[1]), np.float32), np.zeros(len(labels), np.float32)
    inside = np.flatnonzero(labels >= 0)
    parts = [inside[i : i + block_rows(vectors)] for i in range(0, len(inside), block_rows(vectors))]
    for part in parts:
        rows, unit = unit_rows(vectors, part)
        np.add.at(sums, labels[rows], unit)
    for part in parts:
        rows, unit = unit_rows(vectors, part)
        similar[rows] = np.einsum("bd,bd->b", unit, sums[labels[rows]])
    return similar
