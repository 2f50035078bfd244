"""Search a collection of images for those most like a given one."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from similar_images.cli.options import (
    FILE,
    SIMILARITIES,
    Command,
    collection_options,
    only_collection_here,
    report_assumption,
    report_place,
    silent_decoders,
    where_option,
)
from similar_images.inputs.formats import SUFFIXES
from similar_images.inputs.names import escape_line
from similar_images.inputs.texts import PROMPT_SLOT, fill_prompt

if TYPE_CHECKING:
    from PIL import Image

    from similar_images.cli.answers import Answer
    from similar_images.collection.encoder import Query
    from similar_images.collection.images import Collection
    from similar_images.collection.searcher import Hit
    from similar_images.collection.session import QueryState, SearchRequest, SearchSession


SIGNS, NUMBER = {"+", "-"}, re.compile(r"\d+(\.\d*)?|\.\d+")


@click.command("search", cls=Command)
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@click.option("-k", type=click.IntRange(min=1), default=8, show_default=True, help="Number of hits.")
@click.option(
    "-i",
    "--vectors",
    "vectors_file",
    type=FILE,
    help="The collection: its list or its vectors.  [default: the only collection here]",
)
@collection_options
@click.option(
    "--min-percentile",
    type=click.FloatRange(0, 100),
    default=0,
    help="Omit hits below this percentile of random pairs' similarities, such as 99.9.",
)
@where_option
@click.option("--exact", is_flag=True, help="Compare with every vector instead of using the index.")
@click.option(
    "--similarity", type=click.Choice(SIMILARITIES), help="Compare exactly, by this similarity instead of the index'."
)
@click.option(
    "--prompt",
    metavar="TEXT",
    help="Prompt template; {} is replaced by the words, such as 'a photo of a {}'; evaluate --networks compares "
    "prompts.  [default: only the words]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: row, name, similarity and percentile of each hit.")
@click.option(
    "--paths",
    is_flag=True,
    help="Print only the path of each hit, for other commands to open; with --json add it. "
    "An image in an archive is ARCHIVE/NAME, which this command takes as a QUERY.",
)
def main(
    queries: tuple[str, ...],
    k: int,
    vectors_file: Path | None,
    min_percentile: float,
    conditions: tuple[str, ...],
    exact: bool,
    similarity: str | None,
    prompt: str | None,
    as_json: bool,
    paths: bool,
    **opening: Any,
) -> None:
    """Print the images of a collection that look most like each QUERY, with their similarity.

    A QUERY is the file of an image, a name in the collection, or an http(s) address; any other QUERY is words if the network of the collection reads them, unless it ends like an image name. If it is both a file and a name,
    the file is searched for. The stored vector is used for an image of the collection, and the image itself is left out
    of its hits. With + or - between them, queries are combined: similar to the first and to queries after a +, dissimilar to queries after a -; a number before a query is its weight.

    \b
    Examples:
      similar-images search holiday.jpg
      similar-images search -i photos_file_list.txt -k 20 holiday.jpg beach.png
      similar-images search -i sample_file_list.txt --json apple/apple-00.jpg
      similar-images search holiday.jpg --where folder=2019 --where date=2019-07-01..2019-08-31 --where name=beach
      similar-images search "a dog on a beach"
      similar-images search cat.jpg + 0.5 "at night" - dog.jpg
      similar-images search "dog on a beach" --prompt "a photo of a {}"
      similar-images search --paths holiday.jpg | xargs -d '\\n' cp -t similar/
    """
    from similar_images.cli.answers import Answer, parse_where, warn_not_indexed
    from similar_images.cli.progress import read_exif
    from similar_images.collection.images import Collection
    from similar_images.collection.session import SearchRequest, SearchSession

    collection = Collection.open(vectors_file or only_collection_here(), **opening)
    report_assumption(collection.vectors)
    report_place(collection, opening["images"])
    check_options(collection, prompt, paths)
    if similarity and similarity != collection.similarity.name:
        collection = collection.with_similarity(similarity)
    if min_percentile and collection.index is None:
        collection.measure_percentiles()
    where = parse_where(collection, conditions, lambda: read_exif(collection))
    warn_not_indexed(collection, exact)
    session, answers, failed = SearchSession(collection), [], False
    parsed = parse_queries(queries)
    for query in parsed:
        try:
            state = _query_state(collection, query, prompt or PROMPT_SLOT)
            hits = _search(session, SearchRequest(state, k, exact, where), min_percentile)
        except ValueError as error:
            failed = True
            click.echo(f"Error: {escape_line(query.name) or 'QUERY'}: {escape_line(str(error))}", err=True)
            continue
        answers.append(Answer(query.name, hits, [collection.file_state(hit.row) for hit in hits]))
    if paths:
        answers = [answer._replace(hits=_locate(collection, answer.hits)) for answer in answers]
    _print(answers, as_json, paths, headed=len(parsed) > 1)
    if failed:
        raise click.exceptions.Exit(1)


def _print(answers: list["Answer"], as_json: bool, paths: bool, headed: bool) -> None:
    from similar_images.cli.answers import print_hits, print_json

    if as_json:
        print_json(answers, paths)
    elif paths:
        for path in (hit.path for answer in answers for hit in answer.hits if hit.path):
            # A command gets the exact path as bytes, which click does not change; a terminal no control characters.
            click.echo(escape_line(str(path)) if sys.stdout.isatty() else os.fsencode(str(path)))
    else:
        print_hits(answers, headed)


def _locate(collection: "Collection", hits: list["Hit"]) -> list["Hit"]:
    """Return hits with their paths. Missing files and names that lead outside are reported, and have no path."""
    from similar_images.collection.store import MISSING

    located = []
    for hit in hits:
        try:
            path = collection.path(hit.row)
            if collection.file_state(hit.row) == MISSING:
                raise ValueError("its file is missing")
        except ValueError as error:
            click.echo(f"left out {escape_line(hit.name)}: {error}", err=True)
            path = None
        located.append(hit._replace(path=path))
    return located


class ParsedQuery(NamedTuple):
    """A query of the command line: positives and negatives with their weights."""

    name: str
    positives: list[tuple[float, str]]
    negatives: list[tuple[float, str]]


def parse_queries(queries: Sequence[str]) -> list[ParsedQuery]:
    """Return the queries, combined into a single one if there is a + or - among them.

    Raises ValueError if a sign lacks its query, or a query its sign.
    """
    if not SIGNS.intersection(queries):
        return [ParsedQuery(query, [(1.0, query)], []) for query in queries]
    parts: dict[str, list[tuple[float, str]]] = {"+": [], "-": []}
    sign: str | None = "+"
    weight: float | None = None
    for token in queries:
        if token in SIGNS:
            if sign and any(parts.values()):
                raise ValueError(f"expected a query after {sign}, got {token}")
            sign = token
        elif sign is None:
            raise ValueError(f"expected + or - before {token}: with a sign among them, all queries are one")
        elif weight is None and NUMBER.fullmatch(token) and float(token) > 0:
            weight = float(token)
        else:
            parts[sign].append((weight or 1.0, token))
            sign, weight = None, None
    if sign or weight is not None:
        raise ValueError(f"expected a query after {queries[-1]}")
    if not parts["+"]:
        raise ValueError("expected a query to be like, got only what to be unlike")
    return [ParsedQuery(" ".join(queries), parts["+"], parts["-"])]


def _query_state(collection: "Collection", query: ParsedQuery, prompt: str) -> "QueryState":
    """Return a query for a search session. Raises ValueError for an unknown name or file."""
    from similar_images.collection.session import Mark, QueryState

    is_single = len(query.positives) + len(query.negatives) == 1  # then its weight has no effect

    def entry(weight: float, text: str) -> Any:
        found = _resolve(collection, text, prompt)
        return found if weight == 1 or is_single else (found, weight)

    first, *others = [entry(*part) for part in query.positives]
    negatives = tuple(Mark(text, entry(weight, text)) for weight, text in query.negatives)
    names = [text for _, text in query.positives[1:]]
    return QueryState(query.name, first, positives=tuple(map(Mark, names, others)), negatives=negatives)


def _search(session: "SearchSession", request: "SearchRequest", min_percentile: float) -> list["Hit"]:
    """Return the hits of a request, at least at a percentile; report on stderr if there are none, or none is close."""
    from similar_images.cli.answers import warn_no_close_match

    page = session.search(request)
    if min_percentile and any(hit.percentile is None for hit in page.hits):
        raise ValueError("--min-percentile needs percentiles, which words and foreign indexes do not have: omit it")
    warn_no_close_match(page)
    hits = [hit for hit in page.hits if (hit.percentile or 0) >= min_percentile]
    if not hits:
        reason = f" above percentile {min_percentile:g}" if page.hits else ": there is no other image"
        click.echo(f"no hit for {escape_line(request.state.name)}{reason}", err=True)
    return hits


def check_options(collection: "Collection", prompt: str | None, paths: bool) -> None:
    """Raise ValueError for a prompt without {} or that the network does not read, and for paths in an unknown folder."""
    from similar_images.collection.encoder import WORDS_REMEDY
    from similar_images.networks.description import reads_words

    fill_prompt("", PROMPT_SLOT if prompt is None else prompt)
    if prompt is not None and not reads_words(collection.network):
        name = collection.network.name if collection.network else "the network of the collection"
        raise ValueError(f"--prompt is for words, which {name} does not read: omit it, or {WORDS_REMEDY}")
    if paths and collection.source is None:
        raise ValueError("the folder of the images is unknown: give it with -d")


def _resolve(collection: "Collection", query: str, prompt: str) -> "int | bytes | Image.Image | Query":
    """Return what `nearest` takes: a row, the bytes at an address, the image in a file, or words."""
    from similar_images.inputs.images import open_image
    from similar_images.inputs.web import fetch
    from similar_images.networks.description import reads_words

    if not query.strip():
        raise ValueError("expected a file, a name, an address or words to search for, got an empty text")
    row = collection.row(query)
    if row is not None:
        changed = collection.changed_query(row)
        if changed is None:
            return row
        said = "has changed since its vector was made: searching for the file as it is; similar-images update renews vectors"
        click.echo(f"{escape_line(query)} {said}", err=True)
        return changed
    if query.lower().startswith(("http://", "https://")):
        return fetch(query)
    named = collection.row_named(query)
    if named is not None:  # the name of another file here
        said = f"{escape_line(query)}: searching for the file here"
        own = collection.source.path / query if collection.source else query
        click.echo(f"{said}; for the collection's image give {escape_line(str(own))}", err=True)
    elif not is_path(query):
        try:
            return collection.encode_text(query, prompt)
        except ValueError as error:
            if reads_words(collection.network):
                raise
            raise ValueError(f"no such file; {error}") from error
    with silent_decoders():
        return open_image(Path(query))


def is_path(query: str) -> bool:
    """Return whether there is a file or folder of this name, or whether it is called like an image."""
    try:
        return Path(query).exists() or Path(query).suffix.lower() in SUFFIXES
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False
