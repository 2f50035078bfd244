"""A collection of images: searched by what they look like."""

from collections.abc import Callable
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from similar_images.collection.base import BaseCollection, Query, is_row, is_vector, open_index
from similar_images.collection.column_files import update_exif
from similar_images.collection.explanation import Explanation, explain
from similar_images.collection.filtered import Where
from similar_images.collection.opened import FEW as FEW  # these and Hit were defined here in version 1.0
from similar_images.collection.opened import UNLIKE as UNLIKE
from similar_images.collection.opened import Hit as Hit
from similar_images.collection.phrases import PHRASES, described_better
from similar_images.events import report_counts
from similar_images.files import relative_path
from similar_images.index.exact import normalise, unit_rows
from similar_images.index.index import Index
from similar_images.inputs import images
from similar_images.inputs.sources import Location, open_source, parse_location
from similar_images.inputs.texts import PROMPT_SLOT, TABLES, fill_prompt, rejection_reason, to_one_line
from similar_images.networks import catalog, loader
from similar_images.networks.catalog import Encoder
from similar_images.networks.description import reads_text, reads_words
from similar_images.networks.hub_files import versioned
from similar_images.vectors.store import Vectors, list_path, open_vectors, vectors_path

UNCHANGED = 0.999  # cosine of two vectors of one image, from two runtimes or in float16
BEST, UNLIKE_WORDS = 3, 0.05  # hits, and share of phrases: see `is_like_nothing`
OF_TEXTS = (
    "expected a collection of images, got one of texts, {}: "
    "search it with similar-images search-texts, or in Python with TextCollection.open"
)


class Collection(BaseCollection[Encoder]):
    """Images that can be searched by what they look like.

    >>> collection = Collection.open("photos_file_list.txt")
    >>> collection.nearest("holiday.jpg", k=8)
    """

    noun = "image"
    accepts = "an image (path, bytes, Pillow image or RGB uint8 array)"

    def __init__(
        self,
        vectors: Vectors,
        index: Index | None = None,
        place: Location | None = None,
        model_file: Path | None = None,
        weights_file: Path | None = None,
        allow_outside: bool = False,
    ):
        """Images are read below `place` only, or with `allow_outside` wherever the names lead.

        Without a `place`, the manifest gives the folder of the images, and says whether names may lead out of it.
        Raises ValueError where the vectors are of texts, or where the index was not built from them."""
        if reads_text(vectors.network):
            raise ValueError(OF_TEXTS.format(vectors.path))
        super().__init__(vectors, index)
        if place is None and vectors.images:
            place, allow_outside = vectors.images, allow_outside or vectors.allow_outside
        self.source = open_source(place, allow_outside) if place else None
        self._files = {"model": model_file, "weights": weights_file}

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
        allow_outside: bool = False,
    ) -> "Collection":
        """Open the collection of a list (LIST.txt) or of its vectors (.npy).

        The rest is found beside it and in its manifest, unless it is given here: the `index` (without one the search
        is exact), the folder or archive of `images`, the list of `names`, and the `network` with the file of its
        `model` or `weights`, which only queries by a new image need. Given `images`, no file outside of them is
        read, unless `allow_outside` lets names be absolute or lead out by `..` or a symbolic link: open collections of
        others with `images`.
        Raises OSError or ValueError, with the remedy, where files are missing, damaged or of something else.
        """
        path = _as_path(path, "the list or the vectors of a collection")
        if path.suffix != ".npy":
            names, path = path, vectors_path(path)
        if not path.is_file() and names is not None and Path(names).suffix in TABLES:
            raise ValueError(OF_TEXTS.format(names))
        if not path.is_file():
            raise FileNotFoundError(
                f"there are no vectors {path}: make them with similar-images extract, the sample's with `make sample`"
            )
        vectors = open_vectors(path, _path(names), network)
        place = parse_location(images) if images else None
        return cls(vectors, open_index(path, index), place, _path(model), _path(weights), bool(allow_outside))

    @classmethod
    def create(
        cls,
        images: str | Path,
        output: str | Path = ".",
        network: str | None = None,
        progress: Callable[[int, int], None] = lambda done, n: None,
        allow_outside: bool = False,
    ) -> "Collection":
        """Make the collection of a folder or archive of images: extract the vectors, build the index, open them.

        >>> Collection.create("photos").nearest(0)

        The files are written into the folder `output`, as `similar-images extract` and `build` write them; if they are
        there already, only new images are computed. `network` is a name of the table, by default that of the existing
        vectors or efficientnetlite0. `progress` gets how many images are done, and of how many. Symbolic links that
        lead out of the folder are followed with `allow_outside` only.
        Raises ValueError if there are no images or the vectors are of another network, OSError if a file cannot be
        written. Images that cannot be read are skipped: see `vectors.skipped`.
        """
        from similar_images.collection.create import create_files

        images = _as_path(images, "a folder or archive of images") if not isinstance(images, str) else images
        return cls.open(
            create_files(parse_location(images), Path(output), network, report_counts(progress), allow_outside)
        )

    def image(self, row: int) -> Path | bytes:
        """Return the image of a row as images.open_image takes it.

        Raises IndexError for an unknown row, ValueError if the folder or archive is unknown, UnreadableImage
        if it does not hold the image, or if the name leads out of it.
        """
        if self.source is None:
            raise ValueError("the folder of the images is unknown: give it with images=FOLDER (-d)")
        self._check_row(row)
        return self.source.image(self.names[row])

    def path(self, row: int) -> Location:
        """Return the path of a row's image; in an archive, the archive's path followed by the name in it.

        `row` takes both back. Raises IndexError for an unknown row, ValueError if the folder or archive is
        unknown, UnreadableImage if the name leads out of it.
        """
        if self.source is None:
            raise ValueError("the folder of the images is unknown: give it with images=FOLDER (-d)")
        self._check_row(row)
        return self.source.locate(self.names[row])

    def read_exif(self, progress: Callable[[int, int], None] = lambda done, n: None) -> None:
        """Read when the photographs were taken and by which camera, into the columns `date` and `camera`.

        It is kept beside the list, in LIST.exif.npz; called again, only new images are read, on all cores. `progress`
        gets how many are done, and of how many. Raises ValueError where the folder or archive is unknown, OSError
        where it is missing or the file cannot be written.
        """
        if self.source is None:
            raise ValueError("the folder of the images is unknown: give it with images=FOLDER (-d)")
        if not self.source.exists():
            raise FileNotFoundError(
                f"the images are not in {self.source.path}: give their folder with images=FOLDER (-d)"
            )
        update_exif(list_path(self.vectors.path), self.names, self.source, progress)
        self.__dict__.pop("columns", None)

    def row(self, image: str | Path) -> int | None:
        """Return the row of an image by its name, or by its path in the collection's folder; None: it has none.

        An existing file that is not the collection's own image has no row, even if its name is in the collection.
        Raises ValueError where that cannot be decided since the folder of the images is unknown.
        """
        file, row = Path(image), self.row_named(str(image))
        if row is None and self.source is not None:
            place = self.source.path
            in_place = (
                relative_path(file, place) if isinstance(place, Path) else str(image).removeprefix(f"{place / ''}/")
            )
            row = self.row_named(in_place)
        if row is None or not _is_file(file):
            return row
        if self.source is None:
            raise ValueError(
                f"{image} is both a file here and a name in the collection, whose folder of images is unknown: "
                "give the folder with images=FOLDER (-d)"
            )
        own = self.source.path / self.names[row]
        if not isinstance(own, Path):
            return None
        return row if own.absolute() == file.absolute() or (_is_file(own) and own.samefile(file)) else None

    def encode(self, new: images.ImageSource | np.ndarray) -> Query:
        """Return the query of an image: a path, bytes, a Pillow image or RGB uint8 (height, width, 3).

        The first call loads the network. Raises UnreadableImage, TypeError for anything else, and ValueError if the
        network is not the one that made the vectors.
        """
        image = self._opened(new)
        encoder = self._loaded()
        return Query(encoder.encode_image(image), encoder.description)

    def encode_text(self, text: str, prompt: str = PROMPT_SLOT) -> Query:
        """Return the query of words, as `nearest` takes it also in a list. The first call loads the network.

        The network reads the `prompt` with the words in place of its {}: see `similar-images evaluate --networks`.
        Raises ValueError for an empty text, a prompt without {}, a network that does not read words, or a collection
        in another similarity than the cosine, which is made from vectors of images.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected words as str, got {type(text).__name__}")
        if reason := rejection_reason(text):
            raise ValueError(f"expected words to search for: {reason}")
        asked = fill_prompt(to_one_line(text), prompt)
        if not reads_words(self.network):
            return super().encode_text(text, prompt)
        if not self.similarity.is_cosine:
            raise ValueError(
                f"words cannot be compared by the {self.similarity.name} similarity of this index: build it with "
                f"--similarity cosine"
            )
        encoder = self._loaded()
        return Query(encoder.encode_text(asked), encoder.description, text)

    def is_like_nothing(self, hits: list[Hit], where: Where | None = None, text: str | Query | None = None) -> bool:
        """Return whether the best hit is less similar than the best hits of 99% of the collection's own rows.

        With a similarity other than the cosine of 98% (centred) or 96% (whitened): it tells less of what is foreign.
        Of a search with `where`, only rows that match count, with their best hits among each other. Similarities of
        words are of another scale: with the `text` of a query, or what `encode_text` returned, whether its best hits
        are described better by more than UNLIKE_WORDS of some 200 phrases, as a classifier without training would
        choose among them (Radford et al., "Learning transferable visual models from natural language supervision", 2021).

        False if the index does not know, or if the collection, or what matches, is too small.
        """
        if text is None or not hits:
            return super().is_like_nothing(hits, where)
        query = text if isinstance(text, Query) else self.encode_text(text)
        _, found = unit_rows(self.compared, np.array([hit.row for hit in hits[:BEST]]))
        return described_better(found, normalise(query.vector[None])[0], self._phrases) > UNLIKE_WORDS

    @cached_property
    def _phrases(self) -> np.ndarray:
        """Unit vectors (p, d) of phrases that say what most photographs show."""
        return normalise(self._loaded().encode_texts(PHRASES))

    def explain(self, query: images.ImageSource | np.ndarray | int | Query | list, row: int) -> Explanation:
        """Return why the image of a row is similar to a query: a heat map over each, of the parts that match.

        >>> why = collection.explain("holiday.jpg", 12)
        >>> why.hit.over(collection.image(12)).save("why.png")

        A query is as `nearest` takes it. Of a list, its first entry is explained. One without an image, such as a vector,
        gives a heat map over the hit alone, if the vectors of the network are means of its feature maps. The first call
        loads the network.
        Raises IndexError or ValueError for an unknown row or was skipped, UnreadableImage, and ValueError for
        words, and for a network without feature maps.
        """
        while isinstance(query, list) or (isinstance(query, tuple) and not isinstance(query, Query)):
            if not query:
                raise ValueError("expected at least one query, got none")
            query = query[0]
        self.vector(row)
        if isinstance(query, Query):
            if query.words is not None:
                raise ValueError("words match no parts that can be shown: give an image to explain a hit with")
            self._check_network(query.network)
        encoder = self._loaded()
        hit = self._opened_row(row)
        if is_row(query):
            self.vector(int(query))
            return explain(encoder, self.similarity, self._opened_row(int(query)), hit)
        if isinstance(query, Query) or is_vector(query):
            vector, _ = self._vector_of(query)
            self._unit([vector])  # checks it
            return explain(encoder, self.similarity, vector, hit)
        return explain(encoder, self.similarity, self._opened(query), hit)

    def _opened(self, new: object) -> Image.Image:
        """Return a new image, upright and RGB."""
        if isinstance(new, np.ndarray):
            if new.dtype != np.uint8 or new.size == 0 or (new.ndim != 2 and new.shape[2:] not in ((3,), (4,))):
                remedy = ": convert it, such as (255 * image).astype(np.uint8)" if new.dtype.kind == "f" else ""
                raise ValueError(f"expected an image as uint8 (height, width, 3), got {new.dtype} {new.shape}{remedy}")
            new = Image.fromarray(new)
        if not isinstance(new, (str, Path, bytes, Image.Image)):
            raise self._wrong(new)
        return _open_named(new, new) if isinstance(new, str | Path) else images.open_image(new)

    def changed_query(self, row: int) -> Query | None:
        """Return the query of a row's image if its file shows something else than its vector was made from.

        None otherwise, and if the network is not available. Only a file in a folder, newer than the vectors, is
        compared; this loads the network.
        """
        path = self.path(row) if self.source else None
        if not isinstance(path, Path) or not _is_file(path):
            return None
        status = path.stat()
        if max(status.st_mtime_ns, status.st_ctime_ns) <= self.vectors.path.stat().st_mtime_ns:
            return None
        try:
            query = self.encode(path)
        except (OSError, ValueError):  # it cannot be read any more, or the network is not here
            return None
        new, stored = normalise(np.stack([query.vector, self.vector(row)]))
        return query if float(new @ stored) < UNCHANGED else None

    def _opened_row(self, row: int) -> Image.Image:
        """Return the image of a row, upright and RGB."""
        return _open_named(self.image(row), self.names[row])

    def _load(self) -> Encoder:
        if self.network is None:
            raise ValueError("the network of these vectors is unknown: give it with network=NAME (--network)")
        files = {kind: file for kind, file in self._files.items() if file}
        if not files and self.vectors.manifest:
            files = loader.recorded_files(self.vectors.manifest.files, self.vectors.path.parent)
        if self.network.name in catalog.NETWORKS:
            name, resampling = self.network.name, self.network.resampling
            return loader.load(name, files.get("model"), files.get("weights"), resampling, export=False)
        folder = files.get("model")  # of a network of the hub's form; those of the hub have a commit instead
        name = str(folder) if folder else versioned(self.network)
        return loader.load(name, export=False)


def _open_named(image: images.ImageSource, name: str | Path) -> Image.Image:
    """Return an image, upright and RGB. Raises UnreadableImage with its name."""
    try:
        return images.open_image(image)
    except images.UnreadableImage as error:
        raise images.UnreadableImage(f"{name}: {error}") from error


def _as_path(path: object, meaning: str) -> Path:
    """Return a path. Raises TypeError, with its expected meaning, for anything else."""
    if not isinstance(path, str | PathLike):
        raise TypeError(f"expected {meaning} as a path, got {type(path).__name__}")
    return Path(path)


def _path(path: str | Path | None) -> Path | None:
    return Path(path) if path is not None else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL, for a file
        return False
