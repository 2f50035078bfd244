"""Overview of a collection: map, clusters, outliers, typical rows, spread."""

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from similar_images import forks
from similar_images.collection.columns import Arrays
from similar_images.collection.searcher import Hit, Searcher
from similar_images.collection.store import Store
from similar_images.events import Event, Progress, ignore
from similar_images.files import NoSpace, hold_lock, replace_file
from similar_images.index.exact import check_k
from similar_images.index.neighbours import MAX_EXACT_ROWS, Neighbours, find_neighbours
from similar_images.index.similarity import COSINE
from similar_images.inputs.names import names_digest
from similar_images.vectors.store import fingerprint, index_path, sample

if TYPE_CHECKING:
    from similar_images.overview.clusters import Clusters
    from similar_images.overview.layout import Layout

MAX_NEIGHBOURS = 30  # of each row, from which the map and the rest are made
MAP, CLUSTERS = "map", "clusters"  # names of kept results
FORMAT = "similar-images-overview 1"  # of the kept files; other formats are recomputed


class Overview:
    """Results about all rows of a store. The map and the clusters are kept in files beside the index."""

    def __init__(self, store: Store, searcher: Searcher):
        self._store, self._searcher = store, searcher
        self._locks = {what: forks.new_lock() for what in ("neighbours", MAP, CLUSTERS)}
        self._unkept: dict[Path, dict[str, Any]] = {}  # content of files that cannot be written
        self._neighbours: tuple[str, Neighbours] | None = None  # with the digest of their vectors

    def neighbours(self, k: int = MAX_NEIGHBOURS, progress: Progress = ignore) -> Neighbours:
        """Return the k nearest rows of every row and their similarities, (n, k); row -1: none."""
        check_k(k)
        self._store.check_any_vector(self._searcher.removed)
        k = min(k, max(len(self._store) - 1, MAX_NEIGHBOURS))
        with self._locks["neighbours"]:
            digest, found = self._digest(), self._neighbours
            if found is None or found[0] != digest or found[1].rows.shape[1] < k:
                found = self._neighbours = digest, self._find_neighbours(max(k, MAX_NEIGHBOURS), progress)
        return Neighbours(found[1].rows[:, :k], found[1].similarities[:, :k])

    def _find_neighbours(self, k: int, progress: Progress) -> Neighbours:
        searcher = self._searcher
        is_usable = len(self._store) > MAX_EXACT_ROWS and not searcher.outdated
        large = searcher.index if searcher.index and is_usable else None
        index = large and large._replace(similarity=COSINE)  # `compared` is already transformed
        return find_neighbours(searcher.compared, k, index, searcher.removed, progress)

    def map(self, seed: int = 0, progress: Progress = ignore, fresh: bool = False) -> np.ndarray:
        """Return the kept map, float32 (n, 2), or compute it."""
        if not fresh and (kept := self.kept_map(seed)) is not None:
            return kept
        from similar_images.overview.layout import lay_out

        n = len(self._store)
        with self._alone(MAP):
            if not fresh and (kept := self.kept_map(seed)) is not None:  # another thread or process has made it
                return kept
            earlier = None if fresh else self._earlier_map(seed)
            neighbours = self.neighbours(progress=lambda event: progress(Event(MAP, event.done, 2 * n)))

            def report(event: Event) -> None:
                progress(Event(MAP, n + n * event.done // (event.total or 1), 2 * n))

            made = lay_out(neighbours, self._searcher.compared, seed, report, earlier)
            rows = self._rows_digest(made.places)
            removed = self._searcher.removed
            self._keep(MAP, self._map_digest(seed), **made._asdict(), seed=seed, rows=rows, removed=removed)
        return made.places

    def kept_map(self, seed: int = 0) -> np.ndarray | None:
        """Return the kept map, float32 (n, 2); None if there is none of these vectors and rows."""
        removed = self._searcher.removed
        kept = self._read_kept(MAP, self._map_digest(seed))
        if kept is None or not {*kept["removed"].tolist()} <= {*removed}:
            return None
        places: np.ndarray = kept["places"].copy()
        places[removed] = np.nan
        return places

    def map_file(self) -> Path:
        return self._file(MAP)

    def clusters(self, progress: Progress = ignore) -> "Clusters":
        """Return the kept clusters, or compute them."""
        if (kept := self.kept_clusters()) is not None:
            return kept
        from similar_images.overview.clusters import Clusters, find_clusters

        with self._alone(CLUSTERS):
            if (kept := self.kept_clusters()) is not None:
                return kept
            table = find_clusters(self.neighbours(progress=progress), self._searcher.compared)
            self._keep(CLUSTERS, self._digest(), table=table)
        return Clusters(table, self._store.names)

    def kept_clusters(self) -> "Clusters | None":
        """Return the kept clusters; None if there are none of these vectors and rows."""
        from similar_images.overview.clusters import Clusters

        kept = self._read_kept(CLUSTERS, self._digest())
        return None if kept is None else Clusters(kept["table"], self._store.names)

    def columns(self) -> Arrays:
        """Return the kept coordinates and clusters as columns (n,)."""
        places, clusters = self.kept_map(), self.kept_clusters()
        columns = {} if places is None else {"x": places[:, 0], "y": places[:, 1]}
        return columns if clusters is None else {**columns, "cluster": clusters.labels}

    def outliers(self, k: int = 8, progress: Progress = ignore) -> list[Hit]:
        from similar_images.overview.representatives import isolation

        check_k(k)
        similarities = isolation(self.neighbours(progress=progress))
        rows = np.argsort(similarities, kind="stable")[:k]  # NaN comes last
        rows = rows[~np.isnan(similarities[rows])]
        return self._searcher.describe(similarities[rows], rows)

    def typical(self, k: int = 8, progress: Progress = ignore) -> list[Hit]:
        from similar_images.overview.representatives import popularity

        check_k(k)
        sums, similarities = popularity(self.neighbours(progress=progress))
        rows = np.argsort(-sums, kind="stable")[:k]
        rows = rows[sums[rows] > 0]
        return self._searcher.describe(similarities[rows], rows)

    def spread(self, k: int = 8) -> list[Hit]:
        from similar_images.overview.representatives import covering

        check_k(k)
        removed = self._searcher.removed
        self._store.check_any_vector(removed)
        rows, similarities = covering(self._searcher.compared, k, removed)
        return self._searcher.describe(similarities, rows)

    def _map_digest(self, seed: int) -> str:
        return self._digest(seed, ())  # a removal does not change the map

    def _digest(self, seed: int = 0, removed: Iterable[int] | None = None) -> str:
        """Return a SHA-256 of the compared vectors, the removed rows and the seed."""
        store, similarity = self._store, self._searcher.similarity
        whole = store.vectors.manifest and store.vectors.manifest.sha256
        left_out = list(self._searcher.removed if removed is None else removed)
        whole = whole or (sample(store.array) if store.has_vectors else None)
        parts = [seed, len(store), whole, similarity.name, left_out]
        digest = hashlib.sha256(" ".join(map(str, parts)).encode())
        for part in (similarity.offset, similarity.matrix):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()

    def _rows_digest(self, places: np.ndarray) -> str:
        """Return a digest of the rows with coordinates, and of the network's vectors of some of them."""
        n, without = len(places), np.flatnonzero(np.isnan(places[:, 0])).tolist()
        vectors = fingerprint(self._store.array[:n], without) if self._store.has_vectors else ""
        return names_digest([*self._store.names[:n], vectors])

    def _earlier_map(self, seed: int) -> "Layout | None":
        """Return the kept map of the first rows, (n, 2), NaN for new rows; None if there is none of this seed."""
        from similar_images.overview.layout import Layout

        kept = self._read_kept(MAP)
        if kept is None or kept["seed"] != seed or kept["rows"] != self._rows_digest(kept["places"]):
            return None
        places = np.full((len(self._store), 2), np.nan, np.float32)
        places[: len(kept["places"])] = kept["places"]
        return Layout(places, float(kept["scale"]))

    def _file(self, what: str) -> Path:
        """Return the path of a kept result; a similarity without an index has its own."""
        searcher = self._searcher
        beside = searcher.index.path if searcher.index else index_path(self._store.vectors.path)
        tried = f".{searcher.tried_similarity.name}" if searcher.tried_similarity else ""
        return beside.with_name(f"{beside.name}.{what}{tried}.npz")

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Hold the lock of a kept result: the next thread or process reads the result."""
        with self._locks[what], ExitStack() as stack:
            with suppress(OSError):  # in a read-only folder no process keeps results
                stack.enter_context(hold_lock(self._file(what), wait=True))
            yield

    def _read_kept(self, what: str, digest: str | None = None) -> dict[str, Any] | None:
        """Return a kept result; None if its digest differs, or if it is missing or damaged."""
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
            warnings.warn(f"{what} made but not kept: {reason}", stacklevel=4)


def _read(path: Path) -> dict[str, Any] | None:
    """Return the arrays of a kept file; None if it is missing, damaged or in another format."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return dict(kept) if str(kept["format"]) == FORMAT else None
    except Exception:  # a damaged zip or array raises many kinds; the result is recomputed
        return None
