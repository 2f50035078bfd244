"""The notebook of texts as a user sees it, in Notebook 7 and Chromium; some tests also in Voila."""

import re
import shutil
from pathlib import Path

import pytest
from browser import ROOT, barriers, chromium_path, reload_notebook
from conftest import committed
from playwright.sync_api import Locator, expect
from sample_texts import MIRROR, QUERY, make_texts, pillow

from similar_images.collection.texts import DOCSTRINGS

NOTEBOOK = "Text_similarity.ipynb"
LOADING_MILLISECONDS = 60_000  # the network and the second collection, on a busy machine
LONG = f"A story: {'and then he said no more ' * 100}"

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


@pytest.fixture(scope="module")
def folder(served) -> Path:
    """The notebook beside docstrings, its scripts, and the table of its second collection."""
    folder = served / "texts"
    folder.mkdir()
    make_texts(folder / DOCSTRINGS, [*pillow(), LONG, "טקסט מימין לשמאל 😀"])
    (folder / "docs").mkdir()
    (folder / NOTEBOOK).write_text(committed(NOTEBOOK), encoding="utf-8")
    shutil.copy(ROOT / "docs" / "reviews.csv", folder / "docs")
    return folder


@pytest.fixture
def gallery(page) -> Locator:
    """The first gallery, with the hits of a random text."""
    expect(page.locator(".similar-images")).to_have_count(2, timeout=LOADING_MILLISECONDS)
    gallery = page.locator(".similar-images").first
    before = gallery.get_attribute("data-number")
    gallery.get_by_role("button", name="Random text").click()
    settle(gallery, before)
    expect(gallery.get_by_role("alert")).to_have_count(0)
    return gallery


def settle(gallery: Locator, before: str) -> None:
    """Wait for a new answer."""
    expect(gallery).not_to_have_attribute("data-number", before, timeout=LOADING_MILLISECONDS)
    expect(gallery).to_have_attribute("aria-busy", "false", timeout=LOADING_MILLISECONDS)


def box(gallery: Locator) -> Locator:
    return gallery.get_by_label("Search for")


def hits(gallery: Locator) -> Locator:
    return gallery.locator(".similar-images-card")


def type_in(gallery: Locator, text: str, keys: str = "") -> None:
    """Type a text slowly, and wait for its hits."""
    before = gallery.get_attribute("data-number")
    box(gallery).fill("")
    box(gallery).press_sequentially(text, delay=15)
    if keys:
        box(gallery).press(keys)
    settle(gallery, before)


def test_all_cells_show_a_random_text_with_eight_hits(page, gallery):
    expect(hits(gallery)).to_have_count(8)
    assert ": " in box(gallery).input_value()
    expect(gallery.locator(".status")).to_contain_text(
        re.compile(r"index of \d+ texts: stored vector, search [\d.]+ ms")
    )
    expect(gallery.locator(".status")).to_contain_text("recall")
    expect(hits(gallery).first).to_contain_text(
        re.compile(r"0\.\d\dcloser than \d\d\.?\d*% of pairs|closer than any of")
    )


def test_pause_in_typing_searches(gallery):
    type_in(gallery, QUERY)
    expect(hits(gallery).first).to_contain_text(MIRROR)
    assert [mark.inner_text() for mark in hits(gallery).first.locator("mark").all()] == [
        "Flip",
        "horizontally",
        "left",
        "right",
    ]
    expect(gallery.locator(".status")).to_contain_text(re.compile(r"network \d+(\.\d)? ms"))
    bars = [
        bar.evaluate("bar => bar.offsetWidth / bar.parentElement.clientWidth")
        for bar in hits(gallery).locator(".bar div").all()
    ]
    similarities = [float(number.inner_text()) for number in hits(gallery).locator(".measure b").all()]
    assert bars == pytest.approx(similarities, abs=0.02) and similarities == sorted(similarities, reverse=True)


def test_answers_keep_the_typed_text(gallery):
    for text in ("open ", "open and ", "open and identify ", "open and identify an image"):
        before = gallery.get_attribute("data-number")
        box(gallery).fill(text)
        settle(gallery, before)
        expect(box(gallery)).to_have_value(text)  # the query has no space at its end
    expect(hits(gallery).first).to_contain_text("PIL.Image.open: Opens and identifies the given image file.")
    gallery.get_by_role("button", name="← Back").click()
    expect(box(gallery)).not_to_have_value(re.compile("^open"))  # unfinished texts are not in the history
    gallery.get_by_role("button", name="Forward →").click()
    expect(box(gallery)).to_have_value("open and identify an image")


def test_enter_searches_at_once_unless_the_box_is_empty(gallery):
    type_in(gallery, "save", "Enter")
    before = gallery.get_attribute("data-number")
    expect(box(gallery)).to_have_value("save")
    box(gallery).fill("")
    box(gallery).press("Enter")
    gallery.page.wait_for_timeout(600)
    assert gallery.get_attribute("data-number") == before


def test_click_on_a_hit_searches_by_it(gallery):
    text = hits(gallery).nth(2).locator(".text").inner_text()
    before = gallery.get_attribute("data-number")
    hits(gallery).nth(2).locator(".text").click()
    settle(gallery, before)
    expect(box(gallery)).to_have_value(text)
    assert text not in [hit.inner_text() for hit in gallery.locator(".text").all()]


def test_long_text_is_opened_and_hebrew_is_right_to_left(gallery):
    type_in(gallery, "a story, and then he said no more")
    long = hits(gallery).filter(has_text="A story")
    assert len(long.locator(".text").inner_text()) <= 600
    long.get_by_role("button", name="Open").click()
    expect(gallery.get_by_role("dialog")).to_contain_text(LONG.strip()[-40:])
    gallery.page.keyboard.press("Escape")
    expect(gallery.get_by_role("dialog")).to_be_hidden()
    type_in(gallery, "טקסט")
    hebrew = hits(gallery).filter(has_text="לשמאל").locator(".text")
    assert hebrew.evaluate("text => getComputedStyle(text).direction") == "rtl"
    assert hebrew.locator("mark").inner_text() == "טקסט"


def test_texts_are_copied_and_exported(gallery):
    gallery.get_by_role("button", name=re.compile("^Copy text")).first.click()
    expect(hits(gallery).first).to_contain_text("Copied")
    copied = gallery.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == hits(gallery).first.locator(".text").inner_text()
    hits(gallery).first.get_by_role("checkbox").check()
    with gallery.page.expect_download() as download:
        gallery.get_by_role("button", name="Texts (CSV)").click()
    assert Path(download.value.path()).read_text().splitlines()[0] == "text,similarity"
    hits(gallery).first.get_by_role("checkbox").uncheck()


def test_keyboard_reaches_every_control(gallery):
    type_in(gallery, QUERY, "Enter")
    gallery.get_by_role("button", name="← Back").focus()
    first = hits(gallery).first
    for control in (
        gallery.get_by_role("button", name="Random text"),
        gallery.locator("input[type=number]"),
        gallery.get_by_label("Exact search"),
        box(gallery),
        gallery.locator("summary"),
        gallery.get_by_role("button", name="Tick all", exact=True),
        first.locator(".text"),
        first.get_by_role("checkbox"),
        first.get_by_role("button", name=re.compile("^More like")),
        first.get_by_role("button", name=re.compile("^Less like")),
        first.get_by_role("button", name=re.compile("^Copy")),
    ):
        gallery.page.keyboard.press("Tab")
        expect(control).to_be_focused()
    first.locator(".text").press("Enter")
    expect(box(gallery)).to_have_value(MIRROR)
    box(gallery).press("Alt+ArrowLeft")
    expect(box(gallery)).to_have_value(QUERY)


def test_axe_finds_nothing_serious(page, gallery):
    hits(gallery).first.get_by_role("checkbox").check()
    for theme in ("light", "dark"):
        assert not barriers(page, theme)


def test_reloaded_page_shows_the_last_query(page, gallery, opened):
    type_in(gallery, QUERY)
    with page.expect_response(lambda response: response.request.method == "PUT"):
        box(gallery).press("Control+s")  # saves the notebook
    reload_notebook(*opened)
    gallery = page.locator(".similar-images").first
    expect(hits(gallery).first).to_contain_text(MIRROR, timeout=LOADING_MILLISECONDS)
    expect(box(gallery)).to_have_value(QUERY)


@pytest.mark.parametrize("opened", [None, "voila"], ids=["notebook", "voila"], indirect=True, scope="module")
def test_table_of_the_user_is_searched(page, gallery):
    own = page.locator(".similar-images").nth(1)
    type_in(own, "no elevator for people who cannot walk")
    expect(hits(own)).to_have_count(3)
    expect(hits(own).first).to_contain_text("We could not find a lift for my mother's wheelchair")
    if "/notebooks/" not in page.url:
        expect(page.get_by_text("from similar_images import")).to_have_count(0)
        expect(page.locator(".jp-CodeMirrorEditor, .highlight pre:visible")).to_have_count(0)
