"""Create, resume and append vectors on disk. Row i is line i.

Shape letters: n images, d numbers per vector, b vectors per block.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from similar_images.events import Skipped
from similar_images.files import (
    check_new,
    check_writeable,
    explain_write_error,
    hold_lock,
    partial_path,
    relative_path,
    replace_file,
    reserve,
)
from similar_images.inputs.images import DECODING_VERSION
from similar_images.inputs.names import names_digest, read_names, write_names
from similar_images.inputs.sources import Location, is_same_location
from similar_images.networks import catalog
from similar_images.networks.description import NetworkDescription, is_same_network
from similar_images.networks.hub_files import recorded_name
from similar_images.records import write_record
from similar_images.vectors.file_records import blank_records, grow_records, records_path
from similar_images.vectors.manifest import Growth, Manifest, NameList, Runtime, manifest_path, read_manifest
from similar_images.vectors.store import DIGEST_ROWS, add_digests, check_unaltered, open_array

COMPLETE_STATE = ("n", "rows_done", "names", "skipped", "sha256", "sample", "blocks")  # of a manifest


def adopt(path: Path, names_file: Path, images: Path, network: str = "vgg16") -> None:
    """Write the manifest for vectors that another tool made with a network of the table.

    Raises ValueError if the vectors, the list and the network do not match.
    """
    array = open_array(path)
    names, known = read_names(names_file), catalog.describe(catalog.NETWORKS[network])
    if len(names) != len(array):
        raise ValueError(f"{names_file} has {len(names)} lines, but {path} has {len(array)} rows: expected one per row")
    if array.shape[1] != known.dimension:
        raise ValueError(f"{path}: expected vectors of {network}, (n, {known.dimension}), got {array.shape}")
    manifest = Manifest(
        network=known,
        files={},
        engine=Runtime(),
        n=len(array),
        d=array.shape[1],
        dtype=str(array.dtype),
        rows_done=len(array),
        names=NameList(relative_path(names_file, path.parent), names_digest(names)),
        images=relative_path(images, path.parent),
        allow_outside=False,
        decoding=1,
        skipped=(),
        sha256=None,
    )
    write_record(manifest_path(path), add_digests(manifest, path))


def record_place(path: Path, images: Location) -> None:
    """Record a new place of the images of vectors. Raises BlockingIOError while they are being written."""
    with hold_lock(path):
        write_record(manifest_path(path), replace(read_manifest(path), images=_describe_place(images, path.parent)))


def _describe_place(images: Location | None, folder: Path) -> str | None:
    """Return a place as a manifest in the folder records it."""
    return relative_path(images, folder) if isinstance(images, Path) else images and str(images)


class Writer:
    """Writes vectors in place, block by block. A killed run resumes after the last recorded row.

    The manifest is written first and counts the complete rows; the `.npy` has its final size from the start.
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
        """Check the output; `images` is the place of the images, None for texts.

        Raises OSError or ValueError, without changes, if the output cannot be written or resumed.
        """
        check_writeable(path)
        self.path = path
        self._names_file, self._names, self._images, self._overwrite = names_file, names, images, overwrite
        self._allow_outside = allow_outside
        with hold_lock(path):
            pass  # no other run is writing
        self._earlier = self._find_earlier()
        self._manifest: Manifest  # set by `begin`
        self._file: BinaryIO
        self._records: np.memmap | None = None
        self._lock = ExitStack()  # acquired by `begin`, released by `finish`
        latest = self._earlier.latest if self._earlier else None
        self.rows_done = latest.rows_done if latest else 0
        self._skipped = {entry.row: entry for entry in latest.skipped} if latest else {}
        self.exclude = self._earlier.exclude if self._earlier else ()  # patterns of images to leave out, as recorded

    @property
    def is_complete(self) -> bool:
        """Whether all rows existed before this run."""
        earlier = self._earlier and self._earlier.latest
        return earlier is not None and earlier.n == len(self._names) and earlier.is_complete

    @property
    def network(self) -> NetworkDescription | None:
        """The network of the existing rows."""
        return self._earlier.network if self._earlier else None

    @property
    def skipped(self) -> list[Skipped]:
        """The skipped rows so far, in order."""
        return list(self._skipped.values())

    @property
    def runtime(self) -> Runtime:
        """The runtime that computed the existing rows."""
        return self._earlier.engine if self._earlier else Runtime()

    @property
    def has_older_decoding(self) -> bool:
        """Whether the existing rows were made with an earlier version of images.DECODING_VERSION."""
        return self._earlier is not None and self._images is not None and self._earlier.decoding != DECODING_VERSION

    def check_name(self, network: str) -> None:
        """Raise ValueError if the existing rows were made by a network of another name."""
        if self._earlier and (made := self._earlier.network.name) != recorded_name(network):
            raise ValueError(f"{self.path} was made with {made}, not {network}: choose another -o, or use --overwrite")

    def check(self, network: NetworkDescription) -> None:
        """Raise ValueError if the existing rows were made by another network."""
        self.check_name(network.name)
        if self._earlier and not is_same_network(earlier := self._earlier.network, network):
            differences = ", ".join(f"{key} {old} instead of {new}" for key, old, new in earlier.differences(network))
            raise ValueError(f"{self.path} was made with {differences}: choose another -o, or use --overwrite")

    def begin(
        self,
        network: NetworkDescription,
        files: Mapping[str, Path | None] | None = None,
        dtype: str | None = None,
        runtime: Runtime | None = None,
        retries: bool = False,
    ) -> None:
        """Reserve space for all rows. `files` names the files of the network, by which `Collection` finds it.

        Readers open the rows that were complete before until `finish`, unless the run `retries` skipped rows.

        Raises, without changes, ValueError as `check` does, and OSError if the disk is too small, or if another run is
        writing or has written since this writer was made. With `overwrite` the new vectors need space beside the old.
        """
        self.check(network)
        if self._earlier and dtype not in (None, self._earlier.dtype):
            raise ValueError(
                f"{self.path} was made as {self._earlier.dtype}, not {dtype}: choose another -o, or use --overwrite"
            )
        self._manifest = self._new_manifest(network, files or {}, dtype, runtime or Runtime(), retries)
        self._lock.enter_context(hold_lock(self.path))
        try:
            self._check_unchanged()
            existed = self.path.exists()
            target = partial_path(self.path) if existed and self._overwrite else self.path
            self._file = os.fdopen(os.open(target, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # existing rows stay
        except BaseException:
            self._lock.close()
            raise
        try:
            self._reserve(len(self._names))
            if self._images is not None and not self._overwrite:
                self._records = grow_records(self.path, len(self._names))
            self._publish(target)
            if self._images is not None and self._overwrite:
                records_path(self.path).unlink(missing_ok=True)
                self._records = grow_records(self.path, len(self._names))
        except OSError as error:
            self._undo(target, existed)
            reason = explain_write_error(error, self.path, f"{len(self._names)} vectors")
            raise OSError(f"{reason} and rerun the same command; nothing was changed") from error
        if self._earlier and not self._earlier.is_complete:  # a killed retry may have written a part of a vector
            self._clear_skipped()

    def record_settings(self) -> None:
        """Record changed patterns, and a new place of the images, in the manifest of complete vectors."""
        if self._earlier is None:
            return
        place = self._earlier.images if self._images is None else _describe_place(self._images, self.path.parent)
        manifest = replace(self._earlier, exclude=self.exclude, images=place)
        if manifest != self._earlier:
            with hold_lock(self.path):
                self._check_unchanged()
                write_record(manifest_path(self.path), manifest)

    def append(self, vectors: np.ndarray, skipped: list[Skipped], records: np.ndarray | None = None) -> None:
        """Write the next rows: vectors (b, d), zeros for skipped items, and records of their files (b,).

        Raises ValueError if a number is too large for the dtype of the vectors.
        """
        self._file.seek(self._start + self.rows_done * self._row_bytes)
        self._file.write(self._cast(vectors).data)
        self._record(range(self.rows_done, self.rows_done + len(vectors)), records)
        self.rows_done += len(vectors)
        self._skipped |= {entry.row: entry for entry in skipped}

    def replace(
        self, rows: Sequence[int], vectors: np.ndarray, skipped: list[Skipped], records: np.ndarray | None = None
    ) -> None:
        """Write the vectors (b, d) of earlier skipped rows; `skipped` are the rows with another failure."""
        for row, vector in zip(rows, self._cast(vectors), strict=True):
            self._file.seek(self._start + row * self._row_bytes)
            self._file.write(vector.data)
        self._record(rows, records)
        failed = {entry.row: entry for entry in skipped}
        for row in rows:
            if row in failed:
                self._skipped[row] = failed[row]
            else:
                self._skipped.pop(row, None)

    def checkpoint(self) -> None:
        """Flush all rows to disk, then record them in the manifest. Raises OSError, with the remedy."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            if self._records is not None:
                self._records.flush()
            self._manifest = self._with_progress()
            write_record(manifest_path(self.path), self._manifest)
        except OSError as error:
            raise OSError(
                f"cannot write {self.path}: {error.strerror}. Fix this and rerun the same command to resume"
            ) from error

    def finish(self) -> None:
        """Close the vectors; if all rows are complete, record their digests in the manifest."""
        try:
            self.checkpoint()
            if self.rows_done == len(self._names):
                whole = self._manifest.blocks[: self._manifest.n // DIGEST_ROWS] if self._manifest.blocks else []
                self._manifest = add_digests(self._manifest.latest, self.path, whole)
                self.checkpoint()
        finally:
            self._records = None
            _close(self._file)
            self._lock.close()

    def _with_progress(self) -> Manifest:
        """Return the manifest with the complete rows."""
        state: dict[str, Any] = {"rows_done": self.rows_done, "skipped": tuple(self._skipped.values())}
        if growing := self._manifest.growing:
            return replace(self._manifest, growing=replace(growing, **state))
        return replace(self._manifest, **state)

    def _record(self, rows: Sequence[int], records: np.ndarray | None) -> None:
        if self._records is not None:
            known = blank_records(len(rows)) if records is None else records
            known["retired"] = self._records["retired"][rows]
            self._records[rows] = known

    def _find_earlier(self) -> Manifest | None:
        """Return the manifest of the existing rows to keep, or None."""
        if manifest_path(self.path).exists() and not self._overwrite:
            earlier = read_manifest(self.path)
            self._check_resumable(earlier)
            return earlier
        check_new(self.path, self._overwrite)
        return None

    def _new_manifest(
        self,
        network: NetworkDescription,
        files: Mapping[str, Path | None],
        dtype: str | None,
        runtime: Runtime,
        retries: bool,
    ) -> Manifest:
        """Return the manifest of this run, with the existing rows."""
        folder, images, earlier = self.path.parent, self._images, self._earlier
        manifest = Manifest(
            network=network,
            files={kind: relative_path(file, folder) for kind, file in files.items() if file},
            engine=runtime,
            n=len(self._names),
            d=network.dimension,
            dtype=earlier.dtype if earlier else dtype or "float32",
            rows_done=self.rows_done,
            names=NameList(relative_path(self._names_file, folder), names_digest(self._names)),
            images=_describe_place(images, folder),
            allow_outside=self._allow_outside,
            exclude=self.exclude,
            decoding=earlier.decoding if earlier else None if images is None else DECODING_VERSION,
            skipped=earlier.latest.skipped if earlier else (),
            sha256=None,
        )
        if not earlier or not earlier.is_complete or retries:
            return manifest
        growth = Growth(n=manifest.n, rows_done=self.rows_done, names=manifest.names, skipped=manifest.skipped)
        complete = earlier if earlier.blocks is not None else add_digests(earlier, self.path)
        state: dict[str, Any] = {key: getattr(complete, key) for key in COMPLETE_STATE}
        return replace(manifest, **state, growing=growth)

    def _check_unchanged(self) -> None:
        """Raise BlockingIOError if another run has written since this writer was made."""
        known = read_manifest(self.path) if manifest_path(self.path).exists() and not self._overwrite else None
        if known != self._earlier:
            raise BlockingIOError(f"another run has written {self.path} meanwhile: rerun the same command to resume")

    def _publish(self, target: Path) -> None:
        """Put the manifest, the list and, if they are overwritten, the vectors in place."""
        is_new_file = target != self.path
        if is_new_file:
            self.path.replace(self.path)  # fails on Windows while a reader has the file open
        with ExitStack() as replacements:  # all are on disk before the first one is replaced
            write_record(replacements.enter_context(replace_file(manifest_path(self.path))), self._manifest)
            if not self._names_file.exists() or read_names(self._names_file) != self._names:
                write_names(replacements.enter_context(replace_file(self._names_file)), self._names)
        if is_new_file:  # Windows cannot rename open files
            self._file.close()
            target.replace(self.path)
            self._file = self.path.open("r+b")

    def _clear_skipped(self) -> None:
        """Write zeros to skipped rows."""
        for row in self._skipped:
            self._file.seek(self._start + row * self._row_bytes)
            self._file.write(bytes(self._row_bytes))

    def _cast(self, vectors: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self._manifest.dtype)
        if np.abs(vectors).max(initial=0) > np.finfo(dtype).max:
            raise ValueError(f"the network gave {np.abs(vectors).max():g}, too large for {dtype}: use float32")
        return np.ascontiguousarray(vectors, dtype=dtype)

    def _check_resumable(self, earlier: Manifest) -> None:
        """Raise ValueError if this run cannot extend the existing rows."""
        latest = earlier.latest
        n, folder = latest.n, earlier.place(self.path)
        if self._images and folder and not is_same_location(folder, self._images):
            raise ValueError(
                f"{self.path} exists for the images in {folder}, not {self._images}: choose another -o, or use --overwrite"
            )
        if len(self._names) < n or names_digest(self._names[:n]) != latest.names.sha256:
            raise ValueError(
                f"{self.path} exists for another list: expected the first {n} lines of {self._names_file} unchanged; "
                f"restore them, choose another -o, or use --overwrite"
            )
        if latest.rows_done and (rows := _count_rows(self.path, earlier)) < latest.rows_done:
            raise ValueError(
                f"{self.path}: expected {latest.rows_done} rows of ({n}, {earlier.d}) {earlier.dtype}, as its manifest "
                f"says, got {rows}; restore the file, or use --overwrite"
            )
        if earlier.is_complete:  # an alteration would otherwise be recorded with the new rows
            check_unaltered(self.path, open_array(self.path, earlier.n), earlier)

    def _reserve(self, n: int) -> None:
        """Write the header for n rows and allocate their space, so that a full disk is noticed at once."""
        dtype, d = np.dtype(self._manifest.dtype), self._manifest.d
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n, d)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)  # NumPy pads it: the same length for any n
        self._start, self._row_bytes = self._file.tell(), d * dtype.itemsize
        self._file.flush()
        reserve(self._file, self.path, self._start + n * self._row_bytes)

    def _undo(self, target: Path, existed: bool) -> None:
        """Restore the state before `begin`."""
        if existed and self._earlier:
            with suppress(OSError):
                self._reserve(self._earlier.latest.n)
        _close(self._file)
        if target != self.path or not existed:
            target.unlink(missing_ok=True)
        self._lock.close()


def _close(file: BinaryIO) -> None:
    """Close a file. On a full disk, closing fails once more with the same error."""
    with suppress(OSError):
        file.close()


def _count_rows(path: Path, manifest: Manifest) -> int:
    """Return the number of whole rows in the file; 0 if it is not of the manifest's shape."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                return 0
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if len(shape) != 2 or shape[1] != manifest.d or dtype != manifest.dtype:
                return 0
            return int(path.stat().st_size - file.tell()) // (dtype.itemsize * shape[1])
    except Exception:  # a damaged header makes NumPy raise anything
        return 0
