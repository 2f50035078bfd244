"""The clusters of a collection as CSV and as a page."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from similar_images.collection.images import Collection
from similar_images.inputs.names import csv_cell_for
from similar_images.overview.clusters import Clusters
from similar_images.templates import pages

SHOWN = 8  # thumbnails of a cluster
CLUSTERS = 300  # on the page
THUMBNAIL = 240  # pixels


class Card(NamedTuple):
    name: str
    picture: str | None  # data: URL of the thumbnail; None: the image cannot be read
    facts: list[str]
    link: str | None


class Section(NamedTuple):
    title: str
    about: str
    cards: list[Card]
    is_cluster: bool = False


def summary(clusters: Clusters, removed: Sequence[int] = ()) -> str:
    """Return the result in one line, without `removed` rows."""
    none = int((clusters.labels < 0).sum()) - len(removed)
    return f"{len(clusters.labels) - len(removed)} images in {len(clusters)} cluster{'s' * (len(clusters) != 1)}, {none} in none"


def write_csv(file: TextIO, collection: Collection, clusters: Clusters) -> None:
    """Write cluster, place, row and name of every image except removed ones, by cluster; on stdout without control characters."""
    cell = csv_cell_for(file)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("cluster", "place", "row", "name"))
    for cluster in clusters:
        for place, row in enumerate(cluster.rows.tolist()):
            writer.writerow((cluster.number, place, row, cell(collection.names[row])))
    for row in np.setdiff1d(np.flatnonzero(clusters.labels < 0), collection.removed).tolist():
        writer.writerow(("", "", row, cell(collection.names[row])))


def write_html(path: Path, collection: Collection, clusters: Clusters, title: str, k: int) -> None:
    """Write a row of thumbnails for each of the largest clusters, then k outliers, typical images and a spread."""
    pages.write(path, "clusters.html", title=title, shown=SHOWN, sections=_sections(path, collection, clusters, k))


def _sections(page: Path, collection: Collection, clusters: Clusters, k: int) -> Iterator[Section]:
    """Yield the sections of the page one at a time: all thumbnails together may not fit into memory."""
    for cluster in clusters[:CLUSTERS]:
        cards = [_card(page, collection, row, []) for row in cluster.rows[:SHOWN].tolist()]
        yield Section(cluster.name, f"{cluster.size} images", cards, is_cluster=True)
    if len(clusters) > CLUSTERS:
        yield Section(f"{len(clusters) - CLUSTERS} smaller clusters", "only in the CSV", [])
    cover = "they cover the collection; the mean similarity to the images each represents"
    for title, about, hits in (
        ("Outliers", "the most isolated; the mean similarity to the 8 nearest", collection.outliers(k)),
        ("Typical", "near to most others; the mean similarity to these", collection.typical(k)),
        ("Spread", cover, collection.spread(k)),
    ):
        yield Section(
            title, about, [_card(page, collection, hit.row, [f"similarity {hit.similarity:.3f}"]) for hit in hits]
        )


def _card(page: Path, collection: Collection, row: int, facts: list[str]) -> Card:
    name = collection.names[row]
    try:
        picture = pages.picture(collection.image(row), THUMBNAIL)
    except (OSError, ValueError):  # moved or damaged since its vector was made
        return Card(name, None, [], None)
    return Card(name, picture, facts, pages.link(page, collection.source, name))
