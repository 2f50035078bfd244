"""CSV tables of other programs: find their separator, check their header, read their rows within a limit."""

import csv
from collections.abc import Iterator
from typing import TextIO

SEPARATORS = ",;\t"
MAX_CELL_CHARS = 2**27  # the csv module's default is shorter than some texts


def read_table(
    file: TextIO, wanted: str, max_row_chars: int = MAX_CELL_CHARS, preferred: str = ","
) -> tuple[list[str], Iterator[list[str]]]:
    """Return the names of the columns of a CSV table and its rows, each with as many cells; blank lines are left out.

    `file` is opened with newline="". The separator is the comma, semicolon or tab that makes `wanted` the name of a
    column, otherwise the one that makes the most columns, `preferred` if there are several. Quotes protect separators
    and line breaks (RFC 4180), but not in a table with tabs whose file is expected to have them, unless its header is
    quoted.
    Raises ValueError, with the number of the line, for a table without a header, a row with another number of cells
    or more than `max_row_chars`, and unbalanced quotes; the iterator does so too.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARS))
    lines = _BoundedLines(file, max_row_chars)
    first = next(lines, "")
    if not first:
        return [], iter(())
    if not first.strip():
        raise ValueError("line 1 is empty: expected the names of the columns")
    separator = find_separator(first, wanted, preferred)
    is_quoted = not separator == preferred == "\t" or all(
        cell.startswith('"') and cell.endswith('"') for cell in first.strip().split("\t")
    )
    lines.put_back(first)
    reader = csv.reader(
        lines, delimiter=separator, strict=True, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    )
    rows = _numbered(reader, lines)
    _, header = next(rows)
    return [name.strip() for name in header], _checked(rows, len(header))


def find_separator(header: str, wanted: str, preferred: str = ",") -> str:
    """Return the separator of a table from its first line; see `read_table`."""

    def names(separator: str) -> list[str]:
        return [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]

    candidates = sorted(SEPARATORS, key=lambda separator: separator != preferred)
    by_name = (separator for separator in candidates if wanted in names(separator))
    return next(by_name, None) or max(candidates, key=lambda separator: len(names(separator)))


class _BoundedLines:
    """The lines of a file, of which a row may take so many characters."""

    def __init__(self, file: TextIO, max_row_chars: int):
        self._file, self._max = file, max_row_chars
        self._waiting: list[str] = []
        self.begin_row()

    def begin_row(self) -> None:
        self._left = self._max

    def put_back(self, line: str) -> None:
        self._waiting.append(line)

    def __iter__(self) -> "_BoundedLines":
        return self

    def __next__(self) -> str:
        line = self._waiting.pop() if self._waiting else self._file.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._left -= len(line)
        if self._left < 0:
            raise ValueError(f"expected a row of at most {self._max:,} characters, got more")
        return line


def _numbered(reader: Iterator[list[str]], lines: _BoundedLines) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a reader with the number of their last line. Raises ValueError with that of a broken row."""
    while True:
        lines.begin_row()
        began = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            row = next(reader, None)
        except csv.Error as error:
            number = reader.line_num  # type: ignore[attr-defined]
            raise ValueError(f"line {number}: expected a CSV table with quoted texts: {error}") from error
        except UnicodeError:
            raise
        except ValueError as error:
            raise ValueError(f"line {began}: {error}") from error
        if row is None:
            return
        if row:
            yield reader.line_num, row  # type: ignore[attr-defined]


def _checked(rows: Iterator[tuple[int, list[str]]], count: int) -> Iterator[list[str]]:
    """Yield rows that have so many cells. Raises ValueError for others."""
    for number, row in rows:
        if len(row) != count:
            raise ValueError(f"line {number}: expected {count} fields, as in line 1, got {len(row)}")
        yield row
