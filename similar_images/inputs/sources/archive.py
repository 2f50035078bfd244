"""Images in a .zip, .tar or .tar.gz, read in place and never unpacked.

Names are as unpacking gives them, whichever program wrote the archive.
"""

import stat
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from similar_images import forks
from similar_images.inputs.exclusions import Exclusions, Kind
from similar_images.inputs.formats import archive_suffix
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.listing import ARCHIVED_LINKS, SPECIAL, Listing, classify
from similar_images.inputs.names import compose
from similar_images.inputs.sources.folder import leads_outside
from similar_images.inputs.sources.source import MAX_MODIFIED, FileStatus, Source, digest_text

Member = zipfile.ZipInfo | tarfile.TarInfo
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError)
LONG_NAMES = "long names follow each other without a file"
UNIX, WINDOWS = 3, (0, 10, 14)  # systems that wrote a zip; FAT, NTFS, VFAT
UTF8_FLAG = 0x800  # bit 11 of a zip's general purpose flags
UNICODE_PATH = 0x7075  # an extra field of a zip
TAR_NAMES: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
SEEK_POINTS = 4 * 2**20  # bytes between the positions of a .tar.gz at which reading can start


class Archive(Source):
    """Images in an archive, or in a folder of it; opened once, at first use."""

    path: Path

    def __init__(self, path: Path, file: Path):
        """`path` is the archive's `file`, or continues with a folder in it: `val2014.zip/val2014`."""
        self.path = path
        self._file, self._below = file, path.relative_to(file).parts
        self._lock = forks.new_reentrant_lock()
        self._members: dict[str, Member] | None = None
        self._spellings: dict[str, str] = {}  # other names of members -> their own
        self._left_out: dict[Kind, list[str]] = {}
        self._archive: zipfile.ZipFile | tarfile.TarFile

    def find(self, exclude: Sequence[str] = ()) -> Listing:
        exclusions = Exclusions(exclude)
        self.read_ignore_files(exclusions, self._open())
        return classify(self._open(), self._left_out, exclusions)

    def exists(self, name: str = "") -> bool:
        return self._file.exists() and (not name or self.is_file(name))

    def is_file(self, name: str) -> bool:
        return self.match_name(name) in self._open()

    def join(self, name: str) -> Path | None:
        """Return the archive's path followed by a name in it; None for a name outside the archive."""
        return None if leads_outside(name, self.path) else self.path / name

    def match_name(self, name: str) -> str:
        members = self._open()
        known = (self._spellings.get(form, form) for form in (name, compose(name)))
        return name if name in members else next((form for form in known if form in members), name)

    def status(self, name: str) -> FileStatus:
        member = self._member(name)
        if isinstance(member, zipfile.ZipInfo):
            return FileStatus(member.file_size, digest_text(f"{member.date_time} {member.CRC}"))
        return FileStatus(member.size, round(member.mtime * 1e9))

    def latest_unchanged(self, time: int) -> int:
        """Return the limit for all files of the archive, which changes as a whole."""
        return MAX_MODIFIED if self._file.stat().st_mtime_ns <= time else -1

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        member = self._member(name)
        try:
            with self._lock, _open_member(self._archive, member) as file:
                yield file
        except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that Python does not have
            raise UnreadableImage(f"cannot be read in {self._file.name}, {error}: unpack it") from error
        except DAMAGE as error:
            raise UnreadableImage(f"damaged in {self._file.name}: {error}") from error

    def _member(self, name: str) -> Member:
        member = self._open().get(self.match_name(name))
        if member is None:
            raise UnreadableImage("no such file")
        return member

    def _open(self) -> dict[str, Member]:
        """Return the files by name. Raises ValueError, with the remedy, for a damaged archive."""
        with self._lock:
            if self._members is None:
                try:
                    self._archive, entries = open_archive(self._file)
                except FileNotFoundError:
                    raise
                except (*DAMAGE, OSError, ValueError, RecursionError) as error:
                    reason = LONG_NAMES if isinstance(error, RecursionError) else error  # tarfile recurses into them
                    suffix = archive_suffix(self._file.name)
                    raise ValueError(f"{self._file} is damaged or not a {suffix} file: {reason}") from error
                weakref.finalize(self, self._archive.close)
                members = self._index(entries)
                if not members:
                    raise FileNotFoundError(f"{self.path} is empty or missing: expected a folder of the archive")
                self._members = members
            return self._members

    def _index(self, entries: list["Entry"]) -> dict[str, Member]:
        """Return the files by name; the last of several files with one name counts, as when unpacked."""
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
    earlier_name: str  # as Python decodes it, which lists of earlier versions may have
    member: Member
    kind: Kind | None = None  # of a left-out file


def open_archive(file: Path) -> tuple[zipfile.ZipFile | tarfile.TarFile, list[Entry]]:
    """Return the archive and its files in their order."""
    suffix = archive_suffix(file.name)
    if suffix == ".zip":
        zipped = zipfile.ZipFile(file)
        return zipped, [_zip_entry(member) for member in zipped.infolist() if not _zip_name(member).endswith("/")]
    if suffix == ".tar":
        archive = tarfile.TarFile(file, **TAR_NAMES)
    else:
        import indexed_gzip

        archive = tarfile.TarFile(fileobj=indexed_gzip.IndexedGzipFile(file, spacing=SEEK_POINTS), **TAR_NAMES)
    try:
        return archive, _tar_entries(archive)
    except BaseException:
        archive.close()
        raise


def _zip_entry(member: zipfile.ZipInfo) -> Entry:
    is_link = member.create_system == UNIX and stat.S_ISLNK(member.external_attr >> 16)
    return Entry(_normalize(_zip_name(member)), member.filename, member, ARCHIVED_LINKS if is_link else None)


def _tar_entries(archive: tarfile.TarFile) -> list[Entry]:
    entries: list[Entry] = []
    files: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        name, target = _tar_name(member.name), _tar_name(member.linkname)
        earlier = member.name.removeprefix("./")
        if member.isdir():
            continue
        if member.isreg():
            files[name] = member
        elif member.islnk() and target in files:  # a hard link is another name
            files[name] = files[target]
        else:
            entries.append(Entry(name, earlier, member, ARCHIVED_LINKS if member.issym() else SPECIAL))
            continue
        entries.append(Entry(name, earlier, files[name]))
    return entries


def _open_member(archive: zipfile.ZipFile | tarfile.TarFile, member: Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.open(cast(zipfile.ZipInfo, member))
    return cast(IO[bytes], archive.extractfile(cast(tarfile.TarInfo, member)))  # never None for a regular file


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return the name of a file in a zip.

    Without the flag for UTF-8, the encodings are tried in this order: Unicode Path (0x7075, APPNOTE 4.6.9), UTF-8 (macOS
    writes it without the flag), code page 437 (APPNOTE D.1), whose names are hardly ever valid UTF-8. Backslashes from
    Windows separate folders under the same conditions as in Info-ZIP's unzip.
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
    """Return the name of a file in a tar, decoded with surrogateescape: UTF-8, else Windows-1252, else Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        try:
            name = raw.decode("cp1252")
        except UnicodeDecodeError:
            name = raw.decode("latin-1")
    return _normalize(name)


def _normalize(name: str) -> str:
    """Return a name without empty parts and dots: ./a//b becomes a/b."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/" * name.startswith("/") + "/".join(parts)


def _is_below(name: str, folder: tuple[str, ...]) -> bool:
    """Return whether a name begins with the parts of a folder."""
    return [*map(compose, name.split("/")[: len(folder)])] == [*map(compose, folder)]
