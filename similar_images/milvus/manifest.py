"""Manifest of an index in Milvus: address, collection, index parameters and measured quality, without credentials.

Users pass its path as the index.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from similar_images.files import relative_path
from similar_images.index.manifest import Manifest
from similar_images.milvus.connection import is_file, normalise_uri
from similar_images.milvus.fields import Field
from similar_images.milvus.index_types import TYPES, Parameters
from similar_images.records import read_record
from similar_images.vectors.store import index_path

SUFFIX = ".milvus.json"
REBUILD = "rebuild it with similar-images build --milvus"


@dataclass(frozen=True, kw_only=True)
class MilvusIndex:
    """The index type and its parameters."""

    type: str
    built_with: Parameters
    searched_with: Parameters = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"index.type: expected one of {', '.join(TYPES)}, got {self.type:.60}")


@dataclass(frozen=True, kw_only=True)
class MilvusManifest(Manifest):
    """The manifest of an index in Milvus."""

    FORMAT: ClassVar[str] = "similar-images milvus 1"
    uri: str  # of a server, or a file relative to the manifest
    ca: str | None  # certificate of a private authority, relative to the manifest
    collection: str  # its name in Milvus
    index: MilvusIndex
    columns: dict[str, Field]
    finds_parts: bool
    changing: bool  # a removal has started and may be incomplete
    n: int
    d: int
    bytes: int

    def __post_init__(self) -> None:
        normalise_uri(self.uri)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", self.collection):
            raise ValueError("collection: expected a name of Milvus")

    def resolve_uri(self, path: Path) -> str:
        """Return the URI if this is the manifest at `path`."""
        return str(path.parent / self.uri) if is_file(self.uri) else self.uri

    def resolve_ca(self, path: Path) -> Path | None:
        """Return the certificate, if any, if this is the manifest at `path`."""
        return path.parent / self.ca if self.ca else None


def read_manifest(path: Path) -> MilvusManifest:
    """Return a manifest. Raises ValueError, with the remedy, if it is damaged or invalid."""
    return read_record(path, MilvusManifest, REBUILD)


def milvus_path(vectors: Path) -> Path:
    """Return the manifest's default path: `photos.milvus.json` for `photos.txt.saved_predictions.npy`."""
    return vectors.with_name(index_path(vectors).name.removesuffix(".faiss.index") + SUFFIX)


def file_prefix(path: Path) -> Path:
    """Return the path that the similarity's files start with."""
    return path.with_suffix("")


def relative_uri(uri: str, path: Path) -> str:
    """Return a URI for the manifest at `path`; a file becomes relative, so that both can move together."""
    return relative_path(Path(uri), path.absolute().parent) if is_file(uri) else uri
