"""Vectors into a collection in Milvus, with its manifest: build it, add rows, remove rows.

The manifest is what readers follow. It is replaced once a new collection is whole, and the old one is dropped after that.

Shape letters: n rows in all, c numbers in a transformed vector.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from similar_images.files import hold_lock, mismatch, read_json, relative_path, write_json
from similar_images.index.exact import rows_but
from similar_images.index.index import Index, check_matches, has_same_rows
from similar_images.index.measure import measures
from similar_images.index.reduced import keep_transform, remove_others, transformed
from similar_images.index.steps import fitted_similarity, kept_similarity, skipped_rows, source_of
from similar_images.index.tune import Queries
from similar_images.milvus import loading
from similar_images.milvus import manifest as manifests
from similar_images.milvus.connection import Connection
from similar_images.milvus.fields import renewed, stored
from similar_images.milvus.index_types import chosen
from similar_images.milvus.opening import open_milvus
from similar_images.milvus.search import MilvusSearch, size
from similar_images.milvus.tuning import QUERIES, tune
from similar_images.vectors.store import Vectors, check_complete

STATE = "similar-images milvus load 1"
Columns = Mapping[str, np.ndarray]
Progress = Callable[[int], None]
Note = Callable[[str], None]


class Target(NamedTuple):
    """Where a collection is to be, and with what index."""

    uri: str
    index_type: str = "auto"  # or one of index_types.TYPES
    ca: Path | None = None  # the certificate of an own authority


def build(
    vectors: Vectors,
    path: Path,
    target: Target,
    columns: Columns,
    progress: Progress = lambda rows: None,
    note: Note = lambda message: None,
    restore: bool = False,
    similarity: str = "auto",
) -> dict:
    """Load all vectors into a new collection, index and measure it, and write its manifest to `path`; return that.

    An interrupted build goes on where it was. Rows that were removed from the collection of these vectors at `path` stay
    removed, unless `restore`. `columns` are what filters may use; `note` gets what differs from the request.
    Raises OSError or ValueError if Milvus does not answer or refuses, or for vectors that cannot be used; BlockingIOError
    if another run is writing the manifest.
    """
    connection = Connection(target.uri, target.ca)
    with hold_lock(path):
        check_complete(vectors)
        old = _in_place(path)
        removed = [] if restore else removed_rows(vectors, path)
        if removed:
            note(f"{len(removed)} removed images stay removed; --restore brings them back")
        fitted = fitted_similarity(vectors, similarity, "auto", removed, note)
        with transformed(vectors.stored, fitted, manifests.base(path)) as (array, file):
            queries = Queries(array, removed, QUERIES, similarity=fitted)
            if not len(queries.rows):
                raise ValueError(f"{vectors.path}: no row is left: all are zeros (every image was skipped) or removed")
            rows = rows_but(len(array), [*removed, *skipped_rows(vectors)])
            index_type, said = chosen(target.index_type, len(rows), connection.is_embedded)
            if said:
                note(said)
            fields = stored(columns)
            wanted: dict[str, Any] = {
                "uri": manifests.kept_uri(connection.uri, path),
                "ca": relative_path(target.ca, path.absolute().parent) if target.ca else None,
                "index": {"type": index_type.name, "built_with": index_type.built_with(len(rows), array.shape[1])},
                "columns": {column: list(field) for column, field in fields.items()},
                "removed": removed,
                "vectors": source_of(vectors, path, skipped_rows(vectors)),
                "similarity": fitted.name,
            }
            name, resumed = _begun(path, wanted, connection, note)
            shape = {"collection": name, "n": len(rows), "d": array.shape[1], "finds_parts": False, "bytes": 0}
            entry = {**wanted, **shape, "changing": False, "index": {**wanted["index"], "searched_with": {}}}
            search = MilvusSearch(path, entry, connection)
            if not resumed:
                loading.create(connection, name, len(rows), array.shape[1], index_type, fields)
            entry["n"] = search.ntotal = loading.load(search, array, rows, columns, fields, progress, resumed)
            entry["finds_parts"] = loading.finds_parts(search)
            manifest = _measured(search, entry, queries, note)
            kept = kept_similarity(fitted, array, file, manifests.base(path), removed, {})
            manifest["similarity"] = kept and kept | keep_transform(fitted, manifests.base(path))
            written = manifests.write(path, manifest)
        _finish(path, old, written, note)
        return written


def add(
    vectors: Vectors,
    path: Path,
    columns: Columns,
    progress: Progress = lambda rows: None,
    note: Note = lambda said: None,
) -> dict:
    """Load the rows that Milvus lacks, and those whose columns have changed; return the new manifest.

    Rerun after an interruption, it goes on. Raises ValueError if the collection is of other vectors, OSError or ValueError
    if Milvus does not answer, BlockingIOError if another run is writing the manifest.
    """
    with hold_lock(path):
        index = open_milvus(path)
        check_matches(index, vectors, is_thorough=True)
        search, old = _finished(index), index.faiss.manifest
        built, fields, skipped = old["vectors"], manifests.fields(old), skipped_rows(vectors, index)
        retried = np.setdiff1d(np.array(built.get("skipped", []), np.int64), skipped)
        if lost := [column for column in stored(columns) if column not in fields]:
            note(f"filters by {', '.join(lost)} are not left to Milvus until a rebuild with --overwrite")
        changed = renewed(fields, {column: values[: built["n"]] for column, values in columns.items()}) != fields
        now = renewed(fields, columns)
        with transformed(vectors.stored, index.similarity, manifests.base(path), index.vectors, retried) as (
            array,
            file,
        ):
            every = rows_but(len(array), [*old["removed"], *skipped])
            new = every if changed else every[(every >= built["n"]) | np.isin(every, retried)]
            loading.load(search, array, new, columns, now, progress)
            manifest = {**old, "n": search.count(), "columns": {column: list(field) for column, field in now.items()}}
            manifest["vectors"] = source_of(vectors, path, skipped)
            return _rewrite(index, search, manifest, array, file, note)


def remove(vectors: Vectors, path: Path, rows: list[int], note: Note = lambda message: None) -> dict:
    """Remove rows permanently: neither `add` nor `build` brings them back; return the new manifest.

    No search shows them from the beginning of this. Rerun after an interruption, it goes on. Raises ValueError if no row
    would be left or the collection is of other vectors, and as `add` does.
    """
    with hold_lock(path):
        index = open_milvus(path)
        check_matches(index, vectors, is_thorough=True)
        search, old = _finished(index), index.faiss.manifest
        n, skipped = old["vectors"]["n"], old["vectors"].get("skipped", [])
        removed = sorted({*old["removed"], *rows})
        left = old["n"] - sum(row < n for row in {*removed} - {*old["removed"], *skipped})
        if left <= 0:
            raise ValueError(f"{path}: no image would be left; drop the collection instead")
        manifest = {**old, "removed": removed, "n": left}
        manifests.write(path, {**manifest, "changing": True})
        loading.delete(search, np.array(sorted(rows), np.int64))
        with transformed(vectors.stored[:n], index.similarity, manifests.base(path), index.vectors) as (array, file):
            return _rewrite(index, search, manifest, array, file, note)


def _measured(search: MilvusSearch, manifest: dict, queries: Queries, note: Note) -> dict:
    """Return a manifest with the search's parameters, which are chosen here, and with what it reaches."""
    index_type, c = manifest["index"]["type"], manifest["d"]
    parameters, depth, reached = tune(queries, search, index_type, note)
    taken = size(search.connection, index_type, manifest["n"], c)
    absent = sorted({*manifest["removed"], *manifest["vectors"].get("skipped", [])})
    absent = [row for row in absent if row < len(queries.array)]
    return {
        **manifest,
        "recipe": f"Milvus {index_type}",
        "parameters": {**manifest["index"]["built_with"], **parameters, "reranked": depth},
        "index": {**manifest["index"], "searched_with": parameters},
        "target": None,
        "bytes": taken,
        **measures(queries, search, {"reranked": depth}, absent, reached._replace(bytes=taken)),
    }


def _rewrite(
    index: Index,
    search: MilvusSearch,
    manifest: dict,
    array: np.ndarray,
    file: Path | None,
    note: Note,
) -> dict:
    """Measure a changed collection and write its manifest, which is returned."""
    absent = sorted({*manifest["removed"], *manifest["vectors"].get("skipped", [])})
    absent = [row for row in absent if row < len(array)]
    entry = {**manifest, "changing": False}
    base = manifests.base(index.path)
    entry["similarity"] = kept_similarity(index.similarity, array, file, base, absent, entry.get("similarity") or {})
    queries = Queries(array, absent, QUERIES, similarity=index.similarity)
    changed = MilvusSearch(index.path, entry, search.connection)
    written = manifests.write(
        index.path, {**_measured(changed, entry, queries, note), "built_recall": manifest["built_recall"]}
    )
    remove_others(base, written["similarity"])
    return written


def _finished(index: Index) -> MilvusSearch:
    """Return the search of a collection, after finishing a removal that was interrupted."""
    search: MilvusSearch = index.faiss
    if search.manifest["changing"]:
        loading.delete(search, np.array(search.manifest["removed"], np.int64))
    return search


def _in_place(path: Path) -> dict | None:
    """Return the manifest that is in place, if there is one."""
    with suppress(OSError, ValueError):
        return manifests.read(path)
    return None


def removed_rows(vectors: Vectors, path: Path) -> list[int]:
    """Return the rows that were removed from the collection of these vectors at `path`; none if there is none."""
    with suppress(OSError, ValueError):  # there is none, or it is damaged
        index = open_milvus(path)
        return index.removed if has_same_rows(index, vectors) else []
    return []


def _state(path: Path) -> Path:
    """Return where it is kept what a build has begun to load."""
    return path.with_name(f".{path.name}.loading")


def _begun(path: Path, wanted: dict, connection: Connection, note: Note) -> tuple[str, bool]:
    """Return the name of the collection to load, and whether a load of the same into it was begun before."""
    state, before = _state(path), None
    wanted = json.loads(json.dumps(wanted))
    with suppress(OSError, ValueError):  # none was begun, or it is not known of which
        content = read_json(state, STATE)
        before = None if mismatch(content, {"collection": str, "wanted": dict}) else content
    if before is not None and before["wanted"].get("uri") == wanted["uri"]:
        there = before["collection"]
        is_left = there.startswith(f"{_stem(path)}_") and there != (_in_place(path) or {}).get("collection")
        if is_left and connection.call("has_collection", there):
            if before["wanted"] == wanted:
                note("the load that was interrupted goes on")
                return there, True
            connection.call("drop_collection", there)
    name = f"{_stem(path)}_{secrets.token_hex(4)}"
    write_json(state, {"format": STATE, "collection": name, "wanted": wanted})
    return name, False


def _finish(path: Path, old: dict | None, written: dict, note: Note) -> None:
    """Drop the collection that was replaced, and what is left of the build."""
    remove_others(manifests.base(path), written["similarity"])
    if old is not None and old["collection"] != written["collection"]:
        uri = manifests.opened_uri(old, path)
        try:
            Connection(uri, manifests.opened_ca(old, path)).call("drop_collection", old["collection"])
        except (OSError, ValueError) as error:
            note(f"the collection before, {old['collection']} at {uri}, was not dropped: {error}")
    _state(path).unlink(missing_ok=True)


def _stem(path: Path) -> str:
    """Return what the names of a collection in Milvus begin with."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", path.name.removesuffix(manifests.SUFFIX))[:200]
    return stem if stem[:1].isalpha() else f"c_{stem}"
