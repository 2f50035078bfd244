"""Print the hits of queries, for images and for texts."""

import json
from collections.abc import Callable
from typing import NamedTuple

import click

from similar_images.cli.options import as_started
from similar_images.collections.base import BaseCollection, Hit
from similar_images.collections.query import missing
from similar_images.inputs.names import printable


class Answered(NamedTuple):
    query: str
    hits: list[Hit]


def warn(collection: BaseCollection, query: str, hits: list[Hit]) -> None:
    """Say on stderr if a query has no close match in the collection."""
    if collection.is_like_nothing(hits):
        click.echo(f"No close match for {printable(query)} in this collection; the nearest are", err=True)


def warn_not_indexed(collection: BaseCollection, exact: bool) -> None:
    """Say on stderr how many rows the index lacks, and how to add them."""
    if not exact and (lacking := missing(collection)):
        click.echo(as_started(lacking), err=True)


def print_json(
    answers: list[Answered], collection: BaseCollection, path: Callable[[int], object] | None = None
) -> None:
    """Print queries and hits as JSON; each hit with its percentile, null if unknown, and by `path` with its path."""
    found = [
        {
            "query": query,
            "hits": [
                hit._asdict()
                | {"percentile": collection.percentile(hit.similarity)}
                | ({"path": str(path(hit.row))} if path else {})
                for hit in hits
            ],
        }
        for query, hits in answers
    ]
    click.echo(json.dumps(found))


def print_hits(answers: list[Answered], headed: bool) -> None:
    """Print a line for each hit, its similarity and name; `headed` by the query."""
    for query, hits in answers:
        if headed:
            click.echo(f"{printable(query)}:")
        for hit in hits:
            click.echo(f"{hit.similarity:.4f}  {printable(hit.name)}")
