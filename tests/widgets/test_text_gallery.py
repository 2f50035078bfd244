"""The gallery of texts without a browser: the kernel's answers to requests of a page."""

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")

from galleries import hits, query, refusal, sent, tell
from sample_texts import MIRROR, QUERY, make_texts, pillow

from similar_images import Collection, Gallery, TextCollection, TextGallery
from similar_images.collection.texts import DOCSTRINGS, TWEETS, TWEETS_INDEX
from similar_images.index.builder import BuildRequest, build
from similar_images.inputs.texts import MAX_CHARACTERS, text_list_path
from similar_images.networks import text as text_networks
from similar_images.vectors.store import index_path, open_vectors, vectors_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    make_texts(folder / DOCSTRINGS, pillow())
    return folder


@pytest.fixture
def collection(folder) -> TextCollection:
    return TextCollection.open(folder / DOCSTRINGS)


@pytest.fixture
def shown(collection) -> TextGallery:
    shown = TextGallery(collection, seed=1)
    shown.wait()
    return shown


def test_wrong_collection_error_names_the_other_gallery(collection, tmp_path):
    with pytest.raises(ValueError, match=r"expected images, got texts: show them with TextGallery"):
        Gallery(collection)
    np.save(tmp_path / "v.npy", np.eye(2, dtype=np.float32))
    (tmp_path / "v.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(ValueError, match=r"expected a TextCollection, got another: open it with TextCollection\.open"):
        TextGallery(Collection.open(tmp_path / "v.npy"))


def test_gallery_starts_with_a_random_text(collection, shown):
    assert query(shown) in collection.names and len(hits(shown)) == 8
    assert query(shown) not in [name for _, name, _ in hits(shown)]
    assert f"all-MiniLM-L6-v2, flat index of {len(collection):,} texts: stored vector, " in shown.status["text"]
    assert shown.status["text"].endswith("recall 1.000 when built")
    assert collection.is_loaded and shown.offers_exact


def test_text_is_searched_and_shared_words_are_marked(collection, shown):
    shown.search_text(f"  {QUERY}\n ")
    shown.wait()
    assert query(shown) == QUERY and "network" in shown.status["text"]
    assert hits(shown) == [hit[:3] for hit in collection.nearest(QUERY)]
    first = shown.shown["hits"][0]
    assert (first["name"], first["meaning"].startswith("closer than")) == (MIRROR, True)
    assert [piece for piece, matches in first["pieces"] if matches] == ["Flip", "horizontally", "left", "right"]
    assert "".join(piece for piece, _ in first["pieces"]) == MIRROR


def test_text_of_the_collection_is_the_same(shown):
    tell(shown, do="text", text=MIRROR, provisional=False)
    assert (hits(shown)[0][1], shown.shown["hits"][0]["meaning"]) == (MIRROR, "the same text")


def test_typed_text_replaces_its_provisional_start(shown):
    begun = query(shown)
    for text in ("fl", "flip", "flip it"):
        tell(shown, do="text", text=text, provisional=True)
    tell(shown, do="text", text="flip it", provisional=False)
    assert [state.name for state in shown.session.history.states] == [begun, "flip it"]
    tell(shown, do="text", text="open", provisional=True)
    tell(shown, do="row", row=5)
    assert [state.name for state in shown.session.history.states] == [
        begun,
        "flip it",
        "open",
        shown.collection.names[5],
    ]
    tell(shown, do="go", steps=-1)
    assert query(shown) == "open"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(" \n", "empty text"), ("x" * (MAX_CHARACTERS + 1), "100,001 characters: expected at most 100,000")],
)
def test_empty_or_huge_text_is_shown_as_failure(shown, text, reason):
    before = query(shown)
    tell(shown, do="text", text=text, provisional=False)
    assert refusal(shown) == f"Not searched: expected a text to search for: {reason}"
    assert query(shown) == before
    tell(shown, do="random")
    assert shown.status["kind"] == "done" and query(shown) != before


def test_ten_quick_texts_end_with_one_answer(shown):
    before = shown.shown["number"]
    for number in range(10):
        shown.search_text(f"text {number}", provisional=True)
    shown.wait()
    assert (query(shown), shown.shown["number"], len(shown.session.history.states)) == ("text 9", before + 10, 2)


def test_long_text_is_cut_and_sent_on_request(tmp_path):
    long = "word " * 1000
    make_texts(tmp_path / "notes.txt", [long, "a cat", "a dog"])
    shown = TextGallery(TextCollection.open(tmp_path / "notes.txt"), k=2)
    tell(shown, do="row", row=1)
    cut = next(hit for hit in shown.shown["hits"] if hit["row"] == 0)
    assert cut["is_cut"] and len(cut["pieces"][0][0]) == 600 and cut["pieces"][0][0].endswith("…")
    assert sent(shown, do="original", row=0) == ({"show": "original", "row": 0, "text": long}, [])


def test_ticked_texts_are_exported(shown):
    shown.selection = [row for row, _, _ in hits(shown)[:2]]
    message, (content,) = sent(shown, do="export", form="csv")
    assert (message["name"], message["type"]) == ("similar-texts.csv", "text/csv")
    lines = content.decode().splitlines()
    assert lines[0] == "text,similarity" and len(lines) == 3
    tell(shown, do="export", form="png")
    assert refusal(shown) == "Failed: expected csv, got png"


def test_exact_search_is_compared(shown):
    shown.exact = True
    shown.wait()
    assert shown.shown["changes"] == "The index finds the same."
    assert f"exact search in {len(shown.collection):,} texts" in shown.status["text"]


def test_missing_network_is_shown_at_the_first_text(collection, monkeypatch):
    monkeypatch.setattr(text_networks, "PACKAGE", "not_installed_anywhere")
    shown = TextGallery(collection, seed=1)
    shown.wait()
    assert shown.status["kind"] == "done"  # stored vectors are enough
    tell(shown, do="text", text="cat", provisional=True)
    assert "run `make install-text`" in refusal(shown)


@pytest.fixture
def alone(tmp_path, monkeypatch) -> Path:
    """The folder of a project with an index of tweets and their texts, but no vectors."""
    monkeypatch.chdir(tmp_path)
    names, texts = text_list_path(TWEETS), pillow()[:300]
    make_texts(names, texts)
    with TWEETS.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    vectors = vectors_path(names)
    for suffix in ("", ".json"):
        Path(f"{index_path(vectors)}{suffix}").rename(f"{TWEETS_INDEX}{suffix}")
    for made in (vectors, vectors.with_suffix(".json"), names):
        made.unlink()
    return tmp_path


def test_tweets_are_searched_without_vectors(alone):
    collection = TextCollection.sample()
    assert (len(collection), collection.has_vectors) == (300, False)
    shown = TextGallery(collection, seed=1)
    shown.wait()
    assert not shown.offers_exact
    assert query(shown) not in [name for _, name, _ in hits(shown)]
    assert "texts: network" in shown.status["text"] and shown.status["text"].endswith("recall 1.000 when built")
    tell(shown, do="row", row=7)
    assert query(shown) == collection.names[7]


def test_hits_without_vectors_are_reranked_by_encoding_them(alone):
    exact = TextCollection.sample()
    names, texts = text_list_path(TWEETS), exact.names
    make_texts(names, texts)
    build(open_vectors(vectors_path(names)), index_path(vectors_path(names)), BuildRequest("PQ48x4fs"))
    stored = TextCollection.open(names)
    expected = stored.nearest(QUERY, exact=True)
    vectors_path(names).unlink()
    collection = TextCollection.open(TWEETS, index_path(vectors_path(names)))
    assert collection.recall > collection.measured.recall_alone
    assert [hit.row for hit in collection.nearest(QUERY, reranked=False)] != [hit.row for hit in expected]
    found = collection.nearest(QUERY)
    assert [hit.row for hit in found] == [hit.row for hit in expected]
    np.testing.assert_allclose([hit.similarity for hit in found], [hit.similarity for hit in expected], atol=1e-3)
    assert 7 not in [hit.row for hit in collection.nearest(7, k=50)]


def test_sample_is_docstrings_without_tweets(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="run `make sample-text` for docstrings, or `make tweets`"):
        TextCollection.sample()
    monkeypatch.chdir(folder)
    assert MIRROR in TextCollection.sample().names
