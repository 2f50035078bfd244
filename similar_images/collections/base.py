"""What every collection has."""

from typing import NamedTuple

import numpy as np


class Hit(NamedTuple):
    row: int
    name: str
    similarity: float  # cosine, -1 to 1


class Query(NamedTuple):
    """A vector (d,) with the network that made it."""

    vector: np.ndarray
    network: dict
