"""Choose the similarity that finds images of the same label best.

Shape letters: n vectors, q queries, d numbers in a vector, k hits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from similar_images.evaluation.labels import Labels, measures, relevance, without
from similar_images.index.exact import ExactSearch, unit_rows
from similar_images.index.quality import columns_without_self, confidence_interval
from similar_images.index.similarity import SEED, SIMILARITIES, fit, transform_all
from similar_images.vectors.store import Vectors

K = 100  # hits compared with the labels
QUERIES = 2_000  # at most; half of them choose, the others confirm
MIN_QUERIES = 50  # labelled


class Choice(NamedTuple):
    name: str  # of SIMILARITIES
    reason: str  # the measurements, in a sentence


class ExactBy:
    """Exact search by a similarity fitted on vectors (n, d); rows of zeros (skipped images) and `removed` rows are no hits."""

    def __init__(self, array: np.ndarray, name: str, removed: Sequence[int] = ()):
        self._array, self._removed, self._similarity = array, removed, fit(array, name, removed)
        self._exact = ExactSearch(transform_all(array, self._similarity))

    def search(self, unit: np.ndarray, k: int) -> np.ndarray:
        """Return the rows (q, <= k) of the nearest neighbours of unit vectors (q, d)."""
        return self._exact.search(self._similarity.transform(unit), min(k, len(self._array)), self._removed)[1]

    def others(self, rows: np.ndarray, k: int) -> np.ndarray:
        """Return the rows (q, <= k) of the nearest neighbours of rows (q,), none of zeros, without the row itself."""
        found = self.search(unit_rows(self._array, rows)[1], k + 1)
        return np.take_along_axis(found, columns_without_self(found, rows, k), axis=1)


def choose_similarity(vectors: Vectors, labels: Labels | None, removed: Sequence[int] = ()) -> Choice:
    """Return the similarity with the highest mAP@100 for one half of the labelled images as queries.

    It is the cosine unless another is better with 95% confidence; the reported values are of the other half. `removed`
    rows are neither queries nor hits. Raises ValueError if there are too few labels.
    """
    array = vectors.array
    absent = np.union1d(np.flatnonzero(~array.any(axis=1)), removed).astype(int)
    rows = labelled_rows(labels, absent)
    if labels is None or len(rows) < MIN_QUERIES:
        raise ValueError(f"expected at least {MIN_QUERIES} images with a shared label, got {len(rows)}: omit --labels")
    drawn = np.random.default_rng(SEED).permutation(rows)[:QUERIES]
    choosing = np.arange(len(drawn)) < len(drawn) // 2
    hits = {name: ExactBy(array, name, removed).others(drawn, K) for name in SIMILARITIES}
    found = {name: measures(relevance(labels, drawn, each, absent))["mAP"] for name, each in hits.items()}
    best = max(SIMILARITIES, key=lambda name: found[name][choosing].mean())
    if confidence_interval(found[best][choosing] - found["cosine"][choosing], minimum=-1)[1] <= 0:
        best = "cosine"
    measured = ", ".join(f"{name} {each[~choosing].mean():.3f}" for name, each in found.items())
    reason = f"similarity {best}, chosen by {labels.source}: mAP@{K} of {np.sum(~choosing)} held-out images: {measured}"
    return Choice(best, reason)


def labelled_rows(labels: Labels | None, absent: np.ndarray) -> np.ndarray:
    """Return the rows that share a label with another row, without `absent` (skipped, removed) ones."""
    if labels is None:
        return np.empty(0, int)
    indicator = without(labels, absent)
    shared = (indicator.sum(axis=0) >= 2).astype(np.float32)
    return np.flatnonzero((indicator @ shared) > 0)
