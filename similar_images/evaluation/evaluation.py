"""How good a search is: against exact search, labels and altered copies; time and bytes.

Shape letters: n vectors, q queries, k hits, d numbers in a vector.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np

from similar_images.collections.base import BaseCollection, Query
from similar_images.collections.images import Collection
from similar_images.collections.opening import open_collection
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.labels import Labels, Relevance, relevance, unlabelled
from similar_images.index import index as indexes
from similar_images.index.recipes import SEED
from similar_images.index.tune import PROBES, K
from similar_images.inputs.images import open_image
from similar_images.networks.catalog import NETWORKS
from similar_images.vectors.store import check_complete

RECALL_AT = (1, K, 100)
ALTERED = 50  # images, where there are no labels
TIMED_EXACT = 100  # queries; an exact search of a large collection takes its time
TIMED_PROBES = 200  # queries, at each number of lists

Track = Callable[[Iterable, str, int], Iterable]  # items, what is done, how many: tqdm, for one


class SearchConfig(NamedTuple):
    """A collection and how to search it: through its index or exactly, re-ranked or as the index ranks them."""

    collection: BaseCollection
    exact: bool = False
    reranked: bool = True  # by the exact vectors, where the index is a coarse one

    def others(self, rows: np.ndarray, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (q, k) nearest to the images at rows (q,), themselves left out; -1: no hit."""
        array, index = self.collection.vectors.array, self.collection.index
        wanted = min(k + 1, len(array))
        if self.exact:
            similarities, found = indexes.exact_search(array, unit, wanted, self.collection.removed)
        else:
            similarities, found = index.search(unit, wanted, array if self.reranked else None)
        order = indexes.others(found, rows, k)
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(found, order, axis=1)

    def milliseconds(self, rows: Iterable[int], k: int) -> np.ndarray:
        """Return what the search by each of the rows took, one at a time."""
        times = []
        for row in rows:
            began = time.perf_counter()
            self.collection.nearest(int(row), k, self.exact, self.reranked)
            times.append(1000 * (time.perf_counter() - began))
        return np.array(times)


Way = SearchConfig  # its name in version 1.0


class Point(NamedTuple):
    """What an index of inverted lists gives where so many of them are searched."""

    nprobe: int
    recall: float  # recall@10
    p50_ms: float


class Evaluation(NamedTuple):
    """What was measured of one search configuration."""

    config: SearchConfig
    queries: np.ndarray  # rows int64 (q,)
    rows: np.ndarray  # hits int64 (q, k), the query left out; -1: no hit
    similarities: np.ndarray  # float32 (q, k)
    chance: np.ndarray  # float32 (q,): similarity to a random other query
    recalls: dict[int, np.ndarray]  # k -> float (q,)
    milliseconds: np.ndarray  # of one query at a time
    queries_per_second: float  # all at once
    bytes: int  # of the index, of the vectors where the search is exact
    curve: list[Point]  # of inverted lists
    relevance: Relevance | None
    ranks: dict[str, np.ndarray] | None  # alteration -> rank int (m,) of the original, from 1; 0: not a hit

    @property
    def way(self) -> SearchConfig:
        """The name of `config` in version 1.0."""
        return self.config


def precision(unit: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return precision@k with exact search over unit vectors (n, d): the mean share, over all images as queries,
    of the k nearest others that bear the query's label.
    """
    _, rows = indexes.exact_search(unit, unit, k + 1)
    nearest = np.take_along_axis(rows, indexes.others(rows, np.arange(len(unit)), k), axis=1)
    return float((labels[nearest] == labels[:, None]).mean())


def open_configs(path: Path, index_files: Iterable[Path] = (), **opening: Path | str | None) -> list[SearchConfig]:
    """Open a collection once for each config to search it: with each index, or the one beside it; then exactly.

    `opening` is what open_collection takes. Raises as that does.
    """
    collections = [open_collection(path, index=file, **opening) for file in index_files or [None]]
    return [SearchConfig(one, False) for one in collections if one.index] + [SearchConfig(collections[0], True)]


open_ways = open_configs  # its name in version 1.0


def evaluate(
    configs: list[SearchConfig],
    k: int = 10,
    queries: int = 1000,
    labels: Labels | None = None,
    altered: int | None = None,
    track: Track = lambda items, what, total: items,
    note: Callable[[str], None] = lambda message: None,
) -> list[Evaluation]:
    """Measure each config to search one collection, with at most `queries` of its images, drawn at random, as queries.

    With labels the hits are held against them. Of so many images as `altered` says altered copies are searched for;
    by default where there are no labels, if that needs no download. `note` is told what is left out.
    Raises ValueError where too few images have a vector, or where altered copies are asked for and cannot be made.
    """
    collection = configs[0].collection
    if altered and collection.noun == "text":
        raise ValueError(
            f"expected a collection of images for altered copies, got the texts {collection.vectors.path}: "
            f"leave out --alterations"
        )
    check_complete(collection.vectors)
    if labels and (count := unlabelled(labels)):
        note(f"{collection.vectors.path}: {count} of {len(collection)} {collection.noun}s have no label")
    array = collection.vectors.array
    removed = sorted({row for config in configs for row in config.collection.removed})
    drawn = np.random.default_rng(SEED).permutation(np.setdiff1d(np.arange(len(array)), removed))
    rows, unit = indexes.unit_rows(array, drawn[:queries])
    if len(rows) < 2:
        raise ValueError(f"{collection.vectors.path}: expected at least 2 images with a vector, got {len(rows)}")
    if altered is None:
        altered = 0 if labels else ALTERED
        if altered and not can_encode(collection):
            note(f"{collection.vectors.path}: altered copies are left out, ask for them with --alterations {ALTERED}")
            altered = 0
    copies = None
    if altered and isinstance(collection, Collection):
        copies = altered_copies(collection, rows[:altered], track, note)
    zeros = np.flatnonzero(~array.any(axis=1)) if labels else []
    chance = np.einsum("qd,qd->q", unit, np.roll(unit, 1, axis=0))
    exact = {
        tuple(config.collection.removed): _exact(config, rows, unit, max(k, *RECALL_AT), track) for config in configs
    }
    k = min(k, *(nearest.shape[1] for _, nearest, _ in exact.values()))

    evaluations = []
    for config in configs:
        similarities, nearest, seconds = exact[tuple(config.collection.removed)]
        curve = []
        if config.exact:
            recalls = {size: np.ones(len(rows)) for size in RECALL_AT}
            timed, size_bytes = rows[:TIMED_EXACT], array.nbytes
        else:
            recalls = {
                size: indexes.recall(config.others(rows, unit, size)[1], nearest[:, :size])
                for size in track(RECALL_AT, f"{config.collection.recipe}: recall", len(RECALL_AT))
            }
            began = time.perf_counter()
            similarities, nearest = config.others(rows, unit, k)
            seconds = time.perf_counter() - began
            timed, size_bytes = rows, config.collection.index.path.stat().st_size
            curve = _curve(config, rows, unit, exact[tuple(config.collection.removed)][1], track)
        config.milliseconds(timed[:1], k)  # the first search reads from the disk
        similarities, nearest = similarities[:, :k], nearest[:, :k]
        evaluations.append(
            Evaluation(
                config,
                rows,
                nearest,
                similarities,
                chance,
                recalls,
                config.milliseconds(track(timed, f"{_name(config)}: one at a time", len(timed)), k),
                len(rows) / seconds,
                size_bytes,
                curve,
                relevance(labels, rows, nearest, np.union1d(config.collection.removed, zeros).astype(int))
                if labels
                else None,
                _ranks(config, copies, k, track) if copies else None,
            )
        )
    return evaluations


def altered_copies(
    collection: Collection, rows: np.ndarray, track: Track, note: Callable[[str], None]
) -> list[tuple[str, int, Query]]:
    """Return alteration, row and query of each altered copy of the images at rows.

    Raises ValueError where no image can be read, and as Collection.load_network does.
    """
    collection.load_network()
    copies = []
    for row in track(rows.tolist(), "altered copies", len(rows)):
        try:
            image = open_image(collection.image(row))
        except (OSError, ValueError) as error:  # the folder or archive may have moved
            note(f"skipped {collection.names[row]}: {error}")
            continue
        copies += [(name, row, collection.encode(alter(image))) for name, alter in ALTERATIONS.items()]
    if not copies:
        raise ValueError(
            f"no image in {collection.source.path} can be read for altered copies: give their folder with -d"
        )
    return copies


def _exact(
    config: SearchConfig, rows: np.ndarray, unit: np.ndarray, k: int, track: Track
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return similarities and rows (q, <= k) of the exact nearest others, and the seconds that took."""
    began = time.perf_counter()
    for _ in track([None], "exact search", 1):
        similarities, nearest = config._replace(exact=True).others(rows, unit, k)
    return similarities, nearest, time.perf_counter() - began


def _curve(config: SearchConfig, rows: np.ndarray, unit: np.ndarray, nearest: np.ndarray, track: Track) -> list[Point]:
    """Measure the index over the number of lists that are searched; leave it as it was."""
    inverted = faiss.try_extract_index_ivf(config.collection.index.faiss)
    if inverted is None:
        return []
    chosen, points = inverted.nprobe, []
    config.milliseconds(rows[:TIMED_PROBES], K)  # the first searches read from the disk
    for nprobe in track([probe for probe in PROBES if probe <= inverted.nlist], f"{_name(config)}: lists", None):
        inverted.nprobe = nprobe
        recall = indexes.recall(config.others(rows, unit, K)[1], nearest[:, :K]).mean()
        points.append(Point(nprobe, float(recall), float(np.median(config.milliseconds(rows[:TIMED_PROBES], K)))))
    inverted.nprobe = chosen
    return points


def _ranks(config: SearchConfig, copies: list[tuple[str, int, Query]], k: int, track: Track) -> dict[str, np.ndarray]:
    ranks = {name: [] for name in ALTERATIONS}
    for name, row, query in track(copies, f"{_name(config)}: altered copies", len(copies)):
        hits = [hit.row for hit in config.collection.nearest(query, k, config.exact, config.reranked)]
        ranks[name].append(hits.index(row) + 1 if row in hits else 0)
    return {name: np.array(values) for name, values in ranks.items()}


def _name(config: SearchConfig) -> str:
    return "exact" if config.exact else config.collection.recipe


def can_encode(collection: BaseCollection) -> bool:
    """Return whether the images and what encodes them are at hand, without a download."""
    manifest = collection.vectors.manifest
    if (
        not manifest
        or not isinstance(collection, Collection)
        or collection.source is None
        or not collection.source.exists()
    ):
        return False
    return bool(manifest["files"]) or NETWORKS[manifest["network"]["name"]].keras is None
