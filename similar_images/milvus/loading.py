"""Rows in a Milvus collection: create it, upsert batches, delete, wait until everything is indexed.

A batch is an upsert by row, so repeating it changes nothing. A resumed load asks Milvus which rows it has.

Shape letters: n rows in all, b in a batch, c numbers in a transformed vector.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from similar_images.events import Event, Progress, ignore
from similar_images.index.exact import unit_rows
from similar_images.milvus.connection import WRITE_SECONDS, Connection
from similar_images.milvus.fields import FOLDED_NAME, ROW, VECTOR, iter_entities, make_schema
from similar_images.milvus.manifest import MilvusManifest
from similar_images.milvus.search import CONSISTENCY, MilvusSearch

BATCH = 5_000  # rows
BATCH_BYTES = 4 * 2**20  # of vectors
INDEX_SECONDS = 3600.0  # without progress of the index
POLL_SECONDS = 0.2


def create_collection(connection: Connection, manifest: MilvusManifest) -> None:
    """Create the empty collection of a manifest, with its index."""
    import pymilvus

    name, index = manifest.collection, manifest.index
    schema = make_schema(manifest.d, manifest.columns)
    params = pymilvus.MilvusClient.prepare_index_params()
    params.add_index(VECTOR, index_type=index.type, metric_type="IP", params=index.built_with)
    connection.call("create_collection", name, schema=schema, consistency_level=CONSISTENCY, seconds=WRITE_SECONDS)
    connection.call("create_index", name, params, seconds=WRITE_SECONDS)


def load_rows(
    search: MilvusSearch,
    array: np.ndarray,
    rows: np.ndarray,
    columns: Mapping[str, np.ndarray],
    progress: Progress = ignore,
    resumes: bool = False,
) -> int:
    """Upsert `rows` (b,), in rising order, of transformed vectors (n, c); return the number of rows with a vector.

    If `resumes`, batches that Milvus has are not sent again. Raises OSError or ValueError if Milvus does not answer, or
    has lost rows at the end.
    """
    step = max(1, min(BATCH, BATCH_BYTES // (4 * array.shape[1])))

    def send(consistency: str | None) -> int:
        """Upsert all batches, with a consistency level only the missing batches; return the number of rows."""
        done = 0
        for start in range(0, len(rows), step):
            batch, unit = unit_rows(array, rows[start : start + step])
            if consistency is None or _count(search, batch, consistency) < len(batch):
                _upsert(search, batch, unit, columns)
            done += len(batch)
            progress(Event("vectors", done, len(rows)))
        wait_until_indexed(search)
        return done

    expected = send(CONSISTENCY if resumes else None)
    if _count(search, rows, "Strong") < expected:  # a server without durable storage lost acknowledged rows
        send("Strong")
    if (found := _count(search, rows, "Strong")) < expected:
        raise ValueError(
            f"Milvus at {search.connection.uri} has {found:,} of {expected:,} rows of {search.name} that it "
            "acknowledged: check its storage, then rerun to resume"
        )
    return expected


def delete_rows(search: MilvusSearch, rows: np.ndarray) -> None:
    """Delete rows (b,), and wait until no search finds them."""
    for start in range(0, len(rows), BATCH):
        ids = rows[start : start + BATCH].tolist()
        search.connection.call("delete", search.name, ids=ids, seconds=WRITE_SECONDS)
    search.count()


def wait_until_indexed(search: MilvusSearch) -> None:
    """Wait until all rows are on the server's disk, indexed and loaded. Raises TimeoutError without progress."""
    search.connection.call("flush", search.name, seconds=WRITE_SECONDS)
    left, since = None, time.monotonic()
    while True:
        state = search.connection.call("describe_index", search.name, VECTOR) or {}
        pending = int(state.get("pending_index_rows") or 0)  # "state" is Finished even before the start
        if not pending:
            break
        if pending != left:
            left, since = pending, time.monotonic()
        if time.monotonic() - since > INDEX_SECONDS:
            raise TimeoutError(f"the index of {search.name} in Milvus makes no progress: {pending:,} rows are left")
        time.sleep(POLL_SECONDS)
    search.connection.call("load_collection", search.name, seconds=INDEX_SECONDS)


def finds_parts(search: MilvusSearch) -> bool:
    """Return whether Milvus searches inside texts; servers before 2.4 only match prefixes."""
    try:
        options: dict[str, Any] = {"filter": f'{FOLDED_NAME} like "%a%"', "output_fields": [ROW], "limit": 1}
        search.when_loaded(lambda: search.connection.call("query", search.name, **options))
    except ValueError:
        return False
    return True


def _upsert(search: MilvusSearch, rows: np.ndarray, unit: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    if len(rows):
        data = list(iter_entities(rows, unit, columns, search.manifest.columns))
        search.connection.call("upsert", search.name, data, seconds=WRITE_SECONDS)


def _count(search: MilvusSearch, rows: np.ndarray, consistency: str = CONSISTENCY) -> int:
    """Return the number of rows in Milvus from the first to the last of `rows`."""
    if not len(rows):
        return 0
    return search.count(f"{ROW} >= {rows[0]} and {ROW} <= {rows[-1]}", consistency)
