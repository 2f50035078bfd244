import numpy as np
import pytest

from similar_images.index.exact import normalise
from similar_images.networks.hog_colour import DIMENSION, SIDE, encode


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    unit = normalise(encode(np.stack([one, other])))
    return float(unit[0] @ unit[1])


def field(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, dtype=np.uint8)


def striped(image: np.ndarray, axis: int) -> np.ndarray:
    image = image.copy()
    index = [slice(None)] * 2
    for start in range(0, SIDE, 32):
        index[axis] = slice(start, start + 16)
        image[tuple(index)] = 255
    return image


def test_vectors_are_float32_rows_and_the_pixels_stay_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    before = pixels.copy()
    vectors = encode(pixels)
    assert vectors.shape == (3, DIMENSION) and vectors.dtype == np.float32
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (127, 127, 127), (255, 0, 0)])
def test_a_plain_picture_has_a_vector(colour):
    vector = encode(field(colour)[None])[0]
    assert np.isfinite(vector).all() and vector.any()


def test_a_row_does_not_depend_on_its_batch():
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    assert np.array_equal(encode(pixels)[3], encode(pixels[3:4])[0])


def test_colour_counts():
    red, green = striped(field((200, 0, 0)), 0), striped(field((0, 200, 0)), 0)
    assert cosine(red, red) > cosine(red, green)


def test_shape_counts():
    across, down = striped(field((200, 0, 0)), 0), striped(field((200, 0, 0)), 1)
    assert cosine(across, striped(field((180, 10, 10)), 0)) > cosine(across, down)


def test_brightness_matters_little():
    picture = np.random.default_rng(0).integers(60, 160, (8, 8, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    assert cosine(picture, (picture * 1.2).astype(np.uint8)) > 0.6
