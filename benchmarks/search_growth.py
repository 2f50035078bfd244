#!/usr/bin/env python3
"""Measure how search scales: 10 thousand, 100 thousand and 1 million vectors of 512 numbers, within 4 GiB of memory.

./benchmarks/search_growth.py VECTORS.npy [--count 1000000 ...] [--how reduced ...] [--similarity cosine] [--folder DIR]

Vectors are mixtures of real ones, reduced to their first 512 principal components: 0.7 of one vector, 0.3 of another,
and noise with a fifth of each component's standard deviation. So each has a few near neighbours, like a photograph. The
queries are 500 more vectors outside the index. Each build runs in its own process; its peak memory includes pages of
memory-mapped vectors. Queries run one at a time on one thread. Recall is relative to exact search in the same
similarity. `--how` is a recipe, a string of Faiss for transformed vectors, or "target" for a recall of 0.95.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

D, QUERIES, K, BLOCK = 512, 500, 10, 50_000


def mixed(real: np.ndarray, n: int, seed: int):
    """Yield blocks of n mixed vectors."""
    random = np.random.default_rng(seed)
    spread = real.std(axis=0) / 5
    for start in range(0, n, BLOCK):
        b = min(BLOCK, n - start)
        one, other = (real[random.integers(0, len(real), b)] for _ in range(2))
        yield (0.7 * one + 0.3 * other + random.normal(size=(b, D)) * spread).astype(np.float32)


def reduced(file: Path) -> np.ndarray:
    from sklearn.decomposition import PCA

    real = np.load(file).astype(np.float32)
    return PCA(D, svd_solver="randomized", random_state=0).fit_transform(real) + 0.02


def save(path: Path, real: np.ndarray, n: int) -> None:
    array = np.lib.format.open_memmap(path, "w+", np.float32, (n, D))
    for start, block in zip(range(0, n, BLOCK), mixed(real, n, seed=1), strict=True):
        array[start : start + len(block)] = block
    array.flush()


def one_at_a_time(index, queries: np.ndarray, array: np.ndarray) -> list[float]:
    """Return the milliseconds of each query (q, d), on one thread from now on."""
    import faiss

    faiss.omp_set_num_threads(1)
    times = []
    for query in queries:
        began = time.perf_counter()
        index.search(query[None], K, array)
        times.append(1000 * (time.perf_counter() - began))
    return times


def measure(vectors_file: str, queries_file: str, how: str, similarity: str) -> None:
    """Build and search in this process; print time and memory as JSON."""

    from similar_images.index import builder
    from similar_images.index.exact import exact_search, normalise
    from similar_images.index.index import open_index
    from similar_images.index.quality import recall
    from similar_images.index.tuning import QualityTarget
    from similar_images.vectors.store import open_vectors

    vectors, path = open_vectors(Path(vectors_file)), Path(vectors_file).with_suffix(".index")
    began = time.perf_counter()
    way = {"target": QualityTarget(recall=0.95)} if how == "target" else {"recipe": how}
    builder.build(vectors, path, builder.BuildRequest(similarity=similarity, **way))
    seconds = time.perf_counter() - began
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20  # GiB, from KiB
    index, queries = open_index(path), normalise(np.load(queries_file))
    compared = vectors.array if index.vectors is None else index.vectors
    unit = index.similarity.transform(queries)
    true = exact_search(compared, unit, K)[1]
    found = index.search(queries, K, vectors.array)[1]
    times = one_at_a_time(index, queries, vectors.array)
    began = time.perf_counter()
    if index.recipe != "flat":
        builder.remove(vectors, path, list(range(0, len(vectors.array), 100)))
    print(
        json.dumps(
            {
                "recipe": index.recipe,
                "seconds": seconds,
                "peak": peak,
                "bytes": index.bytes,
                "recall": float(recall(found, true, compared, unit).mean()),
                "p50": float(np.median(times)),
                "p95": float(np.percentile(times, 95)),
                "removing": time.perf_counter() - began,
            }
        )
    )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", "counts", type=int, multiple=True, default=(10_000, 100_000, 1_000_000), show_default=True)
@click.option("--how", multiple=True, default=("reduced", "target"), show_default=True)
@click.option("--similarity", default="whitened", show_default=True)
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with enough disk space."
)
def main(file: Path, counts: tuple[int, ...], how: tuple[str, ...], similarity: str, folder: Path | None) -> None:
    real = reduced(file)
    print(
        "vectors x 512  way      recipe                   build s  peak GiB     MB  recall@10  p50 ms  p95 ms  remove 1% s"
    )
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        queries = Path(scratch, "q.npy")
        np.save(queries, next(mixed(real, QUERIES, seed=2)))
        for count in counts:
            save(Path(scratch, "v.npy"), real, count)
            for way in how:
                code = "import sys; from search_growth import measure; measure(*sys.argv[1:])"
                command = [sys.executable, "-c", code, f"{scratch}/v.npy", str(queries), way, similarity]
                done = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True)
                got = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"{count:13,}  {way:8} {got['recipe']:24} {got['seconds']:7.1f} {got['peak']:9.2f} "
                    f"{got['bytes'] / 1e6:6.1f} {got['recall']:10.3f} {got['p50']:7.2f} {got['p95']:7.2f} "
                    f"{got['removing']:12.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
