"""Map of all rows in two dimensions, similar rows near each other: t-SNE of the neighbours, by openTSNE.

Sources: van der Maaten & Hinton, "Visualizing data using t-SNE", 2008; Linderman et al., "Fast interpolation-based t-SNE
for improved visualization of single-cell RNA-seq data", 2019.

Shape letters: n rows, m of them with neighbours, k neighbours of a row.
"""

from typing import NamedTuple

import numpy as np
from joblib import cpu_count

from similar_images.events import Event, Progress, ignore
from similar_images.index.exact import unit_rows
from similar_images.index.neighbours import Neighbours
from similar_images.index.similarity import MAX_FIT_VECTORS, SEED, principal_components
from similar_images.networks.extras import need
from similar_images.vectors.store import block_rows

PERPLEXITY = 10  # 30 adds 0.002 to the trustworthiness of 1,515 rows and takes three times as many neighbours
NEIGHBOURS = 3 * PERPLEXITY  # of each row; those beyond have no weight
# Twice as many change the trustworthiness of 1,515 and 9,144 rows by less than 0.002.
EXAGGERATED, ITERATIONS = 125, 250
INTERPOLATED = 7_000  # rows; of fewer the Barnes-Hut method is faster: 2 s instead of 9 of a processor for 1,515
INTERPOLATED_KEPT = 20_000  # likewise from kept places: 8 s instead of 19 for 9,144, since the grid is large at once
PARALLEL = 20_000  # rows; for fewer, the threads wait for each other longer than they work. The bytes are the same
REPORTED = 25  # iterations between two calls of `progress`
FEW = 5  # rows; fewer stay where their principal components put them
MOMENTUM = 0.8  # openTSNE's
# Of the attraction at first, in a new map and in one that starts from kept places. There 12 moves the rows further, for
# the same trustworthiness, and without any, new folders stay scattered: 0.971 instead of 0.977 for 20% of 9,144. Half of
# the iterations that follow are enough, and a map that is large from the start takes longer for each.
EXAGGERATION, SLIGHT, ITERATIONS_KEPT = 12, 4, 125
KEPT = 0.5  # of the rows must have a place, or else all get new ones: benchmarks/map.py --grown
NEAREST = 3  # neighbours with a place, between which a row without one starts


class Layout(NamedTuple):
    """Coordinates of the rows."""

    places: np.ndarray  # float32 (n, 2), from -1 to 1; NaN for rows without neighbours
    scale: float  # how many units of t-SNE are 1 here; a map that starts from these places needs them


def lay_out(
    neighbours: Neighbours,
    vectors: np.ndarray,
    seed: int = 0,
    progress: Progress = ignore,
    kept: Layout | None = None,
) -> Layout:
    """Return the places of vectors (n, d); equal input gives equal bytes.

    Rows start where their first two principal components put them. But if enough of them have a `kept` place (NaN for
    the others), these start there, and the others amid their neighbours; then most stay near.  Raises MissingExtra if openTSNE is not installed.
    """
    need("openTSNE", "map", "a map")
    places = np.full((len(vectors), 2), np.nan, np.float32)
    rows = np.flatnonzero(neighbours.has_any)
    if not len(rows):
        return Layout(places, 1.0)
    nodes, distances = _among(neighbours, rows)
    if len(rows) < FEW:
        laid = _first_places(vectors, rows)
    elif kept is not None and (~np.isnan(kept.places[rows, 0])).mean() >= KEPT:
        laid = _tsne(nodes, distances, _amid(kept.places[rows] * kept.scale, nodes), True, seed, progress)
    else:
        laid = _tsne(nodes, distances, _first_places(vectors, rows), False, seed, progress)
    laid = laid - (laid.max(axis=0) + laid.min(axis=0)) / 2
    scale = max(float(np.abs(laid).max()), 1e-30)
    places[rows] = laid / scale
    progress(Event("map", 1, 1))
    return Layout(places, scale)


def _first_places(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the first two principal components (m, 2), float64, of rows (m,)."""
    drawn = np.sort(np.random.default_rng(SEED).permutation(rows)[:MAX_FIT_VECTORS])
    c = min(2, len(rows), vectors.shape[1])
    mean, components, _ = principal_components(unit_rows(vectors, drawn)[1], c)
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


def _amid(places: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return places (m, 2), float64, in which rows without one (NaN) are amid their nearest of neighbours (m, k) with one.

    Rows whose neighbours have none come after these.
    """
    places = places.astype(np.float64)
    while len(rows := np.flatnonzero(np.isnan(places[:, 0]))):
        near = places[nodes[rows]]  # (b, k, 2)
        known = ~np.isnan(near[:, :, 0])
        near[known.cumsum(axis=1) > NEAREST] = np.nan
        found = known.any(axis=1)
        if not found.any():  # they are like each other only
            places[rows] = np.nanmedian(places, axis=0)
            break
        places[rows[found]] = np.nanmedian(near[found], axis=1)
    return places


def _tsne(
    nodes: np.ndarray,
    distances: np.ndarray,
    start: np.ndarray,
    is_kept: bool,
    seed: int,
    progress: Progress,
) -> np.ndarray:
    from openTSNE import TSNEEmbedding, affinity, initialization, nearest_neighbors

    m, k = nodes.shape
    jobs = cpu_count() if m >= PARALLEL else 1
    affinities = affinity.PerplexityBasedNN(
        perplexity=min(PERPLEXITY, max(1.0, k / 3)),
        knn_index=nearest_neighbors.PrecomputedNeighbors(nodes, distances),
        n_jobs=jobs,
    )
    start = start if is_kept else initialization.rescale(start)
    first = initialization.jitter(start, random_state=seed)  # equal rows start apart
    phases = (
        ((EXAGGERATED, SLIGHT), (ITERATIONS_KEPT, 1)) if is_kept else ((EXAGGERATED, EXAGGERATION), (ITERATIONS, 1))
    )
    done, total = 0, sum(iterations for iterations, _ in phases)

    def report(iteration: int, error: float, embedding: np.ndarray) -> bool:
        nonlocal done
        done += REPORTED
        progress(Event("map", done, total))
        return False

    embedding = TSNEEmbedding(
        first,
        affinities,
        negative_gradient_method="fft" if m >= (INTERPOLATED_KEPT if is_kept else INTERPOLATED) else "bh",
        n_jobs=jobs,
        callbacks=report,
        callbacks_every_iters=REPORTED,
        random_state=seed,
    )
    for iterations, exaggeration in phases:
        embedding.optimize(iterations, exaggeration=exaggeration, momentum=MOMENTUM, inplace=True)
    return np.asarray(embedding)
