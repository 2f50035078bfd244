"""An unfinished build in parts: a folder beside the index from which an interrupted build resumes.

The folder contains the transform, the trained index, the transformed vectors, and complete parts. `state.json` contains
the digest of the request; another request starts again.

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
from similar_images.index import parts
from similar_images.index.backend import read_index, write_index
from similar_images.index.exact import skip_removed, unit_blocks
from similar_images.index.recipes import Trained
from similar_images.index.similarity import COSINE, Similarity, load_transform
from similar_images.vectors.store import new_array, open_array, release

FORMAT = "similar-images unfinished index 1"
MAX_PARTS = 1000  # each is a file that every opening reads
FORM = {"request": str, "counts": dict}


def folder_of(index: Path) -> Path:
    return index.with_name(f".{index.name}.unfinished")


def remove(index: Path) -> None:
    """Remove the unfinished build of an index."""
    shutil.rmtree(folder_of(index), ignore_errors=True)


class UnfinishedBuild:
    """The steps of a build in parts of `size` rows: complete results are read, missing ones are made and saved."""

    def __init__(self, index: Path, request: dict, size: int):
        """Resume the build of the same `request`, or start again. The caller holds `hold_lock(index)`."""
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
        """Return the number of complete parts of n rows, and of all parts."""
        files = self._files(n)
        return sum(self._count(file) is not None for file in files), len(files)

    def similarity(self, fit: Callable[[], Similarity]) -> Similarity:
        """Return the similarity, fitted once."""
        file = self._folder / "transform.npy"
        if "similarity" not in self._state:
            fitted = fit()
            if not fitted.is_cosine:
                with replace_file(file) as partial:
                    fitted.save(partial)
            self._save(similarity=fitted.name)
        name = self._state["similarity"]
        return COSINE if name == COSINE.name else load_transform(file, name)

    def trained(self, train: Callable[[], tuple[str, Trained]]) -> tuple[str, Trained]:
        """Return the recipe and the empty index, trained once. Raises ValueError if it cannot have parts."""
        file = self._folder / "trained.index"
        if "recipe" not in self._state:
            recipe, made = train()
            parts.require_ivf(made.index)
            with replace_file(file) as partial:
                write_index(made.index, partial)
            self._save(recipe=recipe, parameters=made.parameters)
        return self._state["recipe"], Trained(read_index(file), self._state["parameters"])

    def fill(
        self,
        trained: faiss.Index,
        array: np.ndarray,
        similarity: Similarity,
        removed: list[int],
        progress: Callable[[int], None],
    ) -> tuple[list[Path], np.ndarray, Path | None]:
        """Write the incomplete parts of vectors (n, d).

        Return the files of all parts, the transformed vectors (n, c), and their file; None with the cosine.
        """
        n = len(array)
        moved, file = self._vectors(array, similarity)
        for number, path in enumerate(self._files(n)):
            start, stop = number * self._size, min(n, (number + 1) * self._size)
            if self._count(path) is not None:
                progress(stop - start)
                continue
            if file is not None:
                for rows, unit in unit_blocks(array[:stop], start):
                    moved[rows] = similarity.transform(unit)
                flush(file)
            part = faiss.clone_index(trained)
            for rows, unit in skip_removed(unit_blocks(moved[:stop], start), removed, progress):
                part.add_with_ids(unit, rows)
            with replace_file(path) as partial:
                write_index(part, partial)
            release(moved)
            self._save(counts=self._state["counts"] | {path.name: part.ntotal})
        return [path for path in self._files(n) if self._count(path)], moved if file is None else open_array(file), file

    def keep(self, files: list[Path]) -> dict:
        """Put complete parts beside the index; return their entry in the manifest."""
        return {
            "size": self._size,
            "files": [parts.keep(self._index, link(file), self._count(file) or 0) for file in files],
        }

    def _vectors(self, array: np.ndarray, similarity: Similarity) -> tuple[np.ndarray, Path | None]:
        if similarity.offset is None:
            return array, None
        file, shape = self._folder / "vectors.npy", (len(array), len(similarity.offset))
        if not file.exists():
            self._save(counts={})  # parts without their vectors are incomplete
            with replace_file(file) as partial:
                new_array(partial, shape)
        return np.lib.format.open_memmap(file, "r+"), file

    def _count(self, file: Path) -> int | None:
        """Return the number of vectors in a complete part; None if it is incomplete."""
        return self._state["counts"].get(file.name) if file.exists() else None

    def _files(self, n: int) -> list[Path]:
        return [self._folder / f"{number:05}.part" for number in range(-(-n // self._size))]

    def _save(self, **entries: Any) -> None:
        self._state |= entries
        write_json(self._folder / "state.json", self._state)


def link(file: Path) -> Path:
    """Return a hard link to move instead of a file: a build killed between two moves keeps all files.

    Without hard links return the file itself; a resumed build makes moved files again.
    """
    link = file.with_name(f"moved.{file.name}")
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(file)
    except OSError:
        return file
    return link
