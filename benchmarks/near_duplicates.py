#!/usr/bin/env python3
"""Measure precision and recall of near-duplicates: altered copies of photographs among other photographs.

./benchmarks/near_duplicates.py PHOTOGRAPHS OTHERS [--network mobilenetv2 --weights FILE]

PHOTOGRAPHS and OTHERS are folders without common pictures. The first table covers all pairs and alterations and helps
to choose a threshold. The second shows the groups that `similar-images duplicates` forms at a threshold, with five
copies of each photograph. OTHERS may contain duplicates: their pairs are counted separately and listed with --pairs.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.duplicate_threshold import THRESHOLDS
from similar_images.evaluation.duplicates import find_pairs, group
from similar_images.index.exact import normalise
from similar_images.inputs import images
from similar_images.inputs.images import read_pixels
from similar_images.inputs.sources import open_source
from similar_images.networks.catalog import Encoder
from similar_images.networks.loader import LoadOptions, load

PHOTOGRAPHS = 200
COPIES = ["crop", "flip", "jpeg", "colour", "text"]
CURVE = np.arange(0.70, 0.99, 0.02)
BATCH = 32


@click.command()
@click.argument("photographs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("others", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("-m", "--model", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path))
@click.option("--threshold", type=float, help="[default: the network's]")
@click.option("--pairs", is_flag=True, help="List the pairs among the others, to check them by eye.")
def main(
    photographs: Path,
    others: Path,
    network: str,
    model: Path | None,
    weights: Path | None,
    threshold: float | None,
    pairs: bool,
) -> None:
    encoder = load(network, LoadOptions(model, weights))
    names = open_source(photographs).find().names[:PHOTOGRAPHS]
    other_names = open_source(others).find().names
    copies = normalise(encode(encoder, with_copies(photographs, names)))
    copies = copies.reshape(len(names), 1 + len(ALTERATIONS), -1)  # photographs, itself and its alterations, d
    unit = normalise(encode(encoder, (images.open_image(others / name) for name in other_names)))
    curve(copies, unit)
    threshold = threshold or THRESHOLDS[network]
    kept = [0, *(1 + list(ALTERATIONS).index(name) for name in COPIES)]
    found = at_threshold(copies[:, kept], unit, threshold)
    if pairs:
        for similarity, one, other in found:
            print(f"{similarity:.3f}  {other_names[one]}  {other_names[other]}")


def with_copies(folder: Path, names: list[str]) -> Iterable:
    for name in names:
        image = images.open_image(folder / name)
        yield image
        yield from (alter(image) for alter in ALTERATIONS.values())


def encode(encoder: Encoder, sources: Iterable) -> np.ndarray:
    """Return vectors (n, d)."""
    pixels, vectors = [], []
    for source in sources:
        pixels.append(read_pixels(source, encoder.preparation))
        if len(pixels) == BATCH:
            vectors.append(encoder.encode(np.stack(pixels)))
            pixels = []
    return np.concatenate(vectors + ([encoder.encode(np.stack(pixels))] if pixels else []))


def curve(copies: np.ndarray, others: np.ndarray) -> None:
    """Print for each threshold the recall of each alteration and the number of other pairs."""
    true = np.einsum("id,iad->ia", copies[:, 0], copies[:, 1:])
    every = copies.reshape(-1, copies.shape[2])
    family = np.repeat(np.arange(len(copies)), copies.shape[1])
    within = (every @ every.T)[np.triu(family[:, None] != family, 1)]  # triu: each pair once
    across, among = every @ others.T, (others @ others.T)[np.triu_indices(len(others), 1)]
    print(f"{len(copies)} photographs, {len(others)} others. Share of the copies found at each")
    print("threshold " + " ".join(f"{name:>8}" for name in ALTERATIONS) + "  false pairs  pairs among others")
    for threshold in CURVE:
        recalls = " ".join(f"{recall:8.3f}" for recall in (true >= threshold).mean(axis=0))
        false = (within >= threshold).sum() + (across >= threshold).sum()
        print(f"{threshold:9.2f} {recalls} {false:12} {(among >= threshold).sum():19}")


def at_threshold(copies: np.ndarray, others: np.ndarray, threshold: float) -> list[tuple[float, int, int]]:
    """Print precision and recall of the groups; return grouped pairs among the other photographs."""
    size = copies.shape[1]
    vectors = np.concatenate([copies.reshape(-1, copies.shape[2]), others])
    known = copies.shape[0] * size
    family = np.append(np.repeat(np.arange(len(copies)), size), np.arange(known, len(vectors)))
    groups = group(vectors, find_pairs(vectors, threshold), threshold)
    label = -1 - np.arange(len(vectors))  # a row without a group
    for number, one in enumerate(groups):
        label[one.rows] = number
    together = label[:, None] == label
    np.fill_diagonal(together, False)
    true = family[:, None] == family
    print(f"\nin the groups at {threshold}, {size - 1} copies of each photograph:")
    print("alteration  precision  recall")
    for kind, name in enumerate(COPIES, 1):
        rows = np.arange(kind, known, size)
        pairs = together[rows]
        recall = together[rows, rows - kind].mean()
        print(f"{name:10} {(pairs & true[rows]).sum() / max(pairs.sum(), 1):10.4f} {recall:7.3f}")
    hits = (together & true).sum() // 2
    false = np.triu(together & ~true)[:known].sum()
    found = [(float(others[i] @ others[j]), i, j) for i, j in np.argwhere(np.triu(together[known:, known:]))]
    print(f"{hits} pairs of one photograph, {false} pairs of two, {len(found)} pairs among the others:")
    print(f"precision {hits / (hits + false):.4f}; {hits / (hits + false + len(found)):.4f} if all the last are false")
    return sorted(found, reverse=True)


if __name__ == "__main__":
    main()
