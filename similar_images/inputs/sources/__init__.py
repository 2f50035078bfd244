"""Sources of images: a folder, a .zip, .tar or .tar.gz, or an address of an object storage.

`source.py` is their interface, and each kind has a module. `open_source` chooses one by the location.
"""

import hashlib
import io
from typing import cast

from similar_images.inputs.formats import ARCHIVE_SUFFIXES, archive_suffix
from similar_images.inputs.sources.archive import Archive
from similar_images.inputs.sources.folder import Folder
from similar_images.inputs.sources.remote import Remote, check_address
from similar_images.inputs.sources.source import (
    Address,
    FileStatus,
    Location,
    Source,
    file_status,
    location_title,
    parse_location,
)

__all__ = [
    "Address",
    "Archive",
    "FileStatus",
    "Folder",
    "Location",
    "Remote",
    "Source",
    "check_source",
    "digest_image",
    "file_status",
    "is_same_location",
    "location_title",
    "open_source",
    "parse_location",
]


def open_source(location: Location | Source, allow_outside: bool = False) -> Source:
    """Return the images in a folder, an archive or at an address, which need not exist.

    A source is returned unchanged. `allow_outside` is for a folder: see Folder.
    """
    if isinstance(location, Source):
        return location
    if isinstance(location, Address):
        return Remote(location)
    for file in (location, *location.parents):
        if archive_suffix(file.name) and not file.is_dir():
            return Archive(location, file)
    return Folder(location, allow_outside)


def check_source(location: Location) -> None:
    """Raise ValueError, with the remedy, for a path without a folder or archive, or an unsupported address."""
    if isinstance(location, Address):
        return check_address(location)
    expected = f"expected a folder or an archive ({', '.join(ARCHIVE_SUFFIXES)})"
    if location.is_file() and not archive_suffix(location.name):
        raise ValueError(f"{expected}, got the file {location}")
    if not open_source(location).exists():
        raise ValueError(f"{location} does not exist: {expected}")


def is_same_location(one: Location, other: Location) -> bool:
    """Return whether two locations are equal; a missing folder, probably moved, equals any folder."""
    if isinstance(one, Address) or isinstance(other, Address):
        return one == other
    if one.exists() and other.exists():
        return one.samefile(other)
    return not open_source(one).exists() or one.resolve() == other.resolve()  # a folder in an archive is not on disk


def digest_image(source: Source, name: str) -> tuple[int, str]:
    """Return the size of an image file in bytes and its SHA-256. Raises OSError or UnreadableImage."""
    with source.open(name) as file:
        sha256 = hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
        return file.tell(), sha256
