#!/usr/bin/env python3
"""Compare clustering algorithms by agreement with folders and time, and measure how well k images cover a collection.

./benchmarks/clusters.py FOLDER_OR_VECTORS ... [--mixed VECTORS.npy --count 100000]

FOLDER has one folder per class and is extracted with EfficientNet-Lite0; names of VECTORS start with the class. All
algorithms use the collection's similarity: Louvain with several numbers of links and resolutions, k-means of Faiss,
HDBSCAN of scikit-learn on the map and, for small collections, on the vectors. AMI is the adjusted mutual information
with the classes; images without a cluster form one more cluster. Seconds are processor time in all threads, without
neighbours and map. `--mixed` clusters `--count` mixed vectors without classes.

The second table shows the AMI of eight random parts with few classes, like small collections. The third shows the mean
similarity of each image to the nearest of 10 or 50 images, chosen by `collection.spread`, the farthest-point method,
the facility-location method (greedy, 1,000 random candidates), or at random (mean of 10 draws).
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from map import collections

from similar_images.collection.images import Collection
from similar_images.evaluation.labels import folder_labels
from similar_images.index.exact import normalise
from similar_images.index.neighbours import find_neighbours
from similar_images.overview.clusters import NEAREST, RESOLUTION, communities, find_clusters

SMALL = 3_000  # vectors; HDBSCAN compares each with each


def algorithms(collection: Collection, unit: np.ndarray) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    from sklearn.cluster import HDBSCAN

    neighbours = collection.neighbours()
    yield "collection.clusters()", lambda: find_clusters(neighbours, collection.compared)[:, 0]
    for k in (NEAREST, 15):
        for resolution in (1.0, RESOLUTION, 16.0):
            yield f"Louvain, {k} links, {resolution:g}", lambda k=k, r=resolution: communities(neighbours, k, r)
    for k in sorted({min(k, len(unit)) for k in (50, 100, round(len(unit) ** 0.5))}):
        yield f"k-means, k {k}", lambda k=k: k_means(unit, k)
    places = collection.map()
    for smallest in (5, 10):
        for how in ("eom", "leaf"):
            yield (
                f"HDBSCAN of the map, {smallest}, {how}",
                lambda m=smallest, h=how: HDBSCAN(m, cluster_selection_method=h, copy=True).fit_predict(places),
            )
        if len(unit) <= SMALL:
            yield f"HDBSCAN, {smallest}", lambda m=smallest: HDBSCAN(m, copy=True).fit_predict(unit)


def k_means(unit: np.ndarray, k: int) -> np.ndarray:
    means = faiss.Kmeans(unit.shape[1], k, niter=25, seed=1, spherical=True)
    means.train(unit)
    return means.index.search(unit, 1)[1][:, 0]


def agreement(collection: Collection, unit: np.ndarray, labels: np.ndarray) -> None:
    from sklearn.metrics import adjusted_mutual_info_score

    print("algorithm                     CPU s  clusters  in none    AMI")
    for name, work in algorithms(collection, unit):
        spent = time.process_time()
        found = work()
        spent = time.process_time() - spent
        ami = adjusted_mutual_info_score(labels, found)
        count = len(np.unique(found[found >= 0]))
        print(f"{name:28} {spent:6.2f} {count:9} {np.mean(found < 0):8.2f} {ami:6.3f}", flush=True)


def parts(unit: np.ndarray, labels: np.ndarray) -> None:
    """Print AMI by the resolution, in parts of few classes with at most 15 images each."""
    from sklearn.metrics import adjusted_mutual_info_score

    print("classes  images    default      1      2      4      8     16")
    classes = np.unique(labels)
    for count in (3, 5, 10, 20, 50):
        if count > len(classes):
            break
        found = []
        for seed in range(8):
            random = np.random.default_rng(seed)
            rows = [np.flatnonzero(labels == one) for one in random.choice(classes, count, replace=False)]
            part = np.sort(np.concatenate([random.permutation(own)[:15] for own in rows]))
            neighbours = find_neighbours(unit[part], NEAREST)
            by_resolution = [communities(neighbours, resolution=one) for one in (None, 1, 2, 4, 8, 16)]
            found.append([adjusted_mutual_info_score(labels[part], one) for one in by_resolution])
        print(f"{count:7} {len(part):7} {'':3}", "".join(f"{ami:7.3f}" for ami in np.mean(found, axis=0)), flush=True)


def farthest(unit: np.ndarray, k: int) -> list[int]:
    nearest, chosen = np.full(len(unit), -np.inf), [int(np.argmax(unit @ unit.mean(axis=0)))]
    for _ in range(k - 1):
        nearest = np.maximum(nearest, unit @ unit[chosen[-1]])
        chosen.append(int(np.argmin(nearest)))
    return chosen


def facility(unit: np.ndarray, k: int) -> list[int]:
    candidates = np.random.default_rng(0).permutation(len(unit))[:1000]
    similarities, chosen = unit @ unit[candidates].T, []
    nearest = np.full(len(unit), -1, np.float32)
    for _ in range(k):
        best = int(np.argmax(np.maximum(similarities, nearest[:, None]).sum(axis=0)))
        chosen.append(int(candidates[best]))
        nearest = np.maximum(nearest, similarities[:, best])
    return chosen


def coverage(collection: Collection, unit: np.ndarray) -> None:
    def covered(rows: list[int]) -> float:
        return float((unit @ unit[rows].T).max(axis=1).mean())

    print(" k  spread  farthest  facility  random")
    for k in (10, 50):
        random = [covered(np.random.default_rng(seed).permutation(len(unit))[:k].tolist()) for seed in range(10)]
        spread = covered([hit.row for hit in collection.spread(k)])
        print(
            f"{k:2} {spread:7.3f} {covered(farthest(unit, k)):9.3f} {covered(facility(unit, k)):9.3f} {np.mean(random):7.3f}"
        )


@click.command()
@click.argument("places", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--mixed", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Real vectors to mix.")
@click.option("--count", "counts", type=int, multiple=True, default=(100_000,), show_default=True)
def main(places: tuple[Path, ...], mixed: Path | None, counts: tuple[int, ...]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for title, vectors in collections(places, mixed, counts, Path(scratch)):
            collection = Collection.open(vectors)
            print(f"\n{title}: {len(collection)} images, {collection.similarity.name}")
            if "mixed" in title:
                began = time.perf_counter()
                print(f"{collection.clusters()!r}: {time.perf_counter() - began:.1f} s with the neighbours", flush=True)
                continue
            unit = normalise(collection.compared)
            agreement(collection, unit, folder_labels(collection.names))
            parts(unit, folder_labels(collection.names))
            coverage(collection, unit)


if __name__ == "__main__":
    main()
