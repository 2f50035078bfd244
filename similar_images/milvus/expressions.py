"""Filters as boolean expressions of Milvus, so that it searches only the matching rows.

Values are escaped literals: Milvus Lite and servers before 2.5 take no template parameters. An expression matches exactly
the rows of the collection's filter. Filters without an equivalent expression are evaluated by the collection instead.
Source: https://milvus.io/docs/boolean.md
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from similar_images.index.backend import ColumnCondition
from similar_images.milvus.fields import EMPTY, FOLDED_NAME, NAME, ROW, stored_kind

NO_ROW, EVERY_ROW = f"{ROW} < 0", f"{ROW} >= 0"
MAX_VALUES = 1_000  # in one condition
MAX_LISTED_ROWS = 10_000  # in an expression
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
WILDCARDS = frozenset("%_\\")


def quote(value: str | float) -> str:
    """Return a text or a number as a literal of Milvus."""
    if isinstance(value, str):
        return '"' + "".join(ESCAPES.get(character, character) for character in value) + '"'
    return repr(value)


def match_rows(rows: np.ndarray) -> str:
    """Return an expression that matches the rows (m,)."""
    return f"{ROW} in [{','.join(map(str, rows.tolist()))}]" if len(rows) else NO_ROW


def match_conditions(conditions: Sequence[ColumnCondition], fields: Mapping[str, str], finds_parts: bool) -> str | None:
    """Return an expression for conditions of `Columns.conditions`.

    `fields` names the field of each column with the same values in Milvus; `finds_parts` says whether it searches inside
    texts. None if Milvus lacks a column or cannot compare it in the same way.
    """
    terms = []
    for column, values, alternatives, is_negated in conditions:
        field = fields.get(column)
        if field is None:
            return None
        if column == NAME:
            term = _match_name(alternatives, finds_parts)
        else:
            term = _match_column(field, stored_kind(values), alternatives)
        if term is None:
            return None
        terms.append(f"not ({term})" if is_negated else f"({term})")
    return " and ".join(terms) or EVERY_ROW


def _match_name(parts: tuple[Any, ...], finds_parts: bool) -> str | None:
    if not parts:
        return NO_ROW
    if "" in parts:
        return EVERY_ROW
    if not finds_parts or len(parts) > MAX_VALUES or any(WILDCARDS.intersection(part or "") for part in parts):
        return None
    return " or ".join(
        f'{FOLDED_NAME} == ""' if part is None else f"{FOLDED_NAME} like {quote(f'%{part}%')}" for part in parts
    )


def _match_column(field: str, kind: str, alternatives: tuple[Any, ...]) -> str | None:
    if not alternatives:
        return NO_ROW
    if len(alternatives) > MAX_VALUES:
        return None
    if kind == "O":
        return f"{field} in [{', '.join(map(quote, alternatives))}]"
    empty: float = EMPTY[kind]
    return " or ".join(
        f"({field} == {quote(empty)})" if limits is None else f"({_match_range(field, empty, *limits)})"
        for limits in alternatives
    )


def _match_range(field: str, empty: float, low: float, high: float) -> str:
    if np.isnan(low) or np.isnan(high) or low == np.inf or high == -np.inf:
        return NO_ROW
    terms = [f"{field} > {quote(empty)}"]
    terms += [f"{field} >= {quote(low)}"] if low > -np.inf else []
    terms += [f"{field} <= {quote(high)}"] if high < np.inf else []
    return " and ".join(terms)
