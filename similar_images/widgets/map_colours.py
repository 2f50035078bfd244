"""Colours of a map's dots: a code for each image from its label, its number, or its similarity to a query."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from similar_images.collection.images import Collection
from similar_images.collection.session import QueryState, SearchRequest, SearchSession
from similar_images.overview.clusters import Clusters

UNKNOWN = 0  # the code of images without a value
OTHER = "#8fa1b3"  # of the remaining categories
# Tableau 10 (Stone 2014) without its grey: categories, the most frequent first.
CATEGORIES = (
    "#4e79a7",
    "#f28e2b",
    "#e15759",
    "#76b7b2",
    "#59a14f",
    "#edc948",
    "#b07aa1",
    "#ff9da7",
    "#9c755f",
    "#2a9d8f",
)
SCALE = (OTHER, "#d9a441", "#d1321f")  # from low to high: visible on light and on dark pages
STEPS = 254  # codes of a scale, from 1

# "entries": label, colour and count of codes 1, 2, ..., or "low", "high" and "colours" of a scale
Legend = dict[str, Any]


class Colouring(NamedTuple):
    """A code for each image, and the meaning of the codes."""

    values: Sequence[Any] | np.ndarray  # (n,): labels, numbers, None
    codes: np.ndarray  # uint8 (n,); 0: no value
    legend: Legend

    def describe(self, row: int) -> str:
        """Return the value of an image as text; empty without a value."""
        value = self.values[row] if len(self.values) else None
        if value is None or not self.codes[row]:
            return ""
        return value if isinstance(value, str) else f"{value:.4g}"


NOTHING = Colouring((), np.zeros(0, np.uint8), {"entries": []})  # all images have one colour


def colour(values: Sequence[Any] | np.ndarray, n: int) -> Colouring:
    """Return the colours of n values: floats as a scale, all others as categories. None and NaN have no colour.

    Raises ValueError for another number of values.
    """
    if len(values) != n:
        raise ValueError(f"expected a value to colour by for each of {n} images, got {len(values)}")
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return scale(array)
    return categories([_text(value) for value in array.tolist()])


def categories(labels: Sequence[str | None]) -> Colouring:
    """Return a colour for each of the most frequent labels, and one for the remaining labels."""
    counts = Counter(label for label in labels if label is not None)
    ranked = sorted(counts.items(), key=lambda one: (-one[1], _natural_key(one[0])))
    shown = len(CATEGORIES)
    code = {label: min(place, shown) + 1 for place, (label, _) in enumerate(ranked)}
    entries = [
        {"label": label, "colour": paint, "count": count}
        for (label, count), paint in zip(ranked[:shown], CATEGORIES, strict=False)
    ]
    if rest := ranked[shown:]:
        label = f"{len(rest)} other{'s' * (len(rest) > 1)}"
        entries.append({"label": label, "colour": OTHER, "count": sum(count for _, count in rest)})
    codes = np.array([UNKNOWN if label is None else code[label] for label in labels], np.uint8)
    return Colouring(labels, codes, {"entries": entries})


def scale(values: np.ndarray) -> Colouring:
    """Return the codes 1 to STEPS of floats (n,) from the lowest to the highest, 0 for NaN and infinity."""
    finite = np.isfinite(values)
    codes = np.zeros(len(values), np.uint8)
    if not finite.any():
        return Colouring(values, codes, {"entries": []})
    low, high = float(values[finite].min()), float(values[finite].max())
    share = (values[finite] - low) / (high - low) if high > low else np.ones(finite.sum())
    codes[finite] = 1 + np.round(share * (STEPS - 1)).astype(np.uint8)
    return Colouring(values, codes, {"low": low, "high": high, "colours": list(SCALE), "steps": STEPS})


def clusters(found: Clusters) -> Colouring:
    """Return the colours of clusters, each named by its most typical image."""
    names = {one.number: f"{one.number + 1}: {one.name}" for one in found}
    return categories([names.get(label) for label in found.labels.tolist()])


def similarities(collection: Collection, state: QueryState) -> np.ndarray:
    """Return the similarity of each image to a query, float32 (n,); NaN without a vector."""
    found = np.full(len(collection), np.nan, np.float32)
    hits = SearchSession(collection).search(SearchRequest(state, len(collection))).hits
    found[[hit.row for hit in hits]] = [hit.similarity for hit in hits]
    if state.row is not None and state.box is None:
        found[state.row] = 1
    return found


def _natural_key(label: str) -> list[tuple[int, str]]:
    """Return a key that sorts a label by its numbers: "2: sea" before "10: sun"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", label)]


def _text(value: object) -> str | None:
    """Return a value as a label; None for a missing one."""
    return None if value is None or value != value else str(value)
