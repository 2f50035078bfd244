"""Read images of any size at a reduced scale, within limits of memory."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from extraction import extract_images
from PIL import Image
from sample_images import encoded

from similar_images.inputs import images
from similar_images.inputs.images import Limits, UnreadableImage, read_pixels, resize_to_square

WIDTH, HEIGHT = 30_000, 3_600  # 108 megapixels
MAX_MEGABYTES = 100  # of memory, beyond the interpreter's and the libraries'


@pytest.fixture(scope="module")
def panorama(tmp_path_factory) -> Path:
    """A grey image that becomes brighter from the left to the right."""
    file = tmp_path_factory.mktemp("large") / "panorama.jpg"
    Image.linear_gradient("L").rotate(90).resize((WIDTH, HEIGHT)).save(file, quality=90)
    return file


@pytest.mark.parametrize("resampling", ["bilinear", "nearest"])
def test_panorama_is_read(resampling, panorama):
    pixels = read_pixels(panorama, resize_to_square(64, resampling))
    assert np.abs(pixels[32, :, 0].astype(int) - np.linspace(0, 255, 64)).max() <= 6


def test_panorama_is_extracted_and_shown(panorama, tmp_path):
    vectors = extract_images(panorama.parent, tmp_path / "v.txt", output=tmp_path / "v.npy", limits=images.LIMITS)
    assert not vectors.skipped and vectors.array.any()
    assert Image.open(io.BytesIO(images.make_thumbnail(panorama, 1000))).size == (1000, 120)
    assert images.open_image(panorama).size == (WIDTH // 2, HEIGHT // 2)
    assert images.read_original(panorama)[2] == (WIDTH, HEIGHT)


def test_panorama_takes_little_memory(panorama):
    script = """
import resource, sys
from similar_images.inputs.images import read_pixels, resize_to_square
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_pixels(sys.argv[1], resize_to_square(224, "bilinear"))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, panorama], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < MAX_MEGABYTES


def test_explicit_limit_counts_the_pixels_of_the_file(panorama):
    with pytest.raises(UnreadableImage, match="30000 x 3600 pixels: more than the limit of 100000000 pixels"):
        read_pixels(panorama, resize_to_square(64, "bilinear"), Limits(pixels=100_000_000))
    assert read_pixels(panorama, resize_to_square(64, "bilinear"), Limits(pixels=108_000_000)).any()


def test_large_image_without_reduced_scale_is_refused():
    content = encoded(Image.new("1", (12_000, 9_000)), "PNG")
    with pytest.raises(UnreadableImage, match="12000 x 9000 pixels: more than the limit of 100000000 pixels"):
        read_pixels(content, resize_to_square(64, "bilinear"))
    assert not read_pixels(content, resize_to_square(64, "bilinear"), Limits(pixels=108_000_000)).any()


def with_size(content: bytes, marker: bytes, width: int, height: int) -> bytes:
    """Return a JPEG with a wrong size in its header."""
    changed, at = bytearray(content), content.index(marker) + 5
    changed[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(changed)


@pytest.mark.parametrize(("side", "is_progressive"), [(65_000, False), (15_000, True)])
def test_jpeg_beyond_the_memory_is_refused(side, is_progressive):
    content = encoded(Image.new("RGB", (64, 48)), "JPEG", progressive=is_progressive)
    content = with_size(content, b"\xff\xc2" if is_progressive else b"\xff\xc0", side, side)
    with pytest.raises(UnreadableImage, match=f"{side} x {side} pixels: more than the limit"):
        read_pixels(content, resize_to_square(64, "bilinear"))


def test_large_jpeg_2000_is_reduced(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 100_000)
    content = encoded(Image.linear_gradient("L").resize((800, 600)), "JPEG2000")
    assert images.open_image(content).size == (200, 150)
    with pytest.raises(UnreadableImage, match="4000 x 3000 pixels"):
        images.open_image(encoded(Image.new("L", (4000, 3000)), "JPEG2000"))
