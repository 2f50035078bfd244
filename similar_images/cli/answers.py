"""Print the hits of queries, for images and for texts."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from similar_images.collection.base import BaseCollection
from similar_images.collection.column_files import is_behind
from similar_images.collection.columns import NOT, Filter
from similar_images.collection.searcher import Hit
from similar_images.collection.session import ResultPage, describe_missing, describe_pending
from similar_images.inputs.exif import EXIF_COLUMNS
from similar_images.inputs.names import escape_line
from similar_images.vectors.store import list_path


class Answer(NamedTuple):
    """A query with its hits."""

    query: str
    hits: list[Hit]
    states: list[str]  # of the hits' files: "missing", "changed" or ""


def warn_no_close_match(page: ResultPage) -> None:
    """Report on stderr that a query has no close match. Combined queries are exempt: no row may match all of them."""
    if page.has_no_close_match and not page.state.marks:
        place = "in this collection" if page.request.where is None else "among those that match"
        click.echo(f"No close match for {escape_line(page.state.name)} {place}; the nearest are", err=True)


def warn_not_indexed(collection: BaseCollection[Any], exact: bool) -> None:
    """Report on stderr how many rows the index lacks, and how to add them, and how many a run is adding."""
    for said in ("" if exact else describe_missing(collection), describe_pending(collection)):
        if said:
            click.echo(escape_line(said), err=True)


def print_json(answers: list[Answer], paths: bool = False) -> None:
    """Print queries and hits as JSON; each hit with its percentile, null if unknown, and with `paths` with its path."""
    found = [
        {"query": query, "hits": [_as_json(hit, state, paths) for hit, state in zip(hits, states, strict=True)]}
        for query, hits, states in answers
    ]
    click.echo(json.dumps(found))


def _as_json(hit: Hit, state: str, path: bool) -> dict[str, object]:
    fields = {"row": hit.row, "name": hit.name, "similarity": hit.similarity, "percentile": hit.percentile}
    fields |= {"file": state} if state else {}
    return fields | ({"path": hit.path and str(hit.path)} if path else {})


def parse_where(
    collection: BaseCollection[Any], conditions: tuple[str, ...], read_exif: Callable[[], None] = lambda: None
) -> Filter | None:
    """Return the conditions of --where as `nearest` takes them; None if there are none.

    `read_exif` reads the columns of EXIF if a condition needs them. Raises ValueError if nothing matches.
    """
    named = {condition.partition("=")[0].removesuffix(NOT) for condition in conditions} & {*EXIF_COLUMNS}
    if named and (named - {*collection.columns} or is_behind(list_path(collection.vectors.path), collection.names)):
        read_exif()
    where = collection.columns.parsed(conditions) if conditions else None
    if where is not None and not collection.matching(where).any():
        written = " ".join(f"--where {condition}" for condition in conditions)
        raise ValueError(collection.columns.explain_no_match(where, collection.noun, written))
    return where


def print_hits(answers: list[Answer], headed: bool) -> None:
    """Print a line for each hit, its similarity and name; `headed` by the query."""
    for query, hits, states in answers:
        if headed:
            click.echo(f"{escape_line(query)}:")
        for hit, state in zip(hits, states, strict=True):
            click.echo(f"{hit.similarity:.4f}  {escape_line(hit.name)}{f'  ({state})' if state else ''}")
