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
