"""Open an image, within limits, on an opaque background, and resize and crop it for a network.

`formats.py` has the file formats, `decoding.py` converts a file to upright 8-bit sRGB. Pillow resizes, as it did for the
training of most networks.
"""

import io
import re
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from similar_images.inputs.decoding import MissingDecoder, decode, full_page, row_blocks
from similar_images.inputs.formats import DRAFT_MARGIN, FORMATS, detect_format

RESAMPLINGS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")  # Pillow's filters
DECODING_VERSION = 2  # of the pixels, for manifests; version 1 ignored colour profiles
MAX_PIXELS = 100_000_000  # to decode; an RGB image of this size takes 300 MB
MAX_PROGRESSIVE_RATIO = 2  # times MAX_PIXELS; a progressive JPEG takes 6 bytes a pixel at any scale
MAX_SCALES = {"JPEG": 4, "MPO": 4, "JPEG2000": 4, "RAW": 2}  # largest reduction of oversized images
MAX_BYTES = 200_000_000  # of a file
PILLOW_MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # Pillow refuses larger images
MAX_LONGER = 2**15  # pixels of the longer side after resizing the shorter one; narrower images are refused
NEARLY_WHITE = 192  # levels from 0 to 255; colours whose red, green and blue reach this hardly show on white
MIN_VISIBLE = 0.05  # share of a drawing's opacity that must show on white; otherwise it is put on black
UNSUPPORTED = re.compile("unsupported|not (yet )?supported|unknown|not available|cannot (handle|find loader)", re.I)
UNHELPFUL = re.compile("decoder error|could not create decoder|unrecognized data stream|^-?[0-9]*$", re.I)

OVER_LIMIT = "more than the limit of"  # in the reason for skipping an oversized image
OUTSIDE_FOLDER = "outside the image folder: not read without --allow-outside (allow_outside=True)"

ImageSource = str | Path | bytes | Image.Image


class UnreadableImage(ValueError):
    """An image that cannot be read; the message is the reason."""


class Limits(NamedTuple):
    """The largest image to read; larger ones are skipped."""

    pixels: int | None = None  # of the file; None: what MAX_PIXELS can hold, at a reduced scale if the format allows
    bytes: int = MAX_BYTES
    seconds: float = 60  # to decode it, in the background


LIMITS = Limits()


class Preparation(NamedTuple):
    """A resizing and centre crop to RGB uint8 pixels (height, width, 3)."""

    height: int
    width: int
    resampling: str = "bilinear"  # Pillow's filter
    shorter: int | None = None  # length of the shorter side before the centre crop
    resized: tuple[int, int] | None = None  # (height, width) before the centre crop; neither: not resized
    reduced: bool = False  # whether large JPEGs are decoded at a smaller scale

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the pixels."""
        return self.height, self.width, 3

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the pixels of an RGB image, with black margins if it is smaller than the crop.

        Raises UnreadableImage if a narrow image would become longer than MAX_LONGER.
        """
        size = self._size(*image.size)
        if max(size) > max(MAX_LONGER, *image.size):
            raise UnreadableImage(f"{image.width} x {image.height} pixels are too narrow for this network")
        if size != image.size:
            image = image.resize(size, Image.Resampling[self.resampling.upper()])
        if image.size == (self.width, self.height):
            return np.asarray(image)
        left, top = self._corner(size)
        return np.asarray(image.crop((left, top, left + self.width, top + self.height)))

    def visible_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the crop, in pixels of an image of this size.

        The crop reaches beyond a smaller image.
        """
        resized = self._size(width, height)
        left, top = self._corner(resized)
        across, down = width / resized[0], height / resized[1]
        return left * across, top * down, (left + self.width) * across, (top + self.height) * down

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height before the centre crop."""
        if self.shorter:
            long = int(self.shorter * max(width, height) / min(width, height))
            return (self.shorter, long) if width <= height else (long, self.shorter)
        return self.resized[::-1] if self.resized else (width, height)

    def _corner(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the left and top of the crop in a resized image."""
        return (size[0] - self.width) // 2, (size[1] - self.height) // 2


def resize_to_square(side: int, resampling: str) -> Preparation:
    """Return the preparation that resizes any shape to a square.

    Large JPEGs are decoded at a smaller scale, except with "nearest": other filters average and hardly change.
    """
    return Preparation(side, side, resampling, resized=(side, side), reduced=resampling != "nearest")


def open_image(source: ImageSource, limits: Limits = LIMITS, side: int | None = None) -> Image.Image:
    """Return an image from a file, from bytes or from Pillow: upright, RGB, its first frame.

    Colours become sRGB according to the embedded profile. Transparent pixels become white, or black behind a white
    drawing. More than 8 bits are scaled to 8. If the image will be resized to `side`, a JPEG is decoded at the smallest
    scale that keeps DRAFT_MARGIN times that side, and a raw photograph is read from its preview if this has that side.
    Images larger than MAX_PIXELS are decoded at a reduced scale if their format allows. Raises UnreadableImage.
    """
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(decode(source))
        with _open_bytes(source, limits) as file, full_page(file) as image:
            _reduce(image, limits, side)
            return _to_rgb(decode(image, file))
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(_too_large("the image", limits.pixels or MAX_PIXELS)) from error
    except Exception as error:  # decoders raise any type for a damaged file, from OSError to IndexError
        raise UnreadableImage(_reason(error, source)) from error


def read_original(source: str | Path | bytes, limits: Limits = LIMITS) -> tuple[bytes, str, tuple[int, int]]:
    """Return the bytes of an image file, its format, and its width and height, without decoding.

    Raises UnreadableImage if it is oversized or not an image.
    """
    try:
        with _open_bytes(source, limits) as file:
            content = file.read()
        with full_page(io.BytesIO(content)) as image:
            return content, str(image.format), image.size
    except UnreadableImage:
        raise
    except Exception as error:  # as in open_image
        raise UnreadableImage(
            _reason(error, content if isinstance(error, UnidentifiedImageError) else source)
        ) from error


def read_pixels(source: ImageSource, preparation: Preparation, limits: Limits = LIMITS) -> np.ndarray:
    """Return an image, upright and prepared, as RGB uint8 (height, width, 3). Raises UnreadableImage."""
    side = max(preparation.height, preparation.width) if preparation.reduced else None
    return preparation(open_image(source, limits, side))


def make_thumbnail(source: ImageSource, side: int, limits: Limits = LIMITS) -> bytes:
    """Return the image as JPEG bytes, its longer side at most `side` pixels. Raises UnreadableImage."""
    image = open_image(source, limits, side)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _open_bytes(source: str | Path | bytes, limits: Limits = LIMITS) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise UnreadableImage("empty (0 bytes)")
        return io.BytesIO(source)
    status = Path(source).stat()
    if status.st_size > limits.bytes:
        raise UnreadableImage(f"{status.st_size} bytes: {OVER_LIMIT} {limits.bytes} bytes")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
        raise UnreadableImage("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    if status.st_size == 0:
        raise UnreadableImage("empty file (0 bytes)")
    return Path(source).open("rb")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image as RGB, on a background if it is transparent."""
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = _put_on_background(image.convert("RGBA"))
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info.pop("icc_profile", None)  # so that colours are not converted again
    return image


def _put_on_background(image: Image.Image) -> Image.Image:
    """Return an RGBA image on white, or on black if nearly all its visible pixels are nearly white."""
    opacities = np.zeros((2, 256), np.int64)  # histograms of the pixels visible on white, and of all pixels
    is_dark = [255] * NEARLY_WHITE + [0] * (256 - NEARLY_WHITE)
    for box in row_blocks(image):
        red, green, blue, alpha = image.crop(box).split()
        darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
        opacities += alpha.histogram(darkest.point(is_dark)), alpha.histogram()
    visible, total = opacities @ np.arange(256)
    background = "black" if visible < MIN_VISIBLE * total else "white"
    result = Image.new("RGB", image.size)
    for box in row_blocks(image):
        above = image.crop(box)
        result.paste(Image.alpha_composite(Image.new("RGBA", above.size, background), above).convert("RGB"), box)
    return result


def _reduce(image: Image.Image, limits: Limits, side: int | None) -> None:
    """Set the scale at which an image will be decoded. Raises UnreadableImage if none fits into the memory."""
    width, height = image.size
    pixels, limit = width * height, max(MAX_PIXELS, limits.pixels or 0)
    is_progressive = bool(image.info.get("progressive"))
    largest = limit * (MAX_PROGRESSIVE_RATIO if is_progressive else MAX_SCALES.get(image.format or "", 1) ** 2)
    if pixels > min(largest, limits.pixels or largest):
        raise UnreadableImage(_too_large(f"{width} x {height} pixels", limits.pixels or MAX_PIXELS))
    scale = next(scale for scale in (1, 2, 4) if pixels <= limit * scale**2)
    if image.format == "JPEG2000":
        image.reduce = scale.bit_length() - 1  # type: ignore[method-assign, assignment]
    elif side and (image.format == "RAW" or min(width, height) >= scale * DRAFT_MARGIN * side):
        image.draft(None, (DRAFT_MARGIN * side, DRAFT_MARGIN * side))
    elif scale > 1 and image.format != "RAW":  # always reduced
        image.draft(None, (width // scale, height // scale))


def _too_large(size: str, limit: int) -> str:
    return f"{size}: {OVER_LIMIT} {limit} pixels"


def _reason(error: Exception, source: ImageSource) -> str:
    """Return a reason that a user can act on."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, MissingDecoder):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    message = " ".join(str(error).split())
    if "null byte" in message:
        return "no such file: its name contains a NUL character"
    if isinstance(error, UnidentifiedImageError) and not isinstance(source, Image.Image):
        return _unidentified_reason(source)
    if isinstance(error, NotImplementedError) or UNSUPPORTED.search(message):
        return f"this variant of its format is not supported, or its header is damaged: {message}"
    if UNHELPFUL.search(message):
        return "damaged or truncated: its pixels cannot be decoded"
    return f"damaged or truncated: {message}"


def _unidentified_reason(source: str | Path | bytes) -> str:
    with _open_bytes(source) as file:
        start = file.read(512)
    if name := detect_format(start):
        return f"this variant of {name} is not supported, or its header is damaged"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "a web page or other markup, not an image"
    return f"not an image of a supported format ({', '.join(FORMATS)})"
