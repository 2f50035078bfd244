"""The overview and the filters in the notebook and in Voila, as Chromium shows them."""

import re
from pathlib import Path

import pytest
from browser import barriers, chromium_path
from browser_gallery import hits, name_of, names, settle, write_notebook
from playwright.sync_api import Locator, expect
from sample_images import make_sample

pytest.importorskip("sknetwork")
pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")

CELLS = (
    """from similar_images import Collection, Gallery, Overview
collection = Collection.open("sample_file_list.txt")
gallery = Gallery(collection, seed=1)
gallery""",
    "Overview(collection, gallery, k=4)",
)
TITLES = ("A spread", "The most typical")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("overviewed")
    make_sample(folder)
    write_notebook(folder, CELLS)
    return folder


@pytest.fixture
def overview(page, gallery) -> Locator:
    overview = page.get_by_role("region", name="Overview")
    expect(overview.locator(".status")).to_contain_text("of 12 images", timeout=60_000)
    overview.scroll_into_view_if_needed()
    return overview


def test_groups_show_their_pictures_and_a_click_searches_in_the_gallery(overview, gallery):
    spread = overview.get_by_role("list", name="A spread")
    expect(spread.locator("img")).to_have_count(4)
    expect(spread.locator("img[src]")).to_have_count(4)
    picture = spread.get_by_role("button").first
    name = picture.get_attribute("aria-label").removeprefix("Search by ")
    picture.click()
    expect(gallery.locator(".similar-images-query figcaption")).to_have_attribute("title", name)
    settle(gallery)
    assert name_of(gallery) == name


def test_arrow_keys_go_along_a_group_and_to_the_next(overview):
    pictures = {title: overview.get_by_role("list", name=title).get_by_role("button") for title in TITLES}
    pictures[TITLES[0]].first.focus()
    for key, title, at in (("ArrowRight", TITLES[0], 1), ("ArrowLeft", TITLES[0], 0), ("ArrowDown", TITLES[1], 0)):
        overview.page.keyboard.press(key)
        expect(pictures[title].nth(at)).to_be_focused()


def test_ticks_of_the_overview_are_those_of_the_gallery(overview, gallery):
    group = overview.get_by_role("region", name="The most typical")
    group.get_by_role("button", name="Tick all", exact=True).click()
    expect(gallery.get_by_text(re.compile(r"\d ticked. Export:"))).to_be_visible()
    expect(group.get_by_role("checkbox").first).to_be_checked()
    gallery.get_by_role("button", name="Untick all").click()
    expect(group.get_by_role("checkbox").first).not_to_be_checked()


def test_a_filter_is_chosen_with_the_keyboard_and_cleared(gallery):
    row = gallery.locator(".similar-images-filters")
    row.locator("summary").focus()
    gallery.page.keyboard.press("Enter")
    folder = row.get_by_label("folder")
    expect(folder.locator("option")).to_have_count(5)
    folder.focus()
    gallery.page.keyboard.press("s")  # sea
    expect(gallery.locator(".status")).to_contain_text("3 that match of the")
    settle(gallery)
    assert {name.split("/")[0] for name in names(gallery)} == {"sea"}
    row.get_by_label("name").fill("no such name")
    row.get_by_label("name").press("Enter")
    expect(gallery.get_by_role("alert")).to_contain_text("no image matches")
    row.get_by_role("button", name="Clear filters").click()
    expect(hits(gallery)).to_have_count(8)
    row.locator("summary").click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, overview, gallery, theme):
    gallery.locator(".similar-images-filters summary").click()
    assert not barriers(page, theme)
    gallery.locator(".similar-images-filters summary").click()
