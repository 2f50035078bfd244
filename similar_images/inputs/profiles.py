"""Colour profiles: convert colours to sRGB, the colour space that networks are trained on and browsers show."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # Pillow's mode by the colour space of a profile (ICC.1, 7.2)
GREY_MODES = ("1", "L", "LA", "La")
MAX_DIFFERENCE = 2  # levels of 255; a profile that changes no colour by more is sRGB, whatever its name
GRID = 17  # colours along each axis, compared for this
PROFILES_KEPT = 16
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
# NOCACHE: threads share the transforms, and the cache of a transform is not safe for threads.
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE
ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)  # for a damaged profile


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
    except ERRORS:
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
    except ERRORS:
        return None
    return None if _is_near(levels, shown) else np.asarray(shown)[0].tolist()


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_near(one: Image.Image, other: Image.Image) -> bool:
    return bool(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= MAX_DIFFERENCE)
