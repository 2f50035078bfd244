"""Labels of images, and the measures of hits by labels.

Shape letters: n images, q queries, b in a block of them, k hits, c classes.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.preprocessing import MultiLabelBinarizer

from similar_images.inputs.names import compose
from similar_images.inputs.tables import find_separator

FOLDERS = "folders"
LOOSE = "."  # the folder of an image that lies in no subfolder: it has no label
BLOCK_BYTES = 64 * 2**20  # of gains at once
MIN_FOLDER_IMAGES = 20  # drawn from one folder
SEED = 1234


Measures = Mapping[str, np.ndarray]  # name -> a value from 0 to 1 for each query


class Labels(NamedTuple):
    source: str  # folders, or the file
    classes: np.ndarray  # names (c,), sorted
    indicator: sparse.csr_array  # float32 (n, c): 1 if an image has a label


class Relevance(NamedTuple):
    """Hits compared with labels; two images match if they share a label."""

    labels: Labels
    queries: np.ndarray  # rows int64 (q,)
    rows: np.ndarray  # hits int64 (q, k); -1: no hit
    counts: np.ndarray  # bool (q,): whether a query matches at least one other image; only these count
    gains: np.ndarray  # float (q, k): Jaccard overlap of the labels of query and hit; 0: no match
    ideal: np.ndarray  # float (q, k): the highest gains in the collection
    relevant: np.ndarray  # int (q,): images that match the query


def folder_labels(names: list[str]) -> np.ndarray:
    """Return the folder of each name; LOOSE outside subfolders."""
    return np.array([str(PurePosixPath(name).parent) for name in names])


def read_labels(file: Path, names: list[str]) -> list[set[str]]:
    """Return the labels of each name from a CSV with the columns image and labels, separated by `;` in a line.

    An image may have several lines or none. Raises OSError, and ValueError if the file has another format.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no labels file {file}: expected a CSV with the columns image and labels, or folders or none"
        )
    labels: dict[str, set[str]] = {name: set() for name in names}
    spelled = {compose(name): name for name in names if not name.isascii()}  # accents may be composed or not
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            separator = find_separator(lines.readline(), "image")
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=separator)
            if not {"image", "labels"} <= set(reader.fieldnames or []):
                found = ", ".join(reader.fieldnames or []) or "nothing"
                raise ValueError(f"{file}: expected columns image and labels, got {found[:200]}")
            for line in reader:
                image = line["image"]
                image = image if image in labels else spelled.get(compose(image or ""))
                if image is not None:
                    labels[image].update(filter(None, map(str.strip, (line["labels"] or "").split(";"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is not a CSV file in UTF-8: {error}") from error
    if not any(labels.values()):
        raise ValueError(f"{file}: expected labels for names such as {names[0]}, got none for this collection")
    return [labels[name] for name in names]


def choose_labels(choice: str | None, names: list[str]) -> Labels | None:
    """Return the labels of a choice: folders, none or a file; by default folders if two have at least two images.

    Raises OSError or ValueError if the chosen labels do not exist.
    """
    if choice == "none":
        return None
    if choice not in (None, FOLDERS):
        return as_labels(read_labels(Path(choice), names), choice)
    folders = [folder for folder in folder_labels(names) if folder != LOOSE]
    if (np.unique(folders, return_counts=True)[1] >= 2).sum() >= 2:
        return as_labels([{folder} - {LOOSE} for folder in folder_labels(names)], FOLDERS)
    if choice:
        raise ValueError(
            "expected at least two folders with two images each, got fewer: use --labels FILE.csv or --labels none"
        )
    return None


def as_labels(labels: Iterable[Iterable[str]], source: str) -> Labels:
    """Return the labels of each image, any number, as a sparse matrix."""
    binarizer = MultiLabelBinarizer(sparse_output=True)
    indicator = sparse.csr_array(binarizer.fit_transform(labels), dtype=np.float32)
    return Labels(source, binarizer.classes_.astype(str), indicator)


def sampled(names: list[str], labels: Labels | None, size: int, seed: int = SEED) -> np.ndarray:
    """Return about `size` random rows of names, in order; all rows if there are fewer.

    Folder labels stay together: the same number is drawn from each folder, but at least MIN_FOLDER_IMAGES if it has so
    many. If there are many folders, some are left out. With other labels, labelled images come first.
    """
    random = np.random.default_rng(seed)
    if len(names) <= size:
        return np.arange(len(names))
    if labels is None or labels.source != FOLDERS:
        order = random.permutation(len(names))
        if labels is not None:
            order = order[np.argsort(np.diff(labels.indicator.indptr)[order] == 0, kind="stable")]
        return np.sort(order[:size])
    _, folders, counts = np.unique(folder_labels(names), return_inverse=True, return_counts=True)
    most = bisect_right(range(1, counts.max() + 1), size, key=lambda most: np.minimum(counts, most).sum())
    drawn: list[int] = []
    for folder in random.permutation(len(counts)):
        drawn += random.permutation(np.flatnonzero(folders == folder))[: max(most, MIN_FOLDER_IMAGES)].tolist()
        if len(drawn) >= size:
            break
    return np.sort(drawn)


def selected(labels: Labels, rows: np.ndarray) -> Labels:
    """Return the labels of some rows."""
    return labels._replace(indicator=sparse.csr_array(labels.indicator[rows]))


def unlabelled(labels: Labels) -> int:
    """Return the number of images without a label."""
    return int((np.diff(labels.indicator.indptr) == 0).sum())


def without(labels: Labels, absent: Sequence[int] | np.ndarray) -> sparse.csr_array:
    """Return the indicator (n, c) of labels, with zeros for the rows `absent`."""
    present = np.ones(len(labels.indicator.indptr) - 1, np.float32)
    present[np.asarray(absent, dtype=int)] = 0
    return sparse.csr_array(labels.indicator.multiply(present[:, None]))


def relevance(
    labels: Labels, queries: np.ndarray, rows: np.ndarray, absent: Sequence[int] | np.ndarray = ()
) -> Relevance:
    """Compare the hits (q, k) of queries (q,) with the labels; the rows `absent` (skipped, removed) match nothing."""
    indicator = without(labels, absent)
    sizes = indicator.sum(axis=1)
    shared = np.stack([(indicator[queries] * indicator[hits]).sum(axis=1) for hits in rows.T], axis=1)
    gains = np.where(rows >= 0, _jaccard(shared, sizes[queries, None], sizes[rows]), 0)
    ideal, relevant = (np.concatenate(parts) for parts in zip(*_ideal(indicator, queries, rows.shape[1]), strict=True))
    return Relevance(labels, queries, rows, relevant > 0, gains, ideal, relevant)


def measures(found: Relevance) -> Measures:
    """Return each measure at k, from 0 to 1, of the counting queries; empty without any.

    Precision is the share of matching hits among the k hits.
    """
    if not found.counts.any():
        return {}
    matches = found.gains > 0
    each = {
        "precision": matches.mean(axis=1),
        "mAP": average_precision(matches, found.relevant),
        "nDCG": ndcg(found.gains, found.ideal),
        "kNN accuracy": voted_right(found),
    }
    return {name: values[found.counts] for name, values in each.items()}


def average_precision(matches: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Return AP@k (q,) of matches, bool (q, k), with `relevant` (q,) matching images in the collection: the sum of
    the precision at each match, divided by min(k, relevant).

    Source: Weyand et al., "Google Landmarks Dataset v2", CVPR 2020, section 4.1.
    """
    k = matches.shape[1]
    precisions = matches.cumsum(axis=1) / np.arange(1, k + 1)
    return np.asarray((precisions * matches).sum(axis=1) / np.maximum(np.minimum(k, relevant), 1))


def ndcg(gains: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """Return nDCG@k (q,) from the gains of the hits and the ideal gains, both (q, k); 0 without ideal gains.

    Source: Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002, with the discount
    1 / log2(rank + 1).
    """
    discounts = 1 / np.log2(np.arange(2, gains.shape[1] + 2))
    best = ideal @ discounts
    return np.divide(gains @ discounts, best, out=np.zeros(len(gains)), where=best > 0)


def voted_right(found: Relevance) -> np.ndarray:
    """Return bool (q,): whether the query has the most common label of its hits; ties go to the nearest hit.

    Source: Cover & Hart, "Nearest neighbor pattern classification", 1967.
    """
    k, indicator = found.rows.shape[1], found.labels.indicator
    votes = 1 + 0.5 ** np.arange(1, k + 1)  # the second term only breaks ties
    most = _most(_chosen(found, found.rows >= 0, np.broadcast_to(votes, found.rows.shape)) @ indicator)
    return (most >= 0) & (np.asarray(indicator[found.queries, np.maximum(most, 0)]).ravel() > 0)


def class_precisions(found: Relevance) -> list[tuple[str, int, float]]:
    """Return label, number of queries and precision@k of each class with queries, the worst first."""
    indicator = found.labels.indicator[found.queries[found.counts]]
    asked = indicator.sum(axis=0)
    matched = indicator.T @ (found.gains[found.counts] > 0).mean(axis=1)
    classes = [
        (str(label), int(count), float(total / count))
        for label, count, total in zip(found.labels.classes, asked, matched, strict=True)
        if count
    ]
    return sorted(classes, key=lambda entry: (entry[2], entry[0]))


def mistaken_for(found: Relevance, label: str) -> str | None:
    """Return the most common label of the wrong hits of a class; None without labels."""
    wrong = (found.gains == 0) & (found.rows >= 0) & queries_with(found, label)[:, None]
    most = _most((_chosen(found, wrong) @ found.labels.indicator).sum(axis=0)[None])[0]
    return str(found.labels.classes[most]) if most >= 0 else None


def queries_with(found: Relevance, label: str) -> np.ndarray:
    """Return bool (q,): whether a query counts and has the label."""
    column = [np.searchsorted(found.labels.classes, label)]
    return np.asarray(found.counts & (found.labels.indicator[found.queries][:, column].toarray().ravel() > 0))


def _jaccard(shared: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the Jaccard overlap of label sets of sizes `one` and `other` with `shared` common labels; 0 if empty."""
    return np.asarray(shared / np.maximum(one + other - shared, 1))


def _ideal(indicator: sparse.csr_array, queries: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each block of queries the k highest gains (b, k) and the number of gains above 0 (b,)."""
    sizes = indicator.sum(axis=1)
    step = max(1, BLOCK_BYTES // (8 * len(sizes)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        shared = (indicator[block] @ indicator.T).toarray()
        gains = _jaccard(shared, sizes[block, None], sizes)
        gains[np.arange(len(block)), block] = 0  # the query itself
        yield -np.sort(np.partition(-gains, k - 1, axis=1)[:, :k], axis=1), (gains > 0).sum(axis=1)


def _chosen(found: Relevance, chosen: np.ndarray, weights: np.ndarray | None = None) -> sparse.csr_array:
    """Return a matrix (q, n) with the weights, by default 1, of the chosen hits (q, k)."""
    weights = np.ones(found.rows.shape) if weights is None else weights
    places = (np.nonzero(chosen)[0], found.rows[chosen])
    return sparse.csr_array((weights[chosen], places), shape=(len(found.rows), found.labels.indicator.shape[0]))


def _most(counts: np.ndarray | sparse.csr_array) -> np.ndarray:
    """Return the column of the first largest count in each row; -1 if all are 0."""
    counts = sparse.csr_array(counts)
    return np.where(counts.max(axis=1).toarray() > 0, counts.argmax(axis=1), -1)
