"""Image formats. To read another format that Pillow decodes, add a line to `SUPPORTED`."""

import re
from importlib.util import find_spec
from typing import NamedTuple

DRAFT_MARGIN = 4  # times the side of the network; large images are decoded at the smallest scale that keeps this size


class Format(NamedTuple):
    name: str  # in Pillow
    suffixes: tuple[str, ...]
    signature: bytes  # a regular expression for the first bytes of a file
    module: str = ""  # that decodes it; "": Pillow itself
    extra: str = ""  # of this package, that installs the module; "": it is always installed


# fmt: off
RAW_SUFFIXES = (  # of the cameras that LibRaw knows
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mef", ".mos",
    ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)
# fmt: on
SUPPORTED = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff"),  # of the JPEGs in an MPO, the first
    Format("PNG", (".png",), rb"\x89PNG\r\n\x1a\n"),
    Format("GIF", (".gif",), rb"GIF8[79]a"),
    Format("BMP", (".bmp",), rb"BM"),
    Format("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
    Format("WEBP", (".webp",), rb"RIFF.{4}WEBP"),
    Format("AVIF", (".avif",), rb".{4}ftyp(?:avi[fs]|m[is]f1.*avi[fs])"),
    Format("JPEG2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    Format("HEIF", (".heic", ".heif", ".hif"), rb".{4}ftyp(?:he[iv][cxms]|m[is]f1)", "pi_heif"),
    Format("JXL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "pillow_jxl", "jxl"),
    Format(
        "RAW",
        RAW_SUFFIXES,
        rb"FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|.{4}ftypcrx|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR",
        "rawpy",
        "raw",
    ),  # most others are TIFFs
)
PILLOW_FORMATS = tuple(each.name for each in SUPPORTED if not each.module)  # Pillow opens nothing else
FORMATS = tuple(each.name for each in SUPPORTED)


def find_extra(name: str) -> str | None:
    """Return the extra that must be installed to read a format; None if it can be read."""
    known = next(each for each in SUPPORTED if each.name == name)
    return known.extra if known.module and find_spec(known.module) is None else None


SUFFIXES = {suffix for each in SUPPORTED if find_extra(each.name) is None for suffix in each.suffixes}
EXTRA_OF_SUFFIX = {suffix: each.extra for each in SUPPORTED for suffix in each.suffixes if suffix not in SUFFIXES}
# fmt: off
UNSUPPORTED_SUFFIXES = {  # of images and drawings; they are reported, not read
    ".cur", ".dcm", ".dds", ".emf", ".eps", ".exr", ".fits", ".hdr", ".icns", ".ico", ".jxr", ".pbm", ".pcx", ".pgm", ".pnm",
    ".ppm", ".psd", ".svg", ".tga", ".wmf", ".xbm", ".xcf", ".xpm",
}
# fmt: on
HIDDEN_PART = re.compile(r"(?:^|/)\.(?!\.?(?:/|$))")  # of a path; neither . nor ..
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


def detect_format(start: bytes) -> str | None:
    """Return the format whose signature the first bytes of a file match, or None."""
    return next((each.name for each in SUPPORTED if re.match(each.signature, start, re.DOTALL)), None)


def archive_suffix(name: str) -> str:
    """Return the suffix of an archive that a name ends in, or an empty string."""
    return next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), "")


def is_image(name: str) -> bool:
    """Return whether a name has a suffix of images, and is neither hidden nor in a hidden folder."""
    stem, _, suffix = name.rpartition(".")
    is_named = bool(stem) and not stem.endswith("/")
    return is_named and f".{suffix.lower()}" in SUFFIXES and not ("." in stem and HIDDEN_PART.search(name))


def is_hidden(part: str) -> bool:
    """Return whether a file or folder is hidden, by one part of its path."""
    return part.startswith(".") and part != ".."
