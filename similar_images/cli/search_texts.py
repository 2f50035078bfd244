"""Search a collection of texts for those closest in meaning to a given one."""

from pathlib import Path

import click

from similar_images.cli.options import ENCODING, FILE, Command, only_collection_here, where_option


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
@click.option("--encoding", type=ENCODING, default="utf-8", show_default=True, help="How the texts are encoded.")
@where_option
@click.option("--exact", is_flag=True, help="Compare with every vector instead of using the index.")
@click.option("--rerank", is_flag=True, help="Re-rank the hits of an index without vectors, by encoding them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: row, name, similarity and percentile of each hit.")
def main(
    queries: tuple[str, ...],
    k: int,
    file: Path | None,
    index: Path | None,
    column: str | None,
    encoding: str,
    conditions: tuple[str, ...],
    exact: bool,
    rerank: bool,
    as_json: bool,
) -> None:
    """Print the texts of a collection closest in meaning to each QUERY, with their cosine similarity.

    An index is searched without its vectors too, if it was built from the same texts.

    \b
    Examples:
      similar-images search-texts "flip a picture left to right"
      similar-images search-texts -i tweets/texts_20k.csv --index tweets/tweets_20000.faiss.index "stuck in traffic"
      similar-images search-texts -i notes.txt -k 20 --json "what to buy" "whom to call"
    """
    from similar_images.cli.answers import (
        Answer,
        parse_where,
        print_hits,
        print_json,
        warn_no_close_match,
        warn_not_indexed,
    )
    from similar_images.collection.session import QueryState, SearchRequest, SearchSession
    from similar_images.collection.texts import TextCollection

    collection = TextCollection.open(file or only_collection_here(of_texts=True), index, column, encoding)
    warn_not_indexed(collection, exact)
    where = parse_where(collection, conditions)
    session, reranked = SearchSession(collection), rerank or collection.has_vectors
    pages = [
        session.search(SearchRequest(QueryState(query, collection.encode(query)), k, exact, where, reranked))
        for query in queries
    ]
    for page in pages:
        warn_no_close_match(page)
    answers = [Answer(page.state.name, page.hits, [""] * len(page.hits)) for page in pages]
    if as_json:
        print_json(answers)
    else:
        print_hits(answers, len(queries) > 1)
