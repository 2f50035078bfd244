"""Publish an index in Milvus: build it with the pipeline of `index.builder`, add rows, remove rows.

Readers follow the manifest. A rebuild fills a new collection, replaces the manifest and then drops the old collection.

Shape letters: n rows in all, c numbers in a transformed vector, q queries, k hits.
"""

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.files import hold_lock, relative_path
from similar_images.index.backend import MEASURED_K, Backend
from similar_images.index.builder import (
    BuildJob,
    BuildRequest,
    Built,
    Quality,
    Transformation,
    describe_vectors,
    find_skipped,
    fit_similarity,
    run_pipeline,
)
from similar_images.index.exact import rows_except
from similar_images.index.index import Index, check_matches, has_same_rows
from similar_images.index.manifest import CandidateMetrics, IndexedVectors, RecipeParameters, remove_old_files
from similar_images.index.quality import Queries, confidence_interval, measure_quality
from similar_images.index.similarity import (
    Similarity,
    describe_similarity,
    keep_transform,
    transform_to_file,
)
from similar_images.index.tuning import RERANK_DEPTHS
from similar_images.milvus import loading
from similar_images.milvus.connection import Connection
from similar_images.milvus.fields import Field, choose_fields, update_digests
from similar_images.milvus.index_types import TYPES, Parameters, choose_index_type
from similar_images.milvus.manifest import SUFFIX, MilvusIndex, MilvusManifest, file_prefix, read_manifest, relative_uri
from similar_images.milvus.search import MilvusSearch, index_bytes, open_milvus
from similar_images.records import read_record, write_record
from similar_images.vectors.store import Vectors

MIN_RECALL = 0.95  # recall@10 after re-ranking, with 95% confidence
QUERIES = 300  # each takes milliseconds
MAX_RERANKED = 200  # hits
Columns = Mapping[str, np.ndarray]


class Target(NamedTuple):
    """Address and type of a new index."""

    uri: str
    index_type: str = "auto"  # or a key of index_types.TYPES
    ca: Path | None = None  # certificate of a private authority


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """The rows and columns to load, and the index to build of them."""

    uri: str
    ca: str | None
    columns: dict[str, Field]
    removed: list[int]
    vectors: IndexedVectors
    index: MilvusIndex
    similarity: str


@dataclass(frozen=True, kw_only=True)
class UnfinishedLoad:
    """A collection to resume if the request is the same."""

    FORMAT: ClassVar[str] = "similar-images milvus load 1"
    collection: str
    wanted: LoadRequest


def build(
    vectors: Vectors,
    path: Path,
    target: Target,
    columns: Columns,
    request: BuildRequest | None = None,
    progress: Progress = ignore,
) -> MilvusManifest:
    """Build an index in Milvus with the manifest `path`; return the manifest.

    Resumes an interrupted build. Rows removed from the present index at `path` stay removed unless requested.
    `columns` are the columns for filters; `progress` receives deviations from the request as notes.
    Raises OSError or ValueError if Milvus does not answer or refuses, or if no vector is usable; BlockingIOError if
    another run is writing the manifest.
    """
    return run_pipeline(vectors, MilvusDestination(path, target, columns), request or BuildRequest(), progress)


class MilvusDestination:
    """A collection in Milvus; implements `index.builder.Destination`."""

    def __init__(self, path: Path, target: Target, columns: Columns):
        self.path, self._target, self._columns = path, target, columns
        self._connection = Connection(target.uri, target.ca)
        self._resumes = False

    def find_removed(self, vectors: Vectors) -> list[int]:
        return find_removed(vectors, self.path)

    def fit(self, job: BuildJob) -> Similarity:
        return fit_similarity(job)

    def transform(self, job: BuildJob, similarity: Similarity) -> Transformation:
        return transform_to_file(job.vectors.array, similarity, file_prefix(self.path))

    def train(self, job: BuildJob, queries: Queries) -> MilvusSearch:
        """Return a search in a new collection with an index, or in the collection of an interrupted load."""
        n, c = len(rows_except(len(queries.array), job.absent)), queries.array.shape[1]
        index_type, note = choose_index_type(self._target.index_type, n, self._connection.is_embedded)
        if note:
            job.progress(Event(note=note))
        ca = self._target.ca
        manifest = MilvusManifest(
            recipe=f"Milvus {index_type.name}",
            parameters=RecipeParameters(reranked=0),
            removed=job.removed,
            target=None,
            built_recall=0,
            vectors=describe_vectors(job.vectors, self.path, job.skipped),
            uri=relative_uri(self._connection.uri, self.path),
            ca=relative_path(ca, self.path.absolute().parent) if ca else None,
            collection=f"{_stem(self.path)}_{secrets.token_hex(4)}",
            index=MilvusIndex(type=index_type.name, built_with=index_type.build_parameters(n, c)),
            columns=choose_fields(self._columns),
            finds_parts=False,
            changing=False,
            n=n,
            d=c,
            bytes=0,
        )
        manifest = self._resume(manifest, queries.similarity, job.progress)
        if not self._resumes:
            loading.create_collection(self._connection, manifest)
        return MilvusSearch(self.path, manifest, self._connection)

    def fill(self, job: BuildJob, trained: MilvusSearch, array: np.ndarray) -> Backend:
        rows = rows_except(len(array), job.absent)
        n = loading.load_rows(trained, array, rows, self._columns, job.progress, self._resumes)
        trained.use_manifest(replace(trained.manifest, n=n, finds_parts=loading.finds_parts(trained)))
        return trained

    def measure(self, job: BuildJob, trained: MilvusSearch, backend: Backend, queries: Queries) -> Quality:
        fewer = Queries(queries.array, job.left_out, QUERIES, similarity=queries.similarity)
        return _tune_and_measure(trained, fewer, job.progress)

    def publish(self, job: BuildJob, trained: MilvusSearch, built: Built) -> MilvusManifest:
        """Replace the manifest, then drop the previous collection."""
        prefix, old, entry = file_prefix(self.path), _read_present(self.path), built.entry
        manifest = replace(
            trained.manifest,
            measured=built.measured,
            built_recall=built.measured.recall,
            similarities=built.similarities,
            similarity=entry and replace(entry, transform=keep_transform(built.similarity, prefix)),
        )
        write_record(self.path, manifest)
        remove_old_files(prefix, manifest)
        if old is not None and old.collection != manifest.collection:
            uri = old.resolve_uri(self.path)
            try:
                Connection(uri, old.resolve_ca(self.path)).call("drop_collection", old.collection)
            except (OSError, ValueError) as error:
                job.progress(Event(note=f"cannot drop the previous collection, {old.collection} at {uri}: {error}"))
        self._state_path.unlink(missing_ok=True)
        return manifest

    @property
    def _state_path(self) -> Path:
        return self.path.with_name(f".{self.path.name}.loading")

    def _resume(self, manifest: MilvusManifest, similarity: Similarity, progress: Progress) -> MilvusManifest:
        """Return the manifest with the collection of an interrupted load of the same request, or record a new load."""
        wanted = LoadRequest(
            uri=manifest.uri,
            ca=manifest.ca,
            columns=manifest.columns,
            removed=manifest.removed,
            vectors=manifest.vectors,
            index=manifest.index,
            similarity=similarity.name,
        )
        earlier, present = None, _read_present(self.path)
        with suppress(OSError, ValueError):  # absent or damaged
            earlier = read_record(self._state_path, UnfinishedLoad)
        if earlier is not None and earlier.wanted.uri == manifest.uri:
            name = earlier.collection
            is_left = name.startswith(f"{_stem(self.path)}_") and name != (present and present.collection)
            if is_left and self._connection.call("has_collection", name):
                if earlier.wanted == wanted:
                    progress(Event(note="resuming the interrupted load"))
                    self._resumes = True
                    return replace(manifest, collection=name)
                self._connection.call("drop_collection", name)
        write_record(self._state_path, UnfinishedLoad(collection=manifest.collection, wanted=wanted))
        return manifest


def add(vectors: Vectors, path: Path, columns: Columns, progress: Progress = ignore) -> MilvusManifest:
    """Load the rows that Milvus lacks, and all rows if a column has changed; return the new manifest.

    A rerun resumes. Raises ValueError if the index belongs to other vectors, OSError or ValueError if Milvus does not
    answer, BlockingIOError if another run is writing the manifest.
    """
    with hold_lock(path):
        index, search = _open_to_change(vectors, path)
        old, skipped = search.manifest, find_skipped(vectors, index)
        built, fields = old.vectors, old.columns
        retried = np.setdiff1d(np.array(built.skipped, np.int64), skipped)
        if unknown := [column for column in choose_fields(columns) if column not in fields]:
            progress(Event(note=f"Milvus filters by {', '.join(unknown)} only after a rebuild with --overwrite"))
        has_changed = update_digests(fields, {name: values[: built.n] for name, values in columns.items()}) != fields
        search.use_manifest(replace(old, columns=update_digests(fields, columns)))
        prefix = file_prefix(path)
        with transform_to_file(vectors.array, index.similarity, prefix, index.vectors, retried) as (array, file):
            retired = vectors.retired
            loading.delete_rows(search, np.setdiff1d(retired[retired < built.n], old.absent))
            rows = rows_except(len(array), [*old.removed, *skipped, *retired.tolist()])
            if not has_changed:
                rows = rows[(rows >= built.n) | np.isin(rows, [*retried, *built.retired])]
            loading.load_rows(search, array, rows, columns, progress)
            described = describe_vectors(vectors, path, skipped)
            manifest = replace(search.manifest, n=search.count(), vectors=described)
            return _republish(index, manifest, array, file, progress)


def remove(vectors: Vectors, path: Path, rows: list[int], progress: Progress = ignore) -> MilvusManifest:
    """Remove rows permanently: neither `add` nor `build` restores them. Return the new manifest.

    Searches hide them from the start. A rerun resumes. Raises ValueError if no row would be left, or if the index
    belongs to other vectors, and the errors of `add`.
    """
    with hold_lock(path):
        index, search = _open_to_change(vectors, path)
        old = search.manifest
        n, removed = old.vectors.n, sorted({*old.removed, *rows})
        left = old.n - sum(row < n for row in {*removed} - {*old.absent})
        if left <= 0:
            raise ValueError(f"{path}: no image would be left; drop the collection instead")
        manifest = replace(old, removed=removed, n=left)
        write_record(path, replace(manifest, changing=True))
        loading.delete_rows(search, np.array(sorted(rows), np.int64))
        prefix = file_prefix(path)
        with transform_to_file(vectors.array[:n], index.similarity, prefix, index.vectors) as (array, file):
            return _republish(index, manifest, array, file, progress)


def find_removed(vectors: Vectors, path: Path) -> list[int]:
    """Return the rows removed from the index at `path`; none if it belongs to other vectors."""
    with suppress(OSError, ValueError):  # absent or damaged
        index = open_milvus(path)
        return index.removed if has_same_rows(index, vectors) else []
    return []


def _open_to_change(vectors: Vectors, path: Path) -> tuple[Index, MilvusSearch]:
    """Open an index, and repeat a removal that may have been interrupted."""
    index = open_milvus(path)
    check_matches(index, vectors, is_thorough=True)
    search = cast(MilvusSearch, index.backend)
    if search.manifest.changing:
        loading.delete_rows(search, np.array(search.manifest.removed, np.int64))
    return index, search


def _republish(
    index: Index, manifest: MilvusManifest, array: np.ndarray, file: str | None, progress: Progress
) -> MilvusManifest:
    """Measure a changed index, write its manifest and return it."""
    absent, prefix = [row for row in manifest.absent if row < len(array)], file_prefix(index.path)
    old = manifest.similarity
    entry = describe_similarity(index.similarity, array, file, absent, old)
    entry = entry and replace(entry, transform=old.transform if old else None)
    connection = cast(MilvusSearch, index.backend).connection
    search = MilvusSearch(index.path, replace(manifest, changing=False, similarity=entry), connection)
    queries = Queries(array, absent, QUERIES, similarity=index.similarity)
    measured, similarities = _tune_and_measure(search, queries, progress)
    manifest = replace(search.manifest, measured=measured, similarities=similarities)
    write_record(index.path, manifest)
    remove_old_files(prefix, manifest)
    return manifest


def _tune_and_measure(search: MilvusSearch, queries: Queries, progress: Progress) -> Quality:
    """Record the best search parameters in the manifest of `search`; return the measured quality."""
    manifest = search.manifest
    depth, metrics = _tune(queries, search, progress)
    size = index_bytes(search.connection, manifest.index.type, manifest.n, manifest.d)
    absent = [row for row in manifest.absent if row < len(queries.array)]
    quality = measure_quality(queries, search, depth, absent, replace(metrics, bytes=size))
    index = replace(manifest.index, searched_with=search.parameters)
    recipe = RecipeParameters.from_json({**index.built_with, **index.searched_with, "reranked": depth})
    search.use_manifest(replace(manifest, index=index, parameters=recipe, bytes=size))
    return quality


def _tune(queries: Queries, search: MilvusSearch, progress: Progress) -> tuple[int, CandidateMetrics]:
    """Set the cheapest search parameters with enough recall; return the number of hits to re-rank and the metrics.

    If no setting reaches MIN_RECALL, the best one is taken and `progress` receives a note.
    """
    index_type = search.manifest.index.type
    kind = TYPES[index_type]
    settings: list[Parameters] = [{}]
    if kind.search_parameter:
        settings = [{kind.search_parameter: value} for value in kind.search_values]
    lists = search.manifest.index.built_with.get("nlist")
    if lists:
        settings = [setting for setting in settings if setting["nprobe"] <= lists] or [{"nprobe": lists}]
    depths = [0] if index_type == "FLAT" else [depth for depth in RERANK_DEPTHS[1:] if depth <= MAX_RERANKED]
    best: tuple[float, Parameters, int] = (-1.0, {}, 0)
    for setting in settings:
        search.parameters = setting
        _, rows = search.search(queries.unit, min(max(max(depths), MEASURED_K) + 1, search.ntotal))
        hits = queries.match_hits(queries.exclude_self(rows, max(max(depths), MEASURED_K)))
        for depth in depths:
            _, low, _ = confidence_interval(queries.recalls(hits[:, : depth or MEASURED_K]))
            best = max(best, (low, setting, depth), key=lambda candidate: candidate[0])
            if low >= MIN_RECALL:
                break
        if best[0] >= MIN_RECALL:
            break
    _, search.parameters, depth = best
    reached = queries.measure(index_type, search, depth)
    if reached.recall < MIN_RECALL:
        progress(Event(note=f"recall@10 is only {reached.recall:.3f} with {index_type}: choose another --milvus-index"))
    return depth, reached


def _read_present(path: Path) -> MilvusManifest | None:
    with suppress(OSError, ValueError):
        return read_manifest(path)
    return None


def _stem(path: Path) -> str:
    """Return the prefix of the names of an index' collections."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", path.name.removesuffix(SUFFIX))[:200]
    return stem if stem[:1].isalpha() else f"c_{stem}"
