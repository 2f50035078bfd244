"""Similarity of two vectors: their cosine, or the cosine after a transform fitted on the collection.

Vectors of a network have a common mean and many directions of noise; `benchmarks/similarity.py` measures the gain from
subtracting the mean and keeping the first principal components. The transformed vectors lie in a file beside the index
(float16, memory-mapped) for exact search and re-ranking. The name of the file contains a digest of its content and is
in the manifest, so an index is never used with a file of another index. The transform itself is in the index; only
Milvus collections, and indexes of earlier versions, have it in a separate file.

Source: Jegou & Chum, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening", 2012.

Shape letters: n vectors in all, m in a sample, b in a block, d numbers in a vector, c numbers in a transformed one.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from similar_images.files import flush, partial_file, sha256
from similar_images.index.exact import inner_products, rows_except, unit_blocks, unit_rows
from similar_images.index.manifest import DIGITS, SimilarityEntry
from similar_images.networks.description import NetworkDescription, reads_text, reads_words
from similar_images.vectors.store import new_array, open_array, release, sample

SIMILARITIES = ("cosine", "centred", "whitened")
SEED = 1234
COMPONENTS = 112  # fewer lose hits, more add noise; 96 to 128 measure the same on all test sets
WHITENING_POWER = 0.25  # of the standard deviation that components are divided by; 1: full whitening
ROWS_PER_COMPONENT = 8  # vectors needed to estimate the direction of a component
MIN_PCA_VECTORS = 200  # the principal components of fewer are mostly noise
MAX_FIT_VECTORS = 20_000  # sample that a transform is fitted on
# Growth of the length of the mean transformed unit vector (0 when fitted) above which a new transform pays. Fitted on
# 60 of the 101 classes of Caltech-101 and searched with all, the length grows by 0.06 and mAP is 0.69 and 0.68 instead
# of 0.72 and 0.73 (MobileNetV2, EfficientNet-Lite0).
MAX_MEAN_DRIFT = 0.05


class Similarity(NamedTuple):
    """The cosine of transformed vectors: `matrix` @ unit vector + `offset`, normalised."""

    name: str  # of SIMILARITIES
    offset: np.ndarray | None = None  # float32 (c,); None: no transform
    matrix: np.ndarray | None = None  # float32 (c, d); None: c is d

    @property
    def is_cosine(self) -> bool:
        """Whether there is no transform."""
        return self.offset is None

    def transform(self, unit: np.ndarray) -> np.ndarray:
        """Return float32 unit vectors (b, c) for unit vectors (b, d); zeros (skipped images) stay zeros."""
        if self.offset is None:
            return unit
        shifted: np.ndarray = (unit if self.matrix is None else inner_products(unit, self.matrix)) + self.offset
        shifted[~unit.any(axis=1)] = 0
        lengths = np.sqrt(np.einsum("bc,bc->b", shifted, shifted))[:, None]
        np.divide(shifted, lengths, out=shifted, where=lengths > 0)
        return shifted

    def prepend_to(self, index: faiss.Index) -> faiss.Index:
        """Return an index of transformed vectors as an index of the network's vectors (n, d) of any length."""
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
        chain, last = _transform_chain(index)
        return _prepend([faiss.NormalizationTransform(d), transform, faiss.NormalizationTransform(c), *chain], last)

    @property
    def bytes(self) -> int:
        """Bytes of the transform in the file of an index."""
        if self.offset is None:
            return 0
        index = faiss.IndexFlat(len(self.offset))
        return faiss.serialize_index(self.prepend_to(index)).size - faiss.serialize_index(index).size

    def save(self, path: Path) -> None:
        """Write the transform as float16: the offset, then the columns of the matrix."""
        if self.offset is not None:
            rows = [self.offset] if self.matrix is None else [self.offset, *self.matrix.T]
            np.save(path, np.array(rows, np.float16))


COSINE = Similarity("cosine")


def load_transform(path: Path, name: str) -> Similarity:
    """Return the similarity with a saved transform. Raises OSError or ValueError if it cannot be read."""
    offset, *matrix = open_array(path).astype(np.float32)
    return Similarity(name, offset, np.ascontiguousarray(np.array(matrix).T) if matrix else None)


def split_similarity(index: faiss.Index) -> tuple[Similarity, faiss.Index]:
    """Return the similarity that `Similarity.prepend_to` put before an index, and the index behind it."""
    chain, last = _transform_chain(index)
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
    return similarity, _prepend(chain[3:], last)


def _transform_chain(index: faiss.Index) -> tuple[list[Any], faiss.Index]:
    """Return the transforms before an index, in order, and the index behind them."""
    if not isinstance(index, faiss.IndexPreTransform):
        return [], index
    found: Any = index.chain
    chain = [faiss.downcast_VectorTransform(found.at(i)) for i in range(found.size())]
    last: Any = faiss.downcast_index(index.index)
    last.referenced_objects = [index]  # it owns all of them
    return chain, last


def _prepend(chain: list[Any], index: faiss.Index) -> faiss.Index:
    """Return an index with transforms before it."""
    if not chain:
        return index
    chained = faiss.IndexPreTransform(index)
    for transform in reversed(chain):
        chained.prepend_transform(transform)
    return chained


def default_similarity(network: NetworkDescription | None, n: int) -> str:
    """Return the best similarity for n vectors of a network, by benchmarks/similarity.py.

    Texts, unknown networks and networks that also read words have the cosine: word vectors differ from image vectors,
    and a transform is fitted on image vectors.
    """
    is_plain = network is None or reads_text(network) or reads_words(network)
    return "cosine" if is_plain or n < MIN_PCA_VECTORS else "whitened"


def fit(array: np.ndarray, name: str, absent: Sequence[int] = ()) -> Similarity:
    """Return the similarity fitted on a sample of vectors (n, d) without `absent` rows.

    Raises ValueError for a name not in SIMILARITIES and for identical vectors.
    """
    if name not in SIMILARITIES:
        raise ValueError(f"expected a similarity of auto, {', '.join(SIMILARITIES)}, got {name}")
    if name == COSINE.name:
        return COSINE
    unit = _sample_units(array, absent)
    if len(unit) < 2 or not np.ptp(unit, axis=0).any():
        raise ValueError(f"the similarity {name} needs vectors that differ: use cosine")
    if name == "centred":
        return Similarity(name, _round_to_float16(-unit.mean(axis=0)))
    mean, components, variances = principal_components(
        unit, max(1, min(COMPONENTS, array.shape[1], len(unit) // ROWS_PER_COMPONENT))
    )
    kept = variances > 1e-6 * variances[0]
    components, variances = components[kept], variances[kept]
    shrinkage = min(
        1.0, ROWS_PER_COMPONENT * len(variances) / len(unit)
    )  # few vectors overstate how much variances differ
    variances = (1 - shrinkage) * variances + shrinkage * variances.mean()
    matrix = _round_to_float16(components / (variances[:, None] / variances[0]) ** (WHITENING_POWER / 2))
    return Similarity(name, _round_to_float16(-matrix @ mean), matrix)


def principal_components(sample: np.ndarray, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (d,), components (c, d) and variances (c,) of vectors (m, d), by a randomised method.

    Source: Halko, Martinsson & Tropp, "Finding structure with randomness", 2011.
    """
    from sklearn.decomposition import PCA

    pca = PCA(c, svd_solver="randomized", iterated_power=2, random_state=SEED).fit(sample)
    return pca.mean_.astype(np.float32), pca.components_.astype(np.float32), pca.explained_variance_


def mean_drift(array: np.ndarray, removed: Sequence[int] = ()) -> float:
    """Return the length of the mean of transformed unit vectors (n, c); it is 0 when they are fitted."""
    return float(np.linalg.norm(_sample_units(array, removed).mean(axis=0)))


def _sample_units(array: np.ndarray, absent: Sequence[int]) -> np.ndarray:
    """Return the unit vectors (m, d) of a sample of rows without absent rows."""
    rows = rows_except(len(array), absent)
    drawn = np.random.default_rng(SEED).permutation(rows)[:MAX_FIT_VECTORS]
    return unit_rows(array, np.sort(drawn))[1]


def _round_to_float16(values: np.ndarray) -> np.ndarray:
    """Round values to float16, so that a similarity is the same before and after saving."""
    return values.astype(np.float16).astype(np.float32)


@contextmanager
def transform_to_file(
    array: np.ndarray,
    similarity: Similarity,
    index: Path,
    known: np.ndarray | None = None,
    retried: Sequence[int] | np.ndarray = (),
) -> Iterator[tuple[np.ndarray, str | None]]:
    """Yield transformed vectors (n, c) of vectors (n, d), and the name of their new file beside the index.

    The first vectors may be `known` from the last file; then only the rest and the rows `retried` are computed. The
    name is None without a new file: the cosine uses the vectors themselves. A new file is removed after an error.
    """
    offset = similarity.offset
    if offset is None:
        yield array, None
        return
    if known is not None and len(known) == len(array) and not len(retried):
        yield known, None
        return
    with partial_file(index.with_name(index.name + ".npy")) as partial:
        transformed = new_array(partial, (len(array), len(offset)))
        if known is not None:
            transformed[: len(known)] = known
            _fill(transformed, similarity, [unit_rows(array, np.asarray(retried, dtype=np.int64))])
        _fill(transformed, similarity, unit_blocks(array, 0 if known is None else len(known)))
        del transformed  # Windows cannot rename a mapped file
        flush(partial)
        path, is_new = keep_transformed(partial, index)
    try:
        yield open_array(path), path.name
    except BaseException:
        if is_new:
            with suppress(OSError):  # Windows: it is mapped
                path.unlink()
        raise


def transform_rows(file: Path, array: np.ndarray, similarity: Similarity, start: int, stop: int) -> None:
    """Write the transformed vectors of the rows from start to stop of vectors (n, d) into a file (n, c)."""
    transformed = np.lib.format.open_memmap(file, "r+")
    _fill(transformed, similarity, unit_blocks(array[:stop], start))
    release(transformed)
    del transformed
    flush(file)


def keep_transformed(file: Path, index: Path) -> tuple[Path, bool]:
    """Rename a complete file of transformed vectors; return its path, beside the index, and whether it is new.

    The name contains a digest. An intact file of that name is kept, because readers may have it open.
    """
    path = index.with_name(f"{index.name}.{sample(open_array(file))[:DIGITS]}.npy")
    is_new = open_intact(path) is None
    if is_new:
        file.replace(path)
    return path, is_new


def open_intact(path: Path) -> np.ndarray | None:
    """Return the transformed vectors (n, c) in a file; None if it is missing or damaged."""
    try:
        array = open_array(path)
        return array if path.name.endswith(f".{sample(array)[:DIGITS]}.npy") else None
    except (OSError, ValueError):
        return None


def transform_all(array: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Return transformed vectors (n, c) of vectors (n, d), in memory; the cosine returns the vectors themselves."""
    if similarity.offset is None:
        return array
    transformed = np.zeros((len(array), len(similarity.offset)), np.float16)
    _fill(transformed, similarity, unit_blocks(array))
    return transformed


def describe_similarity(
    similarity: Similarity,
    transformed: np.ndarray,
    file: str | None,
    absent: Sequence[int],
    old: SimilarityEntry | None = None,
) -> SimilarityEntry | None:
    """Return the manifest's entry of a similarity and its transformed vectors (n, c); None with the cosine.

    Without a new file the `old` entry keeps its file.
    """
    if similarity.offset is None:
        return None
    drift = mean_drift(transformed, absent)
    return SimilarityEntry(
        n=old.n if old else len(transformed) - len(absent),
        built_moved=old.built_moved if old else drift,
        name=similarity.name,
        dimension=len(similarity.offset),
        vectors=file or (old.vectors if old else ""),
        moved=drift,
    )


def keep_transform(similarity: Similarity, index: Path) -> str:
    """Write the transform to a file beside the index; return the name of the file."""
    with partial_file(index.with_name(index.name + ".npy")) as partial:
        similarity.save(partial)
        flush(partial)
        name = f"{index.name}.{sha256(partial)[:DIGITS]}.transform.npy"
        partial.replace(index.with_name(name))
    return name


def open_transform(index: Path, entry: SimilarityEntry, c: int) -> Similarity:
    """Return the similarity with a transform in a separate file, named by a manifest's entry.

    Raises ValueError if the file is missing, damaged or does not give c numbers: the index cannot be searched without.
    """
    path = index.with_name(entry.transform or "")
    try:
        if not path.name.endswith(f".{sha256(path)[:DIGITS]}.transform.npy"):
            raise ValueError(f"the transform of its similarity, {path}, was altered")
        similarity = load_transform(path, entry.name)
    except FileNotFoundError as error:
        raise ValueError(f"the transform of its similarity, {path}, is missing") from error
    if similarity.offset is None or len(similarity.offset) != c:
        raise ValueError(f"the transform of its similarity, {path}, does not give {c} numbers")
    return similarity


def open_transformed(index: Path, entry: SimilarityEntry | None) -> np.ndarray | None:
    """Return the vectors (n, c) of a manifest's entry; None with the cosine, or if they are missing or damaged."""
    return None if entry is None else open_intact(index.with_name(entry.vectors))


def _fill(transformed: np.ndarray, similarity: Similarity, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the transformed vectors of rows (b,) with unit vectors (b, d)."""
    for rows, unit in blocks:
        transformed[rows] = similarity.transform(unit)
