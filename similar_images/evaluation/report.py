"""The results of evaluations as a table, as JSON, as CSV and as one HTML page."""

import csv
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from similar_images.collection.base import BaseCollection
from similar_images.collection.images import Collection
from similar_images.evaluation.evaluation import RECALL_AT, Evaluation
from similar_images.evaluation.labels import (
    Relevance,
    class_precisions,
    measures,
    mistaken_for,
    queries_with,
    unlabelled,
)
from similar_images.index.quality import confidence_interval
from similar_images.inputs.names import escape_line, to_csv_cell
from similar_images.networks.extras import need
from similar_images.records import to_json
from similar_images.templates import pages

WORST = 8  # classes, each with its worst query
SAMPLES = 6  # other queries
SHOWN = 8  # hits per query
SIDE = 144  # pixels, of a thumbnail
MEASURES = ("precision", "mAP", "nDCG", "kNN accuracy")


Summary = Mapping[str, Any]  # of JSON values
Row = tuple[str, list[str]]  # of a table: a name and its cells


class Tile(NamedTuple):
    name: str
    caption: str
    match: bool | None  # None: no labels, or the query itself
    address: str | None  # data: URL of the thumbnail; None: the image cannot be read


class WorstClass(NamedTuple):
    """A class with low precision, and its worst query."""

    label: str
    queries: int
    precision: str
    instead: str | None  # the most common label of its wrong hits
    tiles: list[Tile]

    @classmethod
    def of(cls, one: Evaluation, found: Relevance, label: str, queries: int, precision: float) -> "WorstClass":
        of_class = np.nonzero(queries_with(found, label))[0]
        worst = int(of_class[(found.gains[of_class] > 0).sum(axis=1).argmin()])
        return cls(label, queries, f"{precision:.2f}", mistaken_for(found, label), _tiles(one, worst))


def summary(one: Evaluation) -> Summary:
    """Return the measures by name, each mean with its 95% interval, for JSON."""
    collection, k = one.config.collection, one.rows.shape[1]
    p50, p95, p99 = np.percentile(one.milliseconds, [50, 95, 99]).tolist()
    content = {
        "vectors": str(collection.vectors.path),
        "index": None if one.config.exact else str(one.config.used_index.path),
        "recipe": one.config.recipe,
        "similarity": collection.similarity.name,
        "network": collection.network.name if collection.network else None,
        "n": len(collection),
        "d": collection.array.shape[1],
        "bytes": one.bytes,
        "queries": len(one.queries),
        "k": k,
        "ms": {"p50": p50, "p95": p95, "p99": p99, "queries": len(one.milliseconds)},
        "queries_per_second": one.queries_per_second,
        "recall": {str(size): one.recall_interval(size) for size in one.recalls},
        "curve": [point._asdict() for point in one.curve],
        "labels": None,
        "alterations": None,
    }
    if one.relevance:
        content["labels"] = {
            "source": one.relevance.labels.source,
            "classes": len(one.relevance.labels.classes),
            "unlabelled": unlabelled(one.relevance.labels),
            "queries": int(one.relevance.counts.sum()),
            **{name: confidence_interval(values) for name, values in measures(one.relevance).items()},
            "by_class": [
                {"label": label, "queries": count, "precision": share}
                for label, count, share in class_precisions(one.relevance)
            ],
        }
    if one.ranks:
        content["alterations"] = {
            name: {
                "images": len(ranks),
                "recall_1": confidence_interval(ranks == 1),
                f"recall_{k}": confidence_interval(ranks > 0),
            }
            for name, ranks in one.ranks.items()
        }
    values: Summary = to_json(content)
    return values


def as_csv(evaluations: list[Evaluation]) -> str:
    """Return the summaries as CSV, one row each, without classes and curve; column `a.b` is key b of a."""
    rows = [dict(_flatten(summary(one))) for one in evaluations]
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writerow({column: to_csv_cell(column) for column in columns})
    writer.writerows(
        {key: to_csv_cell(cell) if isinstance(cell, str) else cell for key, cell in row.items()} for row in rows
    )
    return text.getvalue()


def as_table(evaluations: list[Evaluation]) -> str:
    """Return the measures for a terminal, one column per evaluation."""
    return aligned([("", titles(evaluations)), *lines(evaluations)])


def aligned(rows: list[Row]) -> str:
    """Return rows for a terminal, each a name and its cells, with their columns aligned."""
    rows = [(escape_line(name), list(map(escape_line, cells))) for name, cells in rows]
    first = max(len(name) for name, _ in rows)
    widths = [max(len(cell) for cell in column) for column in zip(*(cells for _, cells in rows), strict=True)]
    return "\n".join(
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]).rstrip()
        for name, cells in rows
    )


def titles(evaluations: list[Evaluation]) -> list[str]:
    """Return a short unique name for each: its recipe, with the collection or the index if needed."""
    several = len({one.config.collection.vectors.path for one in evaluations}) > 1
    names = [
        f"{_name(one.config.collection)}: {one.config.recipe}" if several else one.config.recipe for one in evaluations
    ]
    if len({one.config.collection.similarity.name for one in evaluations}) > 1:
        names = [
            f"{name}, {one.config.collection.similarity.name}" for name, one in zip(names, evaluations, strict=True)
        ]
    return [
        f"{name} ({one.config.used_index.path.name})" if names.count(name) > 1 and not one.config.exact else name
        for name, one in zip(names, evaluations, strict=True)
    ]


def lines(evaluations: list[Evaluation]) -> list[Row]:
    """Return the rows of the table: a measure and its value in each evaluation, as text."""
    k = max(one.rows.shape[1] for one in evaluations)
    rows = [
        (f"{_noun(evaluations)}s", [f"{len(one.config.collection):,}" for one in evaluations]),
        ("numbers in a vector", [f"{one.config.collection.array.shape[1]:,}" for one in evaluations]),
        ("queries", [f"{len(one.queries):,}" for one in evaluations]),
        ("MB", [f"{one.bytes / 1e6:.2f}" for one in evaluations]),
    ]
    for share in (50, 95, 99):
        cells = [f"{np.percentile(one.milliseconds, share):.2f}" for one in evaluations]
        rows.append((f"ms a query, p{share}", cells))
    rows.append(("queries/s at once", [f"{one.queries_per_second:,.0f}" for one in evaluations]))
    rows += [
        (f"recall@{size}", ["1.000" if one.config.exact else as_interval(one.recalls[size]) for one in evaluations])
        for size in RECALL_AT
    ]
    measured = [measures(one.relevance) if one.relevance else {} for one in evaluations]
    for name in MEASURES if any(measured) else ():
        rows.append((f"{name}@{k}", [as_interval(each.get(name)) for each in measured]))
    for name in next((one.ranks for one in evaluations if one.ranks), {}):
        rows.append((f"copies, {name}: first / in {k}", [_share(one.ranks, name) for one in evaluations]))
    return rows


def write(path: Path, evaluations: list[Evaluation]) -> None:
    """Write a page with table, plots, and the worst classes and sample queries of each collection.

    Raises OSError without Matplotlib.
    """
    plots = load_plots()
    names = titles(evaluations)
    groups = [list(group) for _, group in groupby(evaluations, lambda one: one.config.collection.vectors.path)]
    pages.write(
        path,
        "report.html",
        noun=_noun(evaluations),
        titles=names,
        lines=lines(evaluations),
        k=evaluations[0].rows.shape[1],
        costs=plots.in_page_style(plots.costs, names, evaluations),
        copies=plots.in_page_style(plots.copy_shares, names, evaluations),
        collections=[_section(group[0]) for group in groups],
    )


def load_plots() -> ModuleType:
    """Return the module of the plots. Raises OSError, with the command that installs it, without Matplotlib."""
    need("matplotlib", "evaluate", "a report")
    from similar_images.evaluation import plots

    return plots


def _section(one: Evaluation) -> dict[str, object]:
    """Return the template's content for one collection, from its first search configuration."""
    plots = load_plots()
    found = one.relevance
    classes = class_precisions(found) if found else []
    worst = [WorstClass.of(one, found, *entry) for entry in classes[:WORST] if found and entry[2] < 1]
    samples = [_tiles(one, query) for query in range(min(SAMPLES, len(one.queries)))]
    tiles = [tile for row in [*(entry.tiles for entry in worst), *samples] for tile in row]
    return {
        "name": _name(one.config.collection),
        "recipe": one.config.recipe,
        "similarities": plots.in_page_style(plots.similarities, one),
        "classes": plots.in_page_style(plots.classes, classes, len(worst)) if classes else None,
        "worst": worst,
        "samples": samples,
        "unseen": sum(tile.address is None for tile in tiles),
        "seen": sum(tile.address is not None for tile in tiles),
        "folder": str(one.config.collection.source.path) if one.config.collection.source else None,
        "unlabelled": unlabelled(found.labels) if found else 0,
    }


def _noun(evaluations: list[Evaluation]) -> str:
    return evaluations[0].config.collection.noun


def _tiles(one: Evaluation, query: int) -> list[Tile]:
    """Return the query and its first hits."""
    collection, found = one.config.collection, one.relevance
    tiles = [_tile(collection, int(one.queries[query]), "query", None)]
    hits = zip(one.rows[query, :SHOWN], one.similarities[query, :SHOWN], strict=True)
    for rank, (row, similarity) in enumerate(hits):
        if row >= 0:
            match = bool(found.gains[query, rank] > 0) if found else None
            tiles.append(_tile(collection, int(row), f"{similarity:.2f}", match))
    return tiles


def _tile(collection: BaseCollection[Any], row: int, caption: str, match: bool | None) -> Tile:
    address = None
    if isinstance(collection, Collection) and collection.source is not None:
        with suppress(OSError, ValueError):  # the folder or archive may have moved
            address = pages.picture(collection.image(row), SIDE)
    return Tile(collection.names[row], caption, match, address)


def _flatten(content: Summary, prefix: str = "") -> list[tuple[str, object]]:
    pairs = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += _flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            pairs.append((prefix + key, value))
    return pairs


def as_interval(values: np.ndarray | None, minimum: float = 0.0) -> str:
    """Return the mean of values from `minimum` to 1 with its 95% interval as text, with signs if they are differences."""
    if values is None:
        return ""
    sign = "+" if minimum < 0 else ""
    middle, low, high = (format(one, f"{sign}.3f") for one in confidence_interval(values, minimum))
    return f"{middle} [{low}, {high}]"


def _share(ranks: dict[str, np.ndarray] | None, name: str) -> str:
    return f"{(ranks[name] == 1).mean():.2f} / {(ranks[name] > 0).mean():.2f}" if ranks else ""


def _name(collection: BaseCollection[Any]) -> str:
    return re.sub(r"(\.txt)?(\.saved_predictions)?\.npy$", "", collection.vectors.path.name).removesuffix("_file_list")
