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

    @property
    def lists(self) -> tuple[int, int]:
        """How many inverted lists a search probes, and how many there are; (0, 0): it has none."""

    @property
    def most_hits(self) -> int:
        """The largest k of a search."""

    def search(self, unit: np.ndarray, k: int, nprobe: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities float32 (b, k) and rows int64 (b, k) for unit vectors (b, c); row -1: no hit.

        `nprobe`: how many lists to probe instead of the usual number.
        """


def inverted(index: Any) -> Any:
    """Return the part of an index that has inverted lists, as faiss.IndexIVF; None if none has, or if Faiss has it not."""
    return faiss.try_extract_index_ivf(index) if isinstance(index, faiss.Index) else None


def lists(index: Any) -> tuple[int, int]:
    """Return how many inverted lists a search probes and how many there are; (0, 0) if that cannot be chosen for a search."""
    if not isinstance(index, faiss.Index):
        return index.lists
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    return (inner.nprobe, inner.nlist) if isinstance(inner, faiss.IndexIVF) else (0, 0)


def most_hits(index: Any) -> int:
    """Return the largest k of a search."""
    return index.ntotal if isinstance(index, faiss.Index) else index.most_hits


def parameters(index: faiss.Index, nprobe: int, **options: Any) -> Any:
    """Return the parameters of a search that probes so many of the lists of an index."""
    chosen: Any = faiss.SearchParametersIVF(nprobe=nprobe, **options)  # type: ignore[call-arg]
    if isinstance(index, faiss.IndexPreTransform):
        chosen = faiss.SearchParametersPreTransform(index_params=chosen)  # type: ignore[call-arg]
    return chosen
