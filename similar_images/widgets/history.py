"""What a gallery's page shows, and the queries before it."""

from typing import NamedTuple

from similar_images.collection.base import Hit
from similar_images.collection.query import Asked

REMEMBERED = 50  # queries to go back to


class Displayed(NamedTuple):
    """What the page shows; of many hits it has asked for the first ones."""

    number: int  # of the search
    asked: Asked
    hits: list[Hit]
    is_all: bool = False  # whether there are no further hits


class History:
    """The queries so far, with back and forward as in a browser."""

    def __init__(self):
        self.asked: list[Asked] = []
        self.at = -1

    @property
    def current(self) -> Asked | None:
        """The last query, or the one gone back to; None before the first."""
        return self.asked[self.at] if self.at >= 0 else None

    def add(self, asked: Asked) -> None:
        """Add a query after the current one; it replaces one that was still being typed."""
        kept = self.at + 1
        if self.current and self.current.provisional and asked.row is None:
            kept -= 1
        self.asked = [*self.asked[:kept], asked][-REMEMBERED:]
        self.at = len(self.asked) - 1

    def step(self, steps: int) -> Asked | None:
        """Go back or forward; None if there is no further query."""
        if not 0 <= self.at + steps < len(self.asked):
            return None
        self.at += steps
        return self.asked[self.at]
