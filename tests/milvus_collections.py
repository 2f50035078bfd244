"""Helpers that build collections in Milvus."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from milvus_server import MilvusServer

from similar_images import Collection
from similar_images.cli.build import filter_columns
from similar_images.index.builder import BuildRequest
from similar_images.milvus import build as building
from similar_images.milvus.build import Target
from similar_images.milvus.manifest import MilvusManifest
from similar_images.vectors.store import open_vectors


class Milvus(NamedTuple):
    """Address of Milvus and a folder for its files."""

    folder: Path  # shared by the tests of a module
    server: MilvusServer | None  # None: Milvus Lite

    @property
    def uri(self) -> str:
        return self.server.uri() if self.server else str(self.folder / "test.db")

    def build(self, vectors: Path, name: str = "v", index: str = "auto", similarity: str = "auto") -> Path:
        """Build a collection and return its manifest."""
        opened, path = open_vectors(vectors), vectors.with_name(f"{name}.milvus.json")
        building.build(
            opened, path, Target(self.uri, index), filter_columns(opened), BuildRequest(similarity=similarity)
        )
        return path


def add(vectors: Path, manifest: Path) -> MilvusManifest:
    opened = open_vectors(vectors)
    return building.add(opened, manifest, filter_columns(opened))


def saved(folder: Path, array: np.ndarray, names: list[str] | None = None) -> Path:
    """Write vectors and their list; return the path of the vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "v.npy", array)
    names = names or [f"{row % 10}/image {row}.jpg" for row in range(len(array))]
    (folder / "v.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return folder / "v.npy"


def opened(vectors: Path, manifest: Path) -> Collection:
    return Collection.open(vectors, index=manifest)


def rows_of(hits: list) -> list[int]:
    return [hit.row for hit in hits]
