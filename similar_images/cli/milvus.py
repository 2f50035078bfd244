"""Milvus part of the command `build`."""

from pathlib import Path

import numpy as np

from similar_images.collection.column_files import file_columns
from similar_images.collection.columns import name_columns
from similar_images.events import Progress
from similar_images.index.builder import BuildRequest, read_rows
from similar_images.milvus import build as building
from similar_images.milvus.build import Target
from similar_images.milvus.connection import normalise_uri
from similar_images.milvus.manifest import MilvusManifest, file_prefix, milvus_path, read_manifest
from similar_images.networks.description import reads_text
from similar_images.vectors.store import Vectors, index_path, list_path


def default_output(vectors_file: Path, uri: str | None, is_change: bool) -> Path:
    """Return Milvus' manifest if a URI is given or only that index exists to be changed, else the Faiss index."""
    index, manifest = index_path(vectors_file), milvus_path(vectors_file)
    return manifest if uri is not None or (is_change and not index.exists() and manifest.exists()) else index


def choose_target(output: Path, uri: str | None, index_type: str, ca: Path | None) -> Target:
    """Return address and type of the new index; the present manifest supplies missing options.

    Raises ValueError for an invalid URI, or one with credentials.
    """
    if uri is None:
        if not output.exists():
            raise ValueError(f"{output} names an index in Milvus: give its URI with --milvus")
        old = read_manifest(output)
        index_type = old.index.type if index_type == "auto" else index_type
        return Target(old.resolve_uri(output), index_type, ca or old.resolve_ca(output))
    return Target(normalise_uri(uri or str(file_prefix(output)) + ".db"), index_type, ca)


def build(
    vectors: Vectors,
    output: Path,
    target: Target,
    request: BuildRequest,
    progress: Progress,
) -> MilvusManifest:
    """Build an index in Milvus; return its manifest."""
    return building.build(vectors, output, target, filter_columns(vectors), request, progress)


def change(vectors: Vectors, output: Path, removing: Path | None, adding: bool, progress: Progress) -> MilvusManifest:
    """Remove the images that a file lists, add missing ones, or both; return the manifest."""
    if removing:
        manifest = building.remove(vectors, output, read_rows(vectors, removing), progress)
    if adding:
        manifest = building.add(vectors, output, filter_columns(vectors), progress)
    return manifest


def filter_columns(vectors: Vectors) -> dict[str, np.ndarray]:
    """Return the columns for filters."""
    if vectors.names is None:
        return {}
    names = vectors.names
    has_folders = vectors.network is None or not reads_text(vectors.network)
    return {**name_columns(names, has_folders), **file_columns(list_path(vectors.path), names)}
