"""Read and check names, vectors and manifest on disk. Row i is line i.

Shape letters: n images, d numbers per vector.
"""

import hashlib
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from similar_images.events import Skipped
from similar_images.files import reserve, sha256
from similar_images.inputs.names import names_digest, read_names
from similar_images.inputs.sources import Location
from similar_images.networks import catalog
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import recorded_name
from similar_images.vectors.file_records import open_records
from similar_images.vectors.manifest import DTYPES, Manifest, has_manifest, manifest_path, read_manifest

SUFFIX = ".saved_predictions.npy"  # of 2022
NPY_MAGIC = b"\x93NUMPY"
BLOCK_BYTES = 64 * 2**20  # read at once
WHOLE_BYTES = 64 * 2**20  # smaller files are read completely if their time differs, in 0.1 s
SAVE_PLAIN = ": save them again with np.save(path, np.ascontiguousarray(array, dtype=np.float32))"
SAMPLE_ROWS = 1000  # compared in larger files
DIGEST_ROWS = 1024  # rows per digest
DIGEST_BYTES = 8  # detects a change, not an attack; 20 bytes of a manifest per digest


class Vectors(NamedTuple):
    """The memory-mapped vectors of a collection, with their names and manifest."""

    path: Path
    memmap: (
        np.ndarray | None
    )  # (n, d) float32 or float16, not normalised; zeros for skipped items; None: only names exist
    names: list[str] | None  # (n,); None: there is no list
    manifest: Manifest | None  # None: made by another tool
    network: NetworkDescription | None  # None: unknown
    images: Location | None  # the folder or address of the images; names are relative to it; None: unknown
    is_guess: bool = False  # whether the network is assumed to be VGG16, because of the dimension
    allow_outside: bool = False  # whether names may lead out of the folder of the images
    records: np.ndarray | None = None  # of the files, file_records.DTYPE (n,), memory-mapped; None: unknown

    @property
    def retired(self) -> np.ndarray:
        """The rows that no longer show their file, in order; int64."""
        return np.flatnonzero(self.records["retired"]) if self.records is not None else np.zeros(0, np.int64)

    @property
    def pending(self) -> int:
        """The number of rows that a run is adding, or has left unfinished."""
        growing = self.manifest.growing if self.manifest else None
        return growing.n - self.manifest.n if growing and self.manifest else 0

    @property
    def array(self) -> np.ndarray:
        """The vectors (n, d). Raises ValueError if only names exist."""
        if self.memmap is None:
            raise ValueError(f"there are no vectors {self.path}: make them first")
        return self.memmap

    @property
    def blocks(self) -> list[str] | None:
        """The digests of blocks of rows in the manifest; None: unknown."""
        return self.manifest.blocks if self.manifest else None

    @property
    def skipped(self) -> list[Skipped]:
        return list(self.manifest.skipped) if self.manifest else []

    @property
    def assumption(self) -> str | None:
        """The assumption about the network, a sentence for the user; None if the network is known."""
        if not self.is_guess or self.memmap is None:
            return None
        return f"{self.path} has no manifest: vectors of {self.memmap.shape[1]:,} numbers are assumed to be from VGG16"


def vectors_path(names: Path) -> Path:
    """Return the path of the vectors of a list: LIST.saved_predictions.npy."""
    return names.with_name(names.name + SUFFIX)


def vectors_in(folder: Path) -> list[Path]:
    """Return the vectors in a folder: files named as in 2022, or with a manifest beside them."""
    return [path for path in sorted(folder.glob("*.npy")) if path.name.endswith(SUFFIX) or has_manifest(path)]


def list_path(vectors: Path) -> Path:
    """Return the default path of the list: beside the vectors, without their suffix, or ending in .txt."""
    stem = vectors.name.removesuffix(SUFFIX)
    return vectors.with_suffix(".txt") if stem == vectors.name else vectors.with_name(stem)


def skipped_path(vectors: Path) -> Path:
    """Return the path of the CSV of skipped images."""
    return vectors.with_suffix(".skipped.csv")


def index_path(vectors: Path) -> Path:
    """Return the path of the index: `photos.txt.saved_predictions.npy` has `photos.faiss.index`."""
    stem = vectors.name.removesuffix(SUFFIX).removesuffix(".npy").removesuffix(".txt")
    return vectors.with_name(stem + ".faiss.index")


def fingerprint(array: np.ndarray, skipped: Iterable[int] = (), rows: Iterable[int] | None = None) -> str:
    """Return a SHA-256 over d, the dtype and some `rows` of vectors (n, d), by default 0, 1, 2, 4, 8, ...: cheap for any n.

    The default does not change when rows are appended. `skipped` rows count as zeros, whatever they contain.
    """
    skipped = frozenset(skipped)
    digest = hashlib.sha256(f"{array.shape[1]} {array.dtype}".encode())
    for row in rows if rows is not None else _doubling(len(array)):
        digest.update((array[row] if row not in skipped else np.zeros_like(array[row])).tobytes())
    return digest.hexdigest()


def sample(array: np.ndarray) -> str:
    """Return the fingerprint over SAMPLE_ROWS, evenly spaced from the first to the last."""
    return fingerprint(array, rows=np.unique(np.linspace(0, len(array) - 1, SAMPLE_ROWS).astype(int)).tolist())


def changed_rows(array: np.ndarray, built: Sequence[str], n: int, **how: Any) -> tuple[int, int] | None:
    """Return the first and last row of the first block with a changed digest; arguments as for `block_digests`."""
    found = block_digests(array, n, **how)
    number = next((number for number, digest in found if digest != built[number]), None)
    return None if number is None else (number * DIGEST_ROWS, min((number + 1) * DIGEST_ROWS, n) - 1)


def block_digests(
    array: np.ndarray,
    n: int,
    zeroed: Iterable[int] = (),
    known: Sequence[str] | None = None,
    max_bytes: int | None = None,
) -> Iterator[tuple[int, str]]:
    """Yield the number and a digest of each block of DIGEST_ROWS of the first n vectors. `zeroed` rows count as zeros.

    Blocks with a `known` digest are read only if they end at n or have zeroed rows. `max_bytes` limits the reads to
    blocks evenly spaced from the first to the last.
    """
    rows, count = np.array(sorted(zeroed), np.int64), -(-n // DIGEST_ROWS)
    most = count if max_bytes is None else max(2, max_bytes // (DIGEST_ROWS * array[0].nbytes))
    for number in np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist():
        start, end = number * DIGEST_ROWS, min((number + 1) * DIGEST_ROWS, n)
        some = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] if len(rows) else rows
        if known is not None and not len(some) and end == min(start + DIGEST_ROWS, len(array)):
            yield number, known[number]
            continue
        block = array[start:end]
        if len(some):
            block = np.array(block)
            block[some - start] = 0
        yield number, hashlib.blake2b(np.ascontiguousarray(block).data, digest_size=DIGEST_BYTES).hexdigest()
        release(array)


def add_digests(manifest: Manifest, path: Path, known: Sequence[str] = ()) -> Manifest:
    """Return the manifest of complete vectors with their digests; `known` are the first blocks, which are not read."""
    array = open_array(path)
    done = len(known) * DIGEST_ROWS
    blocks = [*known, *(digest for _, digest in block_digests(array[done:], len(array) - done))]
    whole = sha256(path) if not known or array.nbytes <= WHOLE_BYTES else None
    return replace(manifest, sha256=whole, sample=sample(array), blocks=blocks)


def block_rows(array: np.ndarray) -> int:
    """Return the number of rows of `array` to read at once, in float32."""
    return max(1, BLOCK_BYTES // (4 * int(array.shape[1])))


def release(array: np.ndarray) -> None:
    """Release the pages of a memory-mapped array from this process; the system's cache may keep them."""
    mapping: Any = getattr(array, "_mmap", None)  # of np.memmap and its slices
    if hasattr(mapping, "madvise") and getattr(array, "mode", "c") != "c":  # not on Windows, nor for arrays in memory
        mapping.madvise(mmap.MADV_DONTNEED)


def open_array(path: Path, n: int | None = None) -> np.ndarray:
    """Return the vectors (n, d) in a `.npy`, memory-mapped, after checks of its header and size.

    With `n` the file may have more rows, which a run is adding. Raises ValueError if the file is no `.npy`, or is
    pickled, truncated, empty, or no plain matrix of floats.
    """
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise ValueError(f"{path} is not a .npy file of vectors")
    try:
        array = np.lib.format.open_memmap(path, mode="r") if n is None else _map_rows(path, n)
    except OSError:
        raise
    except Exception as error:  # a damaged header makes NumPy raise anything, from ValueError to tokenize.TokenError
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as vectors, it is truncated or not a plain array: {reason}") from error
    if array.ndim != 2 or array.dtype not in DTYPES:
        raise ValueError(
            f"{path}: expected vectors of shape (n, d), float32 or float16, got shape {array.shape}, {array.dtype}"
            f"{SAVE_PLAIN if array.ndim == 2 and array.dtype.kind in 'fiu' else ''}"
        )
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{path}: expected vectors of shape (n, d) with the numbers of each row side by side (C order), got Fortran order{SAVE_PLAIN}"
        )
    expected, size = array.offset + array.nbytes, path.stat().st_size
    if 0 in array.shape or (size != expected if n is None else size < expected):
        raise ValueError(f"{path}: expected {expected} bytes for {array.shape} {array.dtype}, got {size}")
    return array


def _map_rows(path: Path, n: int) -> np.memmap:
    """Return the first n rows of a `.npy`, or all if there are fewer. Raises any error for a damaged header."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("it is pickled")
        shape = (min(n, shape[0]), *shape[1:]) if len(shape) == 2 and not is_fortran else shape
        order: Any = "F" if is_fortran else "C"
        return np.memmap(path, dtype, "r", file.tell(), shape, order)


def new_array(path: Path, shape: tuple[int, int]) -> np.memmap:
    """Return a new memory-mapped float16 array of zeros (n, c), with its space on disk reserved. Raises NoSpace."""
    with path.open("w+b") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        reserve(file, path, file.tell() + 2 * shape[0] * shape[1])
    return np.lib.format.open_memmap(path, "r+")


def open_vectors(path: Path, names: Path | None = None, network: str | None = None) -> Vectors:
    """Open vectors with their names and manifest; `names` and `network` are used if there is no manifest.

    The header, size and time of the `.npy` are checked. If it changed after its manifest (by a copy or an alteration),
    files up to WHOLE_BYTES are compared by their SHA-256, larger files by SAMPLE_ROWS; `check_complete` compares all.
    Raises ValueError if names, vectors and manifest do not match.
    """
    if not manifest_path(path).exists():
        array = open_array(path)
        names = names or list_path(path)
        lines = read_names(names) if names.exists() else None
        if lines is not None and len(lines) != len(array):
            raise ValueError(f"{names} has {len(lines)} lines, but {path} has {len(array)} rows: expected one per row")
        known, is_guess = _known_network(array, network)
        return Vectors(path, array, lines, None, known, None, is_guess)
    manifest, array = _open_recorded(path)
    names = names or path.parent / manifest.names.file
    lines = read_names(names)[: len(array)]  # the list may have grown since
    if names_digest(lines) != manifest.names.sha256:
        raise ValueError(f"{names} is not the list that {path} was made from: lines have changed; restore it")
    if network is not None and recorded_name(network) != (made := manifest.network.name):
        raise ValueError(f"{path} was made with {made}, not with {network}")
    place, allow_outside = manifest.place(path), manifest.allow_outside
    records = open_records(path, len(array))
    return Vectors(path, array, lines, manifest, manifest.network, place, False, allow_outside, records)


def check_complete(vectors: Vectors) -> None:
    """Raise ValueError if any byte of the vectors was altered; this reads the whole file.

    Vectors without a manifest cannot be checked.
    """
    if (
        vectors.manifest
        and vectors.memmap is not None
        and not _has_digests(vectors.path, vectors.memmap, vectors.manifest)
    ):
        raise ValueError(_altered(vectors.path))


def _open_recorded(path: Path) -> tuple[Manifest, np.ndarray]:
    """Return the manifest and its vectors, also while another run replaces both."""
    while True:
        manifest, error = read_manifest(path), None
        try:
            array = _open_checked(path, manifest)
        except (OSError, ValueError) as caught:
            error = caught
        if read_manifest(path) == manifest:  # else they may be of different runs
            if error:
                raise error
            return manifest, array


def _open_checked(path: Path, manifest: Manifest) -> np.ndarray:
    """Return the vectors of a manifest. Raises ValueError if they are incomplete or do not match it."""
    n, d, dtype = manifest.n, manifest.d, manifest.dtype
    if not manifest.is_complete:
        raise ValueError(f"{path} is incomplete, {manifest.rows_done} of {n} rows: rerun the same extraction to resume")
    array = open_array(path, n)
    if array.shape != (n, d) or array.dtype != dtype:
        raise ValueError(
            f"{path} does not match its manifest: expected {(n, d)} {dtype}, got {array.shape} {array.dtype}; "
            f"rerun the extraction to resume, or rebuild with --overwrite"
        )
    if manifest.blocks is not None and len(manifest.blocks) != -(-n // DIGEST_ROWS):
        raise ValueError(f"{manifest_path(path)} is damaged, blocks: rebuild the vectors with --overwrite")
    check_unaltered(path, array, manifest)
    return array


def check_unaltered(path: Path, array: np.ndarray, manifest: Manifest) -> None:
    """Raise ValueError if the vectors were changed after their manifest was written."""
    if path.stat().st_mtime_ns <= manifest_path(path).stat().st_mtime_ns:
        return
    if array.nbytes > WHOLE_BYTES and manifest.sample is not None:  # None: written by an earlier version
        is_unaltered = sample(array) == manifest.sample
    else:
        is_unaltered = array.nbytes > WHOLE_BYTES or _has_digests(path, array, manifest)
    if not is_unaltered:
        raise ValueError(_altered(path))


def _has_digests(path: Path, array: np.ndarray, manifest: Manifest) -> bool:
    """Return whether the vectors (n, d) have the digests of their manifest; the file may have more rows."""
    if manifest.blocks is None:  # written by an earlier version
        return sha256(path) == manifest.sha256
    return changed_rows(array, manifest.blocks, len(array)) is None


def _altered(path: Path) -> str:
    return f"{path} was altered after it was made: restore it, or rebuild the vectors with --overwrite"


def _doubling(n: int) -> Iterator[int]:
    """Yield 0, 1, 2, 4, 8, ... below n."""
    row = 0
    while row < n:
        yield row
        row = max(1, 2 * row)


def _known_network(array: np.ndarray, name: str | None) -> tuple[NetworkDescription | None, bool]:
    """Return the description of a network, and whether the network is a guess."""
    is_guess = name is None and array.shape[1] == catalog.NETWORKS["vgg16"].dimension
    if is_guess:
        name = "vgg16"
    if name is None:
        return None, False
    if name not in catalog.NETWORKS:
        raise ValueError(
            f"expected a network of {', '.join(catalog.NETWORKS)} for vectors without a manifest, got {name}"
        )
    known = catalog.describe(catalog.NETWORKS[name])
    if known.dimension != array.shape[1]:
        raise ValueError(f"expected vectors of {name}, (n, {known.dimension}), got {array.shape}")
    return known, is_guess
