#!/usr/bin/env python3
"""Vectors to a search index, from the shell."""

from pathlib import Path

import click

from similar_images.command import Command


@click.command(cls=Command)
@click.option(
    "-i",
    "--vectors",
    "vectors_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The vectors, LIST.saved_predictions.npy or any .npy of shape (n, d).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The index.  [default: beside the vectors, photos.txt... has photos.faiss.index]",
)
@click.option("-d", "--dimension", type=click.IntRange(min=1), help="Numbers in a vector, to be checked.")
@click.option(
    "--recipe",
    default="auto",
    show_default=True,
    help="auto (flat below 5,000 vectors, else reduced), flat (exact), classic (that of 2022), "
    "reduced (components, 4-bit codes), or a string of faiss.index_factory.",
)
@click.option("--overwrite", is_flag=True, help="Put the new index in the place of one that is there.")
@click.option("-v", "--verbose", is_flag=True, help="Say how the index is made.")
def main(
    vectors_file: Path, output: Path | None, dimension: int | None, recipe: str, overwrite: bool, verbose: bool
) -> None:
    """Build a search index from vectors.

    The index holds cosine similarity and is read by faiss.read_index. Where the vectors stay beside it, a search
    ranks its best hits anew with the exact vectors.

    \b
    Examples:
      ./build_search_db.py -i photos_file_list.txt.saved_predictions.npy
      ./build_search_db.py -i ms_coco_file_list.txt.saved_predictions.npy -o ms_coco_file_list.faiss.index
      ./build_search_db.py -i vectors.npy -o hnsw.faiss.index --recipe HNSW32
    """
    from tqdm import tqdm

    from similar_images.files import check_writeable
    from similar_images.index import build
    from similar_images.vectors import index_path, open_vectors

    vectors = open_vectors(vectors_file)
    n, d = vectors.array.shape
    if dimension not in (None, d):
        raise ValueError(f"{vectors_file}: expected vectors of {dimension} numbers (-d), got {d}")
    output = output or index_path(vectors_file)
    check_writeable(output)
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists and is not overwritten: choose another -o, or pass --overwrite")
    with tqdm(total=n, unit=" vectors", disable=None) as bar:
        manifest = build(vectors, output, recipe, bar.update, lambda message: click.echo(message, err=True))
    if verbose:
        click.echo("\n".join(f"{key}: {value}" for key, value in manifest["parameters"].items()), err=True)
    size = output.stat().st_size / 1e6
    click.echo(f"{manifest['n']} of {n} vectors, recipe {manifest['recipe']}, {size:.2f} MB", err=True)
    click.echo(output)


if __name__ == "__main__":
    main()
