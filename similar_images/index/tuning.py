"""Choose an index that meets a quality target: build candidates and measure them on held-out queries.

Shape letters: n vectors in all, m in a sample, d numbers in a vector.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import faiss
import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.index.backend import MEASURED_K, FaissBackend, find_ivf
from similar_images.index.manifest import CandidateMetrics, QualityTarget
from similar_images.index.quality import Queries, confidence_interval
from similar_images.index.recipes import Reduction, TooFewVectors, Trained, list_count, train, train_reduced

DIMENSIONS = (64, 128, 192, 256, 512)
PROBE_STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
RERANK_DEPTHS = (0, 20, 30, 50, 70, 100, 150, 200, 400)
LARGE_COLLECTION = 200_000  # vectors; larger collections try fewer candidates
LARGE_DIMENSIONS = (128, 256)
MIN_FINE_DIMENSION = 128  # smaller dimensions are not tried with 8-bit codes
MAX_FLAT_BYTES = 2**30
SIZE_POWER = 2  # an index of twice the size must answer in less than a quarter of the time
MIN_QUERY_MS = 0.02  # no candidate is faster


@dataclass(frozen=True)
class CandidateEvent(Event):
    """The measurements of a candidate."""

    metrics: CandidateMetrics | None = None


class Unreachable(ValueError):
    """No candidate meets the target; the message gives the best value of each limit with the other limits met."""


def choose_candidate(
    queries: Queries,
    sample: np.ndarray,
    target: QualityTarget,
    fill: Callable[[faiss.Index], None],
    progress: Progress = ignore,
) -> Trained:
    """Return the filled index that meets the target: the fastest for its size, or without a recall the most exact.

    `sample` contains unit vectors (m, d) to train on, without the queries; `fill` adds all vectors to an index.
    `progress` receives a CandidateEvent for each candidate. Raises Unreachable.
    """
    measured: list[CandidateMetrics] = []
    best: tuple[Trained, CandidateMetrics] | None = None

    def can_win(expected_bytes: float) -> bool:
        return best is None or target.recall is None or MIN_QUERY_MS * expected_bytes**SIZE_POWER < _score(best[1])

    for trained in _candidates(queries, sample, target, can_win):
        fill(trained.index)
        for metrics in _tune(queries, trained, target):
            progress(CandidateEvent(metrics=metrics))
            measured.append(metrics)
            if target.is_met(metrics) and (best is None or _is_better(metrics, best[1], target)):
                best = trained, metrics
    if best is None:
        raise Unreachable(_describe_limits(measured, target))
    trained, metrics = best
    parameters = replace(trained.parameters, reranked=metrics.reranked)
    if (ivf := find_ivf(trained.index)) is not None:
        ivf.nprobe = metrics.nprobe
        parameters = replace(parameters, nprobe=metrics.nprobe)
    return replace(trained, recipe=metrics.recipe, parameters=parameters, metrics=metrics)


def _candidates(
    queries: Queries, sample: np.ndarray, target: QualityTarget, can_win: Callable[[float], bool]
) -> Iterator[Trained]:
    """Yield trained indexes that may meet the target."""
    n, d = queries.array.shape
    flat_bytes = 4 * n * d
    if flat_bytes <= min(target.max_bytes or MAX_FLAT_BYTES, MAX_FLAT_BYTES):
        yield train("flat", sample, n)
    dimensions = _dimensions(n, d, len(sample))
    if not dimensions:
        return
    reduction = Reduction(sample, max([keep for keep in dimensions if keep < d], default=1))
    for keep in dimensions:
        codes_bytes = {f"PQ{keep // 4}x4fs": keep / 8, f"PQ{keep // 2}x4fs": keep / 4}
        if keep >= MIN_FINE_DIMENSION or keep == dimensions[-1]:
            codes_bytes |= {"RaBitQfs": keep / 8 + 8, "SQ8": keep}
        for codes, code_bytes in codes_bytes.items():
            centroids = 4 * keep * (d * (keep < d) + list_count(n))
            expected = queries.similarity.bytes + centroids + n * (code_bytes + 8)
            if (target.max_bytes and expected > 1.5 * target.max_bytes) or not can_win(expected):
                continue
            try:
                trained = train_reduced(reduction, sample, n, keep, codes)
            except TooFewVectors:
                continue
            yield replace(trained, recipe=f"{keep}-d, {trained.parameters.factory}")


def _dimensions(n: int, d: int, m: int) -> list[int]:
    """Return the numbers of components to try."""
    dimensions = [keep for keep in DIMENSIONS if keep < min(d, m)]
    if n > LARGE_COLLECTION:
        dimensions = [keep for keep in dimensions if keep in LARGE_DIMENSIONS]
    if 4 <= d <= min(DIMENSIONS[-1], m):
        dimensions.append(d // 4 * 4)
    return dimensions


def _tune(queries: Queries, trained: Trained, target: QualityTarget) -> Iterator[CandidateMetrics]:
    """Measure a filled candidate over nprobe and the number of re-ranked hits that may meet the recall."""
    ivf, backend = find_ivf(trained.index), FaissBackend(trained.index)
    if ivf is None:
        yield queries.measure(trained.recipe, backend, 0)
        return
    fewest, closest = None, (-1.0, 1, 0)  # closest: low end of the recall, nprobe, re-ranked; if none meets the recall
    for nprobe in (probe for probe in PROBE_STEPS if probe <= ivf.nlist):
        ivf.nprobe = nprobe
        _, rows = backend.search(queries.unit, min(max(RERANK_DEPTHS) + 1, backend.ntotal))
        hits = queries.match_hits(queries.exclude_self(rows, max(RERANK_DEPTHS)))
        for reranked in RERANK_DEPTHS:
            _, low, _ = confidence_interval(queries.recalls(hits[:, : reranked or MEASURED_K]))
            if target.recall is None or low >= target.recall:
                if target.recall is not None and fewest is not None and reranked >= fewest:
                    return  # more probes take longer and no longer save re-ranking
                fewest = reranked
                yield queries.metrics(trained.recipe, backend, reranked, hits[:, : reranked or MEASURED_K])
                if target.recall is not None:
                    break  # more re-ranked hits only take longer
            elif low > closest[0]:
                closest = low, nprobe, reranked
    if fewest is None:
        ivf.nprobe = closest[1]
        yield queries.measure(trained.recipe, backend, closest[2])


def _score(metrics: CandidateMetrics) -> float:
    return metrics.p50_ms * float(metrics.bytes) ** SIZE_POWER


def _is_better(one: CandidateMetrics, other: CandidateMetrics, target: QualityTarget) -> bool:
    if target.recall is not None:
        return _score(one) < _score(other)
    keys = [(-each.recall, each.recipe != "flat", each.p50_ms) for each in (one, other)]  # flat is exact for any query
    return keys[0] < keys[1]


def _describe_limits(measured: list[CandidateMetrics], target: QualityTarget) -> str:
    """Return the best value of each limit among the candidates that meet the other limits."""

    def meeting(others: QualityTarget) -> list[CandidateMetrics]:
        return [one for one in measured if others.is_met(one)]

    best = []
    if target.recall is not None and (found := meeting(replace(target, recall=None))):
        recall = max(one.confirmed_recall for one in found)
        best.append(f"the highest recall@10 is {recall:.3f} with 95% confidence (--target-recall {target.recall})")
    if target.max_bytes is not None and (found := meeting(replace(target, max_bytes=None))):
        best.append(f"the smallest is {min(one.bytes for one in found):,} bytes (--max-bytes {target.max_bytes})")
    if target.max_ms is not None and (found := meeting(replace(target, max_ms=None))):
        best.append(f"the fastest takes {min(one.p50_ms for one in found):.3f} ms (--max-ms {target.max_ms})")
    reasons = "; ".join(f"with the others met, {value}" for value in best)
    return "no index meets all limits: " + (reasons or "no two can be met together; loosen at least two")
