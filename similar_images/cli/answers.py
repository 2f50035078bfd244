"""Print the hits of queries, for images and for texts."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from similar_images.collection.base import BaseCollection
from similar_images.collection.column_files import EXIF_COLUMNS, is_behind
from similar_images.collection.columns import Where
from similar_images.collection.query import Asked, is_like_nothing, missing
from similar_images.collection.searcher import Hit
from similar_images.inputs.names import escape_line
from similar_images.vectors.store import list_path


class Answered(NamedTuple):
    query: str
    hits: list[Hit]


def warn(
    collection: BaseCollection, query: str, hits: list[Hit], where: Where | None = None, given: Any = None
) -> None:
    """Say on stderr if a query has no close match in the collection, or in what of it was searched.

    `given` is the query as `nearest` took it. Of several as one it is not known: nothing may be like all of them.
    """
    if not isinstance(given, list) and is_like_nothing(collection, Asked(query, given), hits, where):
        place = "in this collection" if where is None else "among those that match"
        click.echo(f"No close match for {escape_line(query)} {place}; the nearest are", err=True)


def warn_not_indexed(collection: BaseCollection, exact: bool) -> None:
    """Say on stderr how many rows the index lacks, and how to add them."""
    if not exact and (lacking := missing(collection)):
        click.echo(escape_line(lacking), err=True)


def print_json(answers: list[Answered], paths: bool = False) -> None:
    """Print queries and hits as JSON; each hit with its percentile, null if unknown, and with `paths` with its path."""
    fields = ("row", "name", "similarity", "percentile")
    found = [
        {
            "query": query,
            "hits": [
                {field: getattr(hit, field) for field in fields}
                | ({"path": hit.path and str(hit.path)} if paths else {})
                for hit in hits
            ],
        }
        for query, hits in answers
    ]
    click.echo(json.dumps(found))


def parsed_where(
    collection: BaseCollection, conditions: tuple[str, ...], read_exif: Callable[[], None] = lambda: None
) -> dict | None:
    """Return the conditions of --where as `nearest` takes them; None if there are none.

    `read_exif` reads the columns of EXIF, if one is named that is not known of every row yet. Raises ValueError if nothing matches.
    """
    named = {condition.partition("=")[0] for condition in conditions} & {*EXIF_COLUMNS}
    if named and (named - {*collection.columns} or is_behind(list_path(collection.vectors.path), collection.names)):
        read_exif()
    where = collection.columns.parsed(conditions) if conditions else None
    if where is not None and not collection.matching(where).any():
        raise ValueError(f"no {collection.noun} matches --where {' --where '.join(conditions)}")
    return where


def print_hits(answers: list[Answered], headed: bool) -> None:
    """Print a line for each hit, its similarity and name; `headed` by the query."""
    for query, hits in answers:
        if headed:
            click.echo(f"{escape_line(query)}:")
        for hit in hits:
            click.echo(f"{hit.similarity:.4f}  {escape_line(hit.name)}")
