"""How alike two vectors are: the cosine of the network's numbers, or after a transform fitted on the collection.

The numbers of a network have a common mean and many directions that only add noise. `benchmarks/similarity.py` measures
what subtracting the mean and keeping the first principal components gives.
Source: Jegou & Chum, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening", 2012.

Shape letters: n vectors in all, m in a sample, b in a block, d numbers in a vector, c numbers of a transformed one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from similar_images.index.exact import products, rows_but, unit_rows
from similar_images.networks.description import NetworkDescription, reads_text, reads_words
from similar_images.vectors.store import open_array

SIMILARITIES = ("cosine", "centred", "whitened")
SEED = 1234
COMPONENTS = 112  # fewer lose hits, more add noise: 96 to 128 are alike on all sets at hand
STRENGTH = 0.25  # components are divided by their standard deviation to this power; 1 would be full whitening
ROWS = 8  # per component: so many vectors are needed to know its direction
FEW = 200  # vectors; the principal components of fewer are mostly noise
SAMPLE = 20_000  # vectors that a transform is fitted on
# How much longer the mean of transformed unit vectors, 0 when fitted, may become before a new transform pays. Fitted on
# 60 of the 101 classes of Caltech-101 and searched with all, it is 0.06 longer, and mAP 0.69 and 0.68 instead of 0.72
# and 0.73 (MobileNetV2, EfficientNet-Lite0).
MOVED = 0.05


class Similarity(NamedTuple):
    """A cosine between vectors that are transformed first: `matrix` @ unit vector + `offset`, normalised."""

    name: str  # of SIMILARITIES
    offset: np.ndarray | None = None  # float32 (c,); None: the vectors are compared as they are
    matrix: np.ndarray | None = None  # float32 (c, d); None: c is d

    @property
    def is_cosine(self) -> bool:
        """Whether vectors are compared as they are, of any length; transformed ones have length 1."""
        return self.offset is None

    def transformed(self, unit: np.ndarray) -> np.ndarray:
        """Return float32 unit vectors (b, c) for unit vectors (b, d); zeros (skipped images) stay zeros."""
        if self.offset is None:
            return unit
        moved = (unit if self.matrix is None else products(unit, self.matrix)) + self.offset
        moved[~unit.any(axis=1)] = 0
        lengths = np.sqrt(np.einsum("bc,bc->b", moved, moved))[:, None]
        return np.divide(moved, lengths, out=moved, where=lengths > 0)

    def in_front_of(self, index: faiss.Index) -> faiss.Index:
        """Return an index of transformed vectors as one of the network's vectors (n, d) of any length."""
        if self.offset is None:
            return index
        c = len(self.offset)
        d = c if self.matrix is None else self.matrix.shape[1]
        transform: Any
        if self.matrix is None:
            transform = faiss.CenteringTransform(d)
            faiss.copy_array_to_vector(-self.offset, transform.mean)
        else:
            transform = faiss.LinearTransform(d, c, True)
            faiss.copy_array_to_vector(self.matrix.ravel(), transform.A)
            faiss.copy_array_to_vector(self.offset, transform.b)
        transform.is_trained = True
        chain, last = _chain(index)
        return _chained([faiss.NormalizationTransform(d), transform, faiss.NormalizationTransform(c), *chain], last)

    @property
    def bytes(self) -> int:
        """Bytes that the transform adds to the file of an index."""
        if self.offset is None:
            return 0
        index = faiss.IndexFlat(len(self.offset))
        return faiss.serialize_index(self.in_front_of(index)).size - faiss.serialize_index(index).size

    def save(self, path: Path) -> None:
        """Write the transform as float16: the offset, after it the rows of the matrix."""
        if self.offset is not None:
            rows = [self.offset] if self.matrix is None else [self.offset, *self.matrix.T]
            np.save(path, np.array(rows, np.float16))


COSINE = Similarity("cosine")


def load(path: Path, name: str) -> Similarity:
    """Return the similarity of a name whose transform was saved. Raises OSError or ValueError if it cannot be read."""
    offset, *matrix = open_array(path).astype(np.float32)
    return Similarity(name, offset, np.ascontiguousarray(np.array(matrix).T) if matrix else None)


def separated(index: faiss.Index) -> tuple[Similarity, faiss.Index]:
    """Return the similarity in front of an index, as `Similarity.in_front_of` puts it there, and the index behind it."""
    chain, last = _chain(index)
    if [type(one) for one in (*chain[:1], *chain[2:3])] != 2 * [faiss.NormalizationTransform]:
        return COSINE, index
    transform = chain[1]
    if type(transform) is faiss.CenteringTransform:
        similarity = Similarity("centred", -faiss.vector_to_array(transform.mean))
    elif type(transform) is faiss.LinearTransform and transform.have_bias:
        matrix = faiss.vector_to_array(transform.A).reshape(transform.d_out, transform.d_in)
        similarity = Similarity("whitened", faiss.vector_to_array(transform.b), matrix)
        faiss.Float32Vector().swap(transform.A)  # the copy is enough
    else:
        return COSINE, index
    return similarity, _chained(chain[3:], last)


def _chain(index: faiss.Index) -> tuple[list[Any], faiss.Index]:
    """Return the transforms in front of an index, in order, and the index behind them."""
    if not isinstance(index, faiss.IndexPreTransform):
        return [], index
    found: Any = index.chain
    chain = [faiss.downcast_VectorTransform(found.at(i)) for i in range(found.size())]
    last: Any = faiss.downcast_index(index.index)
    last.referenced_objects = [index]  # which owns all of them
    return chain, last


def _chained(chain: list[Any], index: faiss.Index) -> faiss.Index:
    """Return an index with transforms in front of it, the first one first."""
    if not chain:
        return index
    whole = faiss.IndexPreTransform(index)
    for transform in reversed(chain):
        whole.prepend_transform(transform)
    return whole


def default(network: NetworkDescription | None, n: int) -> str:
    """Return the similarity that is best for n vectors of a network, by benchmarks/similarity.py.

    Of texts, of a network that also reads words and of an unknown one it is the cosine: vectors of words are not where
    those of images are, and another similarity is made from the latter.
    """
    is_plain = network is None or reads_text(network) or reads_words(network)
    return "cosine" if is_plain or n < FEW else "whitened"


def fit(array: np.ndarray, name: str, absent: Sequence[int] = ()) -> Similarity:
    """Return the similarity fitted on a sample of vectors (n, d), without the rows that are `absent` (removed).

    Raises ValueError for another name than those of SIMILARITIES, and for vectors that do not differ.
    """
    if name not in SIMILARITIES:
        raise ValueError(f"expected a similarity of auto, {', '.join(SIMILARITIES)}, got {name}")
    if name == COSINE.name:
        return COSINE
    unit = _sample(array, absent)
    if len(unit) < 2 or not np.ptp(unit, axis=0).any():
        raise ValueError(f"the similarity {name} needs vectors that differ: use cosine")
    if name == "centred":
        return Similarity(name, _rounded(-unit.mean(axis=0)))
    mean, components, variances = principal(unit, max(1, min(COMPONENTS, array.shape[1], len(unit) // ROWS)))
    kept = variances > 1e-6 * variances[0]
    components, variances = components[kept], variances[kept]
    shrinkage = min(1.0, ROWS * len(variances) / len(unit))  # few vectors overstate how much variances differ
    variances = (1 - shrinkage) * variances + shrinkage * variances.mean()
    matrix = _rounded(components / (variances[:, None] / variances[0]) ** (STRENGTH / 2))
    return Similarity(name, _rounded(-matrix @ mean), matrix)


def principal(sample: np.ndarray, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (d,), components (c, d) and variances (c,) of vectors (m, d), by a randomised method.

    Source: Halko, Martinsson & Tropp, "Finding structure with randomness", 2011.
    """
    from sklearn.decomposition import PCA

    pca = PCA(c, svd_solver="randomized", iterated_power=2, random_state=SEED).fit(sample)
    return pca.mean_.astype(np.float32), pca.components_.astype(np.float32), pca.explained_variance_


def moved(array: np.ndarray, removed: Sequence[int] = ()) -> float:
    """Return how far the mean of transformed unit vectors (n, c) is from 0, where it was when they were fitted."""
    return float(np.linalg.norm(_sample(array, removed).mean(axis=0)))


def _sample(array: np.ndarray, absent: Sequence[int]) -> np.ndarray:
    """Return the unit vectors (m, d) of a sample of rows that are not absent."""
    rows = rows_but(len(array), absent)
    drawn = np.random.default_rng(SEED).permutation(rows)[:SAMPLE]
    return unit_rows(array, np.sort(drawn))[1]


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return what float16 keeps of values, so that a similarity is the same before and after it was saved."""
    return values.astype(np.float16).astype(np.float32)
