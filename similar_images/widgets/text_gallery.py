"""The notebook's interface to texts: a query, and the texts of a collection that mean most nearly the same."""

from collections.abc import Callable
from contextlib import suppress

from traitlets import Int

from similar_images import forks
from similar_images.collection import query as asking
from similar_images.collection.base import Hit
from similar_images.collection.query import Asked
from similar_images.collection.texts import TextCollection
from similar_images.index.exact import rows_except
from similar_images.inputs.texts import MAX_CHARACTERS
from similar_images.widgets import export, messages
from similar_images.widgets.hits import HitsWidget
from similar_images.widgets.search import CSS, page
from similar_images.widgets.words import Piece, Words

SHOWN = 600  # characters of a hit; the rest is a click away


class TextGallery(HitsWidget):
    """Shows the k texts of a collection that mean most nearly the same as one that is typed, or a random one."""

    _esm, _css = page("search.js", "hits.js", "filters.js", "text_gallery.js"), CSS
    characters = Int(MAX_CHARACTERS).tag(sync=True)  # of a query, at most

    def __init__(self, collection: TextCollection, k: int = 8, seed: int | None = None, language: str = "english"):
        """Words that a query has too are marked: those of a `language` of Snowball, of which it knows the endings.

        Raises ValueError for any other, and for a collection that is not of texts.
        """
        if not isinstance(collection, TextCollection):
            raise ValueError("expected a TextCollection, got another: open it with TextCollection.open(...)")
        super().__init__(collection, k, seed)
        searched = [collection.names[row] for row in rows_except(len(collection), collection.removed)]
        self._words, self._marking = Words(searched, language), forks.new_lock()
        self._in_background(self._load_network)
        self.search_random()

    def search_text(self, text: str, provisional: bool = False) -> None:
        """Search by a new text; one that is still being typed is not kept in the history once it has gone on."""

        def encoded(step: Callable[[str], None]) -> Asked:
            ask = lambda: asking.ask_text(self.collection, text, provisional)  # noqa: E731
            return ask() if self.collection.is_loaded else self._with_network(step, ask)

        self._search(encoded)

    def _load_network(self) -> None:
        """Load the network before the first text is typed."""
        with suppress(Exception):  # which the first query will tell
            self.collection.load_network()

    def _do(self, message: dict, buffers: list) -> None:
        match message.get("do"):
            case "text":
                self.search_text(messages.text(message, "text"), bool(message.get("provisional")))
            case "original":
                row = messages.row(message, len(self.collection))
                self.send({"show": "original", "row": row, "text": self.collection.names[row]})
            case _:
                super()._do(message, buffers)

    def _described(self, hit: Hit, asked: Asked, missed: set[int]) -> dict:
        pieces = self._pieces(hit.name, asked.name)
        return super()._described(hit, asked, missed) | {"pieces": pieces, "is_cut": len(hit.name) > SHOWN}

    def _pieces(self, text: str, query: str) -> list[Piece]:
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        with self._marking:  # Snowball keeps the word that it works on
            return self._words.marked(shown, query)

    def _exported(self, form: str, name: str, hits: list[Hit]) -> tuple[bytes, str]:
        if form != "csv":
            raise ValueError(f"expected csv, got {form}")
        return export.names_csv(hits, "text"), "text/csv"
