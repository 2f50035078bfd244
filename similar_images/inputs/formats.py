"""Image formats. To read another format that Pillow decodes, add a line to `SUPPORTED`."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple


class Format(NamedTuple):
    name: str  # in Pillow
    suffixes: tuple[str, ...]
    signature: bytes  # a regular expression for the first bytes of a file


SUPPORTED = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff"),
    Format("PNG", (".png",), rb"\x89PNG\r\n\x1a\n"),
    Format("GIF", (".gif",), rb"GIF8[79]a"),
    Format("BMP", (".bmp",), rb"BM"),
    Format("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
    Format("WEBP", (".webp",), rb"RIFF.{4}WEBP"),
    Format("AVIF", (".avif",), rb".{4}ftypavi[fs]"),
)
FORMATS = tuple(each.name for each in SUPPORTED)  # Pillow opens nothing else
SUFFIXES = {suffix for each in SUPPORTED for suffix in each.suffixes}
# fmt: off
UNSUPPORTED_SUFFIXES = {  # of images, drawings and raw photographs; they are reported, not read
    ".3fr", ".arw", ".cr2", ".cr3", ".cur", ".dcm", ".dds", ".dng", ".emf", ".eps", ".erf", ".exr", ".fits",
    ".hdr", ".heic", ".heif", ".hif", ".icns", ".ico", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".kdc",
    ".mpo", ".mrw", ".nef", ".nrw", ".orf", ".pbm", ".pcx", ".pef", ".pgm", ".pnm", ".ppm", ".psd", ".raf",
    ".raw", ".rw2", ".sr2", ".srw", ".svg", ".tga", ".wmf", ".x3f", ".xbm", ".xcf", ".xpm",
}
# fmt: on
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


def detect_format(start: bytes) -> str | None:
    """Return the format whose signature the first bytes of a file match, or None."""
    return next((each.name for each in SUPPORTED if re.match(each.signature, start, re.DOTALL)), None)


def archive_suffix(name: str) -> str:
    """Return the suffix of an archive that a name ends in, or an empty string."""
    return next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), "")


def is_image(name: str) -> bool:
    """Return whether a name has a suffix of images, and is neither hidden nor in a hidden folder."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not any(map(is_hidden, path.parts))


def is_hidden(part: str) -> bool:
    """Return whether a file or folder is hidden, by one part of its path."""
    return part.startswith(".") and part != ".."
