"""The notebook's review of near-duplicates: which images of each group to keep, and the choice as a file."""

import warnings
from collections.abc import Iterable
from itertools import groupby
from threading import Thread, current_thread
from typing import Any

from traitlets import Bool, List, TraitError, validate

from similar_images.collection.images import Collection
from similar_images.evaluation import duplicate_choice, duplicate_threshold, duplicates
from similar_images.evaluation.duplicate_choice import Member
from similar_images.events import Event, Progress
from similar_images.index.index import Index
from similar_images.index.similarity import COSINE
from similar_images.widgets.background import BackgroundWidget, check_rows, shorten
from similar_images.widgets.bundles import read_bundle
from similar_images.widgets.replies import ExportedFile
from similar_images.widgets.selection import unique_rows
from similar_images.widgets.thumbnails import Thumbnails, as_reply

SIDE = 320  # pixels, of a picture
MAX_PICTURES = 1000  # in a request of the page
FILES = {  # by the form of the saved choice
    "csv": ExportedFile("duplicates-choice.csv", "text/csv"),
    "script": ExportedFile("move-duplicates.sh", "text/x-shellscript"),
}
STEPS = {
    "altered images": "Choosing a threshold on altered copies …",
    "near-duplicates": "Finding near-duplicates …",
    "files read": "Reading the files …",
}


class DuplicateReview(BackgroundWidget):
    """Shows groups of near-duplicates, to choose which images to keep.

    `kept` and `moved` are the rows to keep and to move; no file is changed. The page saves the choice, as do `to_csv` and
    `to_script`. The groups are found in the background; Python waits for them if necessary.
    """

    _esm, _css = read_bundle("duplicate_review")
    _settable = BackgroundWidget._settable | {"kept"}
    kept: Any = List().tag(sync=True)  # rows, at least one of each group
    _groups: Any = List().tag(sync=True)
    _can_move = Bool().tag(sync=True)  # whether a script can move the images
    _proposed: Any = List().tag(sync=True)
    _search: Thread | None = None  # finds the groups

    def __init__(self, collection: Collection, threshold: float | None = None):
        """`threshold` is the similarity (cosine) of near-duplicates, by default calibrated on the collection.

        Raises ValueError for other thresholds, or if the index lacks rows.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"expected a threshold from 0 to 1, got {threshold}")
        searched = duplicates.whole_index(collection)
        super().__init__()
        self.collection = collection
        self._members: list[Member] = []
        self._fault = ""  # reason of a failed search
        self._summary = ""
        self._thumbnails = Thumbnails(collection, SIDE)
        self._can_move = duplicate_choice.script_parts(collection.source) is not None
        self._is_closed = False
        self._run(lambda: self._find_or_fail(threshold, searched))
        self._search = self._threads[-1]

    @property
    def members(self) -> list[Member]:
        """The images of all groups. Raises ValueError if no threshold can be chosen."""
        if self._search is not None and self._search is not current_thread():
            self._search.join()
        if self._fault:
            raise ValueError(self._fault)
        return self._members

    @property
    def moved(self) -> list[int]:
        """The rows to move: all except `kept`."""
        members = self.members  # first: this waits for the proposal
        kept = set(self.kept)
        return [one.row for one in members if one.row not in kept]

    def to_csv(self) -> str:
        """Return name, action (keep or move), group, bytes and SHA-256 of each image as CSV.

        The files are read again: images changed since the comparison are left out, with a warning.
        """
        return self._write("csv", _warn)

    def to_script(self) -> str:
        """Return a script for POSIX sh that moves the other images. Raises ValueError for an archive.

        Changed images are left out, as in the CSV; the script verifies each file again before moving it.
        """
        return self._write("script", _warn)

    def _write(self, form: str, progress: Progress) -> str:
        """Return the choice of the images whose files are unchanged since the comparison; the others become notes."""
        kept, source = set(self.kept), self.collection.source
        members = duplicate_choice.drop_changed(self.members, kept, source, progress)
        if form == "csv":
            return duplicate_choice.to_csv(members, kept)
        return duplicate_choice.to_script(members, kept, source)

    def _save(self, form: str) -> None:
        """Send the choice to the page in a form of FILES; the status names the images left out."""
        left_out: list[str] = []
        self._set_status("busy", "Checking the files …")
        text = self._write(form, lambda event: left_out.append(event.note))
        self._reply(FILES[form], [text.encode()])
        self._set_status("done", "; ".join([self._summary, *left_out]))

    def _free(self) -> None:
        self._thumbnails.close()

    def _find_or_fail(self, threshold: float | None, searched: Index | None) -> None:
        try:
            self._find(threshold, searched)
        except Exception as error:
            self._fault = self._failure_text(error)
            raise

    def _find(self, threshold: float | None, searched: Index | None) -> None:
        collection = compared = self.collection
        if not collection.similarity.is_cosine:  # the thresholds are of the cosine
            compared = collection.with_similarity("cosine")
        elif searched is not None:
            searched = searched._replace(similarity=COSINE)  # of the vectors compared here
        if threshold is None:
            threshold = duplicate_threshold.choose_threshold(compared, searched, progress=self._show_event).threshold
        self._members = duplicates.find_members(compared, threshold, searched, self._show_event)
        with self.hold_sync():
            self._proposed = self.kept = duplicate_choice.propose(self._members)
            self._groups = [list(_cards(group)) for _, group in groupby(self._members, lambda member: member.group)]
            self._summary = duplicates.summary(collection, self._members, threshold)
            self._set_status("done", self._summary)

    def _show_event(self, event: Event) -> None:
        self._check_open()
        self._set_status("busy", STEPS[event.step], share=round(event.done / max(event.total or 1, 1), 2))

    @validate("kept")
    def _check_kept(self, proposal: dict[str, Any]) -> list[int]:
        kept = set(unique_rows(proposal["value"], len(self.collection)))
        for number, group in groupby(self.members, lambda member: member.group):
            if not any(one.row in kept for one in group):
                raise TraitError(f"expected an image to keep of group {number}, got none")
        if unknown := kept.difference(one.row for one in self.members):
            raise TraitError(f"expected rows of the groups, got {min(unknown)}")
        return [one.row for one in self.members if one.row in kept]

    def _take_state(self, state: dict[str, Any]) -> None:
        """Take values of traits from a page after the groups are found: `kept` would wait for them."""
        if self._groups:
            super()._take_state(state)
        else:
            self.log.warning("there are no near-duplicates to choose from yet")

    def _answer_pictures(self, rows: list[int]) -> None:
        check_rows(rows, len(self.collection), most=MAX_PICTURES)
        known = sorted({one.row for one in self._members}.intersection(rows))
        self._run(lambda: self._send_pictures(known))

    def _answer_save(self, form: str) -> None:
        if form not in FILES or not self._groups:
            raise ValueError(f"expected csv or script of near-duplicates, got {shorten(form)}")
        self._run(lambda: self._save(form))

    def _send_pictures(self, rows: list[int]) -> None:
        for made in self._thumbnails.get(rows):
            self._reply(*as_reply(made))


def _warn(event: Event) -> None:
    warnings.warn(event.note, stacklevel=4)


def _cards(group: Iterable[Member]) -> Iterable[dict[str, Any]]:
    for place, member in enumerate(group):
        yield duplicates.choosable(member, place == 0)._asdict()
