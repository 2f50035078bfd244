"""How an index is made: a table of recipes, each trained on a sample of unit vectors.

Shape letters: n vectors in all, m in a sample, d numbers in a vector.
"""

import re
import subprocess
import sys
from typing import NamedTuple, cast

import faiss
import numpy as np

from similar_images.index.similarity import SEED, principal

TRIED = 300  # vectors that a recipe is tried with
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
RERANKED = 100  # hits of a coarse index that are re-ranked with the exact vectors


class Trained(NamedTuple):
    faiss: faiss.Index
    parameters: dict  # what the manifest says of the recipe; "reranked": 0 where hits are exact


def train(recipe: str, sample: np.ndarray, n: int) -> Trained | None:
    """Return an empty index for n vectors, trained on unit vectors (m, d); None where these are too few.

    `recipe` is a name of RECIPES, or a string that faiss.index_factory takes. Raises ValueError for any other.
    """
    if recipe in RECIPES:
        return RECIPES[recipe](sample, n)
    _try(sample, recipe)
    components = re.fullmatch(r"PCA(\d+),(.+)", recipe)
    if not components or int(components[1]) > min(sample.shape):
        return _factory(sample, recipe)
    transform = Reduction(sample, int(components[1])).first(int(components[1]))
    trained = _reducing(transform, _factory(transform.apply(sample), components[2]))
    return trained and trained._replace(parameters={**trained.parameters, "factory": recipe})


def lists(n: int) -> int:
    """Return the number of inverted lists for n vectors."""
    return max(1, round(n**0.5))


class Reduction:
    """The centred projection on principal components, without the d x d matrices that Faiss' own PCA keeps."""

    def __init__(self, sample: np.ndarray, d: int):
        """Find the first d components of unit vectors (m, any)."""
        self.mean, self.components, _ = principal(sample, d)

    def first(self, d: int) -> faiss.LinearTransform:
        """Return the projection on the first d components."""
        components = np.ascontiguousarray(self.components[:d])
        transform = faiss.LinearTransform(components.shape[1], d, True)
        faiss.copy_array_to_vector(components.ravel(), transform.A)
        faiss.copy_array_to_vector(-components @ self.mean, transform.b)
        transform.is_trained = True
        return transform


def reduced(reduction: Reduction, sample: np.ndarray, n: int, d: int, codes: str) -> Trained | None:
    """Return principal components, unless d are all, then inverted lists of codes such as `PQ64x4fs` or `SQ8`.

    The metric must be L2: an inner product does not survive the centring. Source of the fast scan of 4-bit
    codes: Andre, Kermarrec & Le Scouarnec, "Quicker ADC", 2019.
    """
    factory, nprobe = f"IVF{lists(n)},{codes}", max(16, lists(n) // 16)
    if d == sample.shape[1]:
        return _factory(sample, factory, nprobe, brief=True)
    transform = reduction.first(d)
    return _reducing(transform, _factory(transform.apply(sample), factory, nprobe, brief=True))


def _reducing(transform: faiss.LinearTransform, inner: Trained | None) -> Trained | None:
    """Return what reduces vectors before an index of the reduced ones; None if that index is None."""
    if inner is None:
        return None
    return Trained(faiss.IndexPreTransform(transform, inner.faiss), {"dimension": transform.d_out, **inner.parameters})


def _flat(sample: np.ndarray, n: int) -> Trained:
    """Exact search: the vectors as they are."""
    return Trained(faiss.index_factory(sample.shape[1], "IDMap,Flat", faiss.METRIC_INNER_PRODUCT), {"reranked": 0})


def _classic(sample: np.ndarray, n: int) -> Trained | None:
    """The recipe of 2022: sqrt(n) inverted lists of product codes, 4 lists probed; 16 bytes a code if 16 divides d.

    As the script of 2022, and unlike Faiss' factory by default, without polysemous training ("np").
    """
    parts = max(parts for parts in range(1, 17) if sample.shape[1] % parts == 0)
    return _factory(sample, f"IVF{lists(n)},PQ{parts}x8np", nprobe=4)


def _reduced(sample: np.ndarray, n: int) -> Trained | None:
    """The default for large collections."""
    d = min(REDUCED_DIMENSION, sample.shape[1], len(sample)) // 2 * 2
    return reduced(Reduction(sample, d), sample, n, d, f"PQ{d // 2}x4fs") if d else None


def _mapped(sample: np.ndarray, n: int) -> Trained | None:
    """The same with as many bytes of 8-bit codes, whose parts can stay on disk: those of fast scan cannot."""
    d = min(REDUCED_DIMENSION, sample.shape[1], len(sample)) // 4 * 4
    return reduced(Reduction(sample, d), sample, n, d, f"PQ{d // 4}x8np") if d else None


RECIPES = {"flat": _flat, "classic": _classic, "reduced": _reduced, "mapped": _mapped}


def takes_ids(index: faiss.Index) -> bool:
    """Return whether rows can be added to an index with their ids."""
    if isinstance(index, faiss.IndexPreTransform):
        return takes_ids(faiss.downcast_index(index.index))
    return isinstance(index, (faiss.IndexIDMap, faiss.IndexIVF))


def _made(d: int, factory: str) -> faiss.Index:
    try:
        return faiss.index_factory(d, factory, faiss.METRIC_L2)
    except RuntimeError as error:
        raise ValueError(
            f"expected a recipe of auto, {', '.join(RECIPES)} or a string of faiss.index_factory that fits "
            f"{d} dimensions, got {factory}"
        ) from error


def _try(sample: np.ndarray, factory: str) -> None:
    """Raise ValueError for a string that Faiss cannot use; some end the whole process, so another process tries them."""
    _made(sample.shape[1], factory)
    command = [sys.executable, "-c", TRIAL, str(sample.shape[1]), str(min(len(sample), TRIED)), factory]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TRIAL_SECONDS)
    except subprocess.TimeoutExpired:
        return  # it is only slow to train
    if done.returncode:
        lines = done.stderr.strip().splitlines() if done.returncode > 0 else []
        reason = lines[-1] if lines else "Faiss ends the process"
        raise ValueError(f"the recipe {factory} cannot be used with {sample.shape[1]} dimensions: {reason}")


def _factory(sample: np.ndarray, factory: str, nprobe: int | None = None, brief: bool = False) -> Trained | None:
    """Train what faiss.index_factory makes of a string; None where the sample is too small for it.

    `brief`: product codes are trained in fewer rounds, as those of 4 bits always are.
    """
    index = _made(sample.shape[1], factory)
    found = faiss.try_extract_index_ivf(index)
    inverted = None if found is None else cast(faiss.IndexIVF, faiss.downcast_index(found))
    if inverted is not None:
        inverted.cp.seed, inverted.cp.min_points_per_centroid = SEED, 1  # Faiss would warn on stderr below 39
        if nprobe:
            inverted.nprobe = min(nprobe, inverted.nlist)
    if codes := getattr(inverted or index, "pq", None):
        codes.cp.min_points_per_centroid = 1
        if (
            codes.nbits == 4 or brief
        ):  # of 4 bits: 16 centroids each: more training costs ten times as long and gives the same recall
            codes.cp.niter, codes.cp.max_points_per_centroid = 10, 64
    if not takes_ids(index):
        index = faiss.IndexIDMap(index)  # ids must be rows, and skipped rows are left out
    try:
        index.train(sample)
    except RuntimeError as error:
        if "training points" in str(error):
            return None
        raise ValueError(f"the recipe {factory} cannot be trained: {str(error).splitlines()[0]}") from error
    parameters = {"factory": factory, "metric": "L2", "seed": SEED, "reranked": RERANKED}
    return Trained(index, parameters | ({"nprobe": inverted.nprobe} if inverted is not None else {}))
