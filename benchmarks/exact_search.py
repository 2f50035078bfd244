#!/usr/bin/env python3
"""Exact search against NumPy's matrix product over the same vectors held in memory as float32.

./benchmarks/exact_search.py VECTORS.npy

The vectors are searched as they are on disk, memory-mapped, then 100,000 random ones of 512 numbers. Both sides run
in turns; the medians of all rounds are printed, in milliseconds for all queries. NumPy's side only multiplies.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.index.exact import ExactSearch, normalised

K, ROUNDS, QUERIES = 10, 15, (1, 1000)
PAUSE = 0.2  # seconds before each: NumPy's threads spin for a while after their work


def compare(path: Path) -> None:
    array = np.load(path, mmap_mode="r")
    whole, search = np.array(array, dtype=np.float32), ExactSearch(array)
    for count in QUERIES:
        unit = normalised(array[:count])
        sides = {"exact": lambda unit=unit: search.search(unit, K), "numpy": lambda unit=unit: unit @ whole.T}
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, run in sides.items():
                time.sleep(PAUSE)
                began = time.perf_counter()
                run()
                times[side].append(1000 * (time.perf_counter() - began))
        exact, product = (statistics.median(each) for each in times.values())
        print(
            f"{len(array):7} x {array.shape[1]:4} {array.dtype}  {count:4} queries: "
            f"exact search {exact:8.1f}, NumPy {product:8.1f}, ratio {exact / product:.2f}"
        )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare(file)
        for dtype in (np.float32, np.float16):
            made = Path(folder, "v.npy")
            np.save(made, np.random.default_rng(0).normal(size=(100_000, 512)).astype(dtype))
            compare(made)


if __name__ == "__main__":
    main()
