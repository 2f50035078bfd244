"""Open and decode images, safely."""

import io
import re
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from similar_images.inputs import depth, profiles
from similar_images.inputs.pages import FORMATS, full_page, upright

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"}
# fmt: off
UNSUPPORTED_SUFFIXES = {  # of images, drawings and raw photographs; they are reported, not read
    ".3fr", ".arw", ".cr2", ".cr3", ".cur", ".dcm", ".dds", ".dng", ".emf", ".eps", ".erf", ".exr", ".fits",
    ".hdr", ".heic", ".heif", ".hif", ".icns", ".ico", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".kdc",
    ".mpo", ".mrw", ".nef", ".nrw", ".orf", ".pbm", ".pcx", ".pef", ".pgm", ".pnm", ".ppm", ".psd", ".raf",
    ".raw", ".rw2", ".sr2", ".srw", ".svg", ".tga", ".wmf", ".x3f", ".xbm", ".xcf", ".xpm",
}
# fmt: on
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
DECODING_VERSION = (
    2  # the version of how a file becomes pixels, for manifests; before 1.1 it was 1, without colour profiles
)
MAX_PIXELS = 100_000_000  # an RGB image of this size takes 300 MB
MAX_BYTES = 200_000_000  # of a file
PILLOW_MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # pixels; above it Pillow itself refuses
DRAFT_MARGIN = 4  # times the side; JPEGs are decoded at 1/2, 1/4 or 1/8 of their scale as long as this remains
NEARLY_WHITE = 192  # levels from 0 to 255; colours of at least this in red, green and blue hardly show on white
MIN_VISIBLE = 0.05  # of a drawing, by its opacity, shows on white; otherwise it is put on black
UNSUPPORTED = re.compile("unsupported|not (yet )?supported|unknown|not available|cannot (handle|find loader)", re.I)
UNHELPFUL = re.compile("decoder error|could not create decoder|unrecognized data stream|^-?[0-9]*$", re.I)

OVER_LIMIT = "more than the limit of"  # in the reason for what is too large
OUTSIDE_FOLDER = "outside the image folder: not read without --allow-outside (allow_outside=True)"

ImageSource = str | Path | bytes | Image.Image


class UnreadableImage(ValueError):
    """An image that cannot be read; the message is the reason."""


class Limits(NamedTuple):
    """The largest image that is read; anything larger is skipped."""

    pixels: int = MAX_PIXELS
    bytes: int = MAX_BYTES
    seconds: float = 60  # to decode it, in the background


LIMITS = Limits()


def open_image(source: ImageSource, limits: Limits = LIMITS, side: int | None = None) -> Image.Image:
    """Return an image from a file, from bytes or from Pillow: upright, RGB, its first frame.

    Colours become sRGB, according to the colour profile of the file. Transparent pixels become white; behind a white
    drawing, black. More than 8 bits are scaled to 8. With the `side` to which the image will be resized, a JPEG is
    decoded at the smallest of its scales that keeps REDUCED times that side. Raises UnreadableImage.
    """
    try:
        if isinstance(source, Image.Image):
            stored = depth.stored_as(source)
            depth.repair(source)
            return _upright_rgb(source.copy(), stored)
        with _open_bytes(source, limits) as file, full_page(file) as image:
            width, height = image.size
            if width * height > limits.pixels:
                raise UnreadableImage(_too_large(f"{width} x {height} pixels", limits))
            if side:
                image.draft(None, (DRAFT_MARGIN * side, DRAFT_MARGIN * side))
            stored = depth.stored_as(image)
            depth.repair(image)
            return _upright_rgb(image, stored, file)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(_too_large("the image", limits)) from error
    except Exception as error:  # decoders raise anything for a broken file, from OSError to IndexError
        raise UnreadableImage(_reason(error, source)) from error


def read_original(source: str | Path | bytes, limits: Limits = LIMITS) -> tuple[bytes, str, tuple[int, int]]:
    """Return the bytes of an image file, its format, and its width and height in pixels; it is not decoded.

    Raises UnreadableImage for what is not an image, or is too large.
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


def _upright_rgb(image: Image.Image, stored: depth.Stored, file: BinaryIO | None = None) -> Image.Image:
    profile = None if image.mode in ("F", "I") else image.info.get("icc_profile")  # their range is stretched
    image = profiles.to_srgb(depth.eight_bits(upright(image), stored, file), profile)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = _on_background(image.convert("RGBA"))
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info.pop("icc_profile", None)  # else the colours would be converted again
    return image


def _on_background(image: Image.Image) -> Image.Image:
    """Return an RGBA image on white; on black if nearly all that is visible of it is nearly white."""
    opacities = np.zeros((2, 256), np.int64)  # histograms of what shows on white, and of all
    is_dark = [255] * NEARLY_WHITE + [0] * (256 - NEARLY_WHITE)
    for box in depth.row_blocks(image):
        red, green, blue, alpha = image.crop(box).split()
        darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
        opacities += alpha.histogram(darkest.point(is_dark)), alpha.histogram()
    seen, total = opacities @ np.arange(256)
    background = "black" if seen < MIN_VISIBLE * total else "white"
    result = Image.new("RGB", image.size)
    for box in depth.row_blocks(image):
        above = image.crop(box)
        result.paste(Image.alpha_composite(Image.new("RGBA", above.size, background), above).convert("RGB"), box)
    return result


def _too_large(what: str, limits: Limits) -> str:
    return f"{what}: {OVER_LIMIT} {limits.pixels} pixels"


def _reason(error: Exception, source: ImageSource) -> str:
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
