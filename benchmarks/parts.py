#!/usr/bin/env python3
"""Compare an index in one piece with an index in parts: time, memory, bytes, recall, query time, cost of growth.

./benchmarks/parts.py VECTORS.npy [--count 1000000] [--part-size 100000] [--recipe mapped ...] [--folder DIR]

Vectors are mixtures of real ones as in search_growth.py, compared by the similarity `whitened`. Each step runs in its own
process. Its peak memory (VmHWM) includes pages of mapped files, which the system reclaims under pressure; "own" is the
peak without them (RssAnon). A grown collection has 1% more rows. Ratios are parts / one piece.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import search_growth as growth

K = 10


class Memory:
    """Return the peak memory of this process in MiB, with and without mapped files."""

    def __init__(self):
        self.own = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.own = max(self.own, field("RssAnon"))
            time.sleep(0.01)

    def peaks(self) -> dict:
        return {"peak": field("VmHWM"), "own": max(self.own, field("RssAnon"))}


def field(name: str) -> float:
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # MiB, from KiB


def step(vectors_file: str, queries_file: str, name: str, recipe: str, size: str) -> None:
    """Build, add, or open and search in this process; print time and memory as JSON."""

    from similar_images.index import builder
    from similar_images.index.exact import exact_search, normalise
    from similar_images.index.index import open_index
    from similar_images.index.quality import recall
    from similar_images.vectors.store import open_vectors

    memory, vectors = Memory(), open_vectors(Path(vectors_file))
    path = Path(vectors_file).with_name("parts.index" if int(size) else "one.index")
    began = time.perf_counter()
    took: dict = {}
    if name == "build":
        builder.build(vectors, path, builder.BuildRequest(recipe, similarity="whitened", part_size=int(size) or None))
    elif name == "add":
        before = {file.name: file.stat().st_mtime_ns for file in path.parent.glob(f"{path.name}*")}
        began = time.perf_counter()
        builder.add(vectors, path)
        written = [
            file for file in path.parent.glob(f"{path.name}*") if before.get(file.name) != file.stat().st_mtime_ns
        ]
        took["written"] = sum(file.stat().st_size for file in written if not file.name.endswith(".npy"))
    else:
        index = open_index(path, mapped=name == "search mapped")
        took["opened"] = time.perf_counter() - began
        queries = normalise(np.load(queries_file))
        times = growth.one_at_a_time(index, queries, vectors.array)
        took |= {"ms": float(np.median(times)), **memory.peaks()}  # before the exact search, which reads all vectors
        unit = index.similarity.transform(queries)
        true = exact_search(index.vectors, unit, K)[1]
        found = index.search(queries, K, vectors.array)[1]
        took["recall"] = float(recall(found, true, index.vectors, unit).mean())
        parts = index.manifest.parts
        took["bytes"] = path.stat().st_size + parts.bytes if parts else path.stat().st_size
    print(json.dumps({"seconds": time.perf_counter() - began, **memory.peaks(), **took}))


def run(scratch: str, *arguments: object) -> dict:
    code = "import sys; from parts import step; step(*sys.argv[1:])"
    command = [sys.executable, "-c", code, f"{scratch}/v.npy", f"{scratch}/q.npy", *map(str, arguments)]
    done = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, one: dict, parts: dict, keys: tuple[str, ...]) -> None:
    for key in keys:
        print(f"{name:14} {key:9} {one[key]:14.3f} {parts[key]:14.3f} {parts[key] / one[key]:7.2f}", flush=True)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", type=int, default=1_000_000, show_default=True)
@click.option("--part-size", type=int, default=100_000, show_default=True)
@click.option("--recipe", "recipes", multiple=True, default=("reduced", "mapped"), show_default=True)
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with enough disk space."
)
def main(file: Path, count: int, part_size: int, recipes: tuple[str, ...], folder: Path | None) -> None:
    real = growth.reduced(file)
    for recipe in recipes:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            np.save(f"{scratch}/q.npy", next(growth.mixed(real, growth.QUERIES, seed=2)))
            grown = Path(scratch, "grown.npy")  # saved once: another number of rows could be other rows
            growth.save(grown, real, count + count // 100)
            np.save(f"{scratch}/v.npy", np.load(grown, mmap_mode="r")[:count])
            print(f"{recipe}, {count:,} vectors, parts of {part_size:,}: seconds, MiB of memory, bytes, ms of a query")
            print("step           what           one piece          parts   ratio")
            row("build", *(run(scratch, "build", recipe, size) for size in (0, part_size)), ("seconds", "peak", "own"))
            one, parts = (run(scratch, "search", recipe, size) for size in (0, part_size))
            row("open, search", one, parts, ("opened", "peak", "own", "ms", "recall", "bytes"))
            if recipe == "mapped":
                mapped = run(scratch, "search mapped", recipe, part_size)
                row("mapped, search", one, mapped, ("opened", "peak", "own", "ms", "recall"))
            grown.replace(Path(scratch, "v.npy"))
            row(
                "add 1%",
                *(run(scratch, "add", recipe, size) for size in (0, part_size)),
                ("seconds", "peak", "written"),
            )


if __name__ == "__main__":
    main()
