"""Heat maps over the parts that a query and a hit share."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pasted_objects import pairs, thing
from PIL import Image

from similar_images import Collection
from similar_images.collection.encoder import Query
from similar_images.collection.explanation import GRID, HeatMap
from similar_images.inputs.images import Preparation, resize_to_square

PHOTOGRAPHS = Path(os.environ.get("SIMILAR_IMAGES_DATA", ROOT.parent / "shared")) / "photos" / "coco"
SHARE = 0.9  # of pairs whose peak is on the object


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two pictures with a ladybird on the left or on the right, on even grounds, and one without."""
    folder = tmp_path_factory.mktemp("ladybirds")
    (folder / "pictures").mkdir()
    ladybird = thing("ladybird", 0).resize((150, 120))
    for name, colour, place in (
        ("a", (90, 120, 200), (10, 20)),
        ("b", (200, 190, 160), (440, 320)),
        ("c", (60, 90, 60), None),
    ):
        image = Image.new("RGB", (600, 450), colour)
        if place:
            image.paste(ladybird, place, ladybird)
        image.save(folder / "pictures" / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def collection(folder) -> Collection:
    return Collection.create(folder / "pictures", folder)


def is_left(heat: HeatMap) -> bool:
    x, y = heat.peak(600, 450)
    return x < 300 and y < 225


def is_right(heat: HeatMap) -> bool:
    x, y = heat.peak(600, 450)
    return x > 300 and y > 225


def test_a_row_and_a_hit_are_hot_where_both_show_the_same(collection):
    why = collection.explain(0, 1)
    for heat in why:
        assert heat.values.shape == (GRID, GRID) and heat.values.dtype == np.float32
        assert heat.values.min() >= 0 and heat.values.max() == pytest.approx(1)
    assert is_left(why.query) and is_right(why.hit)
    other_way = collection.explain(1, 0)
    np.testing.assert_allclose(other_way.query.values, why.hit.values, atol=1e-4)
    np.testing.assert_allclose(other_way.hit.values, why.query.values, atol=1e-4)


def test_every_kind_of_query_is_explained(collection, folder):
    file = folder / "pictures" / "a.png"
    expected = collection.explain(0, 1)
    pixels = np.asarray(Image.open(file))
    for query in (file, file.read_bytes(), pixels, [str(file), 2], [(0, 2.0), 2]):
        why = collection.explain(query, 1)
        np.testing.assert_allclose(why.hit.values, expected.hit.values, atol=1e-4)
        np.testing.assert_allclose(why.query.values, expected.query.values, atol=1e-4)


def test_a_vector_has_a_heat_map_over_the_hit_alone(collection):
    for query in (collection.vector(0), collection.encode(collection.image(0)), [collection.vector(0)]):
        why = collection.explain(query, 1)
        assert why.query is None and is_right(why.hit)


def test_unexplainable_query_fails_in_one_line(collection, folder):
    network = collection.encode(collection.image(0)).network
    words = Query(collection.vector(0), network, "a ladybird")
    for query, row, error, reason in (
        (words, 1, ValueError, "^words match no parts that can be shown: give an image"),
        (0, 3, IndexError, "^expected a row from 0 to 2, got 3$"),
        (9, 1, IndexError, "^expected a row from 0 to 2, got 9$"),
        ([], 1, ValueError, "^expected at least one query, got none$"),
        (np.ones(7, np.float32), 1, ValueError, r"^expected a vector of shape \(1280,\)"),
        (np.zeros(1280, np.float32), 1, ValueError, "^expected a vector with a direction, got zeros$"),
        (folder / "none.png", 1, ValueError, r"none\.png: no such file$"),
        (None, 1, TypeError, "^expected one query: an image"),
    ):
        with pytest.raises(error, match=reason):
            collection.explain(query, row)


def test_a_network_without_feature_maps_is_refused(folder, tmp_path):
    collection = Collection.create(folder / "pictures", tmp_path, "hog-colour")
    with pytest.raises(ValueError, match=r"^hog-colour has no feature map"):
        collection.explain(0, 1)


def test_cropped_pixels_have_no_heat():
    cropped = Preparation(32, 32, shorter=40)  # 32 of 40 pixels: the middle 80% of the shorter side
    heat = HeatMap(np.ones((4, 4), np.float32), cropped)
    on = heat.on(200, 100)
    assert on.shape == (100, 200)
    assert np.all(on[10:90, 60:140] == 1)
    assert on.sum() == pytest.approx(80 * 80)
    assert np.all(HeatMap(np.ones((4, 4), np.float32), resize_to_square(32, "bilinear")).on(30, 70) == 1)


def test_peak_is_the_hottest_pixel():
    values = np.zeros((4, 4), np.float32)
    values[0, 3] = 1  # the upper right
    assert HeatMap(values, resize_to_square(32, "bilinear")).peak(80, 40) == (70, 5)
    cropped = HeatMap(values, Preparation(32, 32, shorter=32))
    assert cropped.peak(64, 32) == (44, 4)  # the crop is from 16 to 48
    on = cropped.on(64, 32)
    assert np.unravel_index(on.argmax(), on.shape)[1] >= 40


def test_heat_map_over_an_image_changes_hot_pixels_only():
    values = np.zeros((2, 2), np.float32)
    values[1, 1] = 1
    image = Image.new("RGB", (90, 60), (10, 60, 200))
    over = HeatMap(values, resize_to_square(32, "bilinear")).over(image)
    assert over.size == image.size and np.abs(np.subtract(over.getpixel((2, 2)), (10, 60, 200))).max() <= 2
    red, green, blue = over.getpixel((80, 55))
    assert red > 150 and green > 150 and blue < 200


@pytest.mark.slow  # encodes 5,000 parts of images
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"no photographs in {PHOTOGRAPHS}: set SIMILAR_IMAGES_DATA")
def test_the_peaks_lie_on_objects_pasted_into_photographs(tmp_path):
    pasted = list(pairs(PHOTOGRAPHS))
    (tmp_path / "images").mkdir()
    for n, pair in enumerate(pasted):
        pair.one.image.save(tmp_path / "images" / f"{n:02}-one.png")
        pair.other.image.save(tmp_path / "images" / f"{n:02}-other.png")
        pair.own.save(tmp_path / "images" / f"{n:02}-own.png")
    for file in PHOTOGRAPHS.glob("*.jpg"):
        shutil.copy(file, tmp_path / "images")
    collection = Collection.create(tmp_path / "images", tmp_path)
    assert collection.similarity.name == "whitened"
    own, both = [], []
    for n, pair in enumerate(pasted):
        picture, one, other = (collection.row_named(f"{n:02}-{name}.png") for name in ("own", "one", "other"))
        own.append(pair.one.has(*collection.explain(picture, one).hit.peak(*pair.one.image.size)))
        why = collection.explain(one, other)
        both.append(pair.one.has(*why.query.peak(*pair.one.image.size)))
        both.append(pair.other.has(*why.hit.peak(*pair.other.image.size)))
    assert np.mean(own) >= SHARE and np.mean(both) >= SHARE
