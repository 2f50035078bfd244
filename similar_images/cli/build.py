"""Build or update a search index from vectors, from the shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from similar_images.cli.options import FILE, MILVUS_INDEXES, SIMILARITIES, SIZE, Command
from similar_images.events import Event, Progress
from similar_images.inputs.names import escape_controls

if TYPE_CHECKING:
    import numpy as np

    from similar_images.index.builder import BuildRequest
    from similar_images.index.manifest import CandidateMetrics, IndexManifest, Measurement
    from similar_images.milvus.build import Target
    from similar_images.milvus.manifest import MilvusManifest
    from similar_images.vectors.store import Vectors

HEADER = "recipe                      nprobe  re-ranked  recall@10  95% interval   p50 ms   p95 ms       bytes"


@click.command("build", cls=Command)
@click.option(
    "-i",
    "--vectors",
    "vectors_file",
    required=True,
    type=FILE,
    help="The collection: its list, its vectors, or any .npy of shape (n, d).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The index.  [default: beside the vectors, photos.txt... has photos.faiss.index]",
)
@click.option("-d", "--dimension", type=click.IntRange(min=1), help="Expected dimension of the vectors.")
@click.option(
    "--recipe",
    default="auto",
    show_default=True,
    help="auto (flat below 5,000 vectors, else reduced), flat (exact), classic (that of 2022), "
    "reduced (components, 4-bit codes), mapped (8-bit codes, whose parts can stay on disk), or a string of "
    "faiss.index_factory.",
)
@click.option(
    "--similarity",
    type=click.Choice(["auto", *SIMILARITIES]),
    default="auto",
    show_default=True,
    help="What similar means: the cosine of the network's vectors, of those less their mean (centred), or of their first "
    "112 principal components, slightly whitened. auto: whitened for 200 images or more, else cosine; with --labels the "
    "best for the labels.",
)
@click.option(
    "--labels",
    metavar="folders|FILE.csv",
    help="With --similarity auto: choose the similarity that finds images of the same label best, by their folders or a "
    "CSV with the columns image and labels.",
)
@click.option(
    "--target-recall",
    type=click.FloatRange(0, 1, min_open=True),
    help="Choose the fastest index whose recall@10 is at least this, with 95% confidence.",
)
@click.option("--max-bytes", type=SIZE, help="Choose an index of at most this size, such as 500k, 8M or 2G.")
@click.option("--max-ms", type=click.FloatRange(0, min_open=True), help="Choose an index of at most this query time.")
@click.option(
    "--part-size",
    type=SIZE,
    metavar="ROWS",
    help="Build the index in parts of so many vectors, such as 10M: if it is interrupted, the same command resumes, and "
    "--add and --remove write only the parts that change.",
)
@click.option(
    "--milvus",
    "uri",
    metavar="URI",
    is_flag=False,
    flag_value="",
    help="Search on Milvus instead of Faiss: http(s)://HOST:PORT of a server or cluster, or a file ending in .db for the "
    "embedded Milvus Lite.  [default without URI: photos.milvus.db beside the vectors]",
)
@click.option(
    "--milvus-index",
    type=click.Choice(["auto", *MILVUS_INDEXES]),
    default="auto",
    show_default=True,
    help="The index that Milvus builds. auto: FLAT (exact) below 5,000 vectors, else IVF_SQ8.",
)
@click.option("--milvus-ca", type=FILE, help="The certificate (PEM) of the authority of a server with https.")
@click.option("--add", "adding", is_flag=True, help="Add the rows that the index lacks.")
@click.option(
    "--remove",
    "removing",
    type=FILE,
    help="Remove the images named in this file, one per line, permanently.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing index.")
@click.option("--restore", is_flag=True, help="With --overwrite: bring removed images back.")
@click.option("-v", "--verbose", is_flag=True, help="Print the parameters of the index.")
def main(
    vectors_file: Path,
    output: Path | None,
    dimension: int | None,
    recipe: str,
    similarity: str,
    labels: str | None,
    target_recall: float | None,
    max_bytes: int | None,
    max_ms: float | None,
    part_size: int | None,
    uri: str | None,
    milvus_index: str,
    milvus_ca: Path | None,
    adding: bool,
    removing: Path | None,
    overwrite: bool,
    restore: bool,
    verbose: bool,
) -> None:
    """Build a search index from vectors, or update one.

    The similarity is the cosine; faiss.read_index opens the index. While the vectors stay beside it, the best hits of
    a search are re-ranked with the exact vectors. Each build measures recall@10 against exact search and stores it in
    the manifest. Removed images stay removed in later builds. With --milvus the index is one of Milvus; its credentials
    come from the environment: MILVUS_TOKEN, MILVUS_TOKEN_FILE, or MILVUS_USER and MILVUS_PASSWORD.

    \b
    Examples:
      similar-images build -i photos_file_list.txt
      similar-images build -i ms_coco_file_list.txt.saved_predictions.npy -o ms_coco_file_list.faiss.index
      similar-images build -i photos_file_list.txt --target-recall 0.95 --max-bytes 8M
      similar-images build -i photos_file_list.txt --remove names.txt --add
      similar-images build -i photos_file_list.txt --milvus http://milvus.example:19530 --milvus-index HNSW
    """
    from similar_images.index.builder import BuildRequest, build
    from similar_images.index.manifest import QualityTarget, is_milvus

    vectors = _open(vectors_file, dimension)
    target = QualityTarget(target_recall, max_bytes, max_ms) if target_recall or max_bytes or max_ms else None
    request = BuildRequest(recipe, similarity, target, part_size, restore)
    changes = bool(adding or removing)
    output = output or _default_output(vectors.path, uri, changes)
    on_milvus = is_milvus(output)
    if not on_milvus and (uri is not None or milvus_index != "auto" or milvus_ca):
        raise ValueError(f"expected -o FILE.milvus.json with the options of Milvus, got {output}")
    _check_options(request, labels, changes, on_milvus, milvus_index)
    _check_output(output, vectors.path, changes, overwrite)
    if labels:
        request = replace(request, similarity=_choose_similarity(vectors, labels, output, on_milvus, restore))
    manifest: IndexManifest | MilvusManifest
    with _show_build(target is not None) as progress:
        if changes:
            manifest = _change(vectors, output, removing, adding, progress)
        elif on_milvus:
            place = _choose_target(output, uri, milvus_index, milvus_ca)
            manifest = _build_on_milvus(vectors, output, place, request, progress)
        else:
            manifest = build(vectors, output, request, progress)
    _report(manifest, vectors, output, verbose)


def _open(file: Path, dimension: int | None) -> Vectors:
    """Open the vectors of a list or a .npy file."""
    from similar_images.vectors.store import open_vectors, vectors_path

    if file.suffix != ".npy":
        file = vectors_path(file)
    if not file.is_file():
        raise FileNotFoundError(f"there are no vectors {file}: make them with similar-images extract")
    vectors = open_vectors(file)
    if vectors.assumption:
        _print_note(vectors.assumption)
    d = vectors.array.shape[1]
    if dimension not in (None, d):
        raise ValueError(f"{file}: expected vectors of {dimension} numbers (-d), got {d}")
    return vectors


def _default_output(vectors: Path, uri: str | None, is_change: bool) -> Path:
    """Return Milvus' manifest if a URI is given or only that index exists to be changed, else the Faiss index."""
    from similar_images.milvus.manifest import milvus_path
    from similar_images.vectors.store import index_path

    index, manifest = index_path(vectors), milvus_path(vectors)
    return manifest if uri is not None or (is_change and not index.exists() and manifest.exists()) else index


def _choose_target(output: Path, uri: str | None, index_type: str, ca: Path | None) -> Target:
    """Return address and type of the new index in Milvus; the present manifest supplies missing options.

    Raises ValueError for an invalid URI, or one with credentials.
    """
    from similar_images.milvus.build import Target
    from similar_images.milvus.connection import normalise_uri
    from similar_images.milvus.manifest import file_prefix, read_manifest

    if uri is None:
        if not output.exists():
            raise ValueError(f"{output} names an index in Milvus: give its URI with --milvus")
        old = read_manifest(output)
        index_type = old.index.type if index_type == "auto" else index_type
        return Target(old.resolve_uri(output), index_type, ca or old.resolve_ca(output))
    return Target(normalise_uri(uri or str(file_prefix(output)) + ".db"), index_type, ca)


def _build_on_milvus(
    vectors: Vectors, output: Path, place: Target, request: BuildRequest, progress: Progress
) -> MilvusManifest:
    from similar_images.milvus.build import build

    return build(vectors, output, place, filter_columns(vectors), request, progress)


def filter_columns(vectors: Vectors) -> Mapping[str, np.ndarray]:
    """Return the columns for filters in Milvus."""
    from similar_images.collection.column_files import file_columns
    from similar_images.collection.columns import name_columns
    from similar_images.networks.description import reads_text
    from similar_images.vectors.store import list_path

    if vectors.names is None:
        return {}
    has_folders = vectors.network is None or not reads_text(vectors.network)
    return {**name_columns(vectors.names, has_folders), **file_columns(list_path(vectors.path), vectors.names)}


def _check_options(
    request: BuildRequest, labels: str | None, changes: bool, on_milvus: bool, milvus_index: str
) -> None:
    """Raise ValueError for options that exclude each other."""
    has_recipe = bool(request.target or request.recipe != "auto" or request.part_size is not None)
    has_similarity = request.similarity != "auto"
    conflicts = {
        "--recipe, --part-size and the targets are for an index of Faiss: choose Milvus' own with --milvus-index": (
            on_milvus and has_recipe
        ),
        "--labels choose the similarity of a new index: omit --similarity, --add, --remove or --recipe": (
            labels and (has_similarity or request.recipe not in ("auto", "flat", "reduced") or changes)
        ),
        "--add and --remove keep recipe and similarity of the index: omit --recipe, --similarity, --part-size, "
        "--milvus-index and the targets": changes and (has_recipe or has_similarity or milvus_index != "auto"),
        "a target chooses the recipe: omit --recipe": request.target and request.recipe != "auto",
        "a target builds several candidates, each in one piece: omit --part-size, or find the recipe by a target "
        "on fewer vectors and name it with --recipe": request.target and request.part_size,
    }
    for message, is_wrong in conflicts.items():
        if is_wrong:
            raise ValueError(message)


def _check_output(output: Path, vectors_file: Path, changes: bool, overwrite: bool) -> None:
    from similar_images.files import check_writeable
    from similar_images.vectors.store import list_path

    check_writeable(output)
    if output.resolve() in (vectors_file.resolve(), list_path(vectors_file).resolve()):
        raise ValueError(f"{output} belongs to the collection: choose another -o for the index")
    if changes and not output.exists():
        raise FileNotFoundError(f"there is no index {output}: build it first")
    if not changes and output.is_file() and not overwrite:
        raise FileExistsError(
            f"{output} exists: add new images with --add, use --overwrite to rebuild it, or choose another -o"
        )


def _change(
    vectors: Vectors, output: Path, removing: Path | None, adding: bool, progress: Progress
) -> IndexManifest | MilvusManifest:
    """Remove the images that a file lists, add missing ones, or both; return the manifest."""
    from similar_images.index import builder
    from similar_images.index.manifest import is_milvus
    from similar_images.milvus import build as milvus

    on_milvus = is_milvus(output)
    manifest: IndexManifest | MilvusManifest
    if removing:
        rows = builder.read_rows(vectors, removing)
        manifest = (
            milvus.remove(vectors, output, rows, progress) if on_milvus else builder.remove(vectors, output, rows)
        )
    if adding and on_milvus:
        manifest = milvus.add(vectors, output, filter_columns(vectors), progress)
    elif adding:
        manifest = builder.add(vectors, output, progress)
    return manifest


def _choose_similarity(vectors: Vectors, labels: str, output: Path, on_milvus: bool, restore: bool) -> str:
    """Return the best similarity for labels, without removed rows; print the measurements."""
    from similar_images.evaluation.labels import choose_labels
    from similar_images.evaluation.similarities import choose_similarity
    from similar_images.index.builder import find_removed

    if on_milvus:
        from similar_images.milvus.build import find_removed
    removed = [] if restore else find_removed(vectors, output)
    choice = choose_similarity(vectors, choose_labels(labels, vectors.names or []), removed)
    _print_note(choice.reason)
    return choice.name


@contextmanager
def _show_build(has_target: bool) -> Iterator[Progress]:
    """Yield a `progress` that shows a bar and notes; for a target, a line for each candidate instead of a bar."""
    from similar_images.cli.progress import show_progress

    if has_target:
        click.echo(HEADER)
    with show_progress(leave=True) as show:

        def progress(event: Event) -> None:
            if metrics := getattr(event, "metrics", None):
                _print_candidate(metrics)
            elif not has_target or event.note:
                show(event)

        yield progress


def _print_note(message: str) -> None:
    click.echo(escape_controls(message), err=True)


def _print_candidate(metrics: CandidateMetrics) -> None:
    click.echo(
        f"{metrics.recipe:26} {metrics.nprobe:7} {metrics.reranked:10} {metrics.recall:10.3f}  "
        f"{metrics.low:.3f} - {metrics.high:.3f} {metrics.p50_ms:8.3f} {metrics.p95_ms:8.3f} {metrics.bytes:11}"
    )


def _report(manifest: IndexManifest | MilvusManifest, vectors: Vectors, output: Path, verbose: bool) -> None:
    """Print a summary, warnings with their remedy, and the path of the index."""
    from similar_images.index.quality import is_stale, needs_refit
    from similar_images.records import to_json

    if verbose:
        click.echo("\n".join(f"{key}: {value}" for key, value in to_json(manifest.parameters).items()), err=True)
    click.echo(_summarise(manifest, len(vectors.array)), err=True)
    rebuild = _rebuild_command(manifest, vectors, output)
    if is_stale(manifest):
        click.echo(f"Recall dropped below the target; rebuild with {rebuild}", err=True)
    if needs_refit(manifest, manifest.n):
        click.echo(f"The collection has drifted: a rebuild gives better hits, with {rebuild}", err=True)
    click.echo(output)


def _summarise(manifest: IndexManifest | MilvusManifest, n: int) -> str:
    measured, similarity = cast("Measurement", manifest.measured), manifest.similarity
    low, high = measured.interval
    name = f"{similarity.name} ({similarity.dimension} numbers)" if similarity else "cosine"
    return (
        f"{manifest.n} of {n} vectors, recipe {manifest.recipe}, similarity {name}: recall@10 {measured.recall:.3f} "
        f"({low:.3f} to {high:.3f}; {measured.recall_alone:.3f} without the vectors), "
        f"{measured.p50_ms:.2f} ms per query (p95 {measured.p95_ms:.2f}), {measured.bytes_on_disk / 1e6:.2f} MB"
    )


def _rebuild_command(manifest: IndexManifest | MilvusManifest, vectors: Vectors, output: Path) -> str:
    target, similarity = manifest.target, manifest.similarity
    options = {
        "--target-recall": target and target.recall,
        "--max-bytes": target and target.max_bytes,
        "--max-ms": target and target.max_ms,
        "--similarity": similarity and similarity.name,
    }
    given = [f"{name} {value}" for name, value in options.items() if value]
    return " ".join([f"similar-images build -i {vectors.path} -o {output} --overwrite", *given])
