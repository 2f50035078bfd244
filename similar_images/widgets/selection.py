"""Results of a gallery for Python: its query, its hits and the chosen rows, each also as a data frame."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from traitlets import TraitError

from similar_images.collection.base import BaseCollection
from similar_images.collection.searcher import Hit
from similar_images.widgets.background import shorten

if TYPE_CHECKING:
    import pandas as pd


class Hits(list[Hit]):
    """Hits, the most similar first."""

    def __init__(self, hits: Iterable[Hit], collection: BaseCollection[Any]):
        super().__init__(hits)
        self._collection = collection

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row per hit: row, name, path, similarity, percentile, and the columns of the collection."""
        return self._collection.hits_to_pandas(self)


class Rows(list[int]):
    """Rows of a collection, in the order of choice."""

    def __init__(self, rows: Iterable[int], compare: Callable[[list[int]], Hits]):
        super().__init__(rows)
        self._compare = compare

    @property
    def hits(self) -> Hits:
        """The rows as hits of the gallery's query."""
        return self._compare(list(self))

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame of the rows, as `Hits.to_pandas` does, with similarities to the gallery's query."""
        return self.hits.to_pandas()


class Query(NamedTuple):
    """The query of a gallery."""

    name: str
    row: int | None  # None: from outside the collection
    hits: Hits  # the query, then its positives and negatives, if these are rows of the collection

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each of `hits`, as `Hits.to_pandas` does."""
        return self.hits.to_pandas()


def unique_rows(rows: Iterable[Any], n: int) -> list[int]:
    """Return rows as int, each once. Raises TraitError for a row outside the n of a collection."""
    try:
        given = list(rows)
        unique = list(dict.fromkeys(map(int, given)))
        if any(isinstance(one, str) or one != int(one) for one in given):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise TraitError(f"expected rows from 0 to {n - 1}, got {shorten(rows)}") from None
    if wrong := [row for row in unique if not 0 <= row < n]:
        raise TraitError(f"expected rows from 0 to {n - 1}, got {shorten(wrong[0])}")
    return unique
