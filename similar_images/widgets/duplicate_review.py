"""Near-duplicates reviewed in the notebook: which of each group to keep, and the choice as a file."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import anywidget
from traitlets import Dict, List, TraitError, validate

from similar_images.collections.images import Collection
from similar_images.evaluation import duplicate_choice, duplicates
from similar_images.evaluation.duplicates import Member
from similar_images.index.similarity import COSINE
from similar_images.templates import pages
from similar_images.widgets.search import CSS, STATIC, page
from similar_images.widgets.thumbnails import Thumbnails, as_message

SIDE = 320  # pixels, of a picture
MAX_PICTURES = 1000  # in a request of the page


class DuplicateReview(anywidget.AnyWidget):
    """Shows groups of near-duplicates, to choose which images to keep.

    `kept` has the rows that are kept, `moved` those that are not; no file is changed. The choice is saved by the page, or
    with `to_csv` and `to_script`.
    """

    _esm = pages.source("duplicates.js") + page("duplicate_review.js")
    _css = CSS + (STATIC / "duplicate_review.css").read_text(encoding="utf-8")
    kept: Any = List().tag(sync=True)  # rows, at least one of each group
    _groups: List = List().tag(sync=True)
    _script: Any = Dict().tag(sync=True)  # what is constant in the files
    _proposed: List = List().tag(sync=True)

    def __init__(self, collection: Collection, threshold: float | None = None):
        """`threshold` is the similarity (cosine) of near-duplicates, by default calibrated on the collection.

        Raises ValueError where no threshold can be chosen, or where the index lacks rows.
        """
        super().__init__()
        self.collection = collection
        self.members = _find(collection, threshold)
        self._thumbnails = Thumbnails(collection, SIDE)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="duplicates")
        self._script = {
            "columns": duplicate_choice.COLUMNS,
            "head": duplicate_choice.script_head(collection.source) or "",
            "tail": duplicate_choice.TAIL,
        }
        self._proposed = duplicate_choice.proposed(self.members)
        self._groups = [list(_cards(group)) for _, group in groupby(self.members, lambda member: member.group)]
        self.kept = self._proposed
        self.on_msg(self._told)

    @property
    def moved(self) -> list[int]:
        """The rows that are not kept."""
        kept = set(self.kept)
        return [one.row for one in self.members if one.row not in kept]

    def to_csv(self) -> str:
        """Return name, action (keep or move) and group of each image as CSV."""
        return duplicate_choice.to_csv(self.members, set(self.kept))

    def to_script(self) -> str:
        """Return a script for POSIX sh that moves the images that are not kept. Raises ValueError for an archive."""
        return duplicate_choice.to_script(self.members, set(self.kept), self.collection.source)

    def close(self) -> None:
        """Close the widget and the threads that make its pictures."""
        if hasattr(self, "_pool"):
            self.on_msg(self._told, remove=True)
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._thumbnails.close()
        super().close()

    @validate("kept")
    def _some_of_each_group(self, proposal: dict) -> list[int]:
        kept = {int(row) for row in proposal["value"]}
        for number, group in groupby(self.members, lambda member: member.group):
            if not any(one.row in kept for one in group):
                raise TraitError(f"expected an image to keep of group {number}, got none")
        if unknown := kept.difference(one.row for one in self.members):
            raise TraitError(f"expected rows of the groups, got {min(unknown)}")
        return [one.row for one in self.members if one.row in kept]

    def _told(self, _: object, message: dict, __: list) -> None:
        match message:
            case {"do": "pictures", "rows": [*rows]} if len(rows) <= MAX_PICTURES:
                known = {one.row for one in self.members}.intersection(rows)
                self._pool.submit(self._send_pictures, sorted(known))

    def _send_pictures(self, rows: list[int]) -> None:
        for made in self._thumbnails.get(rows):
            pictures, buffers = as_message(made)
            self.send({"show": "pictures"} | pictures, buffers)


def _find(collection: Collection, threshold: float | None) -> list[Member]:
    searched, compared = duplicates.whole_index(collection), collection
    if not collection.similarity.is_cosine:  # the thresholds are of the cosine
        compared = collection.with_similarity("cosine")
    elif searched is not None:
        searched = searched._replace(similarity=COSINE)  # of the vectors that are compared here
    if threshold is None:
        threshold = duplicates.choose_threshold(compared, searched).threshold
    elif not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold from 0 to 1, got {threshold}")
    pairs = duplicates.find_pairs(compared.compared, threshold, searched)
    return duplicates.read_members(compared, duplicates.group(compared.compared, pairs, threshold))


def _cards(group: Iterable[Member]) -> Iterable[dict]:
    for place, member in enumerate(group):
        yield duplicates.choice(member) | {"facts": duplicates.facts(member, place == 0)}
