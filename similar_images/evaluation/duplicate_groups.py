"""Pairs and groups of near-duplicates among vectors.

Shape letters: n vectors in all, b in a block, d numbers in a vector, k neighbours of a row, p pairs, m in a group.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.index.exact import normalise
from similar_images.index.index import Index
from similar_images.index.neighbours import neighbour_blocks
from similar_images.vectors.store import BLOCK_BYTES

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NEIGHBOURS = 16  # of each row; a copy is among the very nearest
ROUNDING = 1e-6  # of a cosine in float32: equal vectors may be 0.9999999 apart


class Pairs(NamedTuple):
    """Pairs of rows with similar vectors."""

    rows: np.ndarray  # int64 (p, 2)
    similarities: np.ndarray  # float32 (p,), cosine


class Group(NamedTuple):
    """Rows of one picture: the similarity of each to the first, the centre, is at least the threshold."""

    rows: np.ndarray  # int64 (m,), the centre, then the most similar first
    similarities: np.ndarray  # float32 (m,), cosine, to the centre


def find_pairs(
    vectors: np.ndarray,
    threshold: float,
    index: Index | None = None,
    k: int = NEIGHBOURS,
    progress: Progress = ignore,
    removed: Sequence[int] = (),
) -> Pairs:
    """Return the pairs of vectors (n, d) with a similarity of at least `threshold`, among the k nearest of each row.

    The index finds the neighbours, re-ranked with the exact vectors; without an index the search is exact.
    Rows of zeros (skipped images) and `removed` rows are in no pair.
    """
    rows, similarities, done = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)], 0
    for block_rows, found, neighbours in neighbour_blocks(vectors, k + 1, index, removed):
        pairs = np.stack([np.repeat(block_rows, neighbours.shape[1]), neighbours.ravel()], axis=1)
        near = (found.ravel() >= threshold - ROUNDING) & (pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])
        rows.append(pairs[near])
        similarities.append(found.ravel()[near])
        done += len(block_rows)
        progress(Event("near-duplicates", done, len(vectors)))
    return Pairs(np.concatenate(rows), np.clip(np.concatenate(similarities), -1, 1))


def group(vectors: np.ndarray, pairs: Pairs, threshold: float) -> list[Group]:
    """Return the groups in `pairs`, ordered by their lowest row; a row is in at most one group.

    Connected components would chain: a is similar to b, b to c, and so on to unrelated pictures. So groups are
    stars. The row with the largest sum of similarities becomes a centre. It takes all free rows reached over pairs
    whose similarity to it is at least `threshold`; the next free row follows. With the data of
    benchmarks/near_duplicates.py, at 0.82, stars join 198 pairs among the other photographs and connected components
    363, both with a recall of 0.96; complete linkage has a recall of 0.72.
    Source: Aslam, Pelekhov & Rus, "The star clustering algorithm", 2004.
    """
    from scipy.sparse import csr_array

    linked, ends = np.unique(pairs.rows, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = csr_array((pairs.similarities, (ends[:, 0], ends[:, 1])), shape=(len(linked), len(linked)))
    graph = graph.maximum(graph.T).tocsr()
    free, groups = np.ones(len(linked), dtype=bool), []
    for centre in np.argsort(-graph.sum(axis=1), kind="stable"):
        if free[centre]:
            members, similarities = _star(graph, vectors, linked, centre, free, threshold)
            free[members] = False
            if len(members) > 1:
                order = np.lexsort((members, -similarities, members != centre))
                groups.append(Group(linked[members[order]], similarities[order]))
    return sorted(groups, key=lambda one: one.rows.min())


def _star(
    graph: "csr_array", vectors: np.ndarray, linked: np.ndarray, centre: int, free: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the free nodes (m,) reached from the centre over nodes similar to it, and their similarities."""
    unit = normalise(vectors[[linked[centre]]])[0]
    members, similarities = [np.array([centre])], [np.ones(1, np.float32)]
    seen, frontier = {int(centre)}, members[0]
    while len(frontier):
        reached = np.unique(np.concatenate([graph.indices[graph.indptr[i] : graph.indptr[i + 1]] for i in frontier]))
        reached = np.array([i for i in reached if free[i] and i not in seen], dtype=np.int64)
        seen.update(reached.tolist())
        similar = _similarities(vectors, linked[reached], unit)
        near = similar >= threshold - ROUNDING
        frontier = reached[near]
        members.append(frontier)
        similarities.append(similar[near])
    return np.concatenate(members), np.concatenate(similarities)


def _similarities(vectors: np.ndarray, rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the cosine float32 (m,) of a unit vector (d,) with rows (m,), read in blocks."""
    step = max(1, BLOCK_BYTES // (4 * vectors.shape[1]))
    parts = [normalise(vectors[rows[i : i + step]]) @ unit for i in range(0, len(rows), step)]
    return np.concatenate([np.empty(0, np.float32), *parts]).clip(-1, 1)
