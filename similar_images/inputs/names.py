"""Names of images: in a list on disk, one per line, in a terminal and in CSV cells. Row i is line i."""

import hashlib
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TextIO

from similar_images.files import replace_file
from similar_images.inputs.formats import is_image

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
FORMULA = re.compile(r"'*[=+\-@\t\r]")  # beginning of a cell that spreadsheets compute, after any quotes
MAX_EXAMPLES = 3  # in a message


class NameRows:
    """Rows by name. Names match whether their accents are composed or decomposed."""

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
        """Return the rows of a name, in order; an empty list if it is unknown."""
        return self._rows.get(name) or ([] if name.isascii() else self._composed.get(compose(name), []))

    @cached_property
    def _composed(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for name in (name for name in self._rows if not name.isascii()):
            rows.setdefault(compose(name), []).extend(self._rows[name])
        return {name: sorted(some) for name, some in rows.items()}


def compose(name: str) -> str:
    """Return a name with its accents composed (Unicode's NFC); macOS gives names decomposed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def show_examples(names: list[str]) -> str:
    """Return the first names of a list, for a message."""
    return ", ".join(escape_line(name) for name in names[:MAX_EXAMPLES]) + ", ..." * (len(names) > MAX_EXAMPLES)


def fold_case(name: str) -> str:
    """Return a name for comparison, without case and with composed accents."""
    return name.casefold() if name.isascii() else compose(compose(name).casefold())


def is_blank(name: str) -> bool:
    """Return whether a line of a list is blank."""
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
    """Return a name or message as one printable line, with escapes for unprintable characters."""
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in name
    )


def one_line(error: Exception, limit: int | None = 300) -> str:
    """Return the message of an error on one line, or its type if it has none."""
    return (" ".join(str(error).split()) or type(error).__name__)[:limit]


def escape_controls(text: str) -> str:
    """Return a text of several lines, with escapes for control characters, which a terminal would obey."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def csv_cell_for(file: TextIO) -> Callable[[str], str]:
    """Return the function from a name to its cell: exact in a file, without control characters on stdout."""
    if file.isatty():
        return escape_line
    return (lambda name: escape_controls(to_csv_cell(name))) if file is sys.stdout else to_csv_cell


def to_csv_cell(name: str) -> str:
    """Return a name for a CSV file, quoted if a spreadsheet would compute it as a formula (OWASP)."""
    return f"'{name}" if FORMULA.match(name) else name


def from_csv_cell(cell: str) -> str:
    """Return the name in a cell of `to_csv_cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
