"""Queries, alone or combined. Shape letters: d numbers of a vector, c of a transformed vector."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from similar_images.networks.description import NetworkDescription

WORDS_REMEDY = (
    "make the collection with a network that does, such as `similar-images extract -d FOLDER --network "
    "hf:openai/clip-vit-base-patch32`"
)
MAX_WEIGHT = 1e9
MIN_NUMBER, MAX_NUMBER = 1e-15, 1e15  # float32 holds the squares of numbers between them


class Query(NamedTuple):
    """A vector (d,) with the description of the network that made it."""

    vector: np.ndarray
    network: NetworkDescription
    words: str | None = None  # the text of a query for images by words


class QueryPart(NamedTuple):
    """One of several combined queries."""

    unit: np.ndarray  # transformed, (c,)
    weight: float
    row: int | None  # in the collection
    is_words: bool


def is_row(query: object) -> TypeGuard[int | np.integer]:
    """Return whether a query is a row; True and False are none."""
    return isinstance(query, int | np.integer) and not isinstance(query, bool)


def is_vector(query: object) -> bool:
    """Return whether a query is an array of numbers, not the pixels of an image."""
    return isinstance(query, np.ndarray) and query.dtype != np.uint8 and query.ndim < 3


def has_words(*queries: Any) -> bool:
    """Return whether words are among queries, lists of them, and (query, weight)."""
    return any(
        query.words is not None if isinstance(query, Query) else isinstance(query, list | tuple) and has_words(*query)
        for query in queries
    )


def split_weight(entry: Any) -> tuple[Any, float]:
    """Return the query and the weight of an entry, a query or (query, weight).

    Raises ValueError for a weight of 0 or less, or above MAX_WEIGHT.
    """
    if not isinstance(entry, tuple) or isinstance(entry, Query):
        return entry, 1.0
    query, weight = entry
    if not (isinstance(weight, (int, float, np.number)) and 0 < weight <= MAX_WEIGHT):
        raise ValueError(f"expected a weight above 0 in (query, weight), at most {MAX_WEIGHT:g}, got {weight!s:.60}")
    return query, float(weight)


def weighted_mean(parts: Sequence[QueryPart]) -> np.ndarray:
    """Return the weighted mean (c,) of parts, 0 if there are none."""
    if not parts:
        return np.zeros(1, np.float32)
    largest = max(part.weight for part in parts)  # float32 would lose the smallest weights
    weights = [part.weight / largest for part in parts]
    return np.average([part.unit for part in parts], axis=0, weights=weights).astype(np.float32)


def check_vector(vector: np.ndarray, d: int, network: str) -> np.ndarray:
    """Return a vector (d,) whose squares float32 holds; its length may change.

    Raises ValueError for another shape, for NaN and infinity, and for zeros.
    """
    if vector.ndim != 1:
        raise ValueError(f"expected one vector ({d},), got {vector.dtype} {vector.shape}: nearest_many takes several")
    if vector.shape != (d,):
        raise ValueError(f"expected a vector of shape ({d},), made by {network}, got {vector.shape}")
    if vector.dtype.kind not in "fiu":
        raise ValueError(f"expected a vector of numbers, got {vector.dtype}")
    if not (finite := np.isfinite(vector)).all():
        raise ValueError(f"expected a vector of numbers, got NaN or infinity at position {int(np.argmin(finite))}")
    largest = np.abs(vector).max()
    if largest == 0:
        raise ValueError("expected a vector with a direction, got zeros")
    return vector if MIN_NUMBER < largest < MAX_NUMBER else vector / largest
