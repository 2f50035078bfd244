"""Vectors to a search index, from the shell."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from similar_images.cli.options import FILE, MILVUS_INDEXES, SIMILARITIES, Bytes, Command
from similar_images.inputs.names import escape_controls


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
@click.option("--max-bytes", type=Bytes(), help="Choose an index of at most this size, such as 500k, 8M or 2G.")
@click.option("--max-ms", type=click.FloatRange(0, min_open=True), help="Choose an index of at most this query time.")
@click.option(
    "--part-size",
    type=Bytes(),
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
    from similar_images.cli import milvus
    from similar_images.files import check_writeable
    from similar_images.index import builder, quality
    from similar_images.index.tuning import QualityTarget
    from similar_images.milvus.manifest import is_milvus
    from similar_images.vectors.store import open_vectors, vectors_path

    if vectors_file.suffix != ".npy":
        vectors_file = vectors_path(vectors_file)
    if not vectors_file.is_file():
        raise FileNotFoundError(f"there are no vectors {vectors_file}: make them with similar-images extract")
    vectors = open_vectors(vectors_file)
    if vectors.assumption:
        _say(vectors.assumption)
    n, d = vectors.stored.shape
    if dimension not in (None, d):
        raise ValueError(f"{vectors_file}: expected vectors of {dimension} numbers (-d), got {d}")
    changes, target = bool(adding or removing), QualityTarget(target_recall, max_bytes, max_ms)
    output = output or milvus.default_output(vectors_file, uri, changes)
    on_milvus = is_milvus(output)
    if not on_milvus and (uri is not None or milvus_index != "auto" or milvus_ca):
        raise ValueError(f"expected -o FILE.milvus.json with the options of Milvus, got {output}")
    check_writeable(output)
    has_recipe = any(target) or recipe != "auto" or part_size is not None
    _refuse(
        (
            on_milvus and has_recipe,
            "--recipe, --part-size and the targets are for an index of Faiss: choose Milvus' own with --milvus-index",
        ),
        (
            labels and (similarity != "auto" or recipe not in ("auto", "flat", "reduced") or changes),
            "--labels choose the similarity of a new index: omit --similarity, --add, --remove or --recipe",
        ),
        (
            changes and (has_recipe or similarity != "auto" or milvus_index != "auto"),
            "--add and --remove keep recipe and similarity of the index: omit --recipe, --similarity, --part-size, "
            "--milvus-index and the targets",
        ),
        (any(target) and recipe != "auto", "a target chooses the recipe: omit --recipe"),
        (
            any(target) and part_size,
            "a target builds several candidates, each in one piece: omit --part-size, or find the recipe by a target "
            "on fewer vectors and name it with --recipe",
        ),
    )
    if changes and not output.exists():
        raise FileNotFoundError(f"there is no index {output}: build it first")
    if not changes:
        if output.is_file() and not overwrite:
            raise FileExistsError(
                f"{output} exists: add new images with --add, use --overwrite to rebuild it, or choose another -o"
            )
        if labels:
            similarity = _chosen(vectors, labels, [] if restore else _removed(vectors, output, on_milvus))
    if changes and on_milvus:
        with _bar(None) as advance:
            manifest = milvus.change(vectors, output, removing, adding, advance, _say)
    elif changes:
        if removing:
            manifest = builder.remove(vectors, output, builder.read_rows(vectors, removing))
        if adding:
            manifest = builder.add(vectors, output)
    elif on_milvus:
        place = milvus.choose_target(output, uri, milvus_index, milvus_ca)
        with _bar(n) as advance:
            manifest = milvus.build(vectors, output, place, similarity, restore, advance, _say)
    elif any(target):
        click.echo(HEADER)
        manifest = builder.build(
            vectors, output, target=target, note=_say, tried=_echo, restore=restore, similarity=similarity
        )
    else:
        with _bar(n) as advance:
            manifest = builder.build(
                vectors,
                output,
                recipe,
                progress=advance,
                note=_say,
                restore=restore,
                similarity=similarity,
                part_size=part_size,
            )
    if verbose:
        click.echo("\n".join(f"{key}: {value}" for key, value in manifest["parameters"].items()), err=True)
    click.echo(_summary(manifest, n), err=True)
    if quality.is_stale(manifest):
        click.echo(
            f"Recall dropped below the target; rebuild with {_rebuild(vectors_file, output, manifest)}", err=True
        )
    if quality.needs_refit(manifest):
        click.echo(
            "The images that came or went have changed what is typical of the collection: a rebuild gives better hits, "
            f"with {_rebuild(vectors_file, output, manifest)}",
            err=True,
        )
    click.echo(output)


def _say(message: str) -> None:
    click.echo(escape_controls(message), err=True)


def _refuse(*cases: tuple[object, str]) -> None:
    """Raise ValueError with the message of the first case that is true."""
    for wrong, message in cases:
        if wrong:
            raise ValueError(message)


@contextmanager
def _bar(n: int | None) -> Iterator[Callable[[int], None]]:
    """Yield what advances a progress bar by so many vectors."""
    from tqdm import tqdm

    with tqdm(total=n, unit=" vectors", disable=None) as bar:

        def advance(vectors: int) -> None:
            bar.update(vectors)

        yield advance


HEADER = "recipe                      nprobe  re-ranked  recall@10  95% interval   p50 ms   p95 ms       bytes"


def _removed(vectors, output: Path, on_milvus: bool) -> list[int]:
    """Return the rows that were removed from the index in place, which stay removed."""
    if on_milvus:
        from similar_images.milvus.build import removed_rows
    else:
        from similar_images.index.builder import removed_rows
    return removed_rows(vectors, output)


def _chosen(vectors, labels: str, removed: list[int]) -> str:
    """Return the similarity that is best for labels; say what was measured."""
    from similar_images.evaluation.labels import choose_labels
    from similar_images.evaluation.similarities import choose_similarity

    chosen = choose_similarity(vectors, choose_labels(labels, vectors.names or []), removed)
    _say(chosen.reason)
    return chosen.name


def _echo(one) -> None:
    click.echo(
        f"{one.recipe:26} {one.nprobe:7} {one.reranked:10} {one.recall:10.3f}  {one.low:.3f} - {one.high:.3f} "
        f"{one.p50_ms:8.3f} {one.p95_ms:8.3f} {one.bytes:11}"
    )


def _summary(manifest: dict, n: int) -> str:
    reached = manifest["measured"]
    low, high = reached["interval"]
    return (
        f"{manifest['n']} of {n} vectors, recipe {manifest['recipe']}, {_similarity(manifest)}: recall@10 {reached['recall']:.3f} "
        f"({low:.3f} to {high:.3f}; {reached['recall_alone']:.3f} without the vectors), "
        f"{reached['p50_ms']:.2f} ms per query (p95 {reached['p95_ms']:.2f}), {reached['bytes_on_disk'] / 1e6:.2f} MB"
    )


def _similarity(manifest: dict) -> str:
    similarity = manifest.get("similarity")
    return f"similarity {similarity['name']} ({similarity['dimension']} numbers)" if similarity else "similarity cosine"


def _rebuild(vectors_file: Path, output: Path, manifest: dict) -> str:
    target = manifest["target"] or {}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in target.items() if value and name != "recall"]
    recall = [f"--target-recall {target['recall']}"] if target.get("recall") else []
    if similarity := manifest.get("similarity"):
        options.append(f"--similarity {similarity['name']}")
    return " ".join([f"similar-images build -i {vectors_file} -o {output} --overwrite", *recall, *options])
