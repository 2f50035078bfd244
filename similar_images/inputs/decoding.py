"""Decode a file with Pillow to 8-bit sRGB, and correct how Pillow reads some TIFFs and PNGs.

Pillow opens the first page of a TIFF even if it is a preview, swaps the bytes of some samples, and does not scale
transparent values. It reduces 16-bit colours to their high bytes, and reads signed 8-bit samples as unsigned. The missing
information is in the tags of a TIFF (TIFF 6.0, and tag 42113 of GDAL).
"""

import io
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, ImagePalette, JpegImagePlugin, UnidentifiedImageError

from similar_images import forks
from similar_images.inputs.formats import PILLOW_FORMATS, detect_format, find_extra
from similar_images.inputs.jpeg_xl import JpegXlImage
from similar_images.inputs.raw import RawImage, is_raw_tiff

# Tags of a TIFF
NEW_SUBFILE_TYPE, SUBFILE_TYPE, BITS, PHOTOMETRIC, SAMPLES, PLANAR = 254, 255, 258, 262, 277, 284
MAX_SAMPLE, COLOUR_MAP, SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING = 281, 320, 330, 338, 339, 530
NODATA = 42113
STRIP_TAGS = {273, 279, 324, 325}  # offsets and sizes of strips and tiles
PLANE_TAGS = (256, 257, 259, 266, 274, 278, 317, 322, 323, *STRIP_TAGS)  # size, compression, orientation, predictor
LONG = 4  # type of a tag: 32 bits
# Values of these tags
PREVIEW_BIT, PREVIEW = 1, 2  # of NEW_SUBFILE_TYPE, of SUBFILE_TYPE
WHITE_IS_ZERO, YCBCR = 0, 6  # of PHOTOMETRIC
SEPARATE, PREMULTIPLIED = 2, 1  # of PLANAR, of EXTRA_SAMPLES
UNSIGNED, SIGNED = 1, 2  # of SAMPLE_FORMAT
MAX_PAGES, MAX_SUB_IFDS = 1000, 8  # of a TIFF, searched for the full image

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners store in 16; the first depth that fits all values is used
PADDED_DEPTHS = (8, 16, 32)  # stored bits that may hold samples of fewer bits
MAX_16 = 2**16 - 1
BLOCK_PIXELS = 2**20  # computed at once
GREY_SCALES = {"L;2": 85, "L;4": 17}  # factors by which Pillow multiplies grey of 2 and 4 bits
SWAPPED = "B" if sys.byteorder == "little" else "L"  # Pillow's name of the other byte order

SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # Pillow's mode by the colour space of a profile (ICC.1, 7.2)
GREY_MODES = ("1", "L", "LA", "La")
MAX_DIFFERENCE = 2  # levels of 255; a profile that changes no colour by more is sRGB, whatever its name
GRID = 17  # colours along each axis, compared for this
PROFILES_KEPT = 16
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
# NOCACHE: threads share the transforms, and the cache of a transform is not safe for threads.
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE
PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)  # for a damaged profile

SIGNATURE_BYTES = 64  # detect a format

Corner = tuple[int, int]  # left and top of a block, in pixels

_opening = forks.new_lock()  # the filters of warnings belong to the whole process


class SampleFormat(NamedTuple):
    """The stored samples of a file, beyond the mode of Pillow's image."""

    bits: int | None = None  # of a sample, if known
    is_signed: bool = False
    is_inverted: bool = False  # 0 is white
    max_sample: float | None = None  # the value of white, if the file states it
    nodata: float | None = None  # the value of pixels without data
    has_planes: bool = False  # each band is stored separately
    wide: str | None = None  # bands of 16-bit colours, see _wide_bands


class MissingDecoder(ValueError):
    """A format whose decoder is not installed; the message names the extra."""


def open_header(file: BinaryIO) -> Image.Image:
    """Return the image in a file before decoding, without Pillow's warning about its size: `Limits` checks the size."""
    start = file.read(SIGNATURE_BYTES)
    form = detect_format(start)
    if form == "TIFF" and is_raw_tiff(file):
        form = "RAW"
    file.seek(0)
    if form in OPENERS:
        if extra := find_extra(form):
            raise MissingDecoder(f"its format ({form}) needs a decoder: pip install 'similar-images[{extra}]'")
        try:
            return OPENERS[form](file)
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open
            raise UnidentifiedImageError(f"damaged header: {error}") from error
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=PILLOW_FORMATS)


def _open_heif(file: BinaryIO) -> Image.Image:
    from pi_heif import options
    from pi_heif.as_plugin import HeifImageFile

    options.DECODE_THREADS = 1  # the processes share the cores
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return cast(Image.Image, HeifImageFile(file))


OPENERS: dict[str, Callable[[BinaryIO], Image.Image]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,  # Image.open refuses large ones, which can be decoded at a smaller scale
    "HEIF": _open_heif,
    "JXL": JpegXlImage,
    "RAW": RawImage,
}


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


def decode(image: Image.Image, file: BinaryIO | None = None) -> Image.Image:
    """Return the image of `full_page`, or any image of Pillow: upright, with 8 bits a band, in sRGB.

    Without its `file`, the image stays as it is, and of 16-bit colours only Pillow's high bytes are known.
    """
    stored = _sample_format(image)
    _repair(image)
    image = _upright(image if file else image.copy())
    profile = None if image.mode in ("F", "I") else image.info.get("icc_profile")  # stretched ranges have no profile
    return to_srgb(_to_8_bits(image, stored, file), profile)


def row_blocks(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the left, top, right and bottom of blocks of rows; computing block by block saves memory."""
    rows = max(1, BLOCK_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _is_preview(tags: Any) -> bool:
    return bool(tags.get(NEW_SUBFILE_TYPE, 0) & PREVIEW_BIT) or tags.get(SUBFILE_TYPE) == PREVIEW


def _with_first_page(file: BinaryIO, offset: int) -> BinaryIO:
    """Return a copy of a TIFF in memory whose first page is at an offset."""
    file.seek(0)
    content = bytearray(file.read())
    struct.pack_into("<I" if content[:1] == b"I" else ">I", content, 4, offset)
    return io.BytesIO(content)


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


def _integers(value: Any) -> list[int]:
    return [int(number) for number in (value if isinstance(value, tuple) else (value,))]


def _first(values: Any) -> Any:
    """Return the first entry of a sequence (None if it is empty), or a scalar unchanged."""
    return next(iter(values), None) if isinstance(values, (tuple, list)) else values


def _sample_format(image: Image.Image) -> SampleFormat:
    """Return the sample format of an image before decoding."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return SampleFormat(wide=_wide_bands(image))
    return SampleFormat(
        _first(tags.get(BITS, 1)),
        _first(tags.get(SAMPLE_FORMAT, UNSIGNED)) == SIGNED,
        tags.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO,
        _number(_first(tags.get(MAX_SAMPLE))),
        _number(tags.get(NODATA)),
        tags.get(PLANAR) == SEPARATE,
        _wide_bands(image),
    )


def _repair(image: Any) -> None:
    """Correct how Pillow will decode an image: byte order, planes, subsampling, palette, transparent value."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        scale = GREY_SCALES.get(_raw_mode(image), 1)
        if scale > 1 and isinstance(clear := image.info.get("transparency"), int):
            image.info["transparency"] = clear * scale
        return
    raw, codec = _raw_mode(image), _first([tile[0] for tile in getattr(image, "tile", [])])
    has_planes = codec == "raw" and tags.get(PLANAR) == SEPARATE
    if codec == "libtiff" and image.mode in ("I", "F") and raw.endswith(("S", "F")):
        _use_libtiff(image, raw.rstrip("BSF") + "N" + raw[-1])  # libtiff returns the byte order of this machine
    elif has_planes and (wide := _wide_bands(image)):
        _use_libtiff(image, f"{wide};16N")
    elif has_planes and _first(tags.get(EXTRA_SAMPLES)) == PREMULTIPLIED:
        _use_libtiff(image, "RGBa")
    elif codec == "raw" and tags.get(PHOTOMETRIC) == YCBCR and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
        image._mode = "RGB"
        _use_libtiff(image, "RGBX")
    if image.mode in ("P", "PA") and max(colours := tags[COLOUR_MAP]) < 256:  # 8 bits, not the 16 of the standard
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def _use_libtiff(image: Any, raw: str) -> None:
    image.use_load_libtiff = True
    image.tile = [ImageFile._Tile("libtiff", (0, 0, *image._tile_size), 0, (raw, False, image.tag_v2.offset))]


def _wide_bands(image: Image.Image) -> str | None:
    """Return the bands of 16-bit colours, as Pillow's raw mode without the byte order; None for other samples."""
    tags, raw = getattr(image, "tag_v2", None), _raw_mode(image)
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        return None
    if ";16" in raw:
        return raw.split(";")[0]
    if tags is not None and _first(tags.get(BITS)) == 16:  # in planes; Pillow names one of them
        return "RGBa" if _first(tags.get(EXTRA_SAMPLES)) == PREMULTIPLIED else image.mode
    return None


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's raw mode, its name for the stored bytes; an empty string if unknown."""
    arguments = _first([tile[3] for tile in getattr(image, "tile", [])])
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def _upright(image: Image.Image) -> Image.Image:
    """Return an image, decoded and rotated according to its EXIF."""
    image.load()
    with suppress(Exception):  # damaged EXIF does not affect the pixels
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _number(value: Any) -> float | None:
    with suppress(TypeError, ValueError):
        return float(value.strip(" \0") if isinstance(value, str) else value)
    return None


def _to_8_bits(image: Image.Image, stored: SampleFormat, file: BinaryIO | None = None) -> Image.Image:
    """Return a decoded image with 8 bits a band. Without its `file`, 16-bit colours keep Pillow's high bytes."""
    if image.mode == "F" or image.mode.startswith("I") or (image.mode == "L" and stored.is_signed):
        return _scale_grey(image, stored)
    if stored.wide and file:
        return _scale_colours(image, stored, file)
    return image


def _scale_grey(image: Image.Image, stored: SampleFormat) -> Image.Image:
    """Scale 16 bits to 8; stretch the range of other values (float, signed, 32 bits) to 8 bits.

    Missing values (NaN, no data) become black, infinite values black or white. Neither counts for the range.
    """
    low, high = np.inf, -np.inf
    for _, values, missing in _grey_blocks(image, stored):
        known = values[~missing & np.isfinite(values)]
        low, high = min(low, known.min(initial=np.inf)), max(high, known.max(initial=-np.inf))
    if image.mode != "F" and low >= 0 and high <= MAX_16:
        low, high = 0, _white(high, stored)
    clear = image.info.get("transparency") if image.mode.startswith("I;16") else None
    grey = Image.new("L" if clear is None else "LA", image.size)
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    for corner, values, missing in _grey_blocks(image, stored):
        shares = (np.clip(values, low, high) - low) / (high - low) if high > low else np.zeros_like(values)
        levels = 255 * (1 - shares if stored.is_inverted and image.mode != "L" else shares)
        levels[missing] = 0
        block = Image.fromarray(levels.round().astype(np.uint8))
        if clear is not None:
            block.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        grey.paste(block, corner)
    return grey


def _grey_blocks(image: Image.Image, stored: SampleFormat) -> Iterator[tuple[Corner, np.ndarray, np.ndarray]]:
    """Yield the corner, the values, float64 (h, w), and the mask of missing values (h, w), of each block."""
    for box in row_blocks(image):
        values = np.asarray(image.crop(box))
        if image.mode == "L":
            values = values.view(np.int8)
        elif image.mode == "I" and stored.bits == 32 and not stored.is_signed:
            values = values.view(np.uint32)
        is_missing = np.isnan(values)
        if stored.nodata is not None:  # a text, which rounds floats
            is_missing |= np.isclose(values, stored.nodata, rtol=1e-6 if image.mode == "F" else 0, atol=0)
        yield box[:2], values.astype(np.float64), is_missing


def _scale_colours(image: Image.Image, stored: SampleFormat, file: BinaryIO) -> Image.Image:
    """Scale 16-bit colours if Pillow's high bytes are wrong: samples of fewer than 16 bits, or a transparent value."""
    count, clear = (4 if image.mode == "CMYK" else 3), image.info.get("transparency")
    bands = slice(3, 4) if stored.wide == "RGBa" else slice(count)  # Pillow has divided premultiplied colours by alpha
    brightest = np.array(image.getextrema())[bands, 1].max()
    if clear is None and stored.max_sample is None and brightest >= 2 ** (DEPTHS[-2] - 8):
        return image
    wide = _open_wide(image, stored, file)
    highest = np.max([values.max(axis=(0, 1)) for _, values in _colour_blocks(wide)], axis=0)
    white = alpha_white = _white(highest.max(), stored)
    if white == MAX_16:  # perhaps only of the alpha
        white = _white(highest[:count].max(), stored)
    if clear is None and white == MAX_16:
        return image
    table, alpha_table = _level_table(white), _level_table(alpha_white)
    result = Image.new("RGBA" if clear is not None else image.mode, image.size)
    for corner, values in _colour_blocks(wide):
        colours, alpha = values[..., :count], alpha_table[values[..., count:]]
        if stored.wide == "RGBa":
            opacity = np.maximum(values[..., count:], 1)
            levels = np.minimum(255 * (colours / opacity), 255).round().astype(np.uint8)
        else:
            levels = table[colours]
        if clear is not None:
            alpha = np.where((values != clear).any(axis=-1, keepdims=True), 255, 0).astype(np.uint8)
        result.paste(Image.fromarray(np.concatenate([levels, alpha], axis=-1), result.mode), corner)
    return result


def _colour_blocks(wide: list[Image.Image]) -> Iterator[tuple[Corner, np.ndarray]]:
    """Yield the corner and the values, uint16 (h, w, bands), of each block of the images of `_open_wide`."""
    for box in row_blocks(wide[0]):
        parts = [np.asarray(image.crop(box)) for image in wide]
        if parts[0].ndim == 2:  # planes
            yield box[:2], np.stack(parts, axis=-1).astype(np.uint16)
        else:
            yield box[:2], parts[0].astype(np.uint16) << 8 | parts[1]


def _open_wide(image: Image.Image, stored: SampleFormat, file: BinaryIO) -> list[Image.Image]:
    """Return 16-bit colours, not divided by alpha: an image of the high and one of the low bytes, or all planes."""
    if stored.has_planes:
        return _open_planes(file, len(image.getbands()))
    high = _open_bytes_of_16(file, is_low=False) if stored.wide == "RGBa" else image
    low = _open_bytes_of_16(file, is_low=True)
    if stored.wide == "LA":  # two bytes of grey, two of alpha
        _, grey, _, alpha = low.split()
        low = Image.merge("RGBA", (grey, grey, grey, alpha))
    return [high, low]


def _open_bytes_of_16(file: BinaryIO, is_low: bool) -> Image.Image:
    """Return the decoded high or low bytes of 16-bit colours; Pillow alone decodes the high ones."""
    image: Any = full_page(file)
    bands = (_wide_bands(image) or "").replace("a", "A")
    if image.format == "PNG":  # big-endian
        raw = "RGBA" if bands == "LA" else f"{bands};16{'L' if is_low else 'B'}"
        image.tile = [tile._replace(args=raw) for tile in image.tile]
    else:  # in the byte order of this machine; the other order swaps the low and the high byte
        _use_libtiff(image, f"{bands};16{SWAPPED if is_low else 'N'}")
    return _upright(image)


def _open_planes(file: BinaryIO, count: int) -> list[Image.Image]:
    """Return `count` decoded planes of 16-bit colours of a TIFF, each as a grey image."""
    tags = full_page(file).tag_v2  # type: ignore[attr-defined]
    return [_upright(_open_plane(file, tags, number)).copy() for number in range(count)]  # copies release their file


def _open_plane(file: BinaryIO, tags: Any, number: int) -> Image.Image:
    entries = {tag: _integers(tags[tag]) for tag in PLANE_TAGS if tag in tags}
    for tag in STRIP_TAGS & entries.keys():
        count = len(entries[tag]) // tags[SAMPLES]
        entries[tag] = entries[tag][number * count : (number + 1) * count]
    entries |= {BITS: [16], PHOTOMETRIC: [1], SAMPLES: [1]}
    file.seek(0)
    return open_header(_with_only_page(file.read(), entries))


def _white(highest: float, stored: SampleFormat) -> float:
    """Return the value of white of samples stored in 16 bits."""
    if stored.max_sample and stored.max_sample >= highest:
        return stored.max_sample
    depths = DEPTHS if stored.bits in (None, *PADDED_DEPTHS) else (stored.bits,)
    return next((2**depth - 1 for depth in depths if highest < 2**depth), MAX_16)


def _level_table(white: float) -> np.ndarray:
    """Return the level, uint8 (65536,), of each 16-bit value. Full 16 bits take the high byte, as Pillow does."""
    values = np.arange(MAX_16 + 1)
    return (values >> 8 if white == MAX_16 else np.minimum(255 * (values / white), 255).round()).astype(np.uint8)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image of 8 bits in sRGB, according to the ICC profile of its file.

    The image is returned unchanged if there is no profile, if the profile is sRGB, damaged, or for another kind
    of image, such as a CMYK profile in an RGB file.
    """
    space = SPACES.get(profile[16:20]) if profile else None
    if profile is None or space is None or not _fits(image.mode, space):
        return image
    if space == "L":
        return _to_srgb_grey(image, profile)
    if (transform := _transform(profile, space)) is None:
        return image
    if space == "CMYK":
        return ImageCms.applyTransform(image, transform) or image
    colours = image.convert("RGBA" if image.has_transparency_data else "RGB")  # a copy, changed in place
    ImageCms.applyTransform(colours, _transform(profile, colours.mode) or transform, inPlace=True)
    return colours


def _to_srgb_grey(image: Image.Image, profile: bytes) -> Image.Image:
    if (table := _grey_table(profile)) is None:
        return image
    grey = image.convert("L").point(table)
    if image.has_transparency_data:
        grey.putalpha(image.convert("RGBA").getchannel("A"))
    return grey


def _fits(mode: str, space: str) -> bool:
    """Return whether a profile for a colour space is valid for an image of this mode."""
    if space == "RGB":  # also grey images: many programs give every photograph the same profile
        return mode not in ("CMYK", "LAB")
    return mode in GREY_MODES if space == "L" else mode == space


@lru_cache(PROFILES_KEPT)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform to sRGB for images of this mode; None if the profile is damaged or sRGB."""
    to_mode = "RGBA" if mode == "RGBA" else "RGB"
    try:
        transform = ImageCms.buildTransform(_opened(profile), _srgb(), mode, to_mode, INTENT, FLAGS)
        if mode == "RGB":
            axis = np.linspace(0, 255, GRID).round().astype(np.uint8)
            colours = Image.fromarray(np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3))
            if _is_near(colours, ImageCms.applyTransform(colours, transform) or colours):
                return None
    except PROFILE_ERRORS:
        return None
    return transform


@lru_cache(PROFILES_KEPT)
def _grey_table(profile: bytes) -> list[int] | None:
    """Return the level of sRGB for each level of grey; None if the profile is damaged or all levels stay."""
    flags = FLAGS | ImageCms.Flags.NOOPTIMIZE  # else dark levels are wrong by up to 10
    levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    try:
        transform = ImageCms.buildTransform(_opened(profile), _srgb(), "L", "RGB", INTENT, flags)
        shown = (ImageCms.applyTransform(levels, transform) or levels).convert("L")
    except PROFILE_ERRORS:
        return None
    return None if _is_near(levels, shown) else np.asarray(shown)[0].tolist()


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_near(one: Image.Image, other: Image.Image) -> bool:
    return bool(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= MAX_DIFFERENCE)
