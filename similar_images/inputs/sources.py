"""Images in a folder, in a .zip, .tar or .tar.gz that is read in place and never unpacked, or at an address."""

import hashlib
import io
import os
import stat
import struct
import tarfile
import unicodedata
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from similar_images import forks
from similar_images.inputs.address import ARCHIVES, Address, Remote, check_address
from similar_images.inputs.images import LIMITS, OUTSIDE_FOLDER, OVER_LIMIT, Limits, UnreadableImage
from similar_images.inputs.names import (
    ARCHIVED_LINKS,
    HIDDEN,
    INSIDE_LINKS,
    OUTSIDE_LINKS,
    SPECIAL,
    UNREADABLE,
    Kind,
    Listing,
    classify,
    compose,
    is_image,
    is_inside,
    leads_outside,
)

Member = zipfile.ZipInfo | tarfile.TarInfo
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError)
LONG_NAMES = "long names follow each other without a file"
UTF8_FLAG = 0x800  # bit 11 of a zip's general purpose flags
UNICODE_PATH = 0x7075  # an extra field of a zip
UNIX, WINDOWS = 3, (0, 10, 14)  # on which a zip was made: FAT, NTFS, VFAT
TAR_NAMES: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
SEEK_POINTS = 4 * 2**20  # bytes between the positions of a .tar.gz at which reading can start


class Folder:
    """Images in a folder and its subfolders, and nothing outside unless allowed."""

    in_memory = False  # whether `image` returns bytes
    readers = 1  # threads that can read at once, at least

    def __init__(self, path: Path, allow_outside: bool = False):
        """With `allow_outside`, names may be absolute or lead out of the folder, by `..` or a symbolic link."""
        self.path, self.allow_outside = path, allow_outside

    def join(self, name: str) -> Path | None:
        """Return the path of a file, without looking at the disk; None if it is outside, as far as the name says."""
        return None if not self.allow_outside and leads_outside(name, self.path) else self.path / name

    def locate(self, name: str) -> Path:
        """Return the path of a file, whether or not it exists. Raises UnreadableImage if it is outside."""
        file = self.path / self.match_name(name)
        if not self.allow_outside and not is_inside(file, self.path):
            raise UnreadableImage(OUTSIDE_FOLDER)
        return file

    def match_name(self, name: str) -> str:
        """Return a name as it is on disk: the accents in each part composed or decomposed."""
        if name.isascii() or os.path.lexists(self.path / name):
            return name
        found = ""
        for part in name.split("/"):
            forms = (part, compose(part), unicodedata.normalize("NFD", part))
            on_disk = next((form for form in forms if os.path.lexists(self.path / (found + form))), part)
            found += f"{on_disk}/"
        return found[:-1]

    def exists(self, name: str = "") -> bool:
        """Return whether the folder, or a file or folder of this name in it, exists."""
        return self._has(name, Path.exists)

    def find(self) -> Listing:
        """Return the names of all images, by suffix, and what is left out."""
        left_out: dict[Kind, list[str]] = {}
        return classify(self._files(left_out), left_out)

    def has_any(self, names: list[str]) -> bool:
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

    def _files(self, left_out: dict[Kind, list[str]]) -> Iterator[str]:
        """Yield the names of all files; what is not followed is put into `left_out`."""
        followed = [Path(os.path.realpath(self.path))]
        folders: list[tuple[str, str | Path]] = [("", self.path)]
        while folders:
            below, folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except PermissionError:
                left_out.setdefault(UNREADABLE, []).append(below or ".")
                continue
            except FileNotFoundError:  # removed meanwhile
                continue
            for entry in listed:
                name, is_folder = below + entry.name, _is_folder(entry)
                if is_folder and entry.name.startswith("."):
                    left_out.setdefault(HIDDEN, []).append(f"{name}/")
                elif entry.is_symlink() and (kind := self._not_followed(name, is_folder, followed)):
                    left_out.setdefault(kind, []).append(name)
                elif is_folder:
                    folders.append((f"{name}/", entry.path))
                else:
                    yield name

    def _not_followed(self, name: str, is_folder: bool, followed: list[Path]) -> Kind | None:
        """Return as what a symbolic link is left out, or None; one to a folder elsewhere is put into `followed`."""
        if not is_folder and not is_image(name):
            return None
        target = Path(os.path.realpath(self.path / name))
        if not self.allow_outside and not target.is_relative_to(followed[0]):
            return OUTSIDE_LINKS
        if not is_folder:
            return None
        if any(target.is_relative_to(one) or one.is_relative_to(target) for one in followed):
            return INSIDE_LINKS
        followed.append(target)
        return None

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
        self._file, self._below = file, path.relative_to(file).parts
        self._lock = forks.new_reentrant_lock()
        self._members: dict[str, Member] | None = None
        self._spellings: dict[str, str] = {}  # other names of members -> their own
        self._left_out: dict[Kind, list[str]] = {}
        self._archive: zipfile.ZipFile | tarfile.TarFile

    def join(self, name: str) -> Path | None:
        """Return the archive's path followed by a name in it; None for a name that leads elsewhere on the disk."""
        return None if leads_outside(name, self.path) else self.path / name

    def locate(self, name: str) -> Path:
        """Return the same. Raises UnreadableImage for a name that leads elsewhere."""
        return _located(self.join(name))

    def exists(self, name: str = "") -> bool:
        """Return whether the archive, or a file of this name in it, exists."""
        return self._file.exists() and (not name or self.match_name(name) in self._opened())

    def find(self) -> Listing:
        """Return the names of all images, by suffix, and what is left out."""
        return classify(self._opened(), self._left_out)

    def has_any(self, names: list[str]) -> bool:
        """Return whether at least one of the names is a file here."""
        return any(self.match_name(name) in self._opened() for name in names)

    def match_name(self, name: str) -> str:
        """Return a name as `find` gives it: with accents composed or not, or decoded as earlier versions did."""
        members = self._opened()
        known = (self._spellings.get(form, form) for form in (name, compose(name)))
        return name if name in members else next((form for form in known if form in members), name)

    def image(self, name: str, limits: Limits = LIMITS) -> bytes:
        """Return the bytes of an image. Raises UnreadableImage if it is missing, too large or damaged."""
        size = self.size(name)
        if size > limits.bytes:
            raise UnreadableImage(f"{size} bytes: {OVER_LIMIT} {limits.bytes} bytes")
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
        member = self._opened().get(self.match_name(name))
        if member is None:
            raise UnreadableImage("no such file")
        return member

    def _opened(self) -> dict[str, Member]:
        """Return the files by their names. Raises ValueError, with the remedy, for a damaged archive."""
        with self._lock:
            if self._members is None:
                try:
                    self._archive, entries = _open_archive(self._file)
                except FileNotFoundError:
                    raise
                except (*DAMAGE, OSError, ValueError, RecursionError) as error:
                    reason = LONG_NAMES if isinstance(error, RecursionError) else error  # tarfile recurses into them
                    raise ValueError(
                        f"{self._file} is damaged or not a {_suffix(self._file)} file: {reason}"
                    ) from error
                weakref.finalize(self, self._archive.close)
                members = self._read(entries)
                if not members:
                    raise FileNotFoundError(f"{self.path} is empty or missing: expected a folder of the archive")
                self._members = members
            return self._members

    def _read(self, entries: list["Entry"]) -> dict[str, Member]:
        """Return the files by name; of two with the same name the later counts, as when unpacked."""
        members: dict[str, Member] = {}
        for entry in entries:
            names = (entry.name, entry.earlier_name)
            name, earlier = ("/".join(name.split("/")[len(self._below) :]) for name in names)
            if not name or not any(_is_below(name, self._below) for name in names):
                continue
            if entry.kind:
                self._left_out.setdefault(entry.kind, []).append(name)
                continue
            members[name] = entry.member
            for other in {earlier or name, compose(name)} - {name}:
                self._spellings[other] = name
        return members


class Entry(NamedTuple):
    """A file in an archive."""

    name: str
    earlier_name: str  # as versions up to 1.1 decoded it, which lists may have
    member: Member
    kind: Kind | None = None  # as what it is left out


Source = Folder | Archive | Remote
Location = Path | Address  # of a source


def parse_location(place: str | Path) -> Location:
    """Return the place of images that a user names, or a manifest: an address with a protocol, else a path."""
    return Address(place) if isinstance(place, str) and "://" in place else Path(place)


def open_source(path: Location | Source, allow_outside: bool = False) -> Source:
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


def check_source(path: Location) -> None:
    """Raise ValueError, with the remedy, if the path is neither a folder nor an archive, or an address is refused."""
    if isinstance(path, Address):
        return check_address(path)
    if path.is_file() and not _suffix(path):
        raise ValueError(f"expected a folder or an archive ({', '.join(ARCHIVES)}), got the file {path}")
    if not open_source(path).exists():
        raise ValueError(f"{path} does not exist: expected a folder or an archive ({', '.join(ARCHIVES)})")


def location_title(path: Location) -> str:
    """Return the name of a folder or an archive, without the suffix of an archive."""
    name = path.resolve().name
    return name[: len(name) - len(_suffix(path))]


def is_same_location(one: Location, other: Location) -> bool:
    """Return whether two places are one, or the first, a folder that was moved, is not known."""
    if isinstance(one, Path) and isinstance(other, Path):
        return not one.exists() or one.samefile(other)
    return one == other


def digest_image(source: Source, name: str) -> tuple[int, str]:
    """Return the bytes of an image and their SHA-256. Raises OSError or UnreadableImage."""
    with source.open(name) as file:
        sha256 = hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
        return file.tell(), sha256


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _located(path: Path | None) -> Path:
    if path is None:
        raise UnreadableImage(OUTSIDE_FOLDER)
    return path


def _open_member(archive: zipfile.ZipFile | tarfile.TarFile, member: Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(cast(zipfile.ZipInfo, member))
    return cast(IO[bytes], archive.extractfile(cast(tarfile.TarInfo, member)))  # None only for what is no file


def _open_archive(file: Path) -> tuple[zipfile.ZipFile | tarfile.TarFile, list[Entry]]:
    """Return the archive and its files in their order."""
    if _suffix(file) == ".zip":
        zipped = zipfile.ZipFile(file)
        return zipped, [_zip_entry(member) for member in zipped.infolist() if not _zip_name(member).endswith("/")]
    if _suffix(file) == ".tar":
        archive = tarfile.TarFile(file, **TAR_NAMES)
    else:
        import indexed_gzip

        archive = tarfile.TarFile(fileobj=indexed_gzip.IndexedGzipFile(file, spacing=SEEK_POINTS), **TAR_NAMES)
    entries: list[Entry] = []
    files: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        name, target = _tar_name(member.name), _tar_name(member.linkname)
        earlier = member.name.removeprefix("./")
        if member.isreg():
            files[name] = member
        elif member.islnk() and target in files:  # a hard link is another name
            files[name] = files[target]
        elif not member.isdir():
            kind = ARCHIVED_LINKS if member.issym() else SPECIAL
            entries.append(Entry(name, earlier, member, kind))
            continue
        if not member.isdir():
            entries.append(Entry(name, earlier, files[name]))
    return archive, entries


def _zip_entry(member: zipfile.ZipInfo) -> Entry:
    is_link = member.create_system == UNIX and stat.S_ISLNK(member.external_attr >> 16)
    return Entry(_normal(_zip_name(member)), member.filename, member, ARCHIVED_LINKS if is_link else None)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return the name of a file in a zip.

    Of names without the flag for UTF-8, Unicode Path (0x7075) comes first (APPNOTE 4.6.9), then UTF-8, which macOS writes
    without the flag, then code page 437 (APPNOTE D.1): its names are hardly ever UTF-8 by chance. Programs for Windows may
    separate folders by backslashes, which Info-ZIP's unzip takes for slashes under the same conditions.
    """
    if member.flag_bits & UTF8_FLAG:
        name = member.orig_filename
    else:
        raw = member.orig_filename.encode("cp437")
        try:
            name = _unicode_path(member.extra, raw) or raw.decode("utf-8")
        except UnicodeDecodeError:
            name = member.orig_filename
    name = name.split("\0")[0]
    return name.replace("\\", "/") if member.create_system in WINDOWS and "/" not in name else name


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the extra field Unicode Path, if it belongs to the name in the header."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and field[:1] == b"\1" and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return field[5:].decode("utf-8")
    return None


def _tar_name(name: str) -> str:
    """Return the name of a file in a tar; one that is not UTF-8 is taken for Latin-1, with Windows' additions."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        try:
            name = raw.decode("cp1252")
        except UnicodeDecodeError:
            name = raw.decode("latin-1")
    return _normal(name)


def _normal(name: str) -> str:
    """Return a name without parts that mean nothing: ./a//b is a/b."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/" * name.startswith("/") + "/".join(parts)


def _is_below(name: str, folder: tuple[str, ...]) -> bool:
    """Return whether a name begins with the names of a folder and those above it."""
    return [*map(compose, name.split("/")[: len(folder)])] == [*map(compose, folder)]


def _size(member: Member) -> int:
    return member.file_size if isinstance(member, zipfile.ZipInfo) else member.size


def _suffix(path: Location) -> str:
    """Return which of ARCHIVES the name ends in, else an empty string."""
    return next((suffix for suffix in ARCHIVES if path.name.lower().endswith(suffix)), "")
