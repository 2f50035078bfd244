"""Words as queries, alone and beside images, with a small CLIP that knows the kinds of the sample by their names."""

import numpy as np
import pytest
from sample_images import COLOURS, make_sample
from small_clip import make_words_sample

from similar_images import Collection
from similar_images.collection import images
from similar_images.index.exact import normalise
from similar_images.index.similarity import default_similarity

for package in ("transformers", "onnxscript"):
    pytest.importorskip(package, reason="networks of the hub are not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_words_sample(tmp_path_factory.mktemp("words"))


@pytest.fixture
def collection(folder) -> Collection:
    return Collection.open(folder / "sample_file_list.txt")


def kinds(hits) -> list[str]:
    return [hit.name.split("/")[0] for hit in hits]


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize("said", ["{}", "a photo of the {}", "The {}"])
def test_words_find_matching_images(collection, kind, said):
    hits = collection.nearest(text=said.format(kind), k=3)
    assert kinds(hits) == [kind] * 3
    assert [hit.percentile for hit in hits] == [None] * 3  # rows of the index are images
    assert hits[0].similarity > hits[1].similarity - 1e-6


def test_a_row_and_words_are_one_query_in_which_each_counts_alike(collection):
    row = collection.names.index("grass/grass-0.jpg")
    hits = collection.nearest(row, k=11, text="sea")
    units = normalise(np.stack([collection.vector(row), collection.encode_text("sea").vector]))
    similarities = units @ normalise(np.asarray(collection.array)).T
    expected = normalise((units / similarities.std(axis=1, keepdims=True)).sum(axis=0, keepdims=True))[0]
    assert hits[0].similarity == pytest.approx(float(normalise(collection.vector(hits[0].row)[None])[0] @ expected))
    assert set(kinds(hits[:5])) == {"grass", "sea"}  # two others of grass, three of sea


def test_words_are_also_negatives_and_have_weights(collection):
    grass, sea = (collection.encode_text(kind) for kind in ("grass", "sea"))
    assert kinds(collection.nearest([grass, (sea, 0.01)], k=3)) == ["grass"] * 3
    assert kinds(collection.nearest([(grass, 0.01), sea], k=3)) == ["sea"] * 3
    without = kinds(collection.nearest(text=["grass", "sea"], negatives=[sea], k=3))
    assert without == ["grass"] * 3


def test_words_are_searched_exactly_in_matching_rows(collection, monkeypatch):
    monkeypatch.setattr("similar_images.collection.searcher.search", lambda *_: pytest.fail("the index was asked"))
    assert kinds(collection.nearest(text="sea", k=2)) == ["sea", "sea"]
    monkeypatch.undo()
    hits = collection.nearest(text="sea", k=12, where={"folder": "wine"})
    assert kinds(hits) == ["wine"] * 3


def test_unmatched_words_have_no_close_match(collection, monkeypatch):
    monkeypatch.setattr(images, "PHRASES", list(COLOURS))
    only = {"folder": ["grass", "wine"]}
    hits = {kind: collection.nearest(text=kind, k=3, where=only) for kind in COLOURS}
    assert {kind: collection.is_like_nothing(hits[kind], only, kind) for kind in COLOURS} == {
        "grass": False,
        "sea": True,
        "sun": True,
        "wine": False,
    }


def test_encoded_query_is_not_encoded_again(collection, monkeypatch):
    monkeypatch.setattr(images, "PHRASES", list(COLOURS))
    query = collection.encode_text("wine", prompt="a photo of the {}")
    hits = collection.nearest(query, k=3)
    assert not collection.is_like_nothing(hits, None, query)  # which encodes the phrases, once
    monkeypatch.setattr(type(collection.encoder.load()), "encode_text", lambda *_: pytest.fail("it was encoded again"))
    assert not collection.is_like_nothing(hits, None, query)


def test_such_a_network_is_searched_by_the_cosine_and_another_similarity_refuses_words(folder, collection):
    assert default_similarity(collection.network, 10_000) == "cosine"
    other = collection.with_similarity("centred")
    with pytest.raises(ValueError, match="by the centred similarity of this index: build it with --similarity cosine"):
        other.nearest(text="sea")


@pytest.mark.parametrize("words", ["", "  ", "sea" * 40_000])
def test_invalid_words_fail(collection, words):
    with pytest.raises(ValueError, match="expected words to search for"):
        collection.nearest(text=words)


def test_network_without_words_names_one_with_words(tmp_path):
    make_sample(tmp_path)
    with pytest.raises(
        ValueError, match=r"hog-colour does not read words: .* --network hf:openai/clip-vit-base-patch32"
    ):
        Collection.open(tmp_path / "sample_file_list.txt").nearest(text="sea")
