#!/usr/bin/env python3
"""Compare the index of 2022 with the present one on real vectors: unseen queries, rows added later.

./benchmarks/search_quality.py VECTORS.npy

Each set is measured unchanged and projected to 4,096 numbers by a random ReLU layer, similar to VGG16's fc2. 500 rows
are held out as queries. Recall is recall@10 compared with exact search in the same similarity: the cosine for the index
of 2022, built with Faiss' IndexIVFPQ as in its script, and the named similarity for the present index. Bytes include
the transform. Builds and searches alternate; medians of all rounds are printed.
"""

import sys
import tempfile
import time
from pathlib import Path

import click
import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.index import builder
from similar_images.index.backend import FaissBackend
from similar_images.index.builder import BuildRequest
from similar_images.index.exact import exact_search, normalise
from similar_images.index.index import Index, open_index
from similar_images.index.quality import recall
from similar_images.index.recipes import list_count
from similar_images.index.similarity import transform_all
from similar_images.index.tuning import QualityTarget
from similar_images.vectors.store import open_vectors

QUERIES, K, ROUNDS, SEEDS = 500, 10, 3, 5


def lifted(array: np.ndarray) -> np.ndarray:
    layer = np.random.default_rng(0).normal(size=(array.shape[1], 4096)).astype(np.float32)
    return np.maximum(normalise(array) @ layer - 0.5, 0)


class Split:
    """Vectors in a folder with queries held out."""

    def __init__(self, array: np.ndarray, folder: Path, seed: int = 0):
        order = np.random.default_rng(seed).permutation(len(array))
        self.folder = folder
        self.queries = normalise(array[order[:QUERIES]])
        np.save(folder / "v.npy", array[np.sort(order[QUERIES:])])
        self.vectors = open_vectors(folder / "v.npy")

    def build(self, **how) -> Index:
        builder.build(self.vectors, self.folder / "i.index", BuildRequest(**how))
        return open_index(self.folder / "i.index")

    def of_2022(self) -> Index:
        """Build like the script of 2022, from normalised vectors."""
        unit = normalise(self.vectors.array)
        n, d = unit.shape
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(d), d, list_count(n), 16, 8)
        index.train(unit)
        index.add(unit)
        index.nprobe = 4
        faiss.write_index(index, str(self.folder / "old.index"))
        return Index(self.folder / "old.index", FaissBackend(index), None)

    def recall(self, index: Index, reranked: bool = True) -> float:
        similarity = index.similarity
        array, unit = transform_all(self.vectors.array, similarity), similarity.transform(self.queries)
        true = exact_search(array, unit, K)[1]
        found = index.search(self.queries, K, self.vectors.array if reranked else None)[1]
        return float(recall(found, true, array, unit).mean())

    def milliseconds(self, index: Index, reranked: bool = True) -> tuple[float, float]:
        """Return the time per query, one at a time and all at once."""
        times = []
        for batches in (QUERIES, 1):
            began = time.perf_counter()
            for batch in np.split(self.queries, batches):
                index.search(batch, K, self.vectors.array if reranked else None)
            times.append(1000 * (time.perf_counter() - began) / QUERIES)
        return tuple(times)


def size(index: Index) -> float:
    """Return the MB of an index and its transform."""
    return index.bytes / 1e6


def against_2022(name: str, array: np.ndarray, folder: Path, similarity: str) -> None:
    split = Split(array, folder)
    ways = {
        "2022": split.of_2022,
        "default": lambda: split.build(recipe="reduced", similarity=similarity),
        "target": lambda: split.build(target=QualityTarget(recall=0.98), similarity=similarity),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    print(f"\n{name}: {len(split.vectors.array)} vectors of {array.shape[1]}, similarity {similarity}")
    print("way      recipe                       build s       MB  ms a query  all at once  recall@10")
    lines = {}
    for _ in range(ROUNDS):
        for way, build in ways.items():
            began = time.perf_counter()
            index = build()
            seconds[way].append(time.perf_counter() - began)
            times[way].append(split.milliseconds(index, way != "2022"))
            lines[way] = f"{size(index):8.2f}", f"{split.recall(index, way != '2022'):10.3f}", index
    for way, (mb, found, index) in lines.items():
        single, batch = np.median(times[way], axis=0)
        what = (index.manifest.parameters.factory or "") if index.manifest else ""
        recipe = f"{index.backend.d}-d {what}" if index.manifest else "IndexIVFPQ"
        print(f"{way:8} {recipe:27} {np.median(seconds[way]):8.2f} {mb} {single:11.3f} {batch:12.3f} {found}")
    for way in ("default", "target"):
        ratio = np.median(np.array(seconds[way]) / np.array(seconds["2022"]))
        single, batch = np.median(np.array(times[way]) / np.array(times["2022"]), axis=0)
        print(f"{way} / 2022: build {ratio:.2f}, ms {single:.2f}, all at once {batch:.2f}")


def unseen(array: np.ndarray, folder: Path, similarity: str) -> None:
    print("\n--target-recall 0.95, on queries that the build did not see:")
    for seed in range(SEEDS):
        split = Split(array, folder, seed)
        began = time.perf_counter()
        index = split.build(target=QualityTarget(recall=0.95), similarity=similarity)
        seconds = time.perf_counter() - began
        single, batch = split.milliseconds(index)
        print(
            f"seed {seed}: recall@10 {split.recall(index):.3f}, {size(index):.2f} MB, {single:.3f} ms, {batch:.3f} at once, "
            f"build {seconds:.1f} s  {index.recipe}"
        )


def added(array: np.ndarray, folder: Path, similarity: str) -> None:
    split = Split(array, folder)
    full = split.recall(split.build(recipe="reduced", similarity=similarity))
    whole = np.array(split.vectors.array)
    np.save(folder / "v.npy", whole[: int(0.9 * len(whole))])
    builder.build(open_vectors(folder / "v.npy"), folder / "i.index", BuildRequest("reduced", similarity=similarity))
    np.save(folder / "v.npy", whole)
    builder.add(open_vectors(folder / "v.npy"), folder / "i.index")
    grown = split.recall(open_index(folder / "i.index"))
    print(f"\n10% added: recall@10 {grown:.3f}, rebuilt {full:.3f}, difference {full - grown:+.3f}")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--similarity", default="whitened", show_default=True)
def main(file: Path, threads: int, similarity: str) -> None:
    faiss.omp_set_num_threads(threads)
    array = np.load(file).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        against_2022("as it is", array, Path(folder), similarity)
        against_2022("lifted", lifted(array), Path(folder), similarity)
        unseen(array, Path(folder), similarity)
        added(array, Path(folder), similarity)


if __name__ == "__main__":
    main()
