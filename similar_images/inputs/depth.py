"""Scale samples of more than 8 bits, signed samples and floats to 8 bits.

Pillow reduces 16-bit colours to their high bytes, and reads signed 8-bit samples as unsigned. The missing information is
in the tags of a TIFF (TIFF 6.0, and tag 42113 of GDAL).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from similar_images.inputs.pillow import (
    BITS,
    PHOTOMETRIC,
    PLANAR,
    SEPARATE,
    first,
    open_bytes_of_16,
    open_planes,
    wide_bands,
)

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners store in 16; the first depth that fits all values is used
PADDED_DEPTHS = (8, 16, 32)  # stored bits that may hold samples of fewer bits
MAX_16 = 2**16 - 1
BLOCK_PIXELS = 2**20  # computed at once
MAX_SAMPLE, SAMPLE_FORMAT, NODATA = 281, 339, 42113  # tags of a TIFF
WHITE_IS_ZERO = 0  # of PHOTOMETRIC
UNSIGNED, SIGNED = 1, 2  # of SAMPLE_FORMAT

Corner = tuple[int, int]  # left and top of a block, in pixels


class SampleFormat(NamedTuple):
    """The stored samples of a file, beyond the mode of Pillow's image."""

    bits: int | None = None  # of a sample, if known
    is_signed: bool = False
    is_inverted: bool = False  # 0 is white
    max_sample: float | None = None  # the value of white, if the file states it
    nodata: float | None = None  # the value of pixels without data
    has_planes: bool = False  # each band is stored separately
    wide: str | None = None  # bands of 16-bit colours, see wide_bands


def sample_format(image: Image.Image) -> SampleFormat:
    """Return the sample format of an image before decoding."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return SampleFormat(wide=wide_bands(image))
    return SampleFormat(
        first(tags.get(BITS, 1)),
        first(tags.get(SAMPLE_FORMAT, UNSIGNED)) == SIGNED,
        tags.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO,
        _number(first(tags.get(MAX_SAMPLE))),
        _number(tags.get(NODATA)),
        tags.get(PLANAR) == SEPARATE,
        wide_bands(image),
    )


def to_8_bits(image: Image.Image, stored: SampleFormat, file: BinaryIO | None = None) -> Image.Image:
    """Return a decoded image with 8 bits a band. Without its `file`, 16-bit colours keep Pillow's high bytes."""
    if image.mode == "F" or image.mode.startswith("I") or (image.mode == "L" and stored.is_signed):
        return _scale_grey(image, stored)
    if stored.wide and file:
        return _scale_colours(image, stored, file)
    return image


def row_blocks(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the left, top, right and bottom of blocks of rows; computing block by block saves memory."""
    rows = max(1, BLOCK_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


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


def _level_table(white: float) -> np.ndarray:
    """Return the level, uint8 (65536,), of each 16-bit value. Full 16 bits take the high byte, as Pillow does."""
    values = np.arange(MAX_16 + 1)
    return (values >> 8 if white == MAX_16 else np.minimum(255 * (values / white), 255).round()).astype(np.uint8)


def _open_wide(image: Image.Image, stored: SampleFormat, file: BinaryIO) -> list[Image.Image]:
    """Return 16-bit colours, not divided by alpha: an image of the high and one of the low bytes, or all planes."""
    if stored.has_planes:
        return open_planes(file, len(image.getbands()))
    high = open_bytes_of_16(file, is_low=False) if stored.wide == "RGBa" else image
    low = open_bytes_of_16(file, is_low=True)
    if stored.wide == "LA":  # two bytes of grey, two of alpha
        _, grey, _, alpha = low.split()
        low = Image.merge("RGBA", (grey, grey, grey, alpha))
    return [high, low]


def _colour_blocks(wide: list[Image.Image]) -> Iterator[tuple[Corner, np.ndarray]]:
    """Yield the corner and the values, uint16 (h, w, bands), of each block of the images of `_open_wide`."""
    for box in row_blocks(wide[0]):
        parts = [np.asarray(image.crop(box)) for image in wide]
        if parts[0].ndim == 2:  # planes
            yield box[:2], np.stack(parts, axis=-1).astype(np.uint16)
        else:
            yield box[:2], parts[0].astype(np.uint16) << 8 | parts[1]


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


def _white(highest: float, stored: SampleFormat) -> float:
    """Return the value of white of samples stored in 16 bits."""
    if stored.max_sample and stored.max_sample >= highest:
        return stored.max_sample
    depths = DEPTHS if stored.bits in (None, *PADDED_DEPTHS) else (stored.bits,)
    return next((2**depth - 1 for depth in depths if highest < 2**depth), MAX_16)


def _number(value: Any) -> float | None:
    with suppress(TypeError, ValueError):
        return float(value.strip(" \0") if isinstance(value, str) else value)
    return None
