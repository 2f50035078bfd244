#!/usr/bin/env python3
"""Measure the gain of marking hits: precision@8 of the next page of unseen images, with and without marks.

./benchmarks/feedback.py LIST.txt

The queries are 100 random images of a collection with one folder per label. A page shows the 8 nearest unseen images. A
simulated user marks up to MARKED hits of the query's label with + and up to MARKED other hits with -, then opens the
next page, three times. Without feedback the next page shows the next 8 hits of the query. The difference has a paired
95% interval.
"""

import sys
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images import Collection
from similar_images.evaluation.labels import folder_labels
from similar_images.index.quality import confidence_interval

QUERIES, PAGE, ROUNDS, SEED = 100, 8, 3, 0
MARKED = (1, 3, 8)


def precisions(collection: Collection, labels: np.ndarray, query: int, marked: int) -> list[float]:
    """Return the precision of each page of a query; `marked`: how many are marked with each sign on a page."""
    positives, negatives, seen, found = [query], [], {query}, []
    for _ in range(ROUNDS + 1):
        hits = collection.nearest(positives, k=len(seen) + PAGE, exact=True, negatives=negatives)
        page = [hit.row for hit in hits if hit.row not in seen][:PAGE]
        matches = labels[page] == labels[query]
        found.append(float(matches.mean()))
        seen |= {*page}
        positives = positives + [row for row, match in zip(page, matches, strict=True) if match][:marked]
        negatives = negatives + [row for row, match in zip(page, matches, strict=True) if not match][:marked]
    return found


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    collection = Collection.open(file)
    labels = folder_labels(collection.names)
    queries = np.random.default_rng(SEED).permutation(len(collection))[:QUERIES].tolist()
    alone = np.array([precisions(collection, labels, query, 0) for query in queries])
    print(
        f"{len(collection)} images, {collection.similarity.name}: precision@{PAGE} of page 1 to {ROUNDS + 1}, without marks"
    )
    print(
        "      "
        + "  ".join(f"{each:.3f}" for each in alone.mean(axis=0))
        + f"; found {PAGE * alone.sum(axis=1).mean():.1f}"
    )
    for marked in MARKED:
        each = np.array([precisions(collection, labels, query, marked) for query in queries])
        print(f"up to {marked} of each sign marked on a page")
        for page in range(1, ROUNDS + 1):
            mean, low, high = confidence_interval(each[:, page] - alone[:, page], minimum=-1)
            print(f"  page {page + 1}: {each[:, page].mean():.3f}, {mean:+.3f} ({low:+.3f} to {high:+.3f})")
        print(f"  found on all pages: {PAGE * each.sum(axis=1).mean():.1f}")


if __name__ == "__main__":
    main()
