"""The clusters of a collection as CSV and as a page."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from similar_images.collection.images import Collection
from similar_images.collection.searcher import Hit
from similar_images.inputs.names import csv_cell_for
from similar_images.overview.clusters import Clusters
from similar_images.templates import pages

SHOWN = 8  # thumbnails of a cluster
CLUSTERS = 300  # on the page
THUMBNAIL = 240  # pixels


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


def _sections(page: Path, collection: Collection, clusters: Clusters, k: int) -> Iterator[dict[str, Any]]:
    """Yield the sections of the page one at a time: all thumbnails together may not fit into memory."""
    for cluster in clusters[:CLUSTERS]:
        cards = [_card(page, collection, row) for row in cluster.rows[:SHOWN].tolist()]
        yield {"title": cluster.name, "about": f"{cluster.size} images", "cards": cards, "is_cluster": True}
    if len(clusters) > CLUSTERS:
        yield {
            "title": f"{len(clusters) - CLUSTERS} smaller clusters",
            "about": "only in the CSV",
            "cards": [],
            "is_cluster": False,
        }
    for title, about, hits in (
        ("Outliers", "the most isolated; the mean similarity to the 8 nearest", collection.outliers(k)),
        ("Typical", "near to most others; the mean similarity to these", collection.typical(k)),
        (
            "Spread",
            "they cover the collection; the mean similarity to the images each represents",
            collection.spread(k),
        ),
    ):
        yield {"title": title, "about": about, "cards": _cards(page, collection, hits), "is_cluster": False}


def _cards(page: Path, collection: Collection, hits: list[Hit]) -> list[dict[str, Any]]:
    return [_card(page, collection, hit.row) | {"facts": [f"similarity {hit.similarity:.3f}"]} for hit in hits]


def _card(page: Path, collection: Collection, row: int) -> dict[str, Any]:
    name = collection.names[row]
    try:
        picture = pages.picture(collection.image(row), THUMBNAIL)
    except (OSError, ValueError):  # moved or damaged since its vector was made
        return {"name": name, "picture": None, "facts": [], "link": None}
    return {"name": name, "picture": picture, "facts": [], "link": pages.link(page, collection.source, name)}
