"""Locations of images: a path, or an address such as s3://bucket/photos."""

from pathlib import Path

from similar_images.inputs.formats import archive_suffix


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


def parse_location(location: str | Path) -> Location:
    """Return the location that a user or a manifest names: an address if it has a protocol, else a path."""
    return Address(location) if isinstance(location, str) and "://" in location else Path(location)


def location_title(location: Location) -> str:
    """Return the name of a folder or archive, without the suffix of an archive."""
    name = location.resolve().name
    return name[: len(name) - len(archive_suffix(name))]


def is_same_location(one: Location, other: Location) -> bool:
    """Return whether two locations are equal; a missing folder, probably moved, equals any folder."""
    if isinstance(one, Path) and isinstance(other, Path):
        return not one.exists() or one.samefile(other)
    return one == other
