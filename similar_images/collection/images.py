"""Collection of images, searched by similarity."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from similar_images.collection.base import BaseCollection, Counts, ignore_counts, open_index
from similar_images.collection.column_files import update_exif
from similar_images.collection.columns import Where
from similar_images.collection.encoder import Query, QueryEncoder
from similar_images.collection.explanation import Explanation, explain
from similar_images.collection.phrases import PHRASES, described_better
from similar_images.collection.searcher import Hit, is_row, is_vector
from similar_images.collection.store import CHANGED, Store
from similar_images.events import report_counts
from similar_images.files import relative_path
from similar_images.index.exact import normalise, unit_rows
from similar_images.index.index import Index
from similar_images.inputs import images
from similar_images.inputs.sources import Location, Source, open_source, parse_location
from similar_images.inputs.texts import PROMPT_SLOT, TABLES, fill_prompt, rejection_reason, to_one_line
from similar_images.networks import catalog, loader
from similar_images.networks.catalog import Encoder
from similar_images.networks.description import reads_text, reads_words
from similar_images.networks.hub_files import versioned_name
from similar_images.networks.loader import LoadOptions
from similar_images.vectors.store import Vectors, list_path, open_vectors, vectors_path

MIN_UNCHANGED = 0.999  # cosine of two vectors of one image, from two runtimes or in float16
WORDS_HITS, MAX_BETTER_PHRASES = 3, 0.05  # hits, and share of phrases: see `is_like_nothing`
TEXTS_REMEDY = (
    "expected a collection of images, got one of texts, {}: "
    "search it with similar-images search-texts, or in Python with TextCollection.open"
)


class ImageEncoder(QueryEncoder[Encoder]):
    """Encodes new images, and words if the network reads them."""

    accepts = "an image (path, bytes, Pillow image or RGB uint8 array)"

    def __init__(self, vectors: Vectors, files: Mapping[str, Path | None]):
        """`files` are the model and the weights that the user names."""
        super().__init__(vectors.network)
        self._vectors, self._files = vectors, files

    def encode(self, new: images.ImageSource | np.ndarray) -> Query:
        image = self.open_image(new)
        encoder = self.load()
        return Query(encoder.encode_image(image), encoder.description)

    def encode_words(self, words: str, prompted_words: str) -> Query:
        encoder = self.load()
        return Query(encoder.encode_text(prompted_words), encoder.description, words)

    @cached_property
    def phrases(self) -> np.ndarray:
        """Unit vectors (p, d) of phrases for what most photographs show."""
        return normalise(self.load().encode_texts(PHRASES))

    def open_image(self, new: object) -> Image.Image:
        """Return a new image, upright and RGB. Raises TypeError for another type, ValueError for another array."""
        if isinstance(new, np.ndarray):
            if new.dtype != np.uint8 or new.size == 0 or (new.ndim != 2 and new.shape[2:] not in ((3,), (4,))):
                remedy = ": convert it, such as (255 * image).astype(np.uint8)" if new.dtype.kind == "f" else ""
                raise ValueError(f"expected an image as uint8 (height, width, 3), got {new.dtype} {new.shape}{remedy}")
            new = Image.fromarray(new)
        if not isinstance(new, (str, Path, bytes, Image.Image)):
            raise self.type_error(new)
        return _open_named(new, new) if isinstance(new, str | Path) else images.open_image(new)

    def _open(self) -> Encoder:
        if self.network is None:
            raise ValueError("the network of these vectors is unknown: give it with network=NAME (--network)")
        files = {kind: file for kind, file in self._files.items() if file}
        if not files and self._vectors.manifest:
            files = loader.recorded_files(self._vectors.manifest.files, self._vectors.path.parent)
        if self.network.name in catalog.NETWORKS:
            name, resampling = self.network.name, self.network.resampling
            return loader.load(name, LoadOptions(files.get("model"), files.get("weights"), resampling, export=False))
        folder = files.get("model")  # of a local network in the hub's format; networks of the hub have a commit instead
        name = str(folder) if folder else versioned_name(self.network)
        return loader.load(name, LoadOptions(export=False))


class Collection(BaseCollection[Encoder]):
    """Images that can be searched by appearance.

    >>> collection = Collection.open("photos_file_list.txt")
    >>> collection.nearest("holiday.jpg", k=8)
    """

    noun = "image"
    encoder: ImageEncoder

    def __init__(
        self,
        vectors: Vectors,
        index: Index | None = None,
        place: Location | None = None,
        model_file: Path | None = None,
        weights_file: Path | None = None,
        allow_outside: bool = False,
    ):
        """Images are read below `place` only, or with `allow_outside` from everywhere.

        Without a `place`, the manifest gives the folder of the images, and whether names may lead out of it.
        Raises ValueError if the vectors are of texts, or if the index was not built from them."""
        if reads_text(vectors.network):
            raise ValueError(TEXTS_REMEDY.format(vectors.path))
        if place is None and vectors.images:
            place, allow_outside = vectors.images, allow_outside or vectors.allow_outside
        source = open_source(place, allow_outside) if place else None
        encoder = ImageEncoder(vectors, {"model": model_file, "weights": weights_file})
        super().__init__(Store(vectors, self.noun, source), encoder, index)

    @classmethod
    def open(  # noqa: PLR0913
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

        Its manifest and the files beside it supply the rest, unless given here: the `index` (without one the search is
        exact), the folder or archive of `images`, the list of `names`, and the `network` with the file of its `model`
        or `weights`, for queries by a new image. Given `images`, no file outside of them is read, unless
        `allow_outside` permits absolute names and names that lead out by `..` or a symbolic link: pass `images` for
        collections that other people made.
        Raises OSError or ValueError, with the remedy, if files are missing, damaged or foreign.
        """
        path = _as_path(path, "the list or the vectors of a collection")
        if path.suffix != ".npy":
            names, path = path, vectors_path(path)
        if not path.is_file() and names is not None and Path(names).suffix in TABLES:
            raise ValueError(TEXTS_REMEDY.format(names))
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
        progress: Counts = ignore_counts,
        allow_outside: bool = False,
        exclude: str | Sequence[str] | None = None,
    ) -> "Collection":
        """Create the collection of a folder or archive of images: extract the vectors, build the index, open them.

        >>> Collection.create("photos").nearest(0)

        The files are written into the folder `output`, as by `similar-images extract` and `build`; if they exist, only
        new images are encoded. `network` is a name of the catalog, by default the one of the existing vectors or
        efficientnetlite0. `progress` gets the number of finished images, and of all. Symbolic links that lead out of
        the folder are followed with `allow_outside` only. `exclude` are patterns, as in a .gitignore, of new images to
        leave out, by default the patterns of the last run.
        Raises ValueError if there are no images or another network made the vectors, OSError if a file cannot be
        written. Unreadable images are skipped: see `vectors.skipped`.
        """
        from similar_images.collection.create import create_files
        from similar_images.vectors.extract import STEP

        images = _as_path(images, "a folder or archive of images") if not isinstance(images, str) else images
        patterns = [exclude] if isinstance(exclude, str) else exclude
        place = parse_location(images)
        report = report_counts(progress, STEP)
        return cls.open(create_files(place, Path(output), network, report, allow_outside, patterns))

    def image(self, row: int) -> Path | bytes:
        """Return the image of a row as images.open_image takes it.

        Raises IndexError for an unknown row, ValueError if the folder or archive is unknown, UnreadableImage
        if the image is missing, or if its name leads out of the folder.
        """
        source = self._known_source()
        self.searcher.check_row(row)
        return source.image(self.names[row])

    def path(self, row: int) -> Location:
        """Return the path of a row's image; in an archive, the archive's path followed by the name in it.

        `row` is its inverse. Raises IndexError for an unknown row, ValueError if the folder or archive is unknown,
        UnreadableImage if the name leads out of it.
        """
        source = self._known_source()
        self.searcher.check_row(row)
        return source.locate(self.names[row])

    def _known_source(self) -> Source:
        if self.source is None:
            raise ValueError("the folder of the images is unknown: give it with images=FOLDER (-d)")
        return self.source

    def read_exif(self, progress: Counts = ignore_counts) -> None:
        """Read the columns `date`, `camera`, `latitude`, `longitude`, `keywords` and `rating` from the photographs.

        Date, camera and location are from EXIF, the location in degrees, positive in the north and east. Keywords,
        separated by "; ", are from XMP, IPTC and Windows' tags of EXIF, the rating (1 to 5, -1: rejected) from XMP or EXIF.
        They are kept beside the list, in LIST.exif.npz; only new images are read, on all cores. `progress` gets the
        number of finished images, and of all. Raises ValueError if the folder or archive is unknown, OSError if it is
        missing or the file cannot be written.
        """
        source = self._known_source()
        if not source.exists():
            raise FileNotFoundError(f"the images are not in {source.path}: give their folder with images=FOLDER (-d)")
        update_exif(list_path(self.vectors.path), self.names, source, report_counts(progress))
        self.store.forget_columns()

    def row(self, image: str | Path) -> int | None:
        """Return the row of an image by its name, or by its path in the collection's folder; None if unknown.

        A file outside of the collection has no row, even if its name is in the collection.
        Raises ValueError if the folder of the images is unknown and the name may be either.
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

        The first call loads the network. Raises UnreadableImage, TypeError for anything else, and ValueError if
        another network made the vectors.
        """
        return self.encoder.encode(new)

    def encode_text(self, text: str, prompt: str = PROMPT_SLOT) -> Query:
        """Return the query of words for `nearest`, also in a list. The first call loads the network.

        The words replace the {} of the `prompt`: see `similar-images evaluate --networks`.
        Raises ValueError for an empty text, a prompt without {}, a network that does not read words, or a similarity
        other than the cosine, which is fitted on vectors of images.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected words as str, got {type(text).__name__}")
        if reason := rejection_reason(text):
            raise ValueError(f"expected words to search for: {reason}")
        prompted_words = fill_prompt(to_one_line(text), prompt)
        if not reads_words(self.network):
            return super().encode_text(text, prompt)
        if not self.similarity.is_cosine:
            raise ValueError(
                f"words cannot be compared by the {self.similarity.name} similarity of this index: build it with "
                f"--similarity cosine"
            )
        return self.encoder.encode_words(text, prompted_words)

    def is_like_nothing(self, hits: list[Hit], where: Where | None = None, text: str | Query | None = None) -> bool:
        """Return whether the best hit is less similar than the best hits of 99% of the collection's own rows.

        The share is 98% (centred) or 96% (whitened) with these similarities, which detect less. After a search with
        `where`, only matching rows count. Similarities of words have another scale: with the `text` of a query, or its
        result of `encode_text`, return whether more than 5% of some 200 phrases describe the best hits better, as in
        zero-shot classification (Radford et al., "Learning transferable visual models from natural language
        supervision", 2021). False if unknown, or if there are too few rows.
        """
        if text is None or not hits:
            return super().is_like_nothing(hits, where)
        query = text if isinstance(text, Query) else self.encode_text(text)
        _, found = unit_rows(self.compared, np.array([hit.row for hit in hits[:WORDS_HITS]]))
        better = described_better(found, normalise(query.vector[None])[0], self.encoder.phrases)
        return better > MAX_BETTER_PHRASES

    def explain(self, query: images.ImageSource | np.ndarray | int | Query | list[Any], row: int) -> Explanation:
        """Return why the image of a row is similar to a query: a heat map of the matching parts over each.

        >>> why = collection.explain("holiday.jpg", 12)
        >>> why.hit.over(collection.image(12)).save("why.png")

        A query is as `nearest` takes it. The first entry of a list is explained. A query without an image, such as a
        vector, gives a heat map over the hit alone, if the network's vectors are means of its feature maps. The first
        call loads the network.
        Raises IndexError or ValueError for an unknown or skipped row, UnreadableImage, and ValueError for words, and for
        a network without feature maps.
        """
        while isinstance(query, list) or (isinstance(query, tuple) and not isinstance(query, Query)):
            if not query:
                raise ValueError("expected at least one query, got none")
            query = query[0]
        self.vector(row)
        if isinstance(query, Query):
            if query.words is not None:
                raise ValueError("words match no parts that can be shown: give an image to explain a hit with")
            self.encoder.check(query.network)
        encoder = self.encoder.load()
        hit = self._open_row(row)
        if is_row(query):
            self.vector(int(query))
            return explain(encoder, self.similarity, self._open_row(int(query)), hit)
        if isinstance(query, Query) or is_vector(query):
            vector, _ = self.searcher.encode(query)
            self.searcher.transform([vector])  # checks it
            return explain(encoder, self.similarity, vector, hit)
        return explain(encoder, self.similarity, self.encoder.open_image(query), hit)

    def changed_query(self, row: int) -> Query | None:
        """Return the query of a row's image if its file has changed since its vector was made, otherwise None.

        None if the network is not available. The file is compared with its record; without one, only a file in a folder,
        newer than the vectors, is compared, which loads the network.
        """
        path = self.path(row) if self.source else None
        if not isinstance(path, Path) or not _is_file(path):
            return None
        if self.vectors.records is not None and self.vectors.records[row]["size"] >= 0:
            return self.encode(path) if self.file_state(row) == CHANGED else None
        status = path.stat()
        if max(status.st_mtime_ns, status.st_ctime_ns) <= self.vectors.path.stat().st_mtime_ns:
            return None
        try:
            query = self.encode(path)
        except (OSError, ValueError):  # it is unreadable, or the network is not available
            return None
        new, stored = normalise(np.stack([query.vector, self.vector(row)]))
        return query if float(new @ stored) < MIN_UNCHANGED else None

    def _open_row(self, row: int) -> Image.Image:
        return _open_named(self.image(row), self.names[row])


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
