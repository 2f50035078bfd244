"""A collection as a table for other tools: pandas, Arrow, Parquet, CSV.

Shape letters: n rows, b in a block, d numbers in a vector.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from similar_images.collection.columns import VECTOR, is_empty, texts
from similar_images.collection.filtered import FilteredCollection
from similar_images.collection.opened import Hit
from similar_images.files import replace_file
from similar_images.inputs.names import to_csv_cell
from similar_images.networks.extras import need
from similar_images.vectors.store import block_rows, release

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BLOCK = 10_000  # rows of a block without vectors
SUFFIXES = (".csv", ".parquet")
REMOVED = "removed"  # the column that marks removed rows
MAX_EXACT_FLOAT = 2**53  # up to it, floats hold every whole number


class TabularCollection(FilteredCollection):
    """What is known of a collection's rows, and of hits, as tables."""

    def _layers(self) -> dict[str, np.ndarray]:
        """Return what was computed for every row and kept beside the collection, arrays (n,) by column."""
        return {}

    def to_pandas(self) -> "pd.DataFrame":
        """Return the name and the columns of every row as a data frame; its index is the row.

        If rows were removed, the column `removed` marks them. Whole numbers with empty rows are floats, or pandas' Int64 if
        floats cannot hold them.
        Raises MissingExtra where pandas is not installed.
        """
        return _frame(self._table(), range(len(self)))

    def hits_to_pandas(self, hits: Sequence[Hit] | Sequence[Sequence[Hit]]) -> "pd.DataFrame":
        """Return hits as a data frame: row, name, path, similarity, percentile, then the columns.

        The hits of several queries, as `nearest_many` returns them, begin with a column `query`: 0 for the first query.
        Raises MissingExtra if pandas is not installed, TypeError for anything but hits.
        """
        found: dict[str, Any] = {}
        are_lists = any(isinstance(one, list) for one in hits)
        groups: Sequence[Any] = hits if are_lists else [hits]
        every = [hit for group in groups for hit in (group if isinstance(group, Sequence) else [group])]
        if wrong := [hit for hit in every if not isinstance(hit, Hit)]:
            raise TypeError(f"expected hits, or a list of hits for each query, got {type(wrong[0]).__name__}")
        if are_lists:
            found["query"] = np.repeat(np.arange(len(groups)), list(map(len, groups)))
        rows = np.array([hit.row for hit in every], np.int64)
        found |= {
            "row": rows,
            "name": texts([hit.name for hit in every]),
            "path": texts([None if hit.path is None else str(hit.path) for hit in every]),
            "similarity": np.array([hit.similarity for hit in every], float),
            "percentile": np.array([hit.percentile for hit in every], float),  # NaN where it is not known
        }
        known = {**self.columns, **self._layers()}
        return _frame(found | {name: values[rows] for name, values in known.items() if name not in found})

    def to_arrow(self, vectors: bool = False) -> "pa.RecordBatchReader":
        """Return the name and the columns of every row as Arrow's record batches, read block by block.

        `.read_all()` makes a table of them. With `vectors` the last column is the network's, float32 in lists of the
        fixed size d, null for a skipped row. If rows were removed, the column `removed` marks them.
        Raises MissingExtra where PyArrow is not installed, ValueError where the vectors are missing.
        """
        need("pyarrow", "table", "Arrow and Parquet")
        import pyarrow as pa

        types = {"O": pa.string(), "M": pa.timestamp("s"), "i": pa.int64(), "b": pa.bool_()}
        table = self._table()
        fields = [
            pa.field(name, types.get(values.dtype.kind) or pa.from_numpy_dtype(values.dtype))
            for name, values in table.items()
        ]
        array = self.array if vectors else None
        if array is not None:
            fields.append(pa.field(VECTOR, pa.list_(pa.float32(), array.shape[1])))
        schema, step = pa.schema(fields), BLOCK if array is None else min(BLOCK, block_rows(array))

        def batches() -> "Iterator[pa.RecordBatch]":
            for start in range(0, len(self), step):
                columns = [
                    pa.array(values[start : start + step], field.type, from_pandas=True)
                    for values, field in zip(table.values(), schema, strict=False)
                ]
                if array is not None:
                    block = np.array(array[start : start + step], np.float32)
                    release(array)
                    skipped = pa.array(~block.any(axis=1))
                    columns.append(pa.FixedSizeListArray.from_arrays(block.ravel(), block.shape[1], mask=skipped))
                yield pa.record_batch(columns, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def export(
        self, path: str | Path, vectors: bool = False, progress: Callable[[int, int], None] = lambda done, n: None
    ) -> None:
        """Write the name and the columns of every row, and the vectors if asked, to a .parquet or .csv, block by block.

        A .csv has no vectors. Raises ValueError for another suffix, MissingExtra where PyArrow is needed and is not
        installed, OSError where the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise ValueError(f"expected a file ending in {' or '.join(SUFFIXES)}, got {path}")
        if path.suffix == ".csv" and vectors:
            raise ValueError(f"{path} cannot hold vectors: export to a .parquet")
        progress(0, len(self))
        write = self._write_csv if path.suffix == ".csv" else self._write_parquet
        with replace_file(path) as partial:
            done = 0
            for rows in write(partial, vectors):
                done += rows
                progress(done, len(self))

    def _write_parquet(self, path: Path, vectors: bool) -> Iterator[int]:
        reader = self.to_arrow(vectors)
        import pyarrow.parquet as pq

        with pq.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                yield len(batch)

    def _write_csv(self, path: Path, _: bool) -> Iterator[int]:
        table = self._table()
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(_UnixLines(file), lineterminator="\r\n")  # both are quoted within a text
            writer.writerow(map(to_csv_cell, table))
            for start in range(0, len(self), BLOCK):
                block = [_cells(values[start : start + BLOCK]) for values in table.values()]
                writer.writerows(zip(*block, strict=True))
                yield len(block[0])

    def _table(self) -> dict[str, np.ndarray]:
        """Return the columns (n,), what was computed for every row, and if rows were removed which they are, bool (n,)."""
        table = {**self.columns, **self._layers()}
        if self.removed:
            table[REMOVED] = np.isin(np.arange(len(self)), self.removed)
        return table


class _UnixLines:
    """A file for the csv module, which writes a row at a time, that ends lines with a line feed alone."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _frame(columns: dict[str, Any], rows: Sequence[int] | None = None) -> "pd.DataFrame":
    need("pandas", "table", "a data frame")
    import pandas as pd

    index = None if rows is None else pd.RangeIndex(len(rows), name="row")
    return pd.DataFrame({name: _for_pandas(values) for name, values in columns.items()}, index=index)


def _for_pandas(values: np.ndarray) -> Any:
    """Return a column as pandas takes it, which drops the mask of whole numbers."""
    import pandas as pd

    if not isinstance(values, np.ma.MaskedArray):
        return values
    numbers, empty = values.filled(0), is_empty(values)
    if (numbers <= MAX_EXACT_FLOAT).all() and (numbers >= -MAX_EXACT_FLOAT).all():
        return np.where(empty, np.nan, numbers)
    return pd.arrays.IntegerArray(numbers, empty)


def _cells(values: np.ndarray) -> list[str]:
    """Return values as cells of a CSV file, empty where there is none; a text that a spreadsheet would compute is quoted."""
    if values.dtype.kind == "O":
        return [to_csv_cell(text) for text in values]
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    written: Any = np.datetime_as_string(values) if values.dtype.kind == "M" else np.ma.getdata(values)
    if values.dtype != np.float32 and values.dtype != np.float16:
        written = written.tolist()  # faster; but other floats have fewer digits as they are
    return ["" if none else str(value) for value, none in zip(written, is_empty(values), strict=True)]
