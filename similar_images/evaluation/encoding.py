"""Encode a sample with one network and measure its speed: vectors of images, of altered copies, of words.

Shape letters: n images, m of them with altered copies, a alterations, c labels, b in a batch, d numbers in a vector.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.events import Progress, Skipped, track
from similar_images.inputs.images import open_image
from similar_images.inputs.sources import Source
from similar_images.inputs.texts import fill_prompt
from similar_images.networks import hub_files, loader, onnx
from similar_images.networks.catalog import NETWORKS, Encoder, default_batch
from similar_images.networks.description import NetworkDescription, reads_words
from similar_images.networks.efficientnet_lite import weights_file
from similar_images.networks.loader import LoadOptions
from similar_images.vectors.extract import EncodedBlock, ImageEncoder, split_into_blocks
from similar_images.vectors.manifest import Runtime

SIDE = 1024  # pixels; larger images are reduced before they are altered
REPEATS = 3  # timed batches, of which the fastest counts: other work on the machine only slows down


class Encoded(NamedTuple):
    """The vectors of a sample by one network, and their cost."""

    network: str  # as the user named it
    description: NetworkDescription
    engine: str
    vectors: np.ndarray  # float32 (n, d); zeros for an unreadable image
    copies: np.ndarray  # float32 (m, a, d); zeros likewise
    words: dict[str, np.ndarray]  # prompt -> float32 (c, d); empty if the network does not read words
    rate: float  # images/s, with decoding
    alone: float  # images/s of the network alone
    bytes: int | None  # of the weights on this machine; None: not known
    was_here: bool  # whether nothing had to be downloaded


class Sample(NamedTuple):
    """The images and words encoded by each network."""

    source: Source
    names: list[str]
    altered: np.ndarray  # rows int (m,)
    words: list[str]  # of the labels
    prompts: Sequence[str]


def split_weights(network: str) -> tuple[str, Path | None]:
    """Return a network's name and, of NAME=FILE with a network of the table, the file of its weights."""
    name, _, file = network.partition("=")
    return (name, Path(file)) if file and name in NETWORKS else (network, None)


def load(network: str, progress: Progress) -> tuple[Encoder, bool]:
    """Load a network, and download it if needed; return it and whether it was here. Raises as loader.load does."""
    name, weights = split_weights(network)
    was_here = weights is not None or _weight_bytes(name) is not None
    return loader.load(name, LoadOptions(weights_file=weights), progress), was_here


def encode(
    sample: Sample, network: str, encoder: Encoder, was_here: bool, progress: Progress, skipped: list[Skipped]
) -> Encoded:
    """Encode a sample with a loaded network. `skipped` gets unreadable images.

    Raises ValueError for NaN or infinity in the vectors, OSError if the folder or archive disappears.
    """
    name, weights = split_weights(network)
    batch, n = default_batch(encoder.engine.name), len(sample.names)
    vectors, first, began = np.zeros((n, encoder.dimension), np.float32), 0, perf_counter()
    with ImageEncoder(sample.source, encoder, Runtime(batch=batch)) as images:
        blocks = images.encode(split_into_blocks(sample.names, batch))
        for row, vector in track(_each_row(blocks, skipped), progress, f"{network}: images", n):
            vectors[row] = vector
            if row + 1 == batch < n:  # the first batch waits for the processes that decode
                first, began = batch, perf_counter()
    rate = (n - first) / (perf_counter() - began)
    words = {}
    if reads_words(encoder.description):
        prompts = sample.prompts if sample.words else ()
        words = {
            prompt: encoder.encode_texts([fill_prompt(text, prompt) for text in sample.words])
            for prompt in track(prompts, progress, f"{network}: prompts", len(prompts))
        }
    return Encoded(
        network=network,
        description=encoder.description,
        engine=encoder.engine.name,
        vectors=vectors,
        copies=_encode_copies(sample, network, encoder, vectors, progress),
        words=words,
        rate=rate,
        alone=_images_per_second(encoder, batch),
        bytes=weights.stat().st_size if weights else _weight_bytes(name),
        was_here=was_here,
    )


def read_through(source: Source, names: Sequence[str]) -> Iterator[str]:
    """Yield each name after reading its file: with a warm disk cache the first network is not slower."""
    for name in names:
        with suppress(OSError, ValueError), source.open(name) as file:  # skipped later
            while file.read(2**20):
                pass
        yield name


def _each_row(blocks: Iterable[EncodedBlock], skipped: list[Skipped]) -> Iterator[tuple[int, np.ndarray]]:
    for rows, vectors, unreadable, _ in blocks:
        skipped += unreadable
        yield from zip(rows, vectors, strict=True)


def _encode_copies(
    sample: Sample, network: str, encoder: Encoder, vectors: np.ndarray, progress: Progress
) -> np.ndarray:
    """Return the vectors (m, a, d) of altered copies; zeros for an unreadable image, as in `vectors`."""
    copies = np.zeros((len(sample.altered), len(ALTERATIONS), encoder.dimension), np.float32)
    if not len(copies):
        return copies
    for i, row in enumerate(track(sample.altered, progress, f"{network}: altered copies", len(copies))):
        if not vectors[row].any():  # such files may crash a decoder
            continue
        with suppress(OSError, ValueError):
            image = open_image(sample.source.image(sample.names[row]), side=SIDE)
            image.thumbnail((SIDE, SIDE))
            copies[i] = encoder.encode(np.stack([encoder.preparation(alter(image)) for alter in ALTERATIONS.values()]))
    return copies


def _images_per_second(encoder: Encoder, batch: int) -> float:
    """Return the images per second of the network alone, in batches."""
    pixels, seconds = onnx.random_pixels(batch, encoder.preparation.shape), []
    for _ in range(REPEATS):
        began = perf_counter()
        encoder.encode(pixels)
        seconds.append(perf_counter() - began)
    return batch / min(seconds)


def _weight_bytes(name: str) -> int | None:
    """Return the bytes of a network's weights on this machine: 0 without weights, None if missing here."""
    with suppress(OSError, ValueError):  # not downloaded, or a package is missing
        if hub_files.is_hub_network(name):
            folder = hub_files.find(name, download=False).folder
            return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        network = NETWORKS[name]
        if network.package:
            return weights_file(network).stat().st_size
        if not network.has_weights:
            return 0
        export = onnx.find_export(network, None, None)
        if export and export.path:
            return export.path.stat().st_size
    return None
