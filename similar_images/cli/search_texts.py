"""The texts most like a given one, in the shell."""

import json
from pathlib import Path

import click

from similar_images.cli.options import FILE, Command, Encoding, only_collection_here


@click.command("search-texts", cls=Command)
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@click.option("-k", type=click.IntRange(min=1), default=8, show_default=True, help="Number of hits.")
@click.option(
    "-i",
    "--texts",
    "file",
    type=FILE,
    help="The collection: the file of its texts, its list or its vectors.  [default: the only one of texts here]",
)
@click.option("--index", type=FILE, help="The collection's index.  [default: the one beside the vectors]")
@click.option("--column", help="The column of the texts.  [default: text, or the only one]")
@click.option("--encoding", type=Encoding(), default="utf-8", show_default=True, help="How the texts are encoded.")
@click.option("--exact", is_flag=True, help="Compare with every vector, not through the index.")
@click.option("--rerank", is_flag=True, help="Rank the hits of an index without vectors anew: encode them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: query, then row, name and similarity of each hit.")
def main(
    queries: tuple[str, ...],
    k: int,
    file: Path | None,
    index: Path | None,
    column: str | None,
    encoding: str,
    exact: bool,
    rerank: bool,
    as_json: bool,
) -> None:
    """Print the texts of a collection that mean most nearly the same as each QUERY, with their cosine similarity.

    An index is searched without its vectors too, where it was built from these very texts.

    \b
    Examples:
      ./search_texts.py "flip a picture left to right"
      ./search_texts.py -i tweets/texts_20k.csv --index tweets/tweets_20000.faiss.index "stuck in traffic"
      ./search_texts.py -i notes.txt -k 20 --json "what to buy" "whom to call"
    """
    from similar_images.collections.texts import TextCollection

    collection = TextCollection.open(file or only_collection_here(of_texts=True), index, column, encoding)
    reranked = rerank or collection.has_vectors
    answers = [(query, collection.nearest(collection.encode(query), k, exact, reranked)) for query in queries]
    if as_json:
        click.echo(json.dumps([{"query": query, "hits": [hit._asdict() for hit in hits]} for query, hits in answers]))
        return
    for query, hits in answers:
        if len(queries) > 1:
            click.echo(f"{query}:")
        if collection.is_like_nothing(hits):
            click.echo(f"Nothing in this collection is like {query}; what is nearest follows", err=True)
        for hit in hits:
            click.echo(f"{hit.similarity:.4f}  {hit.name}")
