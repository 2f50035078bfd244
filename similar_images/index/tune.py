"""An index that meets targets: candidates are built and measured on held-out queries against exact search.

Shape letters: n vectors in all, q queries, k hits, d numbers in a vector.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from time import perf_counter
from typing import NamedTuple

import faiss
import numpy as np
from scipy.special import betaincinv, stdtrit

from similar_images.index import engine
from similar_images.index import index as indexes
from similar_images.index.engine import Engine
from similar_images.index.parts import inverted, is_mapped
from similar_images.index.recipes import SEED, Reduction, Trained, lists, reduced, train
from similar_images.index.similarity import COSINE, Similarity

K = indexes.MEASURED_K  # recall@10
QUERIES = 1_000  # or a fifth of the collection
FEW = 200  # vectors; so many queries are taken of a small collection all the same
TIMED = 200  # queries, one at a time
DIMENSIONS = (64, 128, 192, 256, 512)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)
RERANKED = (0, 20, 30, 50, 70, 100, 150, 200, 400)
LARGE = 200_000  # vectors; above it fewer candidates are built
LARGEST_FLAT = 2**30  # bytes
SIZE_POWER = 2  # an index of twice the size must answer in less than a quarter of the time
FASTEST = 0.02  # ms for one query; no candidate is faster
TAIL = 0.025  # beyond each end of a 95% interval
MIN_VERDICT_QUERIES = 20  # fewer tell nothing apart


class Target(NamedTuple):
    recall: float | None = None  # recall@10, from 0 to 1
    max_bytes: int | None = None
    max_ms: float | None = None  # for one query, the median


class Measured(NamedTuple):
    """A candidate, or what became of the choice."""

    recipe: str
    nprobe: int
    reranked: int
    recall: float  # recall@10 against exact search
    low: float  # its 95% interval
    high: float
    p50_ms: float  # one query at a time
    p95_ms: float
    bytes: int  # of the index, in memory and on disk

    @property
    def confirmed_recall(self) -> float:
        """The recall with 95% confidence; exact search needs no estimate."""
        return self.recall if self.recipe == "flat" else self.low

    def meets(self, target: Target) -> bool:
        return (
            (target.recall is None or self.confirmed_recall >= target.recall)
            and (target.max_bytes is None or self.bytes <= target.max_bytes)
            and (target.max_ms is None or self.p50_ms <= target.max_ms)
        )


class Queries:
    """Rows of a collection as queries, each left out of its own hits, with their exact hits.

    Keep them out of the training too, or the recall that they show is higher than that of an image never seen.
    """

    def __init__(
        self,
        array: np.ndarray,
        removed: Sequence[int] = (),
        count: int = QUERIES,
        seed: int = SEED,
        similarity: Similarity = COSINE,
    ):
        allowed = indexes.rows_but(len(array), removed)
        drawn = np.random.default_rng(seed).permutation(allowed)
        self.rows, self.unit = indexes.unit_rows(array, np.sort(drawn[: min(count, max(FEW, len(array) // 5))]))
        self.array, self.similarity, self._removed = array, similarity, removed

    @cached_property
    def _exact(self) -> tuple[np.ndarray, np.ndarray]:
        return indexes.exact_search(self.array, self.unit, K + 2, self._removed)  # one more shows ties

    @property
    def similarities(self) -> np.ndarray:
        """Those of the exact hits (q, k + 2), the query itself among them."""
        return self._exact[0]

    @cached_property
    def true(self) -> np.ndarray:
        """The rows of the exact hits (q, k)."""
        return self.others(self._exact[1], K)

    def hits(self, found: np.ndarray) -> np.ndarray:
        """Return which found rows (q, any) are hits, as `indexes.are_hits` does."""
        hits, tied = indexes.are_hits(found, self.true), self._tied
        if len(tied):  # others need no vectors
            hits[tied] = indexes.are_hits(found[tied], self.true[tied], self.array, self.unit[tied])
        return hits

    def recalls(self, hits: np.ndarray) -> np.ndarray:
        """Return the recall (q,) of found rows, of which `hits` (q, any) are hits."""
        return indexes.recall_of(hits, self.true.shape[1])

    @cached_property
    def _tied(self) -> np.ndarray:
        """The queries whose last exact hit is as similar as a row that is left out."""
        similarities, rows = self._exact
        if rows.shape[1] < K + 2:
            return np.empty(0, np.int64)
        nearest = np.take_along_axis(similarities, indexes.others(rows, self.rows, K + 1), axis=1)
        return np.flatnonzero(nearest[:, K - 1] - nearest[:, K] <= indexes.ROUNDING)

    def others(self, rows: np.ndarray, k: int) -> np.ndarray:
        """Return the first k of rows (q, any) that are not the query itself."""
        return np.take_along_axis(rows, indexes.others(rows, self.rows, k), axis=1)

    def milliseconds(self, index: faiss.Index | Engine, reranked: int) -> np.ndarray:
        """Return what each of some queries took, one at a time, re-ranking included."""
        times = []
        for query in [self.unit[:1], *np.split(self.unit[:TIMED], len(self.unit[:TIMED]))]:
            began = perf_counter()
            indexes.search(index, query, K, self.array, reranked)
            times.append(1000 * (perf_counter() - began))
        return np.array(times[1:])  # the first warms up

    def recall(self, index: faiss.Index | Engine) -> float:
        """Return the recall@10 of an index alone, without re-ranking."""
        _, rows = index.search(self.unit, min(K + 1, index.ntotal))
        return float(self.recalls(self.hits(self.others(rows, K))).mean())

    def measure(self, recipe: str, index: faiss.Index | Engine, reranked: int) -> Measured:
        """Return what an index reaches with the number of hits that are re-ranked."""
        _, rows = index.search(self.unit, min(max(reranked, K) + 1, index.ntotal))
        return self.measured(recipe, index, reranked, self.hits(self.others(rows, max(reranked, K))))

    def measured(self, recipe: str, index: faiss.Index | Engine, reranked: int, hits: np.ndarray) -> Measured:
        """Return the same for rows that were found already, of which `hits` (q, reranked or 10) are hits.

        What is re-ranked by the exact vectors has all true hits that are in it at its head.
        """
        inverted = engine.inverted(index)
        nprobe = inverted.nprobe if inverted is not None else 0
        p50, p95 = np.percentile(self.milliseconds(index, reranked), (50, 95)).tolist()
        return Measured(
            recipe,
            nprobe,
            reranked,
            *interval(self.recalls(hits)),
            p50,
            p95,
            size(index) + self.similarity.bytes,
        )


class Unreachable(ValueError):
    """No candidate meets the target; the message says for each limit what is possible with the others met."""


def interval(each: np.ndarray, least: float = 0.0) -> tuple[float, float, float]:
    """Return the mean of shares (q,), or with `least` -1 of differences of shares, with its 95% interval.

    Of shares it is Clopper and Pearson's (1934), which covers the mean in at least 95% of samples of 0 and 1, for the
    effective number of queries (Korn & Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", 1998): shares between 0 and 1 vary less than 0 and 1, so they count as
    more queries. Their variance is that with one 0 and one 1 more, since a few equal values understate it. Of
    differences it is Student's with half a -1, half a 1 and a 0 more (Agresti & Min, "Simple improved confidence
    intervals for comparing matched proportions", 2005).
    """
    n, mean = len(each), float(each.mean())
    middle = mean * n / (n + 2) if least < 0 else (mean * n + 1) / (n + 2)
    variance = (float(np.square(each, dtype=float).sum()) + 1) / (n + 2) - middle**2
    if least < 0:
        error = float(stdtrit(max(1, n - 1), 1 - TAIL)) * (variance / (n + 2)) ** 0.5
        return mean, max(least, middle - error), min(1.0, middle + error)
    effective = n * middle * (1 - middle) / variance
    hits, misses = effective * mean, effective * (1 - mean)
    low = float(betaincinv(hits, misses + 1, TAIL)) if hits > 0 else 0.0
    return mean, low, float(betaincinv(hits + 1, misses, 1 - TAIL)) if misses > 0 else 1.0


def size(index: faiss.Index | Engine) -> int:
    """Return the bytes of an index: Faiss holds in memory the arrays that it writes."""
    if not isinstance(index, faiss.Index):
        return index.bytes
    if is_mapped(index):
        lists = inverted(index)
        return index.ntotal * (lists.code_size + 8) + size(faiss.downcast_index(lists.quantizer))
    writer = _Counter()
    faiss.write_index(indexes.as_written(index), faiss.PyCallbackIOWriter(writer))  # type: ignore[attr-defined]
    return writer.bytes


def choose(
    queries: Queries,
    sample: np.ndarray,
    target: Target,
    add: Callable[[faiss.Index], None],
    tried: Callable[[Measured], None] = lambda candidate: None,
) -> tuple[Trained, Measured]:
    """Return the filled index that meets the target: the fastest for its size, or without a recall the most exact.

    `sample` is unit vectors (m, d) to train on, none of them a query; `add` fills an index with all vectors, `tried`
    gets each candidate.
    Raises Unreachable.
    """
    all_measured: list[Measured] = []
    best: tuple[Trained, Measured] | None = None

    def can_win(expected: float) -> bool:
        """Return whether a candidate of so many bytes may be better than the best so far."""
        return best is None or target.recall is None or FASTEST * expected**SIZE_POWER < _score(best[1])

    for recipe, trained in _candidates(queries, sample, target, can_win):
        add(trained.faiss)
        for measured in _tuned(queries, recipe, trained, target):
            tried(measured)
            all_measured.append(measured)
            if measured.meets(target) and (best is None or _better(measured, best[1], target)):
                best = trained, measured
    if best is None:
        raise Unreachable(_unmet(all_measured, target))
    trained, measured = best
    inverted = faiss.try_extract_index_ivf(trained.faiss)
    if inverted is not None:
        inverted.nprobe = measured.nprobe
        trained.parameters["nprobe"] = measured.nprobe
    trained.parameters["reranked"] = measured.reranked
    return best


def _candidates(
    queries: Queries, sample: np.ndarray, target: Target, can_win: Callable[[float], bool]
) -> Iterator[tuple[str, Trained]]:
    n, d = queries.array.shape
    flat = 4 * n * d
    if flat <= min(target.max_bytes or LARGEST_FLAT, LARGEST_FLAT) and (exact := train("flat", sample, n)):
        yield "flat", exact
    dimensions = [keep for keep in DIMENSIONS if keep < min(d, len(sample))]
    if n > LARGE:
        dimensions = [keep for keep in dimensions if keep in (128, 256)]
    if 4 <= d <= min(DIMENSIONS[-1], len(sample)):
        dimensions.append(d // 4 * 4)
    if not dimensions:
        return
    reduction = Reduction(sample, max([keep for keep in dimensions if keep < d], default=1))
    for keep in dimensions:
        coarse = [(f"PQ{keep // 4}x4fs", keep / 8), (f"PQ{keep // 2}x4fs", keep / 4)]
        fine = [("RaBitQfs", keep / 8 + 8), ("SQ8", keep)] if keep >= 128 or keep == dimensions[-1] else []
        for codes, code_bytes in coarse + fine:
            expected = queries.similarity.bytes + 4 * keep * (d * (keep < d) + lists(n)) + n * (code_bytes + 8)
            if (target.max_bytes and expected > 1.5 * target.max_bytes) or not can_win(expected):
                continue
            trained = reduced(reduction, sample, n, keep, codes)
            if trained is not None:
                yield f"{keep}-d, {trained.parameters['factory']}", trained


def _tuned(queries: Queries, recipe: str, trained: Trained, target: Target) -> Iterator[Measured]:
    """Measure a filled candidate over nprobe and the number re-ranked, where these can meet the recall."""
    inverted = faiss.try_extract_index_ivf(trained.faiss)
    if inverted is None:
        yield queries.measure(recipe, trained.faiss, 0)
        return
    fewest, closest = None, (-1.0, 1, 0)  # closest: where none meets the recall, to report what is possible
    for nprobe in (probe for probe in PROBES if probe <= inverted.nlist):
        inverted.nprobe = nprobe
        _, rows = trained.faiss.search(queries.unit, min(max(RERANKED) + 1, trained.faiss.ntotal))
        hits = queries.hits(queries.others(rows, max(RERANKED)))
        for reranked in RERANKED:
            _, low, _ = interval(queries.recalls(hits[:, : reranked or K]))
            if target.recall is None or low >= target.recall:
                if target.recall is not None and fewest is not None and reranked >= fewest:
                    return  # more probes only take longer, since they no longer spare re-ranking
                fewest = reranked
                yield queries.measured(recipe, trained.faiss, reranked, hits[:, : reranked or K])
                if target.recall is not None:
                    break  # more hits re-ranked only take longer
            elif low > closest[0]:
                closest = low, nprobe, reranked
    if fewest is None:
        inverted.nprobe = closest[1]
        yield queries.measure(recipe, trained.faiss, closest[2])


def _score(one: Measured) -> float:
    return one.p50_ms * one.bytes**SIZE_POWER


def _better(one: Measured, other: Measured, target: Target) -> bool:
    if target.recall is not None:
        return _score(one) < _score(other)
    keys = [
        (-each.recall, each.recipe != "flat", each.p50_ms) for each in (one, other)
    ]  # flat is exact for all queries
    return keys[0] < keys[1]


def _unmet(tried: list[Measured], target: Target) -> str:
    limits = {
        "recall": (
            f"--target-recall {target.recall}",
            lambda best: f"the highest recall@10 is {best.confirmed_recall:.3f} with 95% confidence",
            lambda one: -one.confirmed_recall,
        ),
        "max_bytes": (
            f"--max-bytes {target.max_bytes}",
            lambda best: f"the smallest is {best.bytes:,} bytes",
            lambda one: one.bytes,
        ),
        "max_ms": (
            f"--max-ms {target.max_ms}",
            lambda best: f"the fastest takes {best.p50_ms:.3f} ms",
            lambda one: one.p50_ms,
        ),
    }
    said = []
    for name, (option, reachable, order) in limits.items():
        if getattr(target, name) is not None:
            others = [one for one in tried if one.meets(target._replace(**{name: None}))]
            if others:
                said.append(f"with the others met, {reachable(min(others, key=order))} ({option})")
    return "no index meets all limits: " + ("; ".join(said) or "no two can be met together; loosen at least two")


class _Counter:
    """A file that counts what is written to it."""

    def __init__(self):
        self.bytes = 0

    def __call__(self, content: bytes) -> int:
        self.bytes += len(content)
        return len(content)
