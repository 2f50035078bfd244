"""Vectors that tests make."""

import numpy as np


def clustered(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Vectors in overlapping clusters on a few directions, as a network's are."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(24, d))
    centres = random.normal(size=(40, 24))[random.integers(0, 40, n)]
    vectors = (centres + 0.7 * random.normal(size=(n, 24))) @ mixing + 0.5 * random.normal(size=(n, d)) + 1
    return vectors.astype(np.float32)
