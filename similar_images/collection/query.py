"""Run a query and describe its result. Without widgets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from time import perf_counter
from typing import Any

import numpy as np

from similar_images.collection.asked import Answer as Answer
from similar_images.collection.asked import Asked as Asked
from similar_images.collection.asked import Box as Box
from similar_images.collection.asked import Mark as Mark
from similar_images.collection.base import BaseCollection
from similar_images.collection.columns import Where
from similar_images.collection.images import Collection
from similar_images.collection.queries import Query
from similar_images.collection.searcher import SAME, Hit
from similar_images.index.exact import rows_except
from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.texts import to_one_line
from similar_images.networks.description import reads_words

KEPT_SIDE = 1024  # pixels; of a new image so much is kept, to search by its parts
MIN_PART = 16  # pixels a side; less shows nothing

# What to know about a network before trusting its hits.
CAVEATS = {
    "hog-colour": "This collection was made with hog-colour, which compares colour and shape only; "
    "efficientnetlite0 recognises what is in a picture.",
}


def ask_row(collection: BaseCollection, row: int) -> Asked:
    """Ask by one of the collection. Raises ValueError for one that was skipped."""
    _, seconds = _timed(lambda: collection.vector(row))
    return Asked(collection.names[row], row, row=row, encoding=None if collection.has_vectors else seconds)


def ask_text(collection: BaseCollection, text: str, provisional: bool = False) -> Asked:
    """Ask by a new text. Raises ValueError for an empty or huge one, and what loading the network raises."""
    query, seconds = _encode(collection, text := to_one_line(text).strip())
    return Asked(text, query, encoding=seconds, provisional=provisional)


def ask_words(collection: BaseCollection, words: str) -> Asked:
    """Ask a collection of images by words. Raises ValueError if its network does not read them."""
    query, seconds = _encode_words(collection, words)
    return Asked(words, query, encoding=seconds)


def ask_also(collection: BaseCollection, asked: Asked, words: str, sign: int) -> Asked:
    """Return a query that words are added to, as what is to be found more (1) or less (-1)."""
    query, seconds = _encode_words(collection, words)
    asked, mark = asked._replace(encoding=seconds), Mark(words, query)
    if sign > 0:
        return asked._replace(positives=(*asked.positives, mark))
    return asked._replace(negatives=(*asked.negatives, mark))


def ask_image(collection: Collection, name: str, content: bytes) -> Asked:
    """Ask by the bytes of a new image. Raises UnreadableImage, and what loading the network raises."""
    try:
        image = images.open_image(content)
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error}") from error
    query, seconds = _encode(collection, image)
    return Asked(name, query, images.make_thumbnail(image, KEPT_SIDE), encoding=seconds)


def ask_images(collection: Collection, files: Iterable[tuple[str, bytes]]) -> Asked:
    """Ask by the names and bytes of new images: by the first, and more like the others."""
    first, *others = (ask_image(collection, name, content) for name, content in files)
    return first._replace(
        positives=tuple(Mark(other.name, other.query, picture=other.picture) for other in others),
        encoding=sum(one.encoding or 0 for one in (first, *others)),
    )


def ask_marked(collection: BaseCollection, asked: Asked, positives: Sequence[int], negatives: Sequence[int]) -> Asked:
    """Return a query with these rows marked, in place of those that were; marks of new images stay."""

    def marks(before: tuple[Mark, ...], rows: Sequence[int]) -> tuple[Mark, ...]:
        new = (Mark(collection.names[row], row, row) for row in rows)
        return (*(mark for mark in before if mark.row is None), *new)

    return asked._replace(positives=marks(asked.positives, positives), negatives=marks(asked.negatives, negatives))


def ask_part(collection: Collection, asked: Asked, box: Box) -> Asked:
    """Return the query of a part of the image of a query. Raises UnreadableImage, and what loading the network raises."""
    image = image_of(collection, asked._replace(box=None))
    if image is None:
        raise ValueError("expected the query of an image, got one without a picture")
    left, top, right, bottom = _pixels(box, image)
    if min(right - left, bottom - top) < MIN_PART:
        raise ValueError(
            f"expected a part of at least {MIN_PART} x {MIN_PART} pixels of {image.width} x {image.height}"
        )
    query, seconds = _encode(collection, image.crop((left, top, right, bottom)))
    return asked._replace(
        query=query, box=box, whole=asked.query if asked.box is None else asked.whole, encoding=seconds
    )


def image_of(collection: Collection, asked: Asked) -> images.Image.Image | None:
    """Return the image of a query, or the part of one that it is of; None where it has none. Raises UnreadableImage."""
    if asked.picture is not None:
        image = images.open_image(asked.picture)
    elif asked.row is not None:
        image = images.open_image(collection.image(asked.row))
    else:
        return None
    return image if asked.box is None else image.crop(_pixels(asked.box, image))


def _pixels(box: Box, image: images.Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a part of an image, in pixels."""
    left, right = (round(share * image.width) for share in box[::2])
    top, bottom = (round(share * image.height) for share in box[1::2])
    return left, top, right, bottom


def ask_whole(asked: Asked) -> Asked:
    """Return the query of the whole image of a query of a part."""
    return asked if asked.whole is None else asked._replace(query=asked.whole, box=None, whole=None)


def answer(collection: BaseCollection, asked: Asked, k: int, exact: bool = False, where: Where | None = None) -> Answer:
    """Search; compare an exact search with that of the index."""
    began = perf_counter()
    hits = _nearest(collection, asked, k, exact, where)
    seconds = perf_counter() - began
    if not exact or collection.index is None or asked.has_words:
        return Answer(hits, set(), [], seconds)
    approximate = _nearest(collection, asked, k, False, where)
    missed = {hit.row for hit in hits} - {hit.row for hit in approximate}
    wrong = [hit.name for hit in approximate if hit.row not in {hit.row for hit in hits}]
    return Answer(hits, missed, wrong, seconds)


def further(
    collection: BaseCollection, asked: Asked, hits: list[Hit], k: int, exact: bool = False, where: Where | None = None
) -> list[Hit]:
    """Return up to k hits that begin with those known; an exact search finds what the index does not reach."""
    found = {hit.row for hit in hits}
    for exactly in (exact, True):
        if len(hits) < k and (collection.has_vectors or not exactly):
            new = [hit for hit in _nearest(collection, asked, k, exactly, where) if hit.row not in found]
            hits, found = hits + new, found | {hit.row for hit in new}
    return hits


def compared(collection: BaseCollection, asked: Asked, rows: Sequence[int]) -> list[Hit]:
    """Return rows as hits of a query, in their order."""
    query, negatives = _positives(asked), [mark.query for mark in asked.negatives]
    return collection.compare(query, rows, negatives)


def _nearest(collection: BaseCollection, asked: Asked, k: int, exact: bool, where: Where | None) -> list[Hit]:
    negatives = [mark.query for mark in asked.negatives]
    return collection.nearest(_positives(asked), k, exact, negatives=negatives, where=where)


def _positives(asked: Asked) -> Any:
    return [asked.query, *(mark.query for mark in asked.positives)] if asked.positives else asked.query


def shuffled(collection: BaseCollection, seed: int | None = None) -> Iterator[int]:
    """Yield the rows that have a vector in random order, then again from the start; none where none has."""
    rows = np.random.default_rng(seed).permutation(rows_except(len(collection), collection.removed))
    return cycle(int(row) for row in rows if not collection.was_skipped(row))


def caveat(collection: BaseCollection) -> str:
    """Return what to know before trusting the hits: about the network, and images that cannot be shown."""
    known = CAVEATS.get(network_name(collection), "")
    if isinstance(collection, Collection) and not (collection.source and collection.source.exists()):
        place = collection.source.path if collection.source else "an unknown folder"
        known = f"{known} The images are not in {place}: open the collection with images=FOLDER to see them.".strip()
    return known


def network_name(collection: BaseCollection) -> str:
    return collection.network.name if collection.network else "an unknown network"


def describe(
    collection: BaseCollection, asked: Asked, answer: Answer, exact: bool = False, where: Where | None = None
) -> str:
    """Return what was searched, the time of its parts, the recall that was measured, and what is not in the index."""
    exact = exact or collection.index is None or (asked.has_words and collection.has_vectors)
    count = len(collection) - len(collection.removed) if exact or collection.index is None else collection.index.ntotal
    searched = f"{'exact search in' if exact else f'{collection.recipe} index of'} {count:,} {collection.noun}s"
    encoding = "stored vector" if asked.encoding is None else f"network {_milliseconds(asked.encoding)}"
    if asked.positives or asked.negatives:
        encoding += f", like {1 + len(asked.positives)} and unlike {len(asked.negatives)}"
    if where is not None:
        searched = f"{int(collection.matching(where).sum()):,} that match of the {searched}"
    similarity = "" if collection.similarity.is_cosine else f"{collection.similarity.name} similarity, "
    said = f"{network_name(collection)}, {similarity}{searched}: {encoding}, search {_milliseconds(answer.searching)}"
    if not exact and collection.recall is not None:
        said += f", recall {collection.recall:.3f} when built"
    notes = (collection.vectors.assumption, "" if exact else missing(collection))
    return ". ".join([said, *filter(None, notes)])


def missing(collection: BaseCollection) -> str:
    """Return how many rows are not in the index, and the command that adds them; an empty string if none."""
    n = collection.not_indexed
    if not n or collection.index is None:
        return ""
    change = "--add" if collection.index.manifest else "--overwrite"
    how = f"similar-images build -i {collection.vectors.path} -o {collection.index.path} {change}"
    verb = "is" if n == 1 else "are"
    said = f"{n:,} of {len(collection):,} {collection.noun}s {verb} not in the index and not searched"
    return f"{said}: add with {how}"


def changes(answer: Answer, k: int) -> str:
    """Return what the exact search changed."""
    if not answer.missed:
        return "The index finds the same."
    others = f", in place of {', '.join(answer.wrong)}" if answer.wrong else ""
    return f"{len(answer.missed)} of {k} hits are found by exact search only{others}."


def is_like_nothing(collection: BaseCollection, asked: Asked, hits: list[Hit], where: Where | None = None) -> bool:
    """Return whether nothing in the collection is like a query; of words among images that is not known."""
    if asked.words is not None and isinstance(collection, Collection):
        return collection.is_like_nothing(hits, where, asked.words)
    return not asked.has_words and collection.is_like_nothing(hits, where)


def meaning(collection: BaseCollection, similarity: float) -> str:
    """Return what a similarity of images means in this collection; an empty string if that is not known."""
    if similarity >= SAME:
        return f"the same {collection.noun}"
    percentile = collection.percentile(similarity)
    if percentile is None:
        return ""
    if percentile > 99.99:
        return "closer than any of 10,000 pairs"
    return f"closer than {np.floor(100 * percentile) / 100:g}% of pairs"


def _encode(collection: BaseCollection, new: Any) -> tuple[Query, float]:
    """Return the query of something new and the seconds that took, without the loading of the network."""
    collection.load_network()
    return _timed(lambda: collection.encode(new))


def _encode_words(collection: BaseCollection, words: str) -> tuple[Query, float]:
    """Return the query of words and the seconds that took, without the loading of the network."""
    if reads_words(collection.network):
        collection.load_network()
    return _timed(lambda: collection.encode_text(words))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = perf_counter()
    return work(), perf_counter() - began


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"
