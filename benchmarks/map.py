#!/usr/bin/env python3
"""Compare maps by t-SNE (openTSNE) and UMAP: time, memory, trustworthiness, reproducible bytes.

./benchmarks/map.py [FOLDER_OR_VECTORS ...] [--mixed VECTORS.npy --count 10000 --count 100000] [--method tsne]

FOLDER is extracted with EfficientNet-Lite0. `--mixed` creates `--count` vectors of 512 numbers as search_growth.py
does. Each collection gets a default index; then each map runs in its own process: neighbours and layout, without
reading images or building. Seconds are wall time, and processor time in all threads, which depends less on other
programs. Memory is the peak of the process. Trustworthiness (12 neighbours) is scikit-learn's, of at most 4,000 rows in
the collection's similarity, compared with the first two principal components. The bytes are compared with a second
run on one core. UMAP uses 15 neighbours and the defaults of umap-learn (pip install umap-learn), which runs on one
thread if seeded.

With `--grown`, a map of a part of each collection is made, the rest is added as by `similar-images build --add`, and
the updated map is compared with a fresh one: trustworthiness, processor seconds without neighbours, and the median and
95th percentile of the displacement of earlier images on a map of width 2. The rest is a random part or the last
folders. Then half of the images are removed.
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

K, ROWS = 12, 4_000
NEW = (0.05, 0.2, 0.33, 0.5)  # of the images
METHODS = {"tsne": "t-SNE (openTSNE)", "umap": "UMAP (umap-learn)"}


def measure(vectors: str, method: str, cores: str) -> None:
    """Make a map in this process; print time and memory as JSON."""
    if cores == "1":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from similar_images.collection.images import Collection
    from similar_images.overview.layout import lay_out

    collection = Collection.open(vectors)
    began, spent = time.perf_counter(), time.process_time()
    neighbours = collection.neighbours()
    seconds = {"neighbours": time.perf_counter() - began}
    places = lay_out(neighbours, collection.compared).places if method == "tsne" else by_umap(neighbours)
    seconds |= {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20  # GiB, from KiB
    digest = hashlib.sha256(places.tobytes()).hexdigest()
    print(json.dumps(seconds | {"peak": peak, "digest": digest, **trust(collection, places)}))


def by_umap(neighbours) -> np.ndarray:
    from umap import UMAP

    rows = np.arange(len(neighbours.rows))[:, None]
    nodes = np.hstack([rows, neighbours.rows[:, :14]]).astype(np.int32)
    distances = np.sqrt(np.maximum(2 - 2 * neighbours.similarities[:, :14], 0))
    distances = np.hstack([np.zeros((len(rows), 1)), distances]).astype(np.float32)
    return UMAP(random_state=0, n_jobs=1, precomputed_knn=(nodes, distances, None)).fit_transform(rows)


def trust(collection, places: np.ndarray) -> dict[str, float]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import trustworthiness

    from similar_images.index.exact import unit_rows

    chosen = np.sort(np.random.default_rng(0).permutation(len(places))[:ROWS])
    rows, unit = unit_rows(collection.compared, chosen)
    known = ~np.isnan(places[rows]).any(axis=1)
    unit, places = unit[known], places[rows][known]
    components = PCA(2, random_state=0).fit_transform(unit)
    return {
        "trust": trustworthiness(unit, places, n_neighbors=K),
        "components": trustworthiness(unit, components, n_neighbors=K),
    }


def collections(places: tuple[Path, ...], mixed: Path | None, counts: tuple[int, ...], scratch: Path):
    """Yield title and vectors of each collection with an index."""
    from search_growth import reduced, save

    from similar_images.collection.create import create_files
    from similar_images.index.builder import BuildRequest, build
    from similar_images.inputs.names import read_names
    from similar_images.vectors.store import index_path, list_path, open_vectors

    for place in places:
        if place.is_dir():
            yield place.name, create_files(place, scratch)
            continue
        path = scratch / place.name
        np.save(path, np.load(place).astype(np.float32))
        list_path(path).write_text("\n".join(read_names(list_path(place))) + "\n")
        build(open_vectors(path), index_path(path), BuildRequest(similarity="whitened"))
        yield place.stem, path
    for count in counts if mixed else ():
        path = scratch / f"mixed_{count}.npy"
        save(path, reduced(mixed), count)
        list_path(path).write_text("".join(f"{row}\n" for row in range(count)))
        build(open_vectors(path), index_path(path), BuildRequest(similarity="whitened"))
        yield f"{count} mixed", path


def grown(title: str, vectors: Path, shares: tuple[float, ...], scratch: Path) -> None:
    """Compare the updated maps of a grown or reduced collection with fresh ones."""
    from similar_images.collection.images import Collection
    from similar_images.index import builder
    from similar_images.index.builder import BuildRequest
    from similar_images.vectors.store import index_path, list_path, open_vectors

    whole, path = Collection.open(vectors), scratch / "grown.npy"
    n = len(whole)

    def save(rows: np.ndarray) -> None:
        np.save(path, np.asarray(whole.array)[rows])
        list_path(path).write_text("".join(f"{whole.names[row]}\n" for row in rows))

    def map_of(rows: np.ndarray) -> np.ndarray:
        save(rows)
        builder.build(open_vectors(path), index_path(path), BuildRequest(similarity="whitened", restore=True))
        return Collection.open(path).map(fresh=True)

    def compare(change: str, before: np.ndarray) -> None:
        collection, cells = Collection.open(path), []
        collection.neighbours()
        for fresh in (False, True):
            began = time.process_time()
            places = collection.map(fresh=fresh)
            spent = time.process_time() - began
            moved = np.linalg.norm(places[: len(before)] - before, axis=1)
            far = np.nanpercentile(moved, [50, 95])
            cells.append(f"{trust(collection, places)['trust']:.3f} {far[0]:.2f} {far[1]:.2f} {spent:5.1f} s")
        print(f"{title:25} {change:28} {'    '.join(cells)}", flush=True)

    for name, order in (("at random", np.random.default_rng(0).permutation(n)), ("last folders", np.arange(n))):
        for share in shares:
            before = map_of(order[: n - int(n * share)])
            save(order)
            builder.add(open_vectors(path), index_path(path))
            compare(f"{share:.0%} new, {name}", before)
        before = map_of(order)
        builder.remove(open_vectors(path), index_path(path), list(range(n - n // 2, n)))
        compare(f"50% removed, {name}", before)


def run(vectors: Path, method: str, cores: str) -> dict:
    code = "import sys; from map import measure; measure(*sys.argv[1:])"
    command = [sys.executable, "-W", "ignore", "-c", code, str(vectors.absolute()), method, cores]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


@click.command()
@click.argument("places", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--mixed", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Real vectors to mix.")
@click.option("--count", "counts", type=int, multiple=True, default=(10_000, 100_000), show_default=True)
@click.option("--method", "methods", type=click.Choice(list(METHODS)), multiple=True, default=tuple(METHODS))
@click.option("--again/--no-again", default=True, help="Make each map a second time, on one core.")
@click.option("--grown", "is_grown", is_flag=True, help="Instead, compare maps of grown collections.")
@click.option("--new", type=float, multiple=True, default=NEW, show_default=True, help="Share of new images.")
def main(
    places: tuple[Path, ...],
    mixed: Path | None,
    counts: tuple[int, ...],
    methods: tuple[str, ...],
    again: bool,
    is_grown: bool,
    new: tuple[float, ...],
) -> None:
    if "umap" in methods and importlib.util.find_spec("umap") is None:
        print("UMAP is left out: pip install umap-learn", file=sys.stderr)
        methods = tuple(method for method in methods if method != "umap")
    if is_grown:
        print("collection                change                       from the kept places        fresh")
        print("                                                       trust, moved: median, 95%; processor")
        with tempfile.TemporaryDirectory() as scratch:
            for title, vectors in collections(places, mixed, counts, Path(scratch)):
                grown(title, vectors, new, Path(scratch))
        return
    print("collection                method             neighbours s  in all s   CPU s  peak GiB  trust (PCA)    again")
    with tempfile.TemporaryDirectory() as scratch:
        for title, vectors in collections(places, mixed, counts, Path(scratch)):
            for method in methods:
                got = run(vectors, method, "all")
                same = "-"
                if again:
                    same = "same" if run(vectors, method, "1")["digest"] == got["digest"] else "differs"
                print(
                    f"{title:25} {METHODS[method]:18} {got['neighbours']:12.1f} {got['seconds']:9.1f} {got['cpu']:7.1f} "
                    f"{got['peak']:9.2f}  {got['trust']:.3f} ({got['components']:.3f})  {same}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
