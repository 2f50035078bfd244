"""A build in parts that is not finished yet: a folder beside the index, in which a run that was killed is resumed.

The folder holds the transform and the trained index, each made once, the transformed vectors, and the parts that are
complete. `state.json` says which request they answer; another request begins anew.

Shape letters: n vectors in all, d numbers in a vector, c numbers of a transformed one.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from similar_images.files import flush, mismatch, read_json, replace_file, write_json
from similar_images.index import index_file, parts
from similar_images.index.exact import blocks
from similar_images.index.measure import measures
from similar_images.index.recipes import Trained, train
from similar_images.index.similarity import COSINE, Similarity, load
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
from similar_images.vectors.store import Vectors, new_array, open_array, release

FORMAT = "similar-images unfinished index 1"
MOST = 1000  # parts; each takes a file and a step of every opening
FORM = {"request": str, "counts": dict}


def folder_of(index: Path) -> Path:
    return index.with_name(f".{index.name}.unfinished")


def remove(index: Path) -> None:
    """Remove what an unfinished build of an index left."""
    shutil.rmtree(folder_of(index), ignore_errors=True)


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
    """Return the trained index, without vectors, the manifest of one whose parts hold up to `size` rows, and its similarity.

    The parts are in place then. Those that an earlier run of the same build completed are not made again.
    """
    array, n = vectors.stored, len(vectors.stored)
    if n > MOST * size:
        raise ValueError(f"expected at most {MOST} parts: use a --part-size of {-(-n // MOST)} or more")
    source = source_of(vectors, path, skipped_rows(vectors))
    work = _Unfinished(path, {**source, "asked": [recipe, similarity, removed]}, size)
    done, count = work.complete(n)
    if done:
        note(f"resuming: {done} of {count} parts are complete")

    def trained_on_sample() -> tuple[str, Trained]:
        name = "reduced" if recipe == "auto" else recipe
        found = train(name, training_sample(array, queries_of(array, removed, COSINE).rows, fitted), n)
        if found is None:
            raise ValueError(f"{n} vectors are too few to train the recipe {name}: omit --part-size")
        return name, found

    try:
        fitted = work.similarity(lambda: fitted_similarity(vectors, similarity, recipe, removed, note))
        name, trained = work.trained(trained_on_sample)
    except ValueError:  # the request cannot be met
        remove(path)
        raise
    files, moved, file = work.fill(trained.faiss, array, fitted, removed, progress)
    index = parts.joined(trained.faiss, files, parts.is_better_mapped(trained.faiss, files))
    quality = measures(queries_of(moved, removed, fitted), index, trained.parameters, removed)
    del index
    kept = kept_similarity(fitted, moved, file and _linked(file), path, removed, {})
    manifest = described(vectors, path, name, trained, removed, quality, kept)
    entry = work.keep(files)
    manifest["measured"]["bytes_on_disk"] = parts.bytes_of(entry) + fitted.bytes
    return trained, manifest | {"parts": entry}, fitted


class _Unfinished:
    """The steps of a build in parts of `size` rows each: what is complete is read, the rest is made and kept."""

    def __init__(self, index: Path, request: dict, size: int):
        """Continue the build of the same `request`, or begin anew. The caller holds `hold_lock(index)`."""
        self._index, self._folder, self._size = index, folder_of(index), size
        digest = hashlib.sha256(json.dumps([request, size, faiss.__version__]).encode()).hexdigest()
        try:
            state = read_json(self._folder / "state.json", FORMAT)
        except (OSError, ValueError):
            state = {}
        if mismatch(state, FORM) or state["request"] != digest:
            remove(index)
            self._folder.mkdir()
            state = {"format": FORMAT, "request": digest, "counts": {}}
        self._state: dict[str, Any] = state
        self._save()

    def complete(self, n: int) -> tuple[int, int]:
        """Return how many of the parts of n rows are complete, and how many there are to be."""
        files = self._files(n)
        return sum(self._count(file) is not None for file in files), len(files)

    def similarity(self, fit: Callable[[], Similarity]) -> Similarity:
        """Return the similarity that the first run fitted."""
        file = self._folder / "transform.npy"
        if "similarity" not in self._state:
            fitted = fit()
            if not fitted.is_cosine:
                with replace_file(file) as partial:
                    fitted.save(partial)
            self._save(similarity=fitted.name)
        name = self._state["similarity"]
        return COSINE if name == COSINE.name else load(file, name)

    def trained(self, train: Callable[[], tuple[str, Trained]]) -> tuple[str, Trained]:
        """Return the recipe and the empty index that the first run trained. Raises ValueError if it can have no parts."""
        file = self._folder / "trained.index"
        if "recipe" not in self._state:
            recipe, made = train()
            parts.inverted(made.faiss)
            with replace_file(file) as partial:
                index_file.write(made.faiss, partial)
            self._save(recipe=recipe, parameters=made.parameters)
        return self._state["recipe"], Trained(index_file.read(file), self._state["parameters"])

    def fill(
        self,
        trained: faiss.Index,
        array: np.ndarray,
        similarity: Similarity,
        removed: list[int],
        progress: Callable[[int], None],
    ) -> tuple[list[Path], np.ndarray, Path | None]:
        """Write the parts of vectors (n, d) that are not complete.

        Return the files of all, the transformed vectors (n, c), and the file of these; there is none with the cosine.
        """
        n = len(array)
        moved, file = self._vectors(array, similarity)
        for number, path in enumerate(self._files(n)):
            start, stop = number * self._size, min(n, (number + 1) * self._size)
            if self._count(path) is not None:
                progress(stop - start)
                continue
            if file is not None:
                for rows, unit in blocks(array[:stop], start):
                    moved[rows] = similarity.transformed(unit)
                flush(file)
            part = faiss.clone_index(trained)
            for rows, unit in left(blocks(moved[:stop], start), removed, progress):
                part.add_with_ids(unit, rows)
            with replace_file(path) as partial:
                index_file.write(part, partial)
            release(moved)
            self._save(counts=self._state["counts"] | {path.name: part.ntotal})
        return [path for path in self._files(n) if self._count(path)], moved if file is None else open_array(file), file

    def keep(self, files: list[Path]) -> dict:
        """Put complete parts beside the index; return their entry in the manifest."""
        return {
            "size": self._size,
            "files": [parts.keep(self._index, _linked(file), self._count(file) or 0) for file in files],
        }

    def _vectors(self, array: np.ndarray, similarity: Similarity) -> tuple[np.ndarray, Path | None]:
        if similarity.offset is None:
            return array, None
        file, shape = self._folder / "vectors.npy", (len(array), len(similarity.offset))
        if not file.exists():
            self._save(counts={})  # parts are complete with their vectors only
            with replace_file(file) as partial:
                new_array(partial, shape)
        return np.lib.format.open_memmap(file, "r+"), file

    def _count(self, file: Path) -> int | None:
        """Return how many vectors a complete part holds; None for one that is not complete."""
        return self._state["counts"].get(file.name) if file.exists() else None

    def _files(self, n: int) -> list[Path]:
        return [self._folder / f"{number:05}.part" for number in range(-(-n // self._size))]

    def _save(self, **entries: Any) -> None:
        self._state |= entries
        write_json(self._folder / "state.json", self._state)


def _linked(file: Path) -> Path:
    """Return a second name of a file, to move: a build that is killed between two moves has all files still.

    It is the file itself where the disk has no links; what was moved is then made again.
    """
    link = file.with_name(f"moved.{file.name}")
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(file)
    except OSError:
        return file
    return link
