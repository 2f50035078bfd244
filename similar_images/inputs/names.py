"""Names of images: found, in a list on disk, one per line, and how they are shown. Row i is line i."""

import hashlib
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TextIO

from similar_images.files import replace_file
from similar_images.inputs.images import SUFFIXES, UNSUPPORTED_SUFFIXES

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
FORMULA = re.compile(r"'*[=+\-@\t\r]")  # spreadsheets compute a cell that begins so (without the quotes)
EXAMPLES, SUFFIXES_SHOWN = 3, 6  # in a message

# Kinds of files left out of a source: how they are called in a report, and the remedy or reason.
UNSUPPORTED = ("images of unsupported formats", "convert them to JPEG or PNG")
NESTED = ("archives", "extract each on its own, with -d")
OUTSIDE_LINKS = ("symbolic links that lead outside", "--allow-outside follows them")
INSIDE_LINKS = ("symbolic links to folders", "their images are found in the folders")
ARCHIVED_LINKS = ("symbolic links in an archive", "unpack it to follow them")
HIDDEN = ("hidden files or folders", "rename them without the leading dot")
UNREADABLE = ("folders without permission to read", "change their permissions")
SPECIAL = ("devices, pipes or links to missing files", "they hold no image")
UNLISTABLE = ("absolute names, names with .. or not one line of UTF-8", "rename them")
OTHER = ("other files", "their suffix is not of an image")
Kind = tuple[str, str]


class NameRows:
    """The rows of names. A name with composed accents finds the same name with decomposed ones, and the reverse."""

    def __init__(self, names: Iterable[str]):
        self._rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            self._rows.setdefault(name, []).append(row)

    def __len__(self) -> int:
        """Return the number of different names."""
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return bool(self[name])

    def __getitem__(self, name: str) -> list[int]:
        """Return the rows of a name, in order; none if it is unknown."""
        return self._rows.get(name) or ([] if name.isascii() else self._composed.get(compose(name), []))

    @cached_property
    def _composed(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for name in (name for name in self._rows if not name.isascii()):
            rows.setdefault(compose(name), []).extend(self._rows[name])
        return {name: sorted(some) for name, some in rows.items()}


class Listing(NamedTuple):
    names: list[str]  # paths relative to the source, with /, sorted
    unlistable: list[str]  # names that do not fit on a line of a list, or that point outside the source
    left_out: dict[Kind, list[str]]  # sorted names of everything else, which no image is taken from

    def notes(self) -> list[str]:
        """Return a sentence for each kind of left-out files."""
        return [_note(kind, names) for kind, names in {UNLISTABLE: self.unlistable, **self.left_out}.items() if names]


def is_image(name: str) -> bool:
    """Return whether a name has a suffix of images, and is neither hidden nor in a hidden folder."""
    return _kind(name) is None


def classify(names: Iterable[str], left_out: Mapping[Kind, Iterable[str]]) -> Listing:
    """Return which of the names of all files are images, sorted, and the others by kind, added to `left_out`."""
    images, names = set[str](), list(names)  # names may still fill left_out
    others = {kind: set(some) for kind, some in left_out.items()}
    for name in names:
        kind = _kind(name)
        (images if kind is None else others.setdefault(kind, set())).add(_hidden_part(name) if kind == HIDDEN else name)
    listable = sorted(filter(_is_listable, images))
    return Listing(
        listable, sorted(images.difference(listable)), {kind: sorted(others[kind]) for kind in sorted(others)}
    )


def compose(name: str) -> str:
    """Return a name with its accents composed (Unicode's NFC); macOS gives names decomposed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def show_examples(names: list[str]) -> str:
    """Return the first names of a list, for a message."""
    return ", ".join(escape_line(name) for name in names[:EXAMPLES]) + ", ..." * (len(names) > EXAMPLES)


def fold_case(name: str) -> str:
    """Return a name to compare without regard to case, and to how its accents are composed."""
    return name.casefold() if name.isascii() else compose(compose(name).casefold())


def is_blank(name: str) -> bool:
    """Return whether a line of a list names no image."""
    return not name.strip()


def find_line_error(name: str) -> str | None:
    """Return a probable mistake in a line of a list, or None."""
    fields = re.split(r"[,;\t]", name)
    if len(fields) > 1 and (is_image(fields[0].strip(" \"'")) or not is_image(name.strip(" \"'"))):
        return "several columns: keep only the paths"
    if name != name.strip():
        return "spaces around the path: remove them"
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'`":
        return "quotes around the path: remove them"
    return None


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
    with replace_file(path) as partial:
        partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def names_digest(names: list[str]) -> str:
    """Return the SHA-256 of the names, one per line."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()


def escape_line(name: str) -> str:
    """Return a name that is safe to print: control characters and what is not text are written as escapes."""
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in name
    )


def escape_controls(text: str) -> str:
    """Return a text of several lines or cells for stdout or stderr: control characters, which a terminal would obey, as escapes."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def csv_cell_for(file: TextIO) -> Callable[[str], str]:
    """Return a function that gives the cell for a name: exact in a file, on stdout without control characters."""
    if file.isatty():
        return escape_line
    return (lambda name: escape_controls(to_csv_cell(name))) if file is sys.stdout else to_csv_cell


def to_csv_cell(name: str) -> str:
    """Return a name for a CSV file: a quote is put before what a spreadsheet would take for a formula (OWASP)."""
    return f"'{name}" if FORMULA.match(name) else name


def from_csv_cell(cell: str) -> str:
    """Return the name in a cell of `to_csv_cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _kind(name: str) -> Kind | None:
    """Return the kind of a file that is no image; None for an image."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    in_hidden = any(_is_hidden(part) for part in path.parts[:-1])
    if in_hidden or (_is_hidden(path.name) and suffix in SUFFIXES | UNSUPPORTED_SUFFIXES):
        return HIDDEN
    if suffix in SUFFIXES:
        return None
    if suffix in UNSUPPORTED_SUFFIXES:
        return UNSUPPORTED
    return NESTED if name.lower().endswith(ARCHIVES) else OTHER


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part != ".."


def _hidden_part(name: str) -> str:
    """Return the hidden file or folder, ending in /, that a name leads to first."""
    parts = name.split("/")
    end = next(i for i, part in enumerate(parts) if _is_hidden(part)) + 1
    return "/".join(parts[:end]) + "/" * (end < len(parts))


def _note(kind: Kind, names: list[str]) -> str:
    several, remedy = kind
    shown = show_examples(names)
    if kind in (UNSUPPORTED, OTHER):
        counts = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names).most_common()
        counts.sort(key=lambda count: (-count[1], count[0]))
        shown = ", ".join(f"{count} {escape_line(suffix)}" for suffix, count in counts[:SUFFIXES_SHOWN])
        shown += (
            f", {sum(count for _, count in counts[SUFFIXES_SHOWN:])} others" if len(counts) > SUFFIXES_SHOWN else ""
        )
    return f"left out: {several}: {len(names)} ({shown}); {remedy}"


def _is_listable(name: str) -> bool:
    path = PurePosixPath(name)
    fits_a_line = not any(character in "\r\n" or "\ud800" <= character <= "\udfff" for character in name)
    return fits_a_line and not path.is_absolute() and ".." not in path.parts
