"""Base of the notebook's galleries: a query, its hits, and everything a user does with them.

The displayed state is one trait, so that a reloaded page gets it again. Requests of the page arrive as messages. All work
runs off the kernel's thread, and a new query cancels the last one. The displayed results are one immutable `Displayed`,
replaced under the lock; every action on the page refers to them.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from traitlets import Bool, Dict, Int, List, TraitError, Unicode, observe, validate

from similar_images import forks
from similar_images.collection.base import BaseCollection
from similar_images.collection.columns import Where
from similar_images.collection.searcher import SAME, Hit
from similar_images.collection.session import (
    History,
    QueryState,
    ResultPage,
    SearchRequest,
    SearchSession,
    network_name,
)
from similar_images.widgets import filters
from similar_images.widgets.background import BackgroundWidget, check_rows, describe_error, shorten
from similar_images.widgets.replies import Card, ExportedFile, MoreHits
from similar_images.widgets.selection import Hits, Query, Rows, unique_rows

MAX_HITS = 200
MORE_HITS = 48  # sent at once while the user scrolls

Step = Callable[[str], None]  # shows the running step of a query


class Superseded(Exception):
    """A newer query was made meanwhile, or the widget was closed."""


class Displayed(NamedTuple):
    """The result page in the notebook, with the hits sent so far."""

    number: int  # of the search
    page: ResultPage


class SearchWidget(BackgroundWidget):
    """Shows the k nearest of a collection. The public traits below can be set, by the page and in code, and observed.

    Every `search_...` returns at once, `wait` waits for it.
    """

    _settable = BackgroundWidget._settable | {"k", "exact", "selection", "positives", "negatives", "where", "among"}
    k = Int(8).tag(sync=True)
    exact = Bool(False).tag(sync=True)
    offers_exact = Bool(False).tag(sync=True)  # there is an index, and the vectors to compare it with
    caveat = Unicode().tag(sync=True)
    shown = Dict().tag(sync=True)  # the query and its hits
    selection: Any = List().tag(sync=True)  # the ticked rows, kept from query to query
    positives: Any = List().tag(sync=True)  # rows: hits are like these too
    negatives: Any = List().tag(sync=True)  # rows: hits are unlike these
    where: Any = Dict().tag(
        sync=True, to_json=lambda where, _: filters.as_json(where)
    )  # as `nearest` takes it; {}: all
    among: Any = List().tag(sync=True)  # the searched rows, such as a former selection; []: all
    filters: Any = List().tag(sync=True)  # the offered filter of each column, once the page requests them
    reading = Unicode().tag(sync=True)  # progress of reading EXIF for further filters

    def __init__(self, collection: BaseCollection[Any], k: int, seed: int | None):
        self._marked: tuple[list[int], list[int]] = [], []  # of the newest query
        super().__init__()
        self.collection, self.session = collection, SearchSession(collection, seed)
        self._displayed: Displayed | None = None
        self._lock, self._newest = forks.new_reentrant_lock(), 0
        self._is_closed = False
        self.set_trait("k", k)
        self.set_trait("offers_exact", collection.index is not None and collection.has_vectors)
        self.set_trait("caveat", self.session.caveat)
        for name in ("selection", "positives", "negatives", "among"):
            self.set_trait(name, [])

    @property
    def hits(self) -> Hits:
        """The hits on the page so far; scrolling adds more."""
        return Hits(self._displayed.page.hits if self._displayed else [], self.collection)

    @property
    def query(self) -> Query | None:
        """The query on the page; None before the first."""
        if self._displayed is None:
            return None
        state = self._displayed.page.state
        return Query(state.name, state.row, self.compared(state.rows))

    def compared(self, rows: list[int]) -> Hits:
        """Return rows of the collection as hits of the displayed query."""
        displayed = self._displayed
        if displayed is None:
            raise ValueError("there is no query yet: wait for one with wait()")
        known = {hit.row: hit for hit in displayed.page.hits}
        if unknown := [row for row in rows if row not in known]:
            known |= {hit.row: hit for hit in self.session.compare(displayed.page.state, unknown)}
        return Hits([known[row] for row in rows], self.collection)

    def search_random(self) -> None:
        """Search by a random item of the collection, each once before any is repeated."""
        row = self.session.random_row()
        if row is None:
            self._set_status("failure", f"Not searched: every {self.collection.noun} of this collection was skipped")
        else:
            self.search_row(row)

    def search_row(self, row: int) -> None:
        """Search by a row of the collection."""
        self._search(lambda step: self.session.query_row(row))

    def go(self, steps: int) -> None:
        """Go back (-1) or forward (1) in the history, or repeat the current query (0)."""
        with self._lock:  # for both: of two threads, the last one to step is displayed
            state = self.session.history.step(steps)
            if state is not None:
                self._search(lambda step: state, remember=False)

    def mark(self, row: int, sign: int) -> None:
        """Search for more like a row (1), for less like it (-1), or for neither (0)."""
        with self.hold_trait_notifications():
            self.positives = [one for one in self.positives if one != row] + [row] * (sign > 0)
            self.negatives = [one for one in self.negatives if one != row] + [row] * (sign < 0)

    def _free(self) -> None:
        with self._lock:
            self._newest += 1  # a running search is not shown
        self.unobserve_all()
        self._displayed, self.session.history = None, History()

    @validate("k")
    def _clip_k(self, proposal: dict[str, Any]) -> int:
        k = min(max(proposal["value"], 1), MAX_HITS)
        if k != proposal["value"]:
            warnings.warn(f"expected k from 1 to {MAX_HITS}, got {proposal['value']}: using {k}", stacklevel=2)
        return int(k)

    @validate("selection", "positives", "negatives", "among")
    def _check_rows(self, proposal: dict[str, Any]) -> Rows:
        rows = unique_rows(proposal["value"], len(self.collection))
        if proposal["trait"].name in ("positives", "negatives"):
            for row in filter(self.collection.was_skipped, rows):
                raise TraitError(f"expected rows with a vector, got {row}, a skipped {self.collection.noun}")
        return Rows(rows, self.compared)

    @validate("where")
    def _check_where(self, proposal: dict[str, Any]) -> dict[str, Any]:
        try:
            where, columns = proposal["value"], self.collection.columns
            if not columns.matching(where).any():
                raise ValueError(columns.explain_no_match(where, self.collection.noun, str(filters.as_json(where))))
        except Exception as error:  # of any value; traitlets keeps the old value only for a TraitError
            raise TraitError(describe_error(error)) from error
        return dict(proposal["value"])

    @observe("k", "exact", "where", "among")
    def _repeat_search(self, _: object) -> None:
        self.go(0)

    @observe("positives", "negatives")
    def _search_marked(self, _: object) -> None:
        with self._lock:
            marked = [*self.positives], [*self.negatives]
            state = self.session.history.current
            if state is None or marked == self._marked:
                return
            self._marked = marked
            self._search(lambda step: self.session.mark(state, *marked))

    @property
    def _where(self) -> Where | None:
        """The filter of the hits, as `nearest` takes it; None: no filter."""
        if not self.among:
            where: dict[str, Any] = self.where
            return where or None
        matching = np.zeros(len(self.collection), bool)
        matching[list(self.among)] = True
        return np.asarray(matching & self.collection.matching(self.where))

    _answer_random, _answer_row, _answer_go = search_random, search_row, go

    def _answer_mark(self, row: int, sign: int) -> None:
        check_rows([row], len(self.collection))
        self.mark(row, sign)

    def _answer_unmark(self, name: str, at: int) -> None:
        """Remove a mark from the displayed positives or negatives."""
        if name not in ("positives", "negatives"):
            raise ValueError(f"expected positives or negatives, got {shorten(name)}")
        if displayed := self._displayed:
            marks = getattr(displayed.page.state, name)
            if not 0 <= at < len(marks):
                raise ValueError(f"expected one of {len(marks)} marks, got {shorten(at)}")
            if marks[at].row is not None:
                self.mark(marks[at].row, 0)
            else:
                left: dict[str, Any] = {name: (*marks[:at], *marks[at + 1 :])}
                state = replace(displayed.page.state, **left)
                self._search(lambda step: state)

    def _answer_more(self, number: int, start: int) -> None:
        self._run(lambda: self._show_more(number, start))

    def _answer_filters(self) -> None:
        self._run(self._offer_filters)

    def _answer_where(self, where: dict[str, Any]) -> None:
        """Restrict the search to the page's filters. Raises ValueError if nothing matches.

        Conditions set in Python on columns that the page does not show are kept until all filters are cleared.
        """
        kept = {column: value for column, value in self.where.items() if where and column not in where}
        try:
            self.where = kept | filters.read_choice(where)
        except TraitError as error:
            raise ValueError(str(error)) from error

    def _answer_export(self, form: str) -> None:
        self._run(lambda: self._send_export(form))

    def _encode(self, step: Step, make: Callable[[], QueryState]) -> QueryState:
        """Make a query from a new item, which the network encodes."""
        name, new = network_name(self.collection), f"new {self.collection.noun}"
        step(f"Searching with {name} …" if self.collection.is_loaded else f"Loading {name} for the first {new} …")
        return make()

    def _search(self, make: Callable[[Step], QueryState], remember: bool = True) -> None:
        """Make the query, search and show in the background; cancel an earlier search."""
        with self._lock:
            self._newest += 1
            number = self._newest

        def step(sentence: str) -> None:
            with self._unless_superseded(number):
                self._set_status("busy", sentence)

        def work() -> None:
            try:
                state = make(step)
                with self._unless_superseded(number):
                    if remember:
                        self.session.history.add(state)
                    self._take_marks(state)
                request = SearchRequest(state, self.k, self.exact, self._where, compares=self.offers_exact)
                self._show(number, self.session.search(request))
            except Superseded:
                pass
            except Exception as error:  # a click has no caller to raise to
                with suppress(Superseded), self._unless_superseded(number):
                    self._set_status("failure", f"Not searched: {describe_error(error)}")

        self._run(work)

    @contextmanager
    def _unless_superseded(self, number: int) -> Iterator[None]:
        """Hold the lock; raise Superseded if a newer query was made."""
        with self._lock:
            if number != self._newest:
                raise Superseded
            yield

    def _take_marks(self, state: QueryState) -> None:
        """Set the traits of the marks from a query."""
        rows = [[mark.row for mark in marks if mark.row is not None] for marks in (state.positives, state.negatives)]
        self._marked = rows[0], rows[1]
        with self.hold_trait_notifications():
            self.positives, self.negatives = rows

    def _show(self, number: int, page: ResultPage) -> None:
        """Display a result page."""
        with self._unless_superseded(number):
            self._display(number, page, self._state(number, page))

    def _display(self, number: int, page: ResultPage, state: dict[str, Any]) -> None:
        self._displayed = Displayed(number, page)
        with self.hold_sync():
            self.shown = state
            self._set_status("done", page.summary)

    def _state(self, number: int, page: ResultPage) -> dict[str, Any]:
        """Return the trait `shown`."""
        state, history = page.state, self.session.history
        return {
            "number": number,
            "query": {"name": state.name, "row": state.row},
            "positives": [{"row": mark.row, "name": mark.name} for mark in state.positives],
            "negatives": [{"row": mark.row, "name": mark.name} for mark in state.negatives],
            "hits": [self._card(hit, page) for hit in page.hits],
            "is_all": page.is_all,
            "unlike": page.has_no_close_match,
            "changes": page.changes,
            "back": history.can_go_back,
            "forward": history.can_go_forward,
        }

    def _card(self, hit: Hit, page: ResultPage) -> Card:
        """Return the content of a hit's card."""
        return {
            "row": hit.row,
            "name": hit.name,
            "similarity": hit.similarity,
            "meaning": self.session.describe_similarity(page, hit),
            "same": hit.similarity >= SAME,
            "missed": hit.row in page.missed,
        }

    def _offer_filters(self) -> None:
        """Offer the page a filter for each column."""
        self.filters = filters.offer(self.collection.columns)

    def _show_more(self, number: int, start: int) -> None:
        """Send the hits from `start` on; search for more if necessary."""
        with suppress(Superseded):
            with self._unless_superseded(number):
                displayed = self._displayed
            if displayed is None:
                return
            page, known = displayed.page, len(displayed.page.hits)
            if not 0 <= start <= known:
                raise ValueError(f"expected a start from 0 to {known}, got {shorten(start)}")
            if known < start + MORE_HITS and not page.is_all:
                page = self.session.extend(page, max(start + MORE_HITS, 2 * known))
                with self._unless_superseded(number):
                    self._displayed = Displayed(number, page)
            cards = [self._card(hit, page) | {"missed": False} for hit in page.hits[start : start + MORE_HITS]]
            is_all = page.is_all and start + len(cards) >= len(page.hits)
            self._send_more(MoreHits(number, start, cards, is_all))

    def _send_more(self, more: MoreHits) -> None:
        self._reply(more)

    def _send_export(self, form: str) -> None:
        """Send the selection as a file. Raises ValueError if it is empty."""
        hits = self.compared(list(self.selection))
        if not hits or not self._displayed:
            raise ValueError("expected ticked hits, got none")
        content, kind = self._export(form, self._displayed.page.state.name, hits)
        name = f"similar-{self.collection.noun}s.{form}"
        self._reply(ExportedFile(name, kind), [content])

    def _export(self, form: str, name: str, hits: list[Hit]) -> tuple[bytes, str]:
        """Return the hits of a query as a file, and its MIME type."""
        raise NotImplementedError
