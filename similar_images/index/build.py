"""Vectors to an index on disk: build it, add rows, remove rows, and measure what it reaches.

Shape letters: n vectors in all, m in a sample, d numbers in a vector.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import faiss
import numpy as np

from similar_images.files import hold_lock
from similar_images.index import parts, unfinished
from similar_images.index.index import (
    Index,
    blocks,
    check_matches,
    has_same_rows,
    open_index,
    unit_rows,
    with_ids,
    write_index,
)
from similar_images.index.measure import has_moved as has_moved
from similar_images.index.measure import is_stale as is_stale
from similar_images.index.measure import measures
from similar_images.index.recipes import Trained, train
from similar_images.index.reduced import transformed
from similar_images.index.steps import (
    described,
    fitted_similarity,
    kept_similarity,
    left,
    queries_of,
    skipped_rows,
    source_of,
    training_sample,
)
from similar_images.index.tune import Measured, Queries, Target, choose
from similar_images.index.unfinished import build_in_parts
from similar_images.inputs.names import NameRows, escape_line, find_line_error, is_blank, read_names
from similar_images.vectors.store import Vectors, check_complete

SMALL = 5_000  # vectors; below it an exact search takes less than a millisecond


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
                fitted = fitted_similarity(vectors, similarity, recipe, removed, note)
                with transformed(vectors.stored, fitted, path) as (array, file):
                    queries = queries_of(array, removed, fitted)
                    trained, recipe, measured = _filled(queries, removed, recipe, target, progress, note, tried)
                    quality = measures(queries, trained.faiss, trained.parameters, removed, measured)
                    kept = kept_similarity(fitted, array, file, path, removed, {})
                    manifest = described(vectors, path, recipe, trained, removed, quality, kept, target)
        except ValueError as error:
            raise type(error)(f"{vectors.path}: {error}") from error
        manifest = write_index(path, trained.faiss, manifest, fitted)
        unfinished.remove(path)
        return manifest


def add(vectors: Vectors, path: Path, progress: Callable[[int], None] = lambda rows: None) -> dict:
    """Add the rows that the index lacks, including those that were skipped when it was built; return its new manifest.

    Raises ValueError if the index was not built from these vectors, BlockingIOError if another run is writing it.
    """
    with hold_lock(path):
        index, manifest = _changeable(path, vectors)
        built = manifest["vectors"]
        skipped = skipped_rows(vectors, index)
        retried = np.setdiff1d(np.array(built.get("skipped", []), dtype=np.int64), skipped)
        with transformed(vectors.stored, index.similarity, path, index.vectors, retried) as (array, file):
            new = left(chain([unit_rows(array, retried)], blocks(array, built["n"])), index.removed, progress)
            if entry := manifest.get("parts"):
                manifest = manifest | {"parts": parts.added(path, index.faiss, entry, new)}
            else:
                for rows, unit in new:
                    index.faiss.add_with_ids(unit, rows)
            changed = manifest | {"vectors": source_of(vectors, path, skipped)}
            return _rewrite(index, changed, index.removed, array, file)


def remove(vectors: Vectors, path: Path, rows: list[int]) -> dict:
    """Remove rows permanently: neither `add` nor `build` brings them back; return the new manifest.

    Raises ValueError if the index cannot remove, would be empty, or was not built from these vectors;
    BlockingIOError if another run is writing it.
    """
    with hold_lock(path):
        index, manifest = _changeable(path, vectors)
        entry = manifest.get("parts")
        try:
            if entry:
                manifest = manifest | {"parts": parts.removed(path, entry, rows)}
            else:
                index.faiss.remove_ids(faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)))
        except RuntimeError as error:
            raise ValueError(
                f"{path}: the recipe {index.recipe} cannot remove; rebuild with another --recipe"
            ) from error
        if not (manifest["parts"]["files"] if entry else index.faiss.ntotal):
            raise ValueError(f"{path}: no image would be left; delete the index instead")
        n = manifest["vectors"]["n"]  # the rows after it are still to be added
        removed = sorted({*index.removed, *rows})
        with transformed(vectors.stored[:n], index.similarity, path, index.vectors) as (array, file):
            return _rewrite(index, manifest, removed, array, file)


def rows_of(vectors: Vectors, file: Path) -> list[int]:
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
    drawn = training_sample(array, queries.rows)

    def fill(index: faiss.Index) -> None:
        for rows, unit in left(blocks(array), removed, progress):
            index.add_with_ids(unit, rows)

    if target is not None:
        trained, measured = choose(queries, drawn, target, fill, tried)
        return trained, measured.recipe, measured
    recipe = ("flat" if n < SMALL else "reduced") if recipe == "auto" else recipe
    found = train(recipe, drawn, n)
    if found is None:
        note(f"{len(drawn)} vectors are too few to train the recipe {recipe}: using flat, an exact search")
        return _filled(queries, removed, "flat", None, progress, note, tried)
    fill(found.faiss)
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
    searched = parts.open_parts(index.path, index.faiss, entry) if entry else index.faiss
    quality = measures(Queries(array, absent, similarity=index.similarity), searched, old["parameters"], absent)
    if entry:
        quality["measured"]["bytes_on_disk"] = parts.bytes_of(entry) + index.similarity.bytes
    known = dict(old.get("similarity") or {})
    known.pop("transform", None)  # of an earlier version; now it is in the index
    manifest = old | {
        "removed": removed,
        **quality,
        "built_recall": old["built_recall"],
        "similarity": kept_similarity(index.similarity, array, file, index.path, absent, known),
    }
    return write_index(index.path, index.faiss, manifest, index.similarity)


def removed_rows(vectors: Vectors, path: Path) -> list[int]:
    """Return the rows that were removed from the index of these vectors at `path`; none if there is no such index."""
    if not path.exists():
        return []
    try:
        index = open_index(path, with_parts=False)
    except ValueError:  # damaged
        return []
    return index.removed if has_same_rows(index, vectors) else []


def _changeable(path: Path, vectors: Vectors) -> tuple[Index, dict]:
    """Open an index, without its parts, and its manifest, to change it. Raises ValueError if its content is unknown or of other vectors."""
    index = open_index(path, with_parts=False)
    if index.manifest is None:
        raise ValueError(f"{path} has no manifest, so its rows are unknown: rebuild it with --overwrite")
    check_matches(index, vectors, is_thorough=True)
    return index._replace(faiss=with_ids(index.faiss)), index.manifest
