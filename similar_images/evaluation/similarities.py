"""Which similarity finds images of the same label best.

Shape letters: n vectors, q queries, d numbers in a vector, k hits.
"""

from typing import NamedTuple

import numpy as np

from similar_images.evaluation.labels import Labels, measures, relevance, without
from similar_images.index.exact import ExactSearch, unit_rows
from similar_images.index.index import others
from similar_images.index.reduced import in_memory
from similar_images.index.similarity import SEED, SIMILARITIES, fit
from similar_images.index.tune import interval
from similar_images.vectors.store import Vectors

K = 100  # hits that are compared with the labels
QUERIES = 2_000  # at most; half of them choose, the others confirm
LEAST = 50  # labelled queries


class Choice(NamedTuple):
    name: str  # of SIMILARITIES
    said: str  # what was measured, in a sentence


def average_precisions(
    array: np.ndarray, labels: Labels, rows: np.ndarray, name: str, skipped: np.ndarray
) -> np.ndarray:
    """Return AP@100 (q,) of an exact search by a similarity fitted on vectors (n, d), with rows (q,) as queries."""
    similarity = fit(array, name)
    compared = in_memory(array, similarity)
    _, unit = unit_rows(array, rows)
    _, found = ExactSearch(compared).search(similarity.transformed(unit), min(K + 1, len(array)))
    hits = np.take_along_axis(found, others(found, rows, K), axis=1)
    return measures(relevance(labels, rows, hits, skipped))["mAP"]


def choose_similarity(vectors: Vectors, labels: Labels | None) -> Choice:
    """Return the similarity with the highest mAP@100 for one half of the labelled images as queries.

    It is the cosine unless another is better with 95% confidence; what is said of it was measured on the other half.
    Raises ValueError if there are too few labels.
    """
    array = vectors.stored
    skipped = np.flatnonzero(~array.any(axis=1))
    rows = _labelled(labels, skipped)
    if labels is None or len(rows) < LEAST:
        raise ValueError(
            f"expected at least {LEAST} images with a label that others have too, got {len(rows)}: omit --labels"
        )
    drawn = np.random.default_rng(SEED).permutation(rows)[:QUERIES]
    choosing = np.arange(len(drawn)) < len(drawn) // 2
    found = {name: average_precisions(array, labels, drawn, name, skipped) for name in SIMILARITIES}
    best = max(SIMILARITIES, key=lambda name: found[name][choosing].mean())
    if interval(found[best][choosing] - found["cosine"][choosing], least=-1)[1] <= 0:
        best = "cosine"
    measured = ", ".join(f"{name} {each[~choosing].mean():.3f}" for name, each in found.items())
    said = f"similarity {best}, chosen by {labels.source}: mAP@{K} of {np.sum(~choosing)} held-out images: {measured}"
    return Choice(best, said)


def _labelled(labels: Labels | None, skipped: np.ndarray) -> np.ndarray:
    """Return the rows with a label that another of them has, none of them skipped."""
    if labels is None:
        return np.empty(0, int)
    indicator = without(labels, skipped)
    shared = (indicator.sum(axis=0) >= 2).astype(np.float32)
    return np.flatnonzero((indicator @ shared) > 0)
