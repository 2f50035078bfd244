"""What the manifest of an index says of its quality: recall, time and size, and how similar its images are.

Shape letters: n vectors in all, d numbers in a vector, p pairs.
"""

import faiss
import numpy as np

from similar_images.index.engine import Engine
from similar_images.index.exact import rows_but, unit_rows
from similar_images.index.similarity import COMPONENTS, MOVED, SEED
from similar_images.index.tune import K, Measured, Queries

PAIRS = 100_000  # random pairs whose similarity is kept
PERCENTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 100)


def measures(
    queries: Queries, index: faiss.Index | Engine, parameters: dict, removed: list[int], known: Measured | None = None
) -> dict:
    """Return what a manifest says of the quality of a search: recall with and without vectors, time, similarities."""
    reached = known or queries.measure("", index, parameters["reranked"])
    alone = queries.recall(index) if parameters["reranked"] else reached.recall
    nearest = queries.similarities[:, 1] if queries.similarities.shape[1] > 1 else queries.similarities[:, 0]
    return {
        "measured": {
            "recall": reached.recall,
            "interval": [reached.low, reached.high],
            "recall_alone": alone,  # of the index without the vectors beside it
            "k": K,
            "queries": len(queries.rows),
            "p50_ms": reached.p50_ms,
            "p95_ms": reached.p95_ms,
            "bytes_in_memory": reached.bytes,
            "bytes_on_disk": reached.bytes,
        },
        "built_recall": reached.recall,
        "similarities": {
            "percentiles": PERCENTILES,
            "random_pairs": percentiles(random_pairs(queries.array, removed)),
            "nearest": percentiles(nearest),
        },
    }


def is_stale(manifest: dict) -> bool:
    """Return whether the recall dropped below the target, or without one clearly below the recall when built."""
    target = (manifest["target"] or {}).get("recall")
    floor = target if target is not None else manifest["built_recall"] - 0.02
    return manifest["measured"]["recall"] < floor


def has_moved(manifest: dict) -> bool:
    """Return whether a rebuild, with a new transform, pays.

    That is so if the rows that came or went have moved the mean, or if their number has doubled and gives more components.
    """
    similarity = manifest.get("similarity")
    if similarity is None:
        return False
    has_grown = similarity["name"] == "whitened" and manifest["n"] >= 2 * similarity["n"]
    return similarity["moved"] > similarity["built_moved"] + MOVED or (
        has_grown and similarity["dimension"] < COMPONENTS
    )


def random_pairs(array: np.ndarray, removed: list[int]) -> np.ndarray:
    """Return the similarities of random pairs of different rows, from a sample of rows."""
    random = np.random.default_rng(SEED)
    rows = np.sort(random.permutation(rows_but(len(array), removed))[:2000])
    _, unit = unit_rows(array, rows)
    if len(unit) < 2:
        return np.ones(1)
    one = random.integers(0, len(unit), PAIRS)
    other = (one + random.integers(1, len(unit), PAIRS)) % len(unit)
    return np.concatenate(
        [np.einsum("pd,pd->p", unit[one[i : i + 5000]], unit[other[i : i + 5000]]) for i in range(0, PAIRS, 5000)]
    )


def percentiles(similarities: np.ndarray) -> list[float]:
    """Return the PERCENTILES of similarities (any,)."""
    return np.percentile(similarities, PERCENTILES).astype(float).round(6).tolist()
