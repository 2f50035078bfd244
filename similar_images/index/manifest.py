"""The manifest beside an index: its records, and the replacement of index and manifest as a matching pair.

While an index is replaced, its manifest contains the new entry and, as "previous", the entry of the index
still in place. So a reader always finds the entry of the index file, also after a writer was killed.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from glob import escape
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from similar_images.files import read_json, sha256, write_json
from similar_images.networks.description import NetworkDescription
from similar_images.records import OMIT_NONE, from_json, to_json
from similar_images.vectors.file_records import open_records
from similar_images.vectors.manifest import read_manifest as read_vectors_manifest
from similar_images.vectors.store import DIGEST_ROWS

REBUILD = "rebuild it with similar-images build"
TRIES = 200  # of a reader while writers replace the index again and again
PAUSE = 0.01  # seconds between them
DIGITS = 8  # of the digest in the name of a further file


@dataclass(frozen=True, kw_only=True)
class RecipeParameters:
    """How an index was trained and is searched."""

    dimension: int | None = field(default=None, metadata=OMIT_NONE)  # after a reduction
    factory: str | None = field(default=None, metadata=OMIT_NONE)  # string of faiss.index_factory
    metric: str | None = field(default=None, metadata=OMIT_NONE)
    seed: int | None = field(default=None, metadata=OMIT_NONE)
    reranked: int  # hits to re-rank with the exact vectors; 0 if hits are exact
    nprobe: int | None = field(default=None, metadata=OMIT_NONE)  # inverted lists that a search probes
    other: dict[str, Any] = field(default_factory=dict)  # of other backends

    @classmethod
    def from_json(cls, entries: dict[str, Any], place: str = "") -> Self:
        known = from_json(cls, entries, place)
        names = [one.name for one in fields(cls)]
        return replace(known, other={key: value for key, value in entries.items() if key not in names})

    def to_json(self) -> dict[str, Any]:
        entries = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "other"}
        return {key: value for key, value in entries.items() if value is not None} | self.other


@dataclass(frozen=True)
class CandidateMetrics:
    """Measurements of a candidate index."""

    recipe: str
    nprobe: int
    reranked: int
    recall: float  # recall@10 against exact search
    low: float  # its 95% interval
    high: float
    p50_ms: float  # one query at a time
    p95_ms: float
    bytes: int  # of the index, in memory and on disk

    @property
    def confirmed_recall(self) -> float:
        """The recall with 95% confidence; exact search needs no estimate."""
        return self.recall if self.recipe == "flat" else self.low


@dataclass(frozen=True)
class QualityTarget:
    """Limits that an index must meet."""

    recall: float | None = None  # recall@10, from 0 to 1
    max_bytes: int | None = None
    max_ms: float | None = None  # median time of one query

    def __bool__(self) -> bool:
        return self != QualityTarget()

    def is_met(self, metrics: CandidateMetrics) -> bool:
        return (
            (self.recall is None or metrics.confirmed_recall >= self.recall)
            and (self.max_bytes is None or metrics.bytes <= self.max_bytes)
            and (self.max_ms is None or metrics.p50_ms <= self.max_ms)
        )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Measurements of a built or changed index."""

    recall: float  # recall@10 against exact search
    interval: tuple[float, ...]  # 95%
    recall_alone: float  # without re-ranking
    k: int
    queries: int
    p50_ms: float  # of one query
    p95_ms: float
    bytes_in_memory: int
    bytes_on_disk: int


@dataclass(frozen=True)
class SimilarityDistribution:
    """Percentiles of similarities: of random pairs, and of rows and their nearest neighbour."""

    percentiles: tuple[float, ...]
    random_pairs: tuple[float, ...]
    nearest: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.percentiles) == len(self.random_pairs) == len(self.nearest) > 0:
            raise ValueError("similarities: expected lists of one length")


@dataclass(frozen=True, kw_only=True)
class SimilarityEntry:
    """A similarity with a transform, and the file of its vectors."""

    n: int  # vectors that it was fitted on
    built_moved: float  # drift of the mean when built
    name: str
    dimension: int
    vectors: str  # file beside the index
    moved: float  # drift of the mean now
    transform: str | None = field(default=None, metadata=OMIT_NONE)  # separate file, for Milvus and earlier versions


@dataclass(frozen=True, kw_only=True)
class IndexedVectors:
    """The vectors that an index was built from."""

    file: str  # relative to the index
    n: int
    skipped: list[int] = field(default_factory=list)  # rows
    retired: list[int] = field(default_factory=list)  # rows that no longer showed their file
    fingerprint: str
    blocks: list[str] | None = field(default=None, metadata=OMIT_NONE)  # digests; None: by an earlier version
    modified: int | None = None  # time of change of vectors without a manifest, in nanoseconds
    names: str | None  # SHA-256
    network: NetworkDescription | None

    def __post_init__(self) -> None:
        if self.blocks is not None and len(self.blocks) != -(-self.n // DIGEST_ROWS):
            raise ValueError("vectors.blocks: expected one for each block of rows")


@dataclass(frozen=True)
class PartFile:
    """One file of an index in parts."""

    file: str  # beside the index; the name contains a digest of the content, so it is never overwritten
    n: int  # vectors
    bytes: int
    sha256: str
    sample: str  # digest of some blocks


@dataclass(frozen=True)
class PartList:
    """The parts of an index."""

    size: int  # maximum rows of a part
    files: tuple[PartFile, ...]

    @property
    def n(self) -> int:
        return sum(part.n for part in self.files)

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.files)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The entries that the manifests of all search backends share."""

    recipe: str
    parameters: RecipeParameters
    removed: list[int]  # rows
    target: QualityTarget | None
    measured: Measurement | None = field(default=None, metadata=OMIT_NONE)
    built_recall: float  # at the last complete build
    similarities: SimilarityDistribution | None = field(default=None, metadata=OMIT_NONE)
    similarity: SimilarityEntry | None = None  # None: cosine
    vectors: IndexedVectors

    @property
    def absent(self) -> list[int]:
        """The removed, skipped and retired rows, in order."""
        return sorted({*self.removed, *self.vectors.skipped, *self.vectors.retired})

    @property
    def files(self) -> set[str | None]:
        """Names of further files of the index beside it."""
        return {self.similarity.transform, self.similarity.vectors} if self.similarity else set()


@dataclass(frozen=True, kw_only=True)
class IndexManifest(Manifest):
    """The manifest of a Faiss index."""

    FORMAT: ClassVar[str] = "similar-images index 1"
    parts: PartList | None = field(default=None, metadata=OMIT_NONE)  # None: in one file
    n: int = 0
    d: int = 0
    sha256: str  # of the index

    @property
    def files(self) -> set[str | None]:
        return super().files | {part.file for part in self.parts.files} if self.parts else super().files


@dataclass(frozen=True)
class UnknownIndex:
    """A replaced index without a manifest."""

    sha256: str


def manifest_path(index: Path) -> Path:
    return index.with_name(index.name + ".json")


def is_milvus(index: Path) -> bool:
    """Return whether the path of an index is the manifest of an index in Milvus."""
    return index.suffix == ".json"


def read_manifests(index: Path) -> list[IndexManifest | UnknownIndex]:
    """Return the entries of the manifest of an index: its own, then the previous one if the index is being replaced.

    The list is empty without a manifest. Raises ValueError if the manifest is damaged.
    """
    try:
        content = read_json(manifest_path(index), IndexManifest.FORMAT)
    except FileNotFoundError:
        return []
    try:
        entries: list[IndexManifest | UnknownIndex] = [from_json(IndexManifest, content)]
        if (previous := content.get("previous")) is not None:
            is_known = isinstance(previous, dict) and "recipe" in previous
            entry_type: Any = IndexManifest if is_known else UnknownIndex
            entries.append(from_json(entry_type, previous, "previous"))
    except ValueError as error:
        raise ValueError(f"its manifest is damaged, {error}") from error
    return entries


def is_current(index: Path, vectors: Path) -> bool:
    """Return whether an index has all rows of the vectors, without opening it; False if it is missing or damaged."""
    try:
        entry, made = match_manifest(index)[0], read_vectors_manifest(vectors)
    except (OSError, ValueError):
        return False
    if entry is None or entry.vectors.blocks is None or entry.vectors.names != made.names.sha256:
        return False
    records = open_records(vectors, made.n)
    retired = [] if records is None else np.flatnonzero(records["retired"]).tolist()
    has_rows = (entry.vectors.n, entry.vectors.blocks, entry.vectors.retired) == (made.n, made.blocks, retired)
    return has_rows and entry.n == made.n - len(entry.absent)


def match_manifest(index: Path) -> tuple[IndexManifest | None, tuple[int, ...]]:
    """Return the manifest of the index file in place, None if it has none, and the file's identity.

    Raises ValueError if the manifest is damaged, or does not match the file.
    """
    seen = None
    for _ in range(TRIES):
        entries, before = read_manifests(index), identity(index)
        if not entries:
            return None, before
        digest = sha256(index)
        for entry in entries:
            if entry.sha256 == digest and identity(index) == before:
                return entry if isinstance(entry, IndexManifest) else None, before
        if (entries, before) == seen:  # nobody is replacing it
            break
        seen = entries, before
        time.sleep(PAUSE)
    raise ValueError("it does not match its manifest, it was altered or truncated")


def identity(path: Path) -> tuple[int, ...]:
    """Return numbers that change when a file is replaced or rewritten."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def replace_index(index: Path, partial: Path, manifest: IndexManifest) -> IndexManifest:
    """Replace an index by a complete new file, with its manifest; return it with the SHA-256. The caller holds the lock."""
    manifest = replace(manifest, sha256=sha256(partial))
    content = _as_json(manifest)
    previous = _previous(index)
    write_json(manifest_path(index), content | {"previous": previous and _as_json(previous)})
    partial.replace(index)
    write_json(manifest_path(index), content)
    return manifest


def remove_old_files(index: Path, manifest: Manifest) -> None:
    """Remove the transforms, transformed vectors and parts of earlier versions of the index."""
    stem = f"{escape(index.name)}.{'[0-9a-f]' * DIGITS}"
    for path in (*index.parent.glob(f"{stem}*.npy"), *index.parent.glob(f"{stem}.part")):
        if path.name not in manifest.files:
            with suppress(OSError):  # Windows: a reader has it open
                path.unlink()


def _previous(index: Path) -> IndexManifest | UnknownIndex | None:
    """Return the entry of the index in place, at least its SHA-256."""
    if not index.exists():
        return None
    try:
        entry, _ = match_manifest(index)
    except ValueError:  # damaged, until it is replaced
        entry = None
    return entry or UnknownIndex(sha256(index))


def _as_json(entry: IndexManifest | UnknownIndex) -> dict[str, Any]:
    content: dict[str, Any] = to_json(entry)
    return {"format": IndexManifest.FORMAT, **content} if isinstance(entry, IndexManifest) else content
