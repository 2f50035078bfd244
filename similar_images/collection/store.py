"""Store: the names, vectors and columns of a collection. Row i is line i."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from similar_images.collection.column_files import file_columns
from similar_images.collection.columns import Columns, Where, matching_rows, name_columns
from similar_images.index.exact import unit_blocks
from similar_images.inputs.names import NameRows
from similar_images.inputs.sources import Source
from similar_images.inputs.texts import rejection_reason
from similar_images.vectors.file_records import is_same_status, read_record
from similar_images.vectors.store import Vectors, list_path

MISSING, CHANGED = "missing", "changed"  # states of a file


class Store:
    """Names, vectors and columns, and the folder or archive of the images if known."""

    def __init__(self, vectors: Vectors, noun: str, source: Source | None = None):
        """Raises ValueError if there are no names."""
        if vectors.names is None:
            raise ValueError(
                f"there is no list of names for {vectors.path}: save it as {list_path(vectors.path)}, one name per line"
            )
        self.vectors, self.noun, self.source = vectors, noun, source
        self.names: list[str] = vectors.names
        self._columns: Columns | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_vectors(self) -> bool:
        return self.vectors.memmap is not None

    @property
    def array(self) -> np.ndarray:
        """The vectors (n, d). Raises ValueError if they are missing."""
        if self.vectors.memmap is None:
            raise ValueError(f"an exact search needs the vectors {self.vectors.path}: extract them first")
        return self.vectors.memmap

    @property
    def columns(self) -> Columns:
        """The columns of the names and of the files beside the list, read when first used."""
        if self._columns is None:
            own = name_columns(self.names, folders=self.noun == "image")
            self._columns = Columns({**own, **file_columns(list_path(self.vectors.path), self.names)})
        return self._columns

    def forget_columns(self) -> None:
        """Read the columns again when they are next used: their files have changed."""
        self._columns = None

    def matching(self, where: Where) -> np.ndarray:
        """Return which rows match, bool (n,), without retired rows: see `Collection.matching`."""
        matching = self.columns.matching(where) if isinstance(where, Mapping) else matching_rows(where, len(self))
        if self.retired:
            matching = matching.copy()
            matching[list(self.retired)] = False
        return matching

    @cached_property
    def retired(self) -> frozenset[int]:
        """The rows that no longer show their file: it is missing or renamed, or has changed."""
        return frozenset(self.vectors.retired.tolist())

    def find_row(self, name: str) -> int | None:
        """Return the row of a name, the first of several; None if it is unknown or retired."""
        return next((row for row in self._rows[name] if row not in self.retired), None)

    @cached_property
    def _rows(self) -> NameRows:
        return NameRows(self.names)

    def file_state(self, row: int) -> str:
        """Return MISSING or CHANGED if the file of a row no longer is the one of its vector; "" if it is, or if unknown.

        Only a file of another size or time is read. An object storage is not asked.
        """
        source, name, records = self.source, self.names[row], self.vectors.records
        if source is None or not isinstance(source.path, Path) or source.join(name) is None:
            return ""
        try:
            status = source.status(name)
            if records is None or (size := int(records[row]["size"])) < 0 or is_same_status(records[row], status):
                return ""
            is_equal = size == status.size and read_record(source, name).digest == records[row]["digest"].tobytes()
            return "" if is_equal else CHANGED
        except (FileNotFoundError, ValueError):
            return MISSING
        except OSError:  # it cannot be read now
            return ""

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        if self.vectors.memmap is None:  # texts, encoded when needed
            return rejection_reason(self.names[row]) is not None
        return not self.vectors.memmap[row].any()

    def skip_reason(self, row: int) -> str:
        """Return why a row was skipped."""
        if self.vectors.memmap is None:
            return rejection_reason(self.names[row]) or ""
        reasons = [entry.reason for entry in self.vectors.skipped if entry.row == row]
        return ", ".join(reasons) or "reason unknown"

    def check_any_vector(self, removed: Sequence[int]) -> None:
        """Raise ValueError if every row was skipped or removed."""
        if not self.has_vectors or any(not {*rows.tolist()} <= {*removed} for rows, _ in unit_blocks(self.array)):
            return
        raise ValueError(f"no {self.noun} of this collection has a vector: all {len(self)} were skipped or removed")
