"""Compare networks on a sample of the user's images by exact search.

Shape letters: n images of the sample, q queries, c labels, d numbers in a vector, k hits.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from similar_images.evaluation import encoding
from similar_images.evaluation.encoding import Encoded, Sample
from similar_images.evaluation.labels import (
    SEED,
    Labels,
    choose_labels,
    measures,
    relevance,
    sampled,
    selected,
    without,
)
from similar_images.evaluation.similarities import ExactBy, labelled_rows
from similar_images.evaluation.similarities import K as DEEP
from similar_images.events import Event, Progress, Skipped, ignore, track
from similar_images.index.exact import normalise
from similar_images.index.similarity import COSINE, default_similarity
from similar_images.inputs.sources import open_source, parse_location
from similar_images.inputs.texts import PROMPT_SLOT

SAMPLE = 1000  # images
K = 8  # hits
ALTERED = 100  # images whose altered copies are searched for, without labels
# The second is CLIP's: Radford et al., "Learning transferable visual models from natural language supervision", 2021.
PROMPTS = (
    PROMPT_SLOT,
    f"a photo of a {PROMPT_SLOT}",
    f"a photo of {PROMPT_SLOT}",
    f"this is a photo of {PROMPT_SLOT}",
    f"an image of a {PROMPT_SLOT}",
)


class NetworkQuality(NamedTuple):
    """A network and the quality of the search with its vectors."""

    encoded: Encoded  # without the vectors
    similarity: str  # of an index of these vectors
    values: dict[str, dict[str, np.ndarray]]  # similarity -> measure -> a value for each query
    prompts: dict[str, np.ndarray]  # prompt -> precision@k of each label's words (c,); empty without words


class NetworkComparison(NamedTuple):
    """Networks compared on the same images."""

    folder: Path
    images: int  # in the sample
    total: int  # in the folder
    k: int
    labels: Labels | None  # of the sample
    skipped: list[Skipped]
    networks: list[NetworkQuality]
    failed: dict[str, str]  # network -> reason why it could not be used

    @property
    def measure(self) -> str:
        """The decisive measure: mAP, or without labels the share of copies with the original as first hit."""
        return "mAP" if self.labels else "copies"


def compare(
    folder: str | Path,
    networks: Sequence[str],
    sample: int = SAMPLE,
    labels: str | None = None,
    altered: int | None = None,
    k: int = K,
    progress: Progress = ignore,
) -> NetworkComparison:
    """Compare networks on about `sample` random images of a folder or archive; no file is written.

    `networks` are names as loader.load takes them, or NAME=FILE with weights of a network of Keras. Missing networks
    are downloaded. `labels`: "folders", "none" or a CSV, by default the folders if two have at least two images each.
    `altered` is the number of images with altered copies as queries, by default ALTERED without labels, else 0.
    Raises ValueError without images or labels, or if no network can be used; single failures are in `failed`.
    """
    source = open_source(parse_location(folder))
    listed = source.find()
    names = listed.names
    for sentence in listed.notes():
        progress(Event(note=sentence))
    if len(names) < 2:
        raise ValueError(f"expected at least 2 images in {folder}, got {len(names)}")
    known = choose_labels(labels, names)
    rows = sampled(names, known, sample)
    chosen = selected(known, rows) if known else None
    if altered is None:
        altered = 0 if chosen else ALTERED
    drawn = np.random.default_rng(SEED).permutation(len(rows))[:altered]
    words = [as_words(label) for label in chosen.classes] if chosen else []
    given = Sample(source, [names[row] for row in rows], drawn, words, PROMPTS)
    for _ in track(encoding.read_through(source, given.names), progress, "images read", len(rows)):
        pass
    encoded, skipped, failed = _encode(given, networks, progress)
    found = _measure(encoded, given, chosen, k)
    return NetworkComparison(Path(folder), len(rows), len(names), k, chosen, skipped, found, failed)


def as_words(label: str) -> str:
    """Return a label as words: the name of the innermost folder, with spaces."""
    return " ".join(PurePosixPath(label).name.replace("_", " ").replace("-", " ").split()) or label


def _encode(
    sample: Sample, networks: Iterable[str], progress: Progress
) -> tuple[list[Encoded], list[Skipped], dict[str, str]]:
    """Return the sample as encoded by each usable network, the images skipped by any, and reasons of failed networks."""
    found: list[Encoded] = []
    skipped: dict[str, Skipped] = {}
    failed: dict[str, str] = {}
    for network in dict.fromkeys(networks):
        bad: list[Skipped] = []
        try:
            encoder, was_here = encoding.load(network, progress)
        except (OSError, ValueError) as error:
            failed[network] = str(error)
        else:
            try:
                found.append(encoding.encode(sample, network, encoder, was_here, progress, bad))
            except ValueError as error:  # NaN; an OSError, of the folder, ends the comparison
                failed[network] = str(error)
        if network in failed:
            progress(Event(note=f"left out {network}: {failed[network]}"))
        if new := [one for one in bad if skipped.setdefault(one.name, one) is one]:
            progress(Event(skipped=tuple(new)))
    if not found:
        raise ValueError("no network could be used: " + "; ".join(f"{name}: {why}" for name, why in failed.items()))
    return found, list(skipped.values()), failed


def _measure(encoded: list[Encoded], sample: Sample, labels: Labels | None, k: int) -> list[NetworkQuality]:
    """Measure each network with the queries readable by all of them."""
    seen = np.all([one.vectors.any(axis=1) for one in encoded], axis=0)
    skipped = np.flatnonzero(~seen)
    if seen.sum() < 2:
        raise ValueError(f"expected at least 2 readable images, got {seen.sum()}")
    queries = labelled_rows(labels, skipped) if labels else skipped[:0]
    if labels and not len(queries):
        raise ValueError(f"no two images of the sample share a label of {labels.source}: use --labels none")
    copied = np.all([one.copies.any(axis=(1, 2)) for one in encoded], axis=0) & seen[sample.altered]
    if len(copied) and not copied.any():
        raise ValueError("no image for altered copies can be read")
    found = []
    for one in encoded:
        array = np.where(seen[:, None], one.vectors, 0)
        similarity = default_similarity(one.description, int(seen.sum()))
        values: dict[str, dict[str, np.ndarray]] = {}
        for name in dict.fromkeys((similarity, COSINE.name)):
            exact, found_by = ExactBy(array, name), values.setdefault(name, {})
            if labels:
                hits = exact.others(queries, max(DEEP, k))
                near, deep = (measures(relevance(labels, queries, hits[:, :some], skipped)) for some in (k, DEEP))
                found_by |= {"precision": near["precision"], "mAP": deep["mAP"]}
            if copied.any():
                copies = one.copies[copied]
                first = exact.search(normalise(copies.reshape(-1, array.shape[1])), 1).reshape(copies.shape[:2])
                found_by["copies"] = (first == sample.altered[copied, None]).mean(axis=1)
        prompts = {}
        if labels:
            prompts = {prompt: _precisions(vectors, array, labels, skipped, k) for prompt, vectors in one.words.items()}
        small = one._replace(vectors=array[:0], copies=one.copies[:0], words={})
        found.append(NetworkQuality(small, similarity, values, prompts))
    return found


def _precisions(words: np.ndarray, array: np.ndarray, labels: Labels, skipped: np.ndarray, k: int) -> np.ndarray:
    """Return precision@k by cosine for the words (c, d) of each label used by an image (n, d)."""
    indicator = without(labels, skipped)
    used = np.flatnonzero(indicator.sum(axis=0) > 0)
    hits = ExactBy(array, COSINE.name).search(normalise(words[used]), k)
    matches = [indicator[rows][:, [label]].toarray().ravel() for rows, label in zip(hits, used, strict=True)]
    return np.asarray(np.mean(matches, axis=1))
