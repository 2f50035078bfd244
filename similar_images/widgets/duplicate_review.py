"""Near-duplicates reviewed in the notebook: which of each group to keep, and the choice as a file."""

import warnings
from collections.abc import Callable, Iterable
from itertools import groupby
from threading import Thread, current_thread
from typing import Any

from traitlets import Bool, List, TraitError, validate

from similar_images.collection.images import Collection
from similar_images.evaluation import duplicate_choice, duplicates
from similar_images.evaluation.duplicates import Member
from similar_images.index.index import Index
from similar_images.index.similarity import COSINE
from similar_images.templates import pages
from similar_images.widgets import messages
from similar_images.widgets.background import BackgroundWidget
from similar_images.widgets.chosen import different_rows
from similar_images.widgets.search import CSS, STATIC, page
from similar_images.widgets.thumbnails import Thumbnails, as_message

SIDE = 320  # pixels, of a picture
MAX_PICTURES = 1000  # in a request of the page


class DuplicateReview(BackgroundWidget):
    """Shows groups of near-duplicates, to choose which images to keep.

    `kept` has the rows that are kept, `moved` those that are not; no file is changed. The choice is saved by the page, or
    with `to_csv` and `to_script`. The groups are found in the background; what needs them in Python waits for them.
    """

    _esm = pages.source("duplicates.js") + page("duplicate_review.js")
    _css = CSS + (STATIC / "duplicate_review.css").read_text(encoding="utf-8")
    _settable = BackgroundWidget._settable | {"kept"}
    kept: Any = List().tag(sync=True)  # rows, at least one of each group
    _groups: List = List().tag(sync=True)
    _can_move = Bool().tag(sync=True)  # whether a script can move the images
    _proposed: List = List().tag(sync=True)
    _finding: Thread | None = None  # what finds the groups

    def __init__(self, collection: Collection, threshold: float | None = None):
        """`threshold` is the similarity (cosine) of near-duplicates, by default calibrated on the collection.

        Raises ValueError for another threshold, or where the index lacks rows.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"expected a threshold from 0 to 1, got {threshold}")
        searched = duplicates.whole_index(collection)
        super().__init__()
        self.collection = collection
        self._members: list[Member] = []
        self._fault = ""  # why there are none
        self._thumbnails = Thumbnails(collection, SIDE)
        self._can_move = duplicate_choice.script_head(collection.source) is not None
        self._is_closed = False
        self.on_msg(self._told)
        self._in_background(lambda: self._find_or_fail(threshold, searched))
        self._finding = self._threads[-1]

    @property
    def members(self) -> list[Member]:
        """The images of all groups. Raises ValueError where no threshold can be chosen."""
        if self._finding is not None and self._finding is not current_thread():
            self._finding.join()
        if self._fault:
            raise ValueError(self._fault)
        return self._members

    @property
    def moved(self) -> list[int]:
        """The rows that are not kept."""
        members = self.members  # once they are found, what is kept is known
        kept = set(self.kept)
        return [one.row for one in members if one.row not in kept]

    def to_csv(self) -> str:
        """Return name, action (keep or move), group, bytes and SHA-256 of each image as CSV.

        The files are read again: images changed since the comparison are left out, with a warning.
        """
        return duplicate_choice.to_csv(self._unchanged(warnings.warn), set(self.kept))

    def to_script(self) -> str:
        """Return a script for POSIX sh that moves the other images. Raises ValueError for an archive.

        Changed images are left out, as in the CSV; the script verifies each file again before it moves it.
        """
        return duplicate_choice.to_script(self._unchanged(warnings.warn), set(self.kept), self.collection.source)

    def _unchanged(self, note: Callable[[str], object]) -> list[Member]:
        """Return the images whose files have not changed since they were compared; `note` gets the others."""
        return duplicate_choice.unchanged(self.members, set(self.kept), self.collection.source, note)

    def _save(self, form: str) -> None:
        """Send the choice to the page, as "csv" or "script"; the status names the images left out."""
        left_out: list[str] = []
        self._say("busy", "Checking the files …")
        members, kept = self._unchanged(left_out.append), set(self.kept)
        if form == "csv":
            text = duplicate_choice.to_csv(members, kept)
        else:
            text = duplicate_choice.to_script(members, kept, self.collection.source)
        self.send({"show": "file", "form": form, "text": text})
        self._say("done", "; ".join([self._summary, *left_out]))

    def close(self) -> None:
        """Close the widget and the threads that make its pictures."""
        if not self._is_closed:
            self._is_closed = True
            self.on_msg(self._told, remove=True)
            self._thumbnails.close()
        super().close()

    def _find_or_fail(self, threshold: float | None, searched: Index | None) -> None:
        try:
            self._find(threshold, searched)
        except Exception as error:
            self._fault = self._failed(error)
            raise

    def _find(self, threshold: float | None, searched: Index | None) -> None:
        collection = compared = self.collection
        if not collection.similarity.is_cosine:  # the thresholds are of the cosine
            compared = collection.with_similarity("cosine")
        elif searched is not None:
            searched = searched._replace(similarity=COSINE)  # of the vectors that are compared here
        if threshold is None:
            altered = self._counting("Choosing a threshold on altered copies …", duplicates.CALIBRATED)
            threshold = duplicates.choose_threshold(compared, searched, progress=altered).threshold
        done = self._counting("Finding near-duplicates …", len(collection))
        pairs = duplicates.find_pairs(compared.compared, threshold, searched, progress=done, removed=compared.removed)
        groups = duplicates.group(compared.compared, pairs, threshold)
        done = self._counting("Reading the files …", sum(len(one.rows) for one in groups))
        self._members = duplicates.read_members(compared, groups, done)
        with self.hold_sync():
            self._proposed = self.kept = duplicate_choice.proposed(self._members)
            self._groups = [list(_cards(group)) for _, group in groupby(self._members, lambda member: member.group)]
            self._summary = duplicates.summary(collection, self._members, threshold)
            self._say("done", self._summary)

    @validate("kept")
    def _some_of_each_group(self, proposal: dict) -> list[int]:
        kept = set(different_rows(proposal["value"], len(self.collection)))
        for number, group in groupby(self.members, lambda member: member.group):
            if not any(one.row in kept for one in group):
                raise TraitError(f"expected an image to keep of group {number}, got none")
        if unknown := kept.difference(one.row for one in self.members):
            raise TraitError(f"expected rows of the groups, got {min(unknown)}")
        return [one.row for one in self.members if one.row in kept]

    def _take_state(self, state: dict) -> None:
        """Take values of traits from a page, once there are groups: `kept` would wait for them."""
        if self._groups:
            super()._take_state(state)
        else:
            self.log.warning("there are no near-duplicates to choose from yet")

    def _do(self, message: dict, buffers: list) -> None:
        match message.get("do"):
            case "pictures":
                rows = messages.rows(message, len(self.collection), MAX_PICTURES)
                known = sorted({one.row for one in self._members}.intersection(rows))
                self._in_background(lambda: self._send_pictures(known))
            case "save":
                form = messages.text(message, "form")
                if form not in ("csv", "script") or not self._groups:
                    raise ValueError(f"expected csv or script of near-duplicates, got {messages.shortened(form)}")
                self._in_background(lambda: self._save(form))
            case _:
                super()._do(message, buffers)

    def _send_pictures(self, rows: list[int]) -> None:
        for made in self._thumbnails.get(rows):
            pictures, buffers = as_message(made)
            self.send({"show": "pictures"} | pictures, buffers)


def _cards(group: Iterable[Member]) -> Iterable[dict]:
    for place, member in enumerate(group):
        yield duplicates.choice(member) | {"facts": duplicates.facts(member, place == 0)}
