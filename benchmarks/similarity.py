#!/usr/bin/env python3
"""Compare the similarities cosine, centred and whitened by labelled images, marked hits and texts.

./benchmarks/similarity.py FOLDER... --network efficientnetlite0 --network mobilenetv2 --weights mobilenetv2=FILE
./benchmarks/similarity.py VECTORS.npy
./benchmarks/similarity.py --sts sts-dev.tsv --texts tweets.csv

FOLDER has one folder per class; names of VECTORS start with the class. Every image is a query (at most 2,000), by exact
search. mAP covers the whole ranking and is followed by the mean difference to the cosine with a paired 95% interval.
The second table repeats this for random parts with few classes, like small collections. The third simulates marks: 100
queries with the first two hits of their class as further positives and the first three others as negatives; AP covers
the unmarked images. STS: Spearman's correlation with human ratings, for a similarity fitted on the texts.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.evaluation.labels import folder_labels
from similar_images.index import similarity
from similar_images.index.exact import normalise
from similar_images.index.quality import confidence_interval
from similar_images.inputs.names import read_names
from similar_images.vectors.store import list_path

NAMES = similarity.SIMILARITIES
QUERIES, MARKED, SEED = 2000, 100, 0
PARTS = 60, 100, 200, 400, 800, 1600, 4000
SCRIPT = Path(__file__).parent.parent / "extract_image_vectors.py"


def ranked(unit: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return all rows but the query's own, the nearest first, for unit vectors (n, c) and rows (q,): (q, n - 1)."""
    products = unit[queries] @ unit.T
    products[np.arange(len(queries)), queries] = np.inf
    return np.argsort(-products, axis=1, kind="stable")[:, 1:]


def average_precision(matches: np.ndarray) -> np.ndarray:
    """Return AP (q,) of whole rankings, bool (q, n)."""
    precisions = matches.cumsum(axis=1) / np.arange(1, matches.shape[1] + 1)
    return (precisions * matches).sum(axis=1) / matches.sum(axis=1)


def measure(unit: np.ndarray, labels: np.ndarray, name: str, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AP and precision@8 (q,) of the queries that match others."""
    moved = similarity.fit(unit, name).transform(unit)
    matches = labels[ranked(moved, queries)] == labels[queries][:, None]
    matches = matches[matches.any(axis=1)]
    return average_precision(matches), matches[:, :8].mean(axis=1)


def whole(title: str, unit: np.ndarray, labels: np.ndarray) -> None:
    queries = np.random.default_rng(SEED).permutation(len(unit))[:QUERIES]
    found = {name: measure(unit, labels, name, queries) for name in NAMES}
    print(
        f"\n{title}: {len(unit)} images, {len(np.unique(labels))} classes\nsimilarity  precision@8    mAP  difference to cosine"
    )
    for name, (ap, precision) in found.items():
        mean, low, high = confidence_interval(ap - found["cosine"][0], minimum=-1)
        print(
            f"{name:10} {precision.mean():12.3f} {ap.mean():6.3f}  {mean:+.3f} ({low:+.3f} to {high:+.3f})", flush=True
        )


def parts(unit: np.ndarray, labels: np.ndarray) -> None:
    print("images  mAP of cosine  centred  whitened (differences; in brackets the worst of ten parts)")
    random, classes = np.random.default_rng(SEED), np.unique(labels)
    for n in (n for n in PARTS if n < len(unit)):
        rows = []
        for _ in range(10):
            chosen = random.choice(classes, min(len(classes), max(3, n // 15)), replace=False)
            pool = np.flatnonzero(np.isin(labels, chosen))
            part = random.choice(pool, min(n, len(pool)), replace=False)
            queries = np.arange(len(part))[:QUERIES]
            rows.append([measure(unit[part], labels[part], name, queries)[0].mean() for name in NAMES])
        table = np.array(rows)
        gains = table[:, 1:] - table[:, :1]
        said = "  ".join(f"{gain.mean():+.3f} ({gain.min():+.3f})" for gain in gains.T)
        print(f"{n:6} {table[:, 0].mean():14.3f}  {said}", flush=True)


def marks(unit: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Print AP over unmarked images for the query alone, with positives, and with negatives too, for shares of these."""
    moved = similarity.fit(unit, name).transform(unit)
    counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    able = np.array([row for row, label in enumerate(labels) if counts[label] >= 6])
    queries = np.random.default_rng(SEED).permutation(able)[:MARKED]
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    found: dict[tuple, list[float]] = {}
    for query, hits in zip(queries, ranked(moved, queries), strict=True):
        matches = labels[hits] == labels[query]
        positives, negatives = hits[matches][:2], hits[~matches][:3]
        unseen = np.setdiff1d(np.arange(len(unit)), [query, *positives, *negatives])
        for chosen in ([query], [query, *positives]):
            for share in shares:
                direction = moved[chosen].mean(axis=0) - share * moved[negatives].mean(axis=0)
                order = unseen[np.argsort(-(moved[unseen] @ direction), kind="stable")]
                ap = average_precision((labels[order] == labels[query])[None])[0]
                found.setdefault((len(chosen), share), []).append(ap)
    alone = np.array(found[1, 0.0])
    print(f"positives, share of 3 negatives: AP over unmarked images of {len(queries)} queries, {name}")
    for (positives, share), aps in found.items():
        mean, low, high = confidence_interval(np.array(aps) - alone, minimum=-1)
        print(f"{positives} {share:5.2f}  {np.mean(aps):.3f}  {mean:+.3f} ({low:+.3f} to {high:+.3f})")


def texts(sts_file: Path, texts_file: Path | None) -> None:
    from scipy.stats import spearmanr

    from similar_images.evaluation import sts
    from similar_images.inputs.texts import read_texts
    from similar_images.networks import text

    encoder, pairs = text.load_text_network(), sts.read_pairs(sts_file)
    unit = normalise(encoder.encode([*pairs.first, *pairs.second]))
    fitted_on = {"its own sentences": unit}
    if texts_file:
        fitted_on[texts_file.name] = normalise(encoder.encode(read_texts(texts_file)[:5000]))
    for what, sample in fitted_on.items():
        for name in NAMES:
            moved = similarity.fit(sample, name).transform(unit)
            products = np.einsum("pd,pd->p", *np.split(moved, 2))
            print(f"STS, {name:8} fitted on {what}: Spearman {spearmanr(products, pairs.scores)[0]:.4f}")


def vectors(place: Path, networks: tuple[str, ...], weights: dict[str, str], scratch: Path):
    """Yield a title, unit vectors and labels: of the file, or of the folder for each network."""
    if place.is_file():
        yield place.name, normalise(np.load(place)), folder_labels(read_names(list_path(place)))
        return
    for network in networks:
        output = scratch / f"{place.name}-{network}.npy"
        command = [sys.executable, str(SCRIPT), "-d", str(place.absolute()), "--network", network, "-o", str(output)]
        command += ["--weights", weights[network]] if network in weights else []
        subprocess.run(command, check=True, capture_output=True)
        yield f"{place.name}, {network}", normalise(np.load(output)), folder_labels(read_names(list_path(output)))


@click.command()
@click.argument("places", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--network", "networks", multiple=True, default=("efficientnetlite0",), show_default=True)
@click.option("--weights", multiple=True, help="NETWORK=FILE")
@click.option("--sts", "sts_file", type=click.Path(exists=True, path_type=Path))
@click.option("--texts", "texts_file", type=click.Path(exists=True, path_type=Path))
def main(
    places: tuple[Path, ...], networks: tuple[str, ...], weights: tuple[str, ...], sts_file: Path, texts_file: Path
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for place in places:
            for title, unit, labels in vectors(
                place, networks, dict(one.split("=", 1) for one in weights), Path(scratch)
            ):
                kept = unit.any(axis=1)  # of images that could be read
                whole(title, unit[kept], labels[kept])
                parts(unit[kept], labels[kept])
                for name in ("cosine", "whitened"):
                    marks(unit[kept], labels[kept], name)
    if sts_file:
        texts(sts_file, texts_file)


if __name__ == "__main__":
    main()
