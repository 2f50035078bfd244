"""The notebook's gallery of images: a query, and the most similar images of a collection."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Thread, main_thread
from typing import Any

from PIL import Image
from traitlets import Bool, Int, List, observe, validate

from similar_images.collection.encoder import Query
from similar_images.collection.images import Collection
from similar_images.collection.searcher import Hit
from similar_images.collection.session import Box, QueryState, ResultPage, network_name
from similar_images.inputs import images
from similar_images.inputs import web as fetching
from similar_images.inputs.images import UnreadableImage
from similar_images.networks import loader
from similar_images.networks.description import reads_text, reads_words
from similar_images.widgets import export, why
from similar_images.widgets.background import check_rows, shorten
from similar_images.widgets.bundles import read_bundle
from similar_images.widgets.replies import MoreHits, Names, Original
from similar_images.widgets.search import SearchWidget, Step
from similar_images.widgets.thumbnails import Thumbnail, Thumbnails, as_reply
from similar_images.widgets.uploads import MAX_BYTES, MAX_TOTAL_BYTES, File, Upload, UploadPart

THUMBNAIL_SIDES = (160, 320, 640)  # pixels; the page chooses the one for its cards
BROWSER_FORMATS = {"JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "BMP"}
MAX_PROPOSED_NAMES = 20
WORDS_NETWORK = "hf:openai/clip-vit-base-patch32"  # an example that reads words
NETWORK_THREAD = "similar-images-network"  # loads the network
ORIGINAL_SIDE = 4000  # pixels; of originals in other formats, or above MAX_BYTES


class Gallery(SearchWidget):
    """Shows the k most similar images to a random one, one on the web, or one of your own."""

    collection: Collection
    _esm, _css = read_bundle("gallery")
    _settable = SearchWidget._settable | {"side"}
    max_bytes = Int(MAX_BYTES).tag(sync=True)  # of an uploaded image
    max_total_bytes = Int(MAX_TOTAL_BYTES).tag(sync=True)  # of an upload
    side = Int(THUMBNAIL_SIDES[1]).tag(sync=True)  # pixels, of the thumbnails
    reads_words = Bool(False).tag(sync=True)  # whether words are queries
    late: Any = List().tag(sync=True)  # pictures made after `shown` was sent

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
        Thread(target=_load_network, args=(collection, list(self._threads)), name=NETWORK_THREAD).start()

    def _free(self) -> None:
        super()._free()
        for thumbnails in self._thumbnails.values():
            thumbnails.close()

    def search_address(self, address: str) -> None:
        """Search by an image on the web, http or https."""

        def fetch(step: Step) -> QueryState:
            step(f"Fetching {address} …")
            content = fetching.fetch(address, self._allow_private)
            return self._encode(step, lambda: self.session.query_image(address, content))

        self._search(fetch)

    def search_bytes(self, name: str, content: bytes) -> None:
        """Search by the bytes of an image file."""
        self.search_files([(name, content)])

    def search_files(self, files: Sequence[File]) -> None:
        """Search for images similar to all of some images, each with its name and bytes."""

        def read(step: Step) -> QueryState:
            for name, content in files:
                if len(content) > MAX_BYTES:
                    raise UnreadableImage(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB")

            def each() -> Iterator[File]:
                network = network_name(self.collection)
                for place, file in enumerate(files):
                    if place:  # a newer query cancels this one between two images
                        step(f"Searching with {network}: image {place + 1} of {len(files)} …")
                    yield file

            return self._encode(step, lambda: self.session.query_images(each()))

        self._search(read)

    def search_name(self, name: str) -> None:
        """Search by the image with this name, or the only one whose name contains this text."""
        rows = self.session.find_names(name, 2)
        if len(rows) == 1 or (rows and self.collection.names[rows[0]] == name):
            self.search_row(rows[0])
        else:
            reason = "several names contain it: type more" if rows else "no name of the collection contains it"
            network = network_name(self.collection)
            self._set_status(
                "failure",
                f"Not searched: {name}: {reason}; an address begins with http:// or https://; to search by words, use a "
                f"network that reads them, such as {WORDS_NETWORK}, instead of {network}",
            )

    def search_words(self, words: str) -> None:
        """Search by words, if the network reads them."""
        self._search(lambda step: self._encode(step, lambda: self.session.query_words(words)))

    def add_words(self, words: str, sign: int) -> None:
        """Search for more (1) or less (-1) like words, in addition to the present query."""
        state = self.session.history.current
        if state is None:
            self.search_words(words)
        else:
            self._search(lambda step: self._encode(step, lambda: self.session.add_words(state, words, sign)))

    def search_text(self, text: str) -> None:
        """Search by typed text: an address, a name of the collection, or words, if the network reads them.

        Words after + or - are added to the present query.
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

    def search_part(self, box: Box) -> None:
        """Search by a part of the present query: left, top, right and bottom as shares of its width and height."""
        if displayed := self._displayed:
            state = displayed.page.state
            self._search(lambda step: self._encode(step, lambda: self.session.query_part(state, box)))

    def search_whole(self) -> None:
        """Search by the entire query again, after a part of it."""
        if displayed := self._displayed:
            self._search(lambda step: self.session.query_whole(displayed.page.state))

    @validate("side")
    def _choose_side(self, proposal: dict[str, Any]) -> int:
        return next((side for side in THUMBNAIL_SIDES if side >= proposal["value"]), THUMBNAIL_SIDES[-1])

    @observe("side")
    def _replace_thumbnails(self, _: object) -> None:
        self.go(0)

    def _answer_address(self, address: str) -> None:
        self.search_text(address.strip())

    def _answer_names(self, text: str) -> None:
        self._run(lambda: self._send_names(text))

    def _answer_part(self, box: Box, number: int = -1) -> None:
        """Search by a part of the query of answer `number`; -1: unknown."""
        if self._displayed and number not in (-1, self._displayed.number):
            raise ValueError("the query has changed since the box was drawn: draw it again")
        left, top, right, bottom = box  # a list in JSON
        self.search_part((left, top, right, bottom))

    _answer_whole = search_whole

    def _answer_upload(self, part: UploadPart) -> None:
        if files := self._upload.receive(part):
            self.search_files(files)

    def _answer_original(self, row: int) -> None:
        check_rows([row], len(self.collection))
        self._run(lambda: self._send_original(row))

    def _answer_why(self, row: int) -> None:
        check_rows([row], len(self.collection))
        self._run(lambda: self._send_explanation(row))

    def _send_names(self, text: str) -> None:
        rows = self.session.find_names(text, MAX_PROPOSED_NAMES) if text else []
        self._reply(Names(text, [self.collection.names[row] for row in rows]))

    def _offer_filters(self) -> None:
        """Offer the known columns, then also the columns from EXIF, after reading it once."""
        super()._offer_filters()

        def progress(done: int, n: int) -> None:
            self._check_open()
            self.reading = f"Reading EXIF: {done:,} of {n:,}" if done < n else ""

        if self.collection.source and self.collection.source.exists():
            try:
                self.collection.read_exif(progress)
            except OSError as error:  # the cache is not writeable, or the images are gone
                self.reading = f"EXIF is unknown: {error}"
            super()._offer_filters()

    def _show(self, number: int, page: ResultPage) -> None:
        """Display a result page with the first pictures; late ones follow."""
        is_first = True
        for pictures in self._thumbnails[self.side].get([*(hit.row for hit in page.hits), *page.state.rows]):
            with self._unless_superseded(number):
                if is_first:
                    is_first = False
                    with self.hold_sync():
                        self.late = []
                        self._display(number, page, self._add_pictures(self._state(number, page), page.state, pictures))
                else:
                    self.late = [number, *({"row": row, **_picture(made)} for row, made in pictures.items())]

    def _add_pictures(self, shown: dict[str, Any], state: QueryState, pictures: dict[int, Thumbnail]) -> dict[str, Any]:
        def find(picture: bytes | None, row: int | None) -> dict[str, Any]:
            return _picture(picture if picture is not None or row is None else pictures.get(row))

        words = state.query.words if isinstance(state.query, Query) else None
        shown["query"] |= {"box": state.box, "words": words, **find(state.picture, state.row)}
        for card in shown["hits"]:
            card |= find(None, card["row"])
        for card, mark in zip([*shown["positives"], *shown["negatives"]], state.marks, strict=True):
            card |= find(mark.picture, mark.row)
        return shown

    def _send_more(self, more: MoreHits) -> None:
        is_first = True
        for made in self._thumbnails[self.side].get([hit["row"] for hit in more.hits]):
            pictures, buffers = as_reply(made, more.number)
            first = replace(more, pictures=pictures.pictures, absent=pictures.absent)
            self._reply(first if is_first else pictures, buffers)
            is_first = False

    def _send_original(self, row: int) -> None:
        name = self.collection.names[row]
        content, form, (width, height) = images.read_original(self.collection.image(row))
        if len(content) > MAX_BYTES or form not in BROWSER_FORMATS:
            content = images.make_thumbnail(content, ORIGINAL_SIDE)
        self._reply(Original(row, name, f"{width} x {height} pixels"), [content])

    def _send_explanation(self, row: int) -> None:
        if displayed := self._displayed:
            before, name = self.status, network_name(self.collection)
            loading = f"Loading {name} to compare with the query …"
            step = "Comparing with the query …" if self.collection.is_loaded else loading
            self._set_status("busy", step)
            explanation, pictures = why.explain(self.session, displayed.page.state, displayed.number, row)
            self._reply(explanation, pictures)
            if self.status["text"] == step:
                self._set_status("done", before["text"] if before["kind"] == "done" else "")

    def _export(self, form: str, name: str, hits: list[Hit]) -> tuple[bytes, str]:
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
        raise ValueError(f"expected csv, png or html, got {shorten(form)}")


def _load_network(collection: Collection, searches: list[Thread]) -> None:
    """After the first hits, load a network that needs no download: the first new image need not wait for it.

    The thread has no reference to the gallery, which a user may close meanwhile.
    """
    for search in searches:
        search.join()
    if main_thread().is_alive() and collection.network and loader.is_here(collection.network):
        with suppress(Exception):  # the first new image fails for the same reason, and shows it
            collection.encode(Image.new("RGB", (9, 9)))  # once: the backend also starts its threads


def _picture(made: Thumbnail | None) -> dict[str, Any]:
    """Return a picture for the page: JPEG bytes, or the reason of its absence; neither before it is made."""
    return {"picture": made if isinstance(made, bytes) else None, "absent": made if isinstance(made, str) else ""}
