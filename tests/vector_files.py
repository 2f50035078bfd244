"""Vectors that tests write without a network."""

from pathlib import Path

import numpy as np

from similar_images.inputs.names import write_names
from similar_images.networks.catalog import NETWORKS, describe
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.writer import Writer

HOG = describe(NETWORKS["hog-colour"])
D = HOG.dimension


def new_writer(folder: Path, n: int, **options: object) -> Writer:
    """Return a writer of list.npy in a folder, for n names."""
    names = [f"{row}.jpg" for row in range(n)]
    write_names(folder / "list.txt", names)
    return Writer(folder / "list.npy", folder / "list.txt", names, folder, **options)


def rows(start: int, stop: int) -> np.ndarray:
    """Return vectors with the number of their row, from 1, in every place."""
    return np.arange(start, stop, dtype=np.float32)[:, None] + np.ones(D, dtype=np.float32)


def write(writer: Writer, *blocks: tuple[int, int], network: NetworkDescription = HOG) -> None:
    """Write blocks of rows, from start to stop, with a checkpoint after each, and close the vectors."""
    writer.begin(network)
    for start, stop in blocks:
        writer.append(rows(start, stop), [])
        writer.checkpoint()
    writer.finish()
