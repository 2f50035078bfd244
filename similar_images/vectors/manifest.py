"""The manifest of vectors: their network, their list, the number of complete rows, and the skipped ones."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from similar_images.events import Skipped
from similar_images.inputs.sources import Location, parse_location
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import versioned_name
from similar_images.records import OMIT_NONE, read_record

HEAD_BYTES = 200  # a manifest begins with its format
DTYPES = ("float32", "float16")
REMEDY = "rebuild the vectors with --overwrite"


@dataclass(frozen=True)
class Runtime:
    """The backend, number format and batch that compute a network; None: unknown."""

    name: str | None = field(default=None, metadata=OMIT_NONE)
    precision: str | None = field(default=None, metadata=OMIT_NONE)
    batch: int | None = field(default=None, metadata=OMIT_NONE)  # items


@dataclass(frozen=True)
class NameList:
    """The list of the names, as a manifest records it."""

    file: str  # relative to the manifest
    sha256: str  # over the n names


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Rows that a run adds to complete vectors; readers open the vectors without them."""

    n: int  # with the new rows
    rows_done: int
    names: NameList
    skipped: tuple[Skipped, ...]  # of all rows


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A record of vectors, in the file beside them. Row i is line i of the list."""

    FORMAT: ClassVar[str] = "similar-images vectors 1"
    network: NetworkDescription
    files: dict[str, str]  # of the network: "model" or "weights", relative to the manifest
    engine: Runtime = Runtime()
    n: int
    d: int
    dtype: str
    rows_done: int
    names: NameList
    images: str | None  # the folder of images, relative to the manifest, or its address; None: the names are texts
    allow_outside: bool = False  # whether names may lead out of the folder of images
    exclude: tuple[str, ...] = ()  # patterns of new images to leave out
    decoding: int | None = 1  # images.DECODING_VERSION when the rows were computed; None for texts
    skipped: tuple[Skipped, ...]
    sha256: str | None  # of the complete .npy; None for large vectors that have grown
    sample: str | None = None  # fingerprint over SAMPLE_ROWS of the complete .npy
    blocks: list[str] | None = None  # digests of all rows of the complete .npy, in blocks
    growing: Growth | None = field(default=None, metadata=OMIT_NONE)  # of complete vectors

    def __post_init__(self) -> None:
        if not (self.rows_done <= self.n and self.d and self.dtype in DTYPES):
            raise ValueError(f"{self.rows_done} of {self.n} rows of {self.d} {self.dtype}")
        if any(entry.row >= self.n for entry in self.skipped):
            raise ValueError(f"a skipped row beyond the {self.n} rows")
        if self.growing and not (self.is_complete and self.n <= self.growing.rows_done <= self.growing.n):
            raise ValueError(f"growing: {self.growing.rows_done} of {self.growing.n} rows after {self.n}")

    @property
    def is_complete(self) -> bool:
        return self.sha256 is not None or self.blocks is not None

    @property
    def latest(self) -> "Manifest":
        """The manifest with the rows of an unfinished run among its own, incomplete."""
        if self.growing is None:
            return self
        state: dict[str, Any] = {key: getattr(self.growing, key) for key in ("n", "rows_done", "names", "skipped")}
        return replace(self, **state, sha256=None, sample=None, blocks=None, growing=None)

    def place(self, vectors: Path) -> Location | None:
        """Return the place of the images of the vectors at this path; None for texts."""
        if self.images is None:
            return None
        place = parse_location(self.images)
        return vectors.parent / place if isinstance(place, Path) else place

    def network_name(self, vectors: Path) -> str:
        """Return the network as loader.load takes it: a local network by its folder, a hub network by its commit."""
        if self.network.source == "folder" and "model" in self.files:
            return str(vectors.parent / self.files["model"])
        return versioned_name(self.network)


def manifest_path(vectors: Path) -> Path:
    return vectors.with_suffix(".json")


def has_manifest(vectors: Path) -> bool:
    """Return whether a manifest of this package is beside the vectors; only its beginning is read."""
    try:
        with manifest_path(vectors).open("rb") as file:
            return f'"{Manifest.FORMAT}"'.encode() in file.read(HEAD_BYTES)
    except OSError:
        return False


def read_manifest(vectors: Path) -> Manifest:
    """Return the manifest of the vectors at this path. Raises ValueError if it is damaged."""
    return read_record(manifest_path(vectors), Manifest, REMEDY)


def read_excluded(vectors: Path) -> tuple[str, ...]:
    """Return the patterns recorded with the vectors at this path, of left-out images; none if they cannot be read."""
    try:
        return read_manifest(vectors).exclude
    except (OSError, ValueError):
        return ()


def read_network_name(vectors: Path) -> str | None:
    """Return the network of the vectors at this path, as loader.load takes it; None if it cannot be read."""
    try:
        return read_manifest(vectors).network_name(vectors)
    except (OSError, ValueError):
        return None
