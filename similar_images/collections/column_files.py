"""Columns in files beside a collection: a table of the user's, and what EXIF says of photographs.

Shape letter: n rows.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from similar_images.collections.columns import ISO, NAME, texts
from similar_images.files import locked, replacing
from similar_images.inputs.exif import Exif, read_exif
from similar_images.inputs.names import NameRows, from_csv_cell, names_digest
from similar_images.inputs.sources import Source
from similar_images.networks.extras import need

TABLES = (".columns.csv", ".columns.parquet")  # in place of the .txt of the list
EXIF = ".exif.npz"
EXIF_COLUMNS = ("date", "camera")
FORMAT = "similar-images-exif 1"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def beside(list_file: Path, suffix: str) -> Path:
    """Return the path of a file of columns beside a list: photos.txt has photos.columns.csv."""
    return list_file.with_name(list_file.name.removesuffix(".txt") + suffix)


def read_table(list_file: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return the columns (n,) of the table beside a list; none if there is no table.

    Raises ValueError for a table without a column `name`, and for names that it has twice or that the list has not.
    """
    found = [path for suffix in TABLES if (path := beside(list_file, suffix)).is_file()]
    if len(found) > 1:
        raise ValueError(f"expected one table of columns, got {found[0]} and {found[1]}: remove one")
    if not found:
        return {}
    path = found[0]
    columns = _csv(path) if path.suffix == ".csv" else _parquet(path)
    if NAME not in columns:
        raise ValueError(f"{path}: expected a column name, got {', '.join(columns)[:200] or 'nothing'}")
    rows = NameRows(names)
    listed = [name if name in rows else from_csv_cell(name) for name in columns.pop(NAME)]
    if doubled := [name for name, count in Counter(listed).items() if count > 1]:
        raise ValueError(f"{path}: {len(doubled)} names are there more than once, such as {doubled[0]}")
    if unknown := [name for name in listed if name not in rows]:
        raise ValueError(f"{path}: {len(unknown)} names are not in {list_file}, such as {unknown[0]}")
    lines = np.array([line for line, name in enumerate(listed) for _ in rows[name]], np.int64)
    targets = np.array([row for name in listed for row in rows[name]], np.int64)
    return {column: _spread(values, lines, targets, len(names)) for column, values in columns.items()}


def known_exif(list_file: Path, names: list[str]) -> Exif | None:
    """Return what was kept of the EXIF of these names, or of the first of them; None if nothing was."""
    try:
        with beside(list_file, EXIF).open("rb") as file, np.load(file, allow_pickle=False) as kept:
            exif = Exif(kept["dates"].astype("datetime64[s]"), texts(kept["cameras"][kept["codes"]].tolist()))
            known = str(kept["format"]) == FORMAT and len(exif.dates) == len(exif.cameras) <= len(names)
            return exif if known and names_digest(names[: len(exif.dates)]) == str(kept["names"]) else None
    except FileNotFoundError:
        return None
    except Exception:  # damaged, in any of the ways in which a zip or an array can be: it is read again
        return None


def is_behind(list_file: Path, names: list[str]) -> bool:
    """Return whether the EXIF of the first of these names was kept, and not that of the last."""
    kept = known_exif(list_file, names)
    return kept is not None and len(kept.dates) < len(names)


def update_exif(list_file: Path, names: list[str], source: Source, progress: Callable[[int, int], None]) -> None:
    """Read the EXIF of those names that nothing was kept of, and keep that of all beside their list.

    If another thread or process does so already, wait for it.
    """
    if _count(known_exif(list_file, names)) == len(names):
        return
    path = beside(list_file, EXIF)
    with locked(path, wait=True):
        kept = known_exif(list_file, names)
        known = _count(kept)
        if known < len(names):
            new = read_exif(source, names[known:], lambda done, _: progress(known + done, len(names)))
            exif = new if kept is None else Exif(*map(np.concatenate, zip(kept, new, strict=True)))
            _write_exif(path, names, exif)


def _count(exif: Exif | None) -> int:
    """Return how many images EXIF is of."""
    return 0 if exif is None else len(exif.dates)


def _write_exif(path: Path, names: list[str], exif: Exif) -> None:
    cameras, codes = np.unique(exif.cameras.astype(str), return_inverse=True)
    with replacing(path) as partial:
        np.savez(
            partial,
            format=np.array(FORMAT),
            names=np.array(names_digest(names)),
            dates=exif.dates,
            cameras=cameras,
            codes=codes.astype(np.int32),
        )


def file_columns(list_file: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return the columns (n,) of the files beside a list; those of the table replace those of EXIF."""
    exif, n = known_exif(list_file, names), len(names)
    columns: dict[str, np.ndarray] = {}
    if exif is not None:
        rows = np.arange(len(exif.dates))
        columns = {column: _spread(values, rows, rows, n) for column, values in zip(EXIF_COLUMNS, exif, strict=True)}
    return columns | read_table(list_file, names)


def _spread(values: np.ndarray, lines: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Return values (n,) of rows from those of lines; a row without a line is empty."""
    empty: Any = {"O": "", "f": np.nan, "M": np.datetime64("NaT")}[values.dtype.kind]
    spread = np.full(n, empty, values.dtype)
    spread[rows] = values[lines]
    return spread


def _csv(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header, lines = next(reader, []), []
            for line in reader:
                if line and len(line) != len(header):
                    raise ValueError(
                        f"{path}: line {reader.line_num}: expected {len(header)} fields, as in line 1, got {len(line)}"
                    )
                lines += [line] if line else []
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: expected columns of different names, got {', '.join(header)[:200]}")
    cells = zip(*lines, strict=True) if lines else ([] for _ in header)
    return {name: texts(column) if name == NAME else _typed(column) for name, column in zip(header, cells, strict=True)}


def _typed(cells: Any) -> np.ndarray:
    """Return cells as numbers or dates if all that are not empty are such, else as texts."""
    filled = [cell.strip() for cell in cells]
    if any(filled) and all(not cell or NUMBER.fullmatch(cell) for cell in filled):
        return np.array([float(cell) if cell else np.nan for cell in filled])
    if any(filled) and all(not cell or ISO.fullmatch(cell) for cell in filled):
        try:
            return np.array([cell.replace(" ", "T") or "NaT" for cell in filled], "datetime64[s]")
        except ValueError:  # such as 2019-13-01
            pass
    return texts(cells)


def _parquet(path: Path) -> dict[str, np.ndarray]:
    need("pyarrow", "table", f"reading {path}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} is damaged or not a Parquet file: {str(error).splitlines()[0]}") from error
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_nested(kind) or pa.types.is_null(kind):
            continue  # vectors, for one
        if pa.types.is_temporal(kind):
            moments = column.cast(pa.timestamp("s", tz=getattr(kind, "tz", None)), safe=False)
            columns[name] = moments.to_numpy().astype("datetime64[s]")
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            columns[name] = texts([value or "" for value in column.to_pylist()])
        else:
            columns[name] = column.cast(pa.float64(), safe=False).to_numpy()
    return columns
