"""Fields of a row in Milvus beside its vector: the name, and the columns for filters.

Texts are stored as VARCHAR, numbers as DOUBLE, dates as INT64 (seconds since 1970), whole numbers beyond the precision
of a DOUBLE as INT64. A value below all others represents an empty cell. Shape letter: n rows.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self, cast

import numpy as np

from similar_images.inputs.names import compose, fold_case

ROW, VECTOR, NAME = "row", "vector", "name"
FOLDED_NAME = "name_folded"  # for matches that ignore case
MAX_TEXT_BYTES = 65_535  # of a VARCHAR
NO_NUMBER, NO_DATE, NO_INTEGER = -float(np.finfo(np.float64).max), -(2**62), 1 - 2**63
EMPTY: dict[str, Any] = {"O": "", "f": NO_NUMBER, "M": NO_DATE, "i": NO_INTEGER}
MAX_EXACT_DOUBLE = 2**53  # a DOUBLE represents every whole number up to it
BUILT_IN_COLUMNS = ("folder", "date", "camera")


class Field(NamedTuple):
    """A column in Milvus."""

    field: str
    kind: str  # of NumPy's dtype: O, f, M or i
    digest: str  # of its values; empty if Milvus does not have them

    @classmethod
    def from_json(cls, content: object, place: str) -> Self:
        """Return the field that a list of its three texts describes. Raises ValueError for any other content."""
        texts = content if isinstance(content, list) and all(isinstance(text, str) for text in content) else []
        if len(texts) != 3 or not re.fullmatch(r"[a-z][A-Za-z0-9_]*", texts[0]):
            raise ValueError(f"{place}: expected field, kind and digest")
        return cls(*texts)

    def to_json(self) -> list[str]:
        return list(self)

    def has_values(self, values: np.ndarray) -> bool:
        """Return whether Milvus stores exactly these values (n,)."""
        return _digest(_compose(values) if self.field == FOLDED_NAME else values) == self.digest


def stored_kind(values: np.ndarray) -> str:
    """Return the kind of NumPy's dtype, O, f, M or i, in which Milvus stores values (n,)."""
    if values.dtype.kind not in "iu":
        return values.dtype.kind
    numbers = np.ma.getdata(values)
    return "f" if ((numbers <= MAX_EXACT_DOUBLE) & (numbers >= -MAX_EXACT_DOUBLE)).all() else "i"


def choose_fields(columns: Mapping[str, np.ndarray]) -> dict[str, Field]:
    """Return the fields of all columns that Milvus can store without loss."""
    fields: dict[str, Field] = {}
    for column, values in columns.items():
        if column == NAME:
            fields[column] = Field(FOLDED_NAME, "O", _digest(_compose(values)))
        elif _is_storable(values):
            safe = re.sub(r"[^A-Za-z0-9_]", "_", column)[:64]  # a user's column may have a reserved name
            field = column if column in BUILT_IN_COLUMNS else f"c{len(fields)}_{safe}"
            fields[column] = Field(field, stored_kind(values), _digest(values))
    return fields


def update_digests(fields: Mapping[str, Field], columns: Mapping[str, np.ndarray]) -> dict[str, Field]:
    """Return the fields of a collection with the digests of the columns' present values."""
    now = choose_fields({column: columns[column] for column in fields if column in columns})
    same = {column for column, field in fields.items() if column in now and now[column].kind == field.kind}
    return {
        column: field._replace(digest=now[column].digest if column in same else "") for column, field in fields.items()
    }


def make_schema(c: int, fields: Mapping[str, Field]) -> Any:
    """Return the schema of a collection of vectors with c numbers."""
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ROW, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=c)
    for name in (NAME, FOLDED_NAME):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    for column, field in fields.items():
        if column != NAME:
            kind = {"O": DataType.VARCHAR, "f": DataType.DOUBLE}.get(field.kind, DataType.INT64)
            length = {"max_length": MAX_TEXT_BYTES} if kind == DataType.VARCHAR else {}
            schema.add_field(field.field, kind, **length)
    return schema


def iter_entities(
    rows: np.ndarray, unit: np.ndarray, columns: Mapping[str, np.ndarray], fields: Mapping[str, Field]
) -> Iterator[dict[str, Any]]:
    """Yield the entity of each of the rows (b,), with transformed unit vectors (b, c)."""
    for row, vector in zip(rows.tolist(), unit, strict=True):
        name = columns[NAME][row] if NAME in columns else ""
        entity = {ROW: row, VECTOR: vector, NAME: _truncate(name), FOLDED_NAME: _truncate(fold_case(name))}
        for column, field in fields.items():
            if column != NAME:
                entity[field.field] = _as_value(columns[column][row], field.kind) if field.digest else EMPTY[field.kind]
        yield entity


def _digest(values: np.ndarray) -> str:
    """Return a SHA-256 over the values (n,) of a column."""
    values = _as_stored(values)
    content = repr(values.tolist()).encode("utf-8", "surrogatepass") if values.dtype == object else values.tobytes()
    return hashlib.sha256(values.dtype.kind.encode() + content).hexdigest()


def _as_stored(values: np.ndarray) -> np.ndarray:
    match stored_kind(values):
        case "f":
            return np.ma.filled(values.astype(np.float64), np.nan)
        case "i":
            return np.ma.filled(values, NO_INTEGER if values.dtype.kind == "i" else None)
    return values


def _compose(names: np.ndarray) -> np.ndarray:
    """Return names (n,) in composed Unicode form, which case folding starts from."""
    if all(map(str.isascii, names)):
        return names
    result = np.empty(len(names), object)
    result[:] = [compose(name) for name in names]
    return result


def _as_value(value: Any, kind: str) -> str | float | int:
    if value is np.ma.masked:
        return cast(str | float | int, EMPTY[kind])
    if isinstance(value, str):
        return value
    if isinstance(value, np.datetime64):
        return NO_DATE if np.isnat(value) else int(value.astype("datetime64[s]").astype(np.int64))
    if kind == "i":
        return int(value)
    return NO_NUMBER if np.isnan(value) else float(value)


def _truncate(text: str) -> str:
    """Return valid UTF-8 of at most MAX_TEXT_BYTES."""
    return text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def _is_storable(values: np.ndarray) -> bool:
    """Return whether Milvus can store all values without loss."""
    if values.dtype == object:
        return all(_truncate(value) == value for value in set(values.tolist()))
    if values.dtype.kind == "M":
        return True
    if stored_kind(values) == "i":
        numbers = np.ma.getdata(values)
        return bool(((numbers > NO_INTEGER) & (numbers <= np.iinfo(np.int64).max)).all())
    return not np.isinf(values).any() and not (values == NO_NUMBER).any()
