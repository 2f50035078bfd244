"""Read the formats of phones and cameras: HEIC, JPEG XL, JPEG 2000, MPO and raw photographs."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import photo_files
import pytest
from colour_profiles import rgb_profile
from conftest import ROOT
from extraction import extract_images
from photo_files import ACME, dng, heic, heic_of_10_bits, jpeg_xl
from PIL import Image
from sample_images import encoded

from similar_images.inputs import formats, images
from similar_images.inputs.exif import parse_exif
from similar_images.inputs.images import Limits, UnreadableImage, read_pixels, resize_to_square
from similar_images.inputs.sources import open_source
from similar_images.networks import loader

PHOTOS = Path(os.environ.get("SIMILAR_IMAGES_DATA", "../shared"), "photos")
RED, BLUE = (255, 0, 0), (30, 90, 200)
MIN_COSINE = 0.99
DATE = datetime(2019, 7, 1, 12, 30)


def picture(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Return a white image with a red mark at the upper left and a blue one at the lower right."""
    image = Image.new("RGB", size, "white")
    image.paste(RED, (0, 0, size[0] * 3 // 8, size[1] // 3))
    image.paste(BLUE, (size[0] // 2, size[1] * 5 // 8, *size))
    return image


def preview_of(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JPEG", quality=95, **options)


def mpo(image: Image.Image) -> bytes:
    return encoded(image, "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", image.size, BLUE)])


def recompressed(file: Path) -> bytes:
    """Return a JPEG as JPEG XL, from which the JPEG can be restored."""
    with Image.open(file) as image:
        return encoded(image, "JXL", lossless_jpeg=True)


MADE: dict[str, Callable[[Image.Image], bytes]] = {
    "heic": lambda image: heic(image, quality=90),
    "10 bits.heic": heic_of_10_bits,
    "jxl": lambda image: jpeg_xl(image, quality=90),
    "lossless.jxl": lambda image: jpeg_xl(image, lossless=True),
    "dng": dng,
    "preview.dng": lambda image: dng(image, preview=preview_of(image.resize((image.width // 2, image.height // 2)))),
    "jp2": lambda image: encoded(image, "JPEG2000"),
    "mpo": mpo,
}


def assert_upright(image: Image.Image) -> None:
    width, height = image.size
    assert width * 3 == height * 4
    marks = [image.getpixel((width // 8, height // 8)), image.getpixel((width * 3 // 4, height * 7 // 8))]
    assert np.abs(np.subtract(marks, (RED, BLUE))).max() <= 12, marks


@pytest.mark.parametrize("form", MADE)
def test_image_is_read_whatever_its_suffix(form, tmp_path):
    for name in (f"a.{form}", "b.jpg"):
        (tmp_path / name).write_bytes(MADE[form](picture()))
        assert_upright(images.open_image(tmp_path / name))
        assert_upright(Image.open(io.BytesIO(images.make_thumbnail(tmp_path / name, 160))))
    assert open_source(tmp_path).find().names == [f"a.{form}", "b.jpg"]


@pytest.mark.parametrize("form", MADE)
def test_vector_is_near_the_vector_of_the_png(form):
    if not PHOTOS.is_dir():
        pytest.skip("no photographs")
    encoder = loader.load("efficientnetlite0")
    for file in sorted(PHOTOS.glob("caltech101/*/*.jpg"))[:400:80]:
        image = images.open_image(file)
        image = image.resize((4 * image.width, 4 * image.height), Image.Resampling.BICUBIC)  # as from a camera
        one, other = (encoder.encode_image(content) for content in (encoded(image, "PNG"), MADE[form](image)))
        assert one @ other / np.sqrt(one @ one * (other @ other)) >= MIN_COSINE, file.name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_upright(orientation):
    content = heic(picture(), orientation, quality=90)
    assert_upright(images.open_image(content))
    assert images.read_original(content)[2] == (640, 480)


def test_avif_with_a_general_brand_is_not_heic():
    content = encoded(picture(), "AVIF", quality=90)
    assert content[8:12] == b"avif" and b"avif" in content[16:32]
    assert_upright(images.open_image(content[:8] + b"mif1" + content[12:]))
    heif = heic(picture(), quality=90)
    assert_upright(images.open_image(heif[:8] + b"mif1" + heif[12:]))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_raw_photograph_and_its_preview_are_upright(orientation):
    stored = photo_files.stored_as(picture(), orientation)
    assert_upright(images.open_image(dng(stored, orientation)))
    assert_upright(images.open_image(dng(stored, orientation, preview_of(stored))))
    exif = photo_files.exif_of(orientation)
    assert_upright(images.open_image(dng(stored, orientation, preview_of(stored, exif=exif))))
    if orientation in (6, 8):  # a camera that rotates the preview
        assert_upright(images.open_image(dng(stored, orientation, preview_of(picture()))))


def test_preview_is_used_if_it_is_large_enough():
    black, sensor = Image.new("RGB", (160, 120)), picture()
    content = dng(sensor, preview=preview_of(black))
    assert read_pixels(content, resize_to_square(120, "bilinear")).max() < 10
    assert read_pixels(content, resize_to_square(121, "bilinear")).max() > 240
    assert images.open_image(content).size == (320, 240)
    assert images.open_image(dng(sensor, preview=preview_of(sensor))).size == (320, 240)
    assert images.open_image(dng(sensor, preview=preview_of(sensor)), side=400).size == (640, 480)
    assert_upright(images.open_image(dng(sensor, preview=preview_of(sensor)[:3000])))


def test_preview_replaces_a_sensor_that_cannot_be_decoded():
    compression, jpeg_xl_of_dng = (struct.pack("<HHIH", 259, 3, 1, value) for value in (1, 52546))
    content = dng(picture(), preview=preview_of(picture((64, 48)))).replace(compression, jpeg_xl_of_dng, 1)
    assert images.open_image(content).size == (64, 48)
    with pytest.raises(UnreadableImage, match=r"not supported|damaged"):
        images.open_image(dng(picture()).replace(compression, jpeg_xl_of_dng, 1))


def test_heic_with_alpha_is_put_on_white():
    image = picture().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 128))
    shown = np.asarray(images.open_image(heic(image, quality=95)))
    expected = np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
    assert np.abs(shown.astype(int) - expected)[10:100, 10:200].max() <= 8


@pytest.mark.parametrize("form", ["heic", "jxl"])
def test_colour_profile_is_applied(form, tmp_path):
    profile, image = rgb_profile("Display P3"), Image.new("RGB", (64, 48), (0, 200, 60))
    image.save(tmp_path / "a.jpg", quality=95, icc_profile=profile)
    content = heic(image, quality=95, icc_profile=profile) if form == "heic" else recompressed(tmp_path / "a.jpg")
    shown, expected = (images.open_image(each).getpixel((30, 30)) for each in (content, tmp_path / "a.jpg"))
    assert np.abs(np.subtract(shown, expected)).max() <= 6 and np.abs(np.subtract(shown, (0, 200, 60))).max() > 40


@pytest.mark.parametrize("form", ["heic", "jxl", "dng", "preview.dng"])
def test_date_and_camera_are_read(form):
    assert parse_exif(io.BytesIO(MADE[form](picture())))[:2] == (DATE, ACME)


def test_jpeg_xl_ignores_the_orientation_of_exif(monkeypatch):
    monkeypatch.setattr(photo_files, "exif_of", lambda: exif)
    exif = photo_files.Image.Exif()
    exif[274] = 6
    exif = exif.tobytes()
    assert_upright(images.open_image(jpeg_xl(picture(), lossless=True)))


def test_jpeg_recompressed_as_jpeg_xl_is_upright(tmp_path):
    stored = photo_files.stored_as(picture(), 6)
    stored.save(tmp_path / "a.jpg", quality=95, exif=photo_files.exif_of(6))
    assert_upright(images.open_image(recompressed(tmp_path / "a.jpg")))


@pytest.mark.parametrize(
    "size", [(1, 1), (256, 256), (8, 16), (1000, 750), (65, 7000), (333, 777), (1920, 1080), (40, 32)]
)
def test_size_of_jpeg_xl_is_read_without_decoding(size):
    content = jpeg_xl(Image.new("L", size), effort=1)
    assert images.read_original(content)[2] == size
    assert images.read_original(content[:400])[2] == size


@pytest.mark.parametrize("form", ["heic", "jxl", "dng", "jp2"])
def test_pixel_limit_applies_before_decoding(form):
    content = MADE[form](picture())
    with pytest.raises(UnreadableImage, match="640 x 480 pixels: more than the limit of 1000 pixels"):
        images.open_image(content, Limits(pixels=1000))


@pytest.mark.parametrize("form", ["heic", "jxl", "dng", "preview.dng", "jp2", "mpo"])
def test_damage_is_skipped_at_most(form):
    good, random = MADE[form](picture()), np.random.default_rng(0)
    for keep in (8, 40, 400, len(good) // 2):
        with pytest.raises(UnreadableImage) as raised:
            read_pixels(good[:keep], resize_to_square(8, "bilinear"))
        assert str(raised.value) and "\n" not in str(raised.value) and "b'" not in str(raised.value)
    for _ in range(20):
        content = bytearray(good)
        for at in random.integers(0, min(len(good), 600), 4):
            content[at] = random.integers(0, 256)
        try:
            assert read_pixels(bytes(content), resize_to_square(8, "bilinear"), Limits(1_000_000)).shape == (8, 8, 3)
        except UnreadableImage as error:
            assert str(error)


def test_extraction_reads_all_formats(tmp_path):
    (tmp_path / "photos").mkdir()
    for form, make in MADE.items():
        (tmp_path / "photos" / f"a.{form}").write_bytes(make(picture()))
    vectors = extract_images(tmp_path / "photos", tmp_path / "v.txt", output=tmp_path / "v.npy")
    assert not vectors.skipped and len(vectors.array) == len(MADE)


def test_format_without_its_decoder_names_the_extra(tmp_path):
    for name in ("a.jpg", "b.jxl", "c.DNG", "d.jpg"):
        make = {".jxl": jpeg_xl, ".DNG": dng}.get(Path(name).suffix, preview_of)
        (tmp_path / name).write_bytes(make(picture()))
    (tmp_path / "d.jpg").write_bytes(dng(picture()))
    script = """
import sys
from importlib import util
real = util.find_spec
util.find_spec = lambda name: None if name in ("rawpy", "pillow_jxl") else real(name)
from similar_images.inputs.images import open_image
from similar_images.inputs.sources import open_source, parse_location
found = open_source(parse_location(sys.argv[1])).find()
print(found.names, *found.notes(), sep="\\n")
try:
    open_image(sys.argv[1] + "/d.jpg")
except ValueError as error:
    print(error)
assert not {"rawpy", "pillow_jxl"} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "['a.jpg', 'd.jpg']",
        "left out: images whose decoder is not installed: 1 (1 .jxl); pip install 'similar-images[jxl]' reads them",
        "left out: images whose decoder is not installed: 1 (1 .dng); pip install 'similar-images[raw]' reads them",
        "its format (RAW) needs a decoder: pip install 'similar-images[raw]'",
    ]


def test_every_suffix_belongs_to_one_kind():
    suffixes = [suffix for each in formats.SUPPORTED for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes)) and not set(suffixes) & formats.UNSUPPORTED_SUFFIXES
