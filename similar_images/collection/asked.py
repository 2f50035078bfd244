"""What is asked of a collection, as it is shown and refined, and what is answered."""

from typing import NamedTuple

from similar_images.collection.queries import Query, has_words
from similar_images.collection.searcher import Hit

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of width and height


class Mark(NamedTuple):
    """What is to be found more, or less: an image or text beside the query."""

    name: str
    query: int | Query
    row: int | None = None  # None: it is not of the collection
    picture: bytes | None = None  # of a new image, as in Asked


class Asked(NamedTuple):
    """A query, with what is needed to show it and to refine it."""

    name: str
    query: int | Query  # a row of the collection, or what its network made of a new image
    picture: bytes | None = None  # of a new image: a JPEG of at most KEPT_SIDE pixels
    row: int | None = None  # what of the collection this is, or is a part of
    box: Box | None = None  # the part of it that `query` is of
    whole: int | Query | None = None  # the query of the whole image, where `query` is of a part
    encoding: float | None = None  # seconds in the network; None: the vector was stored
    provisional: bool = False  # a text that is still being typed
    positives: tuple[Mark, ...] = ()  # more like these too
    negatives: tuple[Mark, ...] = ()  # less like these

    @property
    def rows(self) -> list[int | None]:
        """The rows of the query, of its positives and of its negatives; None for what is not of the collection."""
        return [self.row, *(mark.row for mark in (*self.positives, *self.negatives))]

    @property
    def words(self) -> Query | None:
        """The query of words, if they are all that is asked; None: it has an image."""
        if self.positives or self.negatives or not isinstance(self.query, Query) or self.query.words is None:
            return None
        return self.query

    @property
    def has_words(self) -> bool:
        """Whether words are a part of what is asked of images."""
        return has_words(self.query, *(mark.query for mark in (*self.positives, *self.negatives)))


class Answer(NamedTuple):
    hits: list[Hit]
    missed: set[int]  # rows that only the exact search finds, if it was chosen
    wrong: list[str]  # names that the index finds in their place
    searching: float  # seconds
