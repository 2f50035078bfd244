"""Open the image of a file; of a TIFF, which has several pages, the full image."""

import io
import struct
import warnings
from contextlib import suppress
from typing import Any, BinaryIO

from PIL import Image, ImageOps

from similar_images import forks

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")  # nothing else is opened
# Tags of a TIFF (TIFF 6.0), and the values of the first two for a preview: a bit, and a number
NEW_SUBFILE_TYPE, SUBFILE_TYPE, BITS, PHOTOMETRIC, SAMPLES, SUB_IFDS = 254, 255, 258, 262, 277, 330
PREVIEW_BIT, PREVIEW = 1, 2
PARTS = {273, 279, 324, 325}  # where strips and tiles are, and their bytes
KEPT_TAGS = (256, 257, 259, 266, 274, 278, 317, 322, 323, *PARTS)  # size, compression, orientation, predictor
MAX_PAGES, MAX_SUB_IFDS = 1000, 8  # of a TIFF, searched for the full image

_opening = forks.new_lock()  # the filters of warnings belong to the whole process


def full_page(file: BinaryIO) -> Image.Image:
    """Return the image in a file, not decoded yet; of a TIFF the first page that is not a preview.

    A page may also be a part of another one (SubIFD). If there are only previews, or Pillow cannot read the full image,
    the first page is returned.
    """
    file.seek(0)
    image = open_header(file)
    tags = getattr(image, "tag_v2", None)
    if tags is None or not _is_preview(tags):
        return image
    parts = tags.get(SUB_IFDS, ())
    with suppress(Exception):  # as in open_image, and EOFError after the last page
        for page in range(1, MAX_PAGES):
            image.seek(page)
            if not _is_preview(tags):
                return image
    for offset in _integers(parts)[:MAX_SUB_IFDS]:
        with suppress(Exception):
            part = open_header(_with_first_page(file, offset))
            if not _is_preview(part.tag_v2):  # type: ignore[attr-defined]
                return part
    image.seek(0)
    return image


def open_header(file: BinaryIO) -> Image.Image:
    """Return the image in a file, not decoded yet, without Pillow's warning about its size, which is checked here."""
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def upright(image: Image.Image) -> Image.Image:
    """Return an image, decoded and rotated as its EXIF says."""
    image.load()
    with suppress(Exception):  # damaged EXIF does not affect the pixels
        ImageOps.exif_transpose(image, in_place=True)
    return image


def plane(file: BinaryIO, tags: Any, number: int) -> Image.Image:
    """Return one plane of 16-bit colours of a TIFF, whose planes are separate, as a grey image that is not decoded yet."""
    entries = {tag: _integers(tags[tag]) for tag in KEPT_TAGS if tag in tags}
    for tag in PARTS & entries.keys():
        count = len(entries[tag]) // tags[SAMPLES]
        entries[tag] = entries[tag][number * count : (number + 1) * count]
    entries |= {BITS: [16], PHOTOMETRIC: [1], SAMPLES: [1]}
    file.seek(0)
    return open_header(_with_page(file.read(), entries))


def _with_page(content: bytes, entries: dict[int, list[int]]) -> BinaryIO:
    """Return a TIFF in memory whose only page has these tags; they refer to the same content."""
    order, start = ("<" if content[:1] == b"I" else ">"), len(content)
    at, directory, values = start + 2 + 12 * len(entries) + 4, struct.pack(f"{order}H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        where = packed if len(numbers) == 1 else struct.pack(f"{order}I", at + len(values))
        directory += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + where  # 4: 32 bits
        values += packed if len(numbers) > 1 else b""
    header = content[:2] + struct.pack(f"{order}HI", 42, start)
    return io.BytesIO(b"".join((header, content[len(header) :], directory, bytes(4), values)))


def _integers(value: Any) -> list[int]:
    return [int(one) for one in (value if isinstance(value, tuple) else (value,))]


def _is_preview(tags: Any) -> bool:
    return bool(tags.get(NEW_SUBFILE_TYPE, 0) & PREVIEW_BIT) or tags.get(SUBFILE_TYPE) == PREVIEW


def _with_first_page(file: BinaryIO, offset: int) -> BinaryIO:
    """Return a copy of a TIFF in memory whose first page is at an offset."""
    file.seek(0)
    content = bytearray(file.read())
    struct.pack_into("<I" if content[:1] == b"I" else ">I", content, 4, offset)
    return io.BytesIO(content)
