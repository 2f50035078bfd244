"""Open images with Pillow, and correct how it reads some TIFFs and PNGs.

Pillow opens the first page of a TIFF even if it is a preview, swaps the bytes of some samples, and does not scale
transparent values. Tags are from TIFF 6.0.
"""

import io
import struct
import sys
import warnings
from contextlib import suppress
from typing import Any, BinaryIO

from PIL import Image, ImageFile, ImageOps, ImagePalette

from similar_images import forks
from similar_images.inputs.formats import FORMATS

NEW_SUBFILE_TYPE, SUBFILE_TYPE, BITS, PHOTOMETRIC, SAMPLES, PLANAR = 254, 255, 258, 262, 277, 284
COLOUR_MAP, SUB_IFDS, EXTRA_SAMPLES, SUBSAMPLING = 320, 330, 338, 530
PREVIEW_BIT, PREVIEW = 1, 2  # of NEW_SUBFILE_TYPE, of SUBFILE_TYPE
YCBCR = 6  # of PHOTOMETRIC
SEPARATE, PREMULTIPLIED = 2, 1  # of PLANAR, of EXTRA_SAMPLES
STRIP_TAGS = {273, 279, 324, 325}  # offsets and sizes of strips and tiles
PLANE_TAGS = (256, 257, 259, 266, 274, 278, 317, 322, 323, *STRIP_TAGS)  # size, compression, orientation, predictor
LONG = 4  # type of a tag: 32 bits
MAX_PAGES, MAX_SUB_IFDS = 1000, 8  # of a TIFF, searched for the full image
GREY_SCALES = {"L;2": 85, "L;4": 17}  # factors by which Pillow multiplies grey of 2 and 4 bits
SWAPPED = "B" if sys.byteorder == "little" else "L"  # Pillow's name of the other byte order

_opening = forks.new_lock()  # the filters of warnings belong to the whole process


def open_header(file: BinaryIO) -> Image.Image:
    """Return the image in a file before decoding, without Pillow's warning about its size: `Limits` checks the size."""
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def full_page(file: BinaryIO) -> Image.Image:
    """Return the image in a file before decoding; of a TIFF, the first page or SubIFD at full resolution.

    If there are only previews, or Pillow cannot read the full image, the first page is returned.
    """
    file.seek(0)
    image = open_header(file)
    tags = getattr(image, "tag_v2", None)
    if tags is None or not _is_preview(tags):
        return image
    offsets = _integers(tags.get(SUB_IFDS, ()))
    with suppress(Exception):  # decoders raise any type; EOFError after the last page
        for page in range(1, MAX_PAGES):
            image.seek(page)
            if not _is_preview(tags):
                return image
    for offset in offsets[:MAX_SUB_IFDS]:
        with suppress(Exception):
            part = open_header(_with_first_page(file, offset))
            if not _is_preview(part.tag_v2):  # type: ignore[attr-defined]
                return part
    image.seek(0)
    return image


def upright(image: Image.Image) -> Image.Image:
    """Return an image, decoded and rotated according to its EXIF."""
    image.load()
    with suppress(Exception):  # damaged EXIF does not affect the pixels
        ImageOps.exif_transpose(image, in_place=True)
    return image


def repair(image: Any) -> None:
    """Correct how Pillow will decode an image: byte order, planes, subsampling, palette, transparent value."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        scale = GREY_SCALES.get(raw_mode(image), 1)
        if scale > 1 and isinstance(clear := image.info.get("transparency"), int):
            image.info["transparency"] = clear * scale
        return
    raw, codec = raw_mode(image), first([tile[0] for tile in getattr(image, "tile", [])])
    has_planes = codec == "raw" and tags.get(PLANAR) == SEPARATE
    if codec == "libtiff" and image.mode in ("I", "F") and raw.endswith(("S", "F")):
        _use_libtiff(image, raw.rstrip("BSF") + "N" + raw[-1])  # libtiff returns the byte order of this machine
    elif has_planes and (wide := wide_bands(image)):
        _use_libtiff(image, f"{wide};16N")
    elif has_planes and first(tags.get(EXTRA_SAMPLES)) == PREMULTIPLIED:
        _use_libtiff(image, "RGBa")
    elif codec == "raw" and tags.get(PHOTOMETRIC) == YCBCR and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
        image._mode = "RGB"
        _use_libtiff(image, "RGBX")
    if image.mode in ("P", "PA") and max(colours := tags[COLOUR_MAP]) < 256:  # 8 bits, not the 16 of the standard
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def wide_bands(image: Image.Image) -> str | None:
    """Return the bands of 16-bit colours, as Pillow's raw mode without the byte order; None for other samples."""
    tags, raw = getattr(image, "tag_v2", None), raw_mode(image)
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        return None
    if ";16" in raw:
        return raw.split(";")[0]
    if tags is not None and first(tags.get(BITS)) == 16:  # in planes; Pillow names one of them
        return "RGBa" if first(tags.get(EXTRA_SAMPLES)) == PREMULTIPLIED else image.mode
    return None


def open_bytes_of_16(file: BinaryIO, is_low: bool) -> Image.Image:
    """Return the decoded high or low bytes of 16-bit colours; Pillow alone decodes the high ones."""
    image: Any = full_page(file)
    bands = (wide_bands(image) or "").replace("a", "A")
    if image.format == "PNG":  # big-endian
        raw = "RGBA" if bands == "LA" else f"{bands};16{'L' if is_low else 'B'}"
        image.tile = [tile._replace(args=raw) for tile in image.tile]
    else:  # in the byte order of this machine; the other order swaps the low and the high byte
        _use_libtiff(image, f"{bands};16{SWAPPED if is_low else 'N'}")
    return upright(image)


def open_planes(file: BinaryIO, count: int) -> list[Image.Image]:
    """Return `count` decoded planes of 16-bit colours of a TIFF, each as a grey image."""
    tags = full_page(file).tag_v2  # type: ignore[attr-defined]
    return [upright(_open_plane(file, tags, number)).copy() for number in range(count)]  # copies release their file


def raw_mode(image: Image.Image) -> str:
    """Return Pillow's raw mode, its name for the stored bytes; an empty string if unknown."""
    arguments = first([tile[3] for tile in getattr(image, "tile", [])])
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def first(values: Any) -> Any:
    """Return the first entry of a sequence (None if it is empty), or a scalar unchanged."""
    return next(iter(values), None) if isinstance(values, (tuple, list)) else values


def _use_libtiff(image: Any, raw: str) -> None:
    image.use_load_libtiff = True
    image.tile = [ImageFile._Tile("libtiff", (0, 0, *image._tile_size), 0, (raw, False, image.tag_v2.offset))]


def _open_plane(file: BinaryIO, tags: Any, number: int) -> Image.Image:
    entries = {tag: _integers(tags[tag]) for tag in PLANE_TAGS if tag in tags}
    for tag in STRIP_TAGS & entries.keys():
        count = len(entries[tag]) // tags[SAMPLES]
        entries[tag] = entries[tag][number * count : (number + 1) * count]
    entries |= {BITS: [16], PHOTOMETRIC: [1], SAMPLES: [1]}
    file.seek(0)
    return open_header(_with_only_page(file.read(), entries))


def _with_only_page(content: bytes, entries: dict[int, list[int]]) -> BinaryIO:
    """Return a TIFF in memory with one page of these tags, which refer to the same content."""
    order, start = ("<" if content[:1] == b"I" else ">"), len(content)
    offset, directory, values = start + 2 + 12 * len(entries) + 4, struct.pack(f"{order}H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        value = packed if len(numbers) == 1 else struct.pack(f"{order}I", offset + len(values))
        directory += struct.pack(f"{order}HHI", tag, LONG, len(numbers)) + value
        values += packed if len(numbers) > 1 else b""
    header = content[:2] + struct.pack(f"{order}HI", 42, start)
    return io.BytesIO(b"".join((header, content[len(header) :], directory, bytes(4), values)))


def _with_first_page(file: BinaryIO, offset: int) -> BinaryIO:
    """Return a copy of a TIFF in memory whose first page is at an offset."""
    file.seek(0)
    content = bytearray(file.read())
    struct.pack_into("<I" if content[:1] == b"I" else ">I", content, 4, offset)
    return io.BytesIO(content)


def _integers(value: Any) -> list[int]:
    return [int(number) for number in (value if isinstance(value, tuple) else (value,))]


def _is_preview(tags: Any) -> bool:
    return bool(tags.get(NEW_SUBFILE_TYPE, 0) & PREVIEW_BIT) or tags.get(SUBFILE_TYPE) == PREVIEW
