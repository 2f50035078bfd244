"""Records: frozen dataclasses stored as JSON files.

The class names its format, with a version, in `FORMAT`. A field with a default value may be missing in the file: give
one to each field that earlier versions did not write. Unknown keys are ignored, and lists become tuples if the field is
a tuple. Further checks belong in `__post_init__`, which raises ValueError. A class with methods from_json(content, place)
and to_json() converts itself.

    @dataclass(frozen=True, kw_only=True)
    class Manifest:
        FORMAT: ClassVar[str] = "similar-images example 1"
        n: int
        skipped: tuple[Skipped, ...]
        sha256: str | None = None
        built_recall: float | None = field(default=None, metadata=OMIT_NONE)

    manifest = read_record(path, Manifest, "rebuild it with --overwrite")
"""

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from similar_images.files import read_json, write_json

REMEDY = "remove it and create it again"
OMIT_NONE = {"omit_none": True}  # metadata of a field to leave out if it is None


class Record(Protocol):
    FORMAT: ClassVar[str]


R = TypeVar("R", bound=Record)
T = TypeVar("T")
Reader = Callable[[Any, str], Any]  # takes a JSON value and its place, such as "names.sha256"


def read_record(path: Path, cls: type[R], remedy: str = REMEDY) -> R:
    """Return the record in the JSON file `path`, whose "format" must be `cls.FORMAT`.

    Raises ValueError, with the file, the place in it and the remedy, if the file is damaged or has another format.
    """
    content = read_json(path, cls.FORMAT, remedy)
    try:
        return from_json(cls, content)
    except ValueError as error:
        raise ValueError(f"{path} is damaged, {error}; {remedy}") from error


def write_record(path: Path, record: Record) -> None:
    """Write a record, with its format, to a JSON file, atomically."""
    write_json(path, {"format": record.FORMAT, **to_json(record)})


def from_json(cls: type[T], content: object, place: str = "") -> T:
    """Return the dataclass or named tuple that a JSON object describes.

    Raises ValueError with the place and value of the first difference from the types of the fields. An int must not be
    negative, because all are counts or sizes; a float also accepts integers unchanged.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{place or 'content'}: expected an object, got {content!r:.60}")
    readers, required = _fields(cls)  # type: ignore[arg-type]  # a class is hashable
    prefix = f"{place}." if place else ""
    if missing := [name for name in required if name not in content]:
        raise ValueError(f"{prefix}{missing[0]} is missing")
    return cls(**{name: read(content[name], prefix + name) for name, read in readers.items() if name in content})


def to_json(value: Any) -> Any:
    """Return a record, or the value of a field, as a JSON value."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {field.name: to_json(one) for field, one in fields if one is not None or field.metadata != OMIT_NONE}
    if hasattr(value, "_asdict"):
        return {key: to_json(one) for key, one in value._asdict().items()}
    if isinstance(value, dict):
        return {key: to_json(one) for key, one in value.items()}
    return [to_json(one) for one in value] if isinstance(value, list | tuple) else value


@cache
def _fields(cls: type) -> tuple[dict[str, Reader], list[str]]:
    """Return the readers of the fields of a class, and the names of the required fields."""
    hints = get_type_hints(cls)
    if hasattr(cls, "_fields"):  # a named tuple
        names, defaults = cls._fields, cls._field_defaults  # type: ignore[attr-defined]
    else:
        names = [field.name for field in dataclasses.fields(cls)]
        missing = dataclasses.MISSING
        defaults = {f.name for f in dataclasses.fields(cls) if (f.default, f.default_factory) != (missing, missing)}
    return {name: _reader(hints[name]) for name in names}, [name for name in names if name not in defaults]


def _reader(hint: Any) -> Reader:
    """Return the function that checks and converts a JSON value to the type of a field."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _union_reader(hint, args)
    if hasattr(hint, "from_json"):
        return lambda value, place: hint.from_json(value, place)
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return lambda value, place: from_json(hint, value, place)
    if origin in (list, tuple):
        return _list_reader(origin, _reader(args[0]))
    if origin is dict:
        return _dict_reader(_reader(args[1]))
    return _scalar_reader(hint)


def _union_reader(hint: Any, args: tuple[Any, ...]) -> Reader:
    readers = [_reader(one) for one in args if one is not NoneType]

    def read(value: Any, place: str) -> Any:
        if value is None and NoneType in args:
            return None
        if len(readers) == 1:
            return readers[0](value, place)
        for each in readers:
            try:
                return each(value, place)
            except ValueError:
                continue
        raise ValueError(f"{place}: expected {hint}, got {value!r:.60}")

    return read


def _list_reader(kind: Any, read_entry: Reader) -> Reader:
    def read(value: Any, place: str) -> Any:
        _check(isinstance(value, list), "a list", value, place)
        return kind(read_entry(entry, f"{place}[{i}]") for i, entry in enumerate(value))

    return read


def _dict_reader(read_entry: Reader) -> Reader:
    def read(value: Any, place: str) -> Any:
        _check(isinstance(value, dict), "an object", value, place)
        return {key: read_entry(entry, f"{place}.{key}") for key, entry in value.items()}

    return read


def _scalar_reader(hint: Any) -> Reader:
    def read(value: Any, place: str) -> Any:
        is_bool = isinstance(value, bool)
        if hint is float:
            _check(isinstance(value, int | float) and not is_bool, "a number", value, place)
        elif hint is not Any:
            _check(isinstance(value, hint) and (hint is bool or not is_bool), hint.__name__, value, place)
        if hint is int:
            _check(value >= 0, "a number of at least 0", value, place)
        return value

    return read


def _check(is_valid: bool, expected: str, value: object, place: str) -> None:
    if not is_valid:
        raise ValueError(f"{place}: expected {expected}, got {value!r:.60}")
