#!/usr/bin/env python3
"""Compare the codes of the default index with RaBitQ: bytes, build time, recall and query time.

./benchmarks/codes.py VECTORS.npy [--count 1000000 ...]

Vectors are the given ones without 500 queries, and mixtures as in search_growth.py, all compared by the similarity
`whitened` in 112 numbers. Each index has sqrt(n) lists and probes a sixteenth of them. Recall is the share of the true
ten nearest rows among the first 100 rows of the index, before exact re-ranking. Queries run one at a time on one
thread, builds on all threads; the table shows medians of ROUNDS alternating builds and searches.
Source of RaBitQ: Gao & Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for
Approximate Nearest Neighbor Search", 2024.
"""

import sys
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import search_growth as growth

from similar_images.index import exact, quality
from similar_images.index.backend import FaissBackend, index_bytes
from similar_images.index.exact import exact_search, normalise, omp_threads
from similar_images.index.recipes import Reduction, train_reduced
from similar_images.index.similarity import fit, transform_all

CODES = ("PQ56x4fs", "RaBitQfs", "RaBitQfs2", "PQ28x4fs")
K, FOUND, QUERIES, SAMPLE, ROUNDS = 10, 100, 500, 65_536, 3


def compare(name: str, array: np.ndarray, queries: np.ndarray) -> None:
    similarity = fit(array, "whitened")
    moved, queries = transform_all(array, similarity), similarity.transform(normalise(queries))
    n, d = moved.shape
    true = exact_search(moved, queries, K)[1]
    rows = np.sort(np.random.default_rng(0).permutation(n)[:SAMPLE])
    sample = exact.unit_rows(moved, rows)[1]
    measured: dict[str, list[tuple[float, float]]] = {codes: [] for codes in CODES}
    found = {}
    for _ in range(ROUNDS):
        for codes in CODES:
            began = time.perf_counter()
            trained = train_reduced(Reduction(sample[:1000], 1), sample, n, d, codes)
            for block, unit in exact.unit_blocks(moved):
                trained.index.add_with_ids(unit, block)
            built = time.perf_counter() - began
            backend = FaissBackend(trained.index)
            with omp_threads(1):
                began = time.perf_counter()
                hits = np.concatenate([backend.search(query[None], FOUND)[1] for query in queries])
                took = 1000 * (time.perf_counter() - began) / len(queries)
            measured[codes].append((built, took))
            found[codes] = index_bytes(trained.index) / 1e6, float(quality.recall(hits, true, moved, queries).mean())
    first = None
    for codes in CODES:
        built, took = np.median(measured[codes], axis=0)
        mb, share = found[codes]
        first = first or (built, mb, took)
        ratios = f"{built / first[0]:.2f} {mb / first[1]:.2f} {took / first[2]:.2f}"
        print(f"{name:>14} {codes:10} {built:8.2f} {mb:8.2f} {share:10.3f} {took:8.3f}   {ratios}", flush=True)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", "counts", type=int, multiple=True, default=(10_000, 100_000, 1_000_000), show_default=True)
def main(file: Path, counts: tuple[int, ...]) -> None:
    print("       vectors codes       build s       MB  recall@100 ms query   ratios to the first: build, MB, ms")
    real = np.load(file).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(real))
    compare(f"{len(real) - QUERIES:,} real", real[order[QUERIES:]], real[order[:QUERIES]])
    real = growth.reduced(file)
    for count in counts:
        array = np.concatenate(list(growth.mixed(real, count, seed=1)))
        compare(f"{count:,}", array, next(growth.mixed(real, QUERIES, seed=2)))


if __name__ == "__main__":
    main()
