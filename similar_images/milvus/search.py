"""Search in a Milvus collection by the inner product of unit vectors. Its ids are rows.

Searches use the consistency level "Bounded": they may miss changes of the last seconds. "Strong" took 200 ms instead of
2 ms on a server of 2023 (benchmarks/milvus.py). So writers wait until their change is visible before the manifest names
it, and a search drops the removed rows of the manifest from every result.

Shape letters: n rows in all, m of them searched, b queries, c numbers in a transformed vector, k hits.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from similar_images.index.backend import ColumnCondition
from similar_images.index.exact import unit_rows
from similar_images.index.index import Index
from similar_images.index.similarity import COSINE, open_transform, open_transformed
from similar_images.milvus.connection import WRITE_SECONDS, CollectionGone, Connection, NotLoaded
from similar_images.milvus.expressions import MAX_LISTED_ROWS, match_conditions, match_rows
from similar_images.milvus.fields import ROW, VECTOR
from similar_images.milvus.index_types import TYPES, Parameters
from similar_images.milvus.manifest import REBUILD, MilvusManifest, file_prefix, read_manifest
from similar_images.vectors.store import Vectors

MAX_HITS = 16_384  # of one query in Milvus
MAX_CALL_HITS = 20_000  # of all queries of one call: each hit costs Milvus Lite 45 us
MAX_CALL_BYTES = 4 * 2**20  # of vectors in one call
CONSISTENCY = "Bounded"
SAMPLED_ROWS = 8  # compared with the vectors when a collection is opened
MIN_SIMILARITY = 0.99  # between a vector and its copy: float16 and the server's rounding change less


class MilvusSearch:
    """Search backend on Milvus; implements `index.backend.Searchable`."""

    def __init__(self, path: Path, manifest: MilvusManifest, connection: Connection | None = None):
        """`path` is the manifest's. The first search connects."""
        self.connection = connection or Connection(manifest.resolve_uri(path), manifest.resolve_ca(path))
        self._path = path
        self._column_matches: dict[str, tuple[np.ndarray, bool]] = {}
        self.use_manifest(manifest)

    def use_manifest(self, manifest: MilvusManifest) -> None:
        """Search the collection of a manifest, with its parameters."""
        self.manifest, self.name = manifest, manifest.collection
        self.d, self.ntotal = manifest.d, manifest.n
        self.parameters: Parameters = manifest.index.searched_with
        self._removed = np.array(sorted(manifest.removed), np.int64)

    @property
    def bytes(self) -> int:
        """Bytes on disk of Milvus Lite; of a server, the estimated memory of its index."""
        return self.manifest.bytes

    @property
    def lists(self) -> tuple[int, int]:
        """Number of probed and of all inverted lists; (0, 0) without lists."""
        nprobe = self.parameters.get("nprobe", 0)
        return nprobe, self.manifest.index.built_with.get("nlist", nprobe)

    @property
    def max_hits(self) -> int:
        return min(self.ntotal, MAX_HITS)

    def search(
        self, unit: np.ndarray, k: int, nprobe: int | None = None, where: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities (b, k) and rows (b, k) for unit vectors (b, c); row -1 means no hit.

        `nprobe` replaces the manifest's number of probed lists. The expression `where` limits the rows.
        Raises OSError or ValueError, in one line, if Milvus does not answer.
        """
        if min(k, self.ntotal) > MAX_HITS:
            raise ValueError(
                f"expected k of at most {MAX_HITS:,}, the most hits of a search in Milvus, got {k:,}: ask for fewer, or "
                "search exactly (--exact, exact=True), which needs the vectors"
            )
        limit = min(k, MAX_HITS)
        similarities = np.full((len(unit), k), -1, np.float32)
        rows = np.full((len(unit), k), -1, np.int64)
        step = max(1, min(MAX_CALL_HITS // limit, MAX_CALL_BYTES // (4 * unit.shape[1])))
        for start in range(0, len(unit), step):
            batch = list(np.ascontiguousarray(unit[start : start + step], np.float32))
            for i, hits in enumerate(self._search_batch(batch, limit, where, nprobe), start):
                count = len(hits.ids)
                rows[i, :count], similarities[i, :count] = hits.ids, hits.distances
        if len(self._removed):
            places = np.minimum(np.searchsorted(self._removed, rows), len(self._removed) - 1)
            rows[self._removed[places] == rows] = -1
        return similarities, rows

    def count(self, where: str = "", consistency: str = "Strong") -> int:
        """Return the number of rows in Milvus."""
        options: dict[str, Any] = {"filter": where, "output_fields": ["count(*)"], "consistency_level": consistency}
        return int(self.when_loaded(lambda: self.connection.call("query", self.name, **options))[0]["count(*)"])

    def vectors(self, rows: list[int]) -> Mapping[int, np.ndarray]:
        """Return the vectors (c,) of some rows in Milvus."""
        options: dict[str, Any] = {"ids": rows, "output_fields": [VECTOR], "consistency_level": CONSISTENCY}
        entities = self.when_loaded(lambda: self.connection.call("get", self.name, **options))
        return {int(entity[ROW]): np.array(entity[VECTOR], np.float32) for entity in entities}

    def when_loaded(self, work: Callable[[], Any]) -> Any:
        """Return the result of `work` on the collection, loading the collection first if necessary.

        If a rebuild has replaced the collection with one of the same vectors, this search switches to it.
        """
        for _ in range(3):
            try:
                return work()
            except NotLoaded:
                self.connection.call("load_collection", self.name, seconds=WRITE_SECONDS)
            except CollectionGone:
                if not self._switch_to_replacement():
                    break
        raise CollectionGone(
            f"{self._path}: its collection {self.name} is not in Milvus at {self.connection.uri}, or cannot be loaded: open "
            f"this again if it was rebuilt meanwhile, else {REBUILD} --overwrite"
        )

    def restrict(
        self,
        matching: np.ndarray,
        conditions: Sequence[ColumnCondition] | None = None,
        probe_all: bool = False,
    ) -> "MilvusPart | None":
        """Return a search of the rows where `matching`, bool (n,), is true: the rows that meet the conditions.

        None if Milvus cannot restrict itself to them. With `probe_all` it always can, since nothing else could.
        """
        where = None
        if conditions is not None:
            fields = {
                each.column: self.manifest.columns[each.column].field
                for each in conditions
                if self._has_values(each.column, each.values)
            }
            where = match_conditions(conditions, fields, self.manifest.finds_parts)
        rows = np.flatnonzero(matching)
        if where is None and (probe_all or len(rows) <= MAX_LISTED_ROWS):
            where = match_rows(rows)
        return None if where is None else MilvusPart(self, where, len(rows), probe_all)

    def _has_values(self, column: str, values: np.ndarray) -> bool:
        """Return whether Milvus stores the values (n,) of a column; the digest is computed once."""
        known = self._column_matches.get(column)
        if known is None or known[0] is not values:
            matches = column in self.manifest.columns and self.manifest.columns[column].has_values(values)
            known = self._column_matches[column] = values, matches
        return known[1]

    def _search_batch(self, batch: list[np.ndarray], limit: int, where: str, nprobe: int | None) -> Any:
        return self.when_loaded(
            lambda: self.connection.call(
                "search",
                self.name,
                data=batch,
                anns_field=VECTOR,
                limit=limit,
                filter=where,
                output_fields=[ROW],
                search_params={"metric_type": "IP", "params": self._search_parameters(limit, nprobe)},
                consistency_level=CONSISTENCY,
            )
        )

    def _search_parameters(self, limit: int, nprobe: int | None) -> Parameters:
        parameters = dict(self.parameters)
        if nprobe and "nprobe" in parameters:
            parameters["nprobe"] = nprobe
        return {name: value if name == "nprobe" else max(value, limit) for name, value in parameters.items()}

    def _switch_to_replacement(self) -> bool:
        """Use the manifest on disk if it names another collection of the same vectors."""
        try:
            manifest = read_manifest(self._path)
        except (OSError, ValueError):
            return False
        old = self.manifest
        same = manifest.vectors == old.vectors and manifest.similarity == old.similarity
        if manifest.collection == self.name or not same or (manifest.uri, manifest.d) != (old.uri, old.d):
            return False
        self.use_manifest(manifest)
        return True


class MilvusPart:
    """Search restricted to some rows of a collection; implements `index.backend.Searchable`."""

    def __init__(self, search: MilvusSearch, where: str, m: int, probe_all: bool):
        self._search, self.where, self._probe_all = search, where, probe_all
        self.d, self.ntotal = search.d, m

    @property
    def bytes(self) -> int:
        """Bytes of the whole collection."""
        return self._search.bytes

    @property
    def lists(self) -> tuple[int, int]:
        """Number of probed and of all inverted lists, as `MilvusSearch.lists`."""
        nprobe, nlist = self._search.lists
        return (nlist if self._probe_all else nprobe), nlist

    @property
    def max_hits(self) -> int:
        return min(self.ntotal, MAX_HITS)

    def search(self, unit: np.ndarray, k: int, nprobe: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Search these rows as `MilvusSearch.search` does."""
        return self._search.search(unit, k, nprobe or self.lists[0], self.where)


def open_milvus(path: Path) -> Index:
    """Open the manifest of an index in Milvus. The first search connects.

    Raises FileNotFoundError or ValueError, with the remedy, if the manifest or the similarity's file is missing or
    damaged, and MissingExtra without the packages.
    """
    manifest, prefix = read_manifest(path), file_prefix(path)
    entry = manifest.similarity
    similarity = open_transform(prefix, entry, manifest.d) if entry else COSINE
    return Index(path, MilvusSearch(path, manifest), manifest, similarity, open_transformed(prefix, entry))


def check_content(index: Index, vectors: Vectors) -> None:
    """Ask Milvus for rows, and raise ValueError, with the remedy, if they differ from the manifest or the vectors."""
    search = cast(MilvusSearch, index.backend)
    n = search.manifest.vectors.n
    if (count := search.count(f"row < {n}", "Bounded")) < search.ntotal:
        raise ValueError(
            f"{index.path}: expected {search.ntotal:,} rows in {search.name} of Milvus at {search.connection.uri}, got "
            f"{count:,}: load them with similar-images build --milvus --overwrite"
        )
    if vectors.memmap is None:
        return
    absent = {*search.manifest.absent}
    spread = np.linspace(0, n - 1, 4 * SAMPLED_ROWS).astype(int)
    rows = np.array([row for row in dict.fromkeys(spread.tolist()) if row not in absent][:SAMPLED_ROWS], np.int64)
    known, unit = unit_rows(vectors.array[:n], rows)
    expected = index.similarity.transform(unit)
    found = search.vectors(known.tolist())
    for row, vector in zip(known.tolist(), expected, strict=True):
        if row not in found or found[row].shape != vector.shape or float(found[row] @ vector) < MIN_SIMILARITY:
            raise ValueError(
                f"{index.path}: {search.name} of Milvus at {search.connection.uri} has other vectors than "
                f"{vectors.path}: rebuild it with similar-images build --milvus --overwrite"
            )


def index_bytes(connection: Connection, index_type: str, n: int, c: int) -> int:
    """Return the value of `MilvusSearch.bytes` for vectors (n, c)."""
    if connection.is_embedded:
        # a database of Milvus Lite is a folder
        return sum(file.stat().st_size for file in Path(connection.uri).rglob("*") if file.is_file())
    return round(n * TYPES[index_type].vector_bytes(c))
