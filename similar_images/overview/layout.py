"""A place in two dimensions for every row, near the rows that are like it: t-SNE of the neighbours, by openTSNE.

Sources: van der Maaten & Hinton, "Visualizing data using t-SNE", 2008; Linderman et al., "Fast interpolation-based t-SNE
for improved visualization of single-cell RNA-seq data", 2019.

Shape letters: n rows, m of them with neighbours, k neighbours of a row.
"""

from collections.abc import Callable

import numpy as np
from joblib import cpu_count

from similar_images.index.exact import unit_rows
from similar_images.index.neighbours import Neighbours
from similar_images.index.similarity import SAMPLE, SEED, principal
from similar_images.networks.extras import need
from similar_images.vectors.store import block_rows

PERPLEXITY = 10  # 30 adds 0.002 to the trustworthiness of 1,515 rows and takes three times as many neighbours
NEIGHBOURS = 3 * PERPLEXITY  # of each row; those beyond have no weight
EXAGGERATED, ITERATIONS = (
    125,
    250,
)  # twice as many change the trustworthiness of 1,515 and 9,144 rows by less than 0.002
INTERPOLATED = 7_000  # rows; of fewer the Barnes-Hut method is faster: 2 s instead of 9 of a processor for 1,515
PARALLEL = 20_000  # rows; for fewer, the threads wait for each other longer than they work. The bytes are the same
REPORTED = 25  # iterations between two calls of `progress`
FEW = 5  # rows; fewer stay where their principal components put them


def lay_out(
    neighbours: Neighbours,
    vectors: np.ndarray,
    seed: int = 0,
    progress: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """Return float32 coordinates (n, 2) from -1 to 1, NaN for rows without neighbours; equal input gives equal bytes.

    The first places are the first two principal components of vectors (n, d). `progress` gets the share that is done,
    from 0 to 1. Raises MissingExtra if openTSNE is not installed.
    """
    need("openTSNE", "map", "a map")
    places = np.full((len(vectors), 2), np.nan, np.float32)
    rows = np.flatnonzero(neighbours.has_any)
    if not len(rows):
        return places
    start = _first_places(vectors, rows)
    laid = start if len(rows) < FEW else _tsne(*_among(neighbours, rows), start, seed, progress)
    laid = laid - (laid.max(axis=0) + laid.min(axis=0)) / 2
    places[rows] = laid / max(np.abs(laid).max(), 1e-30)
    progress(1.0)
    return places


def _first_places(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the first two principal components (m, 2), float64, of rows (m,)."""
    drawn = np.sort(np.random.default_rng(SEED).permutation(rows)[:SAMPLE])
    c = min(2, len(rows), vectors.shape[1])
    mean, components, _ = principal(unit_rows(vectors, drawn)[1], c)
    places = np.zeros((len(rows), 2))
    for first in range(0, len(rows), block_rows(vectors)):
        unit = unit_rows(vectors, rows[first : first + block_rows(vectors)])[1]
        places[first : first + len(unit), :c] = (unit - mean) @ components.T
    return places


def _among(neighbours: Neighbours, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the neighbours (m, k) of rows (m,) as places in these rows, and their distances, float64.

    A missing neighbour is the nearest one again, at the largest distance: it has no weight.
    """
    k = min(NEIGHBOURS, len(rows) - 1, neighbours.rows.shape[1])
    places = np.full(len(neighbours.rows), -1)
    places[rows] = np.arange(len(rows))
    found = neighbours.rows[rows, :k]
    nodes = np.where(found >= 0, places[found], -1)
    distances = np.sqrt(np.maximum(2 - 2 * neighbours.similarities[rows, :k].astype(np.float64), 0))
    return np.where(nodes >= 0, nodes, nodes[:, :1]), np.where(nodes >= 0, distances, 2.0)


def _tsne(
    nodes: np.ndarray, distances: np.ndarray, start: np.ndarray, seed: int, progress: Callable[[float], object]
) -> np.ndarray:
    from openTSNE import TSNE, affinity, initialization, nearest_neighbors

    m, k = nodes.shape
    jobs = cpu_count() if m >= PARALLEL else 1
    affinities = affinity.PerplexityBasedNN(
        perplexity=min(PERPLEXITY, max(1.0, k / 3)),
        knn_index=nearest_neighbors.PrecomputedNeighbors(nodes, distances),
        n_jobs=jobs,
    )
    first = initialization.jitter(initialization.rescale(start), random_state=seed)  # equal rows start apart
    done = 0

    def report(iteration: int, error: float, embedding: np.ndarray) -> bool:
        nonlocal done
        done += REPORTED
        progress(min(1.0, done / (EXAGGERATED + ITERATIONS)))
        return False

    tsne = TSNE(
        initialization=first,
        early_exaggeration_iter=EXAGGERATED,
        n_iter=ITERATIONS,
        negative_gradient_method="fft" if m >= INTERPOLATED else "bh",
        n_jobs=jobs,
        callbacks=report,
        callbacks_every_iters=REPORTED,
        random_state=seed,
    )
    return np.asarray(tsne.fit(affinities=affinities, initialization=first))
