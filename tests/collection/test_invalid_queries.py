"""Invalid queries fail in one line with the expected and the given value."""

import warnings

import numpy as np
import pytest
from colour_network import saved
from PIL import Image

from similar_images import Collection
from similar_images.collection.encoder import Query
from similar_images.index.exact import normalise
from similar_images.inputs.images import UnreadableImage
from similar_images.networks.description import NetworkDescription

D = 3


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """12 pictures with an index, made with a network that reads words."""
    folder = tmp_path_factory.mktemp("invalid")
    (folder / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 1, 3), dtype=np.uint8)
    for i in range(12):
        Image.fromarray(np.broadcast_to(pixels[i], (40, 40, 3))).save(folder / "photos" / f"{i:02}.png")
    network = saved(folder / "network")
    return Collection.create(folder / "photos", folder, network=str(network))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("missing.jpg", r"missing\.jpg: no such file"),
        (__file__, r"test_invalid_queries\.py: not an image"),
        ([0, "missing.jpg"], r"missing\.jpg: no such file"),
        (np.zeros((4, 4, 3)), r"expected an image as uint8 .*, got float64 \(4, 4, 3\).*astype"),
        (np.zeros((4, 4, 3), np.int64), r"expected an image as uint8 .*, got int64 \(4, 4, 3\)"),
        (np.zeros((4, 4, 7), np.uint8), r"expected an image as uint8 .*, got uint8 \(4, 4, 7\)"),
        (np.zeros((0, 4, 3), np.uint8), r"expected an image as uint8 .*, got uint8 \(0, 4, 3\)"),
        (np.zeros((2, D), np.float32), r"expected one vector .*, got float32 \(2, 3\).*nearest_many"),
        (np.ones(2), r"expected a vector of shape \(3,\), made by .*, got \(2,\)"),
        (np.zeros(D, np.float32), "expected a vector with a direction, got zeros"),
        (np.array([1, np.nan, 2]), "expected a vector of numbers, got NaN or infinity at position 1"),
        (np.array([1, 2, -np.inf], np.float32), "expected a vector of numbers, got NaN or infinity at position 2"),
        (np.array(["a", "b", "c"]), r"expected a vector of numbers, got <U1"),
        (np.array([None] * D), r"expected a vector of numbers, got object"),
        (np.ones(D, complex), r"expected a vector of numbers, got complex128"),
        ([(0, 1e308), 1], r"expected a weight .*, got 1e\+308"),
        ([(0, 10**400), 1], r"expected a weight .*, got 1000"),
        ([(0, 0), 1], r"expected a weight above 0 .*, got 0"),
        (-1, "expected a row from 0 to 11, got -1"),
        (10**30, "expected a row from 0 to 11, got 1000"),
        (True, "expected one query"),
        (None, "expected one query"),
    ],
)
def test_invalid_query_is_one_clear_line(collection, query, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ValueError, TypeError, IndexError), match=expected) as caught:
            collection.nearest(query)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("missing.jpg", r"missing\.jpg: no such file"),
        (b"no picture", "query 1: not an image"),
        (np.zeros((4, 4, 3)), "query 1: expected an image as uint8"),
        (12, "query 1: expected a row from 0 to 11, got 12"),
        (None, "query 1: expected one query"),
    ],
)
def test_an_invalid_query_among_many_is_named(collection, query, expected):
    with pytest.raises((ValueError, TypeError, IndexError), match=expected):
        collection.nearest_many([0, query])


def test_unreadable_images_keep_their_exception(collection):
    for search in (collection.nearest, collection.encode, lambda name: collection.nearest_many([name])):
        with pytest.raises(UnreadableImage, match=r"missing\.jpg: no such file"):
            search("missing.jpg")


def test_a_missing_image_of_the_collection_is_named(collection):
    moved = collection.path(3).rename(collection.path(3).with_name("elsewhere"))
    try:
        with pytest.raises(UnreadableImage, match=r"03\.png: no such file"):
            collection.explain(0, 3)
    finally:
        moved.rename(collection.path(3))


@pytest.mark.parametrize("k", [0, -1, 8.0, "8", None, True])
def test_invalid_k_is_refused(collection, k):
    for search in (lambda: collection.nearest(0, k), lambda: collection.neighbours(k)):
        with pytest.raises((ValueError, TypeError), match=rf"expected k .*, got {k!r}"):
            search()


def test_neighbours_of_a_huge_k_are_all_other_rows(collection):
    found = collection.neighbours(k=10**9)
    assert all({*row.tolist()} - {-1} == {*range(12)} - {i} for i, row in enumerate(found.rows))


@pytest.mark.parametrize("row", [-1, 12, 10**9])
def test_unknown_rows_are_refused_everywhere(collection, row):
    for get in (collection.path, collection.image, collection.vector, lambda row: collection.explain(0, row)):
        with pytest.raises(IndexError, match=f"expected a row from 0 to 11, got {row}"):
            get(row)


@pytest.mark.parametrize("scale", [1e300, 1e19, 1e-24, 1e-300])
def test_vectors_of_any_length_find_the_same(collection, scale):
    vector = np.array([3.0, -2.0, 0.5])
    expected = [(hit.row, round(hit.similarity, 4)) for hit in collection.nearest(vector)]
    assert [(hit.row, round(hit.similarity, 4)) for hit in collection.nearest(vector * scale)] == expected


@pytest.mark.parametrize("given", [None, 5, ["0.jpg", "1.jpg"], []])
def test_a_collection_is_made_of_one_folder(given):
    with pytest.raises(TypeError, match=r"expected a folder or archive of images as a path, got"):
        Collection.create(given)
    with pytest.raises(TypeError, match=r"expected the list or the vectors of a collection as a path, got"):
        Collection.open(given)


def test_words_that_no_file_can_hold_are_read_as_far_as_they_can_be(collection):
    assert collection.nearest(text="red\ud800")
    with pytest.raises(ValueError, match="empty text"):
        collection.nearest(text="   ")


def test_many_queries_with_words_are_searched_like_one(collection):
    words = collection.encode_text("blue")
    image = collection.encode(collection.path(0))
    many = collection.nearest_many([words, image, 3])
    assert many[0] == collection.nearest(words)
    assert [hit.percentile for hit in many[0]] == [None] * 8
    assert many[1] == collection.nearest(image)
    assert many[2] == collection.nearest(3)


def test_query_records_are_checked(collection):
    with pytest.raises(ValueError, match="expected a query made by"):
        collection.nearest(Query(normalise(np.ones((1, D)))[0], NetworkDescription("other", dimension=1)))
