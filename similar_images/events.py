"""Events: the one way in which running work reports progress, skipped items and notes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Skipped(NamedTuple):
    """An item without a vector, and the reason."""

    row: int
    name: str
    reason: str


@dataclass(frozen=True)
class Event:
    """A report of running work. Fields with their default value say nothing."""

    step: str = ""  # name of the running step, e.g. "vectors"
    done: int = 0  # finished items of this step, including skipped items
    total: int | None = None  # items of this step; None if unknown
    skipped: tuple[Skipped, ...] = ()  # items skipped since the last event
    note: str = ""  # one sentence for the user


Progress = Callable[[Event], object]


def ignore(event: Event) -> None:
    """Drop an event: the default of every `progress` parameter."""


def report_counts(callback: Callable[[int, int], object], step: str | None = None) -> Progress:
    """Return a `progress` that calls `callback(done, total)` for one step, or all: the form of the public functions."""

    def progress(event: Event) -> None:
        if event.total is not None and step in (None, event.step):
            callback(event.done, event.total)

    return progress


def track(items: Iterable[T], progress: Progress, step: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and report the number of finished ones."""
    for done, item in enumerate(items, 1):
        yield item
        progress(Event(step, done, total))
