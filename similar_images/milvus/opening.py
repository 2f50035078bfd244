"""Open an index in Milvus and compare it with its manifest."""

from pathlib import Path
from typing import cast

import numpy as np

from similar_images.index.exact import unit_rows
from similar_images.index.index import Index
from similar_images.index.similarity import COSINE, open_transform, open_transformed
from similar_images.milvus.manifest import file_prefix, read_manifest
from similar_images.milvus.search import MilvusSearch
from similar_images.vectors.store import Vectors

SAMPLED_ROWS = 8
MIN_SIMILARITY = 0.99  # between a vector and its copy: float16 and the server's rounding change less


def open_milvus(path: Path) -> Index:
    """Open the manifest of an index in Milvus. The first search connects.

    Raises FileNotFoundError or ValueError, with the remedy, if the manifest or the similarity's file is missing or
    damaged, and MissingExtra without the packages.
    """
    manifest, prefix = read_manifest(path), file_prefix(path)
    entry = manifest.similarity
    similarity = open_transform(prefix, entry, manifest.d) if entry else COSINE
    return Index(path, MilvusSearch(path, manifest), manifest, similarity, open_transformed(prefix, entry))


def check_content(index: Index, vectors: Vectors) -> None:
    """Ask Milvus for rows, and raise ValueError, with the remedy, if they differ from the manifest or the vectors."""
    search = cast(MilvusSearch, index.backend)
    n = search.manifest.vectors.n
    if (count := search.count(f"row < {n}", "Bounded")) < search.ntotal:
        raise ValueError(
            f"{index.path}: expected {search.ntotal:,} rows in {search.name} of Milvus at {search.connection.uri}, got "
            f"{count:,}: load them with similar-images build --milvus --overwrite"
        )
    if vectors.memmap is None:
        return
    absent = {*search.manifest.absent}
    spread = np.linspace(0, n - 1, 4 * SAMPLED_ROWS).astype(int)
    rows = np.array([row for row in dict.fromkeys(spread.tolist()) if row not in absent][:SAMPLED_ROWS], np.int64)
    known, unit = unit_rows(vectors.array[:n], rows)
    expected = index.similarity.transform(unit)
    found = search.vectors(known.tolist())
    for row, vector in zip(known.tolist(), expected, strict=True):
        if row not in found or found[row].shape != vector.shape or float(found[row] @ vector) < MIN_SIMILARITY:
            raise ValueError(
                f"{index.path}: {search.name} of Milvus at {search.connection.uri} has other vectors than "
                f"{vectors.path}: rebuild it with similar-images build --milvus --overwrite"
            )
