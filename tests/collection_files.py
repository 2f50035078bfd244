"""Small collections on disk that tests open."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from similar_images.index.builder import BuildRequest, build
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.store import SUFFIX, index_path, list_path, open_vectors
from similar_images.vectors.writer import Writer

TEXT_NETWORK = NetworkDescription("letters", source="tests", reads="text", dimension=26, tokens=9, weights="0")


def save_vectors(path: Path, array: np.ndarray, names: Sequence[str] = ()) -> Path:
    """Write vectors and their list as another tool would, by default 0.jpg, 1.jpg, ...; return their path."""
    np.save(path, array)
    lines = names or [f"{row}.jpg" for row in range(len(array))]
    list_path(path).write_text("".join(f"{line}\n" for line in lines))
    return path


def save_indexed(path: Path, array: np.ndarray, names: Sequence[str] = (), **request: object) -> Path:
    """Write vectors, their list and their index; return the path of the vectors."""
    build(open_vectors(save_vectors(path, array, names)), index_path(path), BuildRequest(**request))
    return path


def letters(text: str) -> np.ndarray:
    """Return how often each letter occurs in a text, float32 (26,): a network for tests."""
    return np.array([text.lower().count(chr(ord("a") + i)) for i in range(26)], dtype=np.float32)


class Letters:
    """A network for tests that encodes texts as `letters` does."""

    description = TEXT_NETWORK

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: list[str]) -> np.ndarray:
        self.encoded += texts
        return np.stack([letters(text) for text in texts])

    def encode_text(self, text: str) -> np.ndarray:
        return letters(text)


def save_texts(list_file: Path, texts: list[str]) -> Path:
    """Write a list of texts with their vectors by `letters`; return the list."""
    writer = Writer(list_file.with_name(list_file.name + SUFFIX), list_file, texts)
    writer.begin(TEXT_NETWORK)
    writer.append(np.stack([letters(text) for text in texts]), [])
    writer.finish()
    return list_file
