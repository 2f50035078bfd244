"""A collection seen as a whole: a map, clusters, the most isolated and the most typical, a spread."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from similar_images.collections.opened import Hit
from similar_images.collections.tables import TabularCollection
from similar_images.files import check_writeable, replacing
from similar_images.index.neighbours import EXACT, Neighbours, find_neighbours
from similar_images.index.similarity import COSINE
from similar_images.vectors.store import sample

if TYPE_CHECKING:
    from similar_images.overview.clusters import Clusters

NEIGHBOURS = 30  # of each row, from which the map and the rest are made
FORMAT = "1"  # of the kept files; another one makes them again
Progress = Callable[[int, int], object]


def _silent(done: int, n: int) -> None:
    pass


class OverviewedCollection(TabularCollection):
    """What a collection says of itself as a whole. The map and the clusters are kept in files beside the index."""

    _neighbours: tuple[str, Neighbours] | None = None  # with the digest of the vectors whose neighbours they are

    def neighbours(self, k: int = NEIGHBOURS, progress: Progress = _silent) -> Neighbours:
        """Return the k nearest rows of every row and their similarities, (n, k); row -1: none.

        A row is not its own neighbour; skipped and removed rows have no neighbours and are none. The index finds those
        of a large collection, re-ranked exactly; in a small one the search is exact. `progress` gets the number of rows
        that are done, and n. Raises ValueError if k is below 1, or if there are no vectors.
        """
        _check(k)
        digest, found = self._digest(), self._neighbours
        if found is None or found[0] != digest or found[1].rows.shape[1] < k:
            done = 0

            def report(rows: int) -> None:
                nonlocal done
                done += rows
                progress(done, len(self))

            large = self.index if self.index and len(self) > EXACT else None
            searched = large and large._replace(similarity=COSINE)  # of the vectors that are compared here
            found = digest, find_neighbours(self.compared, max(k, NEIGHBOURS), searched, self.removed, report)
            self._neighbours = found
        return Neighbours(found[1].rows[:, :k], found[1].similarities[:, :k])

    def map(self, seed: int = 0, progress: Progress = _silent) -> np.ndarray:
        """Return float32 coordinates (n, 2) from -1 to 1, near for what is alike; NaN for skipped and removed rows.

        They are made by t-SNE from the neighbours, or read if they were made before of the same vectors. The same seed
        gives the same bytes. `progress` gets how many steps are done, and of how many.
        Raises MissingExtra without the extra `map`, OSError if the file beside the index cannot be written.
        """
        if (kept := self.kept_map(seed)) is not None:
            return kept
        from similar_images.overview.layout import lay_out

        check_writeable(self.map_file(seed))
        n = len(self)
        neighbours = self.neighbours(progress=lambda done, _: progress(done, 2 * n))
        places = lay_out(neighbours, self.compared, seed, lambda share: progress(n + int(share * n), 2 * n))
        self._keep("map", places, seed)
        return places

    def kept_map(self, seed: int = 0) -> np.ndarray | None:
        """Return the map that was made before, float32 (n, 2); None if there is none of these vectors."""
        return self._kept("map", np.float32, seed)

    def map_file(self, seed: int = 0) -> Path:
        """Return where the map is kept: beside the index, or beside the vectors if there is none."""
        return self._file("map", seed)

    def clusters(self, progress: Progress = _silent) -> "Clusters":
        """Return the clusters, the largest first: Leiden's communities of the graph of neighbours.

        `clusters().labels` is int32 (n,), -1 for rows in no cluster. A cluster has its `rows`, the most typical first,
        its `size`, and the `name` of its most typical image. Made or read as the map is; so are `progress` and errors.
        """
        if (kept := self.kept_clusters()) is not None:
            return kept
        from similar_images.overview.clusters import Clusters, find_clusters

        check_writeable(self._file("clusters"))
        table = find_clusters(self.neighbours(progress=progress), self.compared)
        self._keep("clusters", table)
        return Clusters(table, self.names)

    def kept_clusters(self) -> "Clusters | None":
        """Return the clusters that were made before; None if there are none of these vectors."""
        from similar_images.overview.clusters import Clusters

        table = self._kept("clusters", np.int32)
        return None if table is None else Clusters(table, self.names)

    def outliers(self, k: int = 8, progress: Progress = _silent) -> list[Hit]:
        """Return the k most isolated rows, the most isolated first; `similarity` is the mean to the 8 nearest rows."""
        from similar_images.overview.representatives import isolation

        _check(k)
        similarities = isolation(self.neighbours(progress=progress))
        rows = np.argsort(similarities, kind="stable")[:k]  # NaN comes last
        return self._found_hits((row, similarities[row]) for row in rows if not np.isnan(similarities[row]))

    def typical(self, k: int = 8, progress: Progress = _silent) -> list[Hit]:
        """Return the k most typical rows: those that most others have among their 8 nearest, the most typical first.

        `similarity` is the mean to these others.
        """
        from similar_images.overview.representatives import popularity

        _check(k)
        sums, similarities = popularity(self.neighbours(progress=progress))
        return self._found_hits(
            (row, similarities[row]) for row in np.argsort(-sums, kind="stable")[:k] if sums[row] > 0
        )

    def spread(self, k: int = 8) -> list[Hit]:
        """Return k rows that cover the collection: each stands for those that are more similar to it than to the others.

        The one that stands for most comes first; `similarity` is the mean to those that it stands for.
        """
        from similar_images.overview.representatives import covering

        _check(k)
        return self._found_hits(zip(*covering(self.compared, k, self.removed), strict=True))

    def _layers(self) -> dict[str, np.ndarray]:
        places, clusters = self.kept_map(), self.kept_clusters()
        layers = {} if places is None else {"x": places[:, 0], "y": places[:, 1]}
        return layers if clusters is None else {**layers, "cluster": clusters.labels}

    def _found_hits(self, found: Iterable[tuple]) -> list[Hit]:
        pairs = list(found)
        rows, similarities = (np.array([pair[i] for pair in pairs], dtype) for i, dtype in ((0, np.int64), (1, float)))
        return self._hits(similarities, rows, (), len(pairs))

    def _digest(self, seed: int = 0) -> str:
        """Return a SHA-256 of the vectors that are compared, of the rows that are left out, and of the seed."""
        whole = self.vectors.manifest and self.vectors.manifest["sha256"]
        parts = [FORMAT, seed, len(self), whole or sample(self.compared), self.similarity.name, self.removed]
        digest = hashlib.sha256(" ".join(map(str, parts)).encode())
        for part in (self.similarity.offset, self.similarity.matrix):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()

    def _file(self, what: str, seed: int = 0) -> Path:
        beside = self.index.path if self.index else self.vectors.path.with_suffix("")
        return beside.with_name(f"{beside.name}.{what}.{self.similarity.name}.{self._digest(seed)[:8]}.npy")

    def _kept(self, what: str, dtype: type, seed: int = 0) -> np.ndarray | None:
        """Return the array (n, 2) of a file; None if it is missing or damaged."""
        with suppress(OSError, ValueError, EOFError):
            array = np.load(self._file(what, seed), allow_pickle=False)
            return array if array.shape == (len(self), 2) and array.dtype == dtype else None
        return None

    def _keep(self, what: str, array: np.ndarray, seed: int = 0) -> None:
        """Write an array (n, 2) and remove what was kept of other vectors, with the same index and similarity."""
        path = self._file(what, seed)
        with replacing(path) as partial:
            np.save(partial, array)
        pattern = f"{escape(path.name.removesuffix(path.suffixes[-2] + '.npy'))}.{'[0-9a-f]' * 8}.npy"
        for other in path.parent.glob(pattern):
            if other != path:
                with suppress(OSError):  # Windows: a reader has it open
                    other.unlink()


def _check(k: int) -> None:
    if k < 1:
        raise ValueError(f"expected k of at least 1, got {k}")
