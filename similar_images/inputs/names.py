"""Names of images: found, in a list on disk, one per line, and how they are shown. Row i is line i."""

import hashlib
import os
import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from similar_images.files import replacing
from similar_images.inputs.images import SUFFIXES

FORMULA = re.compile(r"'*[=+\-@\t\r]")  # spreadsheets compute a cell that begins so (without the quotes)


class Found(NamedTuple):
    names: list[str]  # paths relative to the source, with /, sorted
    unlistable: list[str]  # names that do not fit on a line of a list, or that point outside the source


def is_image(name: str) -> bool:
    """Return whether a name has a suffix of images, and is neither hidden nor in a hidden folder."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part != ".." for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def found(names: list[str]) -> Found:
    """Return names of images, sorted, those that a list can hold apart from others."""
    listable = [name for name in names if _is_listable(name)]
    return Found(sorted(listable), sorted(set(names) - set(listable)))


def leads_outside(name: str, folder: Path) -> bool:
    """Return whether a name, joined to a folder, is a path outside of it, by `..` or as an absolute path.

    Symbolic links are not followed: nothing is read.
    """
    if ".." not in name and name[:1] not in ("/", "\\") and ":" not in name:  # most names, at once
        return False
    below = os.path.normpath(Path.cwd() / folder)
    return not Path(os.path.normpath(Path(below) / name)).is_relative_to(below)


def is_inside(file: Path, folder: Path) -> bool:
    """Return whether a file, whether or not it exists, is below a folder after all symbolic links are followed."""
    if "\0" in str(file):  # no file can have this name
        return True
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))


def read_names(path: Path) -> list[str]:
    """Return the lines of a list of images: UTF-8, one path per line.

    Raises ValueError if the list is empty or not UTF-8.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of names: expected UTF-8 text ({error})") from error
    if not content.strip():
        raise ValueError(f"{path} is empty: expected the path of an image on each line")
    return [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]


def write_names(path: Path, names: list[str]) -> None:
    """Write a list of images, one path per line."""
    with replacing(path) as partial:
        partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def names_digest(names: list[str]) -> str:
    """Return the SHA-256 of the names, one per line."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()


def printable(name: str) -> str:
    """Return a name that is safe to print: control characters and what is not text are written as escapes."""
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in name
    )


def to_csv_cell(name: str) -> str:
    """Return a name for a CSV file: a quote is put before what a spreadsheet would take for a formula (OWASP)."""
    return f"'{name}" if FORMULA.match(name) else name


def from_csv_cell(cell: str) -> str:
    """Return the name in a cell of `to_csv_cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _is_listable(name: str) -> bool:
    path = PurePosixPath(name)
    fits_a_line = not any(character in "\r\n" or "\ud800" <= character <= "\udfff" for character in name)
    return fits_a_line and not path.is_absolute() and ".." not in path.parts
