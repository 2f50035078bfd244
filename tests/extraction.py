"""Vectors of images that tests make."""

from pathlib import Path

from similar_images.events import Progress, ignore
from similar_images.inputs.images import LIMITS, Limits
from similar_images.inputs.sources import Location, open_source
from similar_images.vectors.extract import LocalExecutor, NetworkChoice, extract
from similar_images.vectors.items import Items
from similar_images.vectors.store import Vectors, open_vectors, vectors_path


def extract_images(
    place: Location,
    names_file: Path,
    names: list[str] | None = None,
    network: str = "hog-colour",
    output: Path | None = None,
    batch: int | None = None,
    limits: Limits = LIMITS,
    workers: int | None = None,
    progress: Progress = ignore,
) -> Vectors:
    """Write the vectors of images beside their list, and open them; the default names are all images of the place."""
    source, output = open_source(place), output or vectors_path(names_file)
    items = Items(names_file, source.find().names if names is None else names, source, limits=limits)
    extract(items, output, LocalExecutor(NetworkChoice(network, batch=batch), workers), progress=progress)
    return open_vectors(output)
