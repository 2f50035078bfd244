"""Manifest of an index in Milvus: address, collection, index parameters and measured quality, without credentials.

Users pass its path as the index.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from similar_images.files import read_json, relative_path, write_json
from similar_images.index.manifest import Manifest
from similar_images.milvus.connection import is_file, normalise_uri
from similar_images.milvus.fields import Field
from similar_images.milvus.index_types import TYPES
from similar_images.records import from_json
from similar_images.vectors.store import index_path

FORMAT = "similar-images milvus 1"
SUFFIX = ".milvus.json"
REBUILD = "rebuild it with similar-images build --milvus"


@dataclass(frozen=True, kw_only=True)
class MilvusIndex:
    """The index type and its parameters."""

    type: str
    built_with: dict[str, Any]
    searched_with: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class MilvusManifest(Manifest):
    """The manifest of an index in Milvus."""

    uri: str  # of a server, or a file relative to the manifest
    ca: str | None  # certificate of a private authority, relative to the manifest
    collection: str  # its name in Milvus
    index: MilvusIndex
    columns: dict[str, Any]  # column -> [field, kind, digest of its values]
    finds_parts: bool
    changing: bool  # a removal has started and may be incomplete
    n: int
    d: int
    bytes: int


def milvus_path(vectors: Path) -> Path:
    """Return the manifest's default path: `photos.milvus.json` for `photos.txt.saved_predictions.npy`."""
    return vectors.with_name(index_path(vectors).name.removesuffix(".faiss.index") + SUFFIX)


def is_milvus(path: Path) -> bool:
    """Return whether the name of an index is a Milvus manifest's."""
    return path.suffix == ".json"


def base(path: Path) -> Path:
    """Return the path that the similarity's files start with."""
    return path.with_suffix("")


def read(path: Path) -> dict:
    """Return a manifest. Raises ValueError, with the remedy, if it is damaged or invalid."""
    manifest = read_json(path, FORMAT, REBUILD)
    fault = None
    try:
        from_json(MilvusManifest, manifest)
        normalise_uri(manifest["uri"])
        fields(manifest)
    except (TypeError, ValueError) as error:
        fault = str(error)
    if not fault and manifest["index"]["type"] not in TYPES:
        fault = f"index.type: expected one of {', '.join(TYPES)}"
    if not fault and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", manifest["collection"]):
        fault = "collection: expected a name of Milvus"
    if fault:
        raise ValueError(f"{path} is damaged, {fault}; {REBUILD}")
    return manifest


def write(path: Path, manifest: dict) -> dict:
    """Write a manifest with its format; return it."""
    content = {"format": FORMAT, **manifest}
    write_json(path, content)
    return content


def fields(manifest: dict) -> dict[str, Field]:
    """Return the columns in Milvus. Raises TypeError or ValueError if they are damaged."""
    found = {column: Field(*entry) for column, entry in manifest["columns"].items()}
    if any(not re.fullmatch(r"[a-z][A-Za-z0-9_]*", str(field.field)) for field in found.values()):
        raise ValueError("columns: expected names of fields")
    return found


def relative_uri(uri: str, path: Path) -> str:
    """Return a URI for the manifest at `path`; a file becomes relative, so that both can move together."""
    return relative_path(Path(uri), path.absolute().parent) if is_file(uri) else uri


def resolve_uri(manifest: dict, path: Path) -> str:
    """Return the URI of the manifest at `path`."""
    uri = manifest["uri"]
    return str(path.parent / uri) if is_file(uri) else uri


def resolve_ca(manifest: dict, path: Path) -> Path | None:
    """Return the certificate of the manifest at `path`, if it names one."""
    ca: Any = manifest["ca"]
    return path.parent / ca if ca else None
