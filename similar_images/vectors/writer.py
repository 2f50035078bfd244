"""Create, resume and append vectors on disk. Row i is line i.

Shape letters: n images, d numbers in a vector, b in a block.
"""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import portalocker
import psutil

from similar_images.files import check_new, check_writeable, relative, sha256, write_json
from similar_images.inputs.names import names_digest, read_names, write_names
from similar_images.networks import catalog
from similar_images.vectors.store import FORMAT, Skipped, manifest_path, open_array, read_manifest


def adopt(path: Path, names: Path, images: Path, network: str = "vgg16") -> None:
    """Write the manifest for vectors that another tool made with a network of the table.

    Raises ValueError where the vectors, the list and the network do not fit each other.
    """
    array = open_array(path)
    lines, known = read_names(names), catalog.describe(catalog.NETWORKS[network])
    if len(lines) != len(array):
        raise ValueError(f"{names} has {len(lines)} lines, but {path} has {len(array)} rows: expected one a row")
    if array.shape[1] != known["dimension"]:
        raise ValueError(f"{path}: expected vectors of {network}, (n, {known['dimension']}), got {array.shape}")
    manifest = _manifest(path, known, lines, names, images, str(array.dtype))
    write_json(manifest_path(path), manifest | {"rows_done": len(array), "sha256": sha256(path)})


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
        if self._earlier and not catalog.same(self._earlier["network"], network):
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


def _differences(one: dict, other: dict) -> str:
    keys = [key for key in one if one[key] != other.get(key)]
    return ", ".join(f"{key} {one[key]} instead of {other.get(key)}" for key in keys)
