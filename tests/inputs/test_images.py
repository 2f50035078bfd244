import io
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, ImageDraw

from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.preparation import read_pixels, resize_to_square
from similar_images.networks import loader

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (40, 30), colour)


def near(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 4) -> bool:
    return bool((np.abs(pixels.astype(int) - colour) <= tolerance).all())


def unsupported_bmp() -> bytes:
    content = bytearray(encoded(plain("RGB", RED), "BMP"))
    content[30:34] = (4).to_bytes(4, "little")  # compressed as JPEG, for printers
    return bytes(content)


def jpeg_of_12_bits() -> bytes:
    content = bytearray(encoded(plain("RGB", RED), "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    return bytes(content)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_every_format_is_read_as_rgb(form):
    pixels = read_pixels(encoded(plain("RGB", RED), form), resize_to_square(8, "bilinear"))
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
    assert near(pixels, RED)


@pytest.mark.parametrize(
    ("image", "form", "colour"),
    [
        (plain("1", 1), "PNG", WHITE),
        (plain("L", 128), "PNG", (128, 128, 128)),
        (plain("L", 128), "JPEG", (128, 128, 128)),
        (plain("LA", (128, 255)), "PNG", (128, 128, 128)),
        (plain("LA", (0, 0)), "PNG", WHITE),
        (plain("RGBA", (255, 0, 0, 255)), "PNG", RED),
        (plain("RGBA", (0, 0, 0, 0)), "PNG", WHITE),
        (plain("RGBA", (255, 0, 0, 128)), "PNG", (255, 127, 127)),
        (plain("RGBA", (0, 0, 0, 0)), "WEBP", WHITE),
        (plain("RGB", RED).convert("P"), "PNG", RED),
        (plain("RGBA", (0, 0, 0, 0)).quantize(4), "PNG", WHITE),
        (plain("CMYK", (0, 255, 255, 0)), "JPEG", RED),
        (plain("CMYK", (0, 255, 255, 0)), "TIFF", RED),
        (plain("YCbCr", (76, 85, 255)), "JPEG", RED),
        (plain("I;16", 128 * 257), "PNG", (128, 128, 128)),
        (plain("I;16", 128 * 257), "TIFF", (128, 128, 128)),
        (plain("I", 128 * 257), "TIFF", (128, 128, 128)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_on_white(image, form, colour):
    assert near(read_pixels(encoded(image, form), resize_to_square(8, "bilinear")), colour)


def test_floats_are_stretched_over_their_own_range():
    ramp = Image.fromarray(np.linspace(-3, 7, 256, dtype=np.float32).reshape(16, 16))
    pixels = read_pixels(encoded(ramp, "TIFF"), resize_to_square(16, "nearest"))
    assert (pixels.min(), pixels.max()) == (0, 255)


def drawing(colour: tuple[int, int, int], shape: str, opacity: int = 255) -> Image.Image:
    """Return a circle or a cross on transparency, with soft edges."""
    large = Image.new("L", (400, 400))
    draw = ImageDraw.Draw(large)
    for box in [(80, 80, 320, 320)] if shape == "ellipse" else [(180, 40, 220, 360), (40, 180, 360, 220)]:
        getattr(draw, shape)(box, fill=opacity)
    image = Image.new("RGBA", (100, 100), colour)
    image.putalpha(large.resize((100, 100), Image.Resampling.BOX))
    return image


def on(image: Image.Image, background: str) -> np.ndarray:
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, background), image).convert("RGB"))


@pytest.mark.parametrize("colour", [WHITE, (250, 250, 240), (230, 230, 230)])
@pytest.mark.parametrize("opacity", [255, 60])
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_white_drawing_is_shown_on_black(colour, opacity, form):
    image = drawing(colour, "ellipse", opacity)
    options = {"lossless": True} if form == "WEBP" else {}
    assert np.array_equal(np.asarray(images.open_image(encoded(image, form, **options))), on(image, "black"))


def test_white_drawings_of_grey_and_palettes_are_shown_on_black():
    image = drawing(WHITE, "ellipse")
    expected = on(image, "black")
    assert np.array_equal(np.asarray(images.open_image(encoded(image.convert("LA"), "PNG"))), expected)
    hard = image.copy()
    hard.putalpha(image.getchannel("A").point(lambda level: 255 * (level > 127)))
    palette = np.asarray(images.open_image(encoded(hard, "GIF")))
    assert np.array_equal(palette, on(hard, "black"))


@pytest.mark.parametrize("colour", [(0, 0, 0), (90, 90, 90), RED, (255, 255, 0), (0, 200, 255), (180, 180, 180)])
def test_other_drawings_are_shown_on_white(colour):
    image = drawing(colour, "ellipse")
    assert np.array_equal(np.asarray(images.open_image(encoded(image, "PNG"))), on(image, "white"))


def test_a_white_drawing_with_dark_lines_is_shown_on_white():
    image = drawing(WHITE, "ellipse")
    image.paste((20, 20, 20, 255), (45, 30, 55, 70))
    assert np.array_equal(np.asarray(images.open_image(encoded(image, "PNG"))), on(image, "white"))


def test_an_opaque_white_image_with_alpha_stays_white():
    image = Image.new("RGBA", (40, 30), "white")
    assert np.array_equal(np.asarray(images.open_image(encoded(image, "PNG"))), np.full((30, 40, 3), 255))


def test_different_white_drawings_are_different():
    encoder = loader.load("hog-colour")
    one, other = (encoder.encode_image(encoded(drawing(WHITE, shape), "PNG")) for shape in ("ellipse", "rectangle"))
    assert one @ other / np.sqrt(one @ one * (other @ other)) < 0.9


def test_an_animation_gives_its_first_frame():
    frames = encoded(plain("RGB", RED), "GIF", save_all=True, append_images=[plain("RGB", (0, 0, 255))])
    assert near(read_pixels(frames, resize_to_square(8, "nearest")), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste(RED, (0, 0, 10, 10))  # the mark is at the upper left
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what a camera does: the inverse of what EXIF asks for
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = images.open_image(encoded(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(shown), np.asarray(upright))


def test_nearest_takes_the_pixels_that_keras_took_in_2022():
    from keras.utils import load_img

    photograph = np.random.default_rng(0).integers(0, 256, (301, 450, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(photograph), "JPEG")
    expected = np.asarray(load_img(io.BytesIO(content), target_size=(224, 224), interpolation="nearest"))
    assert np.array_equal(read_pixels(content, resize_to_square(224, "nearest")), expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (unsupported_bmp(), "this variant of its format is not supported.*: Unsupported BMP compression"),
        (jpeg_of_12_bits(), "this variant of JPEG is not supported, or its header is damaged"),
        (encoded(plain("RGB", RED), "WEBP")[:40], "damaged or truncated: its pixels cannot be decoded"),
        (b"only text", "not an image of a supported format"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (encoded(plain("RGB", RED), "JPEG")[:400], "damaged or truncated"),
        (encoded(Image.effect_noise((200, 200), 90), "JPEG")[:4000], "truncated"),
        (encoded(Image.effect_noise((200, 200), 90), "PNG")[:4000], "truncated"),
        (encoded(plain("RGB", RED), "PNG")[:20], "truncated"),
        (encoded(plain("RGB", RED), "PPM"), "not an image of a supported format"),
        (b"%PDF-1.7", "not an image of a supported format"),
    ],
)
def test_an_unreadable_image_has_a_reason(content, reason):
    with pytest.raises(UnreadableImage, match=reason):
        read_pixels(content, resize_to_square(8, "nearest"))


def test_an_unreadable_file_has_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").touch()
    for name, reason in (
        ("absent.jpg", "no such file"),
        (".", "a folder"),
        ("pipe.jpg", "not a regular file"),
        ("empty.jpg", "empty file"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            read_pixels(tmp_path / name, resize_to_square(8, "nearest"))


def test_pixels_are_limited_before_decoding():
    content = encoded(Image.new("1", (20_000, 20_000)), "PNG")  # 50 kB that would take 1.2 GB as RGB
    with pytest.raises(UnreadableImage, match="limit"):
        read_pixels(content, resize_to_square(8, "nearest"))
    with pytest.raises(UnreadableImage, match=r"40 x 30 pixels: more than the limit of 1000 pixels"):
        read_pixels(encoded(plain("RGB", RED), "PNG"), resize_to_square(8, "nearest"), images.Limits(pixels=1000))


def test_a_thumbnail_is_a_small_jpeg_in_proportion():
    small = Image.open(io.BytesIO(images.make_thumbnail(encoded(Image.new("RGB", (800, 400), RED), "PNG"), 100)))
    assert (small.format, small.size) == ("JPEG", (100, 50))


def test_importing_the_package_leaves_pillows_warning_as_it_is():
    script = """
import warnings
from PIL import Image, ImageDraw
import similar_images.inputs.images
assert not any(category is Image.DecompressionBombWarning for _, _, category, *_ in warnings.filters)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_an_image_that_pillow_would_warn_of_is_held_to_our_limit_without_a_warning():
    content = encoded(Image.new("1", (10_000, 9_500)), "PNG")
    with pytest.raises(UnreadableImage, match=r"10000 x 9500 pixels: more than the limit of 1000 pixels"):
        images.open_image(content, images.Limits(pixels=1000))


def test_a_name_with_nul_is_no_file(tmp_path):
    with pytest.raises(UnreadableImage, match="its name contains a NUL character"):
        images.open_image(tmp_path / "\0.jpg")
