"""CSV tables of other programs: detect the separator, check the header, read rows within a limit."""

import csv
from collections.abc import Iterator
from typing import TextIO

SEPARATORS = ",;\t"
MAX_CELL_CHARS = 2**27  # the csv module's default is shorter than some texts


def read_table(
    file: TextIO, wanted: str, max_row_chars: int = MAX_CELL_CHARS, preferred: str = ","
) -> tuple[list[str], Iterator[list[str]]]:
    """Return the column names of a CSV table and an iterator over its rows; blank lines are skipped.

    `file` is opened with newline="". The separator is the comma, semicolon or tab that gives a column named `wanted`,
    otherwise the separator with the most columns, with ties going to `preferred`. Quotes protect separators and line
    breaks (RFC 4180). If tabs are `preferred`, they count only if the header is quoted.
    The call and the iterator raise ValueError, with the line number, for a missing header, a row with another number of
    cells or more than `max_row_chars`, and unbalanced quotes.
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
    rows = _number_rows(reader, lines)
    _, header = next(rows)
    return [name.strip() for name in header], _check_lengths(rows, len(header))


def find_separator(header: str, wanted: str, preferred: str = ",") -> str:
    """Return the separator of a table, given its first line; see `read_table`."""

    def names(separator: str) -> list[str]:
        return [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]

    candidates = sorted(SEPARATORS, key=lambda separator: separator != preferred)
    by_name = (separator for separator in candidates if wanted in names(separator))
    return next(by_name, None) or max(candidates, key=lambda separator: len(names(separator)))


class _BoundedLines:
    """The lines of a file, with a limit of characters for each row."""

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


def _number_rows(reader: Iterator[list[str]], lines: _BoundedLines) -> Iterator[tuple[int, list[str]]]:
    """Yield the last line number and the cells of each row. Raises ValueError, with the number, for a broken row."""
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


def _check_lengths(rows: Iterator[tuple[int, list[str]]], count: int) -> Iterator[list[str]]:
    """Yield rows of `count` cells. Raises ValueError for other rows."""
    for number, row in rows:
        if len(row) != count:
            raise ValueError(f"line {number}: expected {count} fields, as in line 1, got {len(row)}")
        yield row
