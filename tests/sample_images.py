"""Small collections of images that tests make."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from extraction import extract_images
from PIL import Image

from similar_images.index.builder import build
from similar_images.vectors.store import index_path

COLOURS = {"grass": (40, 160, 60), "sea": (30, 80, 190), "sun": (250, 200, 40), "wine": (120, 0, 40)}


def make_sample(folder: Path, network: str = "hog-colour") -> None:
    """Write 12 pictures of four colours, their vectors and their index into a folder, named as by `make sample`."""
    if Path(network).exists():  # its place is recorded, relative to the vectors
        _write_sample(folder, network)
    else:
        shutil.copytree(_make_sample(network), folder, dirs_exist_ok=True)


@cache
def _make_sample(network: str) -> Path:
    """Make a sample once; copies are much faster."""
    folder = Path(tempfile.mkdtemp())
    _write_sample(folder, network)
    return folder


def _write_sample(folder: Path, network: str) -> None:
    for number, (kind, pixels) in enumerate(make_pictures(np.random.default_rng(0), 3)):
        (folder / "sample" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "sample" / kind / f"{kind}-{number % 3}.jpg")
    extract_and_index(folder / "sample", folder / "sample_file_list.txt", network)


def write_photos(folder: Path) -> None:
    """Write 12 pictures of three kinds, four each, in a folder per kind."""
    random = np.random.default_rng(0)
    for channel, kind in enumerate(("red", "green", "blue")):
        (folder / kind).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 90, (60, 80, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(folder / kind / f"{number}.jpg")


def make_indexed_photos(folder: Path) -> None:
    """Write these pictures, their list, their vectors and their index into a folder."""
    shutil.copytree(_make_indexed_photos(), folder, dirs_exist_ok=True)


@cache
def _make_indexed_photos() -> Path:
    folder = Path(tempfile.mkdtemp())
    write_photos(folder / "photos")
    extract_and_index(folder / "photos", folder / "photos_file_list.txt")
    return folder


def make_pictures(random: np.random.Generator, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `count` pictures of each colour with its name, RGB uint8 (60, 80, 3), with some noise."""
    for kind, colour in COLOURS.items():
        for _ in range(count):
            yield kind, np.clip(random.normal(colour, 30, (60, 80, 3)), 0, 255).astype(np.uint8)


def extract_and_index(pictures: Path, names_file: Path, network: str = "hog-colour") -> None:
    """Write the names, vectors and index of a folder of pictures."""
    vectors = extract_images(pictures, names_file, network=network)
    build(vectors, index_path(vectors.path))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
