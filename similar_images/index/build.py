"""Vectors to an index on disk: build it, add rows, remove rows, and measure what it reaches.

Shape letters: n vectors in all, m in a sample, d numbers in a vector.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import faiss
import numpy as np

from similar_images.files import locked, relative
from similar_images.index.index import (
    Index,
    blocks,
    check_matches,
    open_index,
    rows_but,
    unit_rows,
    with_ids,
    write_index,
)
from similar_images.index.measure import measures
from similar_images.index.recipes import SEED, Trained, lists, train
from similar_images.index.reduced import keep, transformed
from similar_images.index.similarity import COMPONENTS, COSINE, MOVED, Similarity, default, fit, moved
from similar_images.index.tune import FEW, Measured, Queries, Target, choose
from similar_images.inputs.names import names_digest, read_names
from similar_images.vectors.store import Vectors, check_complete, fingerprint

SMALL = 5_000  # vectors; below it an exact search takes less than a millisecond
SAMPLE_BYTES = 512 * 2**20  # of float32 vectors to train on
SAMPLE_PER_LIST = 64  # vectors to train on per inverted list; Faiss asks for at least 39


def build(
    vectors: Vectors,
    path: Path,
    recipe: str = "auto",
    target: Target | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    note: Callable[[str], None] = lambda message: None,
    tried: Callable[[Measured], None] = lambda candidate: None,
    restore: bool = False,
    similarity: str = "auto",
) -> dict:
    """Train an index on a sample of the vectors, add all, measure it, write it with its manifest; return that.

    `recipe` is a name of RECIPES, "auto", or a string that faiss.index_factory takes; with a `target` the index
    that meets it is chosen instead. `similarity` is a name of SIMILARITIES; "auto" is the best one for vectors of this
    network and number, and the cosine for `classic` and for a string. Rows that were removed from an index of these
    vectors at `path` stay removed, unless `restore`. `note` gets what differs from the request, `tried` the candidates
    for a target.
    Raises ValueError for vectors or recipes that cannot be used, and for a target that cannot be met;
    BlockingIOError if another run is writing the index.
    """
    with locked(path):
        check_complete(vectors)
        removed = [] if restore else _removed(vectors, path, note)
        try:
            fitted = fitted_similarity(vectors, similarity, recipe, removed, note)
            with transformed(vectors.stored, fitted, path) as (array, file):
                queries = Queries(array, removed, similarity=fitted)
                if not len(queries.rows):
                    raise ValueError("no row is left: all are zeros (every image was skipped) or removed")
                trained, recipe, measured = _filled(queries, removed, recipe, target, progress, note, tried)
                manifest = {
                    "recipe": recipe,
                    "parameters": trained.parameters,
                    "removed": removed,
                    "target": target._asdict() if target else None,
                    **measures(queries, trained.faiss, trained.parameters, removed, measured),
                    "similarity": kept_similarity(fitted, array, file, path, removed, {}),
                    "vectors": source(vectors, path, skipped_rows(vectors)),
                }
        except ValueError as error:
            raise type(error)(f"{vectors.path}: {error}") from error
        return write_index(path, trained.faiss, manifest)


def add(vectors: Vectors, path: Path, progress: Callable[[int], None] = lambda rows: None) -> dict:
    """Add the rows that the index lacks, including those that were skipped when it was built; return its new manifest.

    Raises ValueError if the index was not built from these vectors, BlockingIOError if another run is writing it.
    """
    with locked(path):
        index, manifest = _changeable(path, vectors)
        built = manifest["vectors"]
        retried = np.setdiff1d(np.array(built.get("skipped", []), dtype=np.int64), skipped_rows(vectors))
        with transformed(vectors.stored, index.similarity, path, index.vectors, retried) as (array, file):
            for rows, unit in chain([unit_rows(array, retried)], blocks(array, built["n"])):
                kept = ~np.isin(rows, index.removed)
                index.faiss.add_with_ids(unit[kept], rows[kept])
                progress(len(rows))
            return _rewrite(index, manifest, vectors, index.removed, skipped_rows(vectors), array, file)


def remove(vectors: Vectors, path: Path, rows: list[int]) -> dict:
    """Remove rows permanently: neither `add` nor `build` brings them back; return the new manifest.

    Raises ValueError if the index cannot remove, would be empty, or was not built from these vectors;
    BlockingIOError if another run is writing it.
    """
    with locked(path):
        index, manifest = _changeable(path, vectors)
        try:
            index.faiss.remove_ids(faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)))
        except RuntimeError as error:
            raise ValueError(
                f"{path}: the recipe {index.recipe} cannot remove; rebuild with another --recipe"
            ) from error
        if not index.faiss.ntotal:
            raise ValueError(f"{path}: no image would be left; delete the index instead")
        n = manifest["vectors"]["n"]  # the rows after it are still to be added
        names = vectors.names[:n] if vectors.names else None
        known = vectors._replace(array=vectors.stored[:n], names=names)
        removed, skipped = sorted({*index.removed, *rows}), manifest["vectors"].get("skipped", [])
        with transformed(known.stored, index.similarity, path, index.vectors) as (array, file):
            return _rewrite(index, manifest, known, removed, skipped, array, file)


def rows_of(vectors: Vectors, file: Path) -> list[int]:
    """Return the rows of the names in a file, a name per line. Raises ValueError for an unknown name."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(vectors.names or []):
        rows.setdefault(name, []).append(row)
    wanted = read_names(file)
    if unknown := [name for name in wanted if name not in rows]:
        raise ValueError(f"{file}: {len(unknown)} names are not in {vectors.path}, such as {unknown[0]}")
    return [row for name in wanted for row in rows[name]]


def is_stale(manifest: dict) -> bool:
    """Return whether the recall dropped below the target, or without one clearly below the recall when built."""
    target = (manifest["target"] or {}).get("recall")
    floor = target if target is not None else manifest["built_recall"] - 0.02
    return manifest["measured"]["recall"] < floor


def _filled(
    queries: Queries,
    removed: list[int],
    recipe: str,
    target: Target | None,
    progress: Callable[[int], None],
    note: Callable[[str], None],
    tried: Callable[[Measured], None],
) -> tuple[Trained, str, Measured | None]:
    """Return the trained and filled index, its recipe, and what it reaches if that is known."""
    array, n = queries.array, len(queries.array)
    sample = _sample(array, queries.rows)

    def fill(index: faiss.Index) -> None:
        for rows, unit in blocks(array):
            kept = ~np.isin(rows, removed)
            index.add_with_ids(unit[kept], rows[kept])
            progress(len(rows))

    if target is not None:
        trained, measured = choose(queries, sample, target, fill, tried)
        return trained, measured.recipe, measured
    recipe = ("flat" if n < SMALL else "reduced") if recipe == "auto" else recipe
    found = train(recipe, sample, n)
    if found is None:
        note(f"{len(sample)} vectors are too few to train the recipe {recipe}: using flat, an exact search")
        return _filled(queries, removed, "flat", None, progress, note, tried)
    fill(found.faiss)
    return found, recipe, None


def has_moved(manifest: dict) -> bool:
    """Return whether a rebuild, with a new transform, pays.

    That is so if the rows that came or went have moved the mean, or if their number has doubled and gives more components.
    """
    similarity = manifest.get("similarity")
    if similarity is None:
        return False
    has_grown = similarity["name"] == "whitened" and manifest["n"] >= 2 * similarity["n"]
    return similarity["moved"] > similarity["built_moved"] + MOVED or (
        has_grown and similarity["dimension"] < COMPONENTS
    )


def fitted_similarity(
    vectors: Vectors, name: str, recipe: str, removed: list[int], note: Callable[[str], None]
) -> Similarity:
    """Return the similarity of a name, fitted on the vectors that are left."""
    absent = sorted({*removed, *skipped_rows(vectors)})
    if name != "auto":
        return fit(vectors.stored, name, absent)
    if recipe not in ("auto", "flat", "reduced"):
        return COSINE
    try:
        return fit(vectors.stored, default(vectors.network, len(vectors.stored) - len(absent)), absent)
    except ValueError as error:
        note(str(error))
        return COSINE


def kept_similarity(
    similarity: Similarity, array: np.ndarray, file: Path | None, path: Path, removed: list[int], old: dict
) -> dict | None:
    """Keep the files of a similarity; return its entry in the manifest, in place of the old one."""
    if similarity.is_cosine:
        return None
    now = moved(array, removed)
    built = {"n": len(array) - len(removed), "built_moved": now}
    return built | old | (keep(similarity, array, file, path) or {}) | {"moved": now}


def _rewrite(
    index: Index,
    old: dict,
    vectors: Vectors,
    removed: list[int],
    skipped: list[int],
    array: np.ndarray,
    file: Path | None,
) -> dict:
    absent = sorted({*removed, *skipped})
    manifest = old | {
        "removed": removed,
        **measures(Queries(array, absent, similarity=index.similarity), index.faiss, old["parameters"], absent),
        "built_recall": old["built_recall"],
        "similarity": kept_similarity(index.similarity, array, file, index.path, absent, old.get("similarity") or {}),
        "vectors": source(vectors, index.path, skipped),
    }
    return write_index(index.path, index.faiss, manifest)


def skipped_rows(vectors: Vectors) -> list[int]:
    return [entry.row for entry in vectors.skipped]


def source(vectors: Vectors, path: Path, skipped: list[int]) -> dict:
    """Return what an index' manifest says of the vectors that it was built from, without the rows `skipped`."""
    return {
        "file": relative(vectors.path, path.parent),
        "n": len(vectors.stored),
        "skipped": skipped,
        "fingerprint": fingerprint(vectors.stored, skipped),
        "names": names_digest(vectors.names) if vectors.names else None,
        "network": vectors.network,
    }


def _sample(array: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return unit vectors (m, d) of rows drawn at random, to train on; the rows `without` only where all are few."""
    n, d = array.shape
    rows = rows_but(n, without if n >= 5 * FEW else [])
    m = min(len(rows), max(256 * 64, SAMPLE_PER_LIST * lists(n)), SAMPLE_BYTES // (4 * d))
    return unit_rows(array, np.sort(np.random.default_rng(SEED).choice(rows, m, replace=False)))[1]


def _removed(vectors: Vectors, path: Path, note: Callable[[str], None]) -> list[int]:
    """Return the rows that were removed from the index of these vectors that is in place."""
    if not path.exists():
        return []
    try:
        index = open_index(path)
        check_matches(index, vectors)
    except ValueError:  # damaged, or of other vectors
        return []
    if index.removed:
        note(f"{len(index.removed)} removed images stay removed; --restore brings them back")
    return index.removed


def _changeable(path: Path, vectors: Vectors) -> tuple[Index, dict]:
    """Open an index, with its manifest, to change it. Raises ValueError if its content is unknown or of other vectors."""
    index = open_index(path)
    if index.manifest is None:
        raise ValueError(f"{path} has no manifest, so its rows are unknown: rebuild it with --overwrite")
    check_matches(index, vectors)
    return index._replace(faiss=with_ids(index.faiss)), index.manifest
