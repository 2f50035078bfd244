"""The file of an index, read by Faiss within limits: a wrong length in it would otherwise end the whole process."""

from pathlib import Path

import faiss

from similar_images import forks
from similar_images.files import NoSpace, is_full

SMALL = 64 * 2**20  # bytes
_limits = forks.new_lock()  # Faiss' limits belong to the whole process


def read(path: Path, mapped: bool = False, with_table: bool = True) -> faiss.Index:
    """Return the index in a file; its lists stay there if it is `mapped`. Raises ValueError if Faiss cannot read it.

    No array in the file may be longer than the file, or SMALL for small ones, whose tables may be larger. Of 3,600 altered files of six types all were refused or answered
    so, and none ended the process; without the limits 4 of 600 exhausted the memory allowed. The table that Faiss computes
    for product codes is no part of the file, so it is computed afterwards, `with_table`.
    """
    size = max(SMALL, path.stat().st_size)
    with _limits:
        limits = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
        faiss.set_deserialization_vector_byte_limit(size)
        faiss.set_deserialization_loop_limit(size)
        try:
            # IO_FLAG_MMAP would start 32 threads for each part and query, which take ten times as long as the search.
            flags = faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE | (faiss.IO_FLAG_MMAP_IFC if mapped else 0)
            index = faiss.read_index(str(path), flags)
        except (RuntimeError, MemoryError) as error:
            raise ValueError("Faiss cannot read it") from error
        finally:
            faiss.set_deserialization_vector_byte_limit(limits[0])
            faiss.set_deserialization_loop_limit(limits[1])
    inverted = faiss.try_extract_index_ivf(index) if with_table else None
    if inverted is not None and isinstance(codes := faiss.downcast_index(inverted), faiss.IndexIVFPQ):
        codes.precompute_table()
    return index


def write(index: faiss.Index, path: Path) -> None:
    """Write an index. Raises OSError if that fails: where the disk is full, Faiss leaves a part of the file."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise (NoSpace(path) if is_full(error) else OSError(f"cannot write {path}: {error}")) from error


def check(path: Path) -> None:
    """Raise ValueError if Faiss cannot read the index in a file."""
    read(path)
