"""Columns of text, numbers or dates, and the rows that match conditions on them.

Shape letter: n rows.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.index.backend import Conditions
from similar_images.inputs.names import compose, fold_case

NAME, FOLDER = "name", "folder"
VECTOR = "vector"  # of an export; no filter uses it
LOOSE = "."  # the folder of a name without one
ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")
WHOLE = re.compile(r"[+-]?\d+")
MAX_MASKS = 16  # cached, of conditions
KINDS = {"O": "text", "f": "number", "i": "number", "u": "number", "M": "date"}  # by the kind of NumPy's dtype
EXPECTED = {"number": "a number", "date": "a date such as 2019, 2019-07 or 2019-07-31"}

Arrays = Mapping[str, np.ndarray]  # columns (n,) by name
Filter = Mapping[str, Any]  # columns with values: see `Collection.matching`
Where = Filter | np.ndarray | Sequence[int]  # or bool (n,), or rows


class Within(NamedTuple):
    """Values from `low` to `high`, both included; int for whole numbers and dates, or infinite."""

    low: float
    high: float


Condition = str | Within | None  # a text, or a range; None: an empty value


class Columns(Mapping[str, np.ndarray]):
    """Arrays (n,) by name: texts as str in objects, whole numbers as int64 or uint64, others as floats, dates as datetime64[s].

    A row without a value has "", NaN or NaT. An array of whole numbers is masked there (`numpy.ma`).
    """

    def __init__(self, arrays: Arrays):
        self._arrays = arrays
        self._codes: dict[str, tuple[dict[str, int], np.ndarray]] = {}
        self._masks: LRUCache[tuple[str, tuple[Condition, ...]], np.ndarray] = LRUCache(MAX_MASKS)
        self._lock = forks.new_lock()

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self._arrays:
            raise ValueError(f"there is no column {column}: expected one of {', '.join(self._arrays)}")
        return self._arrays[column]

    def __contains__(self, column: object) -> bool:
        return column in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def kind(self, column: str) -> str:
        """Return whether a column holds text, number or date. Raises ValueError, with the known ones, if it is unknown."""
        return KINDS[self[column].dtype.kind]

    def parsed(self, conditions: Sequence[str]) -> Filter:
        """Return `where` of conditions such as folder=cats or date=2019-01..2019-03; those of one column are alternatives."""
        where: dict[str, list[Any]] = {}
        for condition in conditions:
            column, equals, value = condition.partition("=")
            if not equals:
                raise ValueError(f"expected COLUMN=VALUE or COLUMN=LOW..HIGH, got {condition}")
            low, dots, high = value.partition("..")
            is_range = dots and self.kind(column) != "text"
            where.setdefault(column, []).append((low or None, high or None) if is_range else value or None)
        return where

    def matching(self, where: Filter) -> np.ndarray:
        """Return which rows match all conditions, bool (n,), as `Collection.matching` takes them."""
        conditions = {column: self._conditions(column, value) for column, value in where.items()}
        masks = [self._matching(column, some) for column, some in conditions.items()]
        return np.logical_and.reduce(masks) if masks else np.ones(len(self[NAME]), bool)

    def conditions(self, where: Filter) -> Conditions:
        """Return the values (n,) and the alternatives of each column, for other engines.

        For `name` parts, compared ignoring case, or None for an empty name; for other texts the matching values; for
        numbers, and dates in seconds, (low, high) with both ends, or None for empty rows.
        """
        found = {}
        for column, value in where.items():
            conditions = self._conditions(column, value)
            if self.kind(column) == "text" and column != NAME:
                conditions = tuple(text for text in self._coded(column)[0] if _is_one_of(text, conditions, column))
            found[column] = self[column], conditions
        return found

    def _conditions(self, column: str, value: Any) -> tuple[Condition, ...]:
        """Return the alternatives of a column in comparable form. Raises ValueError for another value."""
        dtype = self[column].dtype
        several = list(value) if isinstance(value, (list, set, frozenset, np.ndarray)) else [value]
        return tuple(_condition(column, dtype, one) for one in several)

    def _matching(self, column: str, conditions: tuple[Condition, ...]) -> np.ndarray:
        with self._lock:
            key = (column, conditions)
            if key not in self._masks:
                self._masks[key] = self._mask(column, conditions)
            return self._masks[key]

    def _mask(self, column: str, conditions: tuple[Condition, ...]) -> np.ndarray:
        values, kind = self[column], self.kind(column)
        if kind == "text":
            if column == NAME:
                return np.array([_has_part(name, conditions) for name in values], bool)
            known, codes = self._coded(column)
            return np.isin(codes, [code for text, code in known.items() if _is_one_of(text, conditions, column)])
        empty = is_empty(values)
        numbers = values.astype(np.int64) if kind == "date" else np.ma.getdata(values)
        mask = np.zeros(len(values), bool)
        for condition in conditions:
            if isinstance(condition, Within):
                mask |= (numbers >= condition.low) & (numbers <= condition.high) & ~empty
            else:
                mask |= empty
        return mask

    def _coded(self, column: str) -> tuple[dict[str, int], np.ndarray]:
        """Return a number for each different text, and the numbers of the rows (n,)."""
        if column not in self._codes:
            known: dict[str, int] = {}
            self._codes[column] = known, np.array([known.setdefault(text, len(known)) for text in self[column]])
        return self._codes[column]


def matching_rows(where: np.ndarray | Sequence[int], n: int) -> np.ndarray:
    """Return which of n rows a mask or rows contain, bool (n,).

    Raises ValueError for another array, IndexError for an unknown row.
    """
    given = np.asarray(where)
    if given.dtype == bool:
        given = np.ma.filled(where, False) if isinstance(where, np.ma.MaskedArray) else given
        if given.shape != (n,):
            raise ValueError(f"expected a bool array of shape ({n},), got {given.shape}")
        return given
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError(
            f"expected where as a mapping of columns, a bool array ({n},) or rows, got {given.dtype} {given.shape}"
        )
    given = given.astype(np.int64)
    if given.size and not 0 <= given.min() <= given.max() < n:
        raise IndexError(f"expected rows from 0 to {n - 1}, got {given.min()} to {given.max()}")
    matching = np.zeros(n, bool)
    matching[given] = True
    return matching


def name_columns(names: list[str], folders: bool) -> Arrays:
    """Return the columns that the names themselves give."""
    columns = {NAME: texts(names)}
    if folders:
        columns[FOLDER] = texts([name.rpartition("/")[0] or LOOSE for name in names])
    return columns


def texts(values: Sequence[str | None]) -> np.ndarray:
    """Return texts as an array of objects (n,)."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def is_empty(values: np.ndarray) -> np.ndarray:
    """Return which values (n,) of a column are none, bool (n,)."""
    match values.dtype.kind:
        case "O":
            empty = values == ""
        case "M":
            empty = np.isnat(values)
        case "f":
            empty = np.isnan(values)
        case _:
            empty = np.ma.getmaskarray(values)
    return np.asarray(empty)


def _is_one_of(text: str, wanted: tuple[Condition, ...], column: str) -> bool:
    text = compose(text)
    if text in wanted:
        return True
    return column == FOLDER and any(text.startswith(f"{folder}/") for folder in wanted if folder)


def _has_part(name: str, parts: tuple[Condition, ...]) -> bool:
    whole = fold_case(name)
    return any(part in whole if isinstance(part, str) else not name for part in parts)


def _condition(column: str, dtype: np.dtype, value: Any) -> Condition:
    kind = KINDS[dtype.kind]
    if isinstance(value, tuple):
        if kind == "text" or len(value) != 2:
            expected = "a text or a list of texts" if kind == "text" else "a pair (low, high)"
            raise ValueError(f"{column}: expected {expected}, got {value}")
        low, high = (None if end is None or end == "" else _within(column, dtype, end) for end in value)
        return Within(low.low if low else -np.inf, high.high if high else np.inf)
    if _is_none(value):
        return "" if kind == "text" and column != NAME else None
    if kind == "text":
        if not isinstance(value, str):
            raise ValueError(f"{column}: expected a text or a list of texts, got {value!r}")
        text = compose(value)
        if column == FOLDER and text:
            return text.rstrip("/") or text
        return fold_case(text) if column == NAME else text
    return None if isinstance(value, str) and not value else _within(column, dtype, value)


def _is_none(value: Any) -> bool:
    """Return whether a value is empty: None, NaN, NaT or pandas.NA."""
    if value is None or value is np.ma.masked:
        return True
    try:
        return bool(value != value)
    except TypeError:  # of pandas.NA
        return True


def _within(column: str, dtype: np.dtype, value: Any) -> Within:
    """Return the range of numbers, or of seconds, of a value. Raises ValueError for another value."""
    kind = KINDS[dtype.kind]
    try:
        return _number(dtype, value) if kind == "number" else _moment(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{column}: expected {EXPECTED[kind]}, got {value!r:.80}") from None


def _number(dtype: np.dtype, value: Any) -> Within:
    """Return the range of numbers of a dtype for a value: a float is rounded to its precision."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            low = high = float(dtype.type(value))
    elif isinstance(value, (int, np.integer)) or (isinstance(value, str) and WHOLE.fullmatch(value.strip())):
        low = high = int(value)
    else:
        low = high = float(value)
        if math.isfinite(low):
            low, high = math.ceil(low), math.floor(high)
    if low != low:
        raise ValueError
    return Within(low, high)


def _moment(value: Any) -> Within:
    """Return the range of seconds since 1970 of a date."""
    if isinstance(value, (str, int, np.integer)):
        if not ISO.fullmatch(str(value)):
            raise ValueError
        moment = np.datetime64(str(value).replace(" ", "T"))
    elif isinstance(value, (date, np.datetime64)) and not (isinstance(value, datetime) and value.tzinfo is not None):
        moment = np.datetime64(value)
    else:
        raise ValueError
    if np.isnat(moment):
        raise ValueError
    first, after = (one.astype("datetime64[s]").astype(np.int64) for one in (moment, moment + 1))
    return Within(int(first), max(int(first), int(after) - 1))
