#!/usr/bin/env python3
"""Recipes side by side on real vectors: bytes, build time, ms a query, recall@10 against exact search.

./benchmarks/recipes.py VECTORS.npy    (with its list beside it: VECTORS.txt)

500 of the rows are held out as queries. One thread; the recipes take turns, medians of all rounds are printed.
"""

import sys
import tempfile
import time
from pathlib import Path

import click
import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.collection import Collection
from similar_images.index import build, open_index, recall
from similar_images.vectors import open_vectors

QUERIES, K, ROUNDS = 500, 10, 3


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    faiss.omp_set_num_threads(1)
    array = np.load(file)
    held_out = np.random.default_rng(0).permutation(len(array))
    queries, kept = array[held_out[:QUERIES]].astype(np.float32), array[np.sort(held_out[QUERIES:])]
    with tempfile.TemporaryDirectory() as folder:
        vectors = Path(folder, "v.npy")
        np.save(vectors, kept)
        Path(folder, "v.txt").write_text("".join(f"{row}\n" for row in range(len(kept))))
        ways = {}
        for recipe in ("flat", "classic", "reduced"):
            index, began = Path(folder, f"{recipe}.index"), time.perf_counter()
            build(open_vectors(vectors), index, recipe)
            seconds = time.perf_counter() - began
            opened = open_index(index)
            collection = Collection.open(vectors, index=index)
            ways[recipe if recipe == "flat" else f"{recipe}, re-ranked"] = (collection, index, seconds)
            if recipe != "flat":
                alone = opened._replace(manifest={**opened.manifest, "parameters": {"reranked": 0}})
                ways[f"{recipe} alone"] = (Collection(collection.vectors, alone), index, seconds)
        times, hits = {way: [] for way in ways}, {}
        for _ in range(ROUNDS):
            for way, (collection, _, _) in ways.items():
                began = time.perf_counter()
                found = [collection.nearest(query, K) for query in queries]
                times[way].append(1000 * (time.perf_counter() - began) / QUERIES)
                hits[way] = np.array([[hit.row for hit in row] + [-1] * (K - len(row)) for row in found])
        print(f"{len(kept)} vectors of {array.shape[1]}, {QUERIES} queries that are not among them, one thread")
        print("recipe                  build s     MB  ms a query  recall@10")
        for way, (_, index, seconds) in ways.items():
            size, ms = index.stat().st_size / 1e6, np.median(times[way])
            print(f"{way:22} {seconds:8.1f} {size:6.2f} {ms:11.2f} {recall(hits[way], hits['flat']):10.3f}")
        ratio = np.median(np.array(times["classic, re-ranked"]) / np.array(times["reduced, re-ranked"]))
        print(f"reduced answers {ratio:.1f} times as fast as classic, both re-ranked")


if __name__ == "__main__":
    main()
