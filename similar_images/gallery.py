"""The notebook's interface: a query, and the images of a collection that look most like it.

One widget with its own small page (gallery.js): what is shown is state, which a page that is loaded anew gets again;
what a person does arrives as messages. All work is done off the kernel's thread, and a new query ends the last one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock, Thread

import anywidget
from PIL import Image
from traitlets import Bool, Dict, Int, List, Unicode, observe, validate

from similar_images import asking, export, fetching, images
from similar_images.asking import Asked
from similar_images.collection import Collection, Hit
from similar_images.images import UnreadableImage
from similar_images.thumbnails import Thumbnails

HERE = Path(__file__).parent
MAX_HITS = 200
MAX_BYTES = 25_000_000  # of an upload, which arrives in parts: Jupyter's server drops messages above 10 MiB
THUMBNAIL_SIDES = (160, 320, 640)  # pixels; the page says which one its cards need
REMEMBERED = 50  # queries to go back to
SHOWN_AS_THEY_ARE = {"JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"}  # by browsers
ORIGINAL_SIDE = 4000  # pixels; of originals in other formats, or too large to be sent


def page(name: str) -> str:
    """Return the JavaScript of a widget with what they share: a widget's page is one file."""
    return (HERE / "page.js").read_text(encoding="utf-8") + (HERE / name).read_text(encoding="utf-8")


class Superseded(Exception):
    """A newer query was asked meanwhile."""


class History:
    """The queries that were asked, to go back and forward in, as in a browser."""

    def __init__(self):
        self.asked: list[Asked] = []
        self.at = -1

    def add(self, asked: Asked) -> None:
        self.asked = [*self.asked[: self.at + 1], asked][-REMEMBERED:]
        self.at = len(self.asked) - 1

    def step(self, steps: int) -> Asked | None:
        """Go back or forward; None where there is no further query."""
        if not 0 <= self.at + steps < len(self.asked):
            return None
        self.at += steps
        return self.asked[self.at]


class Gallery(anywidget.AnyWidget):
    """Shows the k images of a collection that look most like a random one, one on the web, or one of yours.

    `k` and `exact` can be set, by the page and in code; every `search_...` returns at once, `wait` waits for it.
    """

    _esm, _css = page("gallery.js"), HERE / "widgets.css"
    k = Int(8).tag(sync=True)
    exact = Bool(False).tag(sync=True)
    has_index = Bool(False).tag(sync=True)
    max_bytes = Int(MAX_BYTES).tag(sync=True)
    caveat = Unicode().tag(sync=True)
    side = Int(THUMBNAIL_SIDES[1]).tag(sync=True)  # of the thumbnails, in pixels, as the page wants them
    status = Dict({"kind": "busy", "text": ""}).tag(sync=True)  # kind: busy, done or failure
    shown = Dict().tag(sync=True)  # the query and its hits, with their pictures
    late = List().tag(sync=True)  # pictures that were made after `shown` was sent

    def __init__(self, collection: Collection, k: int = 8, seed: int | None = None, allow_private: bool = False):
        """With `allow_private` addresses of this machine and of private networks are fetched too."""
        super().__init__()
        self._allow_private = allow_private
        self.collection, self.history = collection, History()
        self._rows = asking.shuffled(collection, seed)
        self._thumbnails = {side: Thumbnails(collection, side) for side in THUMBNAIL_SIDES}
        self._hits: list[Hit] = []
        self._lock, self._newest, self._threads = Lock(), 0, []
        self._upload = bytearray()
        self.set_trait("k", k)
        self.set_trait("has_index", collection.index is not None)
        self.set_trait("caveat", asking.CAVEATS.get(asking.network_name(collection), ""))
        self.on_msg(self._told)
        self.search_random()

    def search_random(self) -> None:
        """Search by an image of the collection, another one each time until all were shown."""
        row = next(self._rows, None)
        if row is None:
            self._say("failure", "Not searched: no image of this collection has a vector: all were skipped")
        else:
            self.search_row(row)

    def search_row(self, row: int) -> None:
        """Search by an image of the collection."""
        self._search(lambda step: asking.ask_row(self.collection, row))

    def search_address(self, address: str) -> None:
        """Search by an image on the web, http or https."""

        def fetched(step: Callable[[str], None]) -> Asked:
            step(f"Fetching {address} …")
            content = fetching.fetch(address, self._allow_private)
            return self._new_image(address, content, step)

        self._search(fetched)

    def search_bytes(self, name: str, content: bytes) -> None:
        """Search by the bytes of an image, as a file has them."""

        def read(step: Callable[[str], None]) -> Asked:
            if len(content) > MAX_BYTES:
                raise UnreadableImage(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB")
            return self._new_image(name, content, step)

        self._search(read)

    def search_part(self, box: asking.Box) -> None:
        """Search by a part of the query: left, top, right and bottom as shares of its width and height."""
        if self.history.at >= 0:
            asked = self.history.asked[self.history.at]
            self._search(lambda step: self._with_network(step, lambda: asking.ask_part(self.collection, asked, box)))

    def search_whole(self) -> None:
        """Search by the whole of the query again, after a part of it."""
        if self.history.at >= 0:
            asked = self.history.asked[self.history.at]
            self._search(lambda step: asking.ask_whole(asked))

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

    @validate("side")
    def _as_they_are_made(self, proposal: dict) -> int:
        return next((side for side in THUMBNAIL_SIDES if side >= proposal["value"]), THUMBNAIL_SIDES[-1])

    @observe("k", "exact", "side")
    def _once_more(self, _: dict) -> None:
        if self.history.at >= 0:
            self.go(0)

    def _told(self, _: object, message: dict, buffers: list) -> None:
        """Do what the page asks for."""
        try:
            self._do(message.get("do"), message, buffers)
        except Exception as error:  # a message has no caller to raise to: whatever fails is told to the user
            self._say("failure", f"Not done: {_reason(error)}")

    def _do(self, what: str, message: dict, buffers: list) -> None:
        match what:
            case "random":
                self.search_random()
            case "row":
                self.search_row(int(message["row"]))
            case "address":
                self.search_address(str(message["address"]).strip())
            case "part":
                self.search_part(tuple(float(share) for share in message["box"]))
            case "whole":
                self.search_whole()
            case "go":
                self.go(int(message["steps"]))
            case "upload":
                self._receive(message, bytes(buffers[0]))
            case "original":
                self._in_background(lambda: self._send_original(int(message["row"])))
            case "export":
                rows = {int(row) for row in message["rows"]}
                chosen = [hit for hit in self._hits if hit.row in rows]
                self._in_background(lambda: self._export(message["form"], chosen))

    def _receive(self, message: dict, part: bytes) -> None:
        """Put the parts of a file together; search by it once it is whole."""
        if message["start"] == 0:
            self._upload = bytearray()
        if message["start"] != len(self._upload) or len(self._upload) + len(part) > MAX_BYTES:
            raise UnreadableImage(f"{message['name']} is larger than {MAX_BYTES / 1e6:.0f} MB, or came in disorder")
        self._upload += part
        if len(self._upload) >= message["size"]:
            content, self._upload = bytes(self._upload), bytearray()
            self.search_bytes(str(message["name"]), content)

    def _new_image(self, name: str, content: bytes, step: Callable[[str], None]) -> Asked:
        return self._with_network(step, lambda: asking.ask_image(self.collection, name, content))

    def _with_network(self, step: Callable[[str], None], ask: Callable[[], Asked]) -> Asked:
        name = asking.network_name(self.collection)
        step(f"Searching with {name} …" if self.collection.is_loaded else f"Loading {name} for the first new image …")
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
        rows = [hit.row for hit in answer.hits]
        if asked.row is not None:
            rows.append(asked.row)
        first = True
        for pictures in self._thumbnails[self.side].get(rows):
            with self._unless_superseded(number):
                if first:
                    self._hits, first = answer.hits, False
                    with self.hold_sync():
                        self.late = []
                        self.shown = self._state(number, asked, answer, pictures)
                        self._say("done", asking.describe(self.collection, asked, answer, self.exact))
                else:
                    self.late = [number, *({"row": row, **_picture(made)} for row, made in pictures.items())]

    def _state(self, number: int, asked: Asked, answer: asking.Answer, pictures: dict) -> dict:
        own = pictures.get(asked.row) if asked.picture is None else asked.picture
        return {
            "number": number,
            "query": {"name": asked.name, "row": asked.row, "box": asked.box, **_picture(own)},
            "hits": [
                {
                    "row": hit.row,
                    "name": hit.name,
                    "similarity": hit.similarity,
                    "meaning": asking.meaning(self.collection, hit.similarity),
                    "same": hit.similarity >= asking.SAME,
                    "missed": hit.row in answer.missed,
                    **_picture(pictures.get(hit.row)),
                }
                for hit in answer.hits
            ],
            "unlike": self.collection.is_like_nothing(answer.hits),
            "changes": asking.changes(answer, len(answer.hits)) if self.exact and self.has_index else "",
            "back": self.history.at > 0,
            "forward": self.history.at + 1 < len(self.history.asked),
        }

    def _send_original(self, row: int) -> None:
        name, content = self.collection.names[row], self.collection.image(row)
        content = content.read_bytes() if isinstance(content, Path) else content
        with Image.open(BytesIO(content), formats=images.FORMATS) as opened:
            size, form = f"{opened.width} x {opened.height} pixels", opened.format
        if len(content) > MAX_BYTES or form not in SHOWN_AS_THEY_ARE:
            content = images.thumbnail(content, ORIGINAL_SIDE)
        self.send({"show": "original", "row": row, "name": name, "size": size}, [content])

    def _export(self, form: str, hits: list[Hit]) -> None:
        """Send hits as a file: csv, png or html."""
        if not hits:
            raise ValueError("expected hits that are ticked, got none")
        asked = self.history.asked[self.history.at]
        pictures = {}
        if form != "csv":
            for made in self._thumbnails[THUMBNAIL_SIDES[1]].get([hit.row for hit in hits]):
                pictures |= made
        made = {
            "csv": lambda: (export.names_csv(hits), "text/csv"),
            "png": lambda: (export.contact_picture(hits, pictures), "image/png"),
            "html": lambda: (export.contact_page(asked.name, hits, pictures), "text/html"),
        }
        content, kind = made[form]()
        self.send({"show": "file", "name": f"similar-images.{form}", "type": kind}, [content])

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


def _picture(made: bytes | str | None) -> dict:
    """Return what a page shows: JPEG bytes, or why there are none; nothing for a picture that is still to be made."""
    return {"picture": made if isinstance(made, bytes) else None, "absent": made if isinstance(made, str) else ""}


def _reason(error: Exception) -> str:
    message = " ".join(str(error).split())
    return message if message and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {message}"
