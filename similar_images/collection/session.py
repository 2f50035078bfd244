"""Search session without widgets: a request becomes a page of hits, for the galleries and the shell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from similar_images.collection.base import BaseCollection
from similar_images.collection.columns import Where
from similar_images.collection.encoder import Query
from similar_images.collection.images import Collection
from similar_images.collection.searcher import SAME, Hit, SearchOptions, has_words
from similar_images.collection.store import CHANGED, MISSING
from similar_images.index.exact import rows_except
from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.texts import to_one_line
from similar_images.networks.description import reads_words

PICTURE_SIDE = 1024  # pixels; a new image is kept at this size, to search by its parts
MIN_PART_SIDE = 16  # pixels
MAX_HISTORY = 50  # queries
CAVEATS = {
    "hog-colour": "This collection was made with hog-colour, which compares colour and shape only; "
    "efficientnetlite0 recognises what is in a picture.",
}

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of width and height
T = TypeVar("T")
FILE_STATES = {MISSING: "the file is missing", CHANGED: "the file has changed since"}


@dataclass(frozen=True)
class Mark:
    """A positive or negative example beside the query."""

    name: str
    query: Any  # as `Collection.nearest` takes it in a list
    row: int | None = None  # None: not from the collection
    picture: bytes | None = None  # JPEG of a new image


@dataclass(frozen=True)
class QueryState:
    """A query with everything needed to show and refine it."""

    name: str
    query: Any  # as `Collection.nearest` takes it
    picture: bytes | None = None  # JPEG of a new image, at most PICTURE_SIDE pixels
    row: int | None = None  # the row of the query, or of the image it is a part of
    box: Box | None = None  # the encoded part of the image
    whole: int | Query | None = None  # with a box: the query of the whole image
    seconds: float | None = None  # in the network; None: a stored vector
    provisional: bool = False  # the user is still typing
    positives: tuple[Mark, ...] = ()
    negatives: tuple[Mark, ...] = ()

    @property
    def marks(self) -> tuple[Mark, ...]:
        return (*self.positives, *self.negatives)

    @property
    def positive_queries(self) -> Any:
        """The query, or a list of it and its positives, as `Collection.nearest` takes it."""
        return [self.query, *(mark.query for mark in self.positives)] if self.positives else self.query

    @property
    def negative_queries(self) -> list[Any]:
        return [mark.query for mark in self.negatives]

    @property
    def rows(self) -> list[int]:
        """Rows of the query, its positives and its negatives, without new images and texts."""
        return [row for row in (self.row, *(mark.row for mark in self.marks)) if row is not None]

    @property
    def words(self) -> Query | None:
        """The query if it consists of words only."""
        is_text = not self.marks and isinstance(self.query, Query) and self.query.words is not None
        return self.query if is_text else None

    @property
    def has_words(self) -> bool:
        """Whether words are part of a query for images."""
        return has_words(self.query, *(mark.query for mark in self.marks))


@dataclass(frozen=True)
class SearchRequest:
    """A query, the number of hits, and how to search."""

    state: QueryState
    k: int = 8
    exact: bool = False
    where: Where | None = None
    reranked: bool = True
    compares: bool = False  # an exact search also reports how the hits of the index differ


@dataclass(frozen=True)
class ResultPage:
    """Hits of a request with everything needed to show them."""

    request: SearchRequest
    hits: list[Hit]
    is_all: bool  # there are no further hits
    summary: str  # search method, times, recall
    has_no_close_match: bool = False
    missed: frozenset[int] = frozenset()  # rows that only the exact search finds
    changes: str = ""  # how an exact search changed the hits of the index

    @property
    def state(self) -> QueryState:
        return self.request.state


@dataclass
class History:
    """Earlier queries, with back and forward as in a browser."""

    states: list[QueryState] = field(default_factory=list)
    at: int = -1

    @property
    def current(self) -> QueryState | None:
        """The last query, or the one gone back to; None before the first."""
        return self.states[self.at] if self.at >= 0 else None

    @property
    def can_go_back(self) -> bool:
        return self.at > 0

    @property
    def can_go_forward(self) -> bool:
        return self.at + 1 < len(self.states)

    def add(self, state: QueryState) -> None:
        """Add a query after the current one; it replaces an unfinished text."""
        kept = self.at + 1
        if self.current and self.current.provisional and state.row is None:
            kept -= 1
        self.states = [*self.states[:kept], state][-MAX_HISTORY:]
        self.at = len(self.states) - 1

    def step(self, steps: int) -> QueryState | None:
        """Go back (-1) or forward (1); None if there is no such query."""
        if not 0 <= self.at + steps < len(self.states):
            return None
        self.at += steps
        return self.states[self.at]


class SearchSession:
    """Makes queries of rows, images, texts and words, and answers requests with result pages.

    >>> session = SearchSession(collection)
    >>> page = session.search(SearchRequest(session.query_row(0), k=8))
    >>> more = session.extend(page, 48)
    """

    def __init__(self, collection: BaseCollection[Any], seed: int | None = None):
        self.collection, self.history = collection, History()
        self._searcher, self._store = collection.searcher, collection.store
        self._assumption = collection.vectors.assumption
        self._random_rows = shuffle_rows(collection, seed)

    def random_row(self) -> int | None:
        """Return a random row, each once before any is repeated; None if no row has a vector."""
        return next(self._random_rows, None)

    def query_row(self, row: int) -> QueryState:
        """Return the query of a row. Raises ValueError for a skipped row."""
        _, seconds = _timed(lambda: self._searcher.vector(row))
        is_stored = self._store.vectors.memmap is not None
        return QueryState(self._store.names[row], row, row=row, seconds=None if is_stored else seconds)

    def query_text(self, text: str, provisional: bool = False) -> QueryState:
        """Return the query of a new text. Raises ValueError for an empty or huge text, and network errors."""
        text = to_one_line(text).strip()
        query, seconds = self._encode(text)
        return QueryState(text, query, seconds=seconds, provisional=provisional)

    def query_words(self, words: str) -> QueryState:
        """Return the query of words for images. Raises ValueError if the network does not read words."""
        query, seconds = self._encode_words(words)
        return QueryState(words, query, seconds=seconds)

    def add_words(self, state: QueryState, words: str, sign: int) -> QueryState:
        """Return a query with words added as a positive (1) or negative (-1) example."""
        query, seconds = self._encode_words(words)
        mark = (Mark(words, query),)
        if sign > 0:
            return replace(state, seconds=seconds, positives=state.positives + mark)
        return replace(state, seconds=seconds, negatives=state.negatives + mark)

    def query_image(self, name: str, content: bytes) -> QueryState:
        """Return the query of an image file's bytes. Raises UnreadableImage, and network errors."""
        try:
            image = images.open_image(content)
        except UnreadableImage as error:
            raise UnreadableImage(f"{name}: {error}") from error
        query, seconds = self._encode(image)
        return QueryState(name, query, images.make_thumbnail(image, PICTURE_SIDE), seconds=seconds)

    def query_images(self, files: Iterable[tuple[str, bytes]]) -> QueryState:
        """Return the query of several images, names and bytes: the first, with the others as positives."""
        first, *others = (self.query_image(name, content) for name, content in files)
        marks = tuple(Mark(other.name, other.query, picture=other.picture) for other in others)
        return replace(first, positives=marks, seconds=sum(each.seconds or 0 for each in (first, *others)))

    def query_part(self, state: QueryState, box: Box) -> QueryState:
        """Return the query of a part of a query's image. Raises ValueError, UnreadableImage, and network errors."""
        image = self.query_picture(replace(state, box=None))
        if image is None:
            raise ValueError("expected the query of an image, got one without a picture")
        left, top, right, bottom = _to_pixels(box, image)
        if min(right - left, bottom - top) < MIN_PART_SIDE:
            raise ValueError(
                f"expected a part of at least {MIN_PART_SIDE} x {MIN_PART_SIDE} pixels of {image.width} x {image.height}"
            )
        query, seconds = self._encode(image.crop((left, top, right, bottom)))
        whole = state.query if state.box is None else state.whole
        return replace(state, query=query, box=box, whole=whole, seconds=seconds)

    def query_whole(self, state: QueryState) -> QueryState:
        """Return the query of the whole image of a query by a part."""
        return state if state.whole is None else replace(state, query=state.whole, box=None, whole=None)

    def query_picture(self, state: QueryState) -> Image.Image | None:
        """Return the image of a query, cropped to its box; None for a text or vector. Raises UnreadableImage."""
        if state.picture is not None:
            image = images.open_image(state.picture)
        elif state.row is not None and isinstance(self.collection, Collection):
            image = images.open_image(self.collection.image(state.row))
        else:
            return None
        return image if state.box is None else image.crop(_to_pixels(state.box, image))

    def mark(self, state: QueryState, positives: Sequence[int], negatives: Sequence[int]) -> QueryState:
        """Return a query with these rows as its examples; examples from outside the collection stay."""

        def marks(before: tuple[Mark, ...], rows: Sequence[int]) -> tuple[Mark, ...]:
            new = (Mark(self.collection.names[row], row, row) for row in rows)
            return (*(mark for mark in before if mark.row is None), *new)

        return replace(state, positives=marks(state.positives, positives), negatives=marks(state.negatives, negatives))

    def search(self, request: SearchRequest) -> ResultPage:
        """Return the first k hits of a request. Raises as `Collection.nearest`."""
        hits, seconds = _timed(lambda: self._nearest(request, request.exact))
        missed, changes = frozenset[int](), ""
        if request.compares and request.exact and self._searcher.index is not None:
            missed, changes = self._compare_with_index(request, hits)
        return ResultPage(
            request,
            hits,
            is_all=len(hits) < request.k,
            summary=self._summarise(request, seconds),
            has_no_close_match=self._has_no_close_match(request, hits),
            missed=missed,
            changes=changes,
        )

    def extend(self, page: ResultPage, k: int) -> ResultPage:
        """Return the page with up to k hits; the known ones stay first, and exact search finds rows beyond the index."""
        hits = list(page.hits)
        known = {hit.row for hit in hits}
        request = replace(page.request, k=k)
        for exact in (request.exact, True):
            if len(hits) < k and (self.collection.has_vectors or not exact):
                new = [hit for hit in self._nearest(request, exact) if hit.row not in known]
                hits, known = hits + new, known | {hit.row for hit in new}
        return replace(page, hits=hits, is_all=len(hits) < k)

    def compare(self, state: QueryState, rows: Sequence[int]) -> list[Hit]:
        """Return rows, in this order, as hits of a query. Raises as `Collection.compare`."""
        return self._searcher.compare(state.positive_queries, rows, state.negative_queries)

    def describe_similarity(self, page: ResultPage, hit: Hit) -> str:
        """Return the meaning of a hit's similarity in this collection, and whether its file is missing or has changed."""
        state = self.collection.file_state(hit.row)
        meaning = self._describe_similarity(page, hit)
        return "; ".join(filter(None, (FILE_STATES.get(state), meaning)))

    def _describe_similarity(self, page: ResultPage, hit: Hit) -> str:
        if page.state.has_words:
            return ""
        if hit.similarity >= SAME:
            return f"the same {self.collection.noun}"
        if hit.percentile is None:
            return ""
        if hit.percentile > 99.99:
            return "closer than any of 10,000 pairs"
        return f"closer than {np.floor(100 * hit.percentile) / 100:g}% of pairs"

    def find_names(self, text: str, limit: int) -> list[int]:
        """Return the first rows, without retired ones, whose names contain a text, ignoring case; the same name comes first."""
        exact, retired = self.collection.row_named(text), self._store.retired
        found, wanted = [] if exact is None else [exact], text.casefold()
        for row, name in enumerate(self.collection.names):
            if len(found) >= limit:
                break
            if row != exact and wanted in name.casefold() and row not in retired:
                found.append(row)
        return found

    @property
    def caveat(self) -> str:
        """What to know before trusting the hits: about the network, and about missing images."""
        caveat, collection = CAVEATS.get(network_name(self.collection), ""), self.collection
        if isinstance(collection, Collection) and not (collection.source and collection.source.exists()):
            place = collection.source.path if collection.source else "an unknown folder"
            caveat = f"{caveat} The images are not in {place}: open the collection with images=FOLDER to see them."
        return caveat.strip()

    def _nearest(self, request: SearchRequest, exact: bool) -> list[Hit]:
        state, options = request.state, SearchOptions(request.k, exact, request.reranked, request.where)
        return self._searcher.nearest(state.positive_queries, state.negative_queries, options)

    def _compare_with_index(self, request: SearchRequest, hits: list[Hit]) -> tuple[frozenset[int], str]:
        """Return the rows that the index misses, and a sentence about the changes."""
        if request.state.has_words:  # their search is always exact
            return frozenset(), "The index finds the same."
        approximate = self._nearest(request, exact=False)
        rows = frozenset(hit.row for hit in hits)
        missed = rows - {hit.row for hit in approximate}
        if not missed:
            return missed, "The index finds the same."
        wrong = [hit.name for hit in approximate if hit.row not in rows]
        replaced = f", in place of {', '.join(wrong)}" if wrong else ""
        return missed, f"{len(missed)} of {len(hits)} hits are found by exact search only{replaced}."

    def _has_no_close_match(self, request: SearchRequest, hits: list[Hit]) -> bool:
        """Return whether no hit is close; unknown, and False, if words are combined with images."""
        state, collection = request.state, self.collection
        if state.words is not None and isinstance(collection, Collection):
            return collection.is_like_nothing(hits, request.where, state.words)
        return not state.has_words and self._searcher.has_no_close_match(hits, request.where)

    def _summarise(self, request: SearchRequest, seconds: float) -> str:
        """Return network, search, times, measured recall, and rows missing from the index."""
        searcher, store, state = self._searcher, self._store, request.state
        index = None if request.exact or (state.has_words and store.vectors.memmap is not None) else searcher.index
        if index is None:
            searched = f"exact search in {len(store.names) - len(searcher.removed):,} {store.noun}s"
        else:
            searched = f"{searcher.recipe} index of {index.backend.ntotal:,} {store.noun}s"
        if request.where is not None:
            searched = f"{int(store.matching(request.where).sum()):,} that match of the {searched}"
        encoding = "stored vector" if state.seconds is None else f"network {_milliseconds(state.seconds)}"
        if state.marks:
            encoding += f", like {1 + len(state.positives)} and unlike {len(state.negatives)}"
        similarity = "" if searcher.similarity.is_cosine else f"{searcher.similarity.name} similarity, "
        summary = (
            f"{network_name(self.collection)}, {similarity}{searched}: {encoding}, search {_milliseconds(seconds)}"
        )
        if index is not None and searcher.measured is not None:
            summary += f", recall {searcher.measured.recall:.3f} when built"
        missing = describe_missing(self.collection) if index is not None else ""
        notes = (self._assumption, missing, describe_pending(self.collection))
        return ". ".join([summary, *filter(None, notes)])

    def _encode(self, new: Any) -> tuple[Query, float]:
        """Return the query of a new image or text and the seconds it took, without loading the network."""
        self.collection.load_network()
        return _timed(lambda: self.collection.encode(new))

    def _encode_words(self, words: str) -> tuple[Query, float]:
        if reads_words(self.collection.network):
            self.collection.load_network()
        return _timed(lambda: self.collection.encode_text(words))


def shuffle_rows(collection: BaseCollection[Any], seed: int | None = None) -> Iterator[int]:
    """Yield the rows with a vector in random order, again and again."""
    rows = np.random.default_rng(seed).permutation(rows_except(len(collection), collection.removed))
    return cycle(int(row) for row in rows if not collection.was_skipped(row))


def network_name(collection: BaseCollection[Any]) -> str:
    """Return the name of the network of a collection, for sentences."""
    network = collection.vectors.network
    return network.name if network else "an unknown network"


def describe_missing(collection: BaseCollection[Any]) -> str:
    """Return how many rows the index lacks and the command that adds them; an empty string if none."""
    n, index = collection.searcher.not_indexed, collection.searcher.index
    if not n or index is None:
        return ""
    change = "--add" if index.manifest else "--overwrite"
    command = f"similar-images build -i {collection.vectors.path} -o {index.path} {change}"
    verb = "is" if n == 1 else "are"
    counted = f"{n:,} of {len(collection):,} {collection.noun}s {verb}"
    return f"{counted} not in the index and not searched: add with {command}"


def describe_pending(collection: BaseCollection[Any]) -> str:
    """Return how many rows a run is adding, or has left unfinished; an empty string if none."""
    n = collection.vectors.pending
    return f"{n:,} more {collection.noun}s are being added; if no run is, rerun it to resume" if n else ""


def _to_pixels(box: Box, image: Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a part of an image, in pixels."""
    left, right = (round(share * image.width) for share in box[::2])
    top, bottom = (round(share * image.height) for share in box[1::2])
    return left, top, right, bottom


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `work` and its seconds."""
    start = perf_counter()
    return work(), perf_counter() - start


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"
