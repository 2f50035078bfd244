"""Atomic file writes, locks, JSON files and digests."""

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import portalocker
import psutil

FULL_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
STALE_SECONDS = 24 * 3600  # since the last change; a killed run left a partial file of that age
JsonObject = dict[str, Any]


class NoSpace(OSError):
    """The disk, a quota or the maximum file size is reached."""

    def __init__(self, path: Path):
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def __str__(self) -> str:
        return f"no space on disk for {self.filename}: free some and run the same command again"


def is_full(error: Exception) -> bool:
    """Return whether an error means that the disk, a quota or the maximum file size is reached.

    NumPy, Faiss, PyArrow and HDF5 have it in the message, without an error number.
    """
    if getattr(error, "errno", None) in FULL_DISK_ERRORS or re.search(r"\d+ requested and \d+ written", str(error)):
        return True
    return any(os.strerror(code) in str(error) for code in FULL_DISK_ERRORS)


@contextmanager
def name_full_disk(path: Path) -> Iterator[None]:
    """Raise NoSpace for `path` if a writer fails because the disk is full."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: Faiss'
        if is_full(error) and not isinstance(error, NoSpace):
            raise NoSpace(path) from error
        raise


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Yield a new path beside `path` for one writer; remove the file at the end, and stale partial files.

    Raises NoSpace if the disk is full.
    """
    _remove_stale(path)
    partial = partial_path(path)
    try:
        with name_full_disk(path):
            yield partial
    finally:
        partial.unlink(missing_ok=True)


def reserve(file: BinaryIO, path: Path, size: int) -> None:
    """Allocate the disk space of an open file. Raises NoSpace.

    Writing to a memory map on a full disk would kill the process with SIGBUS.
    """
    with name_full_disk(path):
        if hasattr(os, "posix_fallocate"):
            os.truncate(file.fileno(), size)
            os.posix_fallocate(file.fileno(), 0, size)
            return
        missing = size - os.fstat(file.fileno()).st_size
        if missing > shutil.disk_usage(path.absolute().parent).free:  # macOS would create a sparse file
            raise NoSpace(path)
        os.truncate(file.fileno(), size)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a new path beside `path`; at the end, flush it to disk and replace `path` with it."""
    with partial_file(path) as partial:
        yield partial
        flush(partial)
        partial.replace(path)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`; at the end, replace `folder` with it, or remove it after an error.

    Folders left by killed runs are removed.
    """
    for stale in folder.parent.glob(f".{glob.escape(folder.name)}-*"):
        with suppress(OSError):  # another process removes it
            if time.time() - stale.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = partial.with_name(f"{partial.name}.old")
    try:
        with name_full_disk(folder):
            yield partial
        if folder.exists():  # damaged
            folder.rename(old)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Return a new path beside `path` with the same suffix, because some writers choose the format by it."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")


def flush(path: Path) -> None:
    """Flush a file to disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def hold_lock(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock for writing `path`, which may be replaced meanwhile.

    The lock is a file beside `path` with the process ID and start time, removed at the end. If another process holds the
    lock, wait for it, or raise BlockingIOError with its ID.
    """
    lock = path.with_name(f".{path.name}.lock")
    while True:
        file = lock.open("ab", buffering=0)  # closing writes nothing: the disk may be full
        try:
            flags = portalocker.LockFlags.EXCLUSIVE
            portalocker.lock(file, flags if wait else flags | portalocker.LockFlags.NON_BLOCKING)
            with suppress(FileNotFoundError):
                if os.path.samestat(lock.stat(), os.fstat(file.fileno())):  # otherwise its holder has just removed it
                    _write_holder(file)
                    break
        except portalocker.LockException as error:
            file.close()
            raise BlockingIOError(
                f"{path} is being written by another run{_holder(lock)}: wait for it, or stop it"
            ) from error
        except BaseException:
            file.close()
            raise
        file.close()
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        file.close()


def write_json(path: Path, content: JsonObject) -> None:
    """Write `content` to `path` atomically."""
    with replace_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, form: str, remedy: str = "remove it and create it again") -> JsonObject:
    """Return the content of `path`, whose "format" must be `form`.

    Raises ValueError, with the remedy, if the file is damaged or has another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: expected JSON ({error}); {remedy}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != form:
        raise ValueError(f"{path}: expected the format '{form}', got {found!r:.100}; {remedy}")
    return dict(content)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def relative_path(path: Path, base: Path) -> str:
    """Return `path` relative to the folder `base`, so that users can move both together."""
    return Path(os.path.relpath(path.absolute(), base.absolute())).as_posix()


def check_writeable(path: Path) -> None:
    """Raise OSError, with the remedy, if a file at `path` cannot be written."""
    folder = path.absolute().parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}; create it first")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}; choose another place") from error


def check_new(path: Path, overwrite: bool) -> None:
    """Raise OSError, with the remedy, if a file at `path` cannot be written, or exists without `overwrite`."""
    check_writeable(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: choose another name, or use --overwrite")


def _remove_stale(path: Path) -> None:
    for partial in path.absolute().parent.glob(f".{glob.escape(path.stem)}.*.part{glob.escape(path.suffix)}"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > STALE_SECONDS:
                partial.unlink()


def _write_holder(file: BinaryIO) -> None:
    """Write this process's ID and start time to a lock file, unless the disk is full."""
    with suppress(OSError):
        file.truncate(0)  # written by a killed holder
        file.write(f"{os.getpid()} {psutil.Process().create_time()}\n".encode())


def _holder(lock: Path) -> str:
    """Return the ID and start time of the process that holds a lock, or an empty string if unknown."""
    with suppress(OSError, ValueError, psutil.Error):
        process = _recorded_holder(lock) or _opener(lock)
        if process is not None:
            began = datetime.fromtimestamp(process.create_time()).astimezone()
            return f", process {process.pid}, started {began:%Y-%m-%d %H:%M:%S}"
    return ""


def _recorded_holder(lock: Path) -> psutil.Process | None:
    """Return the process named in a lock file; None if it does not run, or its ID belongs to another process now."""
    with suppress(OSError, ValueError, psutil.Error):  # on Windows, a locked file cannot be read
        pid, began = lock.read_text().split()
        process = psutil.Process(int(pid))
        if process.create_time() == float(began):  # otherwise the ID was reused, or is of another machine
            return process
    return None


def _opener(lock: Path) -> psutil.Process | None:
    """Return another process with an open lock file; readers of the locked file do not open the lock file."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and any(Path(file.path) == lock.resolve() for file in process.open_files()):
                return process
    return None


def explain_write_error(error: OSError, path: Path, content: str) -> str:
    """Return why a file cannot be written, and the first part of the remedy."""
    if error.errno in FULL_DISK_ERRORS:
        return f"no space on disk for {path}, {content}: free some"
    return f"cannot write {error.filename or path}: {error.strerror}. Fix this"
