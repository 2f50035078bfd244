"""Queries of several parts: images, words, or both, as one vector. Shape letters: d numbers in a vector, c transformed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from similar_images.networks.description import NetworkDescription

WITH_WORDS = (
    "make the collection with a network that does, such as `similar-images extract -d FOLDER --network "
    "hf:openai/clip-vit-base-patch32`"
)
MAX_WEIGHT = 1e9  # of a part of a query


class Query(NamedTuple):
    """A vector (d,) with the description of the network that made it."""

    vector: np.ndarray
    network: NetworkDescription
    words: str | None = None  # what it was made from, where that is words and the collection is of images


class Part(NamedTuple):
    """A part of a query of several."""

    unit: np.ndarray  # transformed, (c,)
    weight: float
    row: int | None  # of the collection
    is_words: bool

    @classmethod
    def of(cls, unit: np.ndarray, weight: Any, row: int | None, is_words: bool) -> "Part":
        """Raises ValueError for a weight of 0 or less, or above MAX_WEIGHT."""
        if not (isinstance(weight, (int, float, np.number)) and 0 < weight <= MAX_WEIGHT):
            raise ValueError(
                f"expected a weight above 0 in (query, weight), at most {MAX_WEIGHT:g}, got {weight!s:.60}"
            )
        return cls(unit, float(weight), row, is_words)


def mean(parts: Sequence[Part]) -> np.ndarray:
    """Return the weighted mean (c,) of parts, 0 if there are none."""
    if not parts:
        return np.zeros(1, np.float32)
    largest = max(part.weight for part in parts)  # float32 would lose the smallest weights
    weights = [part.weight / largest for part in parts]
    return np.average([part.unit for part in parts], axis=0, weights=weights).astype(np.float32)


def has_words(*queries: Any) -> bool:
    """Return whether words are among queries, lists of them, and (query, weight)."""
    return any(
        query.words is not None if isinstance(query, Query) else isinstance(query, list | tuple) and has_words(*query)
        for query in queries
    )
