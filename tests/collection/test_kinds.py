"""Collections of images and of texts: each is opened by its own class, and refuses the other's with its name."""

import numpy as np
import pytest
from collection_files import save_texts, save_vectors
from PIL import Image

from similar_images import Collection, TextCollection
from similar_images.collection.base import BaseCollection
from similar_images.collection.opening import open_collection
from similar_images.evaluation.evaluation import evaluate, open_configs
from similar_images.inputs.texts import read_texts

TEXTS = ["late train", "cat on keyboard", "pancakes"]


@pytest.fixture
def images(tmp_path):
    return save_vectors(tmp_path / "v.npy", np.eye(3, dtype=np.float32), ["a.jpg", "b.jpg", "c.jpg"])


def test_texts_do_not_inherit_from_images(tmp_path, images):
    texts = TextCollection.open(save_texts(tmp_path / "said.txt", TEXTS))
    assert isinstance(texts, BaseCollection) and not isinstance(texts, Collection)
    assert isinstance(Collection.open(images), BaseCollection)
    assert (texts.noun, Collection.open(images).noun) == ("text", "image")


@pytest.mark.parametrize("name", ["said.txt", "said.txt.saved_predictions.npy"])
def test_texts_opened_as_images_name_the_right_command_and_class(tmp_path, name):
    save_texts(tmp_path / "said.txt", TEXTS)
    with pytest.raises(
        ValueError, match=r"got one of texts, .*similar-images search-texts, or in Python with TextCollection\.open"
    ):
        Collection.open(tmp_path / name)


def test_a_table_opened_as_images_names_the_right_command_and_class(tmp_path):
    (tmp_path / "said.csv").write_text("text\nlate train\n")
    with pytest.raises(ValueError, match=r"got one of texts, .*said\.csv: search it with similar-images search-texts"):
        Collection.open(tmp_path / "said.csv")


def test_images_opened_as_texts_name_the_right_command_and_class(images):
    with pytest.raises(
        ValueError, match=r"got one of images, .*similar-images search, or in Python with Collection\.open"
    ):
        TextCollection.open(images)


def test_either_kind_is_opened_for_evaluation(tmp_path, images):
    list_file = save_texts(tmp_path / "said.txt", TEXTS)
    assert isinstance(open_collection(list_file), TextCollection)
    assert isinstance(open_collection(images), Collection)
    (measured,) = evaluate(open_configs(list_file), k=1, altered=0)
    assert measured.rows.shape == (3, 1)
    with pytest.raises(
        ValueError,
        match=r"altered copies need images, .* is a collection of texts: omit --alterations",
    ):
        evaluate(open_configs(list_file), k=1, altered=2)
    with pytest.raises(ValueError, match=r"is a collection of texts: omit --images"):
        open_collection(list_file, images=tmp_path)


@pytest.mark.parametrize("query", [("a.jpg", "b.jpg"), None, 1.5, {"a"}])
def test_query_of_another_type_names_the_expected_ones(images, query):
    with pytest.raises(
        TypeError, match=r"expected one query: an image \(path, bytes, .*, got (tuple|NoneType|float|set)"
    ):
        Collection.open(images).nearest(query)


@pytest.mark.parametrize("query", [("a", "b"), None, b"JPEG", Image.new("RGB", (8, 8))])
def test_a_query_of_texts_is_a_text(tmp_path, query):
    collection = TextCollection.open(save_texts(tmp_path / "said.txt", TEXTS))
    with pytest.raises(TypeError, match=r"expected one query: a text \(str\), a row or a vector \(d,\) in NumPy, got"):
        collection.nearest(query)


def test_vectors_with_a_table_are_checked_against_it(tmp_path):
    table = tmp_path / "said.csv"
    table.write_text("id,said\n" + "".join(f"{row},{text}\n" for row, text in enumerate(TEXTS)))
    save_texts(tmp_path / "said_list.txt", TEXTS)
    assert TextCollection.open(table).names == TextCollection.open(table, column="said").names == TEXTS
    with pytest.raises(ValueError, match="no column absent: choose one of id, said with --column"):
        TextCollection.open(table, column="absent")
    with pytest.raises(ValueError, match=r"made from other texts than .*said\.csv, column id: make the vectors again"):
        TextCollection.open(table, column="id")
    with pytest.raises(ValueError, match="has no columns: omit --column"):
        TextCollection.open(tmp_path / "said_list.txt", column="said")
    with table.open("a") as file:
        file.write("3,added since\n")
    assert TextCollection.open(table).names == TEXTS  # as for a grown list
    table.write_text("id,said\n0,replaced\n1,by\n2,another\n")
    with pytest.raises(ValueError, match=r"made from other texts than .*said\.csv: make the vectors again"):
        TextCollection.open(table)


def test_json_lines_are_checked_too(tmp_path):
    table = tmp_path / "said.jsonl"
    table.write_text("".join(f'{{"id": {row}, "said": "{text}"}}\n' for row, text in enumerate(TEXTS)))
    save_texts(tmp_path / "said_list.txt", TEXTS)
    assert TextCollection.open(table).names == read_texts(table, "said")
