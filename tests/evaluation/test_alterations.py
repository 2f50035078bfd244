"""Alterations of copied photographs."""

import numpy as np
import pytest
from PIL import Image

from similar_images.evaluation.alterations import ALTERATIONS

SAME_SIZE = {"flip", "rotation", "jpeg", "colour", "blur", "text"}


@pytest.fixture
def image() -> Image.Image:
    """A smooth picture of 120 x 80 with a red spot at its upper left."""
    y, x = np.mgrid[:80, :120]
    pixels = np.stack([100 + x, 60 + y, 40 + x // 2 + y // 2], axis=-1).astype(np.uint8)
    pixels[10:20, 10:20] = 255, 0, 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_alteration_is_deterministic_and_keeps_its_argument(image, name):
    before = image.tobytes()
    once, twice = ALTERATIONS[name](image), ALTERATIONS[name](image)
    assert once.mode == "RGB"
    assert once.tobytes() == twice.tobytes()
    assert (once.size, once.tobytes()) != (image.size, before)
    assert image.tobytes() == before
    if name in SAME_SIZE:
        assert once.size == image.size
        change = np.abs(np.asarray(once, dtype=float) - np.asarray(image)).mean()
        assert 0.1 < change < 60, "of 255: seen, and still the same picture"


def test_crop_removes_a_tenth_at_each_edge(image):
    assert ALTERATIONS["crop"](image).tobytes() == image.crop((12, 8, 108, 72)).tobytes()


def test_resize_halves_both_sides(image):
    assert ALTERATIONS["resize"](image).size == (60, 40)


def test_two_flips_restore_the_picture(image):
    assert ALTERATIONS["flip"](ALTERATIONS["flip"](image)).tobytes() == image.tobytes()


def test_rotation_has_no_black_corners(image):
    turned = np.asarray(ALTERATIONS["rotation"](image))
    assert turned.min(axis=(0, 1))[1] == 0, "the spot is there"
    corners = turned[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.sum(axis=1) > 150).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("name", ALTERATIONS)
def test_tiny_and_thin_pictures_can_be_altered(name, size):
    altered = ALTERATIONS[name](Image.new("RGB", size, "orange"))
    assert altered.mode == "RGB"
    assert min(altered.size) >= 1
