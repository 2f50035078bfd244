"""Texts in a file: one per line, or a column of a table."""

import codecs
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from similar_images.inputs.names import read_names
from similar_images.inputs.tables import read_table

TABLES = (".csv", ".tsv", ".jsonl")
SUFFIXES = (".txt", *TABLES)
COLUMN = "text"  # the default of several columns
ENCODING = "utf-8"
PROMPT_SLOT = "{}"  # in a prompt, for the words of a query
MAX_CHARACTERS = 100_000  # of a text; longer ones are probably mistakes


def read_texts(path: Path, column: str | None = None, encoding: str = ENCODING) -> list[str]:
    """Return the texts of a .txt, one per line, or of a column of a .csv, .tsv or .jsonl, each as a single line.

    A .csv quotes texts with separators, quotes or line breaks (RFC 4180). A .tsv has no quotes, unless its header is
    quoted. The first line names the columns; they are separated by commas, semicolons or tabs. The default column is
    "text", or the only one.
    Raises ValueError, with the line number, if the file does not have the format of its suffix.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"expected a file of texts ending in {', '.join(SUFFIXES)}, got {path}")
    if path.suffix == ".txt" and column is not None:
        raise ValueError(f"{path} has one text per line and no columns: omit --column")
    readers: dict[str, Callable[[TextIO, str | None], Iterator[str]]] = {".txt": _lines, ".jsonl": _objects}
    read = readers.get(path.suffix, _table)
    try:
        with _open(path, encoding) as file:
            texts = list(read(file, column))
    except UnicodeError as error:
        raise ValueError(f"{path} is not in {encoding}: specify its encoding with --encoding ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not any(texts):
        raise ValueError(f"{path} is empty: expected texts")
    return texts


def read_columns(path: Path, encoding: str = ENCODING) -> list[str | None]:
    """Return the columns for `read_texts`, the default first; [None] for a file without columns."""
    try:
        with _open(path, encoding) as file:
            if path.suffix == ".jsonl":
                found = list(dict(json.loads(next((line for line in file if line.strip()), "{}"))))
            else:
                found = [] if path.suffix == ".txt" else list(filter(None, _open_table(file, None)[0]))
    except (TypeError, ValueError):
        found = []  # read_texts reports the reason
    return sorted(found, key=lambda name: name != COLUMN) or [None]


def text_list_path(path: Path, encoding: str = ENCODING) -> Path:
    """Return the path of the list of texts, one per row: the file itself if it is UTF-8 .txt, otherwise beside it."""
    is_list = path.suffix == ".txt" and _is_utf8(encoding)
    return path if is_list else path.with_name(f"{path.stem}_list.txt")


def check_list(path: Path, texts: list[str], overwrite: bool) -> None:
    """Raise FileExistsError if the list exists and is not the beginning of these texts."""
    if path.exists() and not overwrite:
        listed = read_names(path)
        if listed != texts[: len(listed)]:
            raise FileExistsError(f"{path} is a list of other texts: move it, or use --overwrite")


def to_one_line(text: str) -> str:
    """Return a text as one line of a list: without line breaks and lone surrogates."""
    return " ".join(text.splitlines()).encode("utf-8", "replace").decode()


def fill_prompt(text: str, prompt: str) -> str:
    """Return a prompt such as "a photo of a {}" with a text in place of {}. Raises ValueError if {} is missing."""
    if PROMPT_SLOT not in prompt:
        raise ValueError(
            f'expected a prompt with {PROMPT_SLOT} for the words, such as "a photo of a {PROMPT_SLOT}", got "{prompt}"'
        )
    return prompt.replace(PROMPT_SLOT, text)


def rejection_reason(text: str) -> str | None:
    """Return the reason for skipping a text, or None."""
    if not text.strip():
        return "empty text"
    if len(text) > MAX_CHARACTERS:
        return f"{len(text):,} characters: expected at most {MAX_CHARACTERS:,}"
    return None


def _open(path: Path, encoding: str) -> TextIO:
    newline = None if path.suffix == ".txt" else ""
    return path.open(encoding="utf-8-sig" if _is_utf8(encoding) else encoding, newline=newline)


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == ENCODING


def _lines(file: TextIO, _: str | None) -> Iterator[str]:
    yield from file.read().removesuffix("\n").split("\n")  # as names.read_names does


def _table(file: TextIO, column: str | None) -> Iterator[str]:
    header, rows = _open_table(file, column)
    if header:
        position = header.index(_column(column and column.strip(), header))
        for row in rows:
            yield to_one_line(row[position])


def _open_table(file: TextIO, column: str | None) -> tuple[list[str], Iterator[list[str]]]:
    preferred = "\t" if file.name.endswith(".tsv") else ","
    return read_table(file, column.strip() if column else COLUMN, preferred=preferred)


def _objects(file: TextIO, column: str | None) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield to_one_line(_value(line, column))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from error


def _value(line: str, column: str | None) -> str:
    """Return the text in a line of JSON, "" for null. Raises ValueError or RecursionError if it is missing."""
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError('expected a JSON object such as {"text": "..."}')
    column = _column(column, list(entry))
    if not isinstance(entry[column], str | None):
        raise ValueError(f"expected a text in {column}, got {entry[column]!r:.80}")
    return entry[column] or ""


def _column(column: str | None, columns: list[str]) -> str:
    if column is None:
        column = columns[0] if len(columns) == 1 else COLUMN
    if column not in columns:
        raise ValueError(f"no column {column}: choose one of {', '.join(columns)[:300]} with --column")
    return column
