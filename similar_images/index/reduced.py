"""The file of the vectors that a similarity makes, beside its index: float16, memory-mapped.

They serve exact search and re-ranking; those of the network remain the source. The name of the file contains a digest of
its content, and the manifest of the index names it: an index never meets the file of another one. The transform is in
the index. Only beside a collection in Milvus, and the indexes of earlier versions, it has a file of its own.

Shape letters: n vectors in all, d numbers in a vector, c numbers of a transformed one.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

import numpy as np

from similar_images.files import flush, partial_file, sha256
from similar_images.index.exact import blocks, unit_rows
from similar_images.index.similarity import Similarity, load
from similar_images.vectors.store import new_array, open_array, sample

DIGITS = 8  # of the digest


@contextmanager
def transformed(
    array: np.ndarray,
    similarity: Similarity,
    index: Path,
    known: np.ndarray | None = None,
    retried: Sequence[int] | np.ndarray = (),
) -> Iterator[tuple[np.ndarray, Path | None]]:
    """Yield the vectors (n, c) of a similarity for vectors (n, d), and the new file that holds them, which `keep` keeps.

    With the cosine these are the vectors themselves. The first of them may be `known` from the last file; then only the
    rest and the rows `retried` are computed. There is no file if nothing was computed.
    """
    offset = similarity.offset
    if offset is None:
        yield array, None
        return
    if known is not None and len(known) == len(array) and not len(retried):
        yield known, None
        return
    with partial_file(index.with_name(index.name + ".npy")) as partial:
        moved = new_array(partial, (len(array), len(offset)))
        if known is not None:
            moved[: len(known)] = known
            _fill(moved, similarity, [unit_rows(array, np.asarray(retried, dtype=np.int64))])
        _fill(moved, similarity, blocks(array, 0 if known is None else len(known)))
        yield moved, partial


def in_memory(array: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Return the vectors (n, c) of a similarity for vectors (n, d): with the cosine the vectors themselves."""
    if similarity.offset is None:
        return array
    moved = np.zeros((len(array), len(similarity.offset)), np.float16)
    _fill(moved, similarity, blocks(array))
    return moved


def keep(similarity: Similarity, moved: np.ndarray, partial: Path | None, index: Path) -> dict | None:
    """Put the file beside the index, in place for the manifest that will name it; return its entry."""
    if partial is None:
        return None
    flush(partial)
    name = f"{index.name}.{sample(moved)[:DIGITS]}.npy"
    partial.replace(index.with_name(name))
    return {"name": similarity.name, "dimension": moved.shape[1], "vectors": name}


def keep_transform(similarity: Similarity, index: Path) -> dict:
    """Write the transform to a file beside the index; return what the manifest's entry says of it."""
    with partial_file(index.with_name(index.name + ".npy")) as partial:
        similarity.save(partial)
        flush(partial)
        name = f"{index.name}.{sha256(partial)[:DIGITS]}.transform.npy"
        partial.replace(index.with_name(name))
    return {"transform": name}


def open_transform(index: Path, entry: dict, c: int) -> Similarity:
    """Return the similarity whose transform has a file of its own, which a manifest's entry names.

    Raises ValueError if the file is missing, damaged or not to c numbers: without it the index cannot be searched.
    """
    path = index.with_name(entry["transform"])
    try:
        if not path.name.endswith(f".{sha256(path)[:DIGITS]}.transform.npy"):
            raise ValueError(f"the transform of its similarity, {path}, was altered")
        similarity = load(path, entry["name"])
    except FileNotFoundError as error:
        raise ValueError(f"the transform of its similarity, {path}, is missing") from error
    if similarity.offset is None or len(similarity.offset) != c:
        raise ValueError(f"the transform of its similarity, {path}, does not give {c} numbers")
    return similarity


def open_transformed(index: Path, entry: dict | None) -> np.ndarray | None:
    """Return the vectors (n, c) that a manifest's entry names; None with the cosine, or if they are missing or damaged."""
    if entry is None:
        return None
    vectors = index.with_name(entry["vectors"])
    try:
        array = open_array(vectors)
        whole = vectors.name.endswith(f".{sample(array)[:DIGITS]}.npy")
    except (OSError, ValueError):
        whole = False
    return array if whole else None


def remove_others(index: Path, entry: dict | None) -> None:
    """Remove the files of earlier similarities of the same index."""
    kept = {entry.get("transform"), entry["vectors"]} if entry else set()
    for path in index.parent.glob(f"{escape(index.name)}.{'[0-9a-f]' * DIGITS}*.npy"):
        if path.name not in kept:
            with suppress(OSError):  # Windows: a reader has it open
                path.unlink()


def _fill(moved: np.ndarray, similarity: Similarity, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the transformed vectors of rows (b,) with unit vectors (b, d)."""
    for rows, unit in parts:
        moved[rows] = similarity.transformed(unit)
