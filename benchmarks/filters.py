#!/usr/bin/env python3
"""Measure search with a filter for 1%, 10% and 50% of 100,000 vectors, compared with unfiltered search.

./benchmarks/filters.py VECTORS.npy [--count 100000] [--similarity whitened] [--recipe reduced] [--folder DIR]

VECTORS.npy needs a list of names CLASS/FILE (.txt). Vectors are mixed as in search_growth.py and take the class of
their main component; 500 more vectors of all classes are the queries. A filter keeps random rows or whole classes; in
the second case most queries belong to excluded classes, far from all remaining rows. Recall is relative to exact
search of the matching rows. Queries run one at a time on one thread, alternately with and without a filter. "first"
is the time of a filter's first query, which prepares the others. "selector" uses Faiss' ID selector on the whole
index, with the same number of probes.

The second table shows the percentage of queries reported as without a close match. For queries of remaining classes
("own") 4% (whitened) or 1% (cosine) are expected. It compares the threshold of the matching rows with the threshold of
the whole collection.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from search_growth import BLOCK, QUERIES, D, mixed, reduced, save

from similar_images.collection.images import Collection
from similar_images.index import builder
from similar_images.index.backend import FaissBackend, find_ivf, search
from similar_images.index.builder import BuildRequest
from similar_images.index.quality import recall
from similar_images.inputs.names import write_names
from similar_images.vectors.store import open_vectors

K = 10
SHARES = (0.01, 0.1, 0.5)


def classes_of(file: Path, n: int, seed: int) -> np.ndarray:
    """Return the class of each of n mixed vectors, taken from its main component, drawn as in `mixed`."""
    names = file.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    known = np.unique([name.split("/")[0] for name in names], return_inverse=True)[1]
    random, found = np.random.default_rng(seed), []
    for start in range(0, n, BLOCK):
        b = min(BLOCK, n - start)
        one, _ = (random.integers(0, len(known), b) for _ in range(2))
        random.normal(size=(b, D))
        found.append(known[one])
    return np.concatenate(found)


def filters(classes: np.ndarray):
    """Yield the name of a filter, its share, the matching rows and their classes."""
    random = np.random.default_rng(0)
    order = random.permutation(np.unique(classes))
    sizes = np.cumsum([np.count_nonzero(classes == one) for one in order])
    for share in SHARES:
        matching = random.random(len(classes)) < share
        yield "random rows", share, matching, order
        chosen = order[: 1 + int(np.argmin(abs(sizes - share * len(classes))))]
        yield "whole classes", share, np.isin(classes, chosen), chosen


def milliseconds(ways: list[Callable[[np.ndarray], object]], queries: np.ndarray) -> np.ndarray:
    """Return the median time of one query of each way, in turns."""
    times = np.empty((len(ways), len(queries)))
    for i, query in enumerate(queries):
        for way, run in enumerate(ways):
            began = time.perf_counter()
            run(query)
            times[way, i] = 1000 * (time.perf_counter() - began)
    return np.median(times, axis=1)


def with_selector(collection: Collection, matching: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a search of the whole index by an ID selector, with re-ranking."""
    index = collection.index.backend.index
    bits, copy = np.packbits(matching, bitorder="little"), find_ivf(FaissBackend(index).restrict(matching))
    parameters = faiss.SearchParametersIVF(sel=faiss.IDSelectorBitmap(bits), nprobe=copy.nprobe)
    if isinstance(index, faiss.IndexPreTransform):
        parameters = faiss.SearchParametersPreTransform(index_params=parameters)

    class Selecting(FaissBackend):
        def _search_parameters(self, nprobe):
            return parameters

    def run(query: np.ndarray) -> np.ndarray:
        unit, array = collection.searcher.transform([query]), collection.searcher.reranking
        return search(Selecting(index), unit, K, array, collection.index.reranked)[1][0]

    return run


def rows_of(collection: Collection, queries: np.ndarray, where: np.ndarray, exact: bool = False) -> np.ndarray:
    found = collection.nearest_many(queries, K, exact, where=where)
    return np.array([[hit.row for hit in hits] + [-1] * (K - len(hits)) for hits in found])


def no_match(collection: Collection, queries: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Return the percentage of queries without a close match, by the threshold of matching rows and of all rows."""
    found = [collection.nearest(query, 1, where=where) for query in queries]
    said = [[collection.is_like_nothing(hits, way) for hits in found] for way in (where, None)]
    return tuple(100 * np.mean(one) for one in said)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", default=100_000, show_default=True)
@click.option("--similarity", default="whitened", show_default=True)
@click.option("--recipe", default="reduced", show_default=True)
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with enough disk space."
)
def main(file: Path, count: int, similarity: str, recipe: str, folder: Path | None) -> None:
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        real, path = reduced(file), Path(scratch, "v.npy")
        save(path, real, count)
        write_names(path.with_suffix(".txt"), [f"{row}.jpg" for row in range(count)])
        builder.build(open_vectors(path), Path(scratch, "v.faiss.index"), BuildRequest(recipe, similarity=similarity))
        collection = Collection.open(path)
        queries, classes = next(mixed(real, QUERIES, seed=2)), classes_of(file, count, seed=1)
        of_queries = classes_of(file, QUERIES, seed=2)
        print(f"{count:,} vectors, {similarity}, {collection.recipe}")
        print("left                   rows  first ms     ms  ratio  selector  recall@10  of selector")
        lines = []
        for left, share, matching, chosen in filters(classes):
            began = time.perf_counter()
            collection.nearest(queries[0], K, where=matching)
            first = 1000 * (time.perf_counter() - began)
            selector = with_selector(collection, matching)
            true = rows_of(collection, queries, matching, exact=True)
            ways = [
                lambda query: collection.nearest(query, K),
                lambda query, matching=matching: collection.nearest(query, K, where=matching),
                selector,
            ]
            milliseconds(ways, queries[:20])  # warms up
            plain, filtered, selecting = milliseconds(ways, queries)
            compared = collection.compared, collection.searcher.transform([*queries])
            reached = recall(rows_of(collection, queries, matching), true, *compared).mean()
            by_selector = recall(np.array([selector(query) for query in queries]), true, *compared).mean()
            print(
                f"{left:13} {share:4.0%} {matching.sum():8,} {first:9.1f} {filtered:6.3f} {filtered / plain:6.2f} "
                f"{selecting / plain:9.2f} {reached:10.3f} {by_selector:12.3f}",
                flush=True,
            )
            own = np.isin(of_queries, chosen)
            lines.append((left, share, matching, queries[own], queries[~own]))
        print("filter              no close match, %: own, own limit  own, common limit  others, own limit")
        for left, share, matching, own, others in lines:
            ours, by_all = no_match(collection, own, matching)
            foreign = f"{no_match(collection, others, matching)[0]:18.1f}" if len(others) else ""
            print(f"{left:13} {share:4.0%} {len(own):9} of {QUERIES} {ours:22.1f} {by_all:18.1f} {foreign}", flush=True)


if __name__ == "__main__":
    main()
