"""Filters as expressions of Milvus, which searches only the rows for which they are true.

Values are literals with escapes: Milvus Lite and servers before 2.5 take no template parameters. An expression holds for the
same rows as the filter of the collection; where none can be sure to, there is none, and the rows are found here.
Source: https://milvus.io/docs/boolean.md
"""

from collections.abc import Mapping

import numpy as np

from similar_images.milvus.fields import EMPTY, FOLDED, NAME, ROW, stored_kind

NEVER, ALWAYS = f"{ROW} < 0", f"{ROW} >= 0"
FEW_TEXTS = 1_000  # in one condition
FEW_ROWS = 10_000  # that are listed in an expression
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
WILD = frozenset("%_\\")  # of a pattern


def literal(value: str | float) -> str:
    """Return a text or a number as Milvus reads it."""
    if isinstance(value, str):
        return '"' + "".join(ESCAPES.get(character, character) for character in value) + '"'
    return repr(value)


def of_rows(rows: np.ndarray) -> str:
    """Return the expression of some rows (m,)."""
    return f"{ROW} in [{','.join(map(str, rows.tolist()))}]" if len(rows) else NEVER


def expression(
    conditions: Mapping[str, tuple[np.ndarray, tuple]], fields: Mapping[str, str], finds_parts: bool
) -> str | None:
    """Return the expression of conditions, as `Columns.conditions` gives them with the values (n,) of each column.

    `fields` has those columns whose values Milvus holds; `finds_parts` says whether it finds parts of texts. None if Milvus
    lacks a column, or cannot compare it so.
    """
    said = []
    for column, (values, some) in conditions.items():
        field = fields.get(column)
        if field is None:
            return None
        one = _parts(some, finds_parts) if column == NAME else _column(field, stored_kind(values), some)
        if one is None:
            return None
        said.append(f"({one})")
    return " and ".join(said) or ALWAYS


def _parts(parts: tuple, finds_parts: bool) -> str | None:
    if not parts:
        return NEVER
    if "" in parts:
        return ALWAYS
    if not finds_parts or len(parts) > FEW_TEXTS or any(WILD.intersection(part or "") for part in parts):
        return None
    return " or ".join(f'{FOLDED} == ""' if part is None else f"{FOLDED} like {literal(f'%{part}%')}" for part in parts)


def _column(field: str, kind: str, conditions: tuple) -> str | None:
    if not conditions:
        return NEVER
    if len(conditions) > FEW_TEXTS:
        return None
    if kind == "O":
        return f"{field} in [{', '.join(map(literal, conditions))}]"
    empty: float = EMPTY[kind]
    return " or ".join(
        f"({field} == {literal(empty)})" if one is None else f"({_range(field, empty, *one)})" for one in conditions
    )


def _range(field: str, empty: float, low: float, high: float) -> str:
    if np.isnan(low) or np.isnan(high) or low == np.inf or high == -np.inf:
        return NEVER
    ends = [f"{field} > {literal(empty)}"]
    ends += [f"{field} >= {literal(low)}"] if low > -np.inf else []
    ends += [f"{field} <= {literal(high)}"] if high < np.inf else []
    return " and ".join(ends)
