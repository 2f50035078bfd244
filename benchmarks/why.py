#!/usr/bin/env python3
"""Measure how often an explanation's heat map peaks on the object common to both images.

./benchmarks/why.py PHOTOGRAPHS --network efficientnetlite0

Sample objects are pasted into photographs. A pair consists of an object's own picture and a photograph with it, or of two
photographs with different objects of a kind. Prints the share of peaks within the box around the object, for several
scores of a place and several window scales.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent))

from pasted_objects import COUNT, Pair, Pasted, pairs

from similar_images.collection.explanation import Seen, look, matches
from similar_images.index.similarity import COSINE, Similarity, fit
from similar_images.inputs.images import open_image, resize_to_square
from similar_images.networks import loader

Way = Callable[
    [np.ndarray, np.ndarray, Similarity], np.ndarray
]  # places of the query and of the hit -> (n,) of the hit


def unit(places: np.ndarray, similarity: Similarity) -> np.ndarray:
    return similarity.transform(places / np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12))


def contribution(query: np.ndarray, hit: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Return the contribution of each place to the similarity of the two vectors, up to a factor."""
    vector = unit(query.mean(axis=0, keepdims=True), similarity)[0]
    moved = hit / np.linalg.norm(hit.mean(axis=0))
    if similarity.matrix is not None:
        moved = moved @ similarity.matrix.T
    return (moved if similarity.offset is None else moved + similarity.offset) @ vector


def cosine(query: np.ndarray, hit: np.ndarray, similarity: Similarity) -> np.ndarray:
    return unit(hit, similarity) @ unit(query.mean(axis=0, keepdims=True), similarity)[0]


def best(query: np.ndarray, hit: np.ndarray, similarity: Similarity) -> np.ndarray:
    return (unit(hit, similarity) @ unit(query, similarity).T).max(axis=1)


def mutual(query: np.ndarray, hit: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Return the similarity of mutual best matches, 0 elsewhere."""
    products = unit(hit, similarity) @ unit(query, similarity).T
    own = products.argmax(axis=0)[products.argmax(axis=1)] == np.arange(len(hit))
    return np.where(own, products.max(axis=1), 0)


def by_length(query: np.ndarray, hit: np.ndarray, similarity: Similarity) -> np.ndarray:
    return best(query, hit, similarity) * np.linalg.norm(hit, axis=1)


def chosen(query: np.ndarray, hit: np.ndarray, similarity: Similarity) -> np.ndarray:
    return matches(query, hit, similarity)[1]


WAYS: dict[str, Way] = {
    "contribution": contribution,
    "cosine": cosine,
    "best match": best,
    "mutual best": mutual,
    "best match x length": by_length,
    "its square x length": chosen,
}
SCALES = ((1,), (2,), (3,), (2, 3))
ALL = (1, 2, 3)
WHOLE = resize_to_square(224, "bilinear")  # the networks of the table see the entire image, whatever their side


def of_scales(seen: Seen, scales: tuple[int, ...]) -> Seen:
    """Return the views at some of ALL scales."""
    return seen._replace(scales=scales, maps=[seen.maps[ALL.index(scale)].astype(np.float32) for scale in scales])


@click.command()
@click.argument("photographs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("--weights", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=COUNT, show_default=True, help="Pairs, of two photographs each.")
@click.option("--way", "ways", multiple=True, type=click.Choice(list(WAYS)), default=list(WAYS), help="only these")
def main(photographs: Path, network: str, weights: Path | None, count: int, ways: tuple[str, ...]) -> None:
    encoder = loader.load(network, loader.LoadOptions(weights_file=weights))
    pasted, seen = list(pairs(photographs, count)), []
    for pair in pasted:
        for image in (pair.own, pair.one.image, pair.other.image):
            found = look(encoder, image, ALL)
            seen.append(found._replace(maps=[maps.astype(np.float16) for maps in found.maps]))
    images = [*(open_image(file) for file in sorted(photographs.glob("*.jpg"))), *(one.one.image for one in pasted)]
    images += [image for one in pasted for image in (one.other.image, one.own)]
    vectors = np.concatenate([encoder.encode(encoder.preparation(image)[None]) for image in images])
    print(f"{network}, {len(pasted)} pairs of each sort, peaks in the box of the object")
    print("way                  similarity  scales  own picture  two photographs  both peaks")
    for way in ways:
        for similarity in (COSINE, fit(vectors, "centred"), fit(vectors, "whitened")):
            for scales in SCALES:
                own, two = peaks(pasted, seen, WAYS[way], similarity, scales)
                both = two.reshape(-1, 2).all(axis=1).mean()
                sides = "+".join(map(str, scales))
                print(
                    f"{way:20} {similarity.name:11} {sides:6} {own.mean():12.2f} {two.mean():16.2f} {both:11.2f}",
                    flush=True,
                )


def peaks(
    pasted: list[Pair], seen: list[Seen], way: Way, similarity: Similarity, scales: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the peaks are on the object: of the pairs with its own picture, and of the others, twice as many."""
    own, two = [], []
    for n, pair in enumerate(pasted):
        picture, one, other = (of_scales(found, scales) for found in seen[3 * n : 3 * n + 3])
        own.append(is_on(pair.one, one, way(picture.places, one.places, similarity)))
        two.append(is_on(pair.one, one, way(other.places, one.places, similarity)))
        two.append(is_on(pair.other, other, way(one.places, other.places, similarity)))
    return np.array(own), np.array(two)


def is_on(pasted: Pasted, seen: Seen, values: np.ndarray) -> bool:
    """Return whether the peak of a heat map of these values is on the object."""
    return pasted.has(*seen.heat(values, WHOLE).peak(*pasted.image.size))


if __name__ == "__main__":
    main()
