"""How good a search is: precision against labels.

Shape letters: n vectors, k hits, d numbers in a vector.
"""

from pathlib import PurePosixPath

import numpy as np


def folder_labels(names: list[str]) -> np.ndarray:
    """Return the label of each name: the folder that the image is in."""
    return np.array([str(PurePosixPath(name).parent) for name in names])


def precision(unit: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return precision@k with exact search over unit vectors (n, d): the mean share, over all images as queries,
    of the k nearest others that bear the query's label.
    """
    matches = 0
    for start in range(0, len(unit), 1024):
        similarities = unit[start : start + 1024] @ unit.T
        queries = np.arange(start, start + len(similarities))
        similarities[np.arange(len(queries)), queries] = -np.inf
        nearest = np.argpartition(-similarities, k, axis=1)[:, :k]
        matches += (labels[nearest] == labels[queries, None]).sum()
    return matches / (len(unit) * k)
