"""Build an index from vectors, add and remove rows: the only pipeline from vectors to an index.

Shape letters: n vectors in all, m in a sample, b in a block, d numbers in a vector, c numbers in a transformed one.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import cast

import faiss
import numpy as np

from similar_images.files import hold_lock, relative_path
from similar_images.index import parts, unfinished
from similar_images.index.backend import FaissBackend, with_ids
from similar_images.index.exact import normalise, rows_except, skip_removed, unit_blocks, unit_rows
from similar_images.index.index import Index, check_matches, has_same_rows, open_index, write_index
from similar_images.index.quality import MIN_QUERIES, CandidateMetrics, Queries, measure_quality
from similar_images.index.recipes import SEED, Trained, list_count, train
from similar_images.index.similarity import (
    COSINE,
    Similarity,
    default_similarity,
    fit,
    keep_transformed,
    mean_drift,
    transform_to_file,
)
from similar_images.index.tuning import QualityTarget, choose_candidate
from similar_images.inputs.names import NameRows, escape_line, find_line_error, is_blank, names_digest, read_names
from similar_images.vectors.store import (
    Vectors,
    block_digests,
    block_rows,
    check_complete,
    fingerprint,
    open_array,
    release,
)

MAX_FLAT_VECTORS = 5_000  # an exact search of fewer takes less than a millisecond
SAMPLE_BYTES = 512 * 2**20  # of float32 vectors to train on
SAMPLE_PER_LIST = 64  # vectors to train on per inverted list; Faiss asks for at least 39


def build(
    vectors: Vectors,
    path: Path,
    recipe: str = "auto",
    target: QualityTarget | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    note: Callable[[str], None] = lambda message: None,
    tried: Callable[[CandidateMetrics], None] = lambda candidate: None,
    restore: bool = False,
    similarity: str = "auto",
    part_size: int | None = None,
) -> dict:
    """Train an index on a sample of the vectors, add all, measure it, write it with its manifest; return that.

    `recipe` is a name of RECIPES, "auto", or a string that faiss.index_factory takes; with a `target` the index
    that meets it is chosen instead. `similarity` is a name of SIMILARITIES; "auto" is the best one for vectors of this
    network and number, and the cosine for `classic` and for a string. Rows that were removed from an index of these
    vectors at `path` stay removed, unless `restore`. `note` gets what differs from the request, `tried` the candidates
    for a target. With a `part_size` the index is built in parts of so many rows, and a run that was killed is resumed by
    the same call.
    Raises ValueError for vectors or recipes that cannot be used, and for a target that cannot be met;
    BlockingIOError if another run is writing the index.
    """
    with hold_lock(path):
        check_complete(vectors)
        removed = [] if restore else removed_rows(vectors, path)
        if removed:
            note(f"{len(removed)} removed images stay removed; --restore brings them back")
        try:
            if part_size is not None:
                if target is not None:
                    raise ValueError("an index in parts takes a recipe, not a target")
                trained, manifest, fitted = build_in_parts(
                    vectors, path, recipe, part_size, removed, similarity, progress, note
                )
            else:
                fitted = fit_similarity(vectors, similarity, recipe, removed, note)
                with transform_to_file(vectors.stored, fitted, path) as (array, file):
                    queries = draw_queries(array, removed, fitted)
                    trained, recipe, measured = _train_and_fill(queries, removed, recipe, target, progress, note, tried)
                    quality = measure_quality(
                        queries, FaissBackend(trained.index), trained.parameters, removed, measured
                    )
                    kept = keep_similarity(fitted, array, file, path, removed, {})
                    manifest = new_manifest(vectors, path, recipe, trained, removed, quality, kept, target)
        except ValueError as error:
            raise type(error)(f"{vectors.path}: {error}") from error
        manifest = write_index(path, trained.index, manifest, fitted)
        unfinished.remove(path)
        return manifest


def add(vectors: Vectors, path: Path, progress: Callable[[int], None] = lambda rows: None) -> dict:
    """Add the rows that the index lacks, including those that were skipped when it was built; return its new manifest.

    Raises ValueError if the index was not built from these vectors, BlockingIOError if another run is writing it.
    """
    with hold_lock(path):
        index, manifest = _open_to_change(path, vectors)
        built = manifest["vectors"]
        skipped = skipped_rows(vectors, index)
        retried = np.setdiff1d(np.array(built.get("skipped", []), dtype=np.int64), skipped)
        with transform_to_file(vectors.stored, index.similarity, path, index.vectors, retried) as (array, file):
            new = skip_removed(
                chain([unit_rows(array, retried)], unit_blocks(array, built["n"])), index.removed, progress
            )
            if entry := manifest.get("parts"):
                manifest = manifest | {"parts": parts.add_rows(path, _faiss_index(index), entry, new)}
            else:
                for rows, unit in new:
                    _faiss_index(index).add_with_ids(unit, rows)
            changed = manifest | {"vectors": describe_source(vectors, path, skipped)}
            return _rewrite(index, changed, index.removed, array, file)


def remove(vectors: Vectors, path: Path, rows: list[int]) -> dict:
    """Remove rows permanently: neither `add` nor `build` brings them back; return the new manifest.

    Raises ValueError if the index cannot remove, would be empty, or was not built from these vectors;
    BlockingIOError if another run is writing it.
    """
    with hold_lock(path):
        index, manifest = _open_to_change(path, vectors)
        entry = manifest.get("parts")
        try:
            if entry:
                manifest = manifest | {"parts": parts.remove_rows(path, entry, rows)}
            else:
                _faiss_index(index).remove_ids(faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)))
        except RuntimeError as error:
            raise ValueError(
                f"{path}: the recipe {index.recipe} cannot remove; rebuild with another --recipe"
            ) from error
        if not (manifest["parts"]["files"] if entry else index.ntotal):
            raise ValueError(f"{path}: no image would be left; delete the index instead")
        n = manifest["vectors"]["n"]  # the rows after it are still to be added
        removed = sorted({*index.removed, *rows})
        with transform_to_file(vectors.stored[:n], index.similarity, path, index.vectors) as (array, file):
            return _rewrite(index, manifest, removed, array, file)


def read_rows(vectors: Vectors, file: Path) -> list[int]:
    """Return the rows of the names in a file, a name per line. Raises ValueError for an unknown name."""
    rows = NameRows(vectors.names or [])
    wanted = {line: name for line, name in enumerate(read_names(file), 1) if not is_blank(name)}
    if unknown := [line for line, name in wanted.items() if name not in rows]:
        line = next((line for line in unknown if find_line_error(wanted[line])), unknown[0])
        fault = find_line_error(wanted[line])
        raise ValueError(
            f"{file}: {len(unknown)} names are not in {vectors.path}, such as {escape_line(wanted[line])}, line {line}"
            f"{f', which has {fault}' if fault else ''}"
        )
    return [row for name in wanted.values() for row in rows[name]]


def _train_and_fill(
    queries: Queries,
    removed: list[int],
    recipe: str,
    target: QualityTarget | None,
    progress: Callable[[int], None],
    note: Callable[[str], None],
    tried: Callable[[CandidateMetrics], None],
) -> tuple[Trained, str, CandidateMetrics | None]:
    """Return the trained and filled index, its recipe, and what it reaches if that is known."""
    array, n = queries.array, len(queries.array)
    drawn = training_sample(array, queries.rows)

    def fill(index: faiss.Index) -> None:
        for rows, unit in skip_removed(unit_blocks(array), removed, progress):
            index.add_with_ids(unit, rows)

    if target is not None:
        trained, measured = choose_candidate(queries, drawn, target, fill, tried)
        return trained, measured.recipe, measured
    recipe = ("flat" if n < MAX_FLAT_VECTORS else "reduced") if recipe == "auto" else recipe
    found = train(recipe, drawn, n)
    if found is None:
        note(f"{len(drawn)} vectors are too few to train the recipe {recipe}: using flat, an exact search")
        return _train_and_fill(queries, removed, "flat", None, progress, note, tried)
    fill(found.index)
    return found, recipe, None


def _rewrite(
    index: Index,
    old: dict,
    removed: list[int],
    array: np.ndarray,
    file: Path | None,
) -> dict:
    """Measure a changed index and write it; return its manifest."""
    absent = [row for row in sorted({*removed, *old["vectors"].get("skipped", [])}) if row < len(array)]
    entry = old.get("parts")
    searched = parts.open_parts(index.path, _faiss_index(index), entry) if entry else _faiss_index(index)
    quality = measure_quality(
        Queries(array, absent, similarity=index.similarity), FaissBackend(searched), old["parameters"], absent
    )
    if entry:
        quality["measured"]["bytes_on_disk"] = parts.parts_bytes(entry) + index.similarity.bytes
    known = dict(old.get("similarity") or {})
    known.pop("transform", None)  # of an earlier version; now it is in the index
    manifest = old | {
        "removed": removed,
        **quality,
        "built_recall": old["built_recall"],
        "similarity": keep_similarity(index.similarity, array, file, index.path, absent, known),
    }
    return write_index(index.path, _faiss_index(index), manifest, index.similarity)


def removed_rows(vectors: Vectors, path: Path) -> list[int]:
    """Return the rows that were removed from the index of these vectors at `path`; none if there is no such index."""
    if not path.exists():
        return []
    try:
        index = open_index(path, with_parts=False)
    except ValueError:  # damaged
        return []
    return index.removed if has_same_rows(index, vectors) else []


def _open_to_change(path: Path, vectors: Vectors) -> tuple[Index, dict]:
    """Open an index, without its parts, and its manifest, to change it. Raises ValueError if its content is unknown or of other vectors."""
    index = open_index(path, with_parts=False)
    if index.manifest is None:
        raise ValueError(f"{path} has no manifest, so its rows are unknown: rebuild it with --overwrite")
    check_matches(index, vectors, is_thorough=True)
    return index._replace(backend=FaissBackend(with_ids(_faiss_index(index)))), index.manifest


def _faiss_index(index: Index) -> faiss.Index:
    return cast(FaissBackend, index.backend).index


def draw_queries(array: np.ndarray, removed: list[int], similarity: Similarity) -> Queries:
    queries = Queries(array, removed, similarity=similarity)
    if not len(queries.rows):
        raise ValueError("no row is left: all are zeros (every image was skipped) or removed")
    return queries


def training_sample(array: np.ndarray, without: np.ndarray, similarity: Similarity = COSINE) -> np.ndarray:
    """Return transformed unit vectors (m, c) of rows drawn at random, to train on.

    The rows `without` are among them only where all are few.
    """
    n, d = array.shape
    c = d if similarity.offset is None else len(similarity.offset)
    rows, step = rows_except(n, without if n >= 5 * MIN_QUERIES else []), block_rows(array)
    m = min(len(rows), max(256 * 64, SAMPLE_PER_LIST * list_count(n)), SAMPLE_BYTES // (4 * c))
    drawn = np.sort(np.random.default_rng(SEED).choice(rows, m, replace=False))
    units = (unit_rows(array, drawn[start : start + step])[1] for start in range(0, m, step))
    if not similarity.is_cosine:  # as they are read from their file
        units = (normalise(similarity.transform(unit).astype(np.float16)) for unit in units)
    return np.concatenate(list(units))


def fit_similarity(
    vectors: Vectors, name: str, recipe: str, removed: list[int], note: Callable[[str], None]
) -> Similarity:
    """Return the similarity of a name, fitted on the vectors that are left."""
    absent = sorted({*removed, *skipped_rows(vectors)})
    if name != "auto":
        return fit(vectors.stored, name, absent)
    if recipe not in ("auto", "flat", "reduced"):
        return COSINE
    try:
        return fit(vectors.stored, default_similarity(vectors.network, len(vectors.stored) - len(absent)), absent)
    except ValueError as error:
        note(str(error))
        return COSINE


def keep_similarity(
    similarity: Similarity, array: np.ndarray, file: Path | None, path: Path, removed: list[int], old: dict
) -> dict | None:
    """Keep the files of a similarity; return its entry in the manifest, in place of the old one."""
    if similarity.is_cosine:
        return None
    now = mean_drift(array, removed)
    built = {"n": len(array) - len(removed), "built_moved": now}
    return built | old | (keep_transformed(similarity, array, file, path) or {}) | {"moved": now}


def new_manifest(
    vectors: Vectors,
    path: Path,
    recipe: str,
    trained: Trained,
    removed: list[int],
    quality: dict,
    similarity: dict | None,
    target: QualityTarget | None = None,
) -> dict:
    """Return the manifest of a new index."""
    return {
        "recipe": recipe,
        "parameters": trained.parameters,
        "removed": removed,
        "target": target._asdict() if target else None,
        **quality,
        "similarity": similarity,
        "vectors": describe_source(vectors, path, skipped_rows(vectors)),
    }


def describe_source(vectors: Vectors, path: Path, skipped: list[int]) -> dict:
    """Return what an index' manifest says of the vectors that it was built from, without the rows `skipped`."""
    n, blocks = len(vectors.stored), vectors.blocks
    return {
        "file": relative_path(vectors.path, path.parent),
        "n": n,
        "skipped": skipped,
        "fingerprint": fingerprint(vectors.stored, skipped),
        "blocks": blocks or [digest for _, digest in block_digests(vectors.stored, n)],
        "modified": None if blocks else vectors.path.stat().st_mtime_ns,
        "names": names_digest(vectors.names) if vectors.names else None,
        "network": vectors.network.to_json() if vectors.network else None,
    }


def skipped_rows(vectors: Vectors, index: Index | None = None) -> list[int]:
    """Return the rows without a vector, in order: all numbers are 0. With an index only its new rows are read, if it is complete."""
    manifest = index.manifest if index else None
    known, start = [], 0
    if index and manifest:
        built = manifest["vectors"]
        known = [row for row in built.get("skipped", []) if not vectors.stored[row].any()]
        left_out = {row for row in (*built.get("skipped", []), *index.removed) if row < built["n"]}
        start = built["n"] if manifest["n"] + len(left_out) >= built["n"] else 0
    status = vectors.path.stat()
    return sorted({*known, *_zero_rows(vectors.path, status.st_size, status.st_mtime_ns, start)})


@lru_cache(maxsize=4)
def _zero_rows(path: Path, size: int, changed: int, start: int) -> list[int]:
    """Return the rows of zeros from `start`. A file is read once, until its size or its time of change differs."""
    array, found = open_array(path), []
    for first in range(start, len(array), block_rows(array)):
        found += (first + np.flatnonzero(~array[first : first + block_rows(array)].any(axis=1))).tolist()
        release(array)
    return found


def build_in_parts(
    vectors: Vectors,
    path: Path,
    recipe: str,
    size: int,
    removed: list[int],
    similarity: str,
    progress: Callable[[int], None],
    note: Callable[[str], None],
) -> tuple[Trained, dict, Similarity]:
    """Return the trained index, without vectors, the manifest of an index in parts of `size` rows, and its similarity.

    Complete parts of an earlier run of the same build are kept.
    """
    array, n = vectors.stored, len(vectors.stored)
    if n > unfinished.MAX_PARTS * size:
        raise ValueError(
            f"expected at most {unfinished.MAX_PARTS} parts: use a --part-size of {-(-n // unfinished.MAX_PARTS)} or more"
        )
    source = describe_source(vectors, path, skipped_rows(vectors))
    work = unfinished.UnfinishedBuild(path, {**source, "asked": [recipe, similarity, removed]}, size)
    done, count = work.complete(n)
    if done:
        note(f"resuming: {done} of {count} parts are complete")

    def trained_on_sample() -> tuple[str, Trained]:
        name = "reduced" if recipe == "auto" else recipe
        found = train(name, training_sample(array, draw_queries(array, removed, COSINE).rows, fitted), n)
        if found is None:
            raise ValueError(f"{n} vectors are too few to train the recipe {name}: omit --part-size")
        return name, found

    try:
        fitted = work.similarity(lambda: fit_similarity(vectors, similarity, recipe, removed, note))
        name, trained = work.trained(trained_on_sample)
    except ValueError:  # the request cannot be met
        unfinished.remove(path)
        raise
    files, moved, file = work.fill(trained.index, array, fitted, removed, progress)
    index = parts.join_parts(trained.index, files, parts.is_better_mapped(trained.index, files))
    quality = measure_quality(draw_queries(moved, removed, fitted), FaissBackend(index), trained.parameters, removed)
    del index
    kept = keep_similarity(fitted, moved, file and unfinished.link(file), path, removed, {})
    manifest = new_manifest(vectors, path, name, trained, removed, quality, kept)
    entry = work.keep(files)
    manifest["measured"]["bytes_on_disk"] = parts.parts_bytes(entry) + fitted.bytes
    return trained, manifest | {"parts": entry}, fitted
