"""Vectors to a Faiss index: recipes, train, add, write, read, search. Ids are rows, similarity is cosine.

Shape letters: n vectors in all, m in a sample, b in a block or batch, d numbers in a vector, k hits.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np

from similar_images.files import read_json, relative, replacing, sha256, write_json
from similar_images.vectors import Vectors, block_rows, fingerprint

FORMAT = "similar-images index 1"
SEED = 1234
SMALL = 5_000  # vectors; below it an exact search takes less than half a millisecond
REDUCED_DIMENSION = 256
SAMPLE_BYTES = 512 * 2**20  # of float32 vectors to train on
SAMPLE_PER_LIST = 64  # vectors to train on per inverted list; Faiss asks for at least 39
REBUILD = "build it again with build_search_db.py"
RERANKED = 100  # hits of a coarse index that are ranked anew with the exact vectors


class Trained(NamedTuple):
    faiss: faiss.Index
    parameters: dict  # what the manifest says of the recipe; "reranked": 0 where hits are exact


class Index(NamedTuple):
    """A Faiss index with its manifest."""

    path: Path
    faiss: faiss.Index
    manifest: dict | None  # None: made by another tool

    @property
    def reranked(self) -> int:
        return self.manifest["parameters"]["reranked"] if self.manifest else RERANKED

    @property
    def recipe(self) -> str:
        return self.manifest["recipe"] if self.manifest else "unknown"

    def search(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities float32 (b, k) and rows int64 (b, k) for unit vectors (b, d); row -1: no hit."""
        found, rows = self.faiss.search(unit, k)
        if self.faiss.metric_type == faiss.METRIC_L2:
            found = 1 - found / 2  # unit vectors: |x - y|^2 = 2 - 2 cos
        return np.clip(found, -1, 1), rows


def normalised(block: np.ndarray) -> np.ndarray:
    """Return float32 unit vectors for vectors (b, d), zeros where a row is zeros.

    Raises ValueError where a row holds NaN or infinity.
    """
    block = block.astype(np.float32)
    norms = np.sqrt(np.einsum("bd,bd->b", block, block, dtype=np.float64))[:, None]
    if not np.isfinite(norms).all():
        raise ValueError(f"row {int(np.argmin(np.isfinite(norms)))} holds NaN or infinity")
    return np.divide(block, norms, out=np.zeros_like(block), where=norms > 0, casting="same_kind")


def blocks(array: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows int64 (b,) and unit vectors (b, d) of vectors (n, d), without rows of zeros (skipped images)."""
    for start in range(0, len(array), block_rows(array)):
        yield _unit_rows(array, np.arange(start, min(start + block_rows(array), len(array))))


def build(
    vectors: Vectors,
    path: Path,
    recipe: str = "auto",
    progress: Callable[[int], None] = lambda rows: None,
    note: Callable[[str], None] = lambda message: None,
) -> dict:
    """Train an index on a sample of the vectors, add all, write it whole with its manifest; return that.

    `recipe` is a name of RECIPES, "auto", or a string that faiss.index_factory takes. `note` is told where
    a recipe could not be followed. Raises ValueError for vectors or recipes that cannot be used.
    """
    _check_unchanged(vectors)
    n = len(vectors.array)
    try:
        sample = _sample(vectors.array)
        if not len(sample):
            raise ValueError("all rows are zeros: every image was skipped")
        recipe = ("flat" if n < SMALL else "reduced") if recipe == "auto" else recipe
        trained = _train(recipe, sample, n)
        if trained is None:
            note(f"{len(sample)} vectors are too few to train the recipe {recipe}: flat is taken, an exact search")
            recipe, trained = "flat", _train("flat", sample, n)
        del sample
        for rows, unit in blocks(vectors.array):
            trained.faiss.add_with_ids(unit, rows)
            progress(len(rows))
    except ValueError as error:
        raise ValueError(f"{vectors.path}: {error}") from error
    with replacing(path) as partial:
        faiss.write_index(trained.faiss, str(partial))
    manifest = {
        "format": FORMAT,
        "recipe": recipe,
        "parameters": trained.parameters,
        "n": trained.faiss.ntotal,
        "d": trained.faiss.d,
        "sha256": sha256(path),
        "vectors": {
            "file": relative(vectors.path, path.parent),
            "n": n,
            "fingerprint": fingerprint(vectors.array),
            "network": vectors.network,
        },
    }
    write_json(manifest_path(path), manifest)
    return manifest


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Return the share of the true nearest rows (q, k) that are among the found rows (q, k)."""
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(true, found, strict=True)]))


def manifest_path(index: Path) -> Path:
    return index.with_name(index.name + ".json")


def open_index(path: Path) -> Index:
    """Open an index after its SHA-256 was checked against its manifest, where it has one.

    Raises ValueError where the file is damaged, altered or no index.
    """
    manifest = None
    if manifest_path(path).exists():
        manifest = read_json(manifest_path(path), FORMAT)
        if sha256(path) != manifest.get("sha256"):
            raise ValueError(f"{path} is not what its manifest says, it was altered or truncated: {REBUILD}")
    try:
        opened = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"{path} is not a Faiss index, or it is truncated: {REBUILD}") from error
    return Index(path, opened, manifest)


def check_matches(index: Index, vectors: Vectors) -> None:
    """Raise ValueError, with the remedy, where an index was not built from these vectors."""
    n, d = vectors.array.shape
    if index.faiss.d != d:
        raise ValueError(f"{index.path}: expected an index of vectors (n, {d}), got (n, {index.faiss.d}); {REBUILD}")
    if index.manifest is None:
        if index.faiss.ntotal > n:
            raise ValueError(f"{index.path} holds {index.faiss.ntotal} vectors, {vectors.path} only {n}; {REBUILD}")
        return
    built = index.manifest["vectors"]
    if built["n"] > n or built["fingerprint"] != fingerprint(vectors.array[: built["n"]]):
        raise ValueError(f"{index.path} was built from other vectors than {vectors.path}: {REBUILD}")


def _flat(sample: np.ndarray, n: int) -> Trained:
    """Exact search: the vectors as they are."""
    return Trained(faiss.index_factory(sample.shape[1], "IDMap,Flat", faiss.METRIC_INNER_PRODUCT), {"reranked": 0})


def _classic(sample: np.ndarray, n: int) -> Trained | None:
    """The recipe of 2022: sqrt(n) inverted lists of 16-byte product codes, 4 lists probed."""
    return _inverted(sample, f"IVF{_lists(n)},PQ16x8", nprobe=4)


def _reduced(sample: np.ndarray, n: int) -> Trained | None:
    """Principal components, then inverted lists of 4-bit product codes, searched with SIMD.

    The metric must be L2: an inner product does not survive the centring. Source of the fast scan:
    Andre, Kermarrec & Le Scouarnec, "Quicker ADC", 2019.
    """
    d = min(REDUCED_DIMENSION, sample.shape[1], len(sample)) // 2 * 2
    if not d:
        return None
    reduction = _principal_components(sample, d)
    lists = _lists(n)
    inner = _inverted(reduction.apply(sample), f"IVF{lists},PQ{d // 2}x4fs", nprobe=max(16, lists // 16))
    if inner is None:
        return None
    index = faiss.IndexPreTransform(reduction, inner.faiss)
    return Trained(index, inner.parameters | {"dimension": d, "reranked": RERANKED})


RECIPES = {"flat": _flat, "classic": _classic, "reduced": _reduced}


def _train(recipe: str, sample: np.ndarray, n: int) -> Trained | None:
    if recipe in RECIPES:
        return RECIPES[recipe](sample, n)
    return _inverted(sample, recipe)


def _inverted(sample: np.ndarray, factory: str, nprobe: int | None = None) -> Trained | None:
    """Train what faiss.index_factory makes of a string; None where the sample is too small for it."""
    try:
        index = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_L2)
    except RuntimeError as error:
        raise ValueError(
            f"expected a recipe of auto, {', '.join(RECIPES)} or a string of faiss.index_factory that fits "
            f"{sample.shape[1]} dimensions, got {factory}"
        ) from error
    lists = faiss.try_extract_index_ivf(index)
    if lists is not None:
        lists.cp.seed, lists.cp.min_points_per_centroid = SEED, 1  # Faiss would warn on stderr below 39
        if isinstance(lists, faiss.IndexIVFPQ):
            lists.pq.cp.min_points_per_centroid = 1
        if nprobe:
            lists.nprobe = min(nprobe, lists.nlist)
    elif not isinstance(index, faiss.IndexIDMap):
        index = faiss.IndexIDMap(index)  # ids must be rows, and skipped rows are left out
    try:
        index.train(sample)
    except RuntimeError as error:
        if "training points" in str(error):
            return None
        raise ValueError(f"the recipe {factory} cannot be trained: {str(error).splitlines()[0]}") from error
    parameters = {"factory": factory, "metric": "L2", "seed": SEED, "reranked": RERANKED}
    return Trained(index, parameters | ({"nprobe": lists.nprobe} if lists is not None else {}))


def _lists(n: int) -> int:
    return max(1, round(n**0.5))


def _principal_components(sample: np.ndarray, d: int) -> faiss.LinearTransform:
    """Return the centred projection on the first d principal components, without the d x d matrices of a PCA."""
    from sklearn.decomposition import PCA

    pca = PCA(d, svd_solver="randomized", random_state=SEED).fit(sample)
    reduction = faiss.LinearTransform(sample.shape[1], d, True)
    faiss.copy_array_to_vector(np.ascontiguousarray(pca.components_, dtype=np.float32).ravel(), reduction.A)
    faiss.copy_array_to_vector((-pca.components_ @ pca.mean_).astype(np.float32), reduction.b)
    reduction.is_trained = True
    return reduction


def _sample(array: np.ndarray) -> np.ndarray:
    """Return unit vectors (m, d) of rows drawn evenly at random, to train on."""
    n, d = array.shape
    m = min(n, max(256 * 64, SAMPLE_PER_LIST * _lists(n)), SAMPLE_BYTES // (4 * d))
    rows = np.sort(np.random.default_rng(SEED).choice(n, m, replace=False))
    return _unit_rows(array, rows)[1]


def _unit_rows(array: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        unit = normalised(array[rows])
    except ValueError:
        bad = rows[~np.isfinite(array[rows].astype(np.float32)).all(axis=1)]
        row = bad[0] if len(bad) else rows[0]
        raise ValueError(f"expected numbers in every row, got NaN or infinity in row {row}") from None
    kept = unit.any(axis=1)
    return rows[kept], unit[kept]


def _check_unchanged(vectors: Vectors) -> None:
    if vectors.manifest and sha256(vectors.path) != vectors.manifest["sha256"]:
        raise ValueError(f"{vectors.path} was altered since it was made: make it again with --overwrite")
