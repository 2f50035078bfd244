"""Quality of an index: recall against exact search with its interval, query time, size, and similarities of its rows.

Shape letters: n vectors in all, q queries, k hits, d numbers in a vector, p pairs.
"""

from collections.abc import Sequence
from functools import cached_property
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, stdtrit

from similar_images.index.backend import MEASURED_K, Searchable, find_ivf, search
from similar_images.index.exact import ROUNDING, cosines, exact_search, rows_except, unit_rows
from similar_images.index.manifest import CandidateMetrics, Manifest, Measurement, SimilarityDistribution
from similar_images.index.similarity import COMPONENTS, COSINE, MAX_MEAN_DRIFT, SEED, Similarity

MAX_QUERIES = 1_000  # or a fifth of the collection
MIN_QUERIES = 200  # of a small collection
TIMED_QUERIES = 200  # one at a time
TAIL = 0.025  # beyond each end of a 95% interval
MIN_VERDICT_QUERIES = 20  # fewer do not show a difference
MAX_RECALL_LOSS = 0.02  # below the recall when built; more is stale
PAIRS = 100_000  # random pairs, p
PAIR_ROWS = 2_000  # rows that pairs are drawn from
PERCENTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 100)


class Queries:
    """Rows of a collection as queries, each excluded from its own hits, with their exact hits.

    Keep them out of the training too: trained rows have a higher recall than new images.
    """

    def __init__(
        self,
        array: np.ndarray,
        removed: Sequence[int] = (),
        count: int = MAX_QUERIES,
        seed: int = SEED,
        similarity: Similarity = COSINE,
    ):
        drawn = np.random.default_rng(seed).permutation(rows_except(len(array), removed))
        self.rows, self.unit = unit_rows(array, np.sort(drawn[: min(count, max(MIN_QUERIES, len(array) // 5))]))
        self.array, self.similarity, self._removed = array, similarity, removed

    @cached_property
    def _exact(self) -> tuple[np.ndarray, np.ndarray]:
        return exact_search(self.array, self.unit, MEASURED_K + 2, self._removed)  # one more shows ties

    @property
    def similarities(self) -> np.ndarray:
        """Similarities of the exact hits (q, k + 2), including the query itself."""
        return self._exact[0]

    @cached_property
    def true(self) -> np.ndarray:
        """The rows of the exact hits (q, k)."""
        return self.exclude_self(self._exact[1], MEASURED_K)

    def exclude_self(self, rows: np.ndarray, k: int) -> np.ndarray:
        """Return the first k of rows (q, any) without the query itself."""
        return np.take_along_axis(rows, columns_without_self(rows, self.rows, k), axis=1)

    def match_hits(self, found: np.ndarray) -> np.ndarray:
        """Return which found rows (q, any) are true hits, as the function `match_hits` does."""
        hits, tied = match_hits(found, self.true), self._tied
        if len(tied):  # only these need vectors
            hits[tied] = match_hits(found[tied], self.true[tied], self.array, self.unit[tied])
        return hits

    def recalls(self, hits: np.ndarray) -> np.ndarray:
        """Return the recall (q,) given which found rows (q, any) are hits."""
        return recall_from_hits(hits, self.true.shape[1])

    @cached_property
    def _tied(self) -> np.ndarray:
        """The queries whose last exact hit is as similar as an excluded row."""
        similarities, rows = self._exact
        if rows.shape[1] < MEASURED_K + 2:
            return np.empty(0, np.int64)
        columns = columns_without_self(rows, self.rows, MEASURED_K + 1)
        nearest = np.take_along_axis(similarities, columns, axis=1)
        return np.flatnonzero(nearest[:, MEASURED_K - 1] - nearest[:, MEASURED_K] <= ROUNDING)

    def milliseconds(self, backend: Searchable, reranked: int) -> np.ndarray:
        """Return the time of some queries, one at a time, including re-ranking."""
        times = []
        timed = self.unit[:TIMED_QUERIES]
        for query in [self.unit[:1], *np.split(timed, len(timed))]:
            start = perf_counter()
            search(backend, query, MEASURED_K, self.array, reranked)
            times.append(1000 * (perf_counter() - start))
        return np.array(times[1:])  # the first warms up

    def recall_alone(self, backend: Searchable) -> float:
        """Return the recall@10 without re-ranking."""
        _, rows = backend.search(self.unit, min(MEASURED_K + 1, backend.ntotal))
        return float(self.recalls(self.match_hits(self.exclude_self(rows, MEASURED_K))).mean())

    def measure(self, recipe: str, backend: Searchable, reranked: int) -> CandidateMetrics:
        """Return the metrics of an index that re-ranks a number of hits."""
        width = max(reranked, MEASURED_K)
        _, rows = backend.search(self.unit, min(width + 1, backend.ntotal))
        return self.metrics(recipe, backend, reranked, self.match_hits(self.exclude_self(rows, width)))

    def metrics(self, recipe: str, backend: Searchable, reranked: int, hits: np.ndarray) -> CandidateMetrics:
        """Return the same given which found rows (q, reranked or 10) are hits: re-ranking puts all hits first."""
        ivf = find_ivf(backend)
        p50, p95 = np.percentile(self.milliseconds(backend, reranked), (50, 95)).tolist()
        return CandidateMetrics(
            recipe,
            ivf.nprobe if ivf is not None else 0,
            reranked,
            *confidence_interval(self.recalls(hits)),
            p50,
            p95,
            backend.bytes + self.similarity.bytes,
        )


def measure_quality(
    queries: Queries, backend: Searchable, reranked: int, removed: Sequence[int], known: CandidateMetrics | None = None
) -> tuple[Measurement, SimilarityDistribution]:
    """Measure an index: recall with and without re-ranking, time and size; and the similarities of its rows."""
    metrics = known or queries.measure("", backend, reranked)
    nearest = queries.similarities[:, 1] if queries.similarities.shape[1] > 1 else queries.similarities[:, 0]
    measured = Measurement(
        recall=metrics.recall,
        interval=(metrics.low, metrics.high),
        recall_alone=queries.recall_alone(backend) if reranked else metrics.recall,
        k=MEASURED_K,
        queries=len(queries.rows),
        p50_ms=metrics.p50_ms,
        p95_ms=metrics.p95_ms,
        bytes_in_memory=metrics.bytes,
        bytes_on_disk=metrics.bytes,
    )
    pairs = percentiles(random_pairs(queries.array, removed))
    return measured, SimilarityDistribution(PERCENTILES, tuple(pairs), tuple(percentiles(nearest)))


def is_stale(manifest: Manifest) -> bool:
    """Return whether the recall is below the target; without a target, clearly below the recall when built."""
    target = manifest.target.recall if manifest.target else None
    floor = target if target is not None else manifest.built_recall - MAX_RECALL_LOSS
    return manifest.measured is not None and manifest.measured.recall < floor


def needs_refit(manifest: Manifest, n: int) -> bool:
    """Return whether a rebuild gives better hits: the mean has drifted, or n rows allow more components."""
    similarity = manifest.similarity
    if similarity is None:
        return False
    has_grown = similarity.name == "whitened" and n >= 2 * similarity.n
    return similarity.moved > similarity.built_moved + MAX_MEAN_DRIFT or (
        has_grown and similarity.dimension < COMPONENTS
    )


def recall(
    found: np.ndarray, true: np.ndarray, array: np.ndarray | None = None, unit: np.ndarray | None = None
) -> np.ndarray:
    """Return the recall (q,): the share of the true nearest rows (q, k) among the found rows (q, any).

    With vectors (n, d) and the queries' unit vectors (q, d) a row as similar as the last true one counts as well.
    """
    return recall_from_hits(match_hits(found, true, array, unit), true.shape[1])


def recall_from_hits(hits: np.ndarray, k: int) -> np.ndarray:
    """Return the recall (q,) of k true rows given which found rows (q, any) are hits; 1 if k is 0."""
    return np.minimum(hits.sum(axis=1), k) / k if k else np.ones(len(hits))


def match_hits(
    found: np.ndarray, true: np.ndarray, array: np.ndarray | None = None, unit: np.ndarray | None = None
) -> np.ndarray:
    """Return which found rows (q, any) are hits, as `recall` counts them; a repeated row counts once."""
    if len(found) != len(true):  # NumPy would broadcast a single row
        raise ValueError(f"expected the found rows of {len(true)} queries, got those of {len(found)}")
    hits = np.zeros(found.shape, bool)
    for column in true.T:
        hits |= found == column[:, None]
    if array is not None and unit is not None and hits.size and true.size:
        misses = np.where(hits | (found < 0), true[:, -1:], found)
        hits = (found >= 0) & (cosines(array, misses, unit) >= cosines(array, true[:, -1:], unit) - ROUNDING)
    order = np.argsort(found, axis=1, kind="stable")
    ordered = np.take_along_axis(found, order, axis=1)
    repeated = np.zeros(found.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return hits & ~repeated


def columns_without_self(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the columns (q, <= k) of the first k of rows (q, any) that differ from the query's row (q,)."""
    self_last = np.argsort(rows == queries[:, None], axis=1, kind="stable")
    return self_last[:, : min(k, rows.shape[1] - 1)]


class Interval(NamedTuple):
    """A mean with its 95% confidence interval."""

    mean: float
    low: float
    high: float


def confidence_interval(values: np.ndarray, minimum: float = 0.0) -> Interval:
    """Return the mean of shares (q,), or with `minimum` -1 of differences of shares, with its 95% interval.

    Shares: Clopper & Pearson (1934), with a coverage of at least 95% for samples of 0 and 1, for the effective number
    of queries (Korn & Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", 1998): shares between 0 and 1 vary less, so they count as more queries. The variance
    includes one more 0 and one more 1, since a few equal values understate it. Differences: Student's t with half a -1,
    half a 1 and a 0 more (Agresti & Min, "Simple improved confidence intervals for comparing matched proportions", 2005).
    """
    n, mean = len(values), float(values.mean())
    middle = mean * n / (n + 2) if minimum < 0 else (mean * n + 1) / (n + 2)
    variance = (float(np.square(values, dtype=float).sum()) + 1) / (n + 2) - middle**2
    if minimum < 0:
        error = float(stdtrit(max(1, n - 1), 1 - TAIL)) * (variance / (n + 2)) ** 0.5
        return Interval(mean, max(minimum, middle - error), min(1.0, middle + error))
    effective = n * middle * (1 - middle) / variance
    hits, misses = effective * mean, effective * (1 - mean)
    low = float(betaincinv(hits, misses + 1, TAIL)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, misses, 1 - TAIL)) if misses > 0 else 1.0
    return Interval(mean, low, high)


def random_pairs(array: np.ndarray, removed: Sequence[int]) -> np.ndarray:
    """Return the similarities (p,) of random pairs of different rows, drawn from a sample."""
    random = np.random.default_rng(SEED)
    rows = np.sort(random.permutation(rows_except(len(array), removed))[:PAIR_ROWS])
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
    values: list[float] = np.percentile(similarities, PERCENTILES).astype(float).round(6).tolist()
    return values
