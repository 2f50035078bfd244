"""Locations of images, a path or an address such as s3://bucket/photos, and the interface of every source of images.

A new kind of source is a subclass of `Source` in a module of its own, chosen by `open_source`.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple

from similar_images.inputs.exclusions import MAX_IGNORE_BYTES, Exclusions, is_ignore_file
from similar_images.inputs.formats import archive_suffix
from similar_images.inputs.images import LIMITS, OUTSIDE_FOLDER, OVER_LIMIT, Limits, UnreadableImage
from similar_images.inputs.listing import Listing


class Address(str):
    """An address of a folder or file, `s3://bucket/photos`; joined and shown like a path."""

    def __truediv__(self, name: str) -> "Address":
        return Address(f"{self.rstrip('/')}/{name}") if name else self

    @property
    def name(self) -> str:
        return self.rstrip("/").rsplit("/", 1)[-1]

    def absolute(self) -> "Address":
        return self

    resolve = absolute


Location = Path | Address
MAX_MODIFIED = 2**63 - 1


class FileStatus(NamedTuple):
    """A file without its content; an edit changes at least one of the two."""

    size: int  # bytes
    modified: int  # nanoseconds since 1970; in an archive or object storage a digest of its time and checksum


def parse_location(location: str | Path) -> Location:
    """Return the location that a user or a manifest names: an address if it has a protocol, else a path."""
    return Address(location) if isinstance(location, str) and "://" in location else Path(location)


def file_status(file: str | Path) -> FileStatus:
    """Return the status of a file on disk. Raises OSError, or ValueError for an impossible name."""
    status = os.stat(file)  # noqa: PTH116  # Path.stat is slower
    return FileStatus(status.st_size, status.st_mtime_ns)


def digest_text(text: str) -> int:
    """Return a number of 63 bits that differs, almost certainly, for another text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def location_title(location: Location) -> str:
    """Return the name of a folder or archive, without the suffix of an archive."""
    name = location.resolve().name
    return name[: len(name) - len(archive_suffix(name))]


class Source(ABC):
    """Images by name. Names are relative to `path`, with `/`. Threads may share a source."""

    path: Location
    in_memory = True  # whether `image` returns bytes
    readers = 1  # threads that can read at once, at least
    allow_outside = False  # whether names may lead out of `path`

    @abstractmethod
    def find(self, exclude: Sequence[str] = ()) -> Listing:
        """Return the names of all images, by suffix, and the left-out files.

        `exclude` are patterns as in a .gitignore. Raises ValueError for an invalid pattern, also in an ignore file.
        """

    @abstractmethod
    def exists(self, name: str = "") -> bool:
        """Return whether the source itself, or an entry of this name in it, exists."""

    @abstractmethod
    def is_file(self, name: str) -> bool:
        """Return whether a name is a file."""

    @abstractmethod
    def join(self, name: str) -> Location | None:
        """Return the location of a file, without reading; None if the name leads outside."""

    @abstractmethod
    def status(self, name: str) -> FileStatus:
        """Return the status of a file. Raises OSError, or ValueError for an invalid or outside name."""

    def listed_status(self, name: str) -> FileStatus:
        """Return the status of a file that `find` has just listed. Raises as `status` does."""
        return self.status(name)

    def latest_unchanged(self, time: int) -> int:
        """Return the largest `modified` of files that have not changed since a time, nanoseconds since 1970.

        Here all files: a storage does not say when a file changed.
        """
        return MAX_MODIFIED

    @abstractmethod
    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Return the open file as a context manager. Raises OSError or UnreadableImage."""

    def size(self, name: str) -> int:
        """Return the size of a file in bytes. Raises as `status` does."""
        return self.status(name).size

    def locate(self, name: str) -> Location:
        """Return the location of a file, whether or not it exists. Raises UnreadableImage if it is outside."""
        location = self.join(name)
        if location is None:
            raise UnreadableImage(OUTSIDE_FOLDER)
        return location

    def match_name(self, name: str) -> str:
        """Return a name in the spelling of the source, e.g. with composed or decomposed accents."""
        return name

    def read_ignore_files(self, exclusions: Exclusions, names: Iterable[str]) -> None:
        """Add the ignore files among these names. Raises OSError or ValueError if one cannot be read."""
        for name in filter(is_ignore_file, names):
            try:
                with self.open(name) as file:
                    exclusions.add_ignore_file(name, file.read(MAX_IGNORE_BYTES + 1))
            except UnreadableImage as error:
                raise ValueError(f"{self.path / name}: {error}") from error

    def has_any(self, names: list[str]) -> bool:
        """Return whether at least one of the names is a file."""
        return any(self.is_file(name) for name in names if name)

    def image(self, name: str, limits: Limits = LIMITS) -> Path | bytes:
        """Return an image file as `images.open_image` takes it.

        Raises UnreadableImage if it is missing, too large or damaged, OSError if the source fails.
        """
        size = self.size(name)
        if size > limits.bytes:
            raise UnreadableImage(f"{size} bytes: {OVER_LIMIT} {limits.bytes} bytes")
        with self.open(name) as file:
            return file.read(size)
