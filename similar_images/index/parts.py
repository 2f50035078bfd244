"""An index in several files: a trained index without vectors, and parts with some rows each.

Only changed parts are rewritten, so a collection of a hundred million grows without rewriting its index. The opened
parts are one index: copied into memory, or memory-mapped.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil

from similar_images.files import flush, partial_file, sha256
from similar_images.index.backend import read_index, write_index
from similar_images.index.exact import Blocks
from similar_images.index.manifest import DIGITS, PartFile, PartList, manifest_path
from similar_images.vectors.store import WHOLE_BYTES

SAMPLED_BLOCKS, SAMPLED_BYTES = 64, 2**14  # blocks of a part that show an alteration, and the bytes of each
MAX_MEMORY_SHARE = 0.5  # of the available memory; larger indexes stay on disk if possible


def require_ivf(index: faiss.Index) -> Any:
    """Return the faiss.IndexIVF of an index, at most behind a transform. Raises ValueError without one."""
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if not isinstance(inner, faiss.IndexIVF):
        raise ValueError("only an index of inverted lists has parts: use the recipe reduced, or omit --part-size")
    return inner


def open_parts(index: Path, trained: faiss.Index, entry: PartList, mapped: bool | None = None) -> faiss.Index:
    """Return the parts of a manifest's entry as one index, with the hits of an index in one piece.

    `mapped` parts stay on disk, by default if they need more than half of the available memory. Raises ValueError,
    naming the part, if a part is missing or damaged, or if its codes cannot be `mapped`.
    """
    written = manifest_path(index).stat().st_mtime_ns
    files = [index.with_name(part.file) for part in entry.files]
    with _naming_missing_part():
        for file, part in zip(files, entry.files, strict=True):
            _check(file, part, written)
        whole = join_parts(trained, files, is_better_mapped(trained, files) if mapped is None else mapped)
    if whole.ntotal != entry.n:
        raise ValueError(f"its parts hold {whole.ntotal} vectors, expected {entry.n}")
    return whole


def can_map(trained: faiss.Index) -> bool:
    """Return whether parts can stay on disk: not the codes of fast scan, in blocks of 32."""
    return isinstance(faiss.downcast_InvertedLists(require_ivf(trained).invlists), faiss.ArrayInvertedLists)


def is_better_mapped(trained: faiss.Index, files: Sequence[Path]) -> bool:
    """Return whether parts can stay on disk and need more than half of the available memory."""
    return (
        can_map(trained)
        and sum(file.stat().st_size for file in files) > MAX_MEMORY_SHARE * psutil.virtual_memory().available
    )


def join_parts(trained: faiss.Index, files: Sequence[Path], mapped: bool = False) -> faiss.Index:
    """Return the parts in files as one index: copied into memory, or `mapped`."""
    if mapped and not can_map(trained):
        raise ValueError("codes of fast scan cannot be memory-mapped: build with the recipe mapped")
    whole = faiss.clone_index(trained)
    lists, stacked, opened = require_ivf(whole), faiss.InvertedListsPtrVector(), []  # type: ignore[attr-defined]
    for file in files:
        try:
            part = read_index(file, mapped, with_table=False)
            lists.check_compatible_for_merge(require_ivf(part))
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"Faiss cannot read its part {file.name}") from error
        if mapped:
            stacked.push_back(require_ivf(part).invlists)
            opened.append(part)
            lists.ntotal += part.ntotal
        else:
            lists.merge_from(require_ivf(part), 0)
    if opened:
        stack = faiss.HStackInvertedLists(stacked.size(), stacked.data())
        lists.replace_invlists(stack, False)
        whole.referenced_objects = [*opened, stack]  # type: ignore[attr-defined]  # kept alive with the index
    whole.ntotal = lists.ntotal
    return whole


def keep(index: Path, file: Path, n: int) -> PartFile:
    """Give a complete file of n vectors its final name beside the index; return its entry in the manifest."""
    digest = sha256(file)
    part = PartFile(f"{index.name}.{digest[:DIGITS]}.part", n, file.stat().st_size, digest, _sample(file))
    file.replace(index.with_name(part.file))
    return part


def add_rows(index: Path, trained: faiss.Index, entry: PartList, blocks: Blocks) -> PartList:
    """Add rows (b,) with vectors (b, d) to the last part, and to new ones when it is full; return the new entry."""
    files, size = list(entry.files), entry.size
    part = faiss.clone_index(trained)
    if files and files[-1].n < size:
        part = _read_to_change(index, files.pop())
    for rows, unit in blocks:
        while len(rows):
            room = max(0, size - part.ntotal)
            part.add_with_ids(unit[:room], rows[:room])
            rows, unit = rows[room:], unit[room:]
            if len(rows):
                files.append(_write(index, part))
                part = faiss.clone_index(trained)
    if part.ntotal:
        files.append(_write(index, part))
    return PartList(size, tuple(files))


def remove_rows(index: Path, entry: PartList, rows: Sequence[int]) -> PartList:
    """Remove rows; return the new entry. Only parts with some of the rows are rewritten."""
    selector, files = faiss.IDSelectorBatch(np.array(rows, dtype=np.int64)), []
    for old in entry.files:
        part = _read_to_change(index, old)
        if not part.remove_ids(selector):
            files.append(old)
        elif part.ntotal:
            files.append(_write(index, part))
    return PartList(entry.size, tuple(files))


def _write(index: Path, part: faiss.Index) -> PartFile:
    with partial_file(index) as partial:
        write_index(part, partial)
        flush(partial)
        return keep(index, partial, part.ntotal)


def _read_to_change(index: Path, entry: PartFile) -> faiss.Index:
    """Return a part to rewrite, after comparing its complete SHA-256: a rewrite would keep any damage."""
    path = index.with_name(entry.file)
    with _naming_missing_part():
        _check(path, entry, None)
    return read_index(path)


def _check(path: Path, part: PartFile, written: int | None) -> None:
    """Raise ValueError if a part was altered after its manifest was `written`, FileNotFoundError if it is missing.

    `written` is in nanoseconds; None compares the complete file. Of a part older than its manifest only the size is
    compared, of a newer one (a copy) a sample if it is large.
    """
    status = path.stat()
    is_intact = status.st_size == part.bytes
    if is_intact and written is None:
        is_intact = sha256(path) == part.sha256
    elif is_intact and written is not None and status.st_mtime_ns > written:
        is_intact = sha256(path) == part.sha256 if part.bytes <= WHOLE_BYTES else _sample(path) == part.sample
    if not is_intact:
        raise ValueError(f"its part {path.name} was altered or truncated: restore that file")


@contextmanager
def _naming_missing_part() -> Iterator[None]:
    """Raise ValueError for a missing part, also if a writer replaced it after the check."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"its part {Path(error.filename).name} is missing: restore that file") from error


def _sample(path: Path) -> str:
    """Return a SHA-256 over SAMPLED_BLOCKS of a file, evenly spaced."""
    digest, last = hashlib.sha256(), max(0, path.stat().st_size - SAMPLED_BYTES)
    with path.open("rb") as file:
        for start in sorted({int(start) for start in np.linspace(0, last, SAMPLED_BLOCKS)}):
            file.seek(start)
            digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()
