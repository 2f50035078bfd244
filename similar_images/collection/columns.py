"""Columns of text, numbers or dates, and the rows that match conditions on them.

Shape letter: n rows.
"""

import difflib
import heapq
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.index.backend import ColumnCondition
from similar_images.inputs.exif import EXIF_COLUMNS
from similar_images.inputs.keywords import split_keywords
from similar_images.inputs.names import fold_case

NAME, FOLDER, KEYWORDS = "name", "folder", "keywords"
NOT = "!"  # after a column: excludes matching rows
VECTOR = "vector"  # of an export; no filter uses it
LOOSE = "."  # the folder of a name without one
ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")
WHOLE = re.compile(r"[+-]?\d+")
MAX_MASKS = 16  # cached, of conditions
MAX_SUGGESTIONS, MAX_SUGGESTION_CHARS = 5, 80  # texts in a message
MAX_COMPARED_TEXTS = 5_000  # with a text that matches nothing
KINDS = {"O": "text", "f": "number", "i": "number", "u": "number", "M": "date"}  # by the kind of NumPy's dtype
EXPECTED = {"number": "a number", "date": "a date such as 2019, 2019-07 or 2019-07-31"}
PHRASES = {"date": "a date", "camera": "a camera", "rating": "a rating", "keywords": "keywords"}  # of EXIF columns
PHRASES |= {"latitude": "a location", "longitude": "a location"}

Arrays = Mapping[str, np.ndarray]  # columns (n,) by name
Filter = Mapping[str, Any]  # columns, or with a NOT after them, with values: see `Collection.matching`
Where = Filter | np.ndarray | Sequence[int]  # or bool (n,), or rows


class Within(NamedTuple):
    """Values from `low` to `high`, both included; int for whole numbers and dates, or infinite."""

    low: float
    high: float


Condition = str | Within | None  # a text, or a range; None: an empty value


class Texts(NamedTuple):
    """The different texts of a column, also for comparison, and the place of each row's text among them (n,)."""

    known: list[str]
    folded: list[str]
    codes: np.ndarray


class Columns(Mapping[str, np.ndarray]):
    """Arrays (n,) by name: texts as str in objects, whole numbers as int64 or uint64, others as floats, dates as datetime64[s].

    A row without a value has "", NaN or NaT. An array of whole numbers is masked there (`numpy.ma`).
    """

    def __init__(self, arrays: Arrays):
        self._arrays = arrays
        self._texts: dict[str, Texts] = {}
        self._masks: LRUCache[tuple[str, tuple[Condition, ...]], np.ndarray] = LRUCache(MAX_MASKS)
        self._lock = forks.new_lock()

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self._arrays:
            remedy = "; read_exif() reads it from photographs" * (column in EXIF_COLUMNS and FOLDER in self)
            raise ValueError(f"there is no column {column}: expected one of {', '.join(self._arrays)}{remedy}")
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
        """Return `where` of conditions such as folder=cats, camera!=phone or date=2019-01..2019-03.

        Conditions of one column are alternatives; with !=, none of them may match.
        """
        where: dict[str, list[Any]] = {}
        for condition in conditions:
            key, equals, value = condition.partition("=")
            if not equals:
                raise ValueError(f"expected COLUMN=VALUE, COLUMN!=VALUE or COLUMN=LOW..HIGH, got {condition}")
            low, dots, high = value.partition("..")
            is_range = dots and self.kind(self.split(key)[0]) != "text"
            where.setdefault(key, []).append((low or None, high or None) if is_range else value or None)
        return where

    def split(self, key: str) -> tuple[str, bool]:
        """Return the column of a key of a filter, and whether its rows must not match."""
        is_negated = key not in self and str(key).endswith(NOT)
        return (key.removesuffix(NOT) if is_negated else key), is_negated

    def matching(self, where: Filter) -> np.ndarray:
        """Return which rows match all conditions, bool (n,), as `Collection.matching` takes them."""
        conditions = [(*self.split(key), value) for key, value in where.items()]
        parsed = [(column, is_negated, self._conditions(column, value)) for column, is_negated, value in conditions]
        masks = [self._matching(column, some) ^ is_negated for column, is_negated, some in parsed]
        return np.logical_and.reduce(masks) if masks else np.ones(len(self[NAME]), bool)

    def conditions(self, where: Filter) -> list[ColumnCondition]:
        """Return the condition on each column, for other engines.

        Alternatives of `name` are parts, compared ignoring case, or None for an empty name; of other texts the matching
        values; of numbers, and dates in seconds, (low, high) with both ends, or None for empty rows.
        """
        found = []
        for key, value in where.items():
            column, is_negated = self.split(key)
            conditions = self._conditions(column, value)
            if self.kind(column) == "text" and column != NAME:
                known, matching = self._known(column).known, self._match_texts(column, conditions)
                conditions = tuple(known[code] for code in np.flatnonzero(matching).tolist())
            found.append(ColumnCondition(column, self[column], conditions, is_negated))
        return found

    def choices(self, column: str) -> list[str]:
        """Return the different texts of a column to choose from, sorted: of `folder` also parents, of `keywords` each."""
        known: Iterable[str] = self._known(column).known
        if column == FOLDER:
            known = {folder[: match.start()] for folder in known for match in re.finditer(r"/|\Z", folder)}
        elif column == KEYWORDS:
            known = {word for text in known for word in split_keywords(text)}
        spellings = {fold_case(text): text for text in sorted(known, reverse=True) if text}
        return [spellings[folded] for folded in sorted(spellings, key=lambda folded: folded.split("/"))]

    def explain_no_match(self, where: Filter, noun: str = "row", written: str = "") -> str:
        """Return in one line why a filter, as `written` by a user, matches no row: an empty column, or unknown texts."""
        failed = [key for key, value in where.items() if not self.matching({key: value}).any()]
        for column in (self.split(key)[0] for key in failed):
            if is_empty(self[column]).all():
                return f"no {noun} here has {PHRASES.get(column, f'a value for {column}')}"
        reasons = [f"{key}: expected {texts}" for key in failed if (texts := self._suggestions(key, where[key]))]
        return f"no {noun} matches {written or dict(where)}" + "".join(f"; {reason}" for reason in reasons)

    def _suggestions(self, key: str, value: Any) -> str:
        """Return the texts of a column most similar to a condition without a match, or any texts if none is similar."""
        column, is_negated = self.split(key)
        if is_negated or column == NAME or self.kind(column) != "text":
            return ""
        choices = self.choices(column)
        wanted = [condition for condition in self._conditions(column, value) if isinstance(condition, str)]
        found = [*{text: 0 for each in wanted if each for text in find_similar(each, choices, column == FOLDER)}]
        shown = [text[:MAX_SUGGESTION_CHARS] for text in (found or choices)[:MAX_SUGGESTIONS]]
        return ", ".join(shown) + ", ..." * (len(found or choices) > len(shown))

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
            codes = self._known(column).codes
            return np.take(self._match_texts(column, conditions), codes)
        empty = is_empty(values)
        numbers = values.astype(np.int64) if kind == "date" else np.ma.getdata(values)
        mask = np.zeros(len(values), bool)
        for condition in conditions:
            if isinstance(condition, Within):
                mask |= (numbers >= condition.low) & (numbers <= condition.high) & ~empty
            else:
                mask |= empty
        return mask

    def _match_texts(self, column: str, wanted: tuple[Condition, ...]) -> np.ndarray:
        """Return which of the different texts of a column match, bool."""
        folded, values = self._known(column).folded, {*wanted}
        matching = np.array([text in values for text in folded], bool)
        if column == FOLDER:
            for path in filter(None, wanted):
                matching |= _match_folders(folded, str(path))
        elif column == KEYWORDS:
            matching |= np.array([not values.isdisjoint(split_keywords(text)) for text in folded], bool)
        return matching

    def _known(self, column: str) -> Texts:
        if column not in self._texts:
            codes: dict[str, int] = {}
            rows = np.array([codes.setdefault(text, len(codes)) for text in self[column]], np.int64)
            self._texts[column] = Texts([*codes], [fold_case(text) for text in codes], rows)
        return self._texts[column]


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


def find_similar(wanted: str, texts: Sequence[str], are_paths: bool) -> list[str]:
    """Return the texts that contain a folded text, else the most similar ones.

    Of paths, as many of the last parts are compared as the text has.
    """
    ends: dict[str, list[str]] = {}
    parts = wanted.count("/") + 1
    for text in texts:
        end = "/".join(text.split("/")[-parts:]) if are_paths else text
        ends.setdefault(fold_case(end), []).append(text)
    similar = [end for end in ends if wanted in end]
    if not similar:
        compared = heapq.nsmallest(MAX_COMPARED_TEXTS, ends, key=lambda end: abs(len(end) - len(wanted)))
        similar = difflib.get_close_matches(wanted, compared, MAX_SUGGESTIONS)
    return [text for end in similar for text in ends[end]]


def _match_folders(folders: list[str], path: str) -> np.ndarray:
    """Return which folders a path contains, bool: from the root, otherwise at the end of the path of any folder."""
    from_root = np.array([f"{folder}/".startswith(f"{path}/") for folder in folders], bool)
    return from_root if from_root.any() else np.array([f"/{path}/" in f"/{folder}/" for folder in folders], bool)


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
        text = fold_case(value)
        return text.rstrip("/") or text if column == FOLDER else text
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
