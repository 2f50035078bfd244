#!/usr/bin/env python3
"""The recipe of 2022 against an index built for a target, on real vectors; unseen queries; rows added later.

./benchmarks/search_quality.py VECTORS.npy

Each set is measured unchanged and projected to dimension 4096 (by a random ReLU layer, similar to VGG16's fc2).
500 rows are held out as queries; no build sees them. Recall is recall@10 against exact search.
Both sides run alternately; medians of all rounds are printed.
"""

import sys
import tempfile
import time
from pathlib import Path

import click
import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.index import build as building
from similar_images.index.index import exact_search, normalised, open_index, recall
from similar_images.index.tune import Target
from similar_images.vectors.store import open_vectors

QUERIES, K, ROUNDS, SEEDS = 500, 10, 5, 5


def lifted(array: np.ndarray) -> np.ndarray:
    layer = np.random.default_rng(0).normal(size=(array.shape[1], 4096)).astype(np.float32)
    return np.maximum(normalised(array) @ layer - 0.5, 0)


class Split:
    """Vectors in a folder with queries held out."""

    def __init__(self, array: np.ndarray, folder: Path, seed: int = 0):
        order = np.random.default_rng(seed).permutation(len(array))
        self.folder = folder
        self.queries = normalised(array[order[:QUERIES]])
        np.save(folder / "v.npy", array[np.sort(order[QUERIES:])])
        self.vectors = open_vectors(folder / "v.npy")
        self.true = exact_search(self.vectors.array, self.queries, K)[1]

    def build(self, **how) -> float:
        began = time.perf_counter()
        building.build(self.vectors, self.folder / "i.index", **how)
        self.index = open_index(self.folder / "i.index")
        return time.perf_counter() - began

    def recall(self, index, array) -> float:
        return float(recall(index.search(self.queries, K, array)[1], self.true).mean())

    def milliseconds(self, index, array) -> tuple[float, float]:
        """Return what a query takes, one at a time and all at once."""
        times = []
        for batches in (QUERIES, 1):
            began = time.perf_counter()
            for batch in np.split(self.queries, batches):
                index.search(batch, K, array)
            times.append(1000 * (time.perf_counter() - began) / QUERIES)
        return tuple(times)


def against_classic(name: str, array: np.ndarray, folder: Path) -> None:
    split = Split(array, folder)
    seconds = {"classic": split.build(recipe="classic")}
    classic = split.index
    limit = classic.manifest["measured"]["bytes_in_memory"]
    seconds["target"] = split.build(target=Target(recall=0.98, max_bytes=limit))
    sides = {"classic": (classic, None), "target": (split.index, split.vectors.array)}
    times = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, what in sides.items():
            times[side].append(split.milliseconds(*what))
    print(f"\n{name}: {len(split.vectors.array)} vectors of {array.shape[1]}")
    print("          recipe                       build s       MB  ms a query  all at once  recall@10")
    for side, (index, vectors) in sides.items():
        size = index.manifest["measured"]["bytes_in_memory"] / 1e6
        single, batch = np.median(times[side], axis=0)
        print(
            f"{side:9} {index.recipe:27} {seconds[side]:8.1f} {size:8.2f} {single:11.3f} {batch:12.3f} "
            f"{split.recall(index, vectors):10.3f}"
        )
    single, batch = np.median(np.array(times["target"]) / np.array(times["classic"]), axis=0)
    build = seconds["target"] / seconds["classic"]
    print(f"target / classic: ms {single:.2f}, all at once {batch:.2f}, build {build:.2f}")


def unseen(array: np.ndarray, folder: Path) -> None:
    print("\n--target-recall 0.95, on queries that the build did not see:")
    for seed in range(SEEDS):
        split = Split(array, folder, seed)
        split.build(target=Target(recall=0.95))
        print(f"seed {seed}: recall@10 {split.recall(split.index, split.vectors.array):.3f}  {split.index.recipe}")


def added(array: np.ndarray, folder: Path) -> None:
    split = Split(array, folder)
    split.build(recipe="reduced")
    full = split.recall(split.index, split.vectors.array)
    whole = np.array(split.vectors.array)
    np.save(folder / "v.npy", whole[: int(0.9 * len(whole))])
    building.build(open_vectors(folder / "v.npy"), folder / "i.index", "reduced")
    np.save(folder / "v.npy", whole)
    building.add(open_vectors(folder / "v.npy"), folder / "i.index")
    grown = split.recall(open_index(folder / "i.index"), split.vectors.array)
    print(f"\n10% added: recall@10 {grown:.3f}, rebuilt {full:.3f}, difference {full - grown:+.3f}")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def main(file: Path, threads: int) -> None:
    faiss.omp_set_num_threads(threads)
    array = np.load(file).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        against_classic("as it is", array, Path(folder))
        against_classic("lifted", lifted(array), Path(folder))
        unseen(array, Path(folder))
        added(array, Path(folder))


if __name__ == "__main__":
    main()
