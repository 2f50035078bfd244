"""What a gallery gives back to Python: its query, its hits, and the rows that are chosen, each also as a data frame."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from traitlets import TraitError

from similar_images.collection.base import BaseCollection, Hit
from similar_images.widgets.messages import shortened

if TYPE_CHECKING:
    import pandas as pd


class Hits(list[Hit]):
    """Hits, the most similar first."""

    def __init__(self, hits: Iterable[Hit], collection: BaseCollection):
        super().__init__(hits)
        self._collection = collection

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row per hit: row, name, path, similarity, percentile, and the columns of the collection."""
        return self._collection.hits_to_pandas(self)


class Rows(list[int]):
    """Rows of a collection, in the order in which they were chosen."""

    def __init__(self, rows: Iterable[int], compared: Callable[[list[int]], Hits]):
        super().__init__(rows)
        self._compared = compared

    @property
    def hits(self) -> Hits:
        """The rows as hits of the query that the gallery shows."""
        return self._compared(list(self))

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row per chosen one, as `Hits.to_pandas` does: similarities are to the query that is shown."""
        return self.hits.to_pandas()


class Query(NamedTuple):
    """The query that a gallery shows."""

    name: str
    row: int | None  # None: it is not of the collection
    hits: Hits  # the query, then what is marked as like and as unlike it, as far as these are of the collection

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each of `hits`, as `Hits.to_pandas` does."""
        return self.hits.to_pandas()


def different_rows(rows: Iterable[Any], n: int) -> list[int]:
    """Return rows as int, each once. Raises TraitError if one is not of the n of a collection."""
    try:
        given = list(rows)
        different = list(dict.fromkeys(map(int, given)))
        if any(isinstance(one, str) or one != int(one) for one in given):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise TraitError(f"expected rows from 0 to {n - 1}, got {shortened(rows)}") from None
    if wrong := [row for row in different if not 0 <= row < n]:
        raise TraitError(f"expected rows from 0 to {n - 1}, got {shortened(wrong[0])}")
    return different
