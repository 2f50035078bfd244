"""Files that are whole or absent, and their digests."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; at the end it is flushed to disk and takes `path`'s place."""
    partial = path.with_name(f".{path.stem}.part{path.suffix}")  # some writers choose the format by suffix
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, form: str, remedy: str = "remove it and make it again") -> dict:
    """Return the manifest in `path`, whose "format" must be `form`.

    Raises ValueError, with the remedy, where the file is damaged or of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: expected JSON ({error}); {remedy}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != form:
        raise ValueError(f"{path}: expected the format '{form}', got '{found}'; {remedy}")
    return content


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def relative(path: Path, base: Path) -> str:
    """Return `path` as seen from the folder `base`, so that both can be moved together."""
    return Path(os.path.relpath(path.absolute(), base.absolute())).as_posix()


def check_writeable(path: Path) -> None:
    """Raise OSError, with the remedy, where a file at `path` could not be written."""
    folder = path.absolute().parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {folder}; make it first")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}; choose another place") from error


def check_new(path: Path, overwrite: bool) -> None:
    """Raise OSError, with the remedy, where a file at `path` could not be written, or is there and is to stay."""
    check_writeable(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists and is not overwritten: choose another, or pass --overwrite")
