"""What is asked of an index beside a search: of Faiss' own, and of one that another engine holds.

Shape letters: b queries, c numbers in a transformed vector, k hits.
"""

from typing import Any, Protocol

import faiss
import numpy as np


class Engine(Protocol):
    """An index that another engine than Faiss searches, by the inner product of unit vectors; its ids are rows."""

    d: int  # c
    ntotal: int
    metric_type: int  # faiss.METRIC_INNER_PRODUCT

    @property
    def bytes(self) -> int:
        """What the engine needs for it."""

    def search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities float32 (b, k) and rows int64 (b, k) for unit vectors (b, c); row -1: no hit."""


def inverted(index: Any) -> Any:
    """Return the part of an index that has inverted lists, as faiss.IndexIVF; None if none has, or if Faiss has it not."""
    return faiss.try_extract_index_ivf(index) if isinstance(index, faiss.Index) else None
