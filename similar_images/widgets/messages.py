"""The messages between a page and Python: requests, checked when they arrive, and replies.

js/messages.js declares the same types for the page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, NewType, get_type_hints

MAX_SHOWN_CHARACTERS = 100  # of a wrong message

Buffers = Sequence[memoryview | bytes]
Box = tuple[float, float, float, float]  # left, top, right and bottom, as shares of the width and height
Rows = NewType("Rows", list[int])
Where = NewType("Where", dict[str, Any])  # column -> text, or low and high


@dataclass(frozen=True)
class Request:
    """A request of a page."""

    do: str


@dataclass(frozen=True)
class Command(Request):
    """random, whole, filters, begin (the offered work), undo (a vote) or result."""


@dataclass(frozen=True)
class RowCommand(Request):
    """row (search by it), search (on the map), original, why or describe."""

    row: int


@dataclass(frozen=True)
class SearchTyped(Request):
    """Search by a typed address, name, or words."""

    address: str


@dataclass(frozen=True)
class SearchText(Request):
    text: str
    provisional: bool = False


@dataclass(frozen=True)
class SearchPart(Request):
    box: Box
    number: int = -1  # of the answer with the box; -1: unknown


@dataclass(frozen=True)
class UploadPart(Request):
    """A part of an uploaded file; its bytes are the buffer."""

    name: str
    start: int  # of the part in the file
    size: int  # of the file
    upload: str = ""  # id of the upload
    at: int = 0  # place of the file in the upload
    of: int = 1  # files of the upload


@dataclass(frozen=True)
class GoInHistory(Request):
    steps: int


@dataclass(frozen=True)
class MarkRow(Request):
    row: int
    sign: int


@dataclass(frozen=True)
class Unmark(Request):
    name: str  # positives or negatives
    at: int


@dataclass(frozen=True)
class ShowMore(Request):
    number: int  # of the answer
    start: int


@dataclass(frozen=True)
class SetFilters(Request):
    where: Where


@dataclass(frozen=True)
class Export(Request):
    form: str


@dataclass(frozen=True)
class ProposeNames(Request):
    text: str


@dataclass(frozen=True)
class ShowPictures(Request):
    rows: Rows


@dataclass(frozen=True)
class TickGroup(Request):
    group: int
    on: bool = False


@dataclass(frozen=True)
class SaveChoice(Request):
    form: str


@dataclass(frozen=True)
class CastVote(Request):
    vote: str
    number: int


REQUESTS: dict[str, type[Request]] = {
    **dict.fromkeys(("random", "whole", "filters", "begin", "undo", "result"), Command),
    **dict.fromkeys(("row", "search", "original", "why", "describe"), RowCommand),
    "address": SearchTyped,
    "text": SearchText,
    "part": SearchPart,
    "upload": UploadPart,
    "go": GoInHistory,
    "mark": MarkRow,
    "unmark": Unmark,
    "more": ShowMore,
    "where": SetFilters,
    "export": Export,
    "names": ProposeNames,
    "pictures": ShowPictures,
    "tick": TickGroup,
    "save": SaveChoice,
    "vote": CastVote,
}


@dataclass(frozen=True)
class Reply:
    """A message to the page; `show` names it. Pictures are its buffers."""

    show: ClassVar[str]

    def to_message(self) -> dict[str, Any]:
        """Return the message without None, for `send`."""
        return {"show": self.show} | {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Pictures(Reply):
    """Pictures of rows, one buffer each, and the reasons of missing ones."""

    show = "pictures"
    pictures: list[int]
    absent: list[tuple[int, str]]
    number: int | None = None  # of the answer


@dataclass(frozen=True)
class MoreHits(Reply):
    show = "more"
    number: int  # of the answer
    start: int
    hits: list[dict[str, Any]]
    is_all: bool
    pictures: list[int] | None = None  # as in Pictures
    absent: list[tuple[int, str]] | None = None


@dataclass(frozen=True)
class Names(Reply):
    show = "names"
    text: str
    names: list[str]


@dataclass(frozen=True)
class Original(Reply):
    """An image, as the buffer, or a text."""

    show = "original"
    row: int
    name: str | None = None
    size: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Explanation(Reply):
    """Query and hit with heat maps, as buffers."""

    show = "why"
    number: int  # of the answer
    row: int
    name: str
    says: str
    alts: list[str]


@dataclass(frozen=True)
class ExportedFile(Reply):
    """A file, as the buffer."""

    show = "file"
    name: str
    type: str


@dataclass(frozen=True)
class SavedChoice(Reply):
    show = "file"
    form: str
    text: str


@dataclass(frozen=True)
class MapPictures(Reply):
    """Pictures of rows, one buffer each, empty if missing."""

    show = "pictures"
    rows: list[int]
    absent: list[str]


@dataclass(frozen=True)
class Description(Reply):
    """An image of the map, as the buffer, empty if missing."""

    show = "described"
    row: int
    name: str
    value: str
    absent: list[str]


def parse(message: object) -> Request:
    """Return the request in a message. Raises ValueError for anything else."""
    if not isinstance(message, dict) or not isinstance(message.get("do"), str) or message["do"] not in REQUESTS:
        raise ValueError(f"expected a request, got {shorten(message)}")
    kind = REQUESTS[message["do"]]
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):
        value = message.get(field.name, None if field.default is MISSING else field.default)
        values[field.name] = _READERS[hints[field.name]](field.name, value)
    return kind(**values)


def read_buffer(buffers: Buffers) -> bytes:
    """Return the bytes of a message. Raises ValueError without any."""
    if not buffers:
        raise ValueError("expected a message with bytes, got none")
    return bytes(buffers[0])


def shorten(value: object) -> str:
    """Return a value as one short line."""
    try:
        return " ".join(repr(value).split())[:MAX_SHOWN_CHARACTERS]
    except (ValueError, RecursionError):  # an integer of thousands of digits, or endlessly nested lists
        return type(value).__name__


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _error(name, "text", value)
    return value


def _read_integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _error(name, "an integer", value)
    return value


def _read_mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _error(name, "a mapping", value)
    return value


def _read_rows(name: str, value: object) -> list[int]:
    if not isinstance(value, list):
        raise _error(name, "a list", value)
    return [_read_integer(name, row) for row in value]


def _read_box(name: str, value: object) -> tuple[float, ...]:
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 4
        or not all(isinstance(one, (int, float)) and 0 <= one <= 1 for one in value)
    ):
        raise _error(name, "4 numbers from 0 to 1", value)
    return tuple(float(one) for one in value)


_READERS: dict[Any, Callable[[str, object], Any]] = {
    str: _read_text,
    int: _read_integer,
    bool: lambda name, value: bool(value),
    Where: _read_mapping,
    Rows: _read_rows,
    Box: _read_box,
}


def _error(name: str, kind: str, value: object) -> ValueError:
    return ValueError(f"expected {name} to be {kind}, got {'none' if value is None else shorten(value)}")
