"""The notebook's gallery of texts: a query, and the texts of a collection with the most similar meaning."""

from contextlib import suppress
from functools import partial

from traitlets import Int

from similar_images import forks
from similar_images.collection.searcher import Hit
from similar_images.collection.session import QueryState, ResultPage
from similar_images.collection.texts import TextCollection
from similar_images.index.exact import rows_except
from similar_images.inputs.texts import MAX_CHARACTERS
from similar_images.widgets import export
from similar_images.widgets.background import check_rows
from similar_images.widgets.bundles import read_bundle
from similar_images.widgets.replies import Card, Original
from similar_images.widgets.search import SearchWidget, Step
from similar_images.widgets.words import Piece, Words

CARD_CHARACTERS = 600  # of a hit; a click shows the rest


class TextGallery(SearchWidget):
    """Shows the k texts of a collection closest in meaning to a typed or random text."""

    _esm, _css = read_bundle("text_gallery")
    characters = Int(MAX_CHARACTERS).tag(sync=True)  # of a query, at most

    def __init__(self, collection: TextCollection, k: int = 8, seed: int | None = None, language: str = "english"):
        """Marks words of the query in the hits, with any ending: `language` is one of Snowball's.

        Raises ValueError for an unknown language, and for a collection of images.
        """
        if not isinstance(collection, TextCollection):
            raise ValueError("expected a TextCollection, got another: open it with TextCollection.open(...)")
        super().__init__(collection, k, seed)
        searched = [collection.names[row] for row in rows_except(len(collection), collection.removed)]
        self._words, self._words_lock = Words(searched, language), forks.new_lock()
        self._run(self._load_network)
        self.search_random()

    def search_text(self, text: str, provisional: bool = False) -> None:
        """Search by a new text; the next text replaces a provisional one in the history."""

        def encode(step: Step) -> QueryState:
            make = partial(self.session.query_text, text, provisional)
            return make() if self.collection.is_loaded else self._encode(step, make)

        self._search(encode)

    def _load_network(self) -> None:
        """Load the network before the first text is typed."""
        with suppress(Exception):  # the first query shows it
            self.collection.load_network()

    _answer_text = search_text

    def _answer_original(self, row: int) -> None:
        check_rows([row], len(self.collection))
        self._reply(Original(row, text=self.collection.names[row]))

    def _card(self, hit: Hit, page: ResultPage) -> Card:
        pieces = self._mark_words(hit.name, page.state.name)
        return super()._card(hit, page) | {"pieces": pieces, "is_cut": len(hit.name) > CARD_CHARACTERS}

    def _mark_words(self, text: str, query: str) -> list[Piece]:
        cut = text if len(text) <= CARD_CHARACTERS else f"{text[: CARD_CHARACTERS - 1]}…"
        with self._words_lock:  # Snowball's stemmer has state
            return self._words.mark(cut, query)

    def _export(self, form: str, name: str, hits: list[Hit]) -> tuple[bytes, str]:
        if form != "csv":
            raise ValueError(f"expected csv, got {form}")
        return export.names_csv(hits, "text"), "text/csv"
