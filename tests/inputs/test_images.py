"""Decode images: background, first frame, orientation, thumbnails."""

import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, ImageDraw
from sample_images import encoded

from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage, read_pixels, resize_to_square
from similar_images.networks import loader

RED, WHITE = (255, 0, 0), (255, 255, 255)


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (40, 30), colour)


def drawing(colour: tuple[int, int, int], shape: str, opacity: int = 255) -> Image.Image:
    """Return a circle or a cross with soft edges on a transparent background."""
    large = Image.new("L", (400, 400))
    draw = ImageDraw.Draw(large)
    for box in [(80, 80, 320, 320)] if shape == "ellipse" else [(180, 40, 220, 360), (40, 180, 360, 220)]:
        getattr(draw, shape)(box, fill=opacity)
    image = Image.new("RGBA", (100, 100), colour)
    image.putalpha(large.resize((100, 100), Image.Resampling.BOX))
    return image


def put_on(image: Image.Image, background: str) -> np.ndarray:
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, background), image).convert("RGB"))


@pytest.mark.parametrize("colour", [WHITE, (250, 250, 240), (230, 230, 230)])
@pytest.mark.parametrize("opacity", [255, 60])
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_white_drawing_is_put_on_black(colour, opacity, form):
    image = drawing(colour, "ellipse", opacity)
    options = {"lossless": True} if form == "WEBP" else {}
    assert np.array_equal(np.asarray(images.open_image(encoded(image, form, **options))), put_on(image, "black"))


def test_white_grey_and_palette_drawings_are_put_on_black():
    image = drawing(WHITE, "ellipse")
    expected = put_on(image, "black")
    assert np.array_equal(np.asarray(images.open_image(encoded(image.convert("LA"), "PNG"))), expected)
    hard = image.copy()
    hard.putalpha(image.getchannel("A").point(lambda level: 255 * (level > 127)))
    palette = np.asarray(images.open_image(encoded(hard, "GIF")))
    assert np.array_equal(palette, put_on(hard, "black"))


@pytest.mark.parametrize("colour", [(0, 0, 0), (90, 90, 90), RED, (255, 255, 0), (0, 200, 255), (180, 180, 180)])
def test_other_drawings_are_put_on_white(colour):
    image = drawing(colour, "ellipse")
    assert np.array_equal(np.asarray(images.open_image(encoded(image, "PNG"))), put_on(image, "white"))


def test_white_drawing_with_dark_lines_is_put_on_white():
    image = drawing(WHITE, "ellipse")
    image.paste((20, 20, 20, 255), (45, 30, 55, 70))
    assert np.array_equal(np.asarray(images.open_image(encoded(image, "PNG"))), put_on(image, "white"))


def test_opaque_white_image_stays_white():
    image = Image.new("RGBA", (40, 30), "white")
    assert np.array_equal(np.asarray(images.open_image(encoded(image, "PNG"))), np.full((30, 40, 3), 255))


def test_white_drawings_differ():
    encoder = loader.load("hog-colour")
    one, other = (encoder.encode_image(encoded(drawing(WHITE, shape), "PNG")) for shape in ("ellipse", "rectangle"))
    assert one @ other / np.sqrt(one @ one * (other @ other)) < 0.9


def test_animation_gives_its_first_frame():
    frames = encoded(plain("RGB", RED), "GIF", save_all=True, append_images=[plain("RGB", (0, 0, 255))])
    assert np.array_equal(read_pixels(frames, resize_to_square(8, "nearest")), np.full((8, 8, 3), RED))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste(RED, (0, 0, 10, 10))  # a mark at the upper left
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # inverse of the EXIF transforms
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = images.open_image(encoded(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(shown), np.asarray(upright))


def test_thumbnail_is_a_small_jpeg_in_proportion():
    small = Image.open(io.BytesIO(images.make_thumbnail(encoded(Image.new("RGB", (800, 400), RED), "PNG"), 100)))
    assert (small.format, small.size) == ("JPEG", (100, 50))


def test_import_leaves_the_warning_of_pillow_enabled():
    script = """
import warnings
from PIL import Image, ImageDraw
import similar_images.inputs.images
assert not any(category is Image.DecompressionBombWarning for _, _, category, *_ in warnings.filters)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_pixel_limit_applies_without_a_warning_of_pillow():
    content = encoded(Image.new("1", (10_000, 9_500)), "PNG")
    with pytest.raises(UnreadableImage, match=r"10000 x 9500 pixels: more than the limit of 1000 pixels"):
        images.open_image(content, images.Limits(pixels=1000))


def test_name_with_nul_is_missing(tmp_path):
    with pytest.raises(UnreadableImage, match="its name contains a NUL character"):
        images.open_image(tmp_path / "\0.jpg")
