"""The notebook of images as a user sees it, in Notebook 7 and Chromium; some tests also in Voila."""

import io
import re
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbformat
import psutil
import pytest
from browser import (
    barriers,
    chromium_path,
    reload_notebook,
    run_all,
    set_hits,
    wait_for_gallery,
    wait_for_pictures,
)
from browser_gallery import (
    BLIND_TEST,
    NOTEBOOK,
    hand_over,
    hand_over_all,
    hits,
    name_of,
    names,
    press,
    query,
    settle,
    upload,
)
from conftest import committed
from PIL import Image
from playwright.sync_api import Locator, expect
from sample_images import make_sample

from similar_images import Collection
from similar_images.comparison.votes import read

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")
NETWORK_MILLISECONDS = 60_000  # to load a network and compare, on a busy machine
SECOND = 'Gallery(Collection.open("deep/sample_file_list.txt"), seed=1, allow_private=True)'
# Last in this file: pytest then opens each server once.
also_in_voila = pytest.mark.parametrize(
    "opened", [None, "voila"], ids=["notebook", "voila"], indirect=True, scope="module"
)


@pytest.fixture(scope="module")
def folder(served) -> Path:
    """The notebook beside a sample, with two more cells.

    A gallery of a network with feature maps, which may fetch from the tests' server, and a blind test of two searches.
    """
    folder = served / "images"
    folder.mkdir()
    make_sample(folder)
    notebook = nbformat.reads(committed(NOTEBOOK), as_version=4)
    Collection.create(folder / "sample", folder / "deep", "efficientnetlite0")
    notebook.cells.append(nbformat.v4.new_code_cell(SECOND))
    notebook.cells.append(nbformat.v4.new_code_cell(BLIND_TEST))
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder


@pytest.fixture(scope="module")
def web(folder) -> Iterator[str]:
    """A server on loopback of the folder's files."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_long_name_is_cut_until_the_mouse_is_over_it(gallery):
    card = hits(gallery).first
    start, end = card.locator(".cut > span").all()
    start.evaluate(
        "(span, text) => { span.textContent = text; }", "traffic light/traffic light-22 at night, in the rai"
    )
    is_cut = "span => span.scrollWidth > span.clientWidth + 1 && getComputedStyle(span).display !== 'inline'"
    is_on_top = """one => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return document.elementFromPoint(x + width - 2, y + height / 2) === one;
    }"""
    gallery.page.mouse.move(0, 0)
    assert start.evaluate(is_cut) and end.evaluate(is_on_top)
    card.hover()
    assert not start.evaluate(is_cut) and end.evaluate(is_on_top)
    assert card.locator(".name b").evaluate(is_on_top)  # the similarity too


def test_controls_fit_the_width_of_a_phone(page, gallery):
    size = page.viewport_size
    page.set_viewport_size({"width": 420, "height": 900})
    gallery.get_by_role("button", name="Tick all", exact=True).click()
    expect(gallery.get_by_role("button", name="Contact sheet (HTML)")).to_be_visible()
    wide = "root => [...root.querySelectorAll('button, input, select, li, p')].filter(one => one.getBoundingClientRect().right > 420)"
    assert gallery.evaluate(f"root => ({wide})(root).map(one => one.outerHTML)") == []
    tops = hits(gallery).evaluate_all("cards => cards.map(card => card.getBoundingClientRect().top)")
    assert len(set(tops)) < len(tops)  # several in a row
    page.set_viewport_size(size)
    gallery.get_by_role("button", name="Untick all").click()


def test_uploaded_image_is_searched_and_its_copy_marked(gallery, folder):
    upload(gallery, folder / "sample" / "sea" / "sea-1.jpg")
    expect(query(gallery)).to_have_attribute("title", "sea-1.jpg")
    settle(gallery)
    assert names(gallery)[0] == "sea/sea-1.jpg"
    expect(hits(gallery).first).to_contain_text("the same image")
    expect(gallery.locator(".status")).to_contain_text("network")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_or_pasted_image_is_searched(gallery, folder, event):
    hand_over(gallery, event, f"{event}.jpg", (folder / "sample" / "wine" / "wine-2.jpg").read_bytes())
    expect(query(gallery)).to_have_attribute("title", f"{event}.jpg")
    settle(gallery)
    assert names(gallery)[0] == "wine/wine-2.jpg"


def test_last_of_two_dropped_images_is_searched(gallery, folder):
    for first, last in (("wine", "sun"), ("sea", "grass"), ("sun", "wine")):
        files = [(f"{kind}.jpg", (folder / "sample" / kind / f"{kind}-1.jpg").read_bytes()) for kind in (first, last)]
        hand_over_all(gallery, "drop", files, padding=9_000_000)
        expect(query(gallery)).to_have_attribute("title", f"{last}.jpg")
        settle(gallery)
        assert names(gallery)[0] == f"{last}/{last}-1.jpg"
        expect(hits(gallery).first).to_contain_text("the same image")


@pytest.fixture
def deep(page) -> Locator:
    """The gallery of a network with feature maps."""
    gallery = page.get_by_role("region", name="Similar images", exact=True).nth(1)  # its cell runs last
    expect(hits(gallery).first).to_be_visible(timeout=NETWORK_MILLISECONDS)
    return gallery


def test_loopback_address_needs_permission(gallery, deep, web):
    address = f"{web}/sample/sun/sun-2.jpg"
    before = name_of(gallery)
    for one in (gallery, deep):
        one.get_by_label("Web address").fill(address)
        one.get_by_label("Web address").press("Enter")
    expect(gallery.get_by_role("alert")).to_contain_text("127.0.0.1 is not on the public internet")
    assert name_of(gallery) == before
    expect(query(deep)).to_have_attribute("title", address)
    settle(deep)
    assert names(deep)[0] == "sun/sun-2.jpg"
    press(deep, "Random image")


@pytest.mark.parametrize(
    ("address", "reason"),
    [("http://127.0.0.1:9/x.jpg", "cannot be fetched"), ("file:///etc/passwd", "begins with http:// or https://")],
)
def test_failure_keeps_the_status_of_the_hits(gallery, address, reason):
    before = gallery.locator(".status").inner_text()
    gallery.get_by_label("Web address").fill(address)
    gallery.get_by_role("button", name="Search", exact=True).click()
    expect(gallery.get_by_role("alert")).to_contain_text(reason)
    expect(gallery.locator(".status")).to_have_text(before)  # not "Fetching"
    expect(gallery.get_by_role("progressbar")).to_be_hidden()


def test_box_searches_by_a_part_and_a_button_by_the_entire_image(gallery):
    name, whole = name_of(gallery), names(gallery)
    gallery.locator(".similar-images-frame").scroll_into_view_if_needed()
    area = gallery.locator(".similar-images-frame img").bounding_box()
    mouse = gallery.page.mouse
    mouse.move(area["x"] + 0.2 * area["width"], area["y"] + 0.2 * area["height"])
    mouse.down()
    mouse.move(area["x"] + 0.8 * area["width"], area["y"] + 0.9 * area["height"], steps=4)
    mouse.up()
    expect(query(gallery)).to_contain_text("part")
    settle(gallery)
    assert name_of(gallery) == name
    outline = gallery.locator(".similar-images-box").bounding_box()
    assert outline["width"] == pytest.approx(0.6 * area["width"], abs=3)
    assert name in names(gallery)  # the original image is a hit too
    press(gallery, "Search by the whole image")
    assert names(gallery) == whole
    expect(gallery.locator(".similar-images-box")).to_be_hidden()


def test_box_is_drawn_moved_and_cancelled_with_the_keyboard(gallery):
    frame = gallery.locator(".similar-images-frame")
    frame.focus()
    keys = gallery.page.keyboard
    keys.press("Enter")
    left = gallery.locator(".similar-images-box").evaluate("box => box.style.left")
    keys.press("ArrowRight")
    keys.press("Shift+ArrowDown")
    style = gallery.locator(".similar-images-box").evaluate("box => [box.style.left, box.style.height]")
    assert (left, [round(float(one[:-1])) for one in style]) == ("25%", [30, 55])
    keys.press("Enter")
    expect(query(gallery)).to_contain_text("part")
    keys.press("Escape")
    expect(query(gallery)).to_contain_text("query")


def mark(gallery: Locator, card: int, label: str) -> str:
    """Mark a hit, wait for the new answer, and return the hit's name."""
    name, before = names(gallery)[card], gallery.get_attribute("data-number")
    hits(gallery).nth(card).hover()
    hits(gallery).nth(card).get_by_role("button", name=re.compile(f"^{label}")).click()
    expect(gallery).not_to_have_attribute("data-number", before)
    settle(gallery)
    return name


def marked(gallery: Locator, label: str) -> list[str]:
    """Return the names in a list of marks."""
    titles = (
        gallery.get_by_role("list", name=label).get_by_role("button").evaluate_all("all => all.map(one => one.title)")
    )
    return [title.removeprefix("Unmark ") for title in titles]


def test_marks_are_searched_shown_and_removed(gallery):
    asked, first = name_of(gallery), names(gallery)
    like, unlike = mark(gallery, 3, "More like"), mark(gallery, 0, "Less like")
    assert name_of(gallery) == asked and not {like, unlike} & set(names(gallery))
    assert (marked(gallery, "More like these"), marked(gallery, "Less like these")) == ([like], [unlike])
    expect(gallery.locator(".similar-images-marks img")).to_have_count(2)
    expect(gallery.locator(".status")).to_contain_text("like 2 and unlike 1")
    press(gallery, "← Back")
    assert (marked(gallery, "More like these"), marked(gallery, "Less like these")) == ([like], [])
    press(gallery, f"Unmark {like}")
    assert names(gallery) == first
    mark(gallery, 1, "More like")
    press(gallery, "Clear marks")
    assert names(gallery) == first and not marked(gallery, "More like these")


def test_marks_and_ticks_have_keys(gallery):
    card = hits(gallery).nth(2)
    name = names(gallery)[2]
    card.get_by_role("button", name=re.compile("^Search by")).focus()
    gallery.page.keyboard.press("x")
    expect(gallery.get_by_label(f"Tick {name}")).to_be_checked()
    before = gallery.get_attribute("data-number")
    gallery.page.keyboard.press("+")
    expect(gallery).not_to_have_attribute("data-number", before)
    settle(gallery)
    assert marked(gallery, "More like these") == [name]
    less = names(gallery)[2]
    gallery.page.keyboard.press("-")  # the focus stays on the third hit
    expect(gallery.get_by_role("button", name=f"Unmark {less}")).to_be_visible()
    expect(gallery.get_by_text("1 ticked. Export:")).to_be_visible()
    gallery.get_by_role("button", name="Untick all").click()
    expect(gallery.get_by_text("ticked. Export:")).to_have_count(0)


def test_ticks_outlive_queries(gallery):
    name = names(gallery)[0]
    gallery.get_by_label(f"Tick {name}").check()
    press(gallery, "Random image")
    expect(gallery.get_by_text("1 ticked. Export:")).to_be_visible()
    press(gallery, "← Back")
    expect(gallery.get_by_label(f"Tick {name}")).to_be_checked()
    gallery.get_by_role("button", name="Tick all", exact=True).click()
    expect(gallery.get_by_text("8 ticked. Export:")).to_be_visible()
    gallery.get_by_role("button", name="Untick all").click()
    expect(gallery.get_by_label(f"Tick {name}")).not_to_be_checked()


def test_arrow_keys_move_between_hits_and_shift_ticks_ranges(gallery):
    keyboard, pictures = gallery.page.keyboard, gallery.get_by_role("button", name=re.compile("^Search by"))
    top = "() => document.activeElement.getBoundingClientRect().top"
    pictures.nth(1).focus()
    keyboard.press("ArrowLeft")
    expect(pictures.nth(0)).to_be_focused()
    upper = gallery.page.evaluate(top)
    keyboard.press("ArrowDown")
    assert gallery.page.evaluate(top) > upper
    keyboard.press("ArrowUp")
    expect(pictures.nth(0)).to_be_focused()
    keyboard.press("x")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    keyboard.press("Shift+X")
    expect(gallery.get_by_text("3 ticked")).to_be_visible()
    hits(gallery).nth(5).get_by_role("checkbox").click(modifiers=["Shift"])
    expect(gallery.get_by_text("6 ticked")).to_be_visible()
    keyboard.press("o")
    expect(gallery.get_by_role("dialog")).to_contain_text(names(gallery)[5])
    keyboard.press("Escape")
    gallery.get_by_role("button", name="Untick all").click()


def test_search_can_be_limited_to_ticked_images(gallery):
    first = names(gallery)
    for name in first[2:6]:
        gallery.get_by_label(f"Tick {name}").check()
    press(gallery, "Search only these")
    assert names(gallery) == first[2:6]
    expect(gallery.locator(".status")).to_contain_text("4 that match of the")
    gallery.get_by_role("button", name="Untick all").click()  # later ticks do not change the searched images
    press(gallery, "Random image")
    assert set(names(gallery)) <= set(first[2:6])
    press(gallery, "← Back")
    press(gallery, "Search all, not only 4")
    assert names(gallery) == first
    expect(gallery.locator(".status")).not_to_contain_text("that match of the")
    expect(gallery.get_by_role("button", name="Search only these")).to_be_hidden()


def test_several_images_are_searched_together(gallery, folder):
    files = [folder / "sample" / "sea" / "sea-1.jpg", folder / "sample" / "wine" / "wine-2.jpg"]
    gallery.locator("input[type=file]").set_input_files(files)
    expect(query(gallery)).to_have_attribute("title", "sea-1.jpg")
    settle(gallery)
    assert marked(gallery, "More like these") == ["wine-2.jpg"]
    assert set(names(gallery)[:2]) == {"sea/sea-1.jpg", "wine/wine-2.jpg"}


def test_name_is_proposed_and_searched(gallery):
    box = gallery.get_by_label("Name or web address")
    box.fill("sun-1")
    expect(gallery.locator("datalist option")).to_have_attribute("value", "sun/sun-1.jpg")
    box.press("Enter")
    expect(query(gallery)).to_have_attribute("title", "sun/sun-1.jpg")
    box.fill("")


def test_more_hits_follow_up_to_the_entire_collection(gallery):
    set_hits(gallery, 2)
    expect(hits(gallery)).to_have_count(2)
    gallery.get_by_role("button", name="More hits").click()
    expect(hits(gallery)).to_have_count(11)
    settle(gallery)
    expect(gallery.locator(".similar-images-card img:visible")).to_have_count(11)
    assert len({*names(gallery), name_of(gallery)}) == 12
    expect(gallery.get_by_role("button", name="More hits")).to_be_hidden()
    set_hits(gallery, 8)
    expect(hits(gallery)).to_have_count(8)


def test_history_goes_back_and_forward(gallery):
    first = name_of(gallery)
    press(gallery, "Random image")
    second, found = name_of(gallery), names(gallery)
    assert second != first
    press(gallery, "← Back")
    assert name_of(gallery) == first
    press(gallery, "Forward →")
    assert (name_of(gallery), names(gallery)) == (second, found)
    expect(gallery.get_by_role("button", name="Forward →")).to_be_disabled()
    gallery.get_by_role("button", name="Random image").press("Alt+ArrowLeft")
    expect(query(gallery)).to_have_attribute("title", first)


def test_number_of_hits_and_exact_search_can_be_set(gallery):
    before = gallery.get_attribute("data-number")
    set_hits(gallery, 5)
    expect(hits(gallery)).to_have_count(5)
    gallery.get_by_label("Exact search").check()
    expect(gallery.locator(".status")).to_contain_text("exact search in 12 images")
    expect(gallery.locator(".changes")).to_have_text("The index finds the same.")
    gallery.get_by_label("Exact search").uncheck()
    set_hits(gallery, 8)
    expect(hits(gallery)).to_have_count(8)
    assert gallery.get_attribute("data-number") != before


@pytest.mark.parametrize(("wanted", "used"), [("500", 200), ("0", 1)])
def test_impossible_number_of_hits_is_reported(gallery, wanted, used):
    set_hits(gallery, 5 if used > 1 else 8)
    settle(gallery)
    before = gallery.get_attribute("data-number")
    set_hits(gallery, wanted)
    expect(gallery).not_to_have_attribute("data-number", before)
    settle(gallery)
    gallery.page.wait_for_timeout(300)
    expect(gallery.get_by_role("alert")).to_have_text(f"Hits: expected a number from 1 to 200, using {used}.")
    expect(gallery.get_by_label("Hits", exact=True).first).to_have_value(str(used))
    expect(hits(gallery)).to_have_count(min(used, 11))
    set_hits(gallery, 8)
    expect(gallery.get_by_role("alert")).to_have_count(0)
    expect(hits(gallery)).to_have_count(8)


def test_hits_are_opened_copied_and_exported(gallery):
    name = names(gallery)[0]
    gallery.get_by_role("button", name=f"Open {name}").click()
    dialog = gallery.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{name}, 80 x 60 pixels")
    gallery.page.wait_for_function("() => document.querySelector('dialog[open] img').naturalWidth === 80")
    expect(gallery.get_by_role("button", name="Previous hit")).to_be_disabled()
    gallery.page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text(names(gallery)[1])
    dialog.get_by_role("button", name="Copy name").click()
    gallery.page.wait_for_function(
        "async name => (await navigator.clipboard.readText()) === name", arg=names(gallery)[1]
    )
    assert not barriers(gallery.page, "light")
    gallery.get_by_role("button", name="Previous hit").click()
    expect(dialog).to_contain_text(name)
    gallery.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    gallery.get_by_role("button", name=f"Copy name {name}").click()
    expect(hits(gallery).first).to_contain_text("Copied")
    assert gallery.page.evaluate("() => navigator.clipboard.readText()") == name
    for ticked in names(gallery)[:3]:
        gallery.get_by_label(f"Tick {ticked}").check()  # scrolls to the card, which puts it under the mouse
    expect(gallery.get_by_text("3 ticked")).to_be_visible()
    taken = {}
    for form in ("CSV", "PNG", "HTML"):
        with gallery.page.expect_download() as download:
            gallery.get_by_role("button", name=re.compile(form)).click()
        taken[form] = Path(download.value.path()).read_bytes()
    lines = taken["CSV"].decode().splitlines()
    assert lines[0] == "name,similarity" and [line.split(",")[0] for line in lines[1:]] == names(gallery)[:3]
    assert Image.open(io.BytesIO(taken["PNG"])).width > 700
    assert taken["HTML"].count(b"data:image/jpeg") == 3


def test_heat_maps_are_shown_and_arrows_move_to_the_next_hit(page, deep):
    name, asked = names(deep)[0], name_of(deep)
    deep.get_by_role("button", name=f"Why {name} is similar").click()
    dialog = deep.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{name}: most alike: the ", timeout=NETWORK_MILLISECONDS)
    pictures = dialog.get_by_role("img")
    expect(pictures).to_have_count(2)
    assert pictures.first.get_attribute("alt").startswith(f"Query {asked}, with a heat map: most alike in the ")
    assert pictures.last.get_attribute("alt").startswith(f"Hit {name}, with a heat map: most alike in the ")
    page.wait_for_function(
        "() => [...document.querySelectorAll('dialog[open] img')].every(one => one.naturalWidth === 80)"
    )
    for theme in ("light", "dark"):
        assert not barriers(page, theme)
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text(f"{names(deep)[1]}: most alike", timeout=NETWORK_MILLISECONDS)
    dialog.get_by_role("button", name="Open", exact=True).click()
    expect(dialog).to_contain_text(f"{names(deep)[1]}, 80 x 60 pixels")
    expect(pictures).to_have_count(1)
    dialog.get_by_role("button", name="Why similar").click()
    expect(pictures).to_have_count(2, timeout=NETWORK_MILLISECONDS)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(deep).to_have_attribute("aria-busy", "false")
    expect(deep.locator(".status")).to_contain_text("stored vector")


def test_key_w_opens_the_heat_maps(page, deep):
    hits(deep).nth(2).get_by_role("button", name="Search by").focus()
    page.keyboard.press("w")
    dialog = deep.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{names(deep)[2]}: most alike", timeout=NETWORK_MILLISECONDS)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_network_without_feature_maps_is_reported(gallery):
    gallery.get_by_role("button", name=f"Why {names(gallery)[0]} is similar").click()
    expect(gallery.get_by_role("alert")).to_have_text(
        "Failed: hog-colour has no feature map to show similar parts: use another network, such as efficientnetlite0",
        timeout=NETWORK_MILLISECONDS,
    )
    expect(gallery.get_by_role("dialog")).to_be_hidden()
    press(gallery, "Random image")


def test_ten_quick_clicks_end_with_one_answer(gallery):
    button = gallery.get_by_role("button", name="Random image")
    for _ in range(10):
        button.click(no_wait_after=True)
    gallery.page.wait_for_timeout(500)
    settle(gallery)
    expect(gallery.locator("[role=alert]")).to_have_count(0)
    assert name_of(gallery) not in names(gallery)
    expect(hits(gallery)).to_have_count(8)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.jpg", b"milk, bread and eggs", "notes.jpg: not an image of a supported format"),
        ("film.jpg", bytes(25_000_001), "film.jpg is larger than 25 MB"),
        ("nothing.jpg", b"", "nothing.jpg is empty"),
    ],
    ids=["text", "too large", "empty"],
)
def test_unreadable_upload_is_reported(gallery, tmp_path, name, content, reason):
    before = name_of(gallery), names(gallery)
    (tmp_path / name).write_bytes(content)
    upload(gallery, tmp_path / name)
    expect(gallery.get_by_role("alert")).to_contain_text(f"Not searched: {reason}")
    assert (name_of(gallery), names(gallery)) == before
    press(gallery, "Random image")
    expect(gallery.get_by_role("alert")).to_have_count(0)


def test_keyboard_reaches_every_control(gallery):
    press(gallery, "Random image")
    gallery.get_by_role("button", name="← Back").focus()
    first = hits(gallery).first
    for control in (
        gallery.get_by_role("button", name="Random image"),
        gallery.get_by_role("button", name="Upload image"),
        gallery.get_by_label("Web address"),
        gallery.get_by_role("button", name="Search", exact=True),
        gallery.locator("input[type=number]"),
        gallery.get_by_label("Exact search"),
        gallery.locator("summary"),
        gallery.locator(".similar-images-frame"),
        gallery.get_by_role("button", name="Tick all", exact=True),
        first.get_by_role("button", name=re.compile("^Search by")),
        first.get_by_role("checkbox"),
        first.get_by_role("button", name=re.compile("^More like")),
        first.get_by_role("button", name=re.compile("^Less like")),
        first.get_by_role("button", name=re.compile("^Open")),
        first.get_by_role("button", name=re.compile("^Why")),
        first.get_by_role("button", name=re.compile("^Copy")),
    ):
        gallery.page.keyboard.press("Tab")
        expect(control).to_be_focused()
    name = names(gallery)[0]
    first.get_by_role("button", name=re.compile("^Search by")).press("Enter")
    expect(query(gallery)).to_have_attribute("title", name)


def test_reloaded_page_shows_the_last_query(page, gallery, opened):
    before = name_of(gallery), names(gallery)
    with page.expect_response(lambda response: response.request.method == "PUT"):
        gallery.get_by_role("button", name="Random image").press("Control+s")  # saves the notebook
    reload_notebook(*opened)
    gallery = page.locator(".similar-images").first
    expect(query(gallery)).to_have_attribute("title", before[0], timeout=60_000)
    wait_for_pictures(page)
    assert names(gallery) == before[1]
    press(gallery, "Random image")


@also_in_voila
def test_all_cells_show_eight_hits_with_pictures(page, gallery):
    expect(hits(gallery)).to_have_count(8)
    expect(gallery.locator(".similar-images-answer img:visible")).to_have_count(9)
    expect(hits(gallery).first).to_contain_text(re.compile(r"\d\.\d\d\w+/\w+-\d\.jpg"))
    expect(gallery.locator(".status")).to_contain_text("flat index of 12 images: stored vector, search")
    expect(gallery.locator(".status")).to_contain_text("recall 1.000 when built")
    expect(gallery.get_by_text("This collection was made with hog-colour, which compares colour")).to_be_visible()
    expect(page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)


@pytest.mark.parametrize("opened", ["voila"], indirect=True, scope="module")
def test_voila_shows_no_code(page):
    expect(page.get_by_text("from similar_images import")).to_have_count(0)
    expect(page.locator(".jp-CodeMirrorEditor, pre:visible")).to_have_count(0)
    visible = page.locator("body").inner_text()
    assert "Which of two searches is better?" in visible
    assert not re.search("similar-images extract|In Python|Your own images|Run All Cells", visible)


@also_in_voila
def test_photograph_of_60_megapixels_is_uploaded(gallery, tmp_path):
    coarse = Image.effect_noise((600, 400), 60).resize((9480, 6330), Image.Resampling.BICUBIC).convert("RGB")
    coarse.save(tmp_path / "large.jpg", quality=97)
    assert (tmp_path / "large.jpg").stat().st_size > 11_000_000  # above the limit of Jupyter's server for one message
    upload(gallery, tmp_path / "large.jpg")
    expect(query(gallery)).to_have_attribute("title", "large.jpg", timeout=60_000)
    settle(gallery)


@also_in_voila
def test_click_on_a_hit_searches_by_it(gallery):
    name = names(gallery)[3]
    hits(gallery).nth(3).get_by_role("button", name=re.compile("^Search by")).click()
    expect(query(gallery)).to_have_attribute("title", name)
    settle(gallery)
    assert name not in names(gallery)


@also_in_voila
def test_axe_finds_nothing_serious(page, gallery):
    mark(gallery, 0, "More like")
    mark(gallery, 0, "Less like")
    hits(gallery).first.hover()
    gallery.get_by_label(f"Tick {names(gallery)[0]}").check()
    for theme in ("light", "dark"):
        assert not barriers(page, theme)
    gallery.get_by_role("button", name="Untick all").click()


@also_in_voila
def test_five_votes_survive_a_killed_kernel(opened, folder):
    page, wrong = opened

    def test() -> Locator:
        return page.get_by_role("region", name="Blind test").last

    def voted(count: int) -> None:
        expect(test()).to_contain_text(f"{count} of 5 done")
        expect(test()).to_have_attribute("aria-busy", "false")

    voted(0)
    undo = test().get_by_role("button", name="Undo the last vote")
    expect(undo).to_be_disabled()
    assert not {"near", "far"} & set(re.findall(r"\w+", test().inner_text()))
    expect(test().locator("li img")).to_have_count(8)
    test().get_by_role("button", name="Left is better").click()
    voted(1)
    test().get_by_role("group").focus()
    for count, key in ((2, "2"), (3, "n")):
        page.keyboard.press(key)
        voted(count)
    asked = test().get_by_role("img", name="the query").get_attribute("src")
    undo.click()
    voted(2)
    assert test().get_by_role("img", name="the query").get_attribute("src") != asked  # the last one again
    test().get_by_role("button", name="Tie").click()
    voted(3)
    wait_for_pictures(page)
    kernels = [
        one for one in psutil.process_iter(["cmdline"]) if "ipykernel_launcher" in " ".join(one.info["cmdline"] or [])
    ]
    ours = [one for one in kernels if one.cwd() == str(folder)]
    assert ours
    for kernel in ours:
        kernel.kill()
    if "/notebooks/" in page.url:
        page.get_by_role("dialog").get_by_role("button", name=re.compile("OK|Ok")).click(timeout=30_000)
        run_all(page)
    else:
        page.reload()
        wait_for_gallery(page)
    wrong.clear()  # the broken connection
    voted(3)
    test().get_by_role("group").focus()
    for count, key in ((4, "ArrowRight"), (5, "n")):
        page.keyboard.press(key)
        voted(count)
    expect(test()).to_contain_text("near preferred")
    expect(test().locator("svg")).to_be_visible()
    votes = read(folder / "voted.csv")
    assert [vote.vote for vote in votes] == ["left", "right", "tie", "right", "neither"]
    assert len({vote.query for vote in votes}) == 5
    assert not wrong
