#!/usr/bin/env python3
"""Measure how often words are reported as without a close match, for words present in and absent from a collection.

./benchmarks/words.py CLASSES PHOTOGRAPHS   # a folder of folders of images; one with labels.csv: image, labels joined by ;
pip install torchvision==0.28.0             # for the names of ImageNet's classes

The encoder of images and words has real weights and has seen neither the images nor the words: a convex combination of
semantic embeddings (Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", 2014), made from
the classes of EfficientNet-Lite and the vectors of all-MiniLM-L6-v2 for their names. Collections are random subsets of
the classes, and the photographs; each class name is a query. For absent words, the photographs showing them are left
out. "Shown" are queries with two of the best three hits right.

Compares three measures: the share of phrases that describe the hits better (used by `Collection.is_like_nothing`), the
standard deviations by which the hits exceed the mean similarity of the words, and the share of phrases with better hits.
"""

import csv
import runpy
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.collection.images import MAX_BETTER_PHRASES, WORDS_HITS
from similar_images.collection.phrases import PHRASES, described_better
from similar_images.index.exact import normalise
from similar_images.inputs.images import open_image
from similar_images.networks import catalog, efficientnet_lite, loader
from similar_images.networks.text import load_text_network
from similar_images.networks.torch_file import read_tensors

NEAREST, SEED = 10, 0  # combined classes; seed of the subsets
SUBSETS = ((50, 20), (10, 60), (2, 100))  # classes, repetitions
SAME = {"Faces_easy": "Faces"}  # two folders of one kind
SYNONYMS = {
    "airplanes": "airplane",
    "car_side": "car",
    "Motorbikes": "motorcycle",
    "cellphone": "cell phone",
    "Faces": "face",
}


class Sees:
    """Vectors of images and of words in one space."""

    def __init__(self, network: str):
        # Read without importing the package, whose operators want a torch of the same build.
        package = Path(str(find_spec("torchvision").origin)).parent
        names = runpy.run_path(str(package / "models" / "_meta.py"))["_IMAGENET_CATEGORIES"]
        weights = efficientnet_lite.WEIGHTS[network].sha256
        tensors = read_tensors(efficientnet_lite.weights_file(catalog.NETWORKS[network]), weights)
        self._classifier, self._bias = tensors["_fc.weight"], tensors["_fc.bias"]
        self._encoder, self._reader = loader.load(network), load_text_network()
        self._names = self.words([f"a photo of a {name}" for name in names])

    def words(self, texts: list[str]) -> np.ndarray:
        return normalise(self._reader.encode(texts))

    def images(self, files: list[Path]) -> np.ndarray:
        seen = [self._encoder.encode(self._encoder.preparation(open_image(file))[None])[0] for file in files]
        logits = np.stack(seen) @ self._classifier.T + self._bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.put_along_axis(shares, np.argsort(-shares, axis=1)[:, NEAREST:], 0, axis=1)
        return normalise((shares @ self._names).astype(np.float32))


def measures(
    vectors: np.ndarray, words: np.ndarray, phrases: np.ndarray, own: np.ndarray
) -> tuple[float, float, float]:
    """Return the three measures, larger for absent words; `own` (n, p): similarities of phrases to images."""
    similarities = vectors @ words
    best = np.argsort(-similarities)[:WORDS_HITS]
    above = (similarities[best].mean() - similarities.mean()) / similarities.std()
    better = (np.sort(own, axis=0)[-WORDS_HITS:].mean(axis=0) > similarities[best].mean()).mean()
    return described_better(vectors[best], words, phrases), -above, float(better)


class Case:
    """Measures of shown and of absent queries in one kind of collection."""

    def __init__(self, phrases: np.ndarray):
        self._phrases, self.shown, self.absent = phrases, [], []

    def add(self, vectors: np.ndarray, words: np.ndarray, shows: np.ndarray) -> None:
        """Add one query; `shows` (n,) marks the images that show it."""
        right = shows[np.argsort(-(vectors @ words))[:WORDS_HITS]].sum() > WORDS_HITS / 2
        if right or not shows.any():
            found = measures(vectors, words, self._phrases, vectors @ self._phrases.T)
            (self.shown if right else self.absent).append(found)

    def lines(self, limits: list[float]) -> Iterator[str]:
        shown, absent = np.array(self.shown), np.array(self.absent)
        ways = ("phrases that describe the hits better", "deviations above the mean", "phrases with better hits")
        for way, name in enumerate(ways):
            order = np.concatenate([shown[:, way], absent[:, way]])
            ranked = (order[:, None] > order[None]).mean(axis=1) + (order[:, None] == order[None]).mean(axis=1) / 2
            area = (ranked[len(shown) :].mean() - ranked[: len(shown)].mean()) + 0.5
            flagged = [(part[:, way] > limits[way]).mean() for part in (shown, absent)]
            yield f"  {name:38} {flagged[0]:5.3f} {flagged[1]:6.3f} {area:15.3f}"


@click.command()
@click.argument("classes", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("photographs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", "networks", multiple=True, default=("efficientnetlite0", "efficientnetlite2"))
@click.option("--prompt", default="a {}", show_default=True)
def main(classes: Path, photographs: Path, networks: tuple[str, ...], prompt: str) -> None:
    files = sorted(classes.glob("*/*.jpg"))
    labels = np.array([SAME.get(file.parent.name, file.parent.name) for file in files])
    with (photographs / "labels.csv").open(newline="") as table:
        objects = {row["image"]: set(row["labels"].split(";")) - {""} for row in csv.DictReader(table)}
    names = sorted(set(labels))
    said = [SYNONYMS.get(name, name.lower().replace("_", " ")) for name in names]
    limits: list[float] = []
    print(
        f"{len(files)} images of {len(names)} classes, {len(objects)} photographs; said of shown, of absent; area under ROC"
    )
    for network in networks:
        sees = Sees(network)
        phrases, words = sees.words(PHRASES), sees.words([prompt.format(one) for one in said])
        vectors = sees.images(files)
        random = np.random.default_rng(SEED)
        for kept, repeated in SUBSETS:
            case = Case(phrases)
            for _ in range(repeated):
                rows = np.isin(labels, random.permutation(names)[:kept])
                for name, one in zip(names, words, strict=True):
                    case.add(vectors[rows], one, labels[rows] == name)
            # limits of the other measures flag as many shown queries in the first case
            limits = limits or [MAX_BETTER_PHRASES, *_equal(np.array(case.shown))]
            print(f"{network}, {kept} classes: {len(case.shown)} queries shown, {len(case.absent)} absent")
            print("\n".join(case.lines(limits)), flush=True)
        case, vectors = Case(phrases), sees.images([photographs / image for image in objects])
        kinds = sorted(set().union(*objects.values()))
        for kind, one in zip(kinds, sees.words([prompt.format(kind) for kind in kinds]), strict=True):
            shows = np.array([kind in found for found in objects.values()])
            case.add(vectors, one, shows)
            case.add(vectors[~shows], one, shows[~shows])
        print(f"{network}, photographs: {len(case.shown)} queries shown, {len(case.absent)} absent")
        print("\n".join(case.lines(limits)), flush=True)


def _equal(shown: np.ndarray) -> list[float]:
    share = (shown[:, 0] > MAX_BETTER_PHRASES).mean()
    return [float(np.quantile(shown[:, way], 1 - share)) for way in (1, 2)]


if __name__ == "__main__":
    main()
