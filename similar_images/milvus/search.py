"""The collection in Milvus that stands where a Faiss index stands: searched by the inner product of unit vectors.

Its ids are rows. A search sees the server's state of at most some seconds ago ("Bounded"): seeing the very last ("Strong") took 100
times as long, 200 and not 2 ms on the server of 2023 (benchmarks/milvus.py). Whoever writes waits until the change is seen, before the
manifest names it; and rows that the manifest says are removed are never given out, whatever a server still finds.

Shape letters: n rows in all, m of them searched, b queries, c numbers in a transformed vector, k hits.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from similar_images.milvus import lite
from similar_images.milvus import manifest as manifests
from similar_images.milvus.connection import WRITE, CollectionGone, Connection, NotLoaded
from similar_images.milvus.expressions import FEW_ROWS, expression, of_rows
from similar_images.milvus.fields import ROW, VECTOR
from similar_images.milvus.index_types import TYPES

MOST_HITS = 16_384  # of one query in Milvus
FOUND = 20_000  # hits of all queries of one call: each costs Milvus Lite 45 us
SENT = 4 * 2**20  # bytes of vectors in one call
CONSISTENCY = "Bounded"


class MilvusSearch:
    """What is asked of an index, answered by Milvus; as `index.engine.Engine`."""

    metric_type = faiss.METRIC_INNER_PRODUCT

    def __init__(self, path: Path, manifest: dict, connection: Connection | None = None):
        """`path` is that of the manifest. Nothing is connected to yet."""
        uri, ca = manifests.opened_uri(manifest, path), manifests.opened_ca(manifest, path)
        self.connection = connection or Connection(uri, ca)
        self._path = path
        self._compared: dict[str, tuple[np.ndarray, bool]] = {}
        self._take(manifest)

    def _take(self, manifest: dict) -> None:
        self.manifest = manifest
        self.name: str = manifest["collection"]
        self.d, self.ntotal = manifest["d"], manifest["n"]
        self.parameters: dict[str, int] = dict(manifest["index"]["searched_with"])
        self._fields = manifests.fields(manifest)
        self._removed = np.array(sorted(manifest["removed"]), np.int64)

    @property
    def bytes(self) -> int:
        """What Milvus Lite takes on disk; of a server what its index takes in memory, by the type of the index."""
        return self.manifest["bytes"]

    @property
    def lists(self) -> tuple[int, int]:
        """How many inverted lists a search probes, and how many there are; (0, 0): it has none."""
        nprobe = self.parameters.get("nprobe", 0)
        return nprobe, self.manifest["index"]["built_with"].get("nlist", nprobe)

    @property
    def most_hits(self) -> int:
        return min(self.ntotal, MOST_HITS)

    def search(
        self, unit: np.ndarray, k: int, nprobe: int | None = None, where: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities (b, k) and rows (b, k) of unit vectors (b, c), row -1: no hit.

        `nprobe` lists are probed, if there are lists, by default as many as the manifest says. Only rows that the
        expression `where` holds for are searched. Raises OSError or ValueError, in one line, where Milvus does not answer.
        """
        if min(k, self.ntotal) > MOST_HITS:
            raise ValueError(
                f"expected k of at most {MOST_HITS:,}, the most hits of a search in Milvus, got {k:,}: ask for fewer, or "
                "search exactly (--exact, exact=True), which needs the vectors"
            )
        limit = min(k, MOST_HITS)
        similarities = np.full((len(unit), k), -1, np.float32)
        rows = np.full((len(unit), k), -1, np.int64)
        step = max(1, min(FOUND // limit, SENT // (4 * unit.shape[1])))
        for start in range(0, len(unit), step):
            some = list(np.ascontiguousarray(unit[start : start + step], np.float32))
            for i, hits in enumerate(self._asked(some, limit, where, nprobe), start):
                count = len(hits.ids)
                rows[i, :count], similarities[i, :count] = hits.ids, hits.distances
        if len(self._removed):
            places = np.minimum(np.searchsorted(self._removed, rows), len(self._removed) - 1)
            rows[self._removed[places] == rows] = -1
        return similarities, rows

    def count(self, where: str = "", consistency: str = "Strong") -> int:
        """Return how many rows Milvus holds."""
        options: dict[str, Any] = {"filter": where, "output_fields": ["count(*)"], "consistency_level": consistency}
        return int(self.loaded(lambda: self.connection.call("query", self.name, **options))[0]["count(*)"])

    def vectors(self, rows: list[int]) -> dict[int, np.ndarray]:
        """Return the vectors (c,) that Milvus holds of some rows."""
        options: dict[str, Any] = {"ids": rows, "output_fields": [VECTOR], "consistency_level": CONSISTENCY}
        found = self.loaded(lambda: self.connection.call("get", self.name, **options))
        return {int(one[ROW]): np.array(one[VECTOR], np.float32) for one in found}

    def loaded(self, work: Callable[[], Any]) -> Any:
        """Return what work on the collection returns; it is loaded first if it is not yet.

        A collection that was replaced meanwhile by one of the same vectors is the one to work on from then on.
        """
        for _ in range(3):
            try:
                return work()
            except NotLoaded:
                self.connection.call("load_collection", self.name, seconds=WRITE)
            except CollectionGone:
                if not self._replaced():
                    break
        raise CollectionGone(
            f"{self._path}: its collection {self.name} is not in Milvus at {self.connection.uri}, or cannot be loaded: open "
            f"this again if it was rebuilt meanwhile, else {manifests.REBUILD} --overwrite"
        )

    def only(
        self, matching: np.ndarray, conditions: Mapping[str, tuple[np.ndarray, tuple]] | None, everywhere: bool
    ) -> "MilvusPart | None":
        """Return the search of the rows where `matching`, bool (n,), is true: those that the conditions hold for.

        None if Milvus cannot search just these; not with `everywhere`, since then nothing else can.
        """
        where = None
        if conditions is not None:
            held = {
                column: self._fields[column].field
                for column in conditions
                if self._holds(column, conditions[column][0])
            }
            where = expression(conditions, held, self.manifest["finds_parts"])
        rows = np.flatnonzero(matching)
        if where is None and (everywhere or len(rows) <= FEW_ROWS):
            where = of_rows(rows)
        return None if where is None else MilvusPart(self, where, len(rows), everywhere)

    def _holds(self, column: str, values: np.ndarray) -> bool:
        """Return whether Milvus holds the values (n,) of a column; they are compared once."""
        known = self._compared.get(column)
        if known is None or known[0] is not values:
            holds = column in self._fields and self._fields[column].holds(values)
            known = self._compared[column] = values, holds
        return known[1]

    def _asked(self, some: list[np.ndarray], limit: int, where: str, nprobe: int | None) -> Any:
        return self.loaded(
            lambda: self.connection.call(
                "search",
                self.name,
                data=some,
                anns_field=VECTOR,
                limit=limit,
                filter=where,
                output_fields=[ROW],
                search_params={"metric_type": "IP", "params": self._parameters(limit, nprobe)},
                consistency_level=CONSISTENCY,
            )
        )

    def _parameters(self, limit: int, nprobe: int | None) -> dict[str, int]:
        parameters = dict(self.parameters)
        if nprobe and "nprobe" in parameters:
            parameters["nprobe"] = nprobe
        return {name: value if name == "nprobe" else max(value, limit) for name, value in parameters.items()}

    def _replaced(self) -> bool:
        """Take the manifest that is in place now, if it is of another collection with the same vectors."""
        try:
            manifest = manifests.read(self._path)
        except (OSError, ValueError):
            return False
        same = ("vectors", "similarity", "uri", "d")
        if manifest["collection"] == self.name or any(manifest[key] != self.manifest[key] for key in same):
            return False
        self._take(manifest)
        return True


class MilvusPart:
    """Some of the rows of a collection in Milvus; as `index.engine.Engine`."""

    metric_type = faiss.METRIC_INNER_PRODUCT

    def __init__(self, whole: MilvusSearch, where: str, m: int, everywhere: bool):
        self._whole, self.where, self._everywhere = whole, where, everywhere
        self.d, self.ntotal = whole.d, m

    @property
    def bytes(self) -> int:
        """What the whole takes."""
        return self._whole.bytes

    @property
    def lists(self) -> tuple[int, int]:
        """The same as MilvusSearch.lists."""
        nprobe, nlist = self._whole.lists
        return (nlist if self._everywhere else nprobe), nlist

    @property
    def most_hits(self) -> int:
        return min(self.ntotal, MOST_HITS)

    def search(self, unit: np.ndarray, k: int, nprobe: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the same as MilvusSearch.search, of these rows."""
        return self._whole.search(unit, k, nprobe or self.lists[0], self.where)


def size(connection: Connection, index_type: str, n: int, c: int) -> int:
    """Return what `MilvusSearch.bytes` says of n vectors (n, c)."""
    if connection.is_embedded:
        return lite.size(Path(connection.uri))
    return round(n * TYPES[index_type].bytes(c))
