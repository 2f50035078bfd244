"""Names in zip and tar archives, as unpacking gives them, whichever program wrote the archive."""

import struct
import zipfile
import zlib

from similar_images.inputs.names import compose

UTF8_FLAG = 0x800  # bit 11 of a zip's general purpose flags
UNICODE_PATH = 0x7075  # an extra field of a zip
WINDOWS = (0, 10, 14)  # systems that wrote a zip: FAT, NTFS, VFAT


def zip_name(member: zipfile.ZipInfo) -> str:
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


def tar_name(name: str) -> str:
    """Return the name of a file in a tar, decoded with surrogateescape: UTF-8, else Windows-1252, else Latin-1."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        try:
            name = raw.decode("cp1252")
        except UnicodeDecodeError:
            name = raw.decode("latin-1")
    return normalize(name)


def normalize(name: str) -> str:
    """Return a name without empty parts and dots: ./a//b becomes a/b."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/" * name.startswith("/") + "/".join(parts)


def is_below(name: str, folder: tuple[str, ...]) -> bool:
    """Return whether a name begins with the parts of a folder."""
    return [*map(compose, name.split("/")[: len(folder)])] == [*map(compose, folder)]
