"""Search by words in the gallery, with a small CLIP trained on the kinds of the sample."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import barriers, chromium_path
from browser_gallery import NOTEBOOK, name_of, names, press
from conftest import committed
from playwright.sync_api import Locator, expect
from sample_images import COLOURS
from small_clip import make_words_sample

from similar_images import Collection, Gallery
from similar_images.collection import images

for package in ("transformers", "onnxscript"):
    pytest.importorskip(package, reason="networks of the hub are not installed")
in_browser = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


@pytest.fixture(scope="module")
def folder(served) -> Path:
    (served / "words").mkdir()
    folder = make_words_sample(served / "words")
    notebook = nbformat.reads(committed(NOTEBOOK), as_version=4)
    notebook.cells = notebook.cells[:4]
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder


def kinds(gallery: Locator) -> list[str]:
    return [name.split("/")[0] for name in names(gallery)]


def ask(gallery: Locator, words: str) -> None:
    gallery.get_by_label("Words, name or web address").fill(words)
    press(gallery, "Search")


@in_browser
def test_words_are_searched_and_shown_as_the_query(gallery):
    ask(gallery, "a photo of the sun")
    assert kinds(gallery)[:3] == ["sun"] * 3 and name_of(gallery) == "a photo of the sun"
    expect(gallery.locator(".similar-images-frame")).to_have_text("a photo of the sun")
    expect(gallery.locator(".similar-images-frame img")).to_be_hidden()
    expect(gallery.locator(".meaning").first).to_be_empty()
    expect(gallery.locator(".status")).to_contain_text("exact search in 12 images")


@in_browser
def test_words_are_added_to_an_image_and_removed(gallery):
    ask(gallery, "grass/grass-1.jpg")
    assert kinds(gallery)[:2] == ["grass"] * 2
    before = names(gallery)
    ask(gallery, "+ sea")
    assert name_of(gallery) == "grass/grass-1.jpg" and set(kinds(gallery)[:5]) == {"grass", "sea"}
    ask(gallery, "- grass")
    assert kinds(gallery)[:3] == ["sea"] * 3
    expect(gallery.locator(".status")).to_contain_text("like 2 and unlike 1")
    press(gallery, "Unmark grass")
    press(gallery, "Unmark sea")
    assert names(gallery) == before
    press(gallery, "← Back")
    expect(gallery.get_by_role("button", name="Unmark sea")).to_be_visible()


@in_browser
def test_query_of_words_is_accessible_and_has_no_box(gallery):
    ask(gallery, "wine")
    gallery.locator(".similar-images-frame").press("Enter")
    expect(gallery.locator(".similar-images-box")).to_be_hidden()
    assert not barriers(gallery.page, "light")


@pytest.fixture
def shown(folder) -> Iterator[Gallery]:
    shown = Gallery(Collection.open(folder / "sample_file_list.txt"), seed=1)
    shown.wait()
    yield shown
    shown.close()


def test_words_are_searched_from_python(shown):
    shown.search_words("wine")
    shown.wait()
    assert shown.shown["query"]["words"] == "wine" and shown.query.row is None
    assert [hit.name.split("/")[0] for hit in shown.hits[:3]] == ["wine"] * 3
    assert shown.hits[0].percentile is None
    shown.add_words("sea", 1)
    shown.wait()
    assert [mark["name"] for mark in shown.shown["positives"]] == ["sea"]


def test_words_without_close_match_are_reported(shown, monkeypatch):
    monkeypatch.setattr(images, "PHRASES", list(COLOURS))
    for where, unlike in ({"folder": "sea"}, False), ({"folder": "wine"}, True):
        shown.where = where
        shown.search_words("sea")
        shown.wait()
        assert shown.shown["unlike"] is unlike


def test_part_of_words_is_refused(shown):
    shown.search_words("wine")
    shown.wait()
    shown.search_part((0, 0, 1, 1))
    shown.wait()
    assert re.search("expected the query of an image", shown.status["text"])
