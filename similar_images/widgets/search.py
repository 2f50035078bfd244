"""What the notebook's galleries share: a query, its first hits, their number, and the history of queries.

A widget with its own small page: what is shown is state, which a reloaded page gets again; what a user does arrives as
messages. All work is done off the kernel's thread, and a new query cancels the last one. What is on the page is one
immutable `Displayed`, replaced under the lock; every action on the page refers to it.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from traitlets import Bool, Dict, Int, Unicode, observe, validate

from similar_images import forks
from similar_images.collection import query as asking
from similar_images.collection.base import BaseCollection, Hit
from similar_images.collection.filtered import Where
from similar_images.collection.query import Asked
from similar_images.widgets import messages
from similar_images.widgets.background import BackgroundWidget, reason
from similar_images.widgets.history import Displayed, History

STATIC = Path(__file__).parent / "static"
# Text, not a path: anywidget would watch a file for as long as Python runs, and keep the widget alive for that.
CSS = (STATIC / "widgets.css").read_text(encoding="utf-8")
MAX_HITS = 200


def page(*names: str) -> str:
    """Return the JavaScript of a widget after what all of them share: a widget's page is one file."""
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in ("page.js", *names))


class Superseded(Exception):
    """A newer query was made meanwhile, or the widget was closed."""


class SearchWidget(BackgroundWidget):
    """Shows the k nearest of a collection. The public traits below can be set, by the page and in code, and observed.

    Every `search_...` returns at once, `wait` waits for it.
    """

    _settable = BackgroundWidget._settable | {"k", "exact"}
    k = Int(8).tag(sync=True)
    exact = Bool(False).tag(sync=True)
    offers_exact = Bool(False).tag(sync=True)  # there is an index, and the vectors to compare it with
    caveat = Unicode().tag(sync=True)
    shown = Dict().tag(sync=True)  # the query and its hits

    def __init__(self, collection: BaseCollection, k: int, seed: int | None):
        super().__init__()
        self.collection, self.history = collection, History()
        self._rows = asking.shuffled(collection, seed)
        self._displayed: Displayed | None = None
        self._lock, self._newest = forks.new_reentrant_lock(), 0
        self._is_closed = False
        self.set_trait("k", k)
        self.set_trait("offers_exact", collection.index is not None and collection.has_vectors)
        self.set_trait("caveat", asking.caveat(collection))
        self.on_msg(self._told)

    def search_random(self) -> None:
        """Search by one of the collection at random, each once before any is repeated."""
        row = next(self._rows, None)
        if row is None:
            self._say("failure", f"Not searched: every {self.collection.noun} of this collection was skipped")
        else:
            self.search_row(row)

    def search_row(self, row: int) -> None:
        """Search by one of the collection."""
        self._search(lambda step: asking.ask_row(self.collection, row))

    def go(self, steps: int) -> None:
        """Go back (-1) or forward (1) in the history, or repeat the current query (0)."""
        with self._lock:  # over both: of two threads the one that steps last is shown
            asked = self.history.step(steps)
            if asked is not None:
                self._search(lambda step: asked, remember=False)

    def close(self) -> None:
        """Close the widget: running searches are dropped, and what it holds is released."""
        if self._is_closed:
            return
        with self._lock:
            self._newest += 1
            self._is_closed = True
        self.on_msg(self._told, remove=True)
        self.unobserve_all()
        super().close()
        self._displayed, self.history = None, History()

    @validate("k")
    def _between_one_and_most(self, proposal: dict) -> int:
        k = min(max(proposal["value"], 1), MAX_HITS)
        if k != proposal["value"]:
            warnings.warn(f"expected k from 1 to {MAX_HITS}, got {proposal['value']}: using {k}", stacklevel=2)
        return k

    @observe("k", "exact")
    def _once_more(self, _: dict) -> None:
        self.go(0)

    def _do(self, message: dict, buffers: list) -> None:
        match message.get("do"):
            case "random":
                self.search_random()
            case "row":
                self.search_row(messages.row(message, len(self.collection)))
            case "go":
                self.go(messages.integer(message, "steps"))
            case _:
                super()._do(message, buffers)

    def _with_network(self, step: Callable[[str], None], ask: Callable[[], Asked]) -> Asked:
        """Make a query of something new, which takes the network."""
        name, new = asking.network_name(self.collection), f"new {self.collection.noun}"
        step(f"Searching with {name} …" if self.collection.is_loaded else f"Loading {name} for the first {new} …")
        return ask()

    def _search(self, ask: Callable[[Callable[[str], None]], Asked], remember: bool = True) -> None:
        """Make the query, search and show in the background; an earlier search is cancelled."""
        with self._lock:
            self._newest += 1
            number = self._newest

        def step(sentence: str) -> None:
            with self._unless_superseded(number):
                self._say("busy", sentence)

        def work() -> None:
            try:
                asked = ask(step)
                with self._unless_superseded(number):
                    if remember:
                        self.history.add(asked)
                    self._asking(asked)
                answer = asking.answer(self.collection, asked, self.k, self.exact, self._where)
                self._show(number, asked, answer)
            except Superseded:
                pass
            except Exception as error:  # a click has no caller to raise to: every failure is shown to the user
                with suppress(Superseded), self._unless_superseded(number):
                    self._say("failure", f"Not searched: {reason(error)}")

        self._in_background(work)

    @property
    def _where(self) -> Where | None:
        """What the hits must match, as `nearest` takes it; None: anything."""
        return None

    def _asking(self, asked: Asked) -> None:
        """Be told of the query that is searched now."""

    def _show(self, number: int, asked: Asked, answer: asking.Answer) -> None:
        """Show what was found."""
        with self._unless_superseded(number), self.hold_sync():
            self._displayed = Displayed(number, asked, answer.hits, len(answer.hits) < self.k)
            self.shown = self._state(number, asked, answer)
            self._say("done", asking.describe(self.collection, asked, answer, self.exact, self._where))

    def _state(self, number: int, asked: Asked, answer: asking.Answer) -> dict:
        """Return what the page shows."""
        return {
            "number": number,
            "query": {"name": asked.name, "row": asked.row},
            "positives": [{"row": mark.row, "name": mark.name} for mark in asked.positives],
            "negatives": [{"row": mark.row, "name": mark.name} for mark in asked.negatives],
            "hits": [self._described(hit, asked, answer.missed) for hit in answer.hits],
            "is_all": len(answer.hits) < self.k,
            "unlike": asking.is_like_nothing(self.collection, asked, answer.hits, self._where),
            "changes": asking.changes(answer, len(answer.hits)) if self.exact and self.offers_exact else "",
            "back": self.history.at > 0,
            "forward": self.history.at + 1 < len(self.history.asked),
        }

    def _described(self, hit: Hit, asked: Asked, missed: set[int]) -> dict:
        """Return what the page shows of a hit of a query."""
        return {
            "row": hit.row,
            "name": hit.name,
            "similarity": hit.similarity,
            "meaning": "" if asked.has_words else asking.meaning(self.collection, hit.similarity),
            "same": hit.similarity >= asking.SAME,
            "missed": hit.row in missed,
        }

    @contextmanager
    def _unless_superseded(self, number: int) -> Iterator[None]:
        """Hold the lock; raise Superseded if a newer query was made."""
        with self._lock:
            if number != self._newest:
                raise Superseded
            yield
