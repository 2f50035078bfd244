"""How exactly Milvus searches: the least effort that reaches the recall, measured on rows of the collection.

Shape letters: n rows in all, q queries, k hits.
"""

from collections.abc import Callable

from similar_images.index.tune import RERANKED, K, Measured, Queries, interval
from similar_images.milvus.index_types import TYPES
from similar_images.milvus.search import MilvusSearch

RECALL = 0.95  # recall@10 after re-ranking, with 95% confidence
QUERIES = 300  # each takes milliseconds
DEEPEST = 200  # hits that are re-ranked


def tune(
    queries: Queries, search: MilvusSearch, index_type: str, note: Callable[[str], None] = lambda message: None
) -> tuple[dict[str, int], int, Measured]:
    """Return the parameters of the search, how many hits are re-ranked, and what they reach.

    `note` gets it if the recall is not reached: then it is the most that was.
    """
    kind = TYPES[index_type]
    rungs = [{kind.searched_with: value} for value in kind.values] if kind.searched_with else [{}]
    lists = search.manifest["index"]["built_with"].get("nlist")
    if lists:
        rungs = [rung for rung in rungs if rung["nprobe"] <= lists] or [{"nprobe": lists}]
    depths = [0] if index_type == "FLAT" else [depth for depth in RERANKED[1:] if depth <= DEEPEST]
    best: tuple[float, dict[str, int], int] = (-1.0, {}, 0)
    for rung in rungs:
        search.parameters = rung
        _, rows = search.search(queries.unit, min(max(max(depths), K) + 1, search.ntotal))
        hits = queries.hits(queries.others(rows, max(max(depths), K)))
        for depth in depths:
            _, low, _ = interval(queries.recalls(hits[:, : depth or K]))
            best = max(best, (low, rung, depth), key=lambda one: one[0])
            if low >= RECALL:
                break
        if best[0] >= RECALL:
            break
    _, search.parameters, depth = best
    reached = queries.measure(index_type, search, depth)
    if reached.recall < RECALL:
        note(f"recall@10 is only {reached.recall:.3f} with {index_type}: choose another --milvus-index")
    return search.parameters, depth, reached
