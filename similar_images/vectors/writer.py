"""Create, resume and append vectors on disk. Row i is line i.

Shape letters: n images, d numbers in a vector, b in a block.
"""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from similar_images.events import Skipped
from similar_images.files import (
    check_new,
    check_writeable,
    explain_write_error,
    hold_lock,
    partial_path,
    replace_file,
    reserve,
    write_json,
    write_json_to,
)
from similar_images.inputs.images import DECODING_VERSION
from similar_images.inputs.names import names_digest, read_names, write_names
from similar_images.inputs.sources import Location, is_same_location
from similar_images.networks import catalog
from similar_images.networks.description import NetworkDescription, is_same_network
from similar_images.networks.hub_files import recorded_name
from similar_images.vectors.manifest import images_of, manifest_path, new_manifest, read_manifest
from similar_images.vectors.store import check_unaltered, content_digests, open_array


def adopt(path: Path, names: Path, images: Path, network: str = "vgg16") -> None:
    """Write the manifest for vectors that another tool made with a network of the table.

    Raises ValueError if the vectors, the list and the network do not match.
    """
    array = open_array(path)
    lines, known = read_names(names), catalog.describe(catalog.NETWORKS[network])
    if len(lines) != len(array):
        raise ValueError(f"{names} has {len(lines)} lines, but {path} has {len(array)} rows: expected one per row")
    if array.shape[1] != known.dimension:
        raise ValueError(f"{path}: expected vectors of {network}, (n, {known.dimension}), got {array.shape}")
    manifest = new_manifest(path, known, lines, names, images, str(array.dtype))
    digests = content_digests(path)
    write_json(manifest_path(path), manifest | {"rows_done": len(array), "decoding": 1} | digests)


class Writer:
    """Writes vectors in place, block after block; a run that was killed is resumed at `rows_done`.

    The manifest is written first and says how many rows are done; the `.npy` has its final size from the start.
    """

    def __init__(
        self,
        path: Path,
        names_file: Path,
        names: list[str],
        images: Location | None = None,
        overwrite: bool = False,
        allow_outside: bool = False,
    ):
        """Take the names with the folder of their images, None for texts, and whether names may lead out of it.

        Raises OSError or ValueError, before anything is changed, if the output cannot be written or resumed.
        """
        check_writeable(path)
        self.path = path
        self._names_file, self._names, self._images, self._overwrite = names_file, names, images, overwrite
        self._allow_outside = allow_outside
        with hold_lock(path):
            pass  # no other run is writing
        self._earlier = self._decide()
        self._manifest: dict = {}
        self._lock = ExitStack()  # held from `begin` to `finish`
        self.rows_done = self._earlier["rows_done"] if self._earlier else 0
        skipped = (Skipped(**entry) for entry in self._earlier["skipped"]) if self._earlier else ()
        self._skipped = {entry.row: entry for entry in skipped}

    @property
    def is_whole(self) -> bool:
        """Whether all rows were there before this run."""
        earlier = self._earlier
        return earlier is not None and earlier["n"] == len(self._names) and earlier["sha256"] is not None

    @property
    def skipped(self) -> list[Skipped]:
        """The rows that were skipped so far, in order."""
        return list(self._skipped.values())

    @property
    def skipped_count(self) -> int:
        return len(self._skipped)

    @property
    def engine(self) -> dict:
        """What computed the rows that are there: name, precision and batch; empty if that is not known."""
        return self._earlier["engine"] if self._earlier else {}

    @property
    def has_older_decoding(self) -> bool:
        """Whether an earlier version of images.DECODING_VERSION made the rows on disk."""
        return self._earlier is not None and self._images is not None and self._earlier["decoding"] != DECODING_VERSION

    def check_name(self, network: str) -> None:
        """Raise ValueError if the rows that are there were made by a network of another name."""
        if self._earlier and (made := self._earlier["network"]["name"]) != recorded_name(network):
            raise ValueError(f"{self.path} was made with {made}, not {network}: choose another -o, or use --overwrite")

    def check(self, network: NetworkDescription) -> None:
        """Raise ValueError if the rows that are there were made by another network."""
        self.check_name(network.name)
        if self._earlier is None:
            return
        earlier = NetworkDescription.from_json(self._earlier["network"])
        if not is_same_network(earlier, network):
            differences = ", ".join(f"{key} {old} instead of {new}" for key, old, new in earlier.differences(network))
            raise ValueError(f"{self.path} was made with {differences}: choose another -o, or use --overwrite")

    def begin(
        self,
        network: NetworkDescription,
        files: dict | None = None,
        dtype: str | None = None,
        engine: dict | None = None,
    ) -> None:
        """Reserve space for all rows; `files` says where the network came from, for `Collection` to find it.

        Raises ValueError as `check` does, OSError if the disk is too small or another run is writing, or has written
        since this writer was made; nothing is changed then. With `overwrite` the new vectors need space beside the old.
        """
        self.check(network)
        earlier = self._earlier
        if earlier and dtype not in (None, earlier["dtype"]):
            raise ValueError(
                f"{self.path} was made as {earlier['dtype']}, not {dtype}: choose another -o, or use --overwrite"
            )
        dtype = earlier["dtype"] if earlier else dtype or "float32"
        manifest = new_manifest(
            self.path, network, self._names, self._names_file, self._images, dtype, files, engine, self._allow_outside
        )
        if earlier:
            manifest |= {key: earlier[key] for key in ("rows_done", "skipped", "decoding")}
        self._manifest = manifest
        self._lock.enter_context(hold_lock(self.path))
        try:
            self._check_unchanged()
            was_there = self.path.exists()
            held = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # what is there stays as it is
        except BaseException:
            self._lock.close()
            raise
        self._file: BinaryIO = held
        try:
            if self._overwrite and was_there:
                self._part = partial_path(self.path)
                self._file = self._part.open("xb+")
            self._reserve(manifest["n"])
            with ExitStack() as files_to_replace:  # all are on disk before the first one is replaced
                manifest_file = files_to_replace.enter_context(replace_file(manifest_path(self.path)))
                write_json_to(manifest_file, manifest)
                if not self._names_file.exists() or read_names(self._names_file) != self._names:
                    write_names(files_to_replace.enter_context(replace_file(self._names_file)), self._names)
            if self._file is not held:
                self._part.replace(self.path)
                held.close()
        except OSError as error:
            self._undo(held, was_there)
            reason = explain_write_error(error, self.path, f"{len(self._names)} vectors")
            raise OSError(f"{reason} and rerun the same command; nothing was changed") from error
        if earlier and earlier["sha256"] is None:
            self._clear_skipped()

    def write(self, vectors: np.ndarray, skipped: list[Skipped]) -> None:
        """Write the next rows: vectors (b, d), zeros for a skipped image.

        Raises ValueError if a number is too large for the dtype of the vectors.
        """
        self._file.seek(self._start + self.rows_done * self._row_bytes)
        self._file.write(self._cast(vectors).data)
        self.rows_done += len(vectors)
        self._skipped |= {entry.row: entry for entry in skipped}

    def replace(self, rows: list[int], vectors: np.ndarray, skipped: list[Skipped]) -> None:
        """Write the vectors (b, d) of rows that were skipped; those in `skipped` still are."""
        for row, vector in zip(rows, self._cast(vectors), strict=True):
            self._file.seek(self._start + row * self._row_bytes)
            self._file.write(vector.data)
        still = {entry.row: entry for entry in skipped}
        for row in rows:
            if row in still:
                self._skipped[row] = still[row]
            else:
                self._skipped.pop(row, None)

    def checkpoint(self) -> None:
        """Put all rows so far on disk, then record them in the manifest. Raises OSError, with the remedy."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            skipped = [entry._asdict() for entry in self._skipped.values()]
            self._manifest |= {"rows_done": self.rows_done, "skipped": skipped}
            write_json(manifest_path(self.path), self._manifest)
        except OSError as error:
            raise OSError(
                f"cannot write {self.path}: {error.strerror}. Fix this and rerun the same command to resume"
            ) from error

    def finish(self) -> None:
        """Close the vectors; once all rows are done the manifest gets their SHA-256."""
        try:
            self.checkpoint()
            if self.rows_done == self._manifest["n"]:
                self._manifest |= content_digests(self.path)
                self.checkpoint()
        finally:
            _close(self._file)
            self._lock.close()

    def _decide(self) -> dict | None:
        """Return the manifest of the rows that are there and will be kept, or None."""
        if manifest_path(self.path).exists() and not self._overwrite:
            earlier = read_manifest(self.path)
            self._check_continues(earlier)
            return earlier
        check_new(self.path, self._overwrite)
        return None

    def _check_unchanged(self) -> None:
        """Raise BlockingIOError if another run has written since this writer was made."""
        known = read_manifest(self.path) if manifest_path(self.path).exists() and not self._overwrite else None
        if known != self._earlier:
            raise BlockingIOError(f"another run has written {self.path} meanwhile: rerun the same command to resume")

    def _clear_skipped(self) -> None:
        """Write zeros to skipped rows: a run that was killed while it retried them may have left a part of a vector."""
        for row in self._skipped:
            self._file.seek(self._start + row * self._row_bytes)
            self._file.write(bytes(self._row_bytes))

    def _cast(self, vectors: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self._manifest["dtype"])
        if np.abs(vectors).max(initial=0) > np.finfo(dtype).max:
            raise ValueError(f"the network gave {np.abs(vectors).max():g}, too large for {dtype}: use float32")
        return np.ascontiguousarray(vectors, dtype=dtype)

    def _check_continues(self, earlier: dict) -> None:
        n, done = earlier["n"], earlier["rows_done"]
        folder = images_of(earlier, self.path)
        if self._images and folder and not is_same_location(folder, self._images):
            raise ValueError(
                f"{self.path} exists for the images in {folder}, not {self._images}: choose another -o, or use --overwrite"
            )
        if len(self._names) < n or names_digest(self._names[:n]) != earlier["names"]["sha256"]:
            raise ValueError(
                f"{self.path} exists for another list: expected the first {n} lines of {self._names_file} unchanged; "
                f"restore them, choose another -o, or use --overwrite"
            )
        if done:
            array_rows = _rows_on_disk(self.path, earlier)
            if array_rows < done:
                raise ValueError(
                    f"{self.path}: expected {done} rows of ({n}, {earlier['d']}) {earlier['dtype']}, as its manifest "
                    f"says, got {array_rows}; restore the file, or use --overwrite"
                )
        if earlier["sha256"] is not None:  # else new rows would make an alteration part of the record
            check_unaltered(self.path, open_array(self.path), earlier)

    def _reserve(self, n: int) -> None:
        """Write the header for n rows and allocate their space, so that a full disk is noticed at once."""
        dtype, d = np.dtype(self._manifest["dtype"]), self._manifest["d"]
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n, d)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)  # NumPy pads it: the same length for any n
        self._start, self._row_bytes = self._file.tell(), d * dtype.itemsize
        self._file.flush()
        reserve(self._file, self.path, self._start + n * self._row_bytes)

    def _undo(self, held: BinaryIO, was_there: bool) -> None:
        """Leave what was there before `begin`."""
        if self._file is not held:
            _close(self._file)
            self._part.unlink(missing_ok=True)
        elif self._earlier:
            with suppress(OSError):
                self._reserve(self._earlier["n"])
        if not was_there:
            self.path.unlink(missing_ok=True)
        _close(held)
        self._lock.close()


def _close(file: BinaryIO) -> None:
    """Close a file. On a full disk this writes its buffer again and fails again, which was reported already."""
    with suppress(OSError):
        file.close()


def _rows_on_disk(path: Path, manifest: dict) -> int:
    """Return how many whole rows of the manifest's shape are in the file; 0 if it is another kind of file."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                return 0
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if len(shape) != 2 or shape[1] != manifest["d"] or dtype != manifest["dtype"]:
                return 0
            return (path.stat().st_size - file.tell()) // (dtype.itemsize * shape[1])
    except Exception:  # as for open_array
        return 0
