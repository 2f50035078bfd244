"""Store: the names and vectors of a collection. Row i is line i."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from similar_images.index.exact import unit_blocks
from similar_images.inputs.names import compose
from similar_images.inputs.sources import Location, Source
from similar_images.vectors.store import Vectors, list_path


class Store:
    """Names and vectors, and the folder or archive of the images if known."""

    encodes_rows = False  # whether rows without stored vectors are encoded again

    def __init__(self, vectors: Vectors, noun: str, source: Source | None = None):
        """Raises ValueError if there are no names."""
        if vectors.names is None:
            raise ValueError(
                f"there is no list of names for {vectors.path}: save it as {list_path(vectors.path)}, one name per line"
            )
        self.vectors, self.noun, self.source = vectors, noun, source
        self.names: list[str] = vectors.names

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

    def find_row(self, name: str) -> int | None:
        """Return the row of a name, the first of several; None if it is unknown."""
        row = self._rows.get(name)
        if row is None and not name.isascii():  # composed accents here may be decomposed there
            row = self._composed_rows.get(compose(name))
        return row

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in reversed(list(enumerate(self.names)))}

    @cached_property
    def _composed_rows(self) -> dict[str, int]:
        return {compose(name): row for name, row in reversed(self._rows.items()) if not name.isascii()}

    def check_row(self, row: int) -> None:
        """Raise IndexError for an unknown row."""
        if not 0 <= row < len(self):
            raise IndexError(f"expected a row from 0 to {len(self) - 1}, got {row}")

    def was_skipped(self, row: int) -> bool:
        """Return whether a row has no vector."""
        return not self.array[row].any()

    def vector(self, row: int) -> np.ndarray:
        """Return the vector (d,) of a row. Raises IndexError, and ValueError for a skipped row."""
        self.check_row(row)
        vector = np.array(self.array[row], dtype=np.float32)
        if not vector.any():
            reasons = [entry.reason for entry in self.vectors.skipped if entry.row == row]
            raise ValueError(
                f"{self.names[row]} has no vector, it was skipped: {', '.join(reasons) or 'reason unknown'}"
            )
        return vector

    def encode_rows(self, rows: Sequence[int]) -> np.ndarray:
        """Return the vectors (b, d) of rows, encoded from their names."""
        raise NotImplementedError

    def check_any_vector(self, removed: Sequence[int]) -> None:
        """Raise ValueError if every row was skipped or removed."""
        if not self.has_vectors or any(not {*rows.tolist()} <= {*removed} for rows, _ in unit_blocks(self.array)):
            return
        raise ValueError(f"no {self.noun} of this collection has a vector: all {len(self)} were skipped or removed")

    def locate(self, name: str) -> Location | None:
        """Return the path of an image; None for texts, if the folder is unknown, or if the name leads out of it."""
        return self.source.join(name) if self.source else None
