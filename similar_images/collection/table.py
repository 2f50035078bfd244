"""Table of a collection for other tools: pandas, Arrow, Parquet, CSV.

Shape letters: n rows, b in a block, d numbers in a vector.
"""

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from similar_images.collection.columns import VECTOR, Arrays, is_empty, texts
from similar_images.collection.searcher import Hit
from similar_images.events import Event, Progress
from similar_images.files import replace_file
from similar_images.inputs.names import to_csv_cell
from similar_images.networks.extras import need
from similar_images.vectors.store import block_rows, release

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BLOCK_ROWS = 10_000  # without vectors
SUFFIXES = (".csv", ".parquet")
REMOVED = "removed"  # the column that marks removed rows
MAX_EXACT_FLOAT = 2**53  # up to it, floats hold every whole number


class Table:
    """Columns (n,) of every row but retired ones, for pandas, Arrow and files."""

    def __init__(self, columns: Arrays, n: int, removed: Sequence[int] = (), retired: Collection[int] = ()):
        """If rows were removed, a column marks them."""
        self._columns = columns
        self._rows = np.delete(np.arange(n), sorted(retired)) if retired else range(n)
        if left := [row for row in removed if row not in retired]:
            self._columns = {**columns, REMOVED: np.isin(np.arange(n), left)}

    def __len__(self) -> int:
        return len(self._rows)

    def to_pandas(self) -> "pd.DataFrame":
        rows = self._rows
        columns = self._columns if isinstance(rows, range) else {key: each[rows] for key, each in self._columns.items()}
        return _frame(columns, rows)

    def _block(self, start: int, size: int) -> Any:
        """Return the index of some rows."""
        rows = self._rows[start : start + size]
        return slice(rows.start, rows.stop) if isinstance(rows, range) else rows

    def to_arrow(self, array: np.ndarray | None = None) -> "pa.RecordBatchReader":
        """Return record batches, with the vectors (n, d) of `array` as the last column."""
        need("pyarrow", "table", "Arrow and Parquet")
        import pyarrow as pa

        types = {"O": pa.string(), "M": pa.timestamp("s"), "i": pa.int64(), "b": pa.bool_()}
        fields = [
            pa.field(name, types.get(values.dtype.kind) or pa.from_numpy_dtype(values.dtype))
            for name, values in self._columns.items()
        ]
        if array is not None:
            fields.append(pa.field(VECTOR, pa.list_(pa.float32(), array.shape[1])))
        schema, step = pa.schema(fields), BLOCK_ROWS if array is None else min(BLOCK_ROWS, block_rows(array))

        def batches() -> "Iterator[pa.RecordBatch]":
            for some in (self._block(start, step) for start in range(0, len(self), step)):
                columns = [
                    pa.array(values[some], field.type, from_pandas=True)
                    for values, field in zip(self._columns.values(), schema, strict=False)
                ]
                if array is not None:
                    block = np.array(array[some], np.float32)
                    release(array)
                    skipped = pa.array(~block.any(axis=1))
                    columns.append(pa.FixedSizeListArray.from_arrays(block.ravel(), block.shape[1], mask=skipped))
                yield pa.record_batch(columns, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def write_parquet(self, path: Path, array: np.ndarray | None = None) -> Iterator[int]:
        """Write a Parquet file; yield the number of rows of each block."""
        reader = self.to_arrow(array)
        import pyarrow.parquet as pq

        with pq.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                yield len(batch)

    def write_csv(self, path: Path) -> Iterator[int]:
        """Write a CSV file; yield the number of rows of each block."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(_UnixLines(file), lineterminator="\r\n")  # both are quoted within a text
            writer.writerow(map(to_csv_cell, self._columns))
            for some in (self._block(start, BLOCK_ROWS) for start in range(0, len(self), BLOCK_ROWS)):
                block = [_cells(values[some]) for values in self._columns.values()]
                writer.writerows(zip(*block, strict=True))
                yield len(block[0])


def check_suffix(path: Path, vectors: bool) -> None:
    """Raise ValueError unless a table can be written to this file, with vectors or without."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"expected a file ending in {' or '.join(SUFFIXES)}, got {path}")
    if path.suffix == ".csv" and vectors:
        raise ValueError(f"{path} cannot hold vectors: export to a .parquet")


def export(table: Table, path: Path, array: np.ndarray | None, progress: Progress) -> None:
    """Write a table to a .parquet or .csv, completely or not at all."""
    done, n = 0, len(table)
    progress(Event("export", done, n))
    with replace_file(path) as partial:
        blocks = table.write_csv(partial) if path.suffix == ".csv" else table.write_parquet(partial, array)
        for rows in blocks:
            done += rows
            progress(Event("export", done, n))


def hits_frame(
    hits: Sequence[Hit] | Sequence[Sequence[Hit]], columns: Arrays, file_state: Callable[[int], str]
) -> "pd.DataFrame":
    """Return hits, or lists of hits, as a data frame with the columns (n,) of their rows. Raises TypeError."""
    found: dict[str, np.ndarray] = {}
    are_lists = any(isinstance(each, list) for each in hits)
    groups: Sequence[Any] = hits if are_lists else [hits]
    flat = [hit for group in groups for hit in (group if isinstance(group, Sequence) else [group])]
    if wrong := [hit for hit in flat if not isinstance(hit, Hit)]:
        raise TypeError(f"expected hits, or a list of hits for each query, got {type(wrong[0]).__name__}")
    if are_lists:
        found["query"] = np.repeat(np.arange(len(groups)), list(map(len, groups)))
    rows = np.array([hit.row for hit in flat], np.int64)
    found |= {
        "row": rows,
        "name": texts([hit.name for hit in flat]),
        "path": texts([None if hit.path is None else str(hit.path) for hit in flat]),
        "similarity": np.array([hit.similarity for hit in flat], float),
        "percentile": np.array([hit.percentile for hit in flat], float),  # NaN if unknown
        "file": texts([file_state(hit.row) or None for hit in flat]),
    }
    return _frame(found | {name: values[rows] for name, values in columns.items() if name not in found})


class _UnixLines:
    """File for the csv module, which writes a row at a time; lines end with a line feed alone."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _frame(columns: Arrays, rows: np.ndarray | range | None = None) -> "pd.DataFrame":
    need("pandas", "table", "a data frame")
    import pandas as pd

    index = None if rows is None else pd.Index(rows, name="row")  # a RangeIndex for a range
    return pd.DataFrame({name: _for_pandas(values) for name, values in columns.items()}, index=index)


def _for_pandas(values: np.ndarray) -> Any:
    """Return a column for pandas, which drops the mask of whole numbers."""
    import pandas as pd

    if not isinstance(values, np.ma.MaskedArray):
        return values
    numbers, empty = values.filled(0), is_empty(values)
    if (numbers <= MAX_EXACT_FLOAT).all() and (numbers >= -MAX_EXACT_FLOAT).all():
        return np.where(empty, np.nan, numbers)
    return pd.arrays.IntegerArray(numbers, empty)


def _cells(values: np.ndarray) -> list[str]:
    """Return values as cells of a CSV file; a text that a spreadsheet would compute is quoted."""
    if values.dtype.kind == "O":
        return [to_csv_cell(text) for text in values]
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    written: Any = np.datetime_as_string(values) if values.dtype.kind == "M" else np.ma.getdata(values)
    if values.dtype != np.float32 and values.dtype != np.float16:
        written = written.tolist()  # faster; but other floats have fewer digits as they are
    return ["" if none else str(value) for value, none in zip(written, is_empty(values), strict=True)]
