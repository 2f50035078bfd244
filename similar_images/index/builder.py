"""Build an index from vectors, add and remove rows: the only pipeline from vectors to an index.

`run_pipeline` calls its steps in order. A Destination is a place to fill and publish an index: one file, a file with
parts, or a collection in Milvus.

Shape letters: n vectors in all, m in a sample, b in a block, d numbers in a vector, c numbers in a transformed one.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast

import faiss
import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.files import flush, hold_lock, partial_file, relative_path, replace_file
from similar_images.index import parts
from similar_images.index.backend import Backend, FaissBackend, read_index, with_ids, without_trivial_ids, write_index
from similar_images.index.exact import Blocks, rows_except, skip_removed, unit_blocks, unit_rows
from similar_images.index.index import Index, check_matches, has_same_rows, open_index
from similar_images.index.manifest import (
    IndexedVectors,
    IndexManifest,
    Measurement,
    PartList,
    QualityTarget,
    RecipeParameters,
    SimilarityDistribution,
    SimilarityEntry,
    remove_old_files,
    replace_index,
)
from similar_images.index.quality import MIN_QUERIES, Queries, measure_quality
from similar_images.index.recipes import TooFewVectors, Trained, list_count, train
from similar_images.index.similarity import (
    COSINE,
    SEED,
    Similarity,
    default_similarity,
    describe_similarity,
    fit,
    keep_transformed,
    load_transform,
    transform_rows,
    transform_to_file,
)
from similar_images.index.tuning import Unreachable, choose_candidate
from similar_images.inputs.names import NameRows, escape_line, find_line_error, is_blank, names_digest, read_names
from similar_images.records import read_record, to_json, write_record
from similar_images.vectors.store import (
    Vectors,
    block_digests,
    block_rows,
    check_complete,
    fingerprint,
    new_array,
    open_array,
    release,
)

MAX_FLAT_VECTORS = 5_000  # an exact search of fewer takes less than a millisecond
SAMPLE_BYTES = 512 * 2**20  # of float32 vectors to train on
SAMPLE_PER_LIST = 64  # vectors to train on per inverted list; Faiss asks for at least 39
MIN_SAMPLE = 256 * 64  # vectors: 64 per centroid of 8-bit codes
MAX_PARTS = 1000  # each is a file that every opening reads
Transformation = AbstractContextManager[tuple[np.ndarray, str | None]]
Quality = tuple[Measurement, SimilarityDistribution]
T = TypeVar("T")  # trained index
M = TypeVar("M", covariant=True)  # manifest


@dataclass(frozen=True)
class BuildRequest:
    """The index to build."""

    recipe: str = "auto"  # a name of RECIPES, "auto", or a string of faiss.index_factory
    similarity: str = "auto"  # a name of SIMILARITIES, or "auto": the best for the network, cosine for other recipes
    target: QualityTarget | None = None  # chooses the recipe
    part_size: int | None = None  # rows of a part; None: one file
    restore: bool = False  # restore rows removed from the present index


@dataclass(frozen=True)
class BuildJob:
    """Validated vectors, the index to build from them, and the rows to leave out."""

    vectors: Vectors
    request: BuildRequest
    removed: list[int]
    skipped: list[int]
    progress: Progress

    @property
    def left_out(self) -> list[int]:
        """Rows with a vector that the index must not find."""
        return sorted({*self.removed, *self.vectors.retired.tolist()})

    @property
    def absent(self) -> list[int]:
        return sorted({*self.left_out, *self.skipped})


@dataclass(frozen=True)
class Built:
    """The results of a build before it is published."""

    similarity: Similarity
    entry: SimilarityEntry | None  # of the manifest
    measured: Measurement
    similarities: SimilarityDistribution


class Destination(Protocol[T, M]):
    """A place to fill and publish an index, for one build."""

    path: Path  # locked during the build

    def find_removed(self, vectors: Vectors) -> list[int]:
        """Return the rows removed from the present index of these vectors."""

    def fit(self, job: BuildJob) -> Similarity:
        """Return the similarity, fitted on the vectors."""

    def transform(self, job: BuildJob, similarity: Similarity) -> Transformation:
        """Yield the transformed vectors (n, c) and the name of their file; None with the cosine."""

    def train(self, job: BuildJob, queries: Queries) -> T:
        """Return an index trained without the queries; with a target it may be filled already."""

    def fill(self, job: BuildJob, trained: T, array: np.ndarray) -> Backend:
        """Add all rows of vectors (n, c) except absent rows; return the filled index."""

    def measure(self, job: BuildJob, trained: T, backend: Backend, queries: Queries) -> Quality:
        """Return the quality of the filled index."""

    def publish(self, job: BuildJob, trained: T, built: Built) -> M:
        """Replace the index in place; return its manifest."""


def build(
    vectors: Vectors, path: Path, request: BuildRequest | None = None, progress: Progress = ignore
) -> IndexManifest:
    """Build a Faiss index of vectors, with its manifest; return the manifest.

    Rows removed from an index of these vectors at `path` stay removed. An index in parts resumes after an
    interruption. `progress` receives the number of added vectors, differences from the request as notes, and a
    CandidateEvent for each candidate of a target.
    Raises ValueError for unusable vectors or recipes and unreachable targets, BlockingIOError if another run is
    writing the index.
    """
    request = request or BuildRequest()
    if request.part_size is None:
        return run_pipeline(vectors, IndexFile(path), request, progress)
    return run_pipeline(vectors, IndexInParts(path, request.part_size), request, progress)


def run_pipeline(vectors: Vectors, destination: Destination[T, M], request: BuildRequest, progress: Progress) -> M:
    """Build an index at a destination: validate, fit, transform, train, fill, measure, publish."""
    with hold_lock(destination.path), _naming_vectors(vectors.path):
        job = validate(vectors, destination, request, progress)
        similarity = destination.fit(job)
        with destination.transform(job, similarity) as (array, file):
            queries = Queries(array, job.left_out, similarity=similarity)
            if not len(queries.rows):
                raise ValueError("no row is left: all are zeros (every image was skipped) or removed")
            trained = destination.train(job, queries)
            backend = destination.fill(job, trained, array)
            quality = destination.measure(job, trained, backend, queries)
            entry = describe_similarity(similarity, array, file, job.left_out)
            return destination.publish(job, trained, Built(similarity, entry, *quality))


def validate(vectors: Vectors, destination: Destination[T, M], request: BuildRequest, progress: Progress) -> BuildJob:
    """Return the vectors with the rows to leave out. Raises ValueError if the vectors were altered."""
    if request.part_size is not None and request.target:
        raise ValueError("an index in parts takes a recipe, not a target")
    check_complete(vectors)
    removed = [] if request.restore else destination.find_removed(vectors)
    if removed:
        progress(Event(note=f"{len(removed)} removed images stay removed; --restore brings them back"))
    return BuildJob(vectors, request, removed, find_skipped(vectors), progress)


class IndexFile:
    """A Faiss index in one file."""

    def __init__(self, path: Path):
        self.path = path

    def find_removed(self, vectors: Vectors) -> list[int]:
        return find_removed(vectors, self.path)

    def fit(self, job: BuildJob) -> Similarity:
        return fit_similarity(job)

    def transform(self, job: BuildJob, similarity: Similarity) -> Transformation:
        return transform_to_file(job.vectors.array, similarity, self.path)

    def train(self, job: BuildJob, queries: Queries) -> Trained:
        sample, n, recipe = draw_sample(queries), len(queries.array), job.request.recipe
        if job.request.target:
            fill = partial(_fill, job=job, array=queries.array)
            return choose_candidate(queries, sample, job.request.target, fill, job.progress)
        if recipe == "auto":
            recipe = "flat" if n < MAX_FLAT_VECTORS else "reduced"
        try:
            return train(recipe, sample, n)
        except TooFewVectors:
            too_few = f"{len(sample)} vectors are too few to train the recipe {recipe}: using flat, an exact search"
            job.progress(Event(note=too_few))
            return train("flat", sample, n)

    def fill(self, job: BuildJob, trained: Trained, array: np.ndarray) -> Backend:
        if trained.metrics is None:
            _fill(trained.index, job, array)
        return FaissBackend(trained.index)

    def measure(self, job: BuildJob, trained: Trained, backend: Backend, queries: Queries) -> Quality:
        return measure_quality(queries, backend, trained.parameters.reranked, job.left_out, trained.metrics)

    def publish(self, job: BuildJob, trained: Trained, built: Built) -> IndexManifest:
        manifest = publish(self.path, trained.index, self._new_manifest(job, trained, built), built.similarity)
        shutil.rmtree(unfinished_folder(self.path), ignore_errors=True)
        return manifest

    def _new_manifest(self, job: BuildJob, trained: Trained, built: Built) -> IndexManifest:
        return IndexManifest(
            recipe=trained.recipe,
            parameters=trained.parameters,
            removed=job.removed,
            target=job.request.target,
            measured=built.measured,
            built_recall=built.measured.recall,
            similarities=built.similarities,
            similarity=built.entry,
            vectors=describe_vectors(job.vectors, self.path, job.skipped),
            sha256="",
        )


@dataclass(frozen=True, kw_only=True)
class UnfinishedBuild:
    """The finished steps of a build in parts."""

    FORMAT: ClassVar[str] = "similar-images unfinished index 1"
    request: str  # digest
    similarity: str | None = None
    transformed: int = 0  # rows
    recipe: str | None = None
    parameters: RecipeParameters | None = None
    counts: dict[str, int]  # file of a complete part -> its vectors


class IndexInParts(IndexFile):
    """A Faiss index in parts, whose interrupted build resumes.

    A folder beside the index contains the results of finished steps: the transform, the transformed vectors, the
    trained index and complete parts. A build with another request starts again.
    """

    def __init__(self, path: Path, size: int):
        super().__init__(path)
        self._size, self._folder = size, unfinished_folder(path)
        self._state = UnfinishedBuild(request="", counts={})
        self._parts = PartList(size, ())

    def fit(self, job: BuildJob) -> Similarity:
        self._resume(job)
        file = self._folder / "transform.npy"
        if self._state.similarity is None:
            with self._discarding():
                fitted = fit_similarity(job)
            if not fitted.is_cosine:
                with replace_file(file) as partial:
                    fitted.save(partial)
            self._save(similarity=fitted.name)
        name = str(self._state.similarity)
        return COSINE if name == COSINE.name else load_transform(file, name)

    @contextmanager
    def transform(self, job: BuildJob, similarity: Similarity) -> Iterator[tuple[np.ndarray, str | None]]:
        if similarity.offset is None:
            yield job.vectors.array, None
            return
        file, array = self._folder / "vectors.npy", job.vectors.array
        if not file.exists():
            self._save(transformed=0, counts={})  # parts without their vectors are incomplete
            with replace_file(file) as partial:
                new_array(partial, (len(array), len(similarity.offset)))
        while (start := self._state.transformed) < len(array):
            stop = min(start + self._size, len(array))
            transform_rows(file, array, similarity, start, stop)
            self._save(transformed=stop)
        path, _ = keep_transformed(_link(file), self.path)
        yield open_array(path), path.name

    def train(self, job: BuildJob, queries: Queries) -> Trained:
        file, state = self._folder / "trained.index", self._state
        if state.recipe is not None and state.parameters is not None:
            return Trained(read_index(file), state.parameters, state.recipe)
        n, recipe = len(queries.array), "reduced" if job.request.recipe == "auto" else job.request.recipe
        with self._discarding():
            try:
                trained = train(recipe, draw_sample(queries), n)
            except TooFewVectors as error:
                reason = f"{n} vectors are too few to train the recipe {recipe}: omit --part-size"
                raise ValueError(reason) from error
            parts.require_ivf(trained.index)
        with replace_file(file) as partial:
            write_index(trained.index, partial)
        self._save(recipe=trained.recipe, parameters=trained.parameters)
        return trained

    def fill(self, job: BuildJob, trained: Trained, array: np.ndarray) -> Backend:
        n, kept = len(array), []
        for number, file in enumerate(self._files(n)):
            start, stop = number * self._size, min(n, (number + 1) * self._size)
            if self._count(file) is None:
                part = faiss.clone_index(trained.index)
                for rows, unit in skip_removed(unit_blocks(array[:stop], start), job.left_out):
                    part.add_with_ids(unit, rows)
                with replace_file(file) as partial:
                    write_index(part, partial)
                release(array)
                self._save(counts=self._state.counts | {file.name: part.ntotal})
            job.progress(Event("vectors", stop, n))
        for file in self._files(n):
            if count := self._count(file):
                kept.append(parts.keep(self.path, _link(file), count))
        self._parts = PartList(self._size, tuple(kept))
        files = [self.path.with_name(part.file) for part in kept]
        return FaissBackend(parts.join_parts(trained.index, files, parts.is_better_mapped(trained.index, files)))

    def measure(self, job: BuildJob, trained: Trained, backend: Backend, queries: Queries) -> Quality:
        measured, similarities = super().measure(job, trained, backend, queries)
        return replace(measured, bytes_on_disk=self._parts.bytes + queries.similarity.bytes), similarities

    def _new_manifest(self, job: BuildJob, trained: Trained, built: Built) -> IndexManifest:
        return replace(super()._new_manifest(job, trained, built), parts=self._parts)

    def _resume(self, job: BuildJob) -> None:
        """Read the finished steps of the same request, or start again."""
        n, request = len(job.vectors.array), job.request
        if n > MAX_PARTS * self._size:
            raise ValueError(f"expected at most {MAX_PARTS} parts: use a --part-size of {-(-n // MAX_PARTS)} or more")
        asked = [to_json(describe_vectors(job.vectors, self.path, job.skipped)), request.recipe]
        asked += [request.similarity, job.left_out, self._size, faiss.__version__]
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        with suppress(OSError, ValueError):
            self._state = read_record(self._folder / "state.json", UnfinishedBuild)
        if self._state.request != digest:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir()
            self._state = UnfinishedBuild(request=digest, counts={})
        self._save()
        if done := sum(self._count(file) is not None for file in self._files(n)):
            job.progress(Event(note=f"resuming: {done} of {len(self._files(n))} parts are complete"))

    def _count(self, file: Path) -> int | None:
        """Return the number of vectors in a complete part; None if it is incomplete."""
        return self._state.counts.get(file.name) if file.exists() else None

    def _files(self, n: int) -> list[Path]:
        return [self._folder / f"{number:05}.part" for number in range(-(-n // self._size))]

    def _save(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        write_record(self._folder / "state.json", self._state)

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Remove the folder after a ValueError: the request cannot be met."""
        try:
            yield
        except ValueError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise


def add(vectors: Vectors, path: Path, progress: Progress = ignore) -> IndexManifest:
    """Add missing rows, repaired rows, which were skipped before, and returned rows; remove retired rows.

    Return the new manifest.

    Raises ValueError if the index was not built from these vectors, BlockingIOError if another run is writing it.
    """
    with hold_lock(path):
        index, manifest = _open_to_change(path, vectors)
        skipped, built, trained = find_skipped(vectors, index), manifest.vectors, _faiss_index(index)
        retired, left_out = vectors.retired, sorted({*index.removed, *vectors.retired.tolist()})
        gone = np.setdiff1d(retired[retired < built.n], manifest.absent)
        if len(gone):
            manifest = _remove_rows(path, index, manifest, gone.tolist())
        retried = np.setdiff1d(np.array(built.skipped, np.int64), skipped)
        again = np.union1d(retried, np.setdiff1d(np.array(built.retired, np.int64), left_out))
        with transform_to_file(vectors.array, index.similarity, path, index.vectors, retried) as (array, file):
            new = skip_removed(chain([unit_rows(array, again)], unit_blocks(array, built.n)), left_out)
            if manifest.parts:
                manifest = replace(manifest, parts=parts.add_rows(path, trained, manifest.parts, new))
            else:
                _add_blocks(trained, new, progress, len(array) - built.n)
            manifest = replace(manifest, vectors=describe_vectors(vectors, path, skipped))
            return _republish(index, manifest, array, file)


def remove(vectors: Vectors, path: Path, rows: list[int]) -> IndexManifest:
    """Remove rows permanently: neither `add` nor `build` restores them; return the new manifest.

    Raises ValueError if the index cannot remove rows, would be empty, or was not built from these vectors;
    BlockingIOError if another run is writing it.
    """
    with hold_lock(path):
        index, manifest = _open_to_change(path, vectors)
        manifest = _remove_rows(path, index, manifest, rows)
        if not (manifest.parts.files if manifest.parts else index.ntotal):
            raise ValueError(f"{path}: no image would be left; delete the index instead")
        manifest = replace(manifest, removed=sorted({*manifest.removed, *rows}))
        indexed = vectors.array[: manifest.vectors.n]  # later rows are not added here
        with transform_to_file(indexed, index.similarity, path, index.vectors) as (array, file):
            return _republish(index, manifest, array, file)


def _remove_rows(path: Path, index: Index, manifest: IndexManifest, rows: list[int]) -> IndexManifest:
    """Remove rows from an index in memory, and from its parts; return its manifest with the new parts."""
    try:
        if manifest.parts:
            return replace(manifest, parts=parts.remove_rows(path, manifest.parts, rows))
        _faiss_index(index).remove_ids(faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)))
    except RuntimeError as error:
        raise ValueError(f"{path}: the recipe {index.recipe} cannot remove; rebuild with another --recipe") from error
    return manifest


def read_rows(vectors: Vectors, file: Path) -> list[int]:
    """Return the rows of the names in a file, a name per line. Raises ValueError for an unknown name."""
    rows = NameRows(vectors.names or [])
    wanted = {line: name for line, name in enumerate(read_names(file), 1) if not is_blank(name)}
    if unknown := [line for line, name in wanted.items() if name not in rows]:
        line = next((line for line in unknown if find_line_error(wanted[line])), unknown[0])
        fault = find_line_error(wanted[line])
        raise ValueError(
            f"{file}: {len(unknown)} names are not in {vectors.path}, such as {escape_line(wanted[line])}, line {line}"
            f"{f', which has {fault}' if fault else ''}"
        )
    return [row for name in wanted.values() for row in rows[name]]


def find_removed(vectors: Vectors, path: Path) -> list[int]:
    """Return the rows removed from the index of these vectors at `path`; none without such an index."""
    if not path.exists():
        return []
    try:
        index = open_index(path, with_parts=False)
    except ValueError:  # damaged
        return []
    return index.removed if has_same_rows(index, vectors) else []


def fit_similarity(job: BuildJob) -> Similarity:
    """Return the requested similarity, fitted without absent rows."""
    array, absent, wanted = job.vectors.array, job.absent, job.request.similarity
    if wanted != "auto":
        return fit(array, wanted, absent)
    if job.request.recipe not in ("auto", "flat", "reduced"):
        return COSINE
    try:
        return fit(array, default_similarity(job.vectors.network, len(array) - len(absent)), absent)
    except ValueError as error:
        job.progress(Event(note=str(error)))
        return COSINE


def draw_sample(queries: Queries) -> np.ndarray:
    """Return unit vectors (m, c) of random rows to train on, without the queries unless there are few rows."""
    array = queries.array
    n, c = array.shape
    rows, step = rows_except(n, queries.rows if n >= 5 * MIN_QUERIES else []), block_rows(array)
    m = min(len(rows), max(MIN_SAMPLE, SAMPLE_PER_LIST * list_count(n)), SAMPLE_BYTES // (4 * c))
    drawn = np.sort(np.random.default_rng(SEED).choice(rows, m, replace=False))
    return np.concatenate([unit_rows(array, drawn[start : start + step])[1] for start in range(0, m, step)])


def describe_vectors(vectors: Vectors, path: Path, skipped: list[int]) -> IndexedVectors:
    """Return the manifest's entry of the vectors of an index, without the rows `skipped`."""
    n, blocks = len(vectors.array), vectors.blocks
    return IndexedVectors(
        file=relative_path(vectors.path, path.parent),
        n=n,
        skipped=skipped,
        retired=vectors.retired.tolist(),
        fingerprint=fingerprint(vectors.array, skipped),
        blocks=blocks or [digest for _, digest in block_digests(vectors.array, n)],
        modified=None if blocks else vectors.path.stat().st_mtime_ns,
        names=names_digest(vectors.names) if vectors.names else None,
        network=vectors.network,
    )


def find_skipped(vectors: Vectors, index: Index | None = None) -> list[int]:
    """Return the rows without a vector (all zeros), in order. Of a complete index only the new rows are read."""
    known, start = [], 0
    if index and index.manifest:
        built = index.manifest.vectors
        known = [row for row in built.skipped if not vectors.array[row].any()]
        left_out = {row for row in index.manifest.absent if row < built.n}
        start = built.n if index.ntotal + len(left_out) >= built.n else 0
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


def unfinished_folder(index: Path) -> Path:
    return index.with_name(f".{index.name}.unfinished")


def _fill(index: faiss.Index, job: BuildJob, array: np.ndarray) -> None:
    """Add all rows of vectors (n, c) except removed rows and rows of zeros."""
    _add_blocks(index, skip_removed(unit_blocks(array), job.left_out), job.progress, len(array))


def _add_blocks(index: faiss.Index, blocks: Blocks, progress: Progress, total: int) -> None:
    done = 0
    for rows, unit in blocks:
        index.add_with_ids(unit, rows)
        done += len(rows)
        progress(Event("vectors", done, total))


def _open_to_change(path: Path, vectors: Vectors) -> tuple[Index, IndexManifest]:
    """Open an index, without its parts, and its manifest. Raises ValueError if it is of unknown or other vectors."""
    index = open_index(path, with_parts=False)
    if index.manifest is None:
        raise ValueError(f"{path} has no manifest, so its rows are unknown: rebuild it with --overwrite")
    check_matches(index, vectors, is_thorough=True)
    changeable = index._replace(backend=FaissBackend(with_ids(_faiss_index(index))))
    return changeable, cast(IndexManifest, index.manifest)


def _republish(index: Index, manifest: IndexManifest, array: np.ndarray, file: str | None) -> IndexManifest:
    """Measure a changed index and publish it; return its manifest."""
    absent, changed = [row for row in manifest.absent if row < len(array)], _faiss_index(index)
    opened = parts.open_parts(index.path, changed, manifest.parts) if manifest.parts else changed
    queries = Queries(array, absent, similarity=index.similarity)
    measured, similarities = measure_quality(queries, FaissBackend(opened), index.reranked, absent)
    if manifest.parts:
        measured = replace(measured, bytes_on_disk=manifest.parts.bytes + index.similarity.bytes)
    entry = describe_similarity(index.similarity, array, file, absent, manifest.similarity)
    manifest = replace(manifest, measured=measured, similarities=similarities, similarity=entry)
    return publish(index.path, changed, manifest, index.similarity)


def publish(path: Path, index: faiss.Index, manifest: IndexManifest, similarity: Similarity) -> IndexManifest:
    """Write an index of transformed vectors, with the transform, and its manifest; return it with the file's SHA-256.

    The file of an index in parts contains no vectors. Readers see the old files or the new ones, also after a kill.
    The caller holds `hold_lock(path)`.
    """
    n = manifest.parts.n if manifest.parts else index.ntotal
    with partial_file(path) as partial:
        complete = similarity.prepend_to(without_trivial_ids(index))
        write_index(complete, partial)
        flush(partial)
        written = replace_index(path, partial, replace(manifest, n=n, d=complete.d))
    remove_old_files(path, written)
    return written


def _faiss_index(index: Index) -> faiss.Index:
    return cast(FaissBackend, index.backend).index


@contextmanager
def _naming_vectors(path: Path) -> Iterator[None]:
    """Add the path of the vectors to the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        if type(error) not in (ValueError, Unreachable) or str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _link(file: Path) -> Path:
    """Return a hard link to move instead of a file: a build killed between two moves keeps all files.

    Without hard links return the file itself; a resumed build makes moved files again.
    """
    link = file.with_name(f"moved.{file.name}")
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(file)
    except OSError:
        return file
    return link
