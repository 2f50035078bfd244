"""The quality of a search compared with exact search, labels and altered copies; its time and size.

Shape letters: n vectors, q queries, k hits, d numbers in a vector.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similar_images.collection.base import BaseCollection, Query
from similar_images.collection.images import Collection
from similar_images.collection.opening import open_collection
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.labels import Labels, Relevance, relevance, unlabelled
from similar_images.index.backend import MEASURED_K, find_ivf
from similar_images.index.exact import ROUNDING, exact_search, rows_except, unit_rows
from similar_images.index.index import Index
from similar_images.index.quality import columns_without_self, confidence_interval, recall
from similar_images.index.recipes import SEED
from similar_images.index.tuning import PROBE_STEPS
from similar_images.inputs.images import open_image
from similar_images.networks import loader
from similar_images.vectors.store import check_complete

RECALL_AT = (1, MEASURED_K, 100)
ALTERED = 50  # images, without labels
TIMED_EXACT = 100  # queries; an exact search of a large collection is slow
TIMED_PROBES = 200  # queries for each nprobe

Track = Callable[[Iterable, str, int | None], Iterable]  # items, description, their number; tqdm for example


class SearchConfig(NamedTuple):
    """A collection and how to search it: with its index or exactly, with or without re-ranking."""

    collection: BaseCollection
    exact: bool = False
    reranked: bool = True  # with the exact vectors, if the index needs that

    @property
    def used_index(self) -> Index:
        """The index of the collection. Raises ValueError if it has none."""
        if self.collection.index is None:
            raise ValueError(f"expected an index of {self.collection.vectors.path}, got none: use exact=True")
        return self.collection.index

    @property
    def truth(self) -> tuple:
        """What determines the hits of an exact search: configurations that share it are compared with the same."""
        return self.collection.similarity.name, *self.collection.removed

    @property
    def recipe(self) -> str:
        """The recipe of the index, or "exact"."""
        return "exact" if self.exact else self.collection.recipe

    def others(self, rows: np.ndarray, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return similarities and rows (q, k) of the nearest neighbours of rows (q,), without these; -1: no hit."""
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

    def recall_interval(self, size: int) -> tuple[float, float, float]:
        """Return the mean recall at a size with its 95% interval; exact search needs no estimate."""
        return (1.0, 1.0, 1.0) if self.config.exact else confidence_interval(self.recalls[size])


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
    open_collection. Raises OSError or ValueError, as that does.
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
    track: Track = lambda items, what, total: items,
    note: Callable[[str], None] = lambda message: None,
) -> list[Evaluation]:
    """Measure search configurations of one collection with up to `queries` random images as queries.

    With labels, the hits are compared with them. `altered` is the number of images whose altered copies are searched
    for: by default ALTERED without labels, if that needs no download, else 0. `note` gets what is left out.
    Raises ValueError if the vectors were altered, if too few have a direction, or if altered copies cannot be made.
    """
    collection = configs[0].collection
    array, path = collection.array, collection.vectors.path
    if altered and not isinstance(collection, Collection):
        raise ValueError(f"altered copies need images, {path} is a collection of texts: omit --alterations")
    check_complete(collection.vectors)
    removed = {row for config in configs for row in config.collection.removed}
    drawn = np.random.default_rng(SEED).permutation(rows_except(len(array), [*removed]))
    rows, unit = unit_rows(array, drawn[:queries])
    if len(rows) < 2:
        raise ValueError(f"{path}: expected at least 2 {collection.noun}s with a vector, got {len(rows)}")
    if labels and (count := unlabelled(labels)):
        note(f"{path}: {count} of {len(collection)} {collection.noun}s have no label")
    if altered is None:
        altered = 0 if labels else ALTERED
        if altered and not can_encode(collection):
            note(
                f"{path}: no altered copies, because that may need a download; use --alterations {ALTERED} to allow it"
            )
            altered = 0
    copies = None
    if altered and isinstance(collection, Collection):
        copies = altered_copies(collection, rows[:altered], track, note)
    skipped = np.flatnonzero(~array.any(axis=1)) if labels else np.empty(0, int)
    exact = {config.truth: _exact(config, rows, unit, max(k, *RECALL_AT), track) for config in configs}
    k = min(k, *(one.rows.shape[1] for one in exact.values()))

    evaluations = []
    for config in configs:
        true = exact[config.truth]
        if config.exact:
            recalls, curve, found = {size: np.ones(len(rows)) for size in RECALL_AT}, [], true
            timed, size_bytes = rows[:TIMED_EXACT], config.collection.compared.nbytes
        else:
            recalls = {
                size: _recall(config, config.others(rows, unit, size)[1], true.rows[:, :size], unit)
                for size in track(RECALL_AT, f"{config.recipe}: recall", len(RECALL_AT))
            }
            found, curve = _timed_others(config, rows, unit, k), _curve(config, rows, unit, true.rows, track)
            timed, size_bytes = rows, config.used_index.bytes
        config.milliseconds(timed[:1], k)  # the first search reads from the disk
        absent = np.union1d(config.collection.removed, skipped).astype(int)
        nearest, moved = found.rows[:, :k], config.collection.similarity.transform(unit)
        evaluations.append(
            Evaluation(
                config=config,
                queries=rows,
                rows=nearest,
                similarities=found.similarities[:, :k],
                chance=np.einsum("qc,qc->q", moved, np.roll(moved, 1, axis=0)),
                recalls=recalls,
                milliseconds=config.milliseconds(track(timed, f"{config.recipe}: one at a time", len(timed)), k),
                queries_per_second=len(rows) / found.seconds,
                bytes=size_bytes,
                curve=curve,
                relevance=relevance(labels, rows, nearest, absent) if labels else None,
                ranks=_ranks(config, copies, k, track) if copies else None,
            )
        )
    return evaluations


def altered_copies(
    collection: Collection, rows: np.ndarray, track: Track, note: Callable[[str], None]
) -> list[tuple[str, int, Query]]:
    """Return alteration, row and query of each altered copy of the images at rows.

    Raises ValueError if no image can be read, and as Collection.load_network does.
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
        place = collection.source.path if collection.source else "their folder, which is not known"
        raise ValueError(
            f"no image for altered copies can be read in {place}: give the folder or archive of the images with -d"
        )
    return copies


def can_encode(collection: BaseCollection) -> bool:
    """Return whether images and network are available for altered copies, without a download."""
    manifest = collection.vectors.manifest
    if not manifest or not isinstance(collection, Collection):
        return False
    if collection.source is None or not collection.source.exists():
        return False
    return bool(manifest["files"]) or (collection.network is not None and loader.is_here(collection.network))


class Found(NamedTuple):
    """The nearest neighbours of all queries."""

    similarities: np.ndarray  # float32 (q, k)
    rows: np.ndarray  # int64 (q, k); -1: no hit
    seconds: float  # for all queries in one call


def _timed_others(config: SearchConfig, rows: np.ndarray, unit: np.ndarray, k: int) -> Found:
    began = time.perf_counter()
    similarities, found = config.others(rows, unit, k)
    return Found(similarities, found, time.perf_counter() - began)


def _exact(config: SearchConfig, rows: np.ndarray, unit: np.ndarray, k: int, track: Track) -> Found:
    (found,) = [_timed_others(config._replace(exact=True), rows, unit, k) for _ in track([None], "exact search", 1)]
    return found


def _recall(config: SearchConfig, found: np.ndarray, true: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the recall (q,) of found rows for the network's unit vectors (q, d)."""
    return recall(found, true, config.collection.compared, config.collection.similarity.transform(unit))


def _curve(config: SearchConfig, rows: np.ndarray, unit: np.ndarray, true: np.ndarray, track: Track) -> list[Point]:
    """Measure an index of inverted lists for each nprobe, and restore its own."""
    inverted = find_ivf(config.used_index.backend)
    if inverted is None:
        return []
    chosen, points = inverted.nprobe, []
    config.milliseconds(rows[:TIMED_PROBES], MEASURED_K)  # the first searches read from the disk
    probes = [probe for probe in PROBE_STEPS if probe <= inverted.nlist]
    try:
        for nprobe in track(probes, f"{config.recipe}: nprobe", len(probes)):
            inverted.nprobe = nprobe
            recall = _recall(config, config.others(rows, unit, MEASURED_K)[1], true[:, :MEASURED_K], unit).mean()
            points.append(
                Point(nprobe, float(recall), float(np.median(config.milliseconds(rows[:TIMED_PROBES], MEASURED_K))))
            )
    finally:  # an interrupt leaves the index as it was
        inverted.nprobe = chosen
    return points


def _ranks(config: SearchConfig, copies: list[tuple[str, int, Query]], k: int, track: Track) -> dict[str, np.ndarray]:
    """Return for each alteration the rank of the original of each copy, from 1; 0: not a hit. Equal hits share a rank."""
    ranks: dict[str, list[int]] = {name: [] for name in ALTERATIONS}
    for name, row, query in track(copies, f"{config.recipe}: altered copies", len(copies)):
        hits = config.collection.nearest(query, k, config.exact, config.reranked)
        found = [hit.similarity for hit in hits if hit.row == row]
        if not found and hits and config.collection.has_vectors:
            own = config.collection.compare(query, [row])[0].similarity
            found = [own] * (own >= hits[-1].similarity - ROUNDING)  # more rows than k may equal the original
        ranks[name].append(1 + sum(hit.similarity > found[0] + ROUNDING for hit in hits) if found else 0)
    return {name: np.array(values) for name, values in ranks.items()}
