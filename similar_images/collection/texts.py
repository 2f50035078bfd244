"""Collection of texts, searched by meaning."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.collection.base import BaseCollection, open_index
from similar_images.collection.encoder import Query, QueryEncoder
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
MAX_ENCODED_NAMES = 10_000  # cached vectors of texts without stored vectors


class TextQueryEncoder(QueryEncoder[TextEncoder]):
    """Encodes new texts."""

    accepts = "a text (str)"

    def __init__(self, network: NetworkDescription, source: str):
        """`source` is the name or the folder of the network, as text_networks.load_text_network takes it."""
        super().__init__(network)
        self.source = source
        self._encoded: LRUCache[str, np.ndarray] = LRUCache(MAX_ENCODED_NAMES)
        self._encoded_lock = forks.new_lock()

    def encode(self, new: str) -> Query:
        if not isinstance(new, str):
            raise self.type_error(new)
        if reason := rejection_reason(new):
            raise ValueError(f"expected a text to search for: {reason}")
        encoder = self.load()
        return Query(encoder.encode_text(to_one_line(new)), encoder.description)

    def encode_names(self, names: Sequence[str]) -> np.ndarray:
        encoder = self.load()
        with self._encoded_lock:
            vectors = {name: self._encoded[name] for name in names if name in self._encoded}
            if missing := [name for name in dict.fromkeys(names) if name not in vectors]:
                vectors.update(zip(missing, encoder.encode(missing), strict=True))
                self._encoded.update(vectors)  # which may drop names of this very call
        return np.stack([vectors[name] for name in names])

    def _open(self) -> TextEncoder:
        return text_networks.load_text_network(self.source)


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
        super().__init__(Store(vectors, self.noun), encoder, index)

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
