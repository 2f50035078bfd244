"""A collection seen as a whole: a map, clusters, the most isolated and the most typical, a spread."""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from similar_images import forks
from similar_images.collection.opened import Hit
from similar_images.collection.tables import TabularCollection
from similar_images.files import NoSpace, hold_lock, replace_file
from similar_images.index.index import Index
from similar_images.index.neighbours import MAX_EXACT_ROWS, Neighbours, check_k, find_neighbours
from similar_images.index.similarity import COSINE
from similar_images.inputs.names import names_digest
from similar_images.vectors.store import Vectors, fingerprint, index_path, sample

if TYPE_CHECKING:
    from similar_images.overview.clusters import Clusters
    from similar_images.overview.layout import Layout

NEIGHBOURS = 30  # of each row, from which the map and the rest are made
MAP, CLUSTERS = "map", "clusters"  # what is kept
FORMAT = "similar-images-overview 1"  # of the kept files; another one makes them again
Progress = Callable[[int, int], object]


def _silent(done: int, n: int) -> None:
    pass


class OverviewedCollection(TabularCollection):
    """What a collection says of itself as a whole. The map and the clusters are kept in files beside the index."""

    _neighbours: tuple[str, Neighbours] | None = None  # with the digest of the vectors whose neighbours they are

    def __init__(self, vectors: Vectors, index: Index | None = None):
        """Raises ValueError where there are no names, or where the index was not built from these vectors."""
        super().__init__(vectors, index)
        self._locks = {what: forks.new_lock() for what in ("neighbours", MAP, CLUSTERS)}
        self._unkept: dict[Path, dict[str, Any]] = {}  # the content of files that cannot be written

    def neighbours(self, k: int = NEIGHBOURS, progress: Progress = _silent) -> Neighbours:
        """Return the k nearest rows of every row and their similarities, (n, k); row -1: none.

        No more than n - 1 neighbours exist: a larger k than that, and than NEIGHBOURS, gives fewer columns.
        A row is not its own neighbour; skipped and removed rows have no neighbours and are none. The index finds those
        of a large collection, re-ranked exactly; in a small one the search is exact. `progress` gets the number of rows
        that are done, and n. Raises ValueError if k is below 1, or if there are no vectors.
        """
        check_k(k)
        self._check_any_vector()
        k = min(k, max(len(self) - 1, NEIGHBOURS))
        with self._locks["neighbours"]:
            digest, found = self._digest(), self._neighbours
            if found is None or found[0] != digest or found[1].rows.shape[1] < k:
                found = self._neighbours = digest, self._found_neighbours(max(k, NEIGHBOURS), progress)
        return Neighbours(found[1].rows[:, :k], found[1].similarities[:, :k])

    def _found_neighbours(self, k: int, progress: Progress) -> Neighbours:
        done = 0

        def report(rows: int) -> None:
            nonlocal done
            done += rows
            progress(done, len(self))

        large = self.index if self.index and len(self) > MAX_EXACT_ROWS else None
        searched = large and large._replace(similarity=COSINE)  # of the vectors that are compared here
        return find_neighbours(self.compared, k, searched, self.removed, report)

    def map(self, seed: int = 0, progress: Progress = _silent, fresh: bool = False) -> np.ndarray:
        """Return float32 coordinates (n, 2) from -1 to 1, near for what is alike; NaN for skipped and removed rows.

        They are made by t-SNE from the neighbours and kept beside the index. When rows were removed, the others stay
        where they are; when rows were added, or the similarity is another one, the map starts from the kept places and
        most rows stay near; when half of the rows or more are new, or with `fresh`, all get new places. The same seed
        and history give the same bytes. `progress` gets how many steps are done, and of how many.
        Where the file cannot be written, the map is made, with a warning. Raises MissingExtra without the extra `map`.
        """
        if not fresh and (kept := self.kept_map(seed)) is not None:
            return kept
        from similar_images.overview.layout import lay_out

        with self._alone(MAP):
            if not fresh and (kept := self.kept_map(seed)) is not None:  # another thread or process has made it
                return kept
            n, earlier = len(self), None if fresh else self._earlier(seed)
            neighbours = self.neighbours(progress=lambda done, _: progress(done, 2 * n))
            made = lay_out(neighbours, self.compared, seed, lambda share: progress(n + int(share * n), 2 * n), earlier)
            rows = self._rows_digest(made.places)
            self._keep(MAP, self._map_digest(seed), **made._asdict(), seed=seed, rows=rows, removed=self.removed)
        return made.places

    def kept_map(self, seed: int = 0) -> np.ndarray | None:
        """Return the map that was made before, float32 (n, 2); None if there is none of these vectors and rows."""
        kept = self._kept(MAP, self._map_digest(seed))
        if kept is None or not {*kept["removed"].tolist()} <= {*self.removed}:
            return None
        places = kept["places"].copy()
        places[self.removed] = np.nan
        return places

    def map_file(self) -> Path:
        """Return where the map is kept: beside the index, or where the index would be."""
        return self._file(MAP)

    def clusters(self, progress: Progress = _silent) -> "Clusters":
        """Return the clusters, the largest first: Louvain's communities of the graph of neighbours.

        `clusters().labels` is int32 (n,), -1 for rows in no cluster. A cluster has its `rows`, the most typical first,
        its `size`, and the `name` of its most typical image. Made again when rows were added or removed, or else read;
        `progress`, warning and errors are as of the map.
        """
        if (kept := self.kept_clusters()) is not None:
            return kept
        from similar_images.overview.clusters import Clusters, find_clusters

        with self._alone(CLUSTERS):
            if (kept := self.kept_clusters()) is not None:
                return kept
            table = find_clusters(self.neighbours(progress=progress), self.compared)
            self._keep(CLUSTERS, self._digest(), table=table)
        return Clusters(table, self.names)

    def kept_clusters(self) -> "Clusters | None":
        """Return the clusters that were made before; None if there are none of these vectors and rows."""
        from similar_images.overview.clusters import Clusters

        kept = self._kept(CLUSTERS, self._digest())
        return None if kept is None else Clusters(kept["table"], self.names)

    def outliers(self, k: int = 8, progress: Progress = _silent) -> list[Hit]:
        """Return the k most isolated rows, the most isolated first; `similarity` is the mean to the 8 nearest rows."""
        from similar_images.overview.representatives import isolation

        check_k(k)
        similarities = isolation(self.neighbours(progress=progress))
        rows = np.argsort(similarities, kind="stable")[:k]  # NaN comes last
        return self._found_hits((row, similarities[row]) for row in rows if not np.isnan(similarities[row]))

    def typical(self, k: int = 8, progress: Progress = _silent) -> list[Hit]:
        """Return the k most typical rows: those that most others have among their 8 nearest, the most typical first.

        `similarity` is the mean to these others.
        """
        from similar_images.overview.representatives import popularity

        check_k(k)
        sums, similarities = popularity(self.neighbours(progress=progress))
        return self._found_hits(
            (row, similarities[row]) for row in np.argsort(-sums, kind="stable")[:k] if sums[row] > 0
        )

    def spread(self, k: int = 8) -> list[Hit]:
        """Return k rows that cover the collection: each stands for those that are more similar to it than to the others.

        The one that stands for most comes first; `similarity` is the mean to those that it stands for.
        """
        from similar_images.overview.representatives import covering

        check_k(k)
        self._check_any_vector()
        return self._found_hits(zip(*covering(self.compared, k, self.removed), strict=True))

    def _layers(self) -> dict[str, np.ndarray]:
        places, clusters = self.kept_map(), self.kept_clusters()
        layers = {} if places is None else {"x": places[:, 0], "y": places[:, 1]}
        return layers if clusters is None else {**layers, "cluster": clusters.labels}

    def _found_hits(self, found: Iterable[tuple]) -> list[Hit]:
        pairs = list(found)
        rows, similarities = (np.array([pair[i] for pair in pairs], dtype) for i, dtype in ((0, np.int64), (1, float)))
        return self._hits(similarities, rows, (), len(pairs))

    def _map_digest(self, seed: int) -> str:
        return self._digest(seed, ())  # without removed rows it stays the same map

    def _digest(self, seed: int = 0, removed: Iterable[int] | None = None) -> str:
        """Return a SHA-256 of the vectors that are compared, of the rows that are left out, and of the seed."""
        whole = self.vectors.manifest and self.vectors.manifest.sha256
        left_out = list(self.removed if removed is None else removed)
        whole = whole or (sample(self.array) if self.has_vectors else None)
        parts = [seed, len(self), whole, self.similarity.name, left_out]
        digest = hashlib.sha256(" ".join(map(str, parts)).encode())
        for part in (self.similarity.offset, self.similarity.matrix):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()

    def _rows_digest(self, places: np.ndarray) -> str:
        """Return a digest of the first rows, as many as there are places, and of the network's vectors of some of them."""
        n, without = len(places), np.flatnonzero(np.isnan(places[:, 0])).tolist()
        vectors = fingerprint(self.array[:n], without) if self.has_vectors else ""
        return names_digest([*self.names[:n], vectors])

    def _earlier(self, seed: int) -> "Layout | None":
        """Return the kept map of the first rows, (n, 2), NaN for the others; None if there is none of the same seed."""
        from similar_images.overview.layout import Layout

        kept = self._kept(MAP)
        if kept is None or kept["seed"] != seed or kept["rows"] != self._rows_digest(kept["places"]):
            return None
        places = np.full((len(self), 2), np.nan, np.float32)
        places[: len(kept["places"])] = kept["places"]
        return Layout(places, float(kept["scale"]))

    def _file(self, what: str) -> Path:
        """Return where something is kept; a similarity that is tried without an index has a file of its own."""
        beside = self.index.path if self.index else index_path(self.vectors.path)
        tried = f".{self._similarity.name}" if self._similarity else ""
        return beside.with_name(f"{beside.name}.{what}{tried}.npz")

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Let one thread and one process at a time make what is kept: the next one reads it."""
        with self._locks[what], ExitStack() as stack:
            with suppress(OSError):  # in a folder that cannot be written to, no other process keeps anything
                stack.enter_context(hold_lock(self._file(what), wait=True))
            yield

    def _kept(self, what: str, digest: str | None = None) -> dict[str, Any] | None:
        """Return the content of a file, which must have a digest; None if it has another, is missing or damaged."""
        path = self._file(what)
        for content in (self._unkept.get(path), _read(path)):
            if content is not None and digest in (None, str(content["digest"])):
                return content
        return None

    def _keep(self, what: str, digest: str, **content: object) -> None:
        path = self._file(what)
        arrays: dict[str, Any] = {
            name: np.asarray(value) for name, value in (content | {"digest": digest, "format": FORMAT}).items()
        }
        try:
            with replace_file(path) as partial:
                np.savez(partial, **arrays)
            self._unkept.pop(path, None)
        except OSError as error:
            self._unkept[path] = arrays
            reason = error if isinstance(error, NoSpace) else f"cannot write {path}: {error.strerror}"
            warnings.warn(f"{what} made but not kept: {reason}", stacklevel=3)


def _read(path: Path) -> dict[str, Any] | None:
    """Return the arrays of a kept file; None if it is missing, damaged or of another format."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return dict(kept) if str(kept["format"]) == FORMAT else None
    except Exception:  # damaged, in any of the ways in which a zip or an array can be: it is made again
        return None
