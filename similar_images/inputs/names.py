"""A list of names on disk: UTF-8, a name a line. Row i is line i."""

import hashlib
from pathlib import Path

from similar_images.files import replacing


def read_names(path: Path) -> list[str]:
    """Return the lines of a list of images: UTF-8, a path a line.

    Raises ValueError for an empty list or one that is not UTF-8.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of names: expected UTF-8 text ({error})") from error
    if not content.strip():
        raise ValueError(f"{path} is empty: expected a path of an image on each line")
    return [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]


def write_names(path: Path, names: list[str]) -> None:
    """Write a list of images, a path a line."""
    with replacing(path) as partial:
        partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def names_digest(names: list[str]) -> str:
    """Return the SHA-256 over the names, a line each."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()
