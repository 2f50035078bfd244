"""The map, the overview and the review of near-duplicates beside a gallery, in Chromium."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import barriers, chromium_path
from browser_gallery import hits, name_of, names, settle, write_notebook
from conditions import wait_until
from near_duplicates import COPY, LARGE, OTHER, SAME, THRESHOLD, keeps, make_copies, saved
from playwright.sync_api import Locator, Page, expect
from sample_images import make_sample

from similar_images import Collection, DuplicateReview

pytest.importorskip("sknetwork")
pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")

# Images 0 to 10 in rows of four, the first row lowest; the last one has no place.
CELLS = (
    """from similar_images import Collection, DuplicateReview, Gallery, Map, Overview
import ipywidgets, numpy as np
collection = Collection.open("sample_file_list.txt")
gallery = Gallery(collection, seed=1)
gallery""",
    """places = np.array([(row % 4, row // 4) for row in range(12)], dtype=float)
places[11] = np.nan
map = Map(collection, places, gallery, color=[name.split("/")[0] for name in collection.names])
map""",
    """told = ipywidgets.Label("none").add_class("told")
map.observe(lambda change: setattr(told, "value", ",".join(str(row) for row in change["new"]) or "none"), "selection")
button = ipywidgets.Button(description="Select in Python")
button.on_click(lambda _: setattr(map, "selection", [2, 5]))
ipywidgets.VBox([told, button])""",
    "Overview(collection, gallery, k=4)",
    f"""copies = Collection.open("copies/sample_file_list.txt")
review = DuplicateReview(copies, {THRESHOLD})
review""",
    """moved = ipywidgets.Label("none").add_class("moved-names")
review.observe(lambda _: setattr(moved, "value", ",".join(copies.names[row] for row in review.moved)), "kept")
keep = ipywidgets.Button(description="Keep all")
keep.on_click(lambda _: setattr(review, "kept", [one.row for one in review.members]))
ipywidgets.VBox([moved, keep])""",
)
TITLES = ("A spread", "The most typical")
NAMES = [f"{kind}/{kind}-{number}.jpg" for kind in ("grass", "sea", "sun", "wine") for number in range(3)]
MARGIN = 0.92  # of the view of all


@pytest.fixture(scope="module")
def folder(served) -> Path:
    folder = served / "map"
    folder.mkdir()
    make_sample(folder)
    (folder / "copies").mkdir()
    make_copies(folder / "copies")
    write_notebook(folder, CELLS)
    return folder


@pytest.fixture
def mapped(page, gallery) -> Locator:
    """The map with all images in view, nothing selected, the mouse elsewhere."""
    mapped = page.get_by_role("region", name="Map")
    page.mouse.move(1, 1)
    if mapped.get_attribute("data-selected") != "0":
        mapped.get_by_role("button", name="Clear selection").click()
    mapped.get_by_role("button", name="Show all").click()
    canvas(mapped).evaluate("one => { one.blur(); one.scrollIntoView({block: 'center'}); }")
    expect(mapped).to_have_attribute("data-in-view", "11")
    expect(mapped).to_have_attribute("data-pictures", "11")
    expect(page.locator(".told")).to_have_text("none")
    return mapped


@pytest.fixture
def place(mapped) -> Callable[[float, float], tuple[float, float]]:
    """Return the function from map to page coordinates, with all images in view."""
    box = canvas(mapped).bounding_box()
    scale = MARGIN * min(box["width"] / 3, box["height"] / 2)
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    return lambda x, y: (centre[0] + (x - 1.5) * scale, centre[1] - (y - 1) * scale)


def canvas(mapped: Locator) -> Locator:
    return mapped.get_by_role("application")


def card(mapped: Locator) -> Locator:
    return mapped.locator(".similar-images-map-card")


def told(page: Page) -> Locator:
    return page.locator(".told")


def test_mouse_over_shows_image_name_and_label(page, mapped, place):
    page.mouse.move(*place(1, 1))
    expect(card(mapped)).to_be_visible()
    expect(card(mapped)).to_contain_text("sea/sea-2.jpg")
    expect(card(mapped).locator("span")).to_have_text("sea")
    page.wait_for_function("() => document.querySelector('.similar-images-map-card img').naturalWidth === 80")
    page.mouse.move(1, 1)
    expect(card(mapped)).to_be_hidden()


def test_click_searches_in_the_gallery(page, gallery, mapped, place):
    for row, at in ((6, (2, 1)), (3, (3, 0))):
        page.mouse.click(*place(*at))
        expect(gallery.locator(".similar-images-query figcaption")).to_have_attribute("title", NAMES[row])
        settle(gallery)


def test_drag_pans_without_search(page, gallery, mapped, place):
    before = gallery.get_attribute("data-number")
    page.mouse.move(*place(1, 1))
    page.mouse.down()
    page.mouse.move(*place(2, 1), steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    page.mouse.move(*place(1, 1))
    expect(card(mapped)).to_contain_text(NAMES[4])
    assert gallery.get_attribute("data-number") == before


def test_wheel_zooms_at_the_mouse(page, mapped, place):
    page.mouse.move(*place(3, 0))
    for _ in range(6):
        page.mouse.wheel(0, -200)
    expect(mapped).to_have_attribute("data-in-view", "1")
    expect(card(mapped)).to_contain_text(NAMES[3])


def draw(page: Page, points: list[tuple[float, float]]) -> None:
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def test_lasso_selects_in_python(page, mapped, place):
    triangle = [place(-0.07, -0.07), place(2.9, -0.07), place(-0.07, 2.07)]  # its long side cuts off (2, 1) and (1, 2)
    mapped.get_by_role("button", name="Lasso").click()
    draw(page, triangle)
    expect(told(page)).to_have_text("0,1,2,4,5,8")
    expect(mapped.get_by_text("6 selected")).to_be_visible()
    page.keyboard.down("Shift")
    page.keyboard.down("Control")
    draw(page, [place(2.7, -0.07), place(3.3, -0.07), place(3.3, 0.3), place(2.7, 0.3)])
    page.keyboard.up("Control")
    page.keyboard.up("Shift")
    expect(told(page)).to_have_text("0,1,2,4,5,8,3")
    mapped.get_by_role("button", name="Clear selection").click()
    expect(told(page)).to_have_text("none")


def test_selection_from_python_is_shown(page, mapped):
    page.get_by_role("button", name="Select in Python").click()
    expect(mapped).to_have_attribute("data-selected", "2")
    expect(mapped.get_by_text("2 selected")).to_be_visible()


def test_legend_names_labels_and_selects(page, mapped):
    entries = mapped.get_by_role("group", name="Legend").get_by_role("button")
    expect(entries).to_have_text(["grass3", "sea3", "sun3", "wine3"])
    entries.nth(2).click()
    expect(told(page)).to_have_text("6,7,8")
    mapped.get_by_label("Colour").select_option("similarity to the query")
    expect(mapped.locator(".similar-images-legend .scale")).to_be_visible()
    mapped.get_by_label("Colour").select_option("label")
    expect(entries).to_have_count(4)


def test_keyboard_moves_searches_and_selects(page, gallery, mapped):
    mapped.get_by_label("Colour").focus()
    page.keyboard.press("Tab")
    if mapped.get_by_role("button", name="Clear selection").is_visible():
        page.keyboard.press("Tab")
    expect(canvas(mapped)).to_be_focused()
    said = mapped.locator(".status").get_by_role("status")
    expect(said).to_contain_text(".jpg")
    for key in ("+", "+", "-"):
        page.keyboard.press(key)
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    expect(said).to_contain_text(NAMES[3])  # the lower right one
    page.keyboard.press("Enter")
    expect(gallery.locator(".similar-images-query figcaption")).to_have_attribute("title", NAMES[3])
    page.keyboard.press("Space")
    expect(told(page)).to_have_text("3")
    expect(said).to_contain_text("selected")
    page.keyboard.press("Escape")
    expect(told(page)).to_have_text("none")


def test_box_is_moved_and_resized_with_the_keyboard(page, mapped):
    canvas(mapped).focus()
    said = mapped.locator(".status").get_by_role("status")
    page.keyboard.press("r")
    expect(said).to_have_text("Box around 2 images")  # 5 and 6, about the centre
    for _ in range(30):
        page.keyboard.press("Shift+ArrowDown")
    expect(said).to_have_text("Box around 6 images")
    page.keyboard.press("Escape")
    expect(told(page)).to_have_text("none")
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    expect(told(page)).to_have_text("5,6")


def test_description_counts_images_without_a_place(mapped):
    expect(canvas(mapped)).to_have_attribute("aria-label", "Map of 12 images, 1 of them without a place")


def test_new_query_moves_the_mark(page, gallery, mapped):
    before = canvas(mapped).screenshot()
    gallery.get_by_role("button", name="Random image").click()
    settle(gallery)
    assert name_of(gallery)
    wait_until(lambda: canvas(mapped).screenshot() != before)


@pytest.fixture
def overview(page, gallery) -> Locator:
    overview = page.get_by_role("region", name="Overview")
    expect(overview.locator(".status")).to_contain_text("of 12 images", timeout=60_000)
    overview.scroll_into_view_if_needed()
    return overview


def test_overview_shows_pictures_and_click_searches(overview, gallery):
    spread = overview.get_by_role("list", name="A spread")
    expect(spread.locator("img")).to_have_count(4)
    expect(spread.locator("img[src]")).to_have_count(4)
    picture = spread.get_by_role("button").first
    name = picture.get_attribute("aria-label").removeprefix("Search by ")
    picture.click()
    expect(gallery.locator(".similar-images-query figcaption")).to_have_attribute("title", name)
    settle(gallery)
    assert name_of(gallery) == name


def test_arrow_keys_move_in_and_between_groups(overview):
    pictures = {title: overview.get_by_role("list", name=title).get_by_role("button") for title in TITLES}
    pictures[TITLES[0]].first.focus()
    for key, title, at in (("ArrowRight", TITLES[0], 1), ("ArrowLeft", TITLES[0], 0), ("ArrowDown", TITLES[1], 0)):
        overview.page.keyboard.press(key)
        expect(pictures[title].nth(at)).to_be_focused()


def test_overview_and_gallery_share_ticks(overview, gallery):
    group = overview.get_by_role("region", name="The most typical")
    group.get_by_role("button", name="Tick all", exact=True).click()
    expect(gallery.get_by_text(re.compile(r"\d ticked. Export:"))).to_be_visible()
    expect(group.get_by_role("checkbox").first).to_be_checked()
    gallery.get_by_role("button", name="Untick all").click()
    expect(group.get_by_role("checkbox").first).not_to_be_checked()


def test_filter_is_chosen_with_the_keyboard_and_cleared(gallery):
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


@pytest.fixture
def reviewed(page) -> Locator:
    """The review with the proposal."""
    reviewed = page.get_by_role("region", name="Near-duplicates")
    for name in (LARGE, OTHER):
        keeps(reviewed, name).press("p")
    expect(keeps(reviewed, COPY)).not_to_be_checked()
    return reviewed


def test_choice_on_page_reaches_python(page, reviewed):
    moved = page.locator(".moved-names")
    expect(reviewed.locator("li img:visible")).to_have_count(5)
    keeps(reviewed, COPY).check()
    expect(moved).to_contain_text(SAME)
    expect(moved).not_to_contain_text(COPY)
    page.get_by_role("button", name="Keep all").click()
    expect(reviewed.get_by_role("checkbox", checked=True)).to_have_count(5)
    expect(reviewed.get_by_role("status").last).to_have_text("0 images to move, 0.0 MB")
    keeps(reviewed, SAME).focus()
    page.keyboard.press("a")
    expect(keeps(reviewed, SAME)).to_be_focused()


def test_saved_files_match_python(page, reviewed, folder):
    review = DuplicateReview(Collection.open(folder / "copies" / "sample_file_list.txt"), THRESHOLD)
    assert saved(page, reviewed, "Save as CSV") == review.to_csv()
    assert saved(page, reviewed, "Save as shell script") == review.to_script()
    review.close()


def test_axe_finds_nothing_serious(page, gallery, mapped, overview, reviewed):
    page.get_by_role("button", name="Select in Python").click()
    expect(mapped).to_have_attribute("data-selected", "2")
    gallery.locator(".similar-images-filters summary").click()
    for theme in ("light", "dark"):
        assert not barriers(page, theme)
