"""The images most like a given one, in the shell."""

import json
from pathlib import Path

import click

from similar_images.cli.options import FILE, Command, collection_options, only_collection_here


@click.command("search", cls=Command)
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@click.option("-k", type=click.IntRange(min=1), default=8, show_default=True, help="Number of hits.")
@click.option(
    "-i",
    "--vectors",
    "vectors_file",
    type=FILE,
    help="The collection: its list or its vectors.  [default: the only *.saved_predictions.npy here]",
)
@collection_options
@click.option(
    "--min-percentile",
    type=click.FloatRange(0, 100),
    default=0,
    help="Leave out hits that are not more similar than this share of random pairs, such as 99.9.",
)
@click.option("--exact", is_flag=True, help="Compare with every vector, not through the index.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: query, then row, name and similarity of each hit.")
def main(
    queries: tuple[str, ...],
    k: int,
    vectors_file: Path | None,
    min_percentile: float,
    exact: bool,
    as_json: bool,
    **opening: Path | str | None,
) -> None:
    """Print the images of a collection that look most like each QUERY, with their cosine similarity.

    A QUERY is the file of an image, a name in the collection, or an http(s) address. For an image of the
    collection its stored vector is used, and the image itself is left out.

    \b
    Examples:
      ./search_images.py holiday.jpg
      ./search_images.py -i photos_file_list.txt -k 20 holiday.jpg beach.png
      ./search_images.py -i sample_file_list.txt --json apple/apple-00.jpg
    """
    from similar_images.collections.images import Collection
    from similar_images.inputs.web import fetch

    collection = Collection.open(vectors_file or only_collection_here(), **opening)
    answers, failed = [], False
    for query in queries:
        try:
            row = collection.row(query)
            if row is not None:
                found = row
            elif query.lower().startswith(("http://", "https://")):
                found = fetch(query)
            else:
                found = Path(query)
            hits = collection.nearest(found, k, exact)
            if collection.is_like_nothing(hits):
                click.echo(f"Nothing in this collection is like {query}; what is nearest follows", err=True)
            answers.append((query, [hit for hit in hits if _percentile(collection, hit) >= min_percentile]))
        except ValueError as error:
            failed = True
            click.echo(f"Error: {query}: {error}", err=True)
    if as_json:
        click.echo(json.dumps([{"query": query, "hits": [hit._asdict() for hit in hits]} for query, hits in answers]))
    else:
        for query, hits in answers:
            if len(queries) > 1:
                click.echo(f"{query}:")
            for hit in hits:
                click.echo(f"{hit.similarity:.4f}  {hit.name}")
    if failed:
        raise click.exceptions.Exit(1)


def _percentile(collection, hit) -> float:
    percentile = collection.percentile(hit.similarity)
    return 100 if percentile is None else percentile
