"""The notebook's interface: a query, and the images of a collection that look most like it."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from itertools import cycle
from time import perf_counter
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np

from similar_images import images
from similar_images.collection import Collection, Hit
from similar_images.images import UnreadableImage

THUMBNAIL_SIDE = 320  # pixels: twice what a card shows, for dense screens
MAX_UPLOAD_BYTES = 25_000_000  # Jupyter's server, where it is not told otherwise, drops above 10 MiB without a word
NAME_END = 12  # characters of a name that are always shown: what is too long is left out before them

# What a person should know of a network before trusting its hits.
CAVEATS = {
    "hog-colour": "This collection was made with hog-colour, which compares colour and shape only; "
    "VGG16 sees what is in a picture.",
}

STYLE = """<style>
.similar-images { gap: 8px; padding: 4px; color: var(--jp-ui-font-color1); }
.similar-images p { margin: 0; line-height: 1.4; overflow-wrap: anywhere; }
.similar-images .caveat { color: var(--jp-ui-font-color2); }
.similar-images .failure { color: var(--jp-error-color1); }
.similar-images .widget-html-content { min-width: 0; }
.similar-images-controls { display: flex; flex-flow: row wrap; gap: 8px 12px; overflow: visible; }
.similar-images-controls > * { margin: 0; width: auto; }
.similar-images-controls > .widget-text { flex: 0 1 360px; }
.similar-images-controls > .widget-upload { font-size: 0; }  /* its label is a count of files */
.similar-images-controls > .widget-upload > i { font-size: var(--jp-widgets-font-size); }
.similar-images-controls > .widget-upload::after { content: "Upload image, up to 10 MB"; font-size: var(--jp-widgets-font-size); }
.similar-images-answer { display: flex; flex-flow: row wrap; gap: 16px; align-items: flex-start; overflow: visible; }
.similar-images-query { flex: 0 1 250px; min-width: 0; margin: 0; }
.similar-images-hits {
  flex: 1 1 460px; display: grid; gap: 12px; overflow: visible;
  grid-template-columns: repeat(auto-fill, minmax(max(135px, (100% - 36px) / 4), 1fr));  /* at most four */
}
.similar-images-card {
  border: 1px solid var(--jp-border-color2); border-radius: 4px; background: var(--jp-layout-color1);
}
.similar-images-card > .widget-html { margin: 0; }
.similar-images figure { margin: 0; line-height: 1.4; }
.similar-images figure > :first-child {
  display: flex; width: 100%; aspect-ratio: 4 / 3; margin: 0; object-fit: contain; background: var(--jp-layout-color2);
}
.similar-images figure > .absent {
  align-items: center; justify-content: center; box-sizing: border-box; padding: 8px; overflow: hidden;
  text-align: center; color: var(--jp-ui-font-color2);
}
.similar-images figcaption { display: flex; padding: 4px 6px 0; white-space: pre; }
.similar-images figcaption span:first-child { overflow: hidden; text-overflow: ellipsis; }
.similar-images figcaption b { margin-left: auto; padding-left: 8px; font-variant-numeric: tabular-nums; }
</style>"""


class Answer(NamedTuple):
    """The hits of a query, with what it took to find them."""

    name: str
    picture: bytes | UnreadableImage  # the query as a JPEG thumbnail, or why there is none
    hits: list[Hit]
    encoding: float | None  # seconds in the network; None: the vector was stored
    searching: float  # seconds


def ask_row(collection: Collection, row: int, k: int) -> Answer:
    """Search by an image of the collection. Raises ValueError for one that was skipped."""
    return _answer(collection, row, k, collection.names[row], thumbnail(collection, row))


def ask_image(collection: Collection, name: str, content: bytes, k: int) -> Answer:
    """Search by the bytes of a new image. Raises UnreadableImage, and what loading the network raises."""
    try:
        image = images.open_image(content)
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error}") from error
    collection.load_network()
    started = perf_counter()
    query = collection.encode(image)
    encoding = perf_counter() - started
    return _answer(collection, query, k, name, images.thumbnail(image, THUMBNAIL_SIDE), encoding)


def thumbnail(collection: Collection, row: int) -> bytes | UnreadableImage:
    """Return an image of the collection as JPEG bytes, or why it cannot be shown."""
    try:
        return images.thumbnail(collection.image(row), THUMBNAIL_SIDE)
    except ValueError as error:
        return UnreadableImage(error)


def shuffled(collection: Collection, seed: int | None = None) -> Iterator[int]:
    """Yield the rows that have a vector in random order, then again from the start; none where none has."""
    rows = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(collection)), collection.removed))
    return cycle(int(row) for row in rows if collection.vectors.array[row].any())


def describe(collection: Collection, answer: Answer) -> str:
    """Say what a search went through, what its parts took, and whether what it found is like the query at all."""
    way = f"{collection.recipe} index of" if collection.index else "exact search in"
    encoding = "stored vector" if answer.encoding is None else f"network {_milliseconds(answer.encoding)}"
    took = f"{encoding}, search {_milliseconds(answer.searching)}"
    strange = ". Nothing in this collection is like it" if collection.is_like_nothing(answer.hits) else ""
    return f"{network_name(collection)}, {way} {len(collection):,} images: {took}{strange}"


def network_name(collection: Collection) -> str:
    return collection.network["name"] if collection.network else "an unknown network"


class Gallery(widgets.VBox):
    """Shows the k images of a collection that look most like a random one, one on the web, or an uploaded one."""

    def __init__(self, collection: Collection, k: int = 8, seed: int | None = None):
        self.collection, self.k = collection, k
        self._rows = shuffled(collection, seed)
        self.random = widgets.Button(description="Random image", icon="random")
        self.address = widgets.Text(
            description="Web address", placeholder="https://…", style={"description_width": "initial"}
        )
        self.search = widgets.Button(description="Search", icon="search")
        self.upload = widgets.FileUpload(description="", accept="image/*")
        self.status, self.caveat, self.query = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.cards = [Card(self.search_row) for _ in range(k)]
        self.hits = widgets.Box()
        self._controls = [self.random, self.address, self.search, self.upload, *(card.button for card in self.cards)]

        self.random.on_click(lambda _: self.search_random())
        self.search.on_click(lambda _: self.search_address())
        self.address.on_msg(lambda _, message, __: message.get("event") == "submit" and self.search_address())
        self.upload.observe(self._uploaded, "value")
        self._lay_out()
        self.search_random()

    def search_random(self) -> None:
        with self._at_work():
            row = next(self._rows, None)
            if row is None:
                raise ValueError("no image of this collection has a vector: all were skipped")
            self._show(ask_row(self.collection, row, self.k))

    def search_row(self, row: int) -> None:
        with self._at_work():
            self._show(ask_row(self.collection, row, self.k))

    def search_address(self) -> None:
        address = self.address.value.strip()
        with self._at_work(f"Fetching {address} …"):
            self._search_image(address, images.fetch(address))

    def search_upload(self, name: str, content: bytes) -> None:
        with self._at_work(f"Reading {name} …"):
            if len(content) > MAX_UPLOAD_BYTES:
                raise UnreadableImage(f"{name} is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB")
            self._search_image(name, content)

    def _search_image(self, name: str, content: bytes) -> None:
        self._say(f"Searching with {network_name(self.collection)}, which is loaded for the first search …")
        self._show(ask_image(self.collection, name, content, self.k))

    def _uploaded(self, change: dict) -> None:
        for file in change["new"]:
            self.upload.value = ()  # so that the same file can be uploaded again
            self.search_upload(file["name"], bytes(file["content"]))

    def _show(self, answer: Answer) -> None:
        self.query.value = figure(answer.picture, answer.name, "query")
        for card, hit in zip(self.cards, answer.hits, strict=False):
            card.show(hit, thumbnail(self.collection, hit.row))
        self.hits.children = self.cards[: len(answer.hits)]
        self._say(describe(self.collection, answer))

    def _say(self, sentence: str, kind: str = "status") -> None:
        role = "alert" if kind == "failure" else "status"
        self.status.value = f'<p class="{kind}" role="{role}">{escape(sentence)}</p>'

    @contextmanager
    def _at_work(self, sentence: str = "") -> Iterator[None]:
        """Disable the controls where there is a sentence that says what is waited for; tell what fails."""
        if sentence:
            self._say(sentence)
            self._enable(False)
        try:
            yield
        except Exception as error:  # a click has no caller to raise to: whatever fails is told to the user
            self._say(f"Not searched: {_reason(error)}", "failure")
        finally:
            self._enable(True)

    def _enable(self, enabled: bool) -> None:
        for control in self._controls:
            control.disabled = not enabled

    def _lay_out(self) -> None:
        controls = widgets.Box([self.random, self.address, self.search, self.upload])
        answer = widgets.Box([self.query, self.hits])
        caveat = CAVEATS.get(network_name(self.collection), "")
        self.caveat.value = caveat and f'<p class="caveat">{escape(caveat)}</p>'
        for widget, name in (
            (self, "similar-images"),
            (controls, "similar-images-controls"),
            (answer, "similar-images-answer"),
            (self.query, "similar-images-query"),
            (self.hits, "similar-images-hits"),
        ):
            widget.add_class(name)
        super().__init__([widgets.HTML(STYLE), controls, self.status, self.caveat, answer])


class Card(widgets.VBox):
    """A hit: its picture, name and similarity, and a button to search by it."""

    def __init__(self, search: Callable[[int], None]):
        self.row = -1
        self.figure = widgets.HTML()
        self.button = widgets.Button(description="Search by this", layout={"width": "auto"})
        self.button.on_click(lambda _: search(self.row))
        super().__init__([self.figure, self.button])
        self.add_class("similar-images-card")

    def show(self, hit: Hit, picture: bytes | UnreadableImage) -> None:
        self.row = hit.row
        self.figure.value = figure(picture, hit.name, f"{hit.similarity:.2f}")
        self.button.tooltip = f"Search by {hit.name}"


def figure(picture: bytes | UnreadableImage, name: str, note: str) -> str:
    """Return HTML: the picture, or why there is none, above its name and a note."""
    full = escape(name)
    if isinstance(picture, bytes):
        shown = f'<img src="data:image/jpeg;base64,{b64encode(picture).decode()}" alt="{full}">'
    else:
        shown = f'<span class="absent">{escape(str(picture))}</span>'
    start, end = escape(name[:-NAME_END]), escape(name[-NAME_END:])
    caption = f"<span>{start}</span><span>{end}</span><b>{escape(note)}</b>"
    label = f'title="{full}" aria-label="{full}, {escape(note)}"'
    return f"<figure {label}>{shown}<figcaption>{caption}</figcaption></figure>"


def _answer(
    collection: Collection,
    query: object,
    k: int,
    name: str,
    picture: bytes | UnreadableImage,
    encoding: float | None = None,
) -> Answer:
    started = perf_counter()
    hits = collection.nearest(query, k)
    return Answer(name, picture, hits, encoding, perf_counter() - started)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"


def _reason(error: Exception) -> str:
    message = " ".join(str(error).split())
    return message if message and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {message}"
