"""Read unusual images correctly, and skip damaged and hostile ones with the right reason."""

import csv
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from extraction import extract_images
from image_files import chunk, png
from PIL import Image, PngImagePlugin
from sample_images import encoded

from similar_images.inputs import images
from similar_images.inputs.formats import PILLOW_FORMATS
from similar_images.inputs.images import read_pixels, resize_to_square
from similar_images.vectors.store import skipped_path

RED = (200, 40, 60)
LIMITS = images.Limits(pixels=1_000_000, bytes=2_000_000, seconds=20)
NOT_AN_IMAGE, HEADER = "not an image of a supported format", "its header is damaged"
DAMAGED, TOO_LARGE = "damaged or truncated", "more than the limit"


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def noise(form: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), form, **options)


def frames(form: str) -> bytes:
    others = [Image.new("RGB", (60, 40), colour) for colour in ("blue", "green")]
    return encoded(picture(), form, save_all=True, append_images=others)


def png_rows(width: int, height: int) -> bytes:
    return zlib.compress((b"\0" + bytes(RED) * width) * height)


def changed_byte(content: bytes, marker: bytes, value: int) -> bytes:
    """Return a file with another byte, 4 bytes after the start of a marker."""
    at = content.index(marker) + 4
    return content[:at] + bytes([value]) + content[at + 1 :]


def jpeg_of_size(width: int, height: int) -> bytes:
    """Return a JPEG with a wrong size in its header."""
    content = bytearray(noise("JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def with_segment(marker: int, content: bytes) -> bytes:
    """Return a JPEG with an additional first segment."""
    good = encoded(picture(), "JPEG")
    return good[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + good[2:]


def tiff_that_loops() -> bytes:
    """Return a TIFF with a directory that links to itself."""
    content = bytearray(encoded(picture(), "TIFF"))
    start = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[start : start + 2])[0]
    content[start + 2 + 12 * entries : start + 6 + 12 * entries] = struct.pack("<I", start)
    return bytes(content)


def text_bomb() -> bytes:
    """Return a PNG with a compressed text of 64 MB."""
    content = b"Comment\0\0" + zlib.compress(bytes(64 * 2**20))
    return png(60, 40, chunk(b"zTXt", content), chunk(b"IDAT", png_rows(60, 40)))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.jpg", encoded(picture(), "JPEG"))
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "é" * 1000)
    return info


READABLE: dict[str, Callable[[], bytes]] = {  # all of them red
    "baseline.jpg": lambda: encoded(picture(), "JPEG", quality=95),
    "jpeg 2000.jpg": lambda: encoded(picture(), "JPEG2000"),
    "progressive.jpg": lambda: encoded(picture(), "JPEG", progressive=True),
    "restarts.jpg": lambda: encoded(picture(), "JPEG", restart_marker_blocks=1),
    "quality-1.jpg": lambda: encoded(picture(), "JPEG", quality=30, subsampling=2),
    "cmyk.jpg": lambda: encoded(picture("CMYK"), "JPEG", quality=95),
    "mpo of a phone.jpg": lambda: frames("MPO"),
    "one pixel.jpg": lambda: encoded(picture(size=(1, 1)), "JPEG", quality=95),
    "exif orientation 6.jpg": lambda: encoded(picture(), "JPEG", exif=exif(6)),
    "exif orientation 99.jpg": lambda: encoded(picture(), "JPEG", exif=exif(99)),
    "exif of garbage.jpg": lambda: encoded(picture(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 300),
    "icc of garbage.jpg": lambda: encoded(picture(), "JPEG", icc_profile=bytes(range(256)) * 200),
    "comment of 64 kB.jpg": lambda: with_segment(0xFE, bytes(65_000)),
    "photoshop of garbage.jpg": lambda: with_segment(0xED, b"Photoshop 3.0\0" + b"\xff" * 100),
    "garbage after the end.jpg": lambda: encoded(picture(), "JPEG") + os.urandom(5000),
    "really a png.jpg": lambda: encoded(picture(), "PNG"),
    "really a jpeg.png": lambda: encoded(picture(), "JPEG", quality=95),
    "rgb.png": lambda: encoded(picture(), "PNG"),
    "palette.png": lambda: encoded(picture("P"), "PNG"),
    "palette with transparency.png": lambda: encoded(picture("P"), "PNG", transparency=255),
    "opaque alpha.png": lambda: encoded(picture("RGBA"), "PNG"),
    "16 bits a colour.png": lambda: png(
        2, 1, chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">3H", *(257 * one for one in RED)) * 2)), depth=16
    ),
    "texts.png": lambda: encoded(picture(), "PNG", pnginfo=texts()),
    "wrong checksum.png": lambda: png(60, 40, chunk(b"IDAT", png_rows(60, 40), crc=1)),
    "no end.png": lambda: encoded(picture(), "PNG")[:-12],
    "one row of 100,000.png": lambda: encoded(picture(size=(100_000, 1)), "PNG"),
    "one column of 100,000.png": lambda: encoded(picture(size=(1, 100_000)), "PNG"),
    "animated.png": lambda: frames("PNG"),
    "animated.gif": lambda: frames("GIF"),
    "interlaced.gif": lambda: encoded(picture(), "GIF", interlace=1),
    "24 bits.bmp": lambda: encoded(picture(), "BMP"),
    "8 bits.bmp": lambda: encoded(picture("P"), "BMP"),
    "32 bits.bmp": lambda: encoded(picture("RGBA"), "BMP"),
    "lzw.tif": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "jpeg.tiff": lambda: encoded(picture(), "TIFF", compression="jpeg"),
    "big.tiff": lambda: encoded(picture(), "TIFF", big_tiff=True),
    "cmyk.tiff": lambda: encoded(picture("CMYK"), "TIFF"),
    "several pages.tiff": lambda: frames("TIFF"),
    "directory in a loop.tiff": tiff_that_loops,
    "lossy.webp": lambda: encoded(picture(), "WEBP", quality=95),
    "lossless.webp": lambda: encoded(picture("RGBA"), "WEBP", lossless=True),
    "animated.webp": lambda: frames("WEBP"),
    "still.avif": lambda: encoded(picture(), "AVIF", quality=95),
    "animated.avif": lambda: frames("AVIF"),
}

UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (lambda: b"", "empty file"),
    "a text.jpg": (lambda: b"These are not the pixels.", NOT_AN_IMAGE),
    "a page.jpg": (lambda: b"\n<!doctype html><title>404</title>", "a web page or other markup"),
    "a drawing.png": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "a web page or other markup"),
    "an answer.jpg": (lambda: b'{"error": "not found"}', NOT_AN_IMAGE),
    "a pdf.jpg": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", NOT_AN_IMAGE),
    "an archive.jpg": (zipped, NOT_AN_IMAGE),
    "a film.jpg": (lambda: b"\0\0\0\x20ftypisom" + bytes(500), NOT_AN_IMAGE),
    "a program.jpg": (lambda: b"\x7fELF" + os.urandom(500), NOT_AN_IMAGE),
    "zeros.jpg": (lambda: bytes(10_000), NOT_AN_IMAGE),
    "noise.jpg": (lambda: b"\x01" + os.urandom(10_000), NOT_AN_IMAGE),
    "postscript.jpg": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", NOT_AN_IMAGE),
    "portable.png": (lambda: encoded(picture(), "PPM"), NOT_AN_IMAGE),
    "an icon.png": (lambda: encoded(picture(), "ICO"), NOT_AN_IMAGE),
    "targa.bmp": (lambda: encoded(picture(), "TGA"), NOT_AN_IMAGE),
    "only the start.jpg": (lambda: b"\xff\xd8\xff", HEADER),
    "half.jpg": (lambda: noise("JPEG")[:8000], DAMAGED),
    "half a header.jpg": (lambda: noise("JPEG")[:100], DAMAGED),
    "header of 65,535 pixels a side.jpg": (lambda: jpeg_of_size(65_535, 65_535), TOO_LARGE),
    "12 bits.jpg": (
        lambda: changed_byte(encoded(picture(), "JPEG"), b"\xff\xc0", 12),
        "this variant of JPEG is not supported, or its header is damaged",
    ),
    "only the signature.png": (lambda: b"\x89PNG\r\n\x1a\n", HEADER),
    "half.png": (lambda: noise("PNG")[:60_000], DAMAGED),
    "pixels of garbage.png": (lambda: png(60, 40, chunk(b"IDAT", b"garbage" * 9)), DAMAGED),
    "no pixels.png": (lambda: png(60, 40), DAMAGED),
    "no width.png": (lambda: png(0, 40, chunk(b"IDAT", png_rows(0, 40))), HEADER),
    "bomb.png": (lambda: encoded(Image.new("1", (20_000, 20_000)), "PNG"), TOO_LARGE),
    "bomb of Pillow's limit.png": (lambda: png(100_000, 100_000, chunk(b"IDAT", b"")), TOO_LARGE),
    "bomb of text.png": (text_bomb, DAMAGED),
    "only the header.gif": (lambda: b"GIF89a\x3c\0\x28\0\0\0\0", HEADER),
    "half.gif": (lambda: noise("GIF")[:9000], DAMAGED),
    "offset beyond the file.bmp": (lambda: encoded(picture(), "BMP")[:10] + b"\xff\xff\xff\x7f" + bytes(40), HEADER),
    "jpeg in a bmp.bmp": (
        lambda: encoded(picture(), "BMP")[:30] + struct.pack("<I", 4) + encoded(picture(), "BMP")[34:],
        "this variant of its format is not supported.*: Unsupported BMP compression",
    ),
    "half.bmp": (lambda: noise("BMP")[:9000], DAMAGED),
    "directory beyond the file.tiff": (lambda: b"II*\0\xff\xff\xff\x7f", DAMAGED),
    "half.tiff": (lambda: noise("TIFF")[:9000], DAMAGED),
    "only the header.webp": (
        lambda: encoded(picture(), "WEBP")[:40],
        "damaged or truncated: its pixels cannot be decoded",
    ),
    "half.webp": (lambda: noise("WEBP")[:2000], DAMAGED),
    "half.avif": (lambda: noise("AVIF")[:2000], HEADER),
    "more bytes than the limit.jpg": (lambda: encoded(picture(), "JPEG") + bytes(2_000_000), TOO_LARGE),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for name, make in READABLE.items():
        (folder / name).write_bytes(make())
    for name, (make, _) in UNREADABLE.items():
        (folder / name).write_bytes(make())
    (folder / "a folder.jpg").mkdir()
    (folder / "nowhere.jpg").symlink_to("no such file")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "device.jpg").symlink_to("/dev/zero")
    return folder


NO_FILES = {
    "a folder.jpg": "a folder",
    "nowhere.jpg": "no such file",
    "loop.jpg": "damaged or truncated",
    "pipe.jpg": "not a regular file",
    "device.jpg": "not a regular file",
}


@pytest.mark.parametrize("name", READABLE)
def test_unusual_image_is_read(name, folder):
    pixels = read_pixels(folder / name, resize_to_square(8, "bilinear"), LIMITS)
    assert np.abs(pixels.astype(int) - RED).max() <= 12, pixels[0, 0]


@pytest.mark.parametrize("name", [*UNREADABLE, *NO_FILES])
def test_unreadable_image_has_a_reason(name, folder):
    reason = UNREADABLE[name][1] if name in UNREADABLE else NO_FILES[name]
    with pytest.raises(images.UnreadableImage, match=reason):
        read_pixels(folder / name, resize_to_square(8, "bilinear"), LIMITS)


def test_extraction_skips_unreadable_images_only(folder, tmp_path):
    names, output = sorted(path.name for path in folder.iterdir()), tmp_path / "v.npy"
    vectors = extract_images(folder, tmp_path / "v.txt", names, output=output, limits=LIMITS)
    assert {entry.name for entry in vectors.skipped} == {*UNREADABLE, *NO_FILES}
    assert {name for name, vector in zip(names, vectors.array, strict=True) if vector.any()} == set(READABLE)
    with skipped_path(output).open(newline="") as file:
        written = {line["name"]: line for line in csv.DictReader(file)}
    assert written["half.jpg"]["bytes"] == "8000" and len(written["half.jpg"]["sha256"]) == 64
    assert written["nowhere.jpg"]["sha256"] == ""


@pytest.mark.parametrize("form", PILLOW_FORMATS)
def test_random_damage_is_skipped_at_most(form):
    good, random = noise(form), np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(good)
        for at in random.integers(0, min(len(good), 600), 4):
            content[at] = random.integers(0, 256)
        try:
            pixels = read_pixels(bytes(content), resize_to_square(8, "bilinear"), LIMITS)
        except images.UnreadableImage as error:
            assert str(error)
        else:
            assert pixels.shape == (8, 8, 3)
