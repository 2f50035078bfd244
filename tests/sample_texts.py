"""Small collections of texts that tests make. They need the packages for texts."""

import importlib.util
from pathlib import Path

import pytest

from similar_images.index.builder import build
from similar_images.inputs.names import write_names
from similar_images.inputs.texts import text_list_path
from similar_images.samples import docstrings
from similar_images.vectors.extract import extract
from similar_images.vectors.items import Items
from similar_images.vectors.store import index_path, open_vectors, vectors_path
from similar_images.vectors.texts import TextExecutor

MIRROR = "PIL.ImageOps.mirror: Flip image horizontally (left to right)."
QUERY = "flip a picture horizontally, from left to right"


def pillow() -> list[str]:
    """Return the docstrings of Pillow."""
    with pytest.MonkeyPatch.context() as patch:
        folder = Path(importlib.util.find_spec("PIL").origin).parent
        patch.setattr(docstrings, "_sources", lambda: [("PIL", folder)])
        return docstrings.collect()


def make_texts(file: Path, texts: list[str]) -> None:
    """Write a list of texts, their vectors and their index, as the commands do."""
    file.parent.mkdir(exist_ok=True)
    write_names(file, texts)
    names = text_list_path(file)
    extract(Items(names, texts), vectors_path(names), TextExecutor())
    build(open_vectors(vectors_path(names)), index_path(vectors_path(names)))
