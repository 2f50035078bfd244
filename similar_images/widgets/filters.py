"""The filters of a gallery: the page's offer for each column of a collection, and its choice."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from similar_images.collection.columns import NAME, Columns, is_empty

MAX_CHOICES = 2_000  # different texts of a list; columns with more are not offered
MAX_CHOICE_CHARS = 200  # columns with longer texts are not offered
MAX_SAFE_INTEGER = 2**53 - 1  # of JavaScript; larger whole numbers are sent as texts

Offer = dict[str, Any]  # a filter of one column, as js/messages.js declares it
Choice = dict[str, Any]  # column -> the value to search for, as `nearest` takes it


def offer(columns: Columns) -> list[Offer]:
    """Return the name and kind of each column with different values, with its texts or its ends."""
    fields: list[Offer] = []
    for column, values in columns.items():
        kind = columns.kind(column)
        if column == NAME:
            fields.append({"column": column, "kind": "part"})
            continue
        empty = is_empty(values)
        if kind == "text":
            texts = columns.choices(column)
            is_varied = len(set(values.tolist())) > 1
            if is_varied and len(texts) <= MAX_CHOICES and max(map(len, texts), default=0) <= MAX_CHOICE_CHARS:
                fields.append({"column": column, "kind": kind, "texts": texts})
            continue
        known = np.unique(np.ma.getdata(values)[~empty])
        known = known[np.isfinite(known)]
        if len(known) > 1:
            fields.append({"column": column, "kind": kind, "ends": [_end(end) for end in (known[0], known[-1])]})
    return fields


def read_choice(fields: Mapping[str, Any]) -> Choice:
    """Return `where` from the page's value for each column: a text, or low and high, each of them or null."""
    found = {column: tuple(value) if isinstance(value, list) else value for column, value in fields.items()}
    return {column: value for column, value in found.items() if value not in ("", None, (None, None))}


def as_json(where: Mapping[str, Any]) -> Choice:
    """Return `where` with values for JSON."""
    return {column: _plain(value) for column, value in where.items()}


def _end(end: np.generic) -> Any:
    """Return the least or greatest value of a column for the page."""
    if isinstance(end, np.datetime64):
        return str(end.astype("datetime64[D]"))
    return float(str(end)) if isinstance(end, np.floating) else _plain(end)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    value = value.item() if isinstance(value, np.generic) else value
    is_large = isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER
    return str(value) if is_large else None if value in (np.inf, -np.inf) else value
