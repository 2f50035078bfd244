"""Read the fields of a message that a page sent: anything may stand in it."""

from collections.abc import Mapping, Sequence
from typing import Any

LONG = 100  # characters of a message that are shown


def text(message: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a field that is text. Raises ValueError for anything else."""
    value = message.get(name, default)
    if not isinstance(value, str):
        raise _error(name, "text", value)
    return value


def integer(message: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """Return a field that is an integer. Raises ValueError for anything else."""
    value = message.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _error(name, "an integer", value)
    return value


def mapping(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a field that is a mapping. Raises ValueError for anything else."""
    value = message.get(name)
    if not isinstance(value, dict):
        raise _error(name, "a mapping", value)
    return value


def row(message: Mapping[str, Any], n: int, name: str = "row") -> int:
    """Return a field that is a row of n. Raises ValueError for anything else."""
    value = integer(message, name)
    if not 0 <= value < n:
        raise ValueError(f"expected a {name} from 0 to {n - 1}, got {shortened(value)}")
    return value


def rows(message: Mapping[str, Any], n: int, most: int) -> list[int]:
    """Return the field `rows`: at most so many rows of n. Raises ValueError for anything else."""
    values = message.get("rows")
    if not isinstance(values, list) or len(values) > most:
        raise ValueError(f"expected up to {most} rows, got {shortened(values)}")
    return [row({"row": value}, n) for value in values]


def shares(message: Mapping[str, Any], name: str, count: int) -> tuple[float, ...]:
    """Return a field of so many numbers from 0 to 1. Raises ValueError for anything else."""
    values = message.get(name)
    if not isinstance(values, (list, tuple)) or len(values) != count:
        raise _error(name, f"{count} numbers from 0 to 1", values)
    if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values):
        raise _error(name, f"{count} numbers from 0 to 1", values)
    return tuple(float(value) for value in values)


def buffer(buffers: Sequence[memoryview | bytes]) -> bytes:
    """Return the bytes that came with a message. Raises ValueError if there are none."""
    if not buffers:
        raise ValueError("expected a message with bytes, got none")
    return bytes(buffers[0])


def shortened(value: object) -> str:
    """Return a value as one short line."""
    try:
        return " ".join(repr(value).split())[:LONG]
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists in lists without end
        return type(value).__name__


def _error(name: str, kind: str, value: object) -> ValueError:
    return ValueError(f"expected {name} to be {kind}, got {'none' if value is None else shortened(value)}")
