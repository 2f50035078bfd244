"""A Faiss index over vectors: read it, search it, write it. Ids are rows, similarity is cosine.

Shape letters: n vectors in all, b in a block or batch, d numbers in a vector, k hits.
"""

from contextlib import nullcontext
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np

from similar_images.files import flush, partial_file
from similar_images.index import engine, index_file, parts
from similar_images.index import manifest as manifests
from similar_images.index.engine import Engine
from similar_images.index.exact import ROUNDING, cosines, omp_threads, taken
from similar_images.index.exact import blocks as blocks
from similar_images.index.exact import exact_search as exact_search
from similar_images.index.exact import mask_of as mask_of
from similar_images.index.exact import normalised as normalised
from similar_images.index.exact import ranked as ranked
from similar_images.index.exact import rows_but as rows_but
from similar_images.index.exact import unit_rows as unit_rows
from similar_images.index.manifest import REBUILD
from similar_images.index.recipes import RERANKED, takes_ids
from similar_images.index.reduced import in_memory, open_transform, open_transformed, remove_others
from similar_images.index.similarity import COSINE, Similarity, separated
from similar_images.inputs.names import names_digest
from similar_images.networks.description import NetworkDescription, reads_text
from similar_images.vectors.store import WHOLE_BYTES, Vectors, changed_rows, fingerprint

MEASURED_K = 10  # of the recall that an index is built for; one more hit may be the query itself
# Of the rows of an index; if more are re-ranked, an exact search takes less time: on 9,144 vectors of 1,280 numbers it
# takes as long as re-ranking 300, for 1,000 queries at once less.
EXACT_SHARE = 0.05
WIDER = 4  # times as many hits are asked for if more rows than fit are equal


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
    attempt, width, most = _as_found, k + 1, engine.most_hits(index)
    if array is not None and (reranked or engine.inverted(index) is not None):
        attempt, width = partial(_reranked, array=array), depth(k, reranked)
    width = max(k, min(width, most))
    nprobe = None if k <= MEASURED_K + 1 else _probes(index, k)
    similarities, rows, is_cut = attempt(index, unit, k, width, nprobe)
    if (rows[:, : min(k, most)] < 0).any() and nprobe != (nlist := engine.lists(index)[1]):
        nprobe = nlist  # the lists that were probed hold less than k
        again = np.flatnonzero((rows < 0).any(axis=1))
        similarities[again], rows[again], is_cut[again] = attempt(index, unit[again], k, width, nprobe)
    while is_cut.any() and width < most:  # more rows than were asked for are equal: find the lowest
        width = min(WIDER * width, most)
        again = np.flatnonzero(is_cut)
        similarities[again], rows[again], is_cut[again] = attempt(index, unit[again], k, width, nprobe)
    return np.clip(similarities, -1, 1), rows


def _probes(index: faiss.Index | Engine, k: int) -> int | None:
    """Return how many inverted lists to probe for the recall@k that was measured as recall@10; None: it has none."""
    nprobe, nlist = engine.lists(index)
    return min(nlist, ceil(nprobe * ((k - 1) / MEASURED_K) ** 0.5)) or None


def depth(k: int, reranked: int) -> int:
    """Return how many hits are re-ranked for the recall@k that was measured as recall@10 with `reranked`."""
    return max(reranked, 2 * k, ceil(reranked * (k - 1) / MEASURED_K))


def is_better_exact(k: int, reranked: int, n: int) -> bool:
    """Return whether an exact search takes less time than an index of n rows that reaches the recall@k of a recall@10."""
    return k > MEASURED_K + 1 and depth(k, reranked) > EXACT_SHARE * n


def _as_found(
    index: faiss.Index | Engine, unit: np.ndarray, k: int, width: int, nprobe: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return similarities and rows (b, k) as an index gives them, and whether rows equal to the last are left out."""
    found, rows = _found(index, unit, width, nprobe)
    if index.metric_type == faiss.METRIC_L2:
        found = 1 - found / 2  # unit vectors: |x - y|^2 = 2 - 2 cos
    is_cut = (rows[:, -1] >= 0) & (found[:, k - 1] - found[:, -1] <= ROUNDING)
    return *ranked(found, rows, k), is_cut


def _reranked(
    index: faiss.Index | Engine, unit: np.ndarray, k: int, width: int, nprobe: int | None, array: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same for the hits that an index proposes, ranked by their exact similarities."""
    found, candidates = _found(index, unit, width, nprobe)
    candidates[candidates >= len(array)] = -1  # of an altered file without a manifest
    order = candidates.argsort(axis=1)  # the file is read in one direction
    is_last = taken(np.abs(found - found[:, -1:]) <= ROUNDING, order)
    candidates = taken(candidates, order)
    candidates[:, 1:][candidates[:, 1:] == candidates[:, :-1]] = -1
    exact = cosines(array, np.maximum(candidates, 0), unit)
    exact[candidates < 0] = -np.inf
    similarities, rows = ranked(exact, candidates, k)
    is_cut = is_last & (candidates >= 0) & (exact >= similarities[:, -1:] - ROUNDING)
    return similarities, rows, np.asarray(is_cut.any(axis=1))


def _found(index: faiss.Index | Engine, unit: np.ndarray, k: int, nprobe: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Search in so many lists, by default in as many as the index says.

    A single query is searched on one thread: more would wait for the network's, which have just worked on it.
    """
    with omp_threads(1) if len(unit) == 1 else nullcontext():
        if not nprobe:
            return index.search(unit, k)
        if isinstance(index, faiss.Index):
            return index.search(unit, k, params=engine.parameters(index, nprobe))
        return index.search(unit, k, nprobe)


def recall(
    found: np.ndarray, true: np.ndarray, array: np.ndarray | None = None, unit: np.ndarray | None = None
) -> np.ndarray:
    """Return for each query the share of its true nearest rows (q, k) that are among the found rows (q, any).

    With vectors (n, d) and the queries' unit vectors (q, d) a row as similar as the last true one counts as well.
    """
    return recall_of(are_hits(found, true, array, unit), true.shape[1])


def recall_of(hits: np.ndarray, k: int) -> np.ndarray:
    """Return the recall (q,) of found rows, of which `hits` (q, any) are hits; there are k true ones for each query."""
    return np.minimum(hits.sum(axis=1), k) / k if k else np.ones(len(hits))  # none: of a single vector


def are_hits(
    found: np.ndarray, true: np.ndarray, array: np.ndarray | None = None, unit: np.ndarray | None = None
) -> np.ndarray:
    """Return which found rows (q, any) are hits, as `recall` counts them: a row that was found twice counts once."""
    if len(found) != len(true):  # a single one would be compared with all
        raise ValueError(f"expected the found rows of {len(true)} queries, got those of {len(found)}")
    hits = np.zeros(found.shape, bool)
    for column in true.T:
        hits |= found == column[:, None]
    if array is not None and unit is not None and hits.size and true.size:
        others = np.where(hits | (found < 0), true[:, -1:], found)
        hits = (found >= 0) & (cosines(array, others, unit) >= cosines(array, true[:, -1:], unit) - ROUNDING)
    order = np.argsort(found, axis=1, kind="stable")
    ordered = np.take_along_axis(found, order, axis=1)
    repeated = np.zeros(found.shape, bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return hits & ~repeated


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
    old files or the new ones, and so it is after a kill. The caller holds `hold_lock(path)`.
    """
    entry = manifest.get("parts")
    n = sum(part["n"] for part in entry["files"]) if entry else index.ntotal
    with partial_file(path) as partial:
        whole = similarity.in_front_of(as_written(index))
        index_file.write(whole, partial)
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


def check_matches(index: Index, vectors: Vectors, is_thorough: bool = False) -> None:
    """Raise ValueError, with the remedy, if an index was not built from these vectors.

    Digests of all rows are compared: the manifest of the vectors has them. Vectors without one, or with one of an earlier
    version, are read if their time of change differs: all rows if `is_thorough`, else WHOLE_BYTES of them.
    """
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
    difference = _difference(vectors, index.manifest, is_thorough)
    if difference is not None:
        raise ValueError(f"{index.path} was built from other vectors than {vectors.path}: {difference}{REBUILD}")


def has_same_rows(index: Index, vectors: Vectors) -> bool:
    """Return whether the rows of an index have the same names; if they have none, the same vectors."""
    built = index.manifest["vectors"] if index.manifest else {}
    if built.get("names") and vectors.names:
        return _has_names(vectors, built)
    try:
        check_matches(index, vectors, is_thorough=True)
    except ValueError:
        return False
    return True


def _difference(vectors: Vectors, manifest: dict, is_thorough: bool) -> str | None:
    """Return how the first vectors differ from those that an index was built from, or None."""
    array, built = vectors.stored, manifest["vectors"]
    n, network, skipped = built["n"], built["network"], built.get("skipped", ())
    if (least := max([n, *(row + 1 for row in manifest["removed"])])) > len(array):
        return f"expected at least {least:,} rows, got {len(array):,}; "
    made_with = NetworkDescription.from_json(network) if network else None
    if reads_text(made_with):  # its names say all; another processor's last digits differ
        return None if made_with == vectors.network and _has_names(vectors, built) else ""
    if built["fingerprint"] != fingerprint(array[:n], skipped):
        return ""
    if "blocks" not in built:  # by an earlier version
        return None
    if built["names"] and vectors.names and not _has_names(vectors, built):
        return "names have changed; "
    known, max_bytes = vectors.blocks, None  # what the manifest of the vectors does not say is read
    if known is None:
        if vectors.path.exists() and built["modified"] == vectors.path.stat().st_mtime_ns:
            return None
        max_bytes = None if is_thorough else WHOLE_BYTES
    retried = set(skipped).difference(entry.row for entry in vectors.skipped)
    rows = changed_rows(array, built["blocks"], n, zeroed=retried, known=known, max_bytes=max_bytes)
    return None if rows is None else f"rows {rows[0]:,} to {rows[1]:,} have changed; "


def _has_names(vectors: Vectors, built: dict) -> bool:
    """Return whether the first names are those of the rows that an index was built from."""
    if vectors.manifest and vectors.manifest["n"] == built["n"]:
        return built["names"] == vectors.manifest["names"]["sha256"]
    return built["names"] == names_digest((vectors.names or [])[: built["n"]])
