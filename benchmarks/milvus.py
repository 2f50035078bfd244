#!/usr/bin/env python3
"""Compare Milvus Lite and a Milvus server with Faiss, on the same vectors, queries and similarity.

./benchmarks/milvus.py VECTORS.npy [--count 20000] [--uri http://HOST:PORT] [--index IVF_SQ8 ...] [--folder DIR]

Vectors are mixtures of real ones as in search_growth.py, whitened to 112 numbers. 300 rows are queries, one at a time,
excluded from their own hits. Recall is recall@10 after re-ranking, compared with exact search. Without --uri, the
tests' server starts in its own network namespace (as root; `make test-cluster` installs it), or is skipped. "Strong"
and "Bounded" are consistency levels of the same search.
"""

import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]
QUERIES, K = 300, 10


@click.command()
@click.argument("vectors_file", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=20_000, show_default=True)
@click.option("--uri")
@click.option("--index", "indexes", multiple=True, default=["IVF_SQ8", "HNSW"], show_default=True)
@click.option("--folder", type=click.Path(path_type=Path))
def main(vectors_file: Path, count: int, uri: str | None, indexes: tuple[str, ...], folder: Path | None) -> None:
    """Print a row for each index, and its ratio to Faiss."""
    from search_growth import reduced, save

    from similar_images.index import builder
    from similar_images.vectors.store import open_vectors

    folder = folder or Path(tempfile.mkdtemp())
    save(folder / "v.npy", reduced(vectors_file), count)
    (folder / "v.txt").write_text("".join(f"{row % 10}/{row}.jpg\n" for row in range(count)))
    vectors = open_vectors(folder / "v.npy")
    server = None
    if uri is None:
        from milvus_server import MilvusServer, why_not

        if reason := why_not():
            click.echo(f"without a server: {reason}", err=True)
        else:
            server = MilvusServer(folder / "server")
            server.start()
            uri = server.uri()
    try:
        began = time.perf_counter()
        builder.build(vectors, folder / "v.faiss.index", builder.BuildRequest("reduced", similarity="whitened"))
        ours = measured(folder / "v.npy", folder / "v.faiss.index", time.perf_counter() - began)
        click.echo(
            "engine                 build s  recall@10  p50 ms  p95 ms      bytes   times Faiss: build, p50, bytes"
        )
        show("Faiss, reduced", ours, ours)
        for name, place in (("Lite", str(folder / "v.db")), ("server", uri)):
            for index in indexes if place else ():
                show(f"Milvus {name} {index}", on_milvus(folder / "v.npy", place, index), ours)
        if uri:
            levels(folder / "v.npy", folder / f"server-{indexes[0]}.milvus.json")
    finally:
        if server is not None:
            server.close()


def on_milvus(vectors_file: Path, uri: str, index: str) -> tuple[float, ...]:
    from similar_images.cli.build import filter_columns
    from similar_images.index.builder import BuildRequest
    from similar_images.milvus import build as building
    from similar_images.vectors.store import open_vectors

    vectors = open_vectors(vectors_file)
    kind = "lite" if uri.endswith(".db") else "server"
    manifest = vectors_file.with_name(f"{kind}-{index}.milvus.json")
    began = time.perf_counter()
    building.build(
        vectors, manifest, building.Target(uri, index), filter_columns(vectors), BuildRequest(similarity="whitened")
    )
    return measured(vectors_file, manifest, time.perf_counter() - began)


def measured(vectors_file: Path, index: Path, seconds: float) -> tuple[float, ...]:
    """Return seconds to build, recall, p50 and p95 in ms, bytes."""
    from similar_images import Collection

    collection = Collection.open(vectors_file, index=index)
    rows = np.random.default_rng(7).integers(0, len(collection), QUERIES).tolist()
    true = collection.nearest_many(rows, K, exact=True)
    found, times = [], []
    collection.nearest(rows[0], K)
    for row in rows:
        began = time.perf_counter()
        found.append(collection.nearest(row, K))
        times.append(1000 * (time.perf_counter() - began))
    shares = [
        len({hit.row for hit in one} & {hit.row for hit in other}) / K for one, other in zip(found, true, strict=True)
    ]
    return seconds, float(np.mean(shares)), *np.percentile(times, (50, 95)).tolist(), collection.index.bytes


def show(name: str, one: tuple[float, ...], ours: tuple[float, ...]) -> None:
    ratios = ", ".join(f"{one[i] / ours[i]:.1f}" for i in (0, 2, 4))
    click.echo(f"{name:22} {one[0]:7.1f} {one[1]:10.3f} {one[2]:7.2f} {one[3]:7.2f} {one[4]:10,.0f}   {ratios}")


def levels(vectors_file: Path, manifest: Path) -> None:
    """Print the time of a search at each consistency level."""
    from similar_images import Collection
    from similar_images.milvus import search

    collection = Collection.open(vectors_file, index=manifest)
    for level in ("Bounded", "Strong"):
        search.CONSISTENCY, times = level, []
        for row in range(30):
            began = time.perf_counter()
            collection.nearest(row, K)
            times.append(1000 * (time.perf_counter() - began))
        click.echo(f"consistency {level:8} {np.median(times):7.2f} ms per query")


if __name__ == "__main__":
    main()
