"""Images in a folder, in a .zip, .tar or .tar.gz that is read in place and never unpacked, or at an address."""

import hashlib
import io
import os
import tarfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from similar_images.inputs.address import ARCHIVES, Address, Remote, check_address
from similar_images.inputs.images import LIMITS, OUTSIDE, OVER, Limits, UnreadableImage
from similar_images.inputs.names import Found, found, is_image, is_inside, leads_outside

Member = zipfile.ZipInfo | tarfile.TarInfo
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError)
LONG_NAMES = "long names follow each other without a file"
SEEK_POINTS = 4 * 2**20  # bytes between the positions of a .tar.gz at which reading can start


class Folder:
    """Images in a folder and its subfolders, and nothing outside unless allowed."""

    in_memory = False  # whether `image` returns bytes
    readers = 1  # threads that can read at once, at least

    def __init__(self, path: Path, allow_outside: bool = False):
        """With `allow_outside`, names may be absolute or lead out of the folder, by `..` or a symbolic link."""
        self.path, self.allow_outside = path, allow_outside

    def joined(self, name: str) -> Path | None:
        """Return the path of a file, without looking at the disk; None if it is outside, as far as the name says."""
        return None if not self.allow_outside and leads_outside(name, self.path) else self.path / name

    def locate(self, name: str) -> Path:
        """Return the path of a file, whether or not it exists. Raises UnreadableImage if it is outside."""
        file = self.path / name
        if not self.allow_outside and not is_inside(file, self.path):
            raise UnreadableImage(OUTSIDE)
        return file

    def exists(self, name: str = "") -> bool:
        """Return whether the folder, or a file or folder of this name in it, exists."""
        return self._has(name, Path.exists)

    def find(self) -> Found:
        """Return the names of all images, by suffix, without hidden files and folders."""
        names = []
        for directory, subfolders, files in os.walk(self.path):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            names += [Path(directory, file).relative_to(self.path).as_posix() for file in files if is_image(file)]
        return found(names)

    def holds_any(self, names: list[str]) -> bool:
        """Return whether at least one of the names is a file here."""
        return any(self._has(name, Path.is_file) for name in names if name)

    def image(self, name: str, limits: Limits = LIMITS) -> Path | bytes:
        """Return what `images.open_image` takes: here the path, as `locate` does."""
        return self.locate(name)

    def size(self, name: str) -> int:
        """Return the bytes of a file. Raises OSError, or ValueError for a name that no file can have, or outside."""
        return self.locate(name).stat().st_size

    def open(self, name: str) -> IO[bytes]:
        """Return the file, to be read in a `with` block. Raises OSError, also for a device or pipe, or as `locate`."""
        path = self.locate(name)
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is not a regular file")
        return path.open("rb")

    def _has(self, name: str, kind: Callable[[Path], bool]) -> bool:
        try:
            return kind(self.locate(name))
        except UnreadableImage:
            return False


class Archive:
    """Images in an archive, or in a folder of it; opened once, at first use. Threads may share it."""

    in_memory = True  # whether `image` returns bytes
    readers = 1
    allow_outside = False  # nothing else can be read

    def __init__(self, path: Path, file: Path):
        """`path` is the archive's `file`, or continues with a folder in it: `val2014.zip/val2014`."""
        self.path = path
        self._file, self._below = file, f"{path.relative_to(file).as_posix()}/" if path != file else ""
        self._lock = threading.RLock()
        self._members: dict[str, Member] | None = None
        self._archive: zipfile.ZipFile | tarfile.TarFile

    def joined(self, name: str) -> Path | None:
        """Return the archive's path followed by a name in it; None for a name that leads elsewhere on the disk."""
        return None if leads_outside(name, self.path) else self.path / name

    def locate(self, name: str) -> Path:
        """Return the same. Raises UnreadableImage for a name that leads elsewhere."""
        return _located(self.joined(name))

    def exists(self, name: str = "") -> bool:
        """Return whether the archive, or a file of this name in it, exists."""
        return self._file.exists() and (not name or name in self._opened())

    def find(self) -> Found:
        """Return the names of all images, by suffix, without hidden files and folders."""
        return found([name for name in self._opened() if is_image(name)])

    def holds_any(self, names: list[str]) -> bool:
        """Return whether at least one of the names is a file here."""
        return any(name in self._opened() for name in names)

    def image(self, name: str, limits: Limits = LIMITS) -> bytes:
        """Return the bytes of an image. Raises UnreadableImage if it is missing, too large or damaged."""
        size = self.size(name)
        if size > limits.bytes:
            raise UnreadableImage(f"{size} bytes: {OVER} {limits.bytes} bytes")
        with self.open(name) as file:
            return file.read(size)

    def size(self, name: str) -> int:
        """Return the bytes of a file, unpacked. Raises UnreadableImage if it is missing."""
        return _size(self._member(name))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Yield the file, to be read. Raises UnreadableImage if it is missing or damaged."""
        member = self._member(name)
        try:
            with self._lock, _open_member(self._archive, member) as file:
                yield file
        except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that Python does not have
            raise UnreadableImage(f"cannot be read in {self._file.name}, {error}: unpack it") from error
        except DAMAGE as error:
            raise UnreadableImage(f"damaged in {self._file.name}: {error}") from error

    def _member(self, name: str) -> Member:
        member = self._opened().get(name)
        if member is None:
            raise UnreadableImage("no such file")
        return member

    def _opened(self) -> dict[str, Member]:
        """Return the files by their names. Raises ValueError, with the remedy, for a damaged archive."""
        with self._lock:
            if self._members is None:
                try:
                    self._archive, members = _open_archive(self._file)
                except FileNotFoundError:
                    raise
                except (*DAMAGE, OSError, ValueError, RecursionError) as error:
                    reason = LONG_NAMES if isinstance(error, RecursionError) else error  # tarfile recurses into them
                    raise ValueError(
                        f"{self._file} is damaged or not a {_suffix(self._file)} file: {reason}"
                    ) from error
                weakref.finalize(self, self._archive.close)
                start = len(self._below)
                self._members = {
                    name[start:]: member for name, member in members.items() if name.startswith(self._below)
                }
                if not self._members:
                    raise FileNotFoundError(f"{self.path} is empty or missing: expected a folder of the archive")
            return self._members


Source = Folder | Archive | Remote
Place = Path | Address  # of a source


def place_of(place: str | Path) -> Place:
    """Return the place of images that a user names, or a manifest: an address with a protocol, else a path."""
    return Address(place) if isinstance(place, str) and "://" in place else Path(place)


def open_source(path: Place | Source, allow_outside: bool = False) -> Source:
    """Return the images in a folder, an archive or at an address; it is not checked that they exist.

    A source is returned as it is. `allow_outside` is for a folder: see Folder.
    """
    if isinstance(path, Source):
        return path
    if isinstance(path, Address):
        return Remote(path)
    for file in (path, *path.parents):
        if _suffix(file) and not file.is_dir():
            return Archive(path, file)
    return Folder(path, allow_outside)


def check_source(path: Place) -> None:
    """Raise ValueError, with the remedy, if the path is neither a folder nor an archive, or an address is refused."""
    if isinstance(path, Address):
        return check_address(path)
    if path.is_file() and not _suffix(path):
        raise ValueError(f"expected a folder or an archive ({', '.join(ARCHIVES)}), got the file {path}")
    if not open_source(path).exists():
        raise ValueError(f"{path} does not exist: expected a folder or an archive ({', '.join(ARCHIVES)})")


def title(path: Place) -> str:
    """Return the name of a folder or an archive, without the suffix of an archive."""
    name = path.resolve().name
    return name[: len(name) - len(_suffix(path))]


def is_same(one: Place, other: Place) -> bool:
    """Return whether two places are one, or the first, a folder that was moved, is not known."""
    if isinstance(one, Path) and isinstance(other, Path):
        return not one.exists() or one.samefile(other)
    return one == other


def digest(source: Source, name: str) -> tuple[int, str]:
    """Return the bytes of an image and their SHA-256. Raises OSError or UnreadableImage."""
    with source.open(name) as file:
        sha256 = hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
        return file.tell(), sha256


def _located(path: Path | None) -> Path:
    if path is None:
        raise UnreadableImage(OUTSIDE)
    return path


def _open_member(archive: zipfile.ZipFile | tarfile.TarFile, member: Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(cast(zipfile.ZipInfo, member))
    return cast(IO[bytes], archive.extractfile(cast(tarfile.TarInfo, member)))  # None only for what is no file


def _open_archive(file: Path) -> tuple[zipfile.ZipFile | tarfile.TarFile, dict]:
    """Return the archive and its files by name; of two with the same name the later counts, as when unpacked."""
    if _suffix(file) == ".zip":
        zipped = zipfile.ZipFile(file)
        return zipped, {member.filename: member for member in zipped.infolist() if not member.is_dir()}
    if _suffix(file) == ".tar":
        archive = tarfile.TarFile(file)
    else:
        import indexed_gzip

        archive = tarfile.TarFile(fileobj=indexed_gzip.IndexedGzipFile(file, spacing=SEEK_POINTS))
    files: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        name, target = (one.removeprefix("./") for one in (member.name, member.linkname))
        if member.isreg():
            files[name] = member
        elif member.islnk() and target in files:  # a hard link is another name
            files[name] = files[target]
    return archive, files


def _size(member: Member) -> int:
    return member.file_size if isinstance(member, zipfile.ZipInfo) else member.size


def _suffix(path: Place) -> str:
    """Return which of ARCHIVES the name ends in, else an empty string."""
    return next((suffix for suffix in ARCHIVES if path.name.lower().endswith(suffix)), "")
