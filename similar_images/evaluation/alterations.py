"""Typical alterations of copied photographs."""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

CROP = 0.10  # of the width or height, off each edge
ROTATION = 5  # degrees, counter-clockwise
JPEG_QUALITY = 25  # of 100, as Pillow counts
SATURATION, BRIGHTNESS, CONTRAST = 0.6, 1.2, 1.2  # 1: unchanged
BLUR = 0.005  # standard deviation of the Gaussian, of the longer side
RESIZE = 0.5  # of the width and height
TEXT = "Similar images"
TEXT_HEIGHT = 0.10  # of the image's height


def crop(image: Image.Image) -> Image.Image:
    """Return the image without its edges."""
    x, y = round(CROP * image.width), round(CROP * image.height)
    return image.crop((x, y, max(x + 1, image.width - x), max(y + 1, image.height - y)))


def flip(image: Image.Image) -> Image.Image:
    """Return the image mirrored left to right."""
    return ImageOps.mirror(image)


def rotation(image: Image.Image) -> Image.Image:
    """Return the image rotated by ROTATION; the corners are filled with its mirrored edges."""
    margin = math.ceil(math.sin(math.radians(ROTATION)) * max(image.size))
    wider = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    turned = Image.fromarray(wider).rotate(ROTATION, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


def jpeg(image: Image.Image) -> Image.Image:
    """Return the image after strong JPEG compression."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return Image.open(buffer).convert("RGB")


def colour(image: Image.Image) -> Image.Image:
    """Return the image with less saturation, and more brightness and contrast."""
    image = ImageEnhance.Color(image).enhance(SATURATION)
    image = ImageEnhance.Brightness(image).enhance(BRIGHTNESS)
    return ImageEnhance.Contrast(image).enhance(CONTRAST)


def blur(image: Image.Image) -> Image.Image:
    """Return the image blurred."""
    return image.filter(ImageFilter.GaussianBlur(BLUR * max(image.size)))


def text(image: Image.Image) -> Image.Image:
    """Return the image with a line of text at two thirds of its height, white with a black outline."""
    lettered = image.copy()
    size = max(1, round(TEXT_HEIGHT * image.height))
    ImageDraw.Draw(lettered).text(
        (image.width / 2, image.height * 2 / 3),
        TEXT,
        "white",
        ImageFont.load_default(size),
        anchor="mm",
        stroke_width=max(1, size // 12),
        stroke_fill="black",
    )
    return lettered


def resize(image: Image.Image) -> Image.Image:
    """Return the image at half its width and height."""
    return image.resize((max(1, round(RESIZE * image.width)), max(1, round(RESIZE * image.height))))


# Each takes and returns an RGB image and is deterministic.
ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    alteration.__name__: alteration for alteration in (crop, flip, rotation, jpeg, colour, blur, text, resize)
}
