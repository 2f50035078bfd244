"""Texts whose index is searched without vectors: re-ranked by encoding them."""

import numpy as np
import pytest
from collection_files import Letters, letters, save_texts

from similar_images import TextCollection
from similar_images.collection import texts
from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import normalise
from similar_images.networks import text as text_networks
from similar_images.vectors.store import index_path, open_vectors, vectors_path


@pytest.fixture
def words() -> list[str]:
    random = np.random.default_rng(0)
    return ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(600)]


@pytest.fixture
def network(monkeypatch) -> Letters:
    network = Letters()
    monkeypatch.setattr(text_networks, "load_text_network", lambda name: network)
    return network


@pytest.fixture
def without_vectors(tmp_path, words, network, monkeypatch) -> TextCollection:
    list_file = save_texts(tmp_path / "words.txt", words)
    vectors = vectors_path(list_file)
    build(open_vectors(vectors), index_path(vectors), BuildRequest("PCA8,SQ8"))
    vectors.unlink()
    monkeypatch.setattr(texts, "MAX_ENCODED_NAMES", 150)  # rows in the cache, fewer than a few queries need
    return TextCollection.open(list_file)


def test_reranking_keeps_the_rows_that_it_needs_in_a_full_cache(without_vectors, words):
    unit = normalise(np.stack([letters(word) for word in words]))
    for row in range(0, 600, 20):
        hits = without_vectors.nearest(letters(words[row]), k=5)
        assert (hits[0].name, hits[0].similarity) == (words[row], pytest.approx(1, abs=1e-6))
        assert [hit.similarity for hit in hits] == pytest.approx(
            [float(unit[hit.row] @ unit[row]) for hit in hits], abs=1e-6
        )


def test_more_rows_than_the_cache_holds_are_encoded_once_in_a_call(without_vectors, network):
    without_vectors.nearest(letters("zebra"), k=200)
    assert len(network.encoded) == len(set(network.encoded)) >= 400


def test_names_are_exported_without_vectors(without_vectors, words, tmp_path):
    assert without_vectors.kept_map() is None and without_vectors.kept_clusters() is None
    without_vectors.export(tmp_path / "words.csv")
    assert (tmp_path / "words.csv").read_text().splitlines() == ["name", *words]
