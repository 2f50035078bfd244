"""Open and decode images, safely."""

import io
import stat
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF")  # nothing else is opened
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"}
RESAMPLINGS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")  # Pillow's filters
MAX_PIXELS = 100_000_000  # an RGB image of this size takes 300 MB
MAX_BYTES = 200_000_000  # of a file
PILLOW_LIMIT = 2 * Image.MAX_IMAGE_PIXELS  # pixels; above it Pillow itself refuses
REDUCED = 4  # times the side; JPEGs are decoded at 1/2, 1/4 or 1/8 of their scale as long as this remains

# Pillow warns at half its limit; here every image is held to an own limit before it is decoded.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Source = str | Path | bytes | Image.Image


class UnreadableImage(ValueError):
    """An image that cannot be read, with the reason a person can act on."""


class Limits(NamedTuple):
    """What an image may take; beyond it is skipped."""

    pixels: int = MAX_PIXELS
    bytes: int = MAX_BYTES
    seconds: float = 60  # to decode it, where it is decoded in the background


LIMITS = Limits()


def open_image(source: Source, limits: Limits = LIMITS, side: int | None = None) -> Image.Image:
    """Return the image in a file, in bytes, or as Pillow has it: upright, RGB, its first frame.

    Transparency is put on white, 16 bits are scaled to 8. With a `side` that the image will be squeezed to, a
    JPEG is decoded at the smallest of its scales that keeps REDUCED times as many pixels. Raises UnreadableImage.
    """
    try:
        if isinstance(source, Image.Image):
            return _upright_rgb(source.copy())
        with _open_bytes(source, limits) as file, Image.open(file, formats=FORMATS) as image:
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
    except Exception as error:  # on broken files decoders raise anything, from OSError to IndexError
        raise UnreadableImage(_reason(error, source)) from error


def read(source: Source, side: int, resampling: str, limits: Limits = LIMITS) -> np.ndarray:
    """Return the image, upright and squeezed to a square, as RGB uint8 of shape (side, side, 3).

    Raises UnreadableImage with the reason a person can act on.
    """
    image = open_image(source, limits, side if is_reduced(resampling) else None)
    return np.asarray(image.resize((side, side), Image.Resampling[resampling.upper()]))


def is_reduced(resampling: str) -> bool:
    """Return whether large JPEGs are decoded at a smaller scale: a filter that averages sees next to no difference."""
    return resampling != "nearest"


def thumbnail(source: Source, side: int, limits: Limits = LIMITS) -> bytes:
    """Return the image as JPEG bytes, its longer side at most `side` pixels. Raises UnreadableImage."""
    image = open_image(source, limits, side)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _open_bytes(source: str | Path | bytes, limits: Limits = LIMITS) -> io.IOBase:
    if isinstance(source, bytes):
        if not source:
            raise UnreadableImage("empty (0 bytes)")
        return io.BytesIO(source)
    status = Path(source).stat()
    if status.st_size > limits.bytes:
        raise UnreadableImage(f"{status.st_size} bytes: more than the limit of {limits.bytes} bytes (--max-bytes)")
    if not stat.S_ISREG(status.st_mode):  # a pipe or a device would be waited for without end
        raise UnreadableImage("a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    if status.st_size == 0:
        raise UnreadableImage("empty file (0 bytes)")
    return Path(source).open("rb")


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    with suppress(Exception):  # damaged EXIF says nothing of the pixels: they stay as they are
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16 bits to 8; what goes beyond 16 bits (float, 32 bits) is stretched from its own range."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
    low, high = 0.0, 65535.0
    if image.mode == "F" or values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / max(high - low, 1e-9))
    return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")


def _too_large(what: str, limits: Limits) -> str:
    return f"{what}: more than the limit of {limits.pixels} pixels (--max-pixels)"


def _reason(error: Exception, source: Source) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, UnidentifiedImageError):
        with _open_bytes(source) as file:
            start = file.read(512).lstrip().lower()
        if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
            return "a web page or other markup, not an image"
        return f"not an image of a known format, or its header is damaged ({', '.join(FORMATS)})"
    message = " ".join(str(error).split()) or type(error).__name__
    return f"damaged or truncated: {message}"
