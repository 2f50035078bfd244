"""What a user does with hits: ticks them, takes them to Python or away, marks them, and scrolls to further ones."""

from contextlib import suppress
from typing import Any

import numpy as np
from traitlets import Dict, List, TraitError, Unicode, observe, validate

from similar_images.collection import query as asking
from similar_images.collection.base import BaseCollection, Hit
from similar_images.collection.filtered import Where
from similar_images.collection.query import Asked
from similar_images.widgets import filters, messages
from similar_images.widgets.background import reason
from similar_images.widgets.chosen import Hits, Query, Rows, different_rows
from similar_images.widgets.history import Displayed
from similar_images.widgets.search import SearchWidget, Superseded

MORE = 48  # hits that are shown further at once as one scrolls


class HitsWidget(SearchWidget):
    """Hits that are ticked, marked, exported and scrolled through, by the page and in code."""

    _settable = SearchWidget._settable | {"selection", "positives", "negatives", "where", "among"}
    selection: Any = List().tag(sync=True)  # the rows that are ticked, kept from query to query
    positives: Any = List().tag(sync=True)  # rows beside the query that hits are to be like
    negatives: Any = List().tag(sync=True)  # rows that hits are to be unlike
    where: Any = Dict().tag(sync=True, to_json=lambda where, _: filters.shown(where))  # as `nearest` takes it; {}: all
    among: Any = List().tag(sync=True)  # rows that alone are searched, such as a former selection; []: all
    filters: List = List().tag(sync=True)  # what the page offers for each column, once it was asked for
    reading = Unicode().tag(sync=True)  # what is read for further filters

    def __init__(self, collection: BaseCollection, k: int, seed: int | None):
        self._marked: tuple[list[int], list[int]] = [], []  # as the newest query has them
        super().__init__(collection, k, seed)
        for name in ("selection", "positives", "negatives", "among"):
            self.set_trait(name, [])

    @property
    def hits(self) -> Hits:
        """The hits that are shown, as far as they have been scrolled to."""
        return Hits(self._displayed.hits if self._displayed else [], self.collection)

    @property
    def query(self) -> Query | None:
        """The query that is shown; None before the first."""
        if self._displayed is None:
            return None
        asked = self._displayed.asked
        rows = [row for row in asked.rows if row is not None]
        return Query(asked.name, asked.row, self.compared(rows))

    def compared(self, rows: list[int]) -> Hits:
        """Return rows of the collection as hits of the query that is shown."""
        displayed = self._displayed
        if displayed is None:
            raise ValueError("no query is shown yet: wait for one with wait()")
        known = {hit.row: hit for hit in displayed.hits}
        others = [row for row in rows if row not in known]
        if others:
            known |= {hit.row: hit for hit in asking.compared(self.collection, displayed.asked, others)}
        return Hits([known[row] for row in rows], self.collection)

    def mark(self, row: int, sign: int) -> None:
        """Search for more like a row (1), for less like it (-1), or for neither (0)."""
        with self.hold_trait_notifications():
            self.positives = [one for one in self.positives if one != row] + [row] * (sign > 0)
            self.negatives = [one for one in self.negatives if one != row] + [row] * (sign < 0)

    @validate("selection", "positives", "negatives", "among")
    def _different_rows(self, proposal: dict) -> Rows:
        rows = different_rows(proposal["value"], len(self.collection))
        if proposal["trait"].name in ("positives", "negatives"):
            for row in filter(self.collection.was_skipped, rows):
                raise TraitError(f"expected rows that have a vector, got {row}, which was skipped")
        return Rows(rows, self.compared)

    @validate("where")
    def _matches_some(self, proposal: dict) -> dict:
        try:
            if not self.collection.matching(proposal["value"]).any():
                raise ValueError(f"no {self.collection.noun} matches {filters.shown(proposal['value'])}")
        except Exception as error:  # a value may be anything; traitlets keeps the old one for a TraitError only
            raise TraitError(reason(error)) from error
        return dict(proposal["value"])

    @observe("where", "among")
    def _search_filtered(self, _: dict) -> None:
        self.go(0)

    @observe("positives", "negatives")
    def _search_marked(self, _: dict) -> None:
        with self._lock:
            marked = [*self.positives], [*self.negatives]
            asked = self.history.current
            if asked is None or marked == self._marked:
                return
            self._marked = marked
            self._search(lambda step: asking.ask_marked(self.collection, asked, *marked))

    @property
    def _where(self) -> Where | None:
        if not self.among:
            return self.where or None
        matching = np.zeros(len(self.collection), bool)
        matching[list(self.among)] = True
        return matching & self.collection.matching(self.where)

    def _asking(self, asked: Asked) -> None:
        rows = [[mark.row for mark in marks if mark.row is not None] for marks in (asked.positives, asked.negatives)]
        self._marked = rows[0], rows[1]
        with self.hold_trait_notifications():
            self.positives, self.negatives = rows

    def _do(self, message: dict, buffers: list) -> None:
        match message.get("do"):
            case "mark":
                self.mark(messages.row(message, len(self.collection)), messages.integer(message, "sign"))
            case "unmark":
                self._unmark(messages.text(message, "name"), messages.integer(message, "at"))
            case "more":
                number, start = messages.integer(message, "number"), messages.integer(message, "start")
                self._in_background(lambda: self._more(number, start))
            case "filters":
                self._in_background(self._offer_filters)
            case "where":
                self._filter(filters.chosen(messages.mapping(message, "where")))
            case "export":
                form = messages.text(message, "form")
                self._in_background(lambda: self._export(form))
            case _:
                super()._do(message, buffers)

    def _unmark(self, name: str, at: int) -> None:
        """Take back the mark at a place of the positives or negatives that are shown."""
        if name not in ("positives", "negatives"):
            raise ValueError(f"expected positives or negatives, got {messages.shortened(name)}")
        if displayed := self._displayed:
            marks = getattr(displayed.asked, name)
            if not 0 <= at < len(marks):
                raise ValueError(f"expected one of {len(marks)} marks, got {messages.shortened(at)}")
            if marks[at].row is not None:
                self.mark(marks[at].row, 0)
            else:
                left: dict[str, Any] = {name: (*marks[:at], *marks[at + 1 :])}
                asked = displayed.asked._replace(**left)
                self._search(lambda step: asked)

    def _offer_filters(self) -> None:
        """Tell the page what each column offers."""
        self.filters = filters.offered(self.collection.columns)

    def _filter(self, where: dict) -> None:
        """Search only what matches, as the page has chosen it. Raises ValueError where nothing matches."""
        try:
            self.where = where
        except TraitError as error:
            raise ValueError(str(error)) from error

    def _more(self, number: int, start: int) -> None:
        """Send the page the hits from `start` on, and search for more if they are not known yet."""
        with suppress(Superseded):
            with self._unless_superseded(number):
                displayed = self._displayed
            if displayed is None:
                return
            if not 0 <= start <= len(displayed.hits):
                raise ValueError(f"expected a start from 0 to {len(displayed.hits)}, got {messages.shortened(start)}")
            if len(displayed.hits) < start + MORE and not displayed.is_all:
                wanted = max(start + MORE, 2 * len(displayed.hits))
                hits = asking.further(self.collection, displayed.asked, displayed.hits, wanted, self.exact, self._where)
                displayed = displayed._replace(hits=hits, is_all=len(hits) < wanted)
                with self._unless_superseded(number):
                    self._displayed = displayed
            self._send_more(displayed, start, displayed.hits[start : start + MORE])

    def _send_more(self, displayed: Displayed, start: int, hits: list[Hit]) -> None:
        """Send hits that the page lacks."""
        self.send(self._further(displayed, start, hits))

    def _further(self, displayed: Displayed, start: int, hits: list[Hit]) -> dict:
        """Return the message with hits that the page lacks."""
        return {
            "show": "more",
            "number": displayed.number,
            "start": start,
            "hits": [self._described(hit, displayed.asked, set()) for hit in hits],
            "is_all": displayed.is_all and start + len(hits) >= len(displayed.hits),
        }

    def _export(self, form: str) -> None:
        """Send the selection as a file. Raises ValueError if it is empty."""
        hits = self.compared(list(self.selection))
        if not hits or not self._displayed:
            raise ValueError("expected ticked hits, got none")
        content, kind = self._exported(form, self._displayed.asked.name, hits)
        self.send({"show": "file", "name": f"similar-{self.collection.noun}s.{form}", "type": kind}, [content])

    def _exported(self, form: str, name: str, hits: list[Hit]) -> tuple[bytes, str]:
        """Return the hits of the query of a name as a file of a form, and its MIME type."""
        raise NotImplementedError
