"""The quality of a search compared with exact search, labels and altered copies; its time and size.

Shape letters: n vectors, q queries, k hits, d numbers in a vector.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from similar_images.collection.base import BaseCollection
from similar_images.collection.encoder import Query
from similar_images.collection.images import Collection
from similar_images.collection.opening import open_collection
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.labels import Labels, Relevance, relevance, unlabelled
from similar_images.events import Event, Progress, ignore, track
from similar_images.index.backend import MEASURED_K, find_ivf
from similar_images.index.exact import ROUNDING, exact_search, rows_except, unit_rows
from similar_images.index.index import Index
from similar_images.index.quality import Interval, columns_without_self, confidence_interval, recall
from similar_images.index.similarity import SEED
from similar_images.index.tuning import PROBE_STEPS
from similar_images.inputs.images import open_image
from similar_images.networks import loader
from similar_images.vectors.store import check_complete

RECALL_AT = (1, MEASURED_K, 100)
ALTERED = 50  # images, without labels
TIMED_EXACT = 100  # queries; an exact search of a large collection is slow
TIMED_PROBES = 200  # queries for each nprobe


class SearchConfig(NamedTuple):
    """A collection and how to search it: with its index or exactly, with or without re-ranking."""

    collection: BaseCollection[Any]
    exact: bool = False
    reranked: bool = True  # with the exact vectors, if the index needs that

    @property
    def used_index(self) -> Index:
        """The index of the collection. Raises ValueError if it has none."""
        if self.collection.index is None:
            raise ValueError(f"expected an index of {self.collection.vectors.path}, got none: use exact=True")
        return self.collection.index

    @property
    def truth(self) -> tuple[object, ...]:
        """Similarity and removed rows: equal ones have the same exact hits."""
        return self.collection.similarity.name, *self.collection.removed

    @property
    def recipe(self) -> str:
        """The recipe of the index, or "exact"."""
        return "exact" if self.exact else self.collection.recipe

    def others(self, rows: np.ndarray, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (q, k) of the nearest neighbours of rows (q,), without the row itself; -1: no hit."""
        wanted = min(k + 1, len(self.collection))
        similarities, found = self.collection.search(unit, wanted, self.exact, self.reranked)
        order = columns_without_self(found, rows, k)
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(found, order, axis=1)

    def milliseconds(self, rows: Iterable[int], k: int) -> np.ndarray:
        """Return the time of the search for each row, one at a time."""
        times = []
        for row in rows:
            began = time.perf_counter()
            self.collection.nearest(int(row), k, self.exact, self.reranked)
            times.append(1000 * (time.perf_counter() - began))
        return np.array(times)


class Point(NamedTuple):
    """The recall and time of an index of inverted lists for one nprobe."""

    nprobe: int
    recall: float  # recall@10
    p50_ms: float


class Evaluation(NamedTuple):
    """The measurements of one search configuration."""

    config: SearchConfig
    queries: np.ndarray  # rows int64 (q,)
    rows: np.ndarray  # hits int64 (q, k), without the query; -1: no hit
    similarities: np.ndarray  # float32 (q, k)
    chance: np.ndarray  # float32 (q,): similarity to a random other query
    recalls: dict[int, np.ndarray]  # k -> float (q,)
    milliseconds: np.ndarray  # of one query at a time
    queries_per_second: float  # all at once
    bytes: int  # of the index, or of the vectors for an exact search
    curve: list[Point]  # empty unless the index has inverted lists
    relevance: Relevance | None
    ranks: dict[str, np.ndarray] | None  # alteration -> rank int (m,) of the original, from 1; 0: not a hit

    def recall_interval(self, size: int) -> Interval:
        """Return the mean recall at a size with its 95% interval; the recall of exact search is 1 by definition."""
        return Interval(1.0, 1.0, 1.0) if self.config.exact else confidence_interval(self.recalls[size])


def precision(unit: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return precision@k of exact search over unit vectors (n, d): the mean share, over all images as queries, of
    the k nearest neighbours with the query's label.
    """
    _, rows = exact_search(unit, unit, k + 1)
    nearest = np.take_along_axis(rows, columns_without_self(rows, np.arange(len(unit)), k), axis=1)
    return float((labels[nearest] == labels[:, None]).mean())


def open_configs(
    path: Path, index_files: Iterable[Path] = (), similarities: Iterable[str] = (), **opening: Path | str | None
) -> list[SearchConfig]:
    """Return configurations for each index, by default the one beside the vectors, and for exact search.

    The exact searches are by the similarity of the first index, and by each of `similarities`. `opening` are options of
    open_collection. Raises OSError or ValueError, as open_collection does.
    """
    files: list[Path | None] = [*index_files] or [None]
    collections = [open_collection(path, index=file, **opening) for file in files]
    exact = [collections[0]]
    exact += [exact[0].with_similarity(name) for name in similarities if name != exact[0].similarity.name]
    return [SearchConfig(one, False) for one in collections if one.index] + [SearchConfig(one, True) for one in exact]


def evaluate(
    configs: list[SearchConfig],
    k: int = 10,
    queries: int = 1000,
    labels: Labels | None = None,
    altered: int | None = None,
    progress: Progress = ignore,
) -> list[Evaluation]:
    """Measure search configurations of one collection with up to `queries` random images as queries.

    With labels, the hits are compared with them. `altered` is the number of images with altered copies as queries: by
    default ALTERED without labels, if that needs no download, else 0.
    Raises ValueError if the vectors were altered, if too few have a direction, or if altered copies cannot be made.
    """
    collection = configs[0].collection
    if altered and not isinstance(collection, Collection):
        raise ValueError(
            f"altered copies need images, {collection.vectors.path} is a collection of texts: omit --alterations"
        )
    check_complete(collection.vectors)
    rows, unit = _draw_queries(configs, queries)
    if labels and (count := unlabelled(labels)):
        note = f"{collection.vectors.path}: {count} of {len(collection)} {collection.noun}s have no label"
        progress(Event(note=note))
    if altered is None:
        altered = 0 if labels else _default_altered(collection, progress)
    copies = []
    if altered and isinstance(collection, Collection):
        copies = altered_copies(collection, rows[:altered], progress)
    exact = {}
    for config in track(configs, progress, "exact search", len(configs)):
        exact[config.truth] = _time_search(config._replace(exact=True), rows, unit, max(k, *RECALL_AT))
    k = min(k, *(one.rows.shape[1] for one in exact.values()))
    queried = Queries(rows, unit, k, labels, copies)
    return [_evaluate(config, queried, exact[config.truth], progress) for config in configs]


class AlteredCopy(NamedTuple):
    """An altered copy of an image of the collection, as a query."""

    alteration: str
    row: int  # of the original
    query: Query


class Queries(NamedTuple):
    """The queries of an evaluation, and the sources of its truth."""

    rows: np.ndarray  # int64 (q,)
    unit: np.ndarray  # float32 (q, d): their unit vectors
    k: int
    labels: Labels | None
    copies: list[AlteredCopy]


class Found(NamedTuple):
    """The nearest neighbours of all queries."""

    similarities: np.ndarray  # float32 (q, k)
    rows: np.ndarray  # int64 (q, k); -1: no hit
    seconds: float  # for all queries in one call


def _draw_queries(configs: list[SearchConfig], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return up to `count` random rows with a direction, removed from no index, and their unit vectors."""
    collection = configs[0].collection
    removed = {row for config in configs for row in config.collection.removed}
    drawn = np.random.default_rng(SEED).permutation(rows_except(len(collection.array), [*removed]))
    rows, unit = unit_rows(collection.array, drawn[:count])
    if len(rows) < 2:
        raise ValueError(
            f"{collection.vectors.path}: expected at least 2 {collection.noun}s with a vector, got {len(rows)}"
        )
    return rows, unit


def _default_altered(collection: BaseCollection[Any], progress: Progress) -> int:
    """Return ALTERED; 0, with a note, if the network may need a download."""
    if can_encode(collection):
        return ALTERED
    progress(
        Event(
            note=f"{collection.vectors.path}: no altered copies, because that may need a download; "
            f"use --alterations {ALTERED} to allow it"
        )
    )
    return 0


def _evaluate(config: SearchConfig, queries: Queries, exact: Found, progress: Progress) -> Evaluation:
    """Measure one search configuration."""
    rows, unit, k, collection = queries.rows, queries.unit, queries.k, config.collection
    if config.exact:
        recalls, curve, found = {size: np.ones(len(rows)) for size in RECALL_AT}, [], exact
        timed, size_bytes = rows[:TIMED_EXACT], collection.compared.nbytes
    else:
        recalls = {
            size: _recall(config, config.others(rows, unit, size)[1], exact.rows[:, :size], unit)
            for size in track(RECALL_AT, progress, f"{config.recipe}: recall", len(RECALL_AT))
        }
        found, curve = _time_search(config, rows, unit, k), _probe_curve(config, queries, exact.rows, progress)
        timed, size_bytes = rows, config.used_index.bytes
    config.milliseconds(timed[:1], k)  # the first search reads from the disk
    milliseconds = config.milliseconds(track(timed, progress, f"{config.recipe}: one at a time", len(timed)), k)
    moved = collection.similarity.transform(unit)
    relevant = None
    if queries.labels:
        absent = np.union1d(collection.removed, np.flatnonzero(~collection.array.any(axis=1))).astype(int)
        relevant = relevance(queries.labels, rows, found.rows[:, :k], absent)
    return Evaluation(
        config=config,
        queries=rows,
        rows=found.rows[:, :k],
        similarities=found.similarities[:, :k],
        chance=np.einsum("qc,qc->q", moved, np.roll(moved, 1, axis=0)),
        recalls=recalls,
        milliseconds=milliseconds,
        queries_per_second=len(rows) / found.seconds,
        bytes=size_bytes,
        curve=curve,
        relevance=relevant,
        ranks=_rank_copies(config, queries.copies, k, progress) if queries.copies else None,
    )


def altered_copies(collection: Collection, rows: np.ndarray, progress: Progress) -> list[AlteredCopy]:
    """Return the altered copies of the images at rows.

    Raises ValueError if no image can be read, and as Collection.load_network does.
    """
    collection.load_network()
    copies = []
    for row in track(rows.tolist(), progress, "altered copies", len(rows)):
        try:
            image = open_image(collection.image(row))
        except (OSError, ValueError) as error:  # the folder or archive may have moved
            progress(Event(note=f"skipped {collection.names[row]}: {error}"))
            continue
        copies += [AlteredCopy(name, row, collection.encode(alter(image))) for name, alter in ALTERATIONS.items()]
    if not copies:
        place = collection.source.path if collection.source else "their unknown folder"
        raise ValueError(
            f"no image for altered copies can be read in {place}: give the folder or archive of the images with -d"
        )
    return copies


def can_encode(collection: BaseCollection[Any]) -> bool:
    """Return whether images and network are available for altered copies, without a download."""
    manifest = collection.vectors.manifest
    if not manifest or not isinstance(collection, Collection):
        return False
    if collection.source is None or not collection.source.exists():
        return False
    return bool(manifest.files) or (collection.network is not None and loader.is_here(collection.network))


def _time_search(config: SearchConfig, rows: np.ndarray, unit: np.ndarray, k: int) -> Found:
    began = time.perf_counter()
    similarities, found = config.others(rows, unit, k)
    return Found(similarities, found, time.perf_counter() - began)


def _recall(config: SearchConfig, found: np.ndarray, true: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the recall (q,) of found rows for the network's unit vectors (q, d)."""
    return recall(found, true, config.collection.compared, config.collection.similarity.transform(unit))


def _probe_curve(config: SearchConfig, queries: Queries, true: np.ndarray, progress: Progress) -> list[Point]:
    """Measure an index of inverted lists for each nprobe, and restore its own."""
    inverted = find_ivf(config.used_index.backend)
    if inverted is None:
        return []
    rows, unit = queries.rows, queries.unit
    chosen, points = inverted.nprobe, []
    config.milliseconds(rows[:TIMED_PROBES], MEASURED_K)  # the first searches read from the disk
    probes = [probe for probe in PROBE_STEPS if probe <= inverted.nlist]
    try:
        for nprobe in track(probes, progress, f"{config.recipe}: nprobe", len(probes)):
            inverted.nprobe = nprobe
            recall = _recall(config, config.others(rows, unit, MEASURED_K)[1], true[:, :MEASURED_K], unit).mean()
            points.append(
                Point(nprobe, float(recall), float(np.median(config.milliseconds(rows[:TIMED_PROBES], MEASURED_K))))
            )
    finally:  # also after an interrupt
        inverted.nprobe = chosen
    return points


def _rank_copies(
    config: SearchConfig, copies: list[AlteredCopy], k: int, progress: Progress = ignore
) -> dict[str, np.ndarray]:
    """Return for each alteration the rank of the original of each copy, from 1; 0: not a hit. Equal hits share a rank."""
    ranks: dict[str, list[int]] = {name: [] for name in ALTERATIONS}
    for copy in track(copies, progress, f"{config.recipe}: altered copies", len(copies)):
        hits = config.collection.nearest(copy.query, k, config.exact, config.reranked)
        found = [hit.similarity for hit in hits if hit.row == copy.row]
        if not found and hits and config.collection.has_vectors:
            own = config.collection.compare(copy.query, [copy.row])[0].similarity
            found = [own] * (own >= hits[-1].similarity - ROUNDING)  # more rows than k may equal the original
        ranks[copy.alteration].append(1 + sum(hit.similarity > found[0] + ROUNDING for hit in hits) if found else 0)
    return {name: np.array(values) for name, values in ranks.items()}
