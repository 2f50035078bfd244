"""Search parameters for Milvus: the cheapest that reach the recall, measured on rows of the collection.

Shape letters: q queries, k hits.
"""

from similar_images.events import Event, Progress, ignore
from similar_images.index.backend import MEASURED_K
from similar_images.index.manifest import CandidateMetrics
from similar_images.index.quality import Queries, confidence_interval
from similar_images.index.tuning import RERANK_DEPTHS
from similar_images.milvus.index_types import TYPES
from similar_images.milvus.search import MilvusSearch

MIN_RECALL = 0.95  # recall@10 after re-ranking, with 95% confidence
QUERIES = 300  # each takes milliseconds
MAX_RERANKED = 200  # hits


def tune(
    queries: Queries, search: MilvusSearch, progress: Progress = ignore
) -> tuple[dict[str, int], int, CandidateMetrics]:
    """Set and return the search parameters; return the number of hits to re-rank, and the measured quality.

    If no setting reaches MIN_RECALL, the best one is taken and `progress` receives a note.
    """
    index_type = search.manifest.index.type
    kind = TYPES[index_type]
    settings = [{kind.search_parameter: value} for value in kind.search_values] if kind.search_parameter else [{}]
    lists = search.manifest.index.built_with.get("nlist")
    if lists:
        settings = [setting for setting in settings if setting["nprobe"] <= lists] or [{"nprobe": lists}]
    depths = [0] if index_type == "FLAT" else [depth for depth in RERANK_DEPTHS[1:] if depth <= MAX_RERANKED]
    best: tuple[float, dict[str, int], int] = (-1.0, {}, 0)
    for setting in settings:
        search.parameters = setting
        _, rows = search.search(queries.unit, min(max(max(depths), MEASURED_K) + 1, search.ntotal))
        hits = queries.match_hits(queries.exclude_self(rows, max(max(depths), MEASURED_K)))
        for depth in depths:
            _, low, _ = confidence_interval(queries.recalls(hits[:, : depth or MEASURED_K]))
            best = max(best, (low, setting, depth), key=lambda candidate: candidate[0])
            if low >= MIN_RECALL:
                break
        if best[0] >= MIN_RECALL:
            break
    _, search.parameters, depth = best
    reached = queries.measure(index_type, search, depth)
    if reached.recall < MIN_RECALL:
        progress(Event(note=f"recall@10 is only {reached.recall:.3f} with {index_type}: choose another --milvus-index"))
    return search.parameters, depth, reached
