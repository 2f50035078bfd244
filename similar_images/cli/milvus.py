"""What the command that builds an index does on Milvus."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from similar_images.collection.column_files import file_columns
from similar_images.collection.columns import name_columns
from similar_images.index.build import rows_of
from similar_images.milvus import build as building
from similar_images.milvus import manifest as manifests
from similar_images.milvus.build import Target
from similar_images.milvus.connection import checked
from similar_images.networks.description import reads_text
from similar_images.vectors.store import Vectors, index_path, list_path

Say = Callable[[str], None]


def output_of(vectors_file: Path, uri: str | None, changes: bool) -> Path:
    """Return the default output: the manifest of Milvus if a URI is given, or if only that is there to be changed."""
    index, manifest = index_path(vectors_file), manifests.milvus_path(vectors_file)
    return manifest if uri is not None or (changes and not index.exists() and manifest.exists()) else index


def target_of(output: Path, uri: str | None, index_type: str, ca: Path | None) -> Target:
    """Return where to build, and with what index: as in the manifest that is replaced where nothing is given.

    Raises ValueError for a URI that is none, or that holds credentials.
    """
    if uri is None:
        if not output.exists():
            raise ValueError(f"{output} names an index in Milvus: give its URI with --milvus")
        old = manifests.read(output)
        index_type = old["index"]["type"] if index_type == "auto" else index_type
        return Target(manifests.opened_uri(old, output), index_type, ca or manifests.opened_ca(old, output))
    return Target(checked(uri or str(manifests.base(output)) + ".db"), index_type, ca)


def build(
    vectors: Vectors,
    output: Path,
    target: Target,
    similarity: str,
    restore: bool,
    progress: Callable[[int], None],
    say: Say,
) -> dict:
    """Build a collection in Milvus; return its manifest."""
    return building.build(vectors, output, target, columns_of(vectors), progress, say, restore, similarity)


def change(
    vectors: Vectors, output: Path, removing: Path | None, adding: bool, progress: Callable[[int], None], say: Say
) -> dict:
    """Remove the images named in a file, or add those that are missing, or both; return the manifest."""
    if removing:
        manifest = building.remove(vectors, output, rows_of(vectors, removing), say)
    if adding:
        manifest = building.add(vectors, output, columns_of(vectors), progress, say)
    return manifest


def columns_of(vectors: Vectors) -> dict[str, np.ndarray]:
    """Return what filters may use."""
    if vectors.names is None:
        return {}
    names = vectors.names
    folders = vectors.network is None or not reads_text(vectors.network)
    return name_columns(names, folders) | file_columns(list_path(vectors.path), names)
