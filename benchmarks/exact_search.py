#!/usr/bin/env python3
"""Compare exact search with NumPy's matrix product of the same vectors in float32.

./benchmarks/exact_search.py VECTORS.npy

Searches the vectors in their memory-mapped file, then `--count` random vectors of 512 numbers. Both sides alternate;
the table shows medians in milliseconds for all queries. NumPy only multiplies: float32 vectors in memory (warm), or
vectors from a file outside the system's cache (cold, Linux only). A cold search also opens the vectors
and computes their norms.

Finally, a collection with twice as many vectors of 64 numbers is searched exactly, with and without half of its rows
removed from the index; the ratio is the cost of removed rows.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.index.exact import ExactSearch, normalise

K, QUERIES = 10, (1, 1000)
PAUSE = 0.2  # seconds before each: NumPy's threads spin for a while after their work


def compare(path: Path, rounds: int) -> None:
    whole = np.load(path)
    kind = f"{len(whole):7} x {whole.shape[1]:4} {whole.dtype}"
    whole = whole.astype(np.float32, copy=False)
    queries = [normalise(whole[:count]) for count in QUERIES]
    for unit in queries:  # first: the system caches mapped pages
        report(
            f"{kind}  cold {len(unit):4} queries",
            lambda unit=unit: ExactSearch(np.load(path, mmap_mode="r")).search(unit, K),
            lambda unit=unit: unit @ np.load(path).astype(np.float32, copy=False).T,
            rounds,
            lambda: drop(path),
        )
    search = ExactSearch(np.load(path, mmap_mode="r"))
    for unit in queries:
        report(
            f"{kind}  warm {len(unit):4} queries",
            lambda unit=unit: search.search(unit, K),
            lambda unit=unit: unit @ whole.T,
            rounds,
        )


def report(
    what: str,
    exact: Callable[[], object],
    product: Callable[[], object],
    rounds: int,
    before: Callable[[], None] = lambda: None,
) -> None:
    times: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for side, run in zip(times, (exact, product), strict=True):
            before()
            time.sleep(PAUSE)
            began = time.perf_counter()
            run()
            side.append(1000 * (time.perf_counter() - began))
    ours, numpys = map(statistics.median, times)
    print(f"{what}: exact search {ours:8.1f}, NumPy {numpys:8.1f}, ratio {ours / numpys:.2f}", flush=True)


def removed_rows(folder: Path, removed: int, rounds: int) -> None:
    """Compare one query of a collection of which half of the rows are removed with one of which none is."""
    from similar_images import Collection
    from similar_images.index.builder import BuildRequest, build, remove
    from similar_images.vectors.store import open_vectors

    n, d = 2 * removed, 64
    vectors, index = folder / "removed.npy", folder / "removed.faiss.index"
    np.save(vectors, np.random.default_rng(0).normal(size=(n, d)).astype(np.float32))
    vectors.with_suffix(".txt").write_text("".join(f"{row}.jpg\n" for row in range(n)))
    build(open_vectors(vectors), index, BuildRequest("PCA8,Flat", similarity="cosine"))
    whole = Collection.open(vectors, index=index)
    remove(open_vectors(vectors), index, list(range(0, n, 2)))
    half, query = Collection.open(vectors, index=index), np.ones(d, np.float32)
    times: tuple[list[float], list[float]] = [], []
    for collection in (half, whole):
        collection.nearest(query, K, exact=True)
    for _ in range(rounds):
        for side, collection in zip(times, (half, whole), strict=True):
            began = time.perf_counter()
            collection.nearest(query, K, exact=True)
            side.append(1000 * (time.perf_counter() - began))
    with_removed, without = map(statistics.median, times)
    print(
        f"{n:7} x {d:4} float32  {removed:,} removed: exact search {with_removed:8.1f}, none removed {without:8.1f}, "
        f"ratio {with_removed / without:.2f}",
        flush=True,
    )


def drop(path: Path) -> None:
    """Drop a flushed file from the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", default=100_000, show_default=True, help="Random vectors; as many removed rows.")
@click.option("--rounds", default=15, show_default=True)
def main(file: Path, count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare(file, rounds)
        for dtype in (np.float32, np.float16):
            made = Path(folder, "v.npy")
            np.save(made, np.random.default_rng(0).normal(size=(count, 512)).astype(dtype))
            compare(made, rounds)
        removed_rows(Path(folder), count, rounds)


if __name__ == "__main__":
    main()
