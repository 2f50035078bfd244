"""Small collections of images that tests make."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from similar_images.index.build import build
from similar_images.inputs.sources import open_source
from similar_images.networks import loader
from similar_images.vectors.from_images import extract
from similar_images.vectors.store import index_path, open_vectors, vectors_path
from similar_images.vectors.writer import Writer

COLOURS = {"grass": (40, 160, 60), "sea": (30, 80, 190), "sun": (250, 200, 40), "wine": (120, 0, 40)}


def make_sample(folder: Path) -> None:
    """Write 12 pictures of four colours, their vectors and their index into a folder, named as by `make sample`."""
    random = np.random.default_rng(0)
    for kind, colour in COLOURS.items():
        (folder / "sample" / kind).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(random.normal(colour, 30, (60, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "sample" / kind / f"{kind}-{number}.jpg")
    extract_and_index(folder / "sample", folder / "sample_file_list.txt")


def extract_and_index(pictures: Path, names_file: Path) -> None:
    """Write the names, vectors and index of a folder of pictures."""
    names, path, encoder = open_source(pictures).find().names, vectors_path(names_file), loader.load("hog-colour")
    writer = Writer(path, names_file, names, pictures)
    writer.begin(encoder.description)
    extract(names, pictures, encoder, writer)
    build(open_vectors(path), index_path(path))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
