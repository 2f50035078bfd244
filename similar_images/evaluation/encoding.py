"""What one network makes of a sample of images, and how fast: vectors of the images, of altered copies, of words.

Shape letters: n images, m of them with altered copies, a alterations, c labels, b in a batch, d numbers in a vector.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.evaluation import Track
from similar_images.events import Skipped
from similar_images.inputs.images import open_image
from similar_images.inputs.sources import Source
from similar_images.inputs.texts import fill_prompt
from similar_images.networks import batch_size, hub_files, loader, onnx
from similar_images.networks.catalog import NETWORKS, Encoder
from similar_images.networks.description import NetworkDescription, reads_words
from similar_images.networks.efficientnet_lite import weights_file
from similar_images.networks.hub_files import Tell
from similar_images.vectors.from_images import encoded

SIDE = 1024  # pixels; larger images are reduced before they are altered
REPEATS = 3  # timed batches, of which the fastest counts: other work on the machine only slows down


class Encoded(NamedTuple):
    """What a network made of a sample, and what that took."""

    network: str  # as it was named
    description: NetworkDescription
    engine: str
    vectors: np.ndarray  # float32 (n, d); zeros where an image cannot be read
    copies: np.ndarray  # float32 (m, a, d); zeros likewise
    words: dict[str, np.ndarray]  # prompt -> float32 (c, d); empty if the network does not read words
    rate: float  # images/s, with decoding
    alone: float  # images/s of the network alone
    bytes: int | None  # of the weights on this machine; None: not known
    was_here: bool  # whether nothing had to be downloaded


class Sample(NamedTuple):
    """What is encoded by each network."""

    source: Source
    names: list[str]
    altered: np.ndarray  # rows int (m,)
    words: list[str]  # of the labels
    prompts: Sequence[str]


def split_weights(network: str) -> tuple[str, Path | None]:
    """Return a network's name and, of NAME=FILE with a network of the table, the file of its weights."""
    name, _, file = network.partition("=")
    return (name, Path(file)) if file and name in NETWORKS else (network, None)


def load(network: str, tell: Tell) -> tuple[Encoder, bool]:
    """Load a network, and download it if needed; return it and whether it was here. Raises as loader.load does."""
    name, weights = split_weights(network)
    was_here = weights is not None or _bytes(name) is not None
    return loader.load(name, weights_file=weights, tell=tell), was_here


def encode(
    sample: Sample, network: str, encoder: Encoder, was_here: bool, track: Track, skipped: list[Skipped]
) -> Encoded:
    """Encode a sample by a loaded network. `skipped` gets what cannot be read.

    Raises ValueError if the network gives NaN or infinity, OSError if the folder or archive disappears.
    """
    name, weights = split_weights(network)
    batch, n = batch_size.default(encoder.engine.name), len(sample.names)
    vectors, first, began = np.zeros((n, encoder.dimension), np.float32), 0, perf_counter()
    with closing(encoded(sample.names, sample.source, encoder, batch)) as batches:
        for row, vector in track(_rows(batches, skipped), f"{network}: images", n):
            vectors[row] = vector
            if row + 1 == batch < n:  # the first batch waits for the processes that decode
                first, began = batch, perf_counter()
    rate = (n - first) / (perf_counter() - began)
    words = {}
    if reads_words(encoder.description):
        words = {
            prompt: encoder.encode_texts([fill_prompt(text, prompt) for text in sample.words])
            for prompt in track(sample.prompts if sample.words else (), f"{network}: prompts", len(sample.prompts))
        }
    return Encoded(
        network=network,
        description=encoder.description,
        engine=encoder.engine.name,
        vectors=vectors,
        copies=_copies(sample, network, encoder, vectors, track),
        words=words,
        rate=rate,
        alone=_alone(encoder, batch),
        bytes=weights.stat().st_size if weights else _bytes(name),
        was_here=was_here,
    )


def read_through(source: Source, names: Sequence[str]) -> Iterator[str]:
    """Yield each name when its file was read: what comes first is not slower then, since the disk is cached."""
    for name in names:
        with suppress(OSError, ValueError), source.open(name) as file:  # what cannot be read is skipped later
            while file.read(2**20):
                pass
        yield name


def _rows(
    batches: Iterator[tuple[list[int], np.ndarray, list[Skipped]]], skipped: list[Skipped]
) -> Iterator[tuple[int, np.ndarray]]:
    for rows, vectors, bad in batches:
        skipped += bad
        yield from zip(rows, vectors, strict=True)


def _copies(sample: Sample, network: str, encoder: Encoder, vectors: np.ndarray, track: Track) -> np.ndarray:
    """Return the vectors (m, a, d) of altered copies; zeros of an image that cannot be read, as its row of `vectors`."""
    copies = np.zeros((len(sample.altered), len(ALTERATIONS), encoder.dimension), np.float32)
    if not len(copies):
        return copies
    for i, row in enumerate(track(sample.altered, f"{network}: altered copies", len(copies))):
        if not vectors[row].any():  # what hangs or crashes a decoder was found in a process of its own
            continue
        with suppress(OSError, ValueError):
            image = open_image(sample.source.image(sample.names[row]), side=SIDE)
            image.thumbnail((SIDE, SIDE))
            copies[i] = encoder.encode(np.stack([encoder.preparation(alter(image)) for alter in ALTERATIONS.values()]))
    return copies


def _alone(encoder: Encoder, batch: int) -> float:
    """Return how many images a second the network computes, in batches."""
    pixels, seconds = onnx.noise(batch, encoder.preparation.shape), []
    for _ in range(REPEATS):
        began = perf_counter()
        encoder.encode(pixels)
        seconds.append(perf_counter() - began)
    return batch / min(seconds)


def _bytes(name: str) -> int | None:
    """Return the bytes of a network's weights on this machine, 0 if it has none; None if they are not here."""
    with suppress(OSError, ValueError):  # not downloaded, or a package is missing
        if hub_files.is_hub_network(name):
            folder = hub_files.find(name, download=False).folder
            return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        network = NETWORKS[name]
        if network.package:
            return weights_file(network).stat().st_size
        if not network.has_weights:
            return 0
        if export := onnx.find_export(network, None, None):
            return export.path.stat().st_size
    return None
