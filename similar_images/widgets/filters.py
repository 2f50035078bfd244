"""The filters of a gallery: what its page offers for each column of a collection, and what a page has chosen."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from similar_images.collections.columns import NAME, Columns

CHOICES = 2_000  # different texts that are offered as a list; a column with more of them is not


def offered(columns: Columns) -> list[dict]:
    """Return for each column that can tell rows apart its name, its kind, and its texts or its ends."""
    fields: list[dict] = []
    for column, values in columns.items():
        kind = columns.kind(column)
        if column == NAME:
            fields.append({"column": column, "kind": "part"})
        elif kind == "text":
            texts = sorted(set(values.tolist()) - {""})
            if 1 < len(texts) <= CHOICES or (texts and not values.all()):
                fields.append({"column": column, "kind": kind, "texts": texts[:CHOICES]})
        elif len(known := np.unique(values[values == values])) > 1:  # neither NaN nor NaT
            ends = [str(end.astype("datetime64[D]")) if kind == "date" else float(end) for end in (known[0], known[-1])]
            fields.append({"column": column, "kind": kind, "ends": ends})
    return fields


def chosen(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `where` of what a page sends for each column: a text, or low and high, each of which may be null."""
    found = {column: tuple(value) if isinstance(value, list) else value for column, value in fields.items()}
    return {column: value for column, value in found.items() if value not in ("", None, (None, None))}


def shown(where: Mapping[str, Any]) -> dict[str, Any]:
    """Return `where` as JSON can hold it."""
    return {column: _plain(value) for column, value in where.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
