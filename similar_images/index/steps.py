"""The steps that a build in one piece and a build in parts share, and what a manifest says of them.

Shape letters: n vectors in all, m in a sample, b in a block, d numbers in a vector, c numbers of a transformed one.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from similar_images.files import relative_path
from similar_images.index.exact import normalised, rows_but, unit_rows
from similar_images.index.index import Index
from similar_images.index.recipes import SEED, Trained, lists
from similar_images.index.reduced import keep
from similar_images.index.similarity import COSINE, Similarity, default, fit, moved
from similar_images.index.tune import FEW, Queries, Target
from similar_images.inputs.names import names_digest
from similar_images.vectors.store import Vectors, block_digests, block_rows, fingerprint, open_array, release

SAMPLE_BYTES = 512 * 2**20  # of float32 vectors to train on
SAMPLE_PER_LIST = 64  # vectors to train on per inverted list; Faiss asks for at least 39


def queries_of(array: np.ndarray, removed: list[int], similarity: Similarity) -> Queries:
    queries = Queries(array, removed, similarity=similarity)
    if not len(queries.rows):
        raise ValueError("no row is left: all are zeros (every image was skipped) or removed")
    return queries


def training_sample(array: np.ndarray, without: np.ndarray, similarity: Similarity = COSINE) -> np.ndarray:
    """Return transformed unit vectors (m, c) of rows drawn at random, to train on.

    The rows `without` are among them only where all are few.
    """
    n, d = array.shape
    c = d if similarity.offset is None else len(similarity.offset)
    rows, step = rows_but(n, without if n >= 5 * FEW else []), block_rows(array)
    m = min(len(rows), max(256 * 64, SAMPLE_PER_LIST * lists(n)), SAMPLE_BYTES // (4 * c))
    drawn = np.sort(np.random.default_rng(SEED).choice(rows, m, replace=False))
    units = (unit_rows(array, drawn[start : start + step])[1] for start in range(0, m, step))
    if not similarity.is_cosine:  # as they are read from their file
        units = (normalised(similarity.transformed(unit).astype(np.float16)) for unit in units)
    return np.concatenate(list(units))


def fitted_similarity(
    vectors: Vectors, name: str, recipe: str, removed: list[int], note: Callable[[str], None]
) -> Similarity:
    """Return the similarity of a name, fitted on the vectors that are left."""
    absent = sorted({*removed, *skipped_rows(vectors)})
    if name != "auto":
        return fit(vectors.stored, name, absent)
    if recipe not in ("auto", "flat", "reduced"):
        return COSINE
    try:
        return fit(vectors.stored, default(vectors.network, len(vectors.stored) - len(absent)), absent)
    except ValueError as error:
        note(str(error))
        return COSINE


def kept_similarity(
    similarity: Similarity, array: np.ndarray, file: Path | None, path: Path, removed: list[int], old: dict
) -> dict | None:
    """Keep the files of a similarity; return its entry in the manifest, in place of the old one."""
    if similarity.is_cosine:
        return None
    now = moved(array, removed)
    built = {"n": len(array) - len(removed), "built_moved": now}
    return built | old | (keep(similarity, array, file, path) or {}) | {"moved": now}


def described(
    vectors: Vectors,
    path: Path,
    recipe: str,
    trained: Trained,
    removed: list[int],
    quality: dict,
    similarity: dict | None,
    target: Target | None = None,
) -> dict:
    """Return the manifest of a new index."""
    return {
        "recipe": recipe,
        "parameters": trained.parameters,
        "removed": removed,
        "target": target._asdict() if target else None,
        **quality,
        "similarity": similarity,
        "vectors": source_of(vectors, path, skipped_rows(vectors)),
    }


def source_of(vectors: Vectors, path: Path, skipped: list[int]) -> dict:
    """Return what an index' manifest says of the vectors that it was built from, without the rows `skipped`."""
    n, blocks = len(vectors.stored), vectors.blocks
    return {
        "file": relative_path(vectors.path, path.parent),
        "n": n,
        "skipped": skipped,
        "fingerprint": fingerprint(vectors.stored, skipped),
        "blocks": blocks or [digest for _, digest in block_digests(vectors.stored, n)],
        "modified": None if blocks else vectors.path.stat().st_mtime_ns,
        "names": names_digest(vectors.names) if vectors.names else None,
        "network": vectors.network.to_json() if vectors.network else None,
    }


def skipped_rows(vectors: Vectors, index: Index | None = None) -> list[int]:
    """Return the rows without a vector, in order: all numbers are 0. With an index only its new rows are read, if it is complete."""
    manifest = index.manifest if index else None
    known, start = [], 0
    if index and manifest:
        built = manifest["vectors"]
        known = [row for row in built.get("skipped", []) if not vectors.stored[row].any()]
        left_out = {row for row in (*built.get("skipped", []), *index.removed) if row < built["n"]}
        start = built["n"] if manifest["n"] + len(left_out) >= built["n"] else 0
    status = vectors.path.stat()
    return sorted({*known, *_zero_rows(vectors.path, status.st_size, status.st_mtime_ns, start)})


@lru_cache(maxsize=4)
def _zero_rows(path: Path, size: int, changed: int, start: int) -> list[int]:
    """Return the rows of zeros from `start`. A file is read once, until its size or its time of change differs."""
    array, found = open_array(path), []
    for first in range(start, len(array), block_rows(array)):
        found += (first + np.flatnonzero(~array[first : first + block_rows(array)].any(axis=1))).tolist()
        release(array)
    return found


def left(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], removed: list[int], progress: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows and unit vectors without those that are removed."""
    absent = np.array(removed, np.int64)  # once: NumPy would convert the list for each block
    for rows, unit in blocks:
        kept = ~np.isin(rows, absent)
        yield rows[kept], unit[kept]
        progress(len(rows))
