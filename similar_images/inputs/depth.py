"""Samples of more than 8 bits, or of other kinds than Pillow's modes tell, become 8 bits.

Pillow converts 16-bit colours to 8 bits by their high byte, and gives signed 8-bit samples as unsigned ones. What it
does not tell is in the tags of a TIFF (TIFF 6.0, and tag 42113 of GDAL).
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImagePalette

from similar_images.inputs.pages import BITS, PHOTOMETRIC, full_page, plane, upright

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners store in 16; the first in which all values fit is taken
WHOLE, FULL = (8, 16, 32), 2**16 - 1  # bits that may hold fewer; the largest value of 16 bits
BLOCK = 2**20  # pixels that are computed at once
SWAPPED = "B" if sys.byteorder == "little" else "L"  # Pillow's name for the byte order that this machine has not
GREY_SCALES = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies grey of 2 and 4 bits, but not the transparent value
# Tags of a TIFF
MAX_SAMPLE, PLANAR, COLOUR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, NODATA = 281, 284, 320, 338, 339, 530, 42113
WHITE_IS_ZERO, YCBCR = 0, 6  # photometric interpretations
SEPARATE, PREMULTIPLIED, UNSIGNED, SIGNED = 2, 1, 1, 2


class Stored(NamedTuple):
    """How a file stores its samples, beyond the mode of the image that Pillow makes of it."""

    bits: int | None = None  # of a sample, if known
    is_signed: bool = False
    is_inverted: bool = False  # 0 is white
    max_sample: float | None = None  # the value of white, if the file states it
    nodata: float | None = None  # the value of pixels without data
    has_planes: bool = False  # each band is stored by itself
    wide: str | None = None  # the bands, if their 16 bits become 8 in Pillow: Pillow's raw mode without the byte order


def stored_as(image: Image.Image) -> Stored:
    """Return how the file of an image, which is not decoded yet, stores its samples."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return Stored(wide=_wide(image))
    kind = _first(tags.get(SAMPLE_FORMAT, UNSIGNED))
    return Stored(
        _first(tags.get(BITS, 1)),
        kind == SIGNED,
        tags.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO,
        _number(_first(tags.get(MAX_SAMPLE))),
        _number(tags.get(NODATA)),
        tags.get(PLANAR) == SEPARATE,
        _wide(image),
    )


def repair(image: Any) -> None:
    """Correct how Pillow will decode some files: byte order, planes, subsampling, palettes, transparent values."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        scale = GREY_SCALES.get(_raw_mode(image), 1)
        if scale > 1 and isinstance(clear := image.info.get("transparency"), int):
            image.info["transparency"] = clear * scale
        return
    raw, codec = _raw_mode(image), _first([tile[0] for tile in getattr(image, "tile", [])])
    if codec == "libtiff" and image.mode in ("I", "F") and raw.endswith(("S", "F")):
        _use_libtiff(image, raw.rstrip("BSF") + "N" + raw[-1])  # libtiff gives the byte order of this machine
    elif codec == "raw" and tags.get(PLANAR) == SEPARATE and (wide := _wide(image)):
        _use_libtiff(image, f"{wide};16N")
    elif codec == "raw" and tags.get(PLANAR) == SEPARATE and _first(tags.get(EXTRA_SAMPLES)) == PREMULTIPLIED:
        _use_libtiff(image, "RGBa")
    elif codec == "raw" and tags.get(PHOTOMETRIC) == YCBCR and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
        image._mode = "RGB"
        _use_libtiff(image, "RGBX")
    if image.mode in ("P", "PA") and max(colours := tags[COLOUR_MAP]) < 256:  # 8 bits, not the 16 of the standard
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def eight_bits(image: Image.Image, stored: Stored, file: BinaryIO | None = None) -> Image.Image:
    """Return a decoded image with 8 bits a band; without its `file`, 16-bit colours are the high bytes of Pillow."""
    if image.mode == "F" or image.mode.startswith("I") or (image.mode == "L" and stored.is_signed):
        return _grey(image, stored)
    if stored.wide and file:
        return _colours(image, stored, file)
    return image


def _grey(image: Image.Image, stored: Stored) -> Image.Image:
    """Scale 16 bits to 8; the range of other values (float, signed, 32 bits) is stretched to 8 bits.

    Missing values (NaN, no data) are black, infinite ones black or white. They do not count for the range.
    """
    low, high = np.inf, -np.inf
    for _, values, missing in _values(image, stored):
        known = values[~missing & np.isfinite(values)]
        low, high = min(low, known.min(initial=np.inf)), max(high, known.max(initial=-np.inf))
    if image.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0, _white(high, stored)
    clear = image.info.get("transparency") if image.mode.startswith("I;16") else None
    grey = Image.new("L" if clear is None else "LA", image.size)
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    for corner, values, missing in _values(image, stored):
        shares = (np.clip(values, low, high) - low) / (high - low) if high > low else np.zeros_like(values)
        levels = 255 * (1 - shares if stored.is_inverted and image.mode != "L" else shares)
        levels[missing] = 0
        block = Image.fromarray(levels.round().astype(np.uint8))
        if clear is not None:
            block.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        grey.paste(block, corner)
    return grey


def _colours(image: Image.Image, stored: Stored, file: BinaryIO) -> Image.Image:
    """Scale 16-bit colours, of which Pillow kept the high bytes, where those do not suffice.

    They do not if the values have fewer than 16 bits, or one of them is transparent. Otherwise the image is returned.
    """
    count, clear = (4 if image.mode == "CMYK" else 3), image.info.get("transparency")
    bands = slice(3, 4) if stored.wide == "RGBa" else slice(count)  # Pillow has divided by the alpha, if premultiplied
    brightest = np.array(image.getextrema())[bands, 1].max()
    if clear is None and stored.max_sample is None and brightest >= 2 ** (DEPTHS[-2] - 8):
        return image
    wide = _wide_images(image, stored, file)
    tops = np.max([values.max(axis=(0, 1)) for _, values in _wide_values(wide)], axis=0)
    white = alpha_white = _white(tops.max(), stored)
    if white == FULL:  # perhaps only of the alpha
        white = _white(tops[:count].max(), stored)
    if clear is None and white == FULL:
        return image
    table, alpha_table = _table(white), _table(alpha_white)
    result = Image.new("RGBA" if clear is not None else image.mode, image.size)
    for corner, values in _wide_values(wide):
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


def _table(white: float) -> np.ndarray:
    """Return the level, uint8 (65536,), of each value of 16 bits; Pillow takes the high byte, if it has all of them."""
    values = np.arange(FULL + 1)
    return (values >> 8 if white == FULL else np.minimum(255 * (values / white), 255).round()).astype(np.uint8)


def _wide_images(image: Image.Image, stored: Stored, file: BinaryIO) -> list[Image.Image]:
    """Return 16-bit colours, not divided by the alpha: an image of the high and one of the low bytes, or all planes."""
    if stored.has_planes:
        tags = full_page(file).tag_v2  # type: ignore[attr-defined]
        bands = range(len(image.getbands()))
        return [upright(plane(file, tags, number)).copy() for number in bands]  # a copy does not keep its file
    high, low = (_byte(file, False) if stored.wide == "RGBa" else image), _byte(file, True)
    if stored.wide == "LA":  # the bytes of grey, then of alpha
        _, grey, _, alpha = low.split()
        low = Image.merge("RGBA", (grey, grey, grey, alpha))
    return [high, low]


def _byte(file: BinaryIO, is_low: bool) -> Image.Image:
    image: Any = full_page(file)
    bands = (_wide(image) or "").replace("a", "A")
    if image.format == "PNG":  # in big-endian order
        raw = "RGBA" if bands == "LA" else f"{bands};16{'L' if is_low else 'B'}"
        image.tile = [tile._replace(args=raw) for tile in image.tile]
    else:  # in the order of this machine; the other one makes the low byte the high one
        _use_libtiff(image, f"{bands};16{SWAPPED if is_low else 'N'}")
    return upright(image)


def _wide_values(images: list[Image.Image]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield the corner and the values, uint16 (h, w, bands), of each block of rows of what `_wide_images` returns."""
    for box in row_blocks(images[0]):
        parts = [np.asarray(image.crop(box)) for image in images]
        if parts[0].ndim == 2:  # planes
            yield box[:2], np.stack(parts, axis=-1).astype(np.uint16)
        else:
            yield box[:2], parts[0].astype(np.uint16) << 8 | parts[1]


def _values(image: Image.Image, stored: Stored) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """Yield the corner, the values, float64 (h, w), and whether they are missing (h, w), of each block of rows."""
    for box in row_blocks(image):
        values = np.asarray(image.crop(box))
        if image.mode == "L":
            values = values.view(np.int8)
        elif image.mode == "I" and stored.bits == 32 and not stored.is_signed:
            values = values.view(np.uint32)
        is_missing = np.isnan(values)
        if stored.nodata is not None:  # of floats it is written as a text of less precision
            is_missing |= np.isclose(values, stored.nodata, rtol=1e-6 if image.mode == "F" else 0, atol=0)
        yield box[:2], values.astype(np.float64), is_missing


def row_blocks(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the left, top, right and bottom of blocks of rows, which are computed one after another to save memory."""
    rows = max(1, BLOCK // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _white(highest: float, stored: Stored) -> float:
    """Return the value of white of samples that are stored in 16 bits."""
    if stored.max_sample and stored.max_sample >= highest:
        return stored.max_sample
    depths = DEPTHS if stored.bits in (None, *WHOLE) else (stored.bits,)
    return next((2**depth - 1 for depth in depths if highest < 2**depth), FULL)


def _wide(image: Image.Image) -> str | None:
    """Return the bands of 16-bit colours, see Stored; None for other samples."""
    tags, raw = getattr(image, "tag_v2", None), _raw_mode(image)
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        return None
    if ";16" in raw:
        return raw.split(";")[0]
    if tags is not None and _first(tags.get(BITS)) == 16:  # in planes; Pillow names one of them
        return "RGBa" if _first(tags.get(EXTRA_SAMPLES)) == PREMULTIPLIED else image.mode
    return None


def _raw_mode(image: Image.Image) -> str:
    """Return how Pillow will decode an image, by its name for the bytes in the file; empty if that is not known."""
    arguments = _first([tile[3] for tile in getattr(image, "tile", [])])
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def _use_libtiff(image: Any, raw: str) -> None:
    image.use_load_libtiff = True
    image.tile = [ImageFile._Tile("libtiff", (0, 0, *image._tile_size), 0, (raw, False, image.tag_v2.offset))]


def _first(values: Any) -> Any:
    """Return the first of some values, or one value itself; None if there are none."""
    return next(iter(values), None) if isinstance(values, (tuple, list)) else values


def _number(value: Any) -> float | None:
    with suppress(TypeError, ValueError):
        return float(value.strip(" \0") if isinstance(value, str) else value)
    return None
