"""An index: a search backend with its manifest and similarity. Open it, compare it with its vectors.

Shape letters: n vectors in all, b in a batch, d numbers in a vector, c numbers in a transformed one, k hits.
"""

from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np

from similar_images.index import backend as backends
from similar_images.index import parts
from similar_images.index.backend import Backend, FaissBackend, search
from similar_images.index.manifest import (
    REBUILD,
    TRIES,
    IndexedVectors,
    IndexManifest,
    Manifest,
    identity,
    match_manifest,
)
from similar_images.index.recipes import RERANKED
from similar_images.index.similarity import (
    COSINE,
    Similarity,
    open_transform,
    open_transformed,
    split_similarity,
    transform_all,
)
from similar_images.inputs.names import names_digest
from similar_images.networks.description import reads_text
from similar_images.vectors.store import WHOLE_BYTES, Vectors, changed_rows, fingerprint


class Index(NamedTuple):
    """A search backend with its manifest and similarity."""

    path: Path
    backend: Backend  # of transformed vectors
    manifest: Manifest | None  # None: made by another tool
    similarity: Similarity = COSINE
    vectors: np.ndarray | None = None  # transformed (n, c); None: cosine, or their file is missing

    @property
    def d(self) -> int:
        """The dimension of the network's vectors."""
        matrix = self.similarity.matrix
        return self.backend.d if matrix is None else matrix.shape[1]

    @property
    def ntotal(self) -> int:
        """Number of rows."""
        return self.backend.ntotal

    @property
    def bytes(self) -> int:
        """Disk space, including the transform of the similarity."""
        return self.path.stat().st_size if self.is_local else self.backend.bytes

    @property
    def reranked(self) -> int:
        return self.manifest.parameters.reranked if self.manifest else RERANKED

    @property
    def recipe(self) -> str:
        return self.manifest.recipe if self.manifest else "unknown"

    @property
    def removed(self) -> list[int]:
        return self.manifest.removed if self.manifest else []

    @property
    def is_local(self) -> bool:
        """Whether this process searches it; filters of other backends are their own."""
        return isinstance(self.backend, FaissBackend)

    def search(self, unit: np.ndarray, k: int, array: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities float32 (b, k) and rows int64 (b, k) for unit vectors (b, d); row -1: no hit.

        With the network's vectors (n, d) in `array` the best hits of a coarse index are re-ranked exactly.
        """
        if array is not None:
            array = transform_all(array, self.similarity) if self.vectors is None else self.vectors
        return search(self.backend, self.similarity.transform(unit), k, array, self.reranked)


def open_index(path: Path, mapped: bool | None = None, with_parts: bool = True) -> Index:
    """Open an index whose SHA-256 matches its manifest; without a manifest any that Faiss reads.

    Parts are opened as `parts.open_parts` does, `mapped` or not, or left out. While the index is being replaced, this
    is the old one or the new one. Raises ValueError if a file is damaged, altered or not an index.
    """
    try:
        for _ in range(TRIES):
            manifest, before = match_manifest(path)
            try:
                opened = backends.read_index(path)
                if manifest is None and not opened.ntotal:
                    raise ValueError("it holds no vector: its manifest, which names its parts, may be missing")
                similarity, opened = _split_similarity(path, opened, manifest)
                if manifest and manifest.parts and with_parts:
                    opened = parts.open_parts(path, opened, manifest.parts, mapped)
                vectors = open_transformed(path, manifest.similarity if manifest else None)
            except ValueError:
                if identity(path) == before:
                    raise
                continue
            if identity(path) == before:
                break  # and not replaced since it was checked
        else:
            raise ValueError("it is being replaced again and again")
    except (ValueError, RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) else "Faiss cannot read it"
        raise ValueError(f"{path} cannot be used as an index: {reason}; {REBUILD}") from error
    return Index(path, FaissBackend(opened), manifest, similarity, vectors)


def _split_similarity(path: Path, index: faiss.Index, manifest: IndexManifest | None) -> tuple[Similarity, faiss.Index]:
    """Return the similarity in an index file, and the index of transformed vectors."""
    if manifest is None:
        return split_similarity(index)
    entry = manifest.similarity
    if entry is None:
        return COSINE, index
    if entry.transform is not None:  # written by an earlier version
        return open_transform(path, entry, index.d), index
    similarity, behind = split_similarity(index)
    if similarity.is_cosine:
        raise ValueError(f"it lacks the transform of its similarity, {entry.name}")
    return similarity, behind


def check_matches(index: Index, vectors: Vectors, is_thorough: bool = False) -> None:
    """Raise ValueError, with the remedy, if an index was not built from these vectors.

    Digests of all rows are compared; the manifest of the vectors contains them. Vectors without digests are read if
    their time of change differs: all rows if `is_thorough`, else WHOLE_BYTES.
    """
    if vectors.memmap is None:
        expected = index.manifest.vectors.names if index.manifest else None
        if expected != (found := names_digest(vectors.names or [])):
            raise ValueError(f"{index.path} was built from other texts: expected the SHA-256 {expected}, got {found}")
        return
    n, d = vectors.array.shape
    if index.d != d:
        raise ValueError(f"{index.path}: expected an index of vectors (n, {d}), got (n, {index.d}); {REBUILD}")
    if index.manifest is None:
        if index.ntotal > n:
            raise ValueError(f"{index.path} holds {index.ntotal} vectors, {vectors.path} only {n}; {REBUILD}")
        return
    difference = _difference(vectors, index.manifest, is_thorough)
    if difference is not None:
        raise ValueError(f"{index.path} was built from other vectors than {vectors.path}: {difference}{REBUILD}")


def has_same_rows(index: Index, vectors: Vectors) -> bool:
    """Return whether the rows of an index have the same names; without names, the same vectors."""
    built = index.manifest.vectors if index.manifest else None
    if built and built.names and vectors.names:
        return _has_names(vectors, built)
    try:
        check_matches(index, vectors, is_thorough=True)
    except ValueError:
        return False
    return True


def _difference(vectors: Vectors, manifest: Manifest, is_thorough: bool) -> str | None:
    """Return how the first vectors differ from the vectors in an index, or None."""
    array, built = vectors.array, manifest.vectors
    n, network, skipped = built.n, built.network, built.skipped
    if (least := max([n, *(row + 1 for row in manifest.removed)])) > len(array):
        return f"expected at least {least:,} rows, got {len(array):,}; "
    if reads_text(network):  # only names are compared: last digits differ between processors
        return None if network == vectors.network and _has_names(vectors, built) else ""
    if built.fingerprint != fingerprint(array[:n], skipped):
        return ""
    if built.blocks is None:  # written by an earlier version
        return None
    if built.names and vectors.names and not _has_names(vectors, built):
        return "names have changed; "
    known, max_bytes = vectors.blocks, None
    if known is None:
        if vectors.path.exists() and built.modified == vectors.path.stat().st_mtime_ns:
            return None
        max_bytes = None if is_thorough else WHOLE_BYTES
    retried = set(skipped).difference(entry.row for entry in vectors.skipped)
    rows = changed_rows(array, built.blocks, n, zeroed=retried, known=known, max_bytes=max_bytes)
    return None if rows is None else f"rows {rows[0]:,} to {rows[1]:,} have changed; "


def _has_names(vectors: Vectors, built: IndexedVectors) -> bool:
    """Return whether the first names equal the names of the indexed rows."""
    if vectors.manifest and vectors.manifest.n == built.n:
        return built.names == vectors.manifest.names.sha256
    return built.names == names_digest((vectors.names or [])[: built.n])
