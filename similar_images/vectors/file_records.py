"""A record of each image's file when its vector was computed: size, time of change, digest. Row i is line i.

The records are a structured `.npy` beside the vectors, `photos.txt.saved_predictions.files.npy`, with these fields:

    size      int64    bytes; UNKNOWN: the row was made without a record; UNSTABLE: the file changed while it was read
    modified  int64    nanoseconds since 1970; in an archive or object storage a digest of its time and checksum
    digest    16 bytes the content's XXH3-128
    retired   bool     whether the row no longer shows its file: it is missing, renamed, or has changed
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import xxhash

from similar_images.files import replace_file, reserve
from similar_images.inputs.sources import FileStatus, Source

UNKNOWN, UNSTABLE = -1, -2  # sizes
DTYPE = np.dtype([("size", "<i8"), ("modified", "<i8"), ("digest", "V16"), ("retired", "?")])
CHUNK_ROWS = 2**20  # filled at once


class FileRecord(NamedTuple):
    """The file of an image when it was read."""

    size: int  # bytes, UNKNOWN or UNSTABLE
    modified: int
    digest: bytes

    @property
    def status(self) -> FileStatus:
        return FileStatus(self.size, self.modified)


NO_RECORD = FileRecord(UNKNOWN, 0, bytes(16))


def records_path(vectors: Path) -> Path:
    return vectors.with_suffix(".files.npy")


def open_records(vectors: Path, n: int) -> np.ndarray | None:
    """Return the records of the first n rows, memory-mapped, DTYPE (n,); None if there are fewer or no usable ones."""
    try:
        records: np.ndarray = np.load(records_path(vectors), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return records[:n] if records.dtype == DTYPE and records.ndim == 1 and len(records) >= n else None


def blank_records(n: int) -> np.ndarray:
    """Return unknown records (n,)."""
    records = np.zeros(n, DTYPE)
    records["size"] = UNKNOWN
    return records


def to_array(records: Iterable[FileRecord]) -> np.ndarray:
    """Return records as an array (n,)."""
    return np.array([(*record, False) for record in records], DTYPE)


def save_records(vectors: Path, records: np.ndarray) -> None:
    """Replace the records of vectors."""
    with replace_file(records_path(vectors)) as partial, partial.open("wb") as file:
        np.save(file, records)


def grow_records(vectors: Path, n: int) -> np.memmap:
    """Return the records of n rows to write in place: present records, then unknown ones. Raises NoSpace."""
    path = records_path(vectors)
    known = open_records(vectors, 0)
    if known is None:
        save_records(vectors, blank_records(0))
    earlier: np.memmap = np.load(path, mmap_mode="r")
    present, offset = len(earlier), earlier.offset
    del earlier
    with path.open("r+b") as file:  # space first: readers open the rows that the header states
        reserve(file, path, offset + max(n, present) * DTYPE.itemsize)
        header = {"descr": np.lib.format.dtype_to_descr(DTYPE), "fortran_order": False, "shape": (max(n, present),)}
        np.lib.format.write_array_header_1_0(file, cast(Any, header))  # NumPy pads it: the same length for any n
    records = np.lib.format.open_memmap(path, "r+")
    for start in range(present, n, CHUNK_ROWS):
        records[start : start + CHUNK_ROWS] = blank_records(min(CHUNK_ROWS, n - start))
    return records


def read_record(source: Source, name: str, status: FileStatus | None = None) -> FileRecord:
    """Return the record of a file, reading it once; UNSTABLE if it changes meanwhile.

    Raises OSError or UnreadableImage.
    """
    before = status or source.status(name)
    with source.open(name) as file:
        record = FileRecord(*before, digest_file(file))
    return record if source.status(name) == before else unstable(record)


def is_same_status(record: np.void, status: FileStatus) -> bool:
    """Return whether a file has its recorded size and time."""
    return (int(record["size"]), int(record["modified"])) == status


def digest_file(file: Any) -> bytes:
    """Return the digest of an open file."""
    return hashlib.file_digest(file, cast(Callable[[], Any], xxhash.xxh3_128)).digest()


def digest_bytes(content: bytes) -> bytes:
    return xxhash.xxh3_128_digest(content)


def unstable(record: FileRecord) -> FileRecord:
    """Return the record of a file that changed while it was read: it equals no later one."""
    return record._replace(size=UNSTABLE)
