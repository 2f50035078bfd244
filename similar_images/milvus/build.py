"""Publish an index in Milvus: build it, add rows, remove rows.

Readers follow the manifest. A rebuild fills a new collection, replaces the manifest and then drops the old collection.

Shape letters: n rows in all, c numbers in a transformed vector.
"""

import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.files import hold_lock, mismatch, read_json, relative_path, write_json
from similar_images.index.builder import BuildRequest, BuildSource, describe_vectors, find_skipped, fit_similarity
from similar_images.index.exact import rows_except
from similar_images.index.index import Index, check_matches, has_same_rows
from similar_images.index.quality import Queries, measure_quality
from similar_images.index.similarity import describe_similarity, keep_transform, remove_old_files, transform_to_file
from similar_images.milvus import loading
from similar_images.milvus import manifest as manifests
from similar_images.milvus.connection import Connection
from similar_images.milvus.fields import choose_fields, update_digests
from similar_images.milvus.index_types import choose_index_type
from similar_images.milvus.opening import open_milvus
from similar_images.milvus.search import MilvusSearch, index_bytes
from similar_images.milvus.tuning import QUERIES, tune
from similar_images.records import from_json, to_json
from similar_images.vectors.store import Vectors, check_complete

STATE_FORMAT = "similar-images milvus load 1"
Columns = Mapping[str, np.ndarray]


class Target(NamedTuple):
    """Address and type of a new index."""

    uri: str
    index_type: str = "auto"  # or a key of index_types.TYPES
    ca: Path | None = None  # certificate of a private authority


def build(
    vectors: Vectors,
    path: Path,
    target: Target,
    columns: Columns,
    progress: Progress = ignore,
    restore: bool = False,
    similarity: str = "auto",
) -> dict:
    """Load all vectors into a new collection, index and measure it, write the manifest to `path` and return it.

    Resumes an interrupted build. Rows removed from the present index at `path` stay removed unless `restore`.
    `columns` are the columns for filters; `progress` receives deviations from the request as notes.
    Raises OSError or ValueError if Milvus does not answer or refuses, or if no vector is usable; BlockingIOError if
    another run is writing the manifest.
    """
    connection = Connection(target.uri, target.ca)
    with hold_lock(path):
        check_complete(vectors)
        old = _read_manifest(path)
        removed = [] if restore else removed_rows(vectors, path)
        if removed:
            progress(Event(note=f"{len(removed)} removed images stay removed; --restore brings them back"))
        skipped = find_skipped(vectors)
        source, request = BuildSource(vectors, removed, skipped), BuildRequest(similarity=similarity)
        fitted = fit_similarity(source, request, progress)
        with transform_to_file(vectors.stored, fitted, manifests.base(path)) as (array, file):
            queries = Queries(array, removed, QUERIES, similarity=fitted)
            if not len(queries.rows):
                raise ValueError(f"{vectors.path}: no row is left: all are zeros (every image was skipped) or removed")
            rows = rows_except(len(array), source.absent)
            index_type, message = choose_index_type(target.index_type, len(rows), connection.is_embedded)
            if message:
                progress(Event(note=message))
            fields = choose_fields(columns)
            wanted: dict[str, Any] = {
                "uri": manifests.relative_uri(connection.uri, path),
                "ca": relative_path(target.ca, path.absolute().parent) if target.ca else None,
                "index": {
                    "type": index_type.name,
                    "built_with": index_type.build_parameters(len(rows), array.shape[1]),
                },
                "columns": {column: list(field) for column, field in fields.items()},
                "removed": removed,
                "vectors": to_json(describe_vectors(vectors, path, skipped)),
                "similarity": fitted.name,
            }
            name, resumes = _start_load(path, wanted, connection, progress)
            shape = {"collection": name, "n": len(rows), "d": array.shape[1], "finds_parts": False, "bytes": 0}
            manifest = {**wanted, **shape, "changing": False, "index": {**wanted["index"], "searched_with": {}}}
            search = MilvusSearch(path, manifest, connection)
            if not resumes:
                loading.create_collection(connection, name, len(rows), array.shape[1], index_type, fields)
            search.ntotal = loading.load_rows(search, array, rows, columns, fields, progress, resumes)
            manifest["n"] = search.ntotal
            manifest["finds_parts"] = loading.finds_parts(search)
            manifest = _measure(search, manifest, queries, progress)
            if entry := describe_similarity(fitted, array, file, removed):
                entry = replace(entry, transform=keep_transform(fitted, manifests.base(path)))
            manifest["similarity"] = to_json(entry)
            written = manifests.write(path, manifest)
        _finish_load(path, old, written, progress)
        return written


def add(
    vectors: Vectors,
    path: Path,
    columns: Columns,
    progress: Progress = ignore,
) -> dict:
    """Load the rows that Milvus lacks, and all rows if a column has changed; return the new manifest.

    A rerun resumes. Raises ValueError if the index belongs to other vectors, OSError or ValueError if Milvus does not
    answer, BlockingIOError if another run is writing the manifest.
    """
    with hold_lock(path):
        index = open_milvus(path)
        check_matches(index, vectors, is_thorough=True)
        search, old = _finish_removal(index), cast(MilvusSearch, index.backend).manifest
        built, fields, skipped = old["vectors"], manifests.fields(old), find_skipped(vectors, index)
        retried = np.setdiff1d(np.array(built.get("skipped", []), np.int64), skipped)
        if unknown := [column for column in choose_fields(columns) if column not in fields]:
            progress(Event(note=f"Milvus filters by {', '.join(unknown)} only after a rebuild with --overwrite"))
        known = {column: values[: built["n"]] for column, values in columns.items()}
        has_changed = update_digests(fields, known) != fields
        fields = update_digests(fields, columns)
        base = manifests.base(path)
        with transform_to_file(vectors.stored, index.similarity, base, index.vectors, retried) as (array, file):
            rows = rows_except(len(array), [*old["removed"], *skipped])
            if not has_changed:
                rows = rows[(rows >= built["n"]) | np.isin(rows, retried)]
            loading.load_rows(search, array, rows, columns, fields, progress)
            manifest = {**old, "n": search.count(), "columns": {name: list(field) for name, field in fields.items()}}
            manifest["vectors"] = to_json(describe_vectors(vectors, path, skipped))
            return _rewrite(index, search, manifest, array, file, progress)


def remove(vectors: Vectors, path: Path, rows: list[int], progress: Progress = ignore) -> dict:
    """Remove rows permanently: neither `add` nor `build` restores them. Return the new manifest.

    Searches hide them from the start. A rerun resumes. Raises ValueError if no row would be left, or if the index
    belongs to other vectors, and the errors of `add`.
    """
    with hold_lock(path):
        index = open_milvus(path)
        check_matches(index, vectors, is_thorough=True)
        search, old = _finish_removal(index), cast(MilvusSearch, index.backend).manifest
        n, skipped = old["vectors"]["n"], old["vectors"].get("skipped", [])
        removed = sorted({*old["removed"], *rows})
        left = old["n"] - sum(row < n for row in {*removed} - {*old["removed"], *skipped})
        if left <= 0:
            raise ValueError(f"{path}: no image would be left; drop the collection instead")
        manifest = {**old, "removed": removed, "n": left}
        manifests.write(path, {**manifest, "changing": True})
        loading.delete_rows(search, np.array(sorted(rows), np.int64))
        with transform_to_file(vectors.stored[:n], index.similarity, manifests.base(path), index.vectors) as (
            array,
            file,
        ):
            return _rewrite(index, search, manifest, array, file, progress)


def removed_rows(vectors: Vectors, path: Path) -> list[int]:
    """Return the rows removed from the index at `path`; none if it belongs to other vectors."""
    with suppress(OSError, ValueError):  # absent or damaged
        index = open_milvus(path)
        return index.removed if has_same_rows(index, vectors) else []
    return []


def _measure(search: MilvusSearch, manifest: dict, queries: Queries, progress: Progress) -> dict:
    """Return a manifest with the best search parameters and the measured quality."""
    index_type, c = manifest["index"]["type"], manifest["d"]
    parameters, depth, reached = tune(queries, search, index_type, progress)
    size = index_bytes(search.connection, index_type, manifest["n"], c)
    absent = _absent_rows(manifest, len(queries.array))
    measured, similarities = measure_quality(queries, search, depth, absent, replace(reached, bytes=size))
    return {
        **manifest,
        "recipe": f"Milvus {index_type}",
        "parameters": {**manifest["index"]["built_with"], **parameters, "reranked": depth},
        "index": {**manifest["index"], "searched_with": parameters},
        "target": None,
        "bytes": size,
        "measured": to_json(measured),
        "built_recall": measured.recall,
        "similarities": to_json(similarities),
    }


def _rewrite(
    index: Index,
    search: MilvusSearch,
    manifest: dict,
    array: np.ndarray,
    file: str | None,
    progress: Progress,
) -> dict:
    """Measure a changed index, write its manifest and return it."""
    absent, base = _absent_rows(manifest, len(array)), manifests.base(index.path)
    entry = {**manifest, "changing": False}
    old = index.manifest.similarity if index.manifest else None
    if similarity := describe_similarity(index.similarity, array, file, absent, old):
        similarity = replace(similarity, transform=old.transform if old else None)
    entry["similarity"] = to_json(similarity)
    queries = Queries(array, absent, QUERIES, similarity=index.similarity)
    measured = _measure(MilvusSearch(index.path, entry, search.connection), entry, queries, progress)
    written = manifests.write(index.path, {**measured, "built_recall": manifest["built_recall"]})
    remove_old_files(base, similarity)
    return written


def _absent_rows(manifest: dict, n: int) -> list[int]:
    """Return the removed and skipped rows among the first n."""
    absent = {*manifest["removed"], *manifest["vectors"].get("skipped", [])}
    return sorted(row for row in absent if row < n)


def _finish_removal(index: Index) -> MilvusSearch:
    """Repeat a removal that may have been interrupted; return the index' search."""
    search = cast(MilvusSearch, index.backend)
    if search.manifest["changing"]:
        loading.delete_rows(search, np.array(search.manifest["removed"], np.int64))
    return search


def _read_manifest(path: Path) -> dict | None:
    with suppress(OSError, ValueError):
        return manifests.read(path)
    return None


def _state_path(path: Path) -> Path:
    """Return the file that records an unfinished load."""
    return path.with_name(f".{path.name}.loading")


def _start_load(path: Path, request: dict, connection: Connection, progress: Progress) -> tuple[str, bool]:
    """Return the name of the collection to load, and whether an earlier load of the same request is resumed."""
    state, before = _state_path(path), None
    request = json.loads(json.dumps(request))
    with suppress(OSError, ValueError):  # absent or damaged
        content = read_json(state, STATE_FORMAT)
        before = None if mismatch(content, {"collection": str, "wanted": dict}) else content
    if before is not None and before["wanted"].get("uri") == request["uri"]:
        name = before["collection"]
        is_left = name.startswith(f"{_stem(path)}_") and name != (_read_manifest(path) or {}).get("collection")
        if is_left and connection.call("has_collection", name):
            if before["wanted"] == request:
                progress(Event(note="resuming the interrupted load"))
                return name, True
            connection.call("drop_collection", name)
    name = f"{_stem(path)}_{secrets.token_hex(4)}"
    write_json(state, {"format": STATE_FORMAT, "collection": name, "wanted": request})
    return name, False


def _finish_load(path: Path, old: dict | None, written: dict, progress: Progress) -> None:
    """Drop the replaced collection and remove temporary files."""
    remove_old_files(manifests.base(path), from_json(manifests.MilvusManifest, written).similarity)
    if old is not None and old["collection"] != written["collection"]:
        uri = manifests.resolve_uri(old, path)
        try:
            Connection(uri, manifests.resolve_ca(old, path)).call("drop_collection", old["collection"])
        except (OSError, ValueError) as error:
            progress(Event(note=f"cannot drop the previous collection, {old['collection']} at {uri}: {error}"))
    _state_path(path).unlink(missing_ok=True)


def _stem(path: Path) -> str:
    """Return the prefix of the names of an index' collections."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", path.name.removesuffix(manifests.SUFFIX))[:200]
    return stem if stem[:1].isalpha() else f"c_{stem}"
