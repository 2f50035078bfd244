"""A Faiss index over vectors: read it, search it, write it. Ids are rows, similarity is cosine.

Shape letters: n vectors in all, b in a block or batch, d numbers in a vector, k hits.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from similar_images.files import flush, partial_file
from similar_images.index import engine, index_file, parts
from similar_images.index import manifest as manifests
from similar_images.index.engine import Engine
from similar_images.index.exact import blocks as blocks
from similar_images.index.exact import cosines, omp_threads
from similar_images.index.exact import exact_search as exact_search
from similar_images.index.exact import normalised as normalised
from similar_images.index.exact import rows_but as rows_but
from similar_images.index.exact import unit_rows as unit_rows
from similar_images.index.manifest import REBUILD
from similar_images.index.recipes import RERANKED, takes_ids
from similar_images.index.reduced import in_memory, open_transform, open_transformed, remove_others
from similar_images.index.similarity import COSINE, Similarity, separated
from similar_images.inputs.names import names_digest
from similar_images.vectors.store import Vectors, fingerprint


class Index(NamedTuple):
    """A Faiss index with its manifest, or one that another engine searches."""

    path: Path
    faiss: Any  # faiss.Index or Engine, of vectors that are transformed by the similarity
    manifest: dict | None  # None: made by another tool
    similarity: Similarity = COSINE
    vectors: np.ndarray | None = None  # the transformed ones (n, c); None: with the cosine, or their file is missing

    @property
    def d(self) -> int:
        """The dimension of the network's vectors."""
        matrix = self.similarity.matrix
        return self.faiss.d if matrix is None else matrix.shape[1]

    @property
    def ntotal(self) -> int:
        """How many rows it holds."""
        return self.faiss.ntotal

    @property
    def bytes(self) -> int:
        """What it takes on disk, with the transform of its similarity."""
        return self.path.stat().st_size if isinstance(self.faiss, faiss.Index) else self.faiss.bytes

    @property
    def reranked(self) -> int:
        return self.manifest["parameters"]["reranked"] if self.manifest else RERANKED

    @property
    def recipe(self) -> str:
        return self.manifest["recipe"] if self.manifest else "unknown"

    @property
    def removed(self) -> list[int]:
        return self.manifest["removed"] if self.manifest else []

    @property
    def is_local(self) -> bool:
        """Whether this process searches it; if not, a filter is left to the engine that does."""
        return isinstance(self.faiss, faiss.Index)

    def search(self, unit: np.ndarray, k: int, array: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities float32 (b, k) and rows int64 (b, k) for unit vectors (b, d); row -1: no hit.

        With the network's vectors (n, d) in `array` the best hits of a coarse index are re-ranked exactly.
        """
        if array is not None:
            array = in_memory(array, self.similarity) if self.vectors is None else self.vectors
        return search(self.faiss, self.similarity.transformed(unit), k, array, self.reranked)


def search(
    index: faiss.Index | Engine,
    unit: np.ndarray,
    k: int,
    array: np.ndarray | None = None,
    reranked: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Search as `Index.search` does, in transformed vectors, with the number of hits that are re-ranked.

    With 0 they are as the index found them, but the similarities of inverted lists, whose codes are coarse, are exact.
    """
    if array is None or (not reranked and engine.inverted(index) is None):
        found, rows = _found(index, unit, k)
        if index.metric_type == faiss.METRIC_L2:
            found = 1 - found / 2  # unit vectors: |x - y|^2 = 2 - 2 cos
        return np.clip(found, -1, 1), rows
    _, candidates = _found(index, unit, min(max(reranked, 2 * k), index.ntotal))
    candidates[candidates >= len(array)] = -1  # of an altered file without a manifest
    candidates.sort(axis=1)  # the file is read in one direction, and equal similarities go by row
    similarities = cosines(array, np.maximum(candidates, 0), unit)
    similarities[candidates < 0] = -np.inf
    return _best(similarities, candidates, k)


def _found(index: faiss.Index | Engine, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Search; a single query on one thread, as more would wait for the network's, which have just worked on it."""
    with omp_threads(1) if len(unit) == 1 else nullcontext():
        return index.search(unit, k)


def recall(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return for each query the share of its true nearest rows (q, k) that are among the found rows (q, any)."""
    if len(found) != len(true):  # a single one would be compared with all
        raise ValueError(f"expected the found rows of {len(true)} queries, got those of {len(found)}")
    if not true.size:  # of a single vector
        return np.ones(len(true))
    return np.mean([(found == column[:, None]).any(axis=1) for column in true.T], axis=0)


def others(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the columns (q, <= k) of the first k of rows (q, any) that are not the query itself, a row of queries (q,)."""
    last = np.argsort(rows == queries[:, None], axis=1, kind="stable")
    return last[:, : min(k, rows.shape[1] - 1)]


def open_index(path: Path, mapped: bool | None = None, with_parts: bool = True) -> Index:
    """Open an index whose SHA-256 matches its manifest; without a manifest any that Faiss reads.

    Parts are opened as `parts.open_parts` does, `mapped` or not, or left out. While the index is being replaced, this
    is the old one or the new one. Raises ValueError if a file is damaged, altered or not an index.
    """
    try:
        for _ in range(manifests.TRIES):
            manifest, identity = manifests.matching(path)
            try:
                opened = index_file.read(path)
                if manifest is None and not opened.ntotal:
                    raise ValueError("it holds no vector: its manifest, which names its parts, may be missing")
                similarity, opened = _separated(path, opened, manifest)
                if manifest and manifest.get("parts") and with_parts:
                    opened = parts.open_parts(path, opened, manifest["parts"], mapped)
                vectors = open_transformed(path, manifest and manifest.get("similarity"))
            except ValueError:
                if manifests.identity(path) == identity:
                    raise
                continue
            if manifests.identity(path) == identity:
                break  # and not replaced since it was checked
        else:
            raise ValueError("it is being replaced again and again")
    except (ValueError, RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) else "Faiss cannot read it"
        raise ValueError(f"{path} cannot be used as an index: {reason}; {REBUILD}") from error
    return Index(path, opened, manifest, similarity, vectors)


def _separated(path: Path, index: faiss.Index, manifest: dict | None) -> tuple[Similarity, faiss.Index]:
    """Return the similarity of an index that was read, and the index of transformed vectors."""
    if manifest is None:
        return separated(index)
    entry = manifest.get("similarity")
    if entry is None:
        return COSINE, index
    if "transform" in entry:  # written by an earlier version
        return open_transform(path, entry, index.d), index
    similarity, behind = separated(index)
    if similarity.is_cosine:
        raise ValueError(f"it lacks the transform of its similarity, {entry['name']}")
    return similarity, behind


def write_index(path: Path, index: faiss.Index, manifest: dict, similarity: Similarity = COSINE) -> dict:
    """Write an index of transformed vectors, with the transform, and its manifest; return it with the file's SHA-256.

    Of an index in parts it is the one without vectors; its parts are beside it, as the manifest says. Readers see the
    old files or the new ones, and so it is after a kill. The caller holds `locked(path)`.
    """
    entry = manifest.get("parts")
    n = sum(part["n"] for part in entry["files"]) if entry else index.ntotal
    with partial_file(path) as partial:
        whole = similarity.in_front_of(as_written(index))
        faiss.write_index(whole, str(partial))
        flush(partial)
        written = manifests.replace(path, partial, {**manifest, "n": n, "d": whole.d})
    remove_others(path, written.get("similarity"))
    parts.remove_others(path, entry)
    return written


def as_written(index: faiss.Index) -> faiss.Index:
    """Return an index without its table of ids where these are 0, 1, 2, ..., as they are without: 8 bytes a vector."""
    if isinstance(index, faiss.IndexIDMap):
        ids = faiss.vector_to_array(index.id_map)
        if np.array_equal(ids, np.arange(len(ids))):
            return faiss.downcast_index(index.index)
    return index


def with_ids(index: faiss.Index) -> faiss.Index:
    """Return an index that rows can be added to and removed from by their ids."""
    if takes_ids(index):
        return index
    table = faiss.IndexIDMap(faiss.IndexFlat(index.d, index.metric_type))  # which only takes an empty index
    table.index, table.ntotal, table.own_fields = index, index.ntotal, False
    table.referenced_objects.append(index)  # type: ignore[attr-defined]  # Faiss' Python adds it
    faiss.copy_array_to_vector(np.arange(index.ntotal), table.id_map)
    return table


def check_matches(index: Index, vectors: Vectors) -> None:
    """Raise ValueError, with the remedy, if an index was not built from these vectors."""
    if vectors.array is None:
        expected = index.manifest["vectors"].get("names") if index.manifest else None
        if expected != (found := names_digest(vectors.names or [])):
            raise ValueError(f"{index.path} was built from other texts: expected the SHA-256 {expected}, got {found}")
        return
    n, d = vectors.array.shape
    if index.d != d:
        raise ValueError(f"{index.path}: expected an index of vectors (n, {d}), got (n, {index.d}); {REBUILD}")
    if index.manifest is None:
        if index.faiss.ntotal > n:
            raise ValueError(f"{index.path} holds {index.faiss.ntotal} vectors, {vectors.path} only {n}; {REBUILD}")
        return
    built = index.manifest["vectors"]
    if built["n"] > n or not _are_the_first(vectors, built):
        raise ValueError(f"{index.path} was built from other vectors than {vectors.path}: {REBUILD}")


def _are_the_first(vectors: Vectors, built: dict) -> bool:
    """Return whether the first vectors are those that a manifest says an index was built from."""
    network = built["network"]
    if network and network.get("reads") == "text":  # its names say all; another processor's last digits differ
        return network == vectors.network and built["names"] == names_digest((vectors.names or [])[: built["n"]])
    return built["fingerprint"] == fingerprint(vectors.stored[: built["n"]], built.get("skipped", ()))


def _best(similarities: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k highest similarities (b, <= k) and their rows, highest first; equal ones as they come."""
    if similarities.shape[1] > max(1000, 4 * k):
        chosen = np.sort(np.argpartition(-similarities, k, axis=1)[:, :k], axis=1)
        similarities, rows = (np.take_along_axis(part, chosen, axis=1) for part in (similarities, rows))
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    if len(order) == 1:
        return similarities[:, order[0]], rows[:, order[0]]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)
