"""Recipes of an index, each trained on a sample of unit vectors.

Shape letters: n vectors in all, m in a sample, d numbers in a vector.
"""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import faiss
import numpy as np

from similar_images.index.backend import find_ivf, takes_ids
from similar_images.index.manifest import CandidateMetrics, RecipeParameters
from similar_images.index.similarity import SEED, principal_components

TRIAL_VECTORS = 300
TRIAL_SECONDS = 60
TRIAL = """
import sys, faiss, numpy as np
d, m, factory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
vectors = np.random.default_rng(0).normal(size=(m, d)).astype(np.float32)
index = faiss.index_factory(d, factory, faiss.METRIC_L2)
try:
    index.train(vectors)
except RuntimeError as error:
    sys.exit(0 if "training points" in str(error) else str(error).split("failed: ")[-1])
try:
    index.add_with_ids(vectors, np.arange(m)) if isinstance(index, faiss.IndexIDMap) else index.add(vectors)
    index.search(vectors[:2], 1)
except RuntimeError as error:
    sys.exit(str(error).split("failed: ")[-1])
"""
REDUCED_DIMENSION = 256
RERANKED = 100  # hits of a coarse index to re-rank with the exact vectors
BITS_4_ITERATIONS, BITS_4_POINTS = 10, 64  # more training of 16 centroids costs ten times as long, for the same recall


@dataclass(frozen=True)
class Trained:
    """A trained index, empty unless it has metrics."""

    index: faiss.Index
    parameters: RecipeParameters
    recipe: str = ""
    metrics: CandidateMetrics | None = None  # of a filled candidate for a target


class TooFewVectors(ValueError):
    """The sample is too small to train a recipe."""


def train(recipe: str, sample: np.ndarray, n: int) -> Trained:
    """Return an empty index for n vectors, trained on unit vectors (m, d).

    `recipe` is a name of RECIPES or a string of faiss.index_factory. Raises ValueError for any other, and
    TooFewVectors.
    """
    trained = RECIPES[recipe](sample, n) if recipe in RECIPES else _train_string(sample, recipe)
    return replace(trained, recipe=recipe)


def _train_string(sample: np.ndarray, recipe: str) -> Trained:
    """Train an index of faiss.index_factory; a leading PCA is computed without Faiss' matrices."""
    _check_in_process(sample, recipe)
    components = re.fullmatch(r"PCA(\d+),(.+)", recipe)
    if not components or int(components[1]) > min(sample.shape):
        return _train_factory(sample, recipe)
    transform = Reduction(sample, int(components[1])).first(int(components[1]))
    trained = _prepend_reduction(transform, _train_factory(transform.apply(sample), components[2]))
    return replace(trained, parameters=replace(trained.parameters, factory=recipe))


def list_count(n: int) -> int:
    """Return the number of inverted lists for n vectors."""
    return max(1, round(math.sqrt(n)))


class Reduction:
    """The centred projection on principal components, without the d x d matrices of Faiss' own PCA."""

    def __init__(self, sample: np.ndarray, d: int):
        """Find the first d components of unit vectors (m, any)."""
        self.mean, self.components, _ = principal_components(sample, d)

    def first(self, d: int) -> faiss.LinearTransform:
        """Return the projection on the first d components."""
        components = np.ascontiguousarray(self.components[:d])
        transform = faiss.LinearTransform(components.shape[1], d, True)
        faiss.copy_array_to_vector(components.ravel(), transform.A)
        faiss.copy_array_to_vector(-components @ self.mean, transform.b)
        transform.is_trained = True
        return transform


def train_reduced(reduction: Reduction, sample: np.ndarray, n: int, d: int, codes: str) -> Trained:
    """Train inverted lists of codes such as `PQ64x4fs` or `SQ8` on d principal components, or on all dimensions.

    The metric must be L2: centring changes inner products. Source of the fast scan of 4-bit
    codes: Andre, Kermarrec & Le Scouarnec, "Quicker ADC", 2019.
    """
    factory, nprobe = f"IVF{list_count(n)},{codes}", max(16, list_count(n) // 16)
    if d == sample.shape[1]:
        return _train_factory(sample, factory, nprobe, brief=True)
    transform = reduction.first(d)
    return _prepend_reduction(transform, _train_factory(transform.apply(sample), factory, nprobe, brief=True))


def _prepend_reduction(transform: faiss.LinearTransform, inner: Trained) -> Trained:
    """Return an index of reduced vectors with the reduction before it."""
    index = faiss.IndexPreTransform(transform, inner.index)
    return Trained(index, replace(inner.parameters, dimension=transform.d_out))


def _train_flat(sample: np.ndarray, n: int) -> Trained:
    """Exact search."""
    index = faiss.index_factory(sample.shape[1], "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
    return Trained(index, RecipeParameters(reranked=0))


def _train_classic(sample: np.ndarray, n: int) -> Trained:
    """The recipe of 2022: sqrt(n) inverted lists, 4 probed, product codes of 16 bytes if 16 divides d.

    Without polysemous training ("np"), as in the script of 2022 and unlike Faiss' default.
    """
    parts = max(parts for parts in range(1, 17) if sample.shape[1] % parts == 0)
    return _train_factory(sample, f"IVF{list_count(n)},PQ{parts}x8np", nprobe=4)


def _train_codes(sample: np.ndarray, n: int, numbers: int, codes: str) -> Trained:
    """Product codes of so many numbers each, on at most REDUCED_DIMENSION components."""
    d = min(REDUCED_DIMENSION, sample.shape[1], len(sample)) // numbers * numbers
    if not d:
        raise TooFewVectors
    return train_reduced(Reduction(sample, d), sample, n, d, f"PQ{d // numbers}{codes}")


RECIPES: dict[str, Callable[[np.ndarray, int], Trained]] = {
    "flat": _train_flat,
    "classic": _train_classic,
    "reduced": partial(_train_codes, numbers=2, codes="x4fs"),  # the default for large collections
    "mapped": partial(_train_codes, numbers=4, codes="x8np"),  # of the same size; 4-bit codes cannot be memory-mapped
}


def _new_index(d: int, factory: str) -> faiss.Index:
    try:
        return faiss.index_factory(d, factory, faiss.METRIC_L2)
    except RuntimeError as error:
        raise ValueError(
            f"expected a recipe of auto, {', '.join(RECIPES)} or a string of faiss.index_factory that fits "
            f"{d} dimensions, got {factory}"
        ) from error


def _check_in_process(sample: np.ndarray, factory: str) -> None:
    """Raise ValueError for a string that Faiss cannot use, tried in another process: some strings crash Faiss."""
    _new_index(sample.shape[1], factory)
    command = [sys.executable, "-c", TRIAL, str(sample.shape[1]), str(min(len(sample), TRIAL_VECTORS)), factory]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TRIAL_SECONDS)
    except subprocess.TimeoutExpired:
        return  # it is only slow to train
    if done.returncode:
        lines = done.stderr.strip().splitlines() if done.returncode > 0 else []
        reason = lines[-1] if lines else "Faiss ends the process"
        raise ValueError(f"the recipe {factory} cannot be used with {sample.shape[1]} dimensions: {reason}")


def _train_factory(sample: np.ndarray, factory: str, nprobe: int | None = None, brief: bool = False) -> Trained:
    """Train an index of faiss.index_factory.

    `brief`: train product codes in fewer rounds, always true for 4-bit codes.
    """
    index = _new_index(sample.shape[1], factory)
    ivf = find_ivf(index)
    if ivf is not None:
        ivf.cp.seed, ivf.cp.min_points_per_centroid = SEED, 1  # Faiss would warn on stderr below 39
        if nprobe:
            ivf.nprobe = min(nprobe, ivf.nlist)
    if codes := getattr(ivf or index, "pq", None):
        codes.cp.min_points_per_centroid = 1
        if codes.nbits == 4 or brief:
            codes.cp.niter, codes.cp.max_points_per_centroid = BITS_4_ITERATIONS, BITS_4_POINTS
    if not takes_ids(index):
        index = faiss.IndexIDMap(index)  # ids are rows, and skipped rows are missing
    try:
        index.train(sample)
    except RuntimeError as error:
        if "training points" in str(error):
            raise TooFewVectors from error
        raise ValueError(f"the recipe {factory} cannot be trained: {str(error).splitlines()[0]}") from error
    nprobe = ivf.nprobe if ivf is not None else None
    return Trained(index, RecipeParameters(factory=factory, metric="L2", seed=SEED, reranked=RERANKED, nprobe=nprobe))
