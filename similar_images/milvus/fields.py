"""What Milvus holds of every row beside its vector: its name, and the columns that filters use.

Texts become text, numbers DOUBLE, dates INT64 (seconds since 1970), and whole numbers that a DOUBLE cannot hold INT64.
An empty value is stored as a value below all others. Shape letter: n rows.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from similar_images.inputs.names import compose, fold_case

ROW, VECTOR, NAME = "row", "vector", "name"
FOLDED = "name_folded"  # in it a part of a name is found without regard to case
MOST_BYTES = 65_535  # of a text in Milvus
NO_NUMBER, NO_DATE, NO_INTEGER = -float(np.finfo(np.float64).max), -(2**62), 1 - 2**63
EMPTY: dict[str, Any] = {"O": "", "f": NO_NUMBER, "M": NO_DATE, "i": NO_INTEGER}
MAX_EXACT_DOUBLE = 2**53  # up to it, a DOUBLE holds every whole number
KNOWN = ("folder", "date", "camera")


class Field(NamedTuple):
    """A column as Milvus holds it."""

    field: str
    kind: str  # of NumPy's dtype: O, f, M or i
    digest: str  # of its values; empty if Milvus does not hold them

    def holds(self, values: np.ndarray) -> bool:
        """Return whether values (n,), or the first of them, are what Milvus holds."""
        return digest(_named(values) if self.field == FOLDED else values) == self.digest


def stored_kind(values: np.ndarray) -> str:
    """Return the kind of NumPy's dtype, O, f, M or i, as which Milvus holds values (n,) of a column."""
    if values.dtype.kind not in "iu":
        return values.dtype.kind
    numbers = np.ma.getdata(values)
    return "f" if ((numbers <= MAX_EXACT_DOUBLE) & (numbers >= -MAX_EXACT_DOUBLE)).all() else "i"


def as_stored(values: np.ndarray) -> np.ndarray:
    """Return values (n,) of a column with the dtype that Milvus holds."""
    match stored_kind(values):
        case "f":
            return np.ma.filled(values.astype(np.float64), np.nan)
        case "i":
            return np.ma.filled(values, NO_INTEGER if values.dtype.kind == "i" else None)
    return values


def digest(values: np.ndarray) -> str:
    """Return a SHA-256 over the values (n,) of a column."""
    values = as_stored(values)
    content = repr(values.tolist()).encode("utf-8", "surrogatepass") if values.dtype == object else values.tobytes()
    return hashlib.sha256(values.dtype.kind.encode() + content).hexdigest()


def _named(names: np.ndarray) -> np.ndarray:
    """Return names (n,) as they are folded: composed, which versions up to 1.1 did not do."""
    if all(map(str.isascii, names)):
        return names
    found = np.empty(len(names), object)
    found[:] = [compose(name) for name in names]
    return found


def stored(columns: Mapping[str, np.ndarray]) -> dict[str, Field]:
    """Return the columns that Milvus can hold as they are; filters by any other are computed here."""
    found: dict[str, Field] = {}
    for column, values in columns.items():
        if column == NAME:
            found[column] = Field(FOLDED, "O", digest(_named(values)))
        elif _fits(values):
            plain = re.sub(r"[^A-Za-z0-9_]", "_", column)[
                :64
            ]  # of a table of the user's, whose words may be Milvus' own
            field = column if column in KNOWN else f"c{len(found)}_{plain}"
            found[column] = Field(field, stored_kind(values), digest(values))
    return found


def renewed(fields: Mapping[str, Field], columns: Mapping[str, np.ndarray]) -> dict[str, Field]:
    """Return the fields of a collection with the digests of the values that their columns have now."""
    now = stored({column: columns[column] for column in fields if column in columns})
    same = {column for column, field in fields.items() if column in now and now[column].kind == field.kind}
    return {
        column: field._replace(digest=now[column].digest if column in same else "") for column, field in fields.items()
    }


def schema(c: int, fields: Mapping[str, Field]) -> Any:
    """Return the schema of a collection in Milvus."""
    from pymilvus import DataType, MilvusClient

    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field(ROW, DataType.INT64, is_primary=True)
    made.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=c)
    for name in (NAME, FOLDED):
        made.add_field(name, DataType.VARCHAR, max_length=MOST_BYTES)
    for column, field in fields.items():
        if column != NAME:
            kind = {"O": DataType.VARCHAR, "f": DataType.DOUBLE}.get(field.kind, DataType.INT64)
            length = {"max_length": MOST_BYTES} if kind == DataType.VARCHAR else {}
            made.add_field(field.field, kind, **length)
    return made


def entities(
    rows: np.ndarray, unit: np.ndarray, columns: Mapping[str, np.ndarray], fields: Mapping[str, Field]
) -> Iterator[dict[str, Any]]:
    """Yield what Milvus gets of rows (b,) with transformed unit vectors (b, c)."""
    for row, vector in zip(rows.tolist(), unit, strict=True):
        name = columns[NAME][row] if NAME in columns else ""
        entity = {ROW: row, VECTOR: vector, NAME: _text(name), FOLDED: _text(fold_case(name))}
        for column, field in fields.items():
            if column != NAME:
                entity[field.field] = _value(columns[column][row], field.kind) if field.digest else EMPTY[field.kind]
        yield entity


def _value(value: Any, kind: str) -> str | float | int:
    if value is np.ma.masked:
        return EMPTY[kind]
    if isinstance(value, str):
        return value
    if isinstance(value, np.datetime64):
        return NO_DATE if np.isnat(value) else int(value.astype("datetime64[s]").astype(np.int64))
    if kind == "i":
        return int(value)
    return NO_NUMBER if np.isnan(value) else float(value)


def _text(text: str) -> str:
    """Return what of a text Milvus can hold."""
    return text.encode("utf-8", "replace")[:MOST_BYTES].decode("utf-8", "ignore")


def _fits(values: np.ndarray) -> bool:
    """Return whether Milvus can hold all values as they are."""
    if values.dtype == object:
        return all(_text(value) == value for value in set(values.tolist()))
    if values.dtype.kind == "M":
        return True
    if stored_kind(values) == "i":
        numbers = np.ma.getdata(values)
        return bool(((numbers > NO_INTEGER) & (numbers <= np.iinfo(np.int64).max)).all())
    return not np.isinf(values).any() and not (values == NO_NUMBER).any()
