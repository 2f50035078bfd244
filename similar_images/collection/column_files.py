"""Columns in files beside a collection: the user's table, and EXIF of photographs.

Shape letter: n rows.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from similar_images.collection.columns import ISO, NAME, VECTOR, Arrays, texts
from similar_images.events import Event, Progress, report_counts
from similar_images.files import hold_lock, replace_file
from similar_images.inputs.exif import EXIF_COLUMNS, MAX_CHARS, Exif, read_exif
from similar_images.inputs.keywords import MAX_KEYWORDS_CHARS, UNRATED
from similar_images.inputs.names import NameRows, from_csv_cell, names_digest
from similar_images.inputs.sources import Source
from similar_images.inputs.tables import read_table as read_csv
from similar_images.networks.extras import need

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TABLES = (".columns.csv", ".columns.parquet")  # in place of the .txt of the list
EXIF = ".exif.npz"
FORMAT, DATES_FORMAT = "similar-images-exif 2", "similar-images-exif 1"  # the second has date and camera only
# Numbers as programs write them. A leading zero, or a plus before digits, belongs to a code or to a telephone number.
WHOLE = re.compile(r"0|-?[1-9][0-9]*")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)|[+-]?((0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?|-?inf")
MAX_CELL_CHARS = 2**20
MAX_TEXT_BYTES, MAX_TEXT_BYTES_PER_ROW = 2**26, 2**10  # of a Parquet column before it is read, uncompressed; their sum


def beside(list_file: Path, suffix: str) -> Path:
    """Return the path of a file of columns beside a list: photos.txt has photos.columns.csv."""
    return list_file.with_name(list_file.name.removesuffix(".txt") + suffix)


def read_table(list_file: Path, names: list[str]) -> Arrays:
    """Return the columns (n,) of the table beside a list; none if there is no table.

    Warns of skipped columns. Raises ValueError for a table without a column `name`, and for repeated or unknown names.
    """
    found = [path for suffix in TABLES if (path := beside(list_file, suffix)).is_file()]
    if len(found) > 1:
        raise ValueError(f"expected one table of columns, got {found[0]} and {found[1]}: remove one")
    if not found:
        return {}
    path = found[0]
    rows = NameRows(names)
    table = _csv(path, len(rows)) if path.suffix == ".csv" else _parquet(path, len(rows))
    columns = table.columns
    if table.skipped:
        left_out = ", ".join(f"{column or 'one without a name'} ({why})" for column, why in table.skipped.items())
        warnings.warn(f"{path}: skipped columns: {left_out}", stacklevel=2)
    listed = [name if name in rows else from_csv_cell(name) for name in columns.pop(NAME)]
    if doubled := [name for name, count in Counter(listed).items() if count > 1]:
        raise ValueError(f"{path}: {len(doubled)} names are there more than once, such as {doubled[0]}")
    if unknown := [name for name in listed if name not in rows]:
        raise ValueError(f"{path}: {len(unknown)} names are not in {list_file}, such as {unknown[0]}")
    lines = np.array([line for line, name in enumerate(listed) for _ in rows[name]], np.int64)
    targets = np.array([row for name in listed for row in rows[name]], np.int64)
    return {column: _spread(values, lines, targets, len(names)) for column, values in columns.items()}


def known_exif(list_file: Path, names: list[str]) -> Exif | None:
    """Return the kept EXIF of these names, or of the first ones; None if there is none.

    A file of an earlier version has the date and the camera only.
    """
    try:
        with beside(list_file, EXIF).open("rb") as file, np.load(file, allow_pickle=False) as kept:
            exif = _read_columns(kept) if str(kept["format"]) in (FORMAT, DATES_FORMAT) else {}
            n = len(exif["date"])
            is_whole = n <= len(names) and all(len(values) == n for values in exif.values())
            return exif if is_whole and names_digest(names[:n]) == str(kept["names"]) else None
    except FileNotFoundError:
        return None
    except Exception:  # damaged, in any of the ways in which a zip or an array can be: it is read again
        return None


def _read_columns(kept: Arrays) -> Exif:
    """Return the columns in a file of kept EXIF."""
    exif = {
        "date": kept["dates"].astype("datetime64[s]"),
        "camera": _decoded(kept["cameras"].tolist(), kept["codes"], MAX_CHARS),
    }
    if str(kept["format"]) == FORMAT:
        keywords = kept["keywords"].tobytes().decode().split("\n")
        exif |= {
            "latitude": kept["latitudes"].astype(float),
            "longitude": kept["longitudes"].astype(float),
            "keywords": _decoded(keywords, kept["keyword_codes"], MAX_KEYWORDS_CHARS),
            "rating": kept["ratings"].astype(np.int8),
        }
    return exif


def _decoded(known: Sequence[str], codes: np.ndarray, most: int) -> np.ndarray:
    """Return the text (n,) of each code, cut at `most` characters."""
    short = [text[:most] for text in known]
    return texts([short[code] for code in codes.tolist()])


def _coded(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the different texts of a column, sorted, and the code of each row (n,)."""
    known = sorted(set(values.tolist()))
    code = {text: number for number, text in enumerate(known)}
    return known, np.array([code[text] for text in values], np.int32)


def is_behind(list_file: Path, names: list[str]) -> bool:
    """Return whether the kept EXIF lacks the last of these names."""
    kept = known_exif(list_file, names)
    return kept is not None and len(kept["date"]) < len(names)


def update_exif(list_file: Path, names: list[str], source: Source, progress: Progress) -> None:
    """Read the EXIF of new names, and keep the EXIF of all names beside their list.

    A file of an earlier version is read again from all images. Waits for another thread or process that reads it.
    """
    if _count(known_exif(list_file, names)) == len(names):
        return
    path = beside(list_file, EXIF)
    with hold_lock(path, wait=True):
        kept = known_exif(list_file, names)
        known = _count(kept)
        if known < len(names):
            report = report_counts(lambda done, _: progress(Event("exif", known + done, len(names))))
            new = read_exif(source, names[known:], report)
            if kept is not None and known:
                new = {column: np.concatenate([kept[column], values]) for column, values in new.items()}
            _write_exif(path, names, new)


def _count(exif: Exif | None) -> int:
    """Return how many images have all columns of EXIF."""
    return len(exif["date"]) if exif is not None and exif.keys() >= {*EXIF_COLUMNS} else 0


def _write_exif(path: Path, names: list[str], exif: Exif) -> None:
    cameras, codes = _coded(exif["camera"])
    keywords, keyword_codes = _coded(exif["keywords"])
    with replace_file(path) as partial:
        np.savez(
            partial,
            format=np.array(FORMAT),
            names=np.array(names_digest(names)),
            dates=exif["date"],
            cameras=np.array(cameras, str),
            codes=codes,
            latitudes=exif["latitude"],
            longitudes=exif["longitude"],
            keywords=np.frombuffer(
                "\n".join(keywords).encode(), np.uint8
            ),  # as str, each would take the longest's room
            keyword_codes=keyword_codes,
            ratings=exif["rating"],
        )


def file_columns(list_file: Path, names: list[str]) -> Arrays:
    """Return the columns (n,) of the files beside a list; columns of the table replace EXIF."""
    columns = {}
    for column, values in (known_exif(list_file, names) or {}).items():
        rows = np.arange(len(values))
        if column == "rating":
            values, rows = values.astype(np.int64), np.flatnonzero(values != UNRATED)
        columns[column] = _spread(values, rows, rows, len(names))
    return {**columns, **read_table(list_file, names)}


def _spread(values: np.ndarray, lines: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Spread the values of lines over n rows; a row without a line is empty."""
    if values.dtype.kind in "iu":
        whole = np.ma.array(np.zeros(n, values.dtype), mask=True)
        whole[rows] = values[lines]
        return whole if whole.mask.any() else whole.data
    empty: Any = {"O": "", "f": np.nan, "M": np.datetime64("NaT")}[values.dtype.kind]
    spread = np.full(n, empty, values.dtype)
    spread[rows] = values[lines]
    return spread


class Table(NamedTuple):
    """The columns of a table, an array with a value per line each, and why others were skipped."""

    columns: dict[str, np.ndarray]
    skipped: dict[str, str]


def _too_many_rows(path: Path, most: int, rows: str) -> ValueError:
    return ValueError(f"{path}: expected at most {most:,} rows, one for each name of the list, got {rows}")


def _check_header(path: Path, header: list[str]) -> None:
    """Raise ValueError unless the columns have different names, and one of them is `name`."""
    if NAME not in header:
        raise ValueError(f"{path}: expected a column name, got {', '.join(header)[:200] or 'nothing'}")
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: expected columns of different names, got {', '.join(header)[:200]}")


def _csv(path: Path, most_rows: int) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, rows = read_csv(file, NAME, MAX_CELL_CHARS)
            header = [from_csv_cell(name) for name in header]
            _check_header(path, [name for name in header if name])
            lines = list(islice(rows, most_rows + 1))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from error
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error
    if len(lines) > most_rows:
        raise _too_many_rows(path, most_rows, "more")
    cells = zip(*lines, strict=True) if lines else ([] for _ in header)
    columns = {name: texts(some) if name == NAME else _typed(some) for name, some in zip(header, cells, strict=True)}
    return Table(columns, {"": "no name"} if columns.pop("", None) is not None else {})


def _typed(cells: Sequence[str]) -> np.ndarray:
    """Return cells as numbers or dates if all filled cells are, otherwise as texts."""
    filled = [cell.strip() for cell in cells]
    known = [cell for cell in filled if cell]
    if known and all(map(WHOLE.fullmatch, known)):
        whole = _whole([int(cell[:99]) if cell else None for cell in filled])  # of so many digits none fits
        return texts(cells) if whole is None else whole
    if known and all(NUMBER.fullmatch(cell) and _fits_float(cell) for cell in known):
        return np.array([float(cell) if cell else np.nan for cell in filled])
    if known and all(map(ISO.fullmatch, known)):
        try:
            return np.array([cell.replace(" ", "T") or "NaT" for cell in filled], "datetime64[s]")
        except ValueError:  # such as 2019-13-01
            pass
    return texts([from_csv_cell(cell) for cell in cells])


def _whole(values: Sequence[int | None]) -> np.ndarray | None:
    """Return whole numbers as int64 or uint64, masked if empty; None if they have more than 64 bits."""
    empty = np.array([value is None for value in values], bool)
    numbers = [value or 0 for value in values]
    low, high = min(numbers, default=0), max(numbers, default=0)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            whole = np.array(numbers, dtype)
            return np.ma.array(whole, mask=empty) if empty.any() else whole
    return None


def _fits_float(cell: str) -> bool:
    """Return whether a number is as near as possible to a float: not beyond its range, and exact if it is whole."""
    number = float(cell)
    if np.isinf(number):
        return cell.endswith("inf")
    return not WHOLE.fullmatch(cell) or int(cell) == number


def _parquet(path: Path, most_rows: int) -> Table:
    need("pyarrow", "table", f"reading {path}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        _check_header(path, schema.names)
        if metadata.num_rows > most_rows:
            raise _too_many_rows(path, most_rows, f"{metadata.num_rows:,}")
        types = {
            field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema
        }
        found = Table({}, _unusable(types, metadata))
        as_codes = [name for name, held in types.items() if _kind(held) == "text"]
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=as_codes) as file:
            for name in (name for name in types if name not in found.skipped):
                column = file.read(columns=[name]).column(name)
                try:
                    found.columns[name] = _array(column, types[name])
                except (ValueError, pa.ArrowException) as error:
                    found.skipped[name] = str(error).splitlines()[0]
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} is damaged or not a Parquet file: {str(error).splitlines()[0]}") from error
    if NAME in found.skipped or _kind(types[NAME]) != "text":
        raise ValueError(f"{path}: expected texts in the column name, got {found.skipped.get(NAME, types[NAME])}")
    if VECTOR in types and pa.types.is_nested(types[VECTOR]):
        del found.skipped[VECTOR]  # an export has them
    return found


def _unusable(types: "dict[str, pa.DataType]", metadata: "pq.FileMetaData") -> dict[str, str]:
    """Return why columns of a Parquet file are not read: they have another kind than filters, or too much text."""
    most = MAX_TEXT_BYTES + MAX_TEXT_BYTES_PER_ROW * metadata.num_rows
    sizes = _column_bytes(metadata)
    found = {}
    for name, held in types.items():
        if not _kind(held):
            found[name] = str(held)
        elif _kind(held) == "text" and sizes[name] > most:
            found[name] = f"{sizes[name]:,} bytes of text, expected at most {most:,}"
    return found


def _kind(held: "pa.DataType") -> str:
    """Return whether a type holds text, number or date; an empty string for other types."""
    from pyarrow import types

    checks = {
        "text": (types.is_string, types.is_large_string, types.is_string_view),
        "number": (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal),
        "date": (types.is_timestamp, types.is_date),
    }
    return next((kind for kind, some in checks.items() if any(check(held) for check in some)), "")


def _column_bytes(metadata: "pq.FileMetaData") -> Counter[str]:
    """Return the bytes of each column of a Parquet file when they are uncompressed."""
    sizes: Counter[str] = Counter()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            sizes[column.path_in_schema] += column.total_uncompressed_size
    return sizes


def _array(column: "pa.ChunkedArray", held: "pa.DataType") -> np.ndarray:
    """Return the values of a column that holds values of a kind. Raises ValueError or ArrowException if they do not fit."""
    import pyarrow as pa

    if _kind(held) == "text":
        return texts(_known_texts(column))
    if pa.types.is_dictionary(column.type):
        column = column.cast(held)
    if pa.types.is_decimal(held):
        return _typed(["" if value is None else f"{value:f}" for value in column.to_pylist()])
    if _kind(held) == "date":
        moments = column.cast(pa.timestamp("s", tz=getattr(held, "tz", None)), safe=False)
        return np.asarray(moments.to_numpy(), "datetime64[s]")  # in UTC if they have a time zone
    if pa.types.is_floating(held):
        return np.asarray(column.to_numpy())
    whole = column.cast(pa.uint64() if pa.types.is_uint64(held) else pa.int64())
    values = whole.fill_null(0).to_numpy()
    if values.dtype == np.uint64 and (values <= np.iinfo(np.int64).max).all():
        values = values.astype(np.int64)
    return np.ma.array(values, mask=whole.is_null().to_numpy()) if whole.null_count else values


def _known_texts(column: "pa.ChunkedArray") -> list[str]:
    """Return texts, "" for null; equal ones share their memory. Raises ValueError for a long text."""
    found: list[str] = []
    for chunk in column.chunks:
        encoded = chunk if hasattr(chunk, "dictionary") else chunk.dictionary_encode()
        known = [text or "" for text in encoded.dictionary.to_pylist()]
        if (longest := max(map(len, known), default=0)) > MAX_CELL_CHARS:
            raise ValueError(f"a text of {longest:,} characters, expected at most {MAX_CELL_CHARS:,}")
        known.append("")
        found += [known[code] for code in encoded.indices.fill_null(-1).to_pylist()]
    return found
