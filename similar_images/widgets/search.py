"""What the notebook's galleries share: a query, its hits, the number of them, the way back.

A widget with its own small page: what is shown is state, which a page that is loaded anew gets again; what a person
does arrives as messages. All work is done off the kernel's thread, and a new query ends the last one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

import anywidget
from traitlets import Bool, Dict, Int, Unicode, observe, validate

from similar_images.collections import query as asking
from similar_images.collections.base import Hit
from similar_images.collections.images import Collection
from similar_images.collections.query import Asked

STATIC = Path(__file__).parent / "static"
MAX_HITS = 200
REMEMBERED = 50  # queries to go back to


def page(*names: str) -> str:
    """Return the JavaScript of a widget after what all of them share: a widget's page is one file."""
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in ("page.js", *names))


class Superseded(Exception):
    """A newer query was asked meanwhile."""


class History:
    """The queries that were asked, to go back and forward in, as in a browser."""

    def __init__(self):
        self.asked: list[Asked] = []
        self.at = -1

    @property
    def current(self) -> Asked | None:
        """What was asked last, or gone back to; None where nothing was asked."""
        return self.asked[self.at] if self.at >= 0 else None

    def add(self, asked: Asked) -> None:
        """Add a query after the current one; one that was still being typed gives its place to what it became."""
        kept = self.at + 1
        if self.current and self.current.provisional and asked.row is None:
            kept -= 1
        self.asked = [*self.asked[:kept], asked][-REMEMBERED:]
        self.at = len(self.asked) - 1

    def step(self, steps: int) -> Asked | None:
        """Go back or forward; None where there is no further query."""
        if not 0 <= self.at + steps < len(self.asked):
            return None
        self.at += steps
        return self.asked[self.at]


class SearchWidget(anywidget.AnyWidget):
    """Shows the k nearest of a collection. `k` and `exact` can be set, by the page and in code.

    Every `search_...` returns at once, `wait` waits for it.
    """

    k = Int(8).tag(sync=True)
    exact = Bool(False).tag(sync=True)
    offers_exact = Bool(False).tag(sync=True)  # there is an index, and the vectors to hold it against
    caveat = Unicode().tag(sync=True)
    status = Dict({"kind": "busy", "text": ""}).tag(sync=True)  # kind: busy, done or failure
    shown = Dict().tag(sync=True)  # the query and its hits

    def __init__(self, collection: Collection, k: int, seed: int | None):
        super().__init__()
        self.collection, self.history = collection, History()
        self._rows = asking.shuffled(collection, seed)
        self._hits: list[Hit] = []
        self._lock, self._newest, self._threads = Lock(), 0, []
        self.set_trait("k", k)
        self.set_trait("offers_exact", collection.index is not None and collection.has_vectors)
        self.set_trait("caveat", asking.CAVEATS.get(asking.network_name(collection), ""))
        self.on_msg(self._told)

    def search_random(self) -> None:
        """Search by one of the collection, another one each time until all were shown."""
        row = next(self._rows, None)
        if row is None:
            self._say(
                "failure", f"Not searched: no {self.collection.noun} of this collection has a vector: all were skipped"
            )
        else:
            self.search_row(row)

    def search_row(self, row: int) -> None:
        """Search by one of the collection."""
        self._search(lambda step: asking.ask_row(self.collection, row))

    def go(self, steps: int) -> None:
        """Go back (-1) or forward (1) to a query of before."""
        asked = self.history.step(steps)
        if asked is not None:
            self._search(lambda step: asked, remember=False)

    def wait(self, seconds: float = 60) -> None:
        """Wait until nothing is searched any more. Raises TimeoutError."""
        for thread in list(self._threads):
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still searching after {seconds:g} s")

    @validate("k")
    def _between_one_and_most(self, proposal: dict) -> int:
        return min(max(proposal["value"], 1), MAX_HITS)

    @observe("k", "exact")
    def _once_more(self, _: dict) -> None:
        self.go(0)

    def _told(self, _: object, message: dict, buffers: list) -> None:
        """Do what the page asks for."""
        try:
            self._do(message.get("do"), message, buffers)
        except Exception as error:  # a message has no caller to raise to: whatever fails is told to the user
            self._say("failure", f"Not done: {_reason(error)}")

    def _do(self, what: str, message: dict, _: list) -> None:
        match what:
            case "random":
                self.search_random()
            case "row":
                self.search_row(int(message["row"]))
            case "go":
                self.go(int(message["steps"]))
            case "export":
                rows = {int(row) for row in message["rows"]}
                chosen = [hit for hit in self._hits if hit.row in rows]
                self._in_background(lambda: self._export(message["form"], chosen))

    def _export(self, form: str, hits: list[Hit]) -> None:
        """Send hits as a file. Raises ValueError where there are none."""
        if not hits:
            raise ValueError("expected hits that are ticked, got none")
        content, kind = self._exported(form, hits)
        self.send({"show": "file", "name": f"similar-{self.collection.noun}s.{form}", "type": kind}, [content])

    def _exported(self, form: str, hits: list[Hit]) -> tuple[bytes, str]:
        """Return hits as a file of a form, and its MIME type."""
        raise NotImplementedError

    def _with_network(self, step: Callable[[str], None], ask: Callable[[], Asked]) -> Asked:
        """Ask by something new, which the network has to see first."""
        name, new = asking.network_name(self.collection), f"new {self.collection.noun}"
        step(f"Searching with {name} …" if self.collection.is_loaded else f"Loading {name} for the first {new} …")
        return ask()

    def _search(self, ask: Callable[[Callable[[str], None]], Asked], remember: bool = True) -> None:
        """Ask, search and show in the background; what was begun before is given up."""
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
                    answer = asking.answer(self.collection, asked, self.k, self.exact)
                self._show(number, asked, answer)
            except Superseded:
                pass
            except Exception as error:  # a click has no caller to raise to: whatever fails is told to the user
                try:
                    with self._unless_superseded(number):
                        self._say("failure", f"Not searched: {_reason(error)}")
                except Superseded:
                    pass

        self._in_background(work)

    def _show(self, number: int, asked: Asked, answer: asking.Answer) -> None:
        """Show what was found."""
        with self._unless_superseded(number), self.hold_sync():
            self._hits = answer.hits
            self.shown = self._state(number, asked, answer)
            self._say("done", asking.describe(self.collection, asked, answer, self.exact))

    def _state(self, number: int, asked: Asked, answer: asking.Answer) -> dict:
        """Return what the page shows."""
        return {
            "number": number,
            "query": {"name": asked.name, "row": asked.row},
            "hits": [
                {
                    "row": hit.row,
                    "name": hit.name,
                    "similarity": hit.similarity,
                    "meaning": asking.meaning(self.collection, hit.similarity),
                    "same": hit.similarity >= asking.SAME,
                    "missed": hit.row in answer.missed,
                }
                for hit in answer.hits
            ],
            "unlike": self.collection.is_like_nothing(answer.hits),
            "changes": asking.changes(answer, len(answer.hits)) if self.exact and self.offers_exact else "",
            "back": self.history.at > 0,
            "forward": self.history.at + 1 < len(self.history.asked),
        }

    def _in_background(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # as above
                self._say("failure", f"Not done: {_reason(error)}")

        thread = Thread(target=guarded, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    @contextmanager
    def _unless_superseded(self, number: int) -> Iterator[None]:
        """Hold the lock; raise Superseded where a newer query was asked."""
        with self._lock:
            if number != self._newest:
                raise Superseded
            yield

    def _say(self, kind: str, sentence: str) -> None:
        self.status = {"kind": kind, "text": sentence}


def _reason(error: Exception) -> str:
    message = " ".join(str(error).split())
    return message if message and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {message}"
