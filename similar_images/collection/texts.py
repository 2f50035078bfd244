"""A collection of texts: searched by what they mean."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cachetools import LRUCache

from similar_images import forks
from similar_images.collection.base import BaseCollection, Hit, Query, Where, open_index
from similar_images.index.backend import rerank_depth
from similar_images.index.exact import normalise, rank
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
KEPT = 10_000  # vectors of rows, encoded again where none are stored


class TextCollection(BaseCollection[TextEncoder]):
    """Texts that can be searched by what they mean; their names are the texts themselves.

    >>> collection = TextCollection.open("tweets/texts_20k.csv", index="tweets/tweets_20000.faiss.index")
    >>> collection.nearest("stuck in traffic", k=8)
    """

    noun = "text"
    accepts = "a text (str)"

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError where the vectors are not of texts, or where the index was not built from them."""
        if vectors.network is None or not reads_text(vectors.network):
            raise ValueError(
                f"expected a collection of texts, got one of images, {vectors.path}: "
                "search it with similar-images search, or in Python with Collection.open"
            )
        super().__init__(vectors, index)
        self._network = vectors.network
        self._encoded: LRUCache[int, np.ndarray] = LRUCache(KEPT)
        self._encoding = forks.new_lock()

    @classmethod
    def open(
        cls,
        path: str | Path,
        index: str | Path | None = None,
        column: str | None = None,
        encoding: str = ENCODING,
    ) -> "TextCollection":
        """Open the collection of a file of texts, of their list or of their vectors (.npy).

        An index is searched without vectors too, if it was built from the same texts. Then there is no exact search,
        and hits are re-ranked by encoding them. `column` and `encoding` are those of the file; without `column`, a
        table with vectors may hold their texts in any column.
        Raises OSError or ValueError, with the remedy, where files are missing, damaged or of something else.
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
            network = opened.manifest["vectors"]["network"]
            known = NetworkDescription.from_json(network) if network else None
            vectors = Vectors(file, None, texts, None, known, None)
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
        folder = self.vectors.manifest and self.vectors.manifest.files.get("model")
        return str(self.vectors.path.parent / folder) if folder else self._network.name

    def encode(self, new: str) -> Query:
        """Return the query of a text. The first call loads the network.

        Raises TypeError for anything else, and ValueError for an empty or very long text, or if the network is not
        the one that made the vectors.
        """
        if not isinstance(new, str):
            raise self._wrong(new)
        if reason := rejection_reason(new):
            raise ValueError(f"expected a text to search for: {reason}")
        encoder = self._loaded()
        return Query(encoder.encode_text(to_one_line(new)), encoder.description)

    def _load(self) -> TextEncoder:
        return text_networks.load_text_network(self.network_name)

    def row(self, text: str) -> int | None:
        """Return the row of a text, the first of several; None if it is not in the collection."""
        return self.row_named(text)

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return super().was_skipped(row) if self.has_vectors else rejection_reason(self.names[row]) is not None

    @property
    def recall(self) -> float | None:
        """The recall@10 of a default search, measured when the index was built; None if unknown."""
        return self.measured["recall"] if self.measured else None  # with stored vectors or with encoded ones

    def _search(
        self,
        unit: np.ndarray,
        k: int,
        exact: bool,
        reranked: bool,
        without: list[list[int]],
        where: Where | None = None,
    ) -> list[list[Hit]]:
        """Search as any collection does; hits without stored vectors are encoded to re-rank them."""
        if self.has_vectors or exact or not reranked or self.index is None or not self.index.reranked:
            return super()._search(unit, k, exact, reranked, without, where)
        found = super()._search(unit, rerank_depth(k, self.index.reranked), exact, reranked, without, where)
        return [self._reranked(query, hits)[:k] for query, hits in zip(unit, found, strict=True)]

    def _reranked(self, unit: np.ndarray, hits: list[Hit]) -> list[Hit]:
        encoded = normalise(np.stack(self._encode_rows([hit.row for hit in hits])))
        similarities = self.similarity.transform(encoded) @ unit
        rows = np.array([hit.row for hit in hits], np.int64)
        similarities, rows = rank(similarities[None], rows[None], len(rows))
        return self._hits(similarities[0], rows[0], (), len(hits))

    def _encode_rows(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Return the vectors (d,) of rows, encoded unless the cache holds them."""
        encoder = self._loaded()
        with self._encoding:
            vectors = {row: self._encoded[row] for row in rows if row in self._encoded}
            if missing := [row for row in rows if row not in vectors]:
                encoded = encoder.encode([self.names[row] for row in missing])
                vectors.update(zip(missing, encoded, strict=True))
                self._encoded.update(vectors)  # which may drop rows of this very call
        return [vectors[row] for row in rows]

    def vector(self, row: int) -> np.ndarray:
        """Return the vector (d,) of a row, encoded if it is not stored.

        Raises IndexError, and ValueError for a skipped row.
        """
        if self.has_vectors or not 0 <= row < len(self):
            return super().vector(row)
        if reason := rejection_reason(self.names[row]):
            raise ValueError(f"{self.names[row]} has no vector, it was skipped: {reason}")
        return self._encode_rows([row])[0]


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
