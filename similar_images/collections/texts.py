"""A collection of texts: searched by what they mean."""

from pathlib import Path
from threading import Lock

import numpy as np
from cachetools import LRUCache

from similar_images.collections.base import Hit, Query
from similar_images.collections.images import Collection
from similar_images.index.index import Index, normalised, open_index
from similar_images.inputs.texts import ENCODING, fault, list_file, read_texts
from similar_images.networks import text as text_networks
from similar_images.networks.catalog import reads_text
from similar_images.vectors.store import Vectors, index_path, open_vectors, vectors_path

TWEETS = Path("tweets/texts_20k.csv")  # by get_sentiment140.sh
TWEETS_INDEX = Path("tweets/tweets_20000.faiss.index")
DOCSTRINGS = Path("docstrings_list.txt")  # by make sample-text
KEPT = 10_000  # vectors of rows, made anew where none are stored


class TextCollection(Collection):
    """Texts that can be searched by what they mean; their names are the texts themselves.

    >>> collection = TextCollection.open("tweets/texts_20k.csv", index="tweets/tweets_20000.faiss.index")
    >>> collection.nearest("stuck in traffic", k=8)
    """

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError where the index was not built from these texts."""
        super().__init__(vectors, index)
        self._made: LRUCache[int, np.ndarray] = LRUCache(KEPT)
        self._loading, self._making = Lock(), Lock()

    @classmethod
    def open(
        cls,
        path: str | Path,
        index: str | Path | None = None,
        column: str | None = None,
        encoding: str = ENCODING,
    ) -> "TextCollection":
        """Open the collection of a file of texts, of their list or of their vectors (.npy).

        An index is searched without vectors too, where it was built from these very texts; then there is no exact
        search, and hits are ranked anew by encoding them. `column` and `encoding` are those of the file.
        Raises OSError or ValueError, with the remedy, where files are missing, damaged or of something else.
        """
        path = Path(path)
        file = path if path.suffix == ".npy" else vectors_path(list_file(path, encoding))
        if index and not Path(index).is_file():
            raise FileNotFoundError(f"there is no index {index}: build it with build_search_db.py")
        index = Path(index) if index else index_path(file)
        opened = open_index(index) if index.exists() else None
        if file.is_file():
            vectors = open_vectors(file)
        elif opened and opened.manifest and path.is_file() and path != file:
            texts = read_texts(path, column, encoding)
            vectors = Vectors(file, None, texts, None, opened.manifest["vectors"]["network"], None)
        else:
            raise FileNotFoundError(f"there are no vectors {file}: make them with extract_text_vectors.py")
        if not reads_text(vectors.network):
            raise ValueError(f"{file} is not of texts: expected what extract_text_vectors.py made")
        return cls(vectors, opened)

    @classmethod
    def sample(cls) -> "TextCollection":
        """Open the 20,000 tweets where this folder has them, or else the docstrings.

        Raises FileNotFoundError, with the remedy, where there are neither.
        """
        if TWEETS.is_file():
            return cls.open(TWEETS, TWEETS_INDEX)
        if not DOCSTRINGS.is_file():
            raise FileNotFoundError("there are no texts here: run `make sample-text` for docstrings, `make tweets`")
        return cls.open(DOCSTRINGS)

    @property
    def network_name(self) -> str:
        """The network as text_networks.load takes it: its name, or the folder that it was loaded from."""
        folder = self.vectors.manifest and self.vectors.manifest["files"].get("model")
        return str(self.vectors.path.parent / folder) if folder else self.network["name"]

    def encode(self, text: str) -> Query:
        """Return the query of a text. The first call loads the network.

        Raises ValueError for an empty or huge text, and where the network is another one than the collection was made
        with.
        """
        if reason := fault(text):
            raise ValueError(f"expected a text to search for: {reason}")
        self.load_network()
        return Query(self._encoder.encode_text(text), self._encoder.description)

    def load_network(self) -> None:
        """Load the network for new texts, if it is not loaded. Raises ValueError where it is another one."""
        with self._loading:
            if self._encoder is None:
                encoder = text_networks.load(self.network_name)
                self._check_network(encoder.description)
                self._encoder = encoder

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return super().was_skipped(row) if self.has_vectors else fault(self.names[row]) is not None

    @property
    def recall(self) -> float | None:
        """The recall (at 10) of a search as it goes by default, when the index was built; None: not known."""
        return self.measured["recall"] if self.measured else None  # with vectors that are stored or made anew

    def _search(self, vector: np.ndarray, k: int, exact: bool, reranked: bool, without: int = -1) -> list[Hit]:
        """Search as Collection does; hits that no stored vectors can rank anew are encoded for it."""
        if self.has_vectors or exact or not reranked or not self.index.reranked:
            return super()._search(vector, k, exact, reranked, without)
        found = super()._search(vector, max(self.index.reranked, 2 * k), exact, reranked, without)
        unit = normalised(np.stack([vector, *self._made_anew([hit.row for hit in found])]))
        similarities = unit[1:] @ unit[0]
        best = np.argsort(-similarities, kind="stable")[:k]
        return [found[i]._replace(similarity=float(similarities[i])) for i in best]

    def _made_anew(self, rows: list[int]) -> list[np.ndarray]:
        """Return vectors (d,) of at most KEPT rows, encoded where they were not lately."""
        self.load_network()
        with self._making:
            missing = [row for row in rows if row not in self._made]
            if missing:
                vectors = self._encoder.encode([self.names[row] for row in missing])
                self._made.update(zip(missing, vectors, strict=True))
            return [self._made[row] for row in rows]

    def vector(self, row: int) -> np.ndarray:
        """Return the vector (d,) of a row, made anew where none are stored. Raises as Collection.vector does."""
        if self.has_vectors or not 0 <= row < len(self):
            return super().vector(row)
        if reason := fault(self.names[row]):
            raise ValueError(f"{self.names[row]} has no vector, it was skipped: {reason}")
        return self._made_anew([row])[0]
