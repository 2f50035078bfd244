"""Rows into a collection in Milvus: create it, fill it in batches, wait until it is indexed and whole.

A batch is an upsert by row, so that a repeated one changes nothing. What an interrupted load has loaded is asked of Milvus.

Shape letters: n rows in all, b in a batch, c numbers in a transformed vector.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from similar_images.index.exact import unit_rows
from similar_images.milvus.connection import WRITE, Connection
from similar_images.milvus.fields import FOLDED, ROW, VECTOR, Field, entities, schema
from similar_images.milvus.index_types import IndexType
from similar_images.milvus.search import CONSISTENCY, MilvusSearch

BATCH = 5_000  # rows
BATCH_BYTES = 4 * 2**20  # of vectors
INDEXED = 3600.0  # seconds in which an index must make progress
PAUSE = 0.2  # seconds between two questions whether it is ready


def create(
    connection: Connection,
    name: str,
    n: int,
    c: int,
    index_type: IndexType,
    fields: Mapping[str, Field],
) -> None:
    """Create an empty collection of vectors of c numbers, with an index for n of them."""
    import pymilvus

    made = schema(c, fields)
    params = pymilvus.MilvusClient.prepare_index_params()
    params.add_index(VECTOR, index_type=index_type.name, metric_type="IP", params=index_type.built_with(n, c))
    connection.call("create_collection", name, schema=made, consistency_level=CONSISTENCY, seconds=WRITE)
    connection.call("create_index", name, params, seconds=WRITE)


def load(
    search: MilvusSearch,
    array: np.ndarray,
    rows: np.ndarray,
    columns: Mapping[str, np.ndarray],
    fields: Mapping[str, Field],
    progress: Callable[[int], None] = lambda rows: None,
    resumed: bool = False,
) -> int:
    """Upsert the rows (b,), rising, of transformed vectors (n, c) that have one; return their number.

    If `resumed`, a batch that is there already is not sent again.
    Raises OSError or ValueError if Milvus does not answer, or does not hold them all in the end.
    """
    expected = 0
    for some, unit in batches(array, rows):
        expected += len(some)
        if not (resumed and _count(search, some) >= len(some)):
            _upsert(search, some, unit, columns, fields)
        progress(len(some))
    settle(search)
    if (
        _count(search, rows, "Strong") < expected
    ):  # what was acknowledged is lost: a server without a disk that keeps it
        for some, unit in batches(array, rows):
            if _count(search, some, "Strong") < len(some):
                _upsert(search, some, unit, columns, fields)
        settle(search)
    if (found := _count(search, rows, "Strong")) < expected:
        raise ValueError(
            f"Milvus at {search.connection.uri} holds {found:,} of {expected:,} rows of {search.name} that it has "
            "acknowledged: check its storage, then rerun to resume"
        )
    return expected


def delete(search: MilvusSearch, rows: np.ndarray) -> None:
    """Delete rows (b,), and wait until no search finds them."""
    for start in range(0, len(rows), BATCH):
        ids = rows[start : start + BATCH].tolist()
        search.connection.call("delete", search.name, ids=ids, seconds=WRITE)
    search.count()


def settle(search: MilvusSearch) -> None:
    """Wait until all rows are on the server's disk, indexed and loaded. Raises TimeoutError if nothing goes on."""
    search.connection.call("flush", search.name, seconds=WRITE)
    left, since = None, time.monotonic()
    while True:
        state = search.connection.call("describe_index", search.name, VECTOR) or {}
        pending = int(state.get("pending_index_rows") or 0)  # its "state" is Finished from the beginning
        if not pending:
            break
        if pending != left:
            left, since = pending, time.monotonic()
        if time.monotonic() - since > INDEXED:
            raise TimeoutError(f"the index of {search.name} in Milvus makes no progress: {pending:,} rows are left")
        time.sleep(PAUSE)
    search.connection.call("load_collection", search.name, seconds=INDEXED)


def finds_parts(search: MilvusSearch) -> bool:
    """Return whether Milvus finds parts of texts; servers before 2.4 only find their beginnings."""
    try:
        options: dict[str, Any] = {"filter": f'{FOLDED} like "%a%"', "output_fields": [ROW], "limit": 1}
        search.loaded(lambda: search.connection.call("query", search.name, **options))
    except ValueError:
        return False
    return True


def batches(array: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (b,) that have a vector, and their unit vectors (b, c)."""
    step = max(1, min(BATCH, BATCH_BYTES // (4 * array.shape[1])))
    for start in range(0, len(rows), step):
        yield unit_rows(array, rows[start : start + step])


def _upsert(
    search: MilvusSearch,
    rows: np.ndarray,
    unit: np.ndarray,
    columns: Mapping[str, np.ndarray],
    fields: Mapping[str, Field],
) -> None:
    if len(rows):
        data = list(entities(rows, unit, columns, fields))
        search.connection.call("upsert", search.name, data, seconds=WRITE)


def _count(search: MilvusSearch, rows: np.ndarray, consistency: str = CONSISTENCY) -> int:
    """Return how many rows Milvus holds from the first to the last of these, at most as many as they are."""
    if not len(rows):
        return 0
    return search.count(f"{ROW} >= {rows[0]} and {ROW} <= {rows[-1]}", consistency)
