"""Names, vectors and manifest on disk: read, create, resume, append. Row i is line i.

Shape letters: n images, d numbers in a vector.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import portalocker
import psutil

from similar_images import networks
from similar_images.files import check_new, check_writeable, read_json, relative, replacing, sha256, write_json

FORMAT = "similar-images vectors 1"
SUFFIX = ".saved_predictions.npy"  # of 2022
NPY_MAGIC = b"\x93NUMPY"
DTYPES = ("float32", "float16")
BLOCK_BYTES = 64 * 2**20  # read at once
MANIFEST = {  # what the manifest holds, beside its format
    "network": dict,  # as networks.describe gives it
    "files": dict,  # where the network came from: "model" or "weights", relative to the manifest
    "engine": dict,  # what computed it: "name", "precision" and "batch"; empty where that is not known
    "n": int,
    "d": int,
    "dtype": str,
    "rows_done": int,
    "names": dict,  # "file", relative to the manifest, and "sha256" over the n names
    "images": (str, type(None)),  # the folder of images, relative to the manifest; None: the names are texts
    "skipped": list,  # of row, name and reason
    "sha256": (str, type(None)),  # of the .npy, once it is whole
}


class Skipped(NamedTuple):
    row: int
    name: str
    reason: str


class Vectors(NamedTuple):
    """The vectors of a collection, memory-mapped, with their names and manifest."""

    path: Path
    array: np.ndarray | None  # (n, d) float32 or float16, read-only, not normalised; a skipped image's row is zeros
    names: list[str] | None  # n of them; None: there is no list
    manifest: dict | None  # None: made by another tool
    network: dict | None  # as networks.describe gives it; None: not known
    images: Path | None  # the folder that names are relative to; None: not known

    @property
    def skipped(self) -> list[Skipped]:
        return [Skipped(**entry) for entry in self.manifest["skipped"]] if self.manifest else []


def vectors_path(names: Path) -> Path:
    """Return where the vectors of a list are: LIST.saved_predictions.npy."""
    return names.with_name(names.name + SUFFIX)


def list_path(vectors: Path) -> Path:
    """Return where the list of vectors is by its name: beside them, without their suffix, or ending in .txt."""
    stem = vectors.name.removesuffix(SUFFIX)
    return vectors.with_suffix(".txt") if stem == vectors.name else vectors.with_name(stem)


def manifest_path(vectors: Path) -> Path:
    return vectors.with_suffix(".json")


def skipped_path(vectors: Path) -> Path:
    """Return where the skipped images are listed, as CSV."""
    return vectors.with_suffix(".skipped.csv")


def index_path(vectors: Path) -> Path:
    """Return where the index of vectors is: `photos.txt.saved_predictions.npy` has `photos.faiss.index`."""
    stem = vectors.name.removesuffix(SUFFIX).removesuffix(".npy").removesuffix(".txt")
    return vectors.with_name(stem + ".faiss.index")


def read_names(path: Path) -> list[str]:
    """Return the lines of a list of images: UTF-8, a path a line.

    Raises ValueError for an empty list or one that is not UTF-8.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of names: expected UTF-8 text ({error})") from error
    if not content.strip():
        raise ValueError(f"{path} is empty: expected a path of an image on each line")
    return [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]


def write_names(path: Path, names: list[str]) -> None:
    """Write a list of images, a path a line."""
    with replacing(path) as partial:
        partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def names_digest(names: list[str]) -> str:
    """Return the SHA-256 over the names, a line each."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()


def fingerprint(array: np.ndarray, skipped: Iterable[int] = ()) -> str:
    """Return a SHA-256 over d, the dtype and rows 0, 1, 2, 4, 8, ... of vectors (n, d): cheap for any n.

    The fingerprint of the first rows stays the same when rows are appended. Rows that were `skipped` count as zeros,
    whatever they are since.
    """
    skipped = frozenset(skipped)
    digest = hashlib.sha256(f"{array.shape[1]} {array.dtype}".encode())
    row = 0
    while row < len(array):
        digest.update(np.ascontiguousarray(array[row] if row not in skipped else np.zeros_like(array[row])))
        row = max(1, 2 * row)
    return digest.hexdigest()


def block_rows(array: np.ndarray) -> int:
    """Return how many rows of `array` are read at once, in float32."""
    return max(1, BLOCK_BYTES // (4 * array.shape[1]))


def open_array(path: Path) -> np.ndarray:
    """Return the vectors (n, d) in a `.npy`, memory-mapped, after checks of its header and size.

    Raises ValueError for a file that is no `.npy`, is pickled, truncated, empty, or no plain matrix of floats.
    """
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise ValueError(f"{path} is not a .npy file of vectors")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as vectors, it is truncated or not a plain array: {error}") from error
    if array.ndim != 2 or array.dtype not in DTYPES or not array.flags.c_contiguous:
        raise ValueError(
            f"{path}: expected vectors of shape (n, d), float32 or float16, got shape {array.shape}, {array.dtype}"
        )
    expected, size = array.offset + array.nbytes, path.stat().st_size
    if 0 in array.shape or size != expected:
        raise ValueError(f"{path}: expected {expected} bytes for {array.shape} {array.dtype}, got {size}")
    return array


def open_vectors(path: Path, names: Path | None = None, network: str | None = None) -> Vectors:
    """Open vectors with what belongs to them; `names` and `network` matter where there is no manifest.

    Raises ValueError where names, vectors and manifest do not fit each other.
    """
    array = open_array(path)
    if not manifest_path(path).exists():
        names = names or list_path(path)
        lines = read_names(names) if names.exists() else None
        if lines is not None and len(lines) != len(array):
            raise ValueError(f"{names} has {len(lines)} lines, but {path} has {len(array)} rows: expected one a row")
        return Vectors(path, array, lines, None, _known_network(array, network), None)
    manifest = read_manifest(path)
    if manifest["sha256"] is None:
        raise ValueError(
            f"{path} is unfinished, {manifest['rows_done']} of {manifest['n']} rows: run the same extraction "
            f"as before, it goes on where it stopped"
        )
    if array.shape != (manifest["n"], manifest["d"]) or array.dtype != manifest["dtype"]:
        raise ValueError(
            f"{path} is not what its manifest says: expected {(manifest['n'], manifest['d'])} {manifest['dtype']}, "
            f"got {array.shape} {array.dtype}; make the vectors again with --overwrite"
        )
    names = names or path.parent / manifest["names"]["file"]
    lines = read_names(names)[: len(array)]  # the list may have grown since
    if names_digest(lines) != manifest["names"]["sha256"]:
        raise ValueError(f"{names} is not the list that {path} was made from: lines were changed; restore it")
    if network is not None and network != manifest["network"]["name"]:
        raise ValueError(f"{path} was made with {manifest['network']['name']}, not with {network}")
    images = path.parent / manifest["images"] if manifest["images"] is not None else None
    return Vectors(path, array, lines, manifest, manifest["network"], images)


def adopt(path: Path, names: Path, images: Path, network: str = "vgg16") -> None:
    """Write the manifest for vectors that another tool made with a network of the table.

    Raises ValueError where the vectors, the list and the network do not fit each other.
    """
    array = open_array(path)
    lines, known = read_names(names), networks.describe(networks.NETWORKS[network])
    if len(lines) != len(array):
        raise ValueError(f"{names} has {len(lines)} lines, but {path} has {len(array)} rows: expected one a row")
    if array.shape[1] != known["dimension"]:
        raise ValueError(f"{path}: expected vectors of {network}, (n, {known['dimension']}), got {array.shape}")
    manifest = _manifest(path, known, lines, names, images, str(array.dtype))
    write_json(manifest_path(path), manifest | {"rows_done": len(array), "sha256": sha256(path)})


def read_manifest(path: Path) -> dict:
    """Return the manifest of the vectors at `path`. Raises ValueError where it is damaged."""
    manifest = read_json(manifest_path(path), FORMAT)
    manifest.setdefault("engine", {})  # the first manifests did not name it
    for key, kind in MANIFEST.items():
        if not isinstance(manifest.get(key), kind):
            raise ValueError(f"{manifest_path(path)} is damaged at '{key}': make the vectors again with --overwrite")
    return manifest


class Writer:
    """Writes vectors in place, block after block; a run that was killed goes on at `rows_done`.

    The manifest is written first and says how many rows are done; the `.npy` has its final size from the start.
    """

    def __init__(
        self, path: Path, names_file: Path, names: list[str], images: Path | None = None, overwrite: bool = False
    ):
        """Take the names with the folder of their images, None for texts.

        Raises OSError or ValueError, before anything is touched, where the output cannot be written or continued."""
        check_writeable(path)
        self.path = path
        self._names_file, self._names, self._images = names_file, names, images
        self._earlier = self._manifest = None
        if path.exists():
            with path.open("rb") as file:
                _lock(file, path)
        if manifest_path(path).exists() and not overwrite:
            self._earlier = read_manifest(path)
            self._check_continues(self._earlier)
        else:
            check_new(path, overwrite)
        self.rows_done = self._earlier["rows_done"] if self._earlier else 0

    @property
    def is_whole(self) -> bool:
        """Whether all rows were there before this run."""
        earlier = self._earlier
        return earlier is not None and earlier["n"] == len(self._names) and earlier["sha256"] is not None

    @property
    def skipped(self) -> list[Skipped]:
        """The rows that were skipped so far."""
        known = self._manifest or self._earlier
        return [Skipped(**entry) for entry in known["skipped"]] if known else []

    @property
    def engine(self) -> dict:
        """What computed the rows that are there: name, precision and batch; empty where that is not known."""
        return self._earlier.get("engine", {}) if self._earlier else {}

    def check(self, network: dict) -> None:
        """Raise ValueError where the rows that are there were made by another network."""
        if self._earlier and not networks.same(self._earlier["network"], network):
            raise ValueError(
                f"{self.path} was made with {_differences(self._earlier['network'], network)}: "
                f"choose another -o, or pass --overwrite"
            )

    def begin(
        self, network: dict, files: dict | None = None, dtype: str | None = None, engine: dict | None = None
    ) -> None:
        """Make room for all rows; `files` says where the network came from, for `Collection` to find it.

        Raises ValueError as `check` does, OSError where the disk is too small or another run is at work; then
        nothing was changed.
        """
        self.check(network)
        earlier = self._earlier
        if earlier and dtype not in (None, earlier["dtype"]):
            raise ValueError(
                f"{self.path} was made as {earlier['dtype']}, not {dtype}: choose another -o, or pass --overwrite"
            )
        dtype = earlier["dtype"] if earlier else dtype or "float32"
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # what is there is left alone
        _lock(self._file, self.path)
        if not self._names_file.exists() or read_names(self._names_file) != self._names:
            write_names(self._names_file, self._names)
        manifest = _manifest(self.path, network, self._names, self._names_file, self._images, dtype, files, engine)
        if earlier:
            manifest |= {key: earlier[key] for key in ("rows_done", "skipped")}
        self._manifest = manifest
        write_json(manifest_path(self.path), manifest)
        if not self.rows_done:
            self._file.truncate(0)
        try:
            self._reserve(manifest["n"])
        except OSError as error:
            self._undo()
            raise OSError(f"no room on disk for {self.path}, {manifest['n']} vectors: {error.strerror}") from error

    def write(self, vectors: np.ndarray, skipped: list[Skipped]) -> None:
        """Write the next rows: vectors (b, d), zeros where an image was skipped.

        Raises ValueError where a number is too large for the type of the vectors.
        """
        self._file.seek(self._start + self.rows_done * self._row_bytes)
        self._file.write(self._cast(vectors))
        self.rows_done += len(vectors)
        self._manifest["skipped"] += [entry._asdict() for entry in skipped]

    def replace(self, rows: list[int], vectors: np.ndarray, skipped: list[Skipped]) -> None:
        """Write the vectors (b, d) of rows that were skipped; those in `skipped` still are."""
        still = {entry.row: entry._asdict() for entry in skipped}
        for row, vector in zip(rows, self._cast(vectors), strict=True):
            self._file.seek(self._start + row * self._row_bytes)
            self._file.write(vector)
        self._manifest["skipped"] = [
            still.get(entry["row"], entry)
            for entry in self._manifest["skipped"]
            if entry["row"] not in rows or entry["row"] in still
        ]
        self.checkpoint()

    def checkpoint(self) -> None:
        """Put all rows so far on disk, then say so in the manifest. Raises OSError, with the remedy."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            write_json(manifest_path(self.path), self._manifest | {"rows_done": self.rows_done})
        except OSError as error:
            raise OSError(
                f"{self.path} cannot be written on, {error.strerror}: once that is mended the same command goes on "
                f"where it was, at row {self._manifest['rows_done']} of {self._manifest['n']}"
            ) from error
        self._manifest["rows_done"] = self.rows_done

    def finish(self) -> None:
        """Close the vectors; once all rows are done the manifest gets their SHA-256."""
        try:
            self.checkpoint()
            if self.rows_done == self._manifest["n"]:
                self._manifest["sha256"] = sha256(self.path)
                self.checkpoint()
        finally:
            with suppress(OSError):  # what could not be written was told already
                self._file.close()

    def _cast(self, vectors: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self._manifest["dtype"])
        if np.abs(vectors).max(initial=0) > np.finfo(dtype).max:
            raise ValueError(f"the network gave {np.abs(vectors).max():g}, too large for {dtype}: use float32")
        return np.ascontiguousarray(vectors, dtype=dtype)

    def _check_continues(self, earlier: dict) -> None:
        n, done = earlier["n"], earlier["rows_done"]
        folder = self.path.parent / (earlier["images"] or "")
        if self._images and folder.exists() and not folder.samefile(self._images):
            raise ValueError(
                f"{self.path} exists, for the images in {folder}, not {self._images}: choose another -o, or pass "
                f"--overwrite"
            )
        if len(self._names) < n or names_digest(self._names[:n]) != earlier["names"]["sha256"]:
            raise ValueError(
                f"{self.path} exists, for another list: expected the first {n} lines of {self._names_file} as they "
                f"were; restore them, choose another -o, or pass --overwrite"
            )
        if done:
            array_rows = _rows_on_disk(self.path, earlier)
            if array_rows < done:
                raise ValueError(
                    f"{self.path}: expected {done} rows of ({n}, {earlier['d']}) {earlier['dtype']}, as its manifest "
                    f"says, got {array_rows}; restore the file, or pass --overwrite"
                )

    def _reserve(self, n: int) -> None:
        """Write the header for n rows and take their space on disk, so that a full disk shows at once."""
        dtype, d = np.dtype(self._manifest["dtype"]), self._manifest["d"]
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n, d)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)  # padded by numpy: as long for any n
        self._start, self._row_bytes = self._file.tell(), d * dtype.itemsize
        self._file.flush()
        size = self._start + n * self._row_bytes
        os.truncate(self._file.fileno(), size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), 0, size)

    def _undo(self) -> None:
        """Leave what was there before `begin`."""
        if self._earlier and self.rows_done:
            self._reserve(self._earlier["n"])
            write_json(manifest_path(self.path), self._earlier)
        else:
            self.path.unlink()
            manifest_path(self.path).unlink()
        self._file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    """Hold the file for this process as long as it is open. Raises OSError, with the holder, where another does."""
    try:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.LockException as error:
        raise BlockingIOError(
            f"{path} is being written by another run{_holder(path)}: wait for it, or stop it"
        ) from error


def _manifest(
    path: Path,
    network: dict,
    names: list[str],
    names_file: Path,
    images: Path | None,
    dtype: str,
    files: dict | None = None,
    engine: dict | None = None,
) -> dict:
    return {
        "format": FORMAT,
        "network": network,
        "files": {key: relative(Path(file), path.parent) for key, file in (files or {}).items() if file},
        "engine": engine or {},
        "n": len(names),
        "d": network["dimension"],
        "dtype": dtype,
        "rows_done": 0,
        "names": {"file": relative(names_file, path.parent), "sha256": names_digest(names)},
        "images": relative(images, path.parent) if images else None,
        "skipped": [],
        "sha256": None,
    }


def _holder(path: Path) -> str:
    """Return, to be told, which other process has the file open and since when; nothing where that is not known."""
    for process in psutil.process_iter(["pid", "create_time"]):
        with suppress(psutil.Error):
            if process.pid != os.getpid() and any(Path(file.path) == path.resolve() for file in process.open_files()):
                began = datetime.fromtimestamp(process.create_time()).astimezone()
                return f", process {process.pid}, begun {began:%Y-%m-%d %H:%M:%S}"
    return ""


def _rows_on_disk(path: Path, manifest: dict) -> int:
    """Return how many whole rows of the manifest's shape are in the file; 0 where it is another kind of file."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else ((0, 0), 0, 0)
            if len(shape) != 2 or shape[1] != manifest["d"] or dtype != manifest["dtype"]:
                return 0
            return (path.stat().st_size - file.tell()) // (dtype.itemsize * shape[1])
    except (OSError, ValueError):
        return 0


def _known_network(array: np.ndarray, name: str | None) -> dict | None:
    if name is None:
        name = "vgg16" if array.shape[1] == networks.NETWORKS["vgg16"].dimension else None
    if name is None:
        return None
    known = networks.describe(networks.NETWORKS[name])
    if known["dimension"] != array.shape[1]:
        raise ValueError(f"expected vectors of {name}, (n, {known['dimension']}), got {array.shape}")
    return known


def _differences(one: dict, other: dict) -> str:
    keys = [key for key in one if one[key] != other.get(key)]
    return ", ".join(f"{key} {one[key]} instead of {other.get(key)}" for key in keys)
