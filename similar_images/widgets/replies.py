"""Messages to a page; js/messages.js declares the same types. Its requests are the `_answer_...` methods of the widgets."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

Card = dict[str, Any]  # a hit, as js/messages.js declares it
Message = dict[str, Any]  # for JSON


@dataclass(frozen=True)
class Reply:
    """A message to the page; `show` names it. Pictures are its buffers."""

    show: ClassVar[str]

    def to_message(self) -> Message:
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
    hits: list[Card]
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
class Description(Reply):
    """An image of the map, as the buffer, or the reason of its absence."""

    show = "described"
    row: int
    name: str
    value: str
    absent: str
