"""Collection of texts, searched by meaning."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.collection.base import BaseCollection, open_index
from similar_images.collection.encoder import QueryEncoder
from similar_images.collection.queries import Query
from similar_images.collection.store import Store
from similar_images.index.index import Index
from similar_images.inputs.texts import (
    ENCODING,
    read_columns,
    read_texts,
    rejection_reason,
    text_list_path,
    to_one_line,
)
from similar_images.networks import text as text_networks
from similar_images.networks.description import NetworkDescription, reads_text
from similar_images.networks.text import TextEncoder
from similar_images.vectors.store import Vectors, open_vectors, vectors_path

TWEETS = Path("tweets/texts_20k.csv")  # by scripts/get_sentiment140.sh
TWEETS_INDEX = Path("tweets/tweets_20000.faiss.index")
DOCSTRINGS = Path("docstrings_list.txt")  # by make sample-text
MAX_ENCODED_ROWS = 10_000  # cached vectors of rows without stored vectors


class TextQueryEncoder(QueryEncoder[TextEncoder]):
    """Encodes new texts."""

    accepts = "a text (str)"

    def __init__(self, network: NetworkDescription, source: str):
        """`source` is the name or the folder of the network, as text_networks.load_text_network takes it."""
        super().__init__(network)
        self.source = source

    def encode(self, new: str) -> Query:
        if not isinstance(new, str):
            raise self.type_error(new)
        if reason := rejection_reason(new):
            raise ValueError(f"expected a text to search for: {reason}")
        encoder = self.load()
        return Query(encoder.encode_text(to_one_line(new)), encoder.description)

    def _open(self) -> TextEncoder:
        return text_networks.load_text_network(self.source)


class TextStore(Store):
    """Texts; missing vectors are encoded again."""

    encodes_rows = True

    def __init__(self, vectors: Vectors, encoder: TextQueryEncoder):
        super().__init__(vectors, "text")
        self._encoder = encoder
        self._encoded: LRUCache[int, np.ndarray] = LRUCache(MAX_ENCODED_ROWS)
        self._lock = forks.new_lock()

    def was_skipped(self, row: int) -> bool:
        return super().was_skipped(row) if self.has_vectors else rejection_reason(self.names[row]) is not None

    def vector(self, row: int) -> np.ndarray:
        if self.has_vectors or not 0 <= row < len(self):
            return super().vector(row)
        if reason := rejection_reason(self.names[row]):
            raise ValueError(f"{self.names[row]} has no vector, it was skipped: {reason}")
        return np.asarray(self.encode_rows([row])[0])

    def encode_rows(self, rows: Sequence[int]) -> np.ndarray:
        encoder = self._encoder.load()
        with self._lock:
            vectors = {row: self._encoded[row] for row in rows if row in self._encoded}
            if missing := [row for row in rows if row not in vectors]:
                encoded = encoder.encode([self.names[row] for row in missing])
                vectors.update(zip(missing, encoded, strict=True))
                self._encoded.update(vectors)  # which may drop rows of this very call
        return np.stack([vectors[row] for row in rows])


class TextCollection(BaseCollection[TextEncoder]):
    """Texts that can be searched by meaning; their names are the texts themselves.

    >>> collection = TextCollection.open("tweets/texts_20k.csv", index="tweets/tweets_20000.faiss.index")
    >>> collection.nearest("stuck in traffic", k=8)
    """

    noun = "text"
    encoder: TextQueryEncoder

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError if the vectors are not of texts, or if the index was not built from them."""
        if vectors.network is None or not reads_text(vectors.network):
            raise ValueError(
                f"expected a collection of texts, got one of images, {vectors.path}: "
                "search it with similar-images search, or in Python with Collection.open"
            )
        folder = vectors.manifest and vectors.manifest.files.get("model")
        source = str(vectors.path.parent / folder) if folder else vectors.network.name
        encoder = TextQueryEncoder(vectors.network, source)
        super().__init__(TextStore(vectors, encoder), encoder, index)

    @classmethod
    def open(
        cls,
        path: str | Path,
        index: str | Path | None = None,
        column: str | None = None,
        encoding: str = ENCODING,
    ) -> "TextCollection":
        """Open the collection of a file of texts, of their list or of their vectors (.npy).

        An index can be searched without vectors if it was built from the same texts. Then there is no exact search, and
        hits are encoded to re-rank them. `column` and `encoding` describe the file; without `column`, a table with
        vectors may hold their texts in any column.
        Raises OSError or ValueError, with the remedy, if files are missing, damaged or foreign.
        """
        path = Path(path)
        file = path if path.suffix == ".npy" else vectors_path(text_list_path(path, encoding))
        is_table = path not in (file, text_list_path(path, encoding))
        opened = open_index(file, index)
        if file.is_file():
            vectors = open_vectors(file)
            if reads_text(vectors.network) and is_table and (path.is_file() or column is not None):
                _check_table(path, column, encoding, vectors)
        elif opened and opened.manifest and path.is_file() and path != file:
            texts = read_texts(path, column, encoding)
            vectors = Vectors(file, None, texts, None, opened.manifest.vectors.network, None)
        else:
            raise FileNotFoundError(f"there are no vectors {file}: make them with similar-images extract-texts")
        if column is not None and not is_table:
            raise ValueError(f"{path} has no columns: omit --column, or name the table that has it")
        return cls(vectors, opened)

    @classmethod
    def sample(cls) -> "TextCollection":
        """Open the 20,000 tweets if this folder has them, otherwise the docstrings.

        Raises FileNotFoundError, with the remedy, if it has neither.
        """
        if TWEETS.is_file():
            return cls.open(TWEETS, TWEETS_INDEX)
        if not DOCSTRINGS.is_file():
            raise FileNotFoundError("there are no texts here: run `make sample-text` for docstrings, or `make tweets`")
        return cls.open(DOCSTRINGS)

    @property
    def network_name(self) -> str:
        """The network as text_networks.load_text_network takes it: its name, or the folder that it was loaded from."""
        return self.encoder.source

    def encode(self, new: str) -> Query:
        """Return the query of a text. The first call loads the network.

        Raises TypeError for anything else, and ValueError for an empty or very long text, or if another network made
        the vectors.
        """
        return self.encoder.encode(new)

    def row(self, text: str) -> int | None:
        """Return the row of a text, the first of several; None if it is unknown."""
        return self.row_named(text)


def _check_table(path: Path, column: str | None, encoding: str, vectors: Vectors) -> None:
    """Raise ValueError unless a column of a file of texts, or the one named, holds the texts of the vectors."""
    texts = vectors.names or []
    names = [column] if column is not None else read_columns(path, encoding)
    for name in names:
        try:
            if read_texts(path, name, encoding)[: len(texts)] == texts:
                return
        except ValueError:
            if len(names) == 1:
                raise
    raise ValueError(
        f"{vectors.path} was made from other texts than {path}{f', column {column}' if column else ''}: "
        "make the vectors again with similar-images extract-texts --overwrite, or name their list"
    )
