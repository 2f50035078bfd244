"""The notebook's gallery: a query, and the images of a collection that look most like it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from threading import Thread, main_thread

from PIL import Image
from traitlets import Bool, Int, List, observe, validate

from similar_images.collection import query as asking
from similar_images.collection.base import Hit, Query
from similar_images.collection.images import Collection
from similar_images.collection.query import Asked
from similar_images.inputs import images
from similar_images.inputs import web as fetching
from similar_images.inputs.images import UnreadableImage
from similar_images.networks import loader
from similar_images.networks.description import reads_text, reads_words
from similar_images.widgets import export, messages, why
from similar_images.widgets.history import Displayed
from similar_images.widgets.hits import HitsWidget
from similar_images.widgets.search import CSS, page
from similar_images.widgets.thumbnails import Thumbnail, Thumbnails, as_message
from similar_images.widgets.uploads import MAX_BYTES, MAX_TOTAL_BYTES, File, Upload

THUMBNAIL_SIDES = (160, 320, 640)  # pixels; the page says which one its cards need
SHOWN_AS_THEY_ARE = {"JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"}  # by browsers
NAMES = 20  # that the box proposes
EXAMPLE = "hf:openai/clip-vit-base-patch32"  # a network that reads words
LOADING = "similar-images-network"  # the thread that loads it
ORIGINAL_SIDE = 4000  # pixels; of originals in other formats, or too large to be sent


class Gallery(HitsWidget):
    """Shows the k images of a collection most like a random one, one on the web, or one of your own."""

    collection: Collection
    _esm, _css = page("search.js", "hits.js", "filters.js", "query.js", "opened.js", "gallery.js"), CSS
    _settable = HitsWidget._settable | {"side"}
    max_bytes = Int(MAX_BYTES).tag(sync=True)  # of an image that is uploaded
    max_total_bytes = Int(MAX_TOTAL_BYTES).tag(sync=True)  # of all images of an upload
    side = Int(THUMBNAIL_SIDES[1]).tag(sync=True)  # of the thumbnails, in pixels, as the page wants them
    reads_words = Bool(False).tag(sync=True)  # whether words are queries
    late: List = List().tag(sync=True)  # pictures that were made after `shown` was sent

    def __init__(self, collection: Collection, k: int = 8, seed: int | None = None, allow_private: bool = False):
        """With `allow_private`, addresses of this machine and of private networks are fetched too.

        Raises ValueError for a collection of texts.
        """
        if reads_text(collection.network):
            raise ValueError("expected images, got texts: show them with TextGallery(TextCollection.open(...))")
        super().__init__(collection, k, seed)
        self.set_trait("reads_words", reads_words(collection.network))
        self._allow_private = allow_private
        self._thumbnails = {side: Thumbnails(collection, side) for side in THUMBNAIL_SIDES}
        self._upload = Upload()
        self.search_random()
        Thread(target=_load_ahead, args=(collection, list(self._threads)), name=LOADING).start()

    def close(self) -> None:
        """Close the widget, and the threads that make its thumbnails."""
        if not self._is_closed:
            for thumbnails in self._thumbnails.values():
                thumbnails.close()
        super().close()

    def search_address(self, address: str) -> None:
        """Search by an image on the web, http or https."""

        def fetched(step: Callable[[str], None]) -> Asked:
            step(f"Fetching {address} …")
            content = fetching.fetch(address, self._allow_private)
            return self._with_network(step, lambda: asking.ask_image(self.collection, address, content))

        self._search(fetched)

    def search_bytes(self, name: str, content: bytes) -> None:
        """Search by the bytes of an image, as a file has them."""
        self.search_files([(name, content)])

    def search_files(self, files: Sequence[File]) -> None:
        """Search for what is like all of some images, each with its name and bytes."""

        def read(step: Callable[[str], None]) -> Asked:
            for name, content in files:
                if len(content) > MAX_BYTES:
                    raise UnreadableImage(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB")

            def each() -> Iterator[File]:
                for place, file in enumerate(files):
                    if place:  # a newer query ends this one between two images
                        step(
                            f"Searching with {asking.network_name(self.collection)}: image {place + 1} of {len(files)} …"
                        )
                    yield file

            return self._with_network(step, lambda: asking.ask_images(self.collection, each()))

        self._search(read)

    def search_name(self, name: str) -> None:
        """Search by the image of the collection that has a name, or whose name alone holds this text."""
        rows = self._rows_named(name, 2)
        if len(rows) == 1 or (rows and self.collection.names[rows[0]] == name):
            self.search_row(rows[0])
        else:
            known = "several names hold it: type more of one" if rows else "no name of the collection holds it"
            said = f"Not searched: {name}: {known}; an address begins with http:// or https://; words are read by other networks"
            self._say("failure", f"{said} than {asking.network_name(self.collection)}, such as {EXAMPLE}")

    def search_words(self, words: str) -> None:
        """Search by words, if the network reads them."""
        self._search(lambda step: self._with_network(step, lambda: asking.ask_words(self.collection, words)))

    def add_words(self, words: str, sign: int) -> None:
        """Search for more (1) or less (-1) like words too, beside the query that is shown."""
        asked = self.history.current
        if asked is None:
            self.search_words(words)
        else:
            self._search(
                lambda step: self._with_network(step, lambda: asking.ask_also(self.collection, asked, words, sign))
            )

    def search_text(self, text: str) -> None:
        """Search by what is typed: an address, a name of the collection, or words, if the network reads them.

        With + or - before them, words are added to the query that is shown.
        """
        sign = {"+": 1, "-": -1}.get(text[:1], 0)
        if "://" in text:
            self.search_address(text)
        elif not self.reads_words or self.collection.row_named(text) is not None:
            self.search_name(text)
        elif sign and text[1:].strip():
            self.add_words(text[1:].strip(), sign)
        else:
            self.search_words(text)

    def _rows_named(self, text: str, most: int) -> list[int]:
        """Return the first rows whose names hold a text, of upper or lower case; that of exactly this name first."""
        own = self.collection.row_named(text)
        wanted, found = text.casefold(), [] if own is None else [own]
        for row, name in enumerate(self.collection.names):
            if len(found) >= most:
                break
            if row != own and wanted in name.casefold():
                found.append(row)
        return found

    def search_part(self, box: asking.Box) -> None:
        """Search by a part of the query that is shown: left, top, right and bottom as shares of its width and height."""
        if displayed := self._displayed:
            asked = displayed.asked
            self._search(lambda step: self._with_network(step, lambda: asking.ask_part(self.collection, asked, box)))

    def search_whole(self) -> None:
        """Search by the whole of the query again, after a part of it."""
        if displayed := self._displayed:
            self._search(lambda step: asking.ask_whole(displayed.asked))

    @validate("side")
    def _as_they_are_made(self, proposal: dict) -> int:
        return next((side for side in THUMBNAIL_SIDES if side >= proposal["value"]), THUMBNAIL_SIDES[-1])

    @observe("side")
    def _with_other_thumbnails(self, _: dict) -> None:
        self.go(0)

    def _do(self, message: dict, buffers: list) -> None:
        match message.get("do"):
            case "address":
                self.search_text(messages.text(message, "address").strip())
            case "names":
                text = messages.text(message, "text")
                self._in_background(lambda: self._send_names(text))
            case "part":
                if self._displayed and message.get("number", self._displayed.number) != self._displayed.number:
                    raise ValueError("the query has changed since the box was drawn: draw it again")
                left, top, right, bottom = messages.shares(message, "box", 4)
                self.search_part((left, top, right, bottom))
            case "whole":
                self.search_whole()
            case "upload":
                if files := self._upload.receive(message, buffers):
                    self.search_files(files)
            case "original" | "why" as what:
                row, send = messages.row(message, len(self.collection)), self._send_original
                if what == "why":
                    send = self._send_why
                self._in_background(lambda: send(row))
            case _:
                super()._do(message, buffers)

    def _offer_filters(self) -> None:
        """Offer what is known, then also what EXIF says, which is read once."""
        super()._offer_filters()

        def progress(done: int, n: int) -> None:
            self._continue()
            self.reading = f"Reading dates and cameras: {done:,} of {n:,}" if done < n else ""

        if self.collection.source and self.collection.source.exists():
            try:
                self.collection.read_exif(progress)
            except OSError as error:  # it cannot be kept, or the images have gone
                self.reading = f"Dates and cameras are not known: {error}"
            super()._offer_filters()

    def _send_names(self, text: str) -> None:
        """Send the page names that hold a text, for its box."""
        rows = self._rows_named(text, NAMES) if text else []
        self.send({"show": "names", "text": text, "names": [self.collection.names[row] for row in rows]})

    def _show(self, number: int, asked: Asked, answer: asking.Answer) -> None:
        rows = [*(hit.row for hit in answer.hits), *(row for row in asked.rows if row is not None)]
        first = True
        for pictures in self._thumbnails[self.side].get(rows):
            with self._unless_superseded(number):
                if first:
                    self._displayed, first = Displayed(number, asked, answer.hits, len(answer.hits) < self.k), False
                    with self.hold_sync():
                        self.late = []
                        self.shown = self._pictured(number, asked, answer, pictures)
                        self._say("done", asking.describe(self.collection, asked, answer, self.exact, self._where))
                else:
                    self.late = [number, *({"row": row, **_picture(made)} for row, made in pictures.items())]

    def _pictured(self, number: int, asked: Asked, answer: asking.Answer, pictures: dict) -> dict:
        state = self._state(number, asked, answer)
        own = pictures.get(asked.row) if asked.picture is None else asked.picture
        words = asked.query.words if isinstance(asked.query, Query) else None
        state["query"] |= {"box": asked.box, "words": words, **_picture(own)}
        for hit in state["hits"]:
            hit |= _picture(pictures.get(hit["row"]))
        for shown, mark in zip(
            [*state["positives"], *state["negatives"]], [*asked.positives, *asked.negatives], strict=True
        ):
            shown |= _picture(mark.picture or pictures.get(mark.row))
        return state

    def _send_more(self, displayed: Displayed, start: int, hits: list[Hit]) -> None:
        about = self._further(displayed, start, hits)
        for made in self._thumbnails[self.side].get([hit.row for hit in hits]):
            pictures, buffers = as_message(made)
            self.send(about | pictures, buffers)
            about = {"show": "pictures", "number": displayed.number}

    def _send_original(self, row: int) -> None:
        name = self.collection.names[row]
        content, form, (width, height) = images.read_original(self.collection.image(row))
        if len(content) > MAX_BYTES or form not in SHOWN_AS_THEY_ARE:
            content = images.make_thumbnail(content, ORIGINAL_SIDE)
        size = f"{width} x {height} pixels"
        self.send({"show": "original", "row": row, "name": name, "size": size}, [content])

    def _send_why(self, row: int) -> None:
        if displayed := self._displayed:
            before, doing = self.status, why.doing(self.collection)
            self._say("busy", doing)
            about, pictures = why.compared(self.collection, displayed.asked, row)
            self.send({"show": "why", "number": displayed.number, **about}, pictures)
            if self.status["text"] == doing:
                self._say("done", before["text"] if before["kind"] == "done" else "")

    def _exported(self, form: str, name: str, hits: list[Hit]) -> tuple[bytes, str]:
        pictures: dict[int, Thumbnail] = {}
        if form != "csv":
            for made in self._thumbnails[THUMBNAIL_SIDES[1]].get([hit.row for hit in hits]):
                pictures |= made
        match form:
            case "csv":
                return export.names_csv(hits), "text/csv"
            case "png":
                return export.contact_picture(hits, pictures), "image/png"
            case "html":
                return export.contact_page(name, hits, pictures), "text/html"
        raise ValueError(f"expected csv, png or html, got {form}")


def _load_ahead(collection: Collection, searches: list[Thread]) -> None:
    """After the first hits, load a network that needs no download: the first new image need not wait for it.

    It holds no gallery, which a user may close meanwhile.
    """
    for search in searches:
        search.join()
    if main_thread().is_alive() and collection.network and loader.is_here(collection.network):
        with suppress(Exception):  # the first new image fails for the same reason, and shows it
            collection.encode(Image.new("RGB", (9, 9)))  # once: the backend also starts its threads


def _picture(made: bytes | str | None) -> dict:
    """Return what a page shows: JPEG bytes, or why there are none; neither while the picture is being made."""
    return {"picture": made if isinstance(made, bytes) else None, "absent": made if isinstance(made, str) else ""}
