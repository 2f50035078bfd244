"""A collection: names, vectors and index, opened together and checked against each other; query to hits."""

from pathlib import Path

import numpy as np
from PIL import Image

from similar_images.collections.base import Hit, Query
from similar_images.files import relative
from similar_images.index import index as indexes
from similar_images.index.index import Index
from similar_images.inputs import images
from similar_images.inputs.sources import open_source
from similar_images.networks import catalog, loader
from similar_images.networks.catalog import Encoder, reads_text
from similar_images.vectors.store import Vectors, index_path, open_vectors, vectors_path

FEW = 100  # images; below it there is no saying what is unlike them
UNLIKE = 1  # percent of the collection's images find nothing more similar than what is like nothing


class Collection:
    """Images that can be searched by what they look like.

    >>> collection = Collection.open("photos_file_list.txt")
    >>> collection.nearest("holiday.jpg", k=8)
    """

    def __init__(
        self,
        vectors: Vectors,
        index: Index | None = None,
        place: Path | None = None,
        model_file: Path | None = None,
        weights_file: Path | None = None,
    ):
        """Raises ValueError where the index was not built from these vectors."""
        if vectors.names is None:
            raise ValueError(f"there is no list of names for {vectors.path}: give it with names=, a path a line")
        if index is not None:
            indexes.check_matches(index, vectors)
        self.vectors, self.index = vectors, index
        place = place or vectors.images
        self.source = open_source(place) if place else None  # the folder or archive of the images, if it is known
        self._files = {"model": model_file, "weights": weights_file}
        self._encoder: Encoder | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        index: str | Path | None = None,
        images: str | Path | None = None,
        names: str | Path | None = None,
        network: str | None = None,
        model: str | Path | None = None,
        weights: str | Path | None = None,
    ) -> "Collection":
        """Open the collection of a list (LIST.txt) or of its vectors (.npy).

        The rest is found beside it and in its manifest, unless named here: the `index` (without one the search
        is exact), the folder or archive of `images`, the list of `names`, and the `network` with the file of its `model` or
        `weights`, which only queries by a new image need.
        Raises OSError or ValueError, with the remedy, where files are missing, damaged or of something else.
        """
        path = Path(path)
        if path.suffix != ".npy":
            names, path = path, vectors_path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"there are no vectors {path}: make them with extract_image_vectors.py, the sample's with make sample"
            )
        vectors = open_vectors(path, _path(names), network)
        if index and not Path(index).is_file():
            raise FileNotFoundError(f"there is no index {index}: build it with build_search_db.py")
        index = Path(index) if index else index_path(path)
        opened = indexes.open_index(index) if index.exists() else None
        return cls(vectors, opened, _path(images), _path(model), _path(weights))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def names(self) -> list[str]:
        return self.vectors.names

    @property
    def network(self) -> dict | None:
        """What made the vectors, as catalog.describe gives it; None where it is not known."""
        return self.vectors.network

    @property
    def noun(self) -> str:
        """What it is of: image or text."""
        return "text" if reads_text(self.network) else "image"

    @property
    def recipe(self) -> str:
        """How a search goes by default: the index's recipe, or exact."""
        return self.index.recipe if self.index else "exact"

    @property
    def removed(self) -> list[int]:
        """The rows that were removed from the index for good; no search finds them."""
        return self.index.removed if self.index else []

    @property
    def measured(self) -> dict | None:
        """What the index reached when it was built or changed: recall (at 10), its interval, milliseconds, bytes."""
        return self.index.manifest.get("measured") if self.index and self.index.manifest else None

    @property
    def recall(self) -> float | None:
        """The recall (at 10) of a search as it goes by default, when the index was built; None: not known."""
        return self.measured["recall" if self.has_vectors else "recall_alone"] if self.measured else None

    @property
    def has_vectors(self) -> bool:
        """Whether there are vectors beside the index: to search exactly, and to rank its hits anew."""
        return self.vectors.array is not None

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return not self.vectors.array[row].any()

    def percentile(self, similarity: float) -> float | None:
        """Return the share of random pairs of this collection, in percent, that are less similar than this.

        None where the index does not know.
        """
        known = self._similarities
        return float(np.interp(similarity, known["random_pairs"], known["percentiles"])) if known else None

    def is_like_nothing(self, hits: list[Hit]) -> bool:
        """Return whether the best hit is less similar than 99 % of the collection's images find theirs.

        False where the index does not know, or the collection is too small to tell.
        """
        known = self._similarities
        if not known or not hits or self.measured["queries"] < FEW:
            return False
        return bool(hits[0].similarity < np.interp(UNLIKE, known["percentiles"], known["nearest"]))

    @property
    def _similarities(self) -> dict | None:
        return self.index.manifest.get("similarities") if self.index and self.index.manifest else None

    def image(self, row: int) -> Path | bytes:
        """Return the image of a row as images.open_image takes it.

        Raises ValueError where the folder or archive is not known, UnreadableImage where the image cannot be read in it.
        """
        if self.source is None:
            raise ValueError("the folder of the images is not known: open the collection with images=FOLDER")
        return self.source.image(self.names[row])

    def row(self, image: str | Path) -> int | None:
        """Return the row of an image by its name or its file in the collection's folder; None: it is not of it."""
        name = str(image)
        if name not in self.names and self.source is not None:
            name = relative(Path(image), self.source.path)
        return self.names.index(name) if name in self.names else None

    def encode(self, image: images.Source | np.ndarray) -> Query:
        """Return the query of an image: a file, bytes, a Pillow image or RGB uint8 (height, width, 3).

        The first call loads the network. Raises UnreadableImage, and ValueError where the network is another
        one than the collection was made with.
        """
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image = images.open_image(image)
        self.load_network()
        return Query(self._encoder.encode_image(image), self._encoder.description)

    @property
    def is_loaded(self) -> bool:
        """Whether the network for new images is loaded."""
        return self._encoder is not None

    def load_network(self) -> None:
        """Load the network for new images, if it is not loaded. Raises ValueError where it is another one."""
        if self._encoder is not None:
            return
        if self.network is None:
            raise ValueError("the network of these vectors is not known: open the collection with network=NAME")
        files = {kind: file for kind, file in self._files.items() if file}
        if not files and self.vectors.manifest:
            recorded = self.vectors.manifest["files"]
            files = {kind: self.vectors.path.parent / file for kind, file in recorded.items()}
            if len(files) > 1:  # the model was saved from the weights
                files.pop("weights" if files["model"].exists() else "model")
        encoder = loader.load(
            self.network["name"], files.get("model"), files.get("weights"), self.network["resampling"], export=False
        )
        self._check_network(encoder.description)
        self._encoder = encoder

    def vector(self, row: int) -> np.ndarray:
        """Return the stored vector (d,) of a row. Raises IndexError, and ValueError for a skipped image."""
        if not 0 <= row < len(self):
            raise IndexError(f"expected a row from 0 to {len(self) - 1}, got {row}")
        vector = np.array(self.vectors.array[row], dtype=np.float32)
        if not vector.any():
            reasons = [entry.reason for entry in self.vectors.skipped if entry.row == row]
            raise ValueError(f"{self.names[row]} has no vector, it was skipped: {', '.join(reasons) or 'unknown why'}")
        return vector

    def nearest(
        self,
        query: int | str | Path | bytes | Image.Image | np.ndarray | Query,
        k: int = 8,
        exact: bool = False,
        reranked: bool = True,
    ) -> list[Hit]:
        """Return up to k hits, the most similar first.

        A query is a row (which is then left out of the hits), an image as `encode` takes it, what `encode`
        returned, or a vector (d,) of floats. Hits of an approximate index are ranked anew with the exact vectors;
        `exact` compares with all vectors instead; not `reranked` they stay as the index found them.
        """
        if k < 1:
            raise ValueError(f"expected k of at least 1, got {k}")
        if isinstance(query, (int, np.integer)):
            return self._search(self.vector(int(query)), k, exact, reranked, without=int(query))
        if isinstance(query, np.ndarray) and query.dtype != np.uint8:
            return self._search(query, k, exact, reranked)
        if not isinstance(query, Query):
            query = self.encode(query)
        self._check_network(query.network)
        return self._search(query.vector, k, exact, reranked)

    def _search(self, vector: np.ndarray, k: int, exact: bool, reranked: bool, without: int = -1) -> list[Hit]:
        n, d = len(self), (self.vectors.array.shape[1] if self.has_vectors else self.index.faiss.d)
        if vector.shape != (d,):
            raise ValueError(f"expected a vector of shape ({d},), made by {self._name()}, got {vector.shape}")
        try:
            unit = indexes.normalised(vector[None])
        except ValueError as error:
            raise ValueError(f"expected a vector of numbers, got NaN or infinity in {vector}") from error
        if not unit.any():
            raise ValueError("expected a vector with a direction, got zeros")
        wanted = min(k + (without >= 0), n)
        if exact and not self.has_vectors:
            raise ValueError(f"an exact search needs the vectors, {self.vectors.path}: make them, or leave it out")
        if exact or self.index is None:
            similarities, rows = indexes.exact_search(self.vectors.array, unit, wanted, self.removed)
        else:
            similarities, rows = self.index.search(unit, wanted, self.vectors.array if reranked else None)
        hits = [
            Hit(int(row), self.names[row], float(similarity))
            for similarity, row in zip(similarities[0], rows[0], strict=True)
            if row != without and 0 <= row < n
        ]
        return hits[:k]

    def _check_network(self, network: dict) -> None:
        if self.network is not None and not catalog.same(self.network, network):
            keys = [key for key in network if network[key] != self.network.get(key)]
            raise ValueError(
                f"expected a query made by {self._name()} as the collection was, got one of {network['name']}; "
                f"different: {', '.join(f'{key} {network[key]}, not {self.network.get(key)}' for key in keys)}"
            )

    def _name(self) -> str:
        return self.network["name"] if self.network else "the network of the collection"


def _path(path: str | Path | None) -> Path | None:
    return Path(path) if path is not None else None
