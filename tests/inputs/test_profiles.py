"""Convert embedded colour profiles to sRGB; the oracles are formulas and ImageMagick."""

import io
from concurrent.futures import ThreadPoolExecutor

import magick
import numpy as np
import pytest
from colour_profiles import (
    PRIMARIES,
    cmyk_profile,
    expected_grey,
    expected_rgb,
    grey_profile,
    rgb_profile,
    srgb_profile,
    with_profile,
)
from PIL import Image
from sample_images import encoded

from similar_images.inputs import decoding, images
from similar_images.inputs.images import read_pixels, resize_to_square

COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(images.open_image(content)).astype(float)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("name", PRIMARIES)
def test_colours_become_srgb(name, form):
    smooth = np.asarray(Image.fromarray(COLOURS[:3, :4]).resize((32, 24), Image.Resampling.BILINEAR))
    colours = COLOURS if form not in ("JPEG", "AVIF") else smooth  # lossy
    content = with_profile(colours, rgb_profile(name), form)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    difference = np.abs(pixels_of(content) - expected_rgb(stored, name))
    assert difference.max() <= 3 and difference.mean() < 0.6


@pytest.mark.parametrize("name", PRIMARIES)
def test_thumbnails_are_srgb_without_a_profile(name):
    content = with_profile(np.full((200, 300, 3), (200, 60, 90), np.uint8), rgb_profile(name))
    small = Image.open(io.BytesIO(images.make_thumbnail(content, 100)))
    expected = expected_rgb(np.array([200, 60, 90]), name)
    assert "icc_profile" not in small.info
    assert np.abs(np.asarray(small)[10, 10] - expected).max() <= 4


def test_colours_are_converted_once():
    image = images.open_image(with_profile(COLOURS, rgb_profile("Display P3")))
    assert np.array_equal(np.asarray(images.open_image(image)), np.asarray(image))


def test_pillow_image_is_converted_and_not_changed():
    image = Image.open(io.BytesIO(with_profile(COLOURS, rgb_profile("Adobe RGB"))))
    converted = np.asarray(images.open_image(image)).astype(float)
    assert np.abs(converted - expected_rgb(COLOURS, "Adobe RGB")).max() <= 3
    assert np.array_equal(np.asarray(image), COLOURS) and image.info["icc_profile"]


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profiles_apply_to_grey_images(gamma, mode):
    image = Image.fromarray(GREY)
    if mode == "LA":
        image.putalpha(255)
    elif mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
    content = encoded(image, "PNG", icc_profile=grey_profile(gamma))
    assert np.abs(pixels_of(content)[..., 1] - expected_grey(GREY, gamma)).max() <= 1


def test_rgb_profile_applies_to_grey_images():
    content = with_profile(GREY, rgb_profile("ProPhoto RGB"), "JPEG")
    stored = np.asarray(Image.open(io.BytesIO(content)))
    assert np.abs(pixels_of(content)[..., 0] - expected_grey(stored, 1.8)).max() <= 1


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_profile_equals_imagemagick(form, tmp_path):
    if magick.PROGRAM is None:
        pytest.skip("ImageMagick is not installed")
    (tmp_path / "srgb.icc").write_bytes(srgb_profile())
    inks = np.asarray(Image.fromarray(COLOURS[:4, :4]).resize((16, 16)).convert("RGB"))
    inks = np.concatenate([inks, inks[..., :1] // 4], axis=-1)
    content = with_profile(inks, cmyk_profile(), form, "CMYK")
    operations = ["-intent", "relative", "-black-point-compensation", "-profile", str(tmp_path / "srgb.icc")]
    expected = magick.read(content, form, *operations).astype(float)
    without = pixels_of(with_profile(inks, None, form, "CMYK")).reshape(-1, 3)
    shown = pixels_of(content).reshape(-1, 3)
    assert np.abs(shown - expected).max() <= 4 < np.abs(without - expected).max()


def test_profile_keeps_transparency():
    alpha = np.linspace(0, 255, 24 * 32).round().astype(np.uint8).reshape(24, 32, 1)
    content = with_profile(np.concatenate([COLOURS, alpha], axis=-1), rgb_profile("Display P3"))
    opacity = alpha / 255
    expected = expected_rgb(COLOURS, "Display P3") * opacity + 255 * (1 - opacity)
    assert np.abs(pixels_of(content) - expected).max() <= 3


def test_palettes_are_converted():
    palette = Image.fromarray(COLOURS).quantize(64)
    content = encoded(palette, "PNG", icc_profile=rgb_profile("Adobe RGB"))
    expected = expected_rgb(np.asarray(palette.convert("RGB")), "Adobe RGB")
    assert np.abs(pixels_of(content) - expected).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_srgb_images_are_unchanged(form):
    plain = with_profile(COLOURS, None, form)
    assert np.array_equal(pixels_of(with_profile(COLOURS, srgb_profile(), form)), pixels_of(plain))
    assert np.array_equal(pixels_of(plain), np.asarray(Image.open(io.BytesIO(plain)).convert("RGB")))


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"no profile",
        bytes(range(256)) * 8,
        rgb_profile("Display P3")[:300],
        rgb_profile("Display P3")[:128] + bytes(400),
        grey_profile(1.0),
        cmyk_profile(),
    ],
)
def test_damaged_and_unsuitable_profiles_are_ignored(profile):
    assert np.array_equal(pixels_of(with_profile(COLOURS, profile)), COLOURS)


@pytest.mark.parametrize("profile", [rgb_profile("Display P3"), grey_profile(1.0), cmyk_profile()[:500]])
def test_cmyk_images_ignore_unsuitable_profiles(profile):
    inks = np.concatenate([COLOURS, COLOURS[..., :1]], axis=-1)
    plain = pixels_of(with_profile(inks, None, "TIFF", "CMYK"))
    assert np.array_equal(pixels_of(with_profile(inks, profile, "TIFF", "CMYK")), plain)


def test_randomly_damaged_profiles_never_fail():
    good, random = bytearray(rgb_profile("Adobe RGB")), np.random.default_rng(0)
    for _ in range(200):
        profile = bytearray(good)
        for at in random.integers(0, len(good), 5):
            profile[at] = random.integers(0, 256)
        assert pixels_of(with_profile(COLOURS, bytes(profile))).shape == COLOURS.shape


def test_reduced_jpegs_are_converted():
    content = with_profile(np.full((800, 800, 3), (60, 200, 90), np.uint8), rgb_profile("Display P3"), "JPEG")
    expected = expected_rgb(np.array([60, 200, 90]), "Display P3")
    assert np.abs(read_pixels(content, resize_to_square(32, "bilinear")) - expected).max() <= 4


def test_threads_share_transforms():
    contents = [
        with_profile(COLOURS[:, ::-1] if n % 2 else COLOURS, rgb_profile(name)) for n, name in enumerate(PRIMARIES)
    ]
    expected = [pixels_of(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(pixels_of, contents * 20))
    assert all(np.array_equal(pixels, expected[n % len(contents)]) for n, pixels in enumerate(shown))


def test_profile_is_parsed_once():
    decoding._transform.cache_clear()
    for _ in range(3):
        images.open_image(with_profile(COLOURS, rgb_profile("Display P3")))
    assert decoding._transform.cache_info().misses == 1
