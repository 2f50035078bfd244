"""An index in several files: a trained one without vectors, and parts of it that hold some rows each.

Only the parts that change are written again, so a collection of a hundred million grows without rewriting all of its
index. Opened, the parts are one index: copied into one in memory, or left on disk and memory-mapped.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import psutil

from similar_images.files import flush, partial_file, sha256
from similar_images.index import index_file
from similar_images.index.manifest import manifest_path
from similar_images.vectors.store import WHOLE_BYTES

DIGITS = 8  # of the digest in the name of a part
SAMPLED, SAMPLED_BYTES = 64, 2**14  # blocks of a part that tell whether it was altered, and the bytes of each
SHARE = 0.5  # of the memory that is available; larger indexes are left on disk where that is possible


class Part(NamedTuple):
    """One file of an index, as the manifest describes it."""

    file: str  # beside the index; its name holds a digest of its content, so that it is never overwritten
    n: int  # vectors
    bytes: int
    sha256: str
    sample: str  # digest of some blocks


def inverted(index: faiss.Index) -> Any:
    """Return the inverted lists of an index, faiss.IndexIVF, at most behind a transform. Raises ValueError for others."""
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if not isinstance(inner, faiss.IndexIVF):
        raise ValueError("only an index of inverted lists has parts: use the recipe reduced, or omit --part-size")
    return inner


def open_parts(index: Path, trained: faiss.Index, entry: dict, mapped: bool | None = None) -> faiss.Index:
    """Return the parts that a manifest's entry names as one index, which answers as one that was built in one piece.

    `mapped`: they stay on disk and are memory-mapped; by default where they need more than half of the available memory.
    Raises ValueError, naming the part, if one is missing or damaged, or if `mapped` and its codes cannot be mapped.
    """
    parts = [_part(part) for part in entry["files"]]
    written = manifest_path(index).stat().st_mtime_ns
    files = [index.with_name(part.file) for part in parts]
    with _missing_named():
        for file, part in zip(files, parts, strict=True):
            _check(file, part, written)
        whole = joined(trained, files, is_better_mapped(trained, files) if mapped is None else mapped)
    if whole.ntotal != (n := sum(part.n for part in parts)):
        raise ValueError(f"its parts hold {whole.ntotal} vectors, expected {n}")
    return whole


def can_map(trained: faiss.Index) -> bool:
    """Return whether parts can stay on disk: codes of fast scan, in blocks of 32, cannot."""
    return isinstance(faiss.downcast_InvertedLists(inverted(trained).invlists), faiss.ArrayInvertedLists)


def is_better_mapped(trained: faiss.Index, files: Sequence[Path]) -> bool:
    """Return whether parts can stay on disk and need more than half of the memory that is available."""
    return can_map(trained) and sum(file.stat().st_size for file in files) > SHARE * psutil.virtual_memory().available


def is_mapped(index: faiss.Index) -> bool:
    """Return whether an index is one of parts that stay on disk."""
    found: Any = faiss.try_extract_index_ivf(index)
    return found is not None and isinstance(faiss.downcast_InvertedLists(found.invlists), faiss.HStackInvertedLists)


def joined(trained: faiss.Index, files: Sequence[Path], mapped: bool = False) -> faiss.Index:
    """Return the parts in files as one index: copied into memory, or `mapped`."""
    if mapped and not can_map(trained):
        raise ValueError("codes of fast scan cannot be memory-mapped: build with the recipe mapped")
    whole = faiss.clone_index(trained)
    lists, stacked, opened = inverted(whole), faiss.InvertedListsPtrVector(), []  # type: ignore[attr-defined]
    for file in files:
        try:
            part = index_file.read(file, mapped, with_table=False)
            lists.check_compatible_for_merge(inverted(part))
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"Faiss cannot read its part {file.name}") from error
        if mapped:
            stacked.push_back(inverted(part).invlists)
            opened.append(part)
            lists.ntotal += part.ntotal
        else:
            lists.merge_from(inverted(part), 0)
    if opened:
        stack = faiss.HStackInvertedLists(stacked.size(), stacked.data())
        lists.replace_invlists(stack, False)
        whole.referenced_objects = [*opened, stack]  # type: ignore[attr-defined]  # what Faiss' Python keeps alive with an index
    whole.ntotal = lists.ntotal
    return whole


def keep(index: Path, file: Path, n: int) -> dict:
    """Give a complete file of n vectors its name beside the index; return its entry in the manifest."""
    digest = sha256(file)
    part = Part(f"{index.name}.{digest[:DIGITS]}.part", n, file.stat().st_size, digest, _sample(file))
    file.replace(index.with_name(part.file))
    return part._asdict()


def added(index: Path, trained: faiss.Index, entry: dict, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict:
    """Add rows (b,) with vectors (b, d) to the last part, and to new ones when it is full; return the new entry."""
    files, size = list(entry["files"]), entry["size"]
    part = faiss.clone_index(trained)
    if files and files[-1]["n"] < size:
        part = _read_to_change(index, files.pop())
    for rows, unit in blocks:
        while len(rows):
            room = max(0, size - part.ntotal)
            part.add_with_ids(unit[:room], rows[:room])
            rows, unit = rows[room:], unit[room:]
            if len(rows):
                files.append(_write(index, part))
                part = faiss.clone_index(trained)
    return {"size": size, "files": [*files, _write(index, part)] if part.ntotal else files}


def removed(index: Path, entry: dict, rows: Sequence[int]) -> dict:
    """Remove rows; return the new entry. Only parts that held some of them are written again."""
    selector, files = faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)), []
    for old in entry["files"]:
        part = _read_to_change(index, old)
        if not part.remove_ids(selector):
            files.append(old)
        elif part.ntotal:
            files.append(_write(index, part))
    return {**entry, "files": files}


def remove_others(index: Path, entry: dict | None) -> None:
    """Remove the parts of earlier versions of the same index."""
    kept = {part["file"] for part in entry["files"]} if entry else set()
    for path in index.parent.glob(f"{escape(index.name)}.{'[0-9a-f]' * DIGITS}.part"):
        if path.name not in kept:
            with suppress(OSError):  # Windows: a reader has it open
                path.unlink()


def bytes_of(entry: dict) -> int:
    """Return the bytes of all parts on disk."""
    return sum(part["bytes"] for part in entry["files"])


def _part(entry: dict) -> Part:
    return Part(*(entry[field] for field in Part._fields))


def _write(index: Path, part: faiss.Index) -> dict:
    with partial_file(index) as partial:
        index_file.write(part, partial)
        flush(partial)
        return keep(index, partial, part.ntotal)


def _read_to_change(index: Path, entry: dict) -> faiss.Index:
    """Return a part that is to be written again, so that its whole SHA-256 is compared: damage would be kept for ever."""
    path = index.with_name(entry["file"])
    with _missing_named():
        _check(path, _part(entry), None)
    return index_file.read(path)


def _check(path: Path, part: Part, written: int | None) -> None:
    """Raise ValueError if a part was altered after its manifest was `written`, in nanoseconds, FileNotFoundError without it.

    What is read of a part that is older than its manifest is its size; of one that was copied since, a sample if it is
    large. Without `written` all of it is.
    """
    status = path.stat()
    is_whole = status.st_size == part.bytes
    if is_whole and written is None:
        is_whole = sha256(path) == part.sha256
    elif is_whole and written is not None and status.st_mtime_ns > written:
        is_whole = sha256(path) == part.sha256 if part.bytes <= WHOLE_BYTES else _sample(path) == part.sample
    if not is_whole:
        raise ValueError(f"its part {path.name} was altered or truncated: restore that file")


@contextmanager
def _missing_named() -> Iterator[None]:
    """Raise ValueError for a part that is missing, also for one that a writer has replaced after it was checked."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"its part {Path(error.filename).name} is missing: restore that file") from error


def _sample(path: Path) -> str:
    """Return a SHA-256 over SAMPLED blocks of a file, evenly spaced from its beginning to its end."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        for start in _starts(size):
            file.seek(start)
            digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()


def _starts(size: int) -> Iterator[int]:
    last = max(0, size - SAMPLED_BYTES)
    yield from sorted({int(start) for start in np.linspace(0, last, SAMPLED)})
