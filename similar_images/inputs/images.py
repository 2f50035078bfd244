"""Open and decode images, safely."""

import io
import re
import stat
import warnings
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")  # nothing else is opened
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"}
RESAMPLINGS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")  # Pillow's filters
SIGNATURES = (  # how files of these formats begin
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("GIF", rb"GIF8[79]a"),
    ("BMP", rb"BM"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("WEBP", rb"RIFF.{4}WEBP"),
    ("AVIF", rb".{4}ftypavi[fs]"),
)
MAX_PIXELS = 100_000_000  # an RGB image of this size takes 300 MB
MAX_BYTES = 200_000_000  # of a file
PILLOW_LIMIT = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # pixels; above it Pillow itself refuses
REDUCED = 4  # times the side; JPEGs are decoded at 1/2, 1/4 or 1/8 of their scale as long as this remains
UNSUPPORTED = re.compile("unsupported|not (yet )?supported|unknown|not available|cannot (handle|find loader)", re.I)
UNHELPFUL = re.compile("decoder error|could not create decoder|unrecognized data stream|^-?[0-9]*$", re.I)

_opening = Lock()  # the filters of warnings belong to the whole process
OVER = "more than the limit of"  # in the reason for what is too large
OUTSIDE = "outside the image folder: not read without --allow-outside (allow_outside=True)"

Source = str | Path | bytes | Image.Image


class UnreadableImage(ValueError):
    """An image that cannot be read; the message is the reason."""


class Limits(NamedTuple):
    """The largest image that is read; anything larger is skipped."""

    pixels: int = MAX_PIXELS
    bytes: int = MAX_BYTES
    seconds: float = 60  # to decode it, in the background


LIMITS = Limits()


def open_image(source: Source, limits: Limits = LIMITS, side: int | None = None) -> Image.Image:
    """Return an image from a file, from bytes or from Pillow: upright, RGB, its first frame.

    Transparent pixels become white, 16 bits are scaled to 8. With the `side` to which the image will be resized, a
    JPEG is decoded at the smallest of its scales that keeps REDUCED times that side. Raises UnreadableImage.
    """
    try:
        if isinstance(source, Image.Image):
            return _upright_rgb(source.copy())
        with _open_bytes(source, limits) as file, identified(file) as image:
            width, height = image.size
            if width * height > limits.pixels:
                raise UnreadableImage(_too_large(f"{width} x {height} pixels", limits))
            if side:
                image.draft(None, (REDUCED * side, REDUCED * side))
            return _upright_rgb(image)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(_too_large("the image", limits)) from error
    except Exception as error:  # decoders raise anything for a broken file, from OSError to IndexError
        raise UnreadableImage(_reason(error, source)) from error


def original(source: str | Path | bytes, limits: Limits = LIMITS) -> tuple[bytes, str, tuple[int, int]]:
    """Return the bytes of an image file, its format, and its width and height in pixels; it is not decoded.

    Raises UnreadableImage for what is not an image, or is too large.
    """
    try:
        with _open_bytes(source, limits) as file:
            content = file.read()
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return content, str(image.format), image.size
    except UnreadableImage:
        raise
    except Exception as error:  # as in open_image
        raise UnreadableImage(
            _reason(error, content if isinstance(error, UnidentifiedImageError) else source)
        ) from error


def thumbnail(source: Source, side: int, limits: Limits = LIMITS) -> bytes:
    """Return the image as JPEG bytes, its longer side at most `side` pixels. Raises UnreadableImage."""
    image = open_image(source, limits, side)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def identified(file: BinaryIO) -> Image.Image:
    """Return the image in a file, not decoded yet, without Pillow's warning about its size, which is checked here."""
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def _open_bytes(source: str | Path | bytes, limits: Limits = LIMITS) -> BinaryIO:
    if isinstance(source, bytes):
        if not source:
            raise UnreadableImage("empty (0 bytes)")
        return io.BytesIO(source)
    status = Path(source).stat()
    if status.st_size > limits.bytes:
        raise UnreadableImage(f"{status.st_size} bytes: {OVER} {limits.bytes} bytes")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
        raise UnreadableImage("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    if status.st_size == 0:
        raise UnreadableImage("empty file (0 bytes)")
    return Path(source).open("rb")


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    with suppress(Exception):  # damaged EXIF does not affect the pixels
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16 bits to 8; the range of other values (float, 32 bits) is stretched to 8 bits."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
    low, high = 0.0, 65535.0
    if image.mode == "F" or values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / max(high - low, 1e-9))
    return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")


def _too_large(what: str, limits: Limits) -> str:
    return f"{what}: {OVER} {limits.pixels} pixels"


def _reason(error: Exception, source: Source) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    message = " ".join(str(error).split())
    if "null byte" in message:
        return "no such file: its name contains a NUL character"
    if isinstance(error, UnidentifiedImageError) and not isinstance(source, Image.Image):
        return _unidentified(source)
    if isinstance(error, NotImplementedError) or UNSUPPORTED.search(message):
        return f"this variant of its format is not supported, or its header is damaged: {message}"
    if UNHELPFUL.search(message):
        return "damaged or truncated: its pixels cannot be decoded"
    return f"damaged or truncated: {message}"


def _unidentified(source: str | Path | bytes) -> str:
    with _open_bytes(source) as file:
        start = file.read(512)
    for form, signature in SIGNATURES:
        if re.match(signature, start, re.DOTALL):
            return f"this variant of {form} is not supported, or its header is damaged"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "a web page or other markup, not an image"
    return f"not an image of a supported format ({', '.join(FORMATS)})"
