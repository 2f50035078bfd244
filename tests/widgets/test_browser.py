"""The notebook as a person sees it: served by Notebook 7 and by Voila, used and looked at with Chromium."""

import re

import pytest
from browser import chromium_path
from browser_gallery import hand_over, hand_over_all, hits, name_of, names, press, query, settle, upload
from playwright.sync_api import expect

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


def test_run_all_shows_eight_hits_with_their_pictures(page, gallery):
    expect(hits(gallery)).to_have_count(8)
    expect(gallery.locator(".similar-images-answer img:visible")).to_have_count(9)
    expect(hits(gallery).first).to_contain_text(re.compile(r"\d\.\d\d\w+/\w+-\d\.jpg"))
    expect(gallery.locator(".status")).to_contain_text("flat index of 12 images: stored vector, search")
    expect(gallery.locator(".status")).to_contain_text("recall 1.000 when built")
    expect(gallery.get_by_text("This collection was made with hog-colour, which compares colour")).to_be_visible()
    expect(page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)


def test_voila_shows_no_code(page):
    if "/notebooks/" not in page.url:
        expect(page.get_by_text("from similar_images import")).to_have_count(0)
        expect(page.locator(".jp-CodeMirrorEditor, pre:visible")).to_have_count(0)
        shown = page.locator("body").inner_text()  # what is visible
        assert "Which of two searches is better?" in shown
        assert not re.search("similar-images extract|In Python|Your own images|Run All Cells", shown)


def test_a_long_name_is_cut_in_a_card_and_whole_while_it_is_pointed_at(gallery):
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


def test_on_a_phone_nothing_is_wider_than_the_page(page, gallery):
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


def test_the_random_button_shows_another_query(gallery):
    before = name_of(gallery)
    press(gallery, "Random image")
    assert name_of(gallery) != before


def test_a_click_on_a_hit_searches_by_it(gallery):
    name = names(gallery)[3]
    hits(gallery).nth(3).get_by_role("button", name=re.compile("^Search by")).click()
    expect(query(gallery)).to_have_attribute("title", name)
    settle(gallery)
    assert name not in names(gallery)


def test_an_uploaded_image_is_searched_and_its_twin_is_marked(gallery, folder):
    upload(gallery, folder / "sample" / "sea" / "sea-1.jpg")
    expect(query(gallery)).to_have_attribute("title", "sea-1.jpg")
    settle(gallery)
    assert names(gallery)[0] == "sea/sea-1.jpg"
    expect(hits(gallery).first).to_contain_text("the same image")
    expect(gallery.locator(".status")).to_contain_text("network")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_an_image_that_is_dropped_or_pasted_is_searched(gallery, folder, event):
    hand_over(gallery, event, f"{event}.jpg", (folder / "sample" / "wine" / "wine-2.jpg").read_bytes())
    expect(query(gallery)).to_have_attribute("title", f"{event}.jpg")
    settle(gallery)
    assert names(gallery)[0] == "wine/wine-2.jpg"


def test_of_two_drops_in_a_row_the_last_one_is_searched_whole(gallery, folder):
    for first, last in (("wine", "sun"), ("sea", "grass"), ("sun", "wine")):
        files = [(f"{kind}.jpg", (folder / "sample" / kind / f"{kind}-1.jpg").read_bytes()) for kind in (first, last)]
        hand_over_all(gallery, "drop", files, padding=9_000_000)
        expect(query(gallery)).to_have_attribute("title", f"{last}.jpg", timeout=15_000)
        settle(gallery)
        assert names(gallery)[0] == f"{last}/{last}-1.jpg"
        expect(hits(gallery).first).to_contain_text("the same image")


def test_an_address_on_loopback_is_refused_unless_it_is_allowed(page, gallery, web):
    address, allowed = f"{web}/sample/sun/sun-2.jpg", page.locator(".similar-images", has_text="Hits").nth(1)
    before = name_of(gallery)
    for one in (gallery, allowed):
        one.get_by_label("Web address").fill(address)
        one.get_by_label("Web address").press("Enter")
    expect(gallery.get_by_role("alert")).to_contain_text("127.0.0.1 is not on the public internet")
    assert name_of(gallery) == before
    expect(query(allowed)).to_have_attribute("title", address)
    settle(allowed)
    assert names(allowed)[0] == "sun/sun-2.jpg"


def test_after_a_failure_the_status_is_that_of_the_hits_shown(gallery):
    before = gallery.locator(".status").inner_text()
    gallery.get_by_label("Web address").fill("http://127.0.0.1:9/x.jpg")
    gallery.get_by_role("button", name="Search", exact=True).click()
    expect(gallery.get_by_role("alert")).to_contain_text("cannot be fetched")
    expect(gallery.locator(".status")).to_have_text(before)  # not "Fetching"
    expect(gallery.get_by_role("progressbar")).to_be_hidden()


def test_a_file_address_is_refused_and_the_gallery_goes_on(gallery):
    gallery.get_by_label("Web address").fill("file:///etc/passwd")
    gallery.get_by_role("button", name="Search", exact=True).click()
    expect(gallery.get_by_role("alert")).to_contain_text("begins with http:// or https://")
    press(gallery, "Random image")
    expect(gallery.get_by_role("alert")).to_have_count(0)


def test_a_box_searches_by_that_part_and_the_whole_is_a_click_away(gallery):
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
    assert name in names(gallery)  # the image that the part is of is a hit like any other
    press(gallery, "Search by the whole image")
    assert names(gallery) == whole
    expect(gallery.locator(".similar-images-box")).to_be_hidden()


def test_a_box_is_made_moved_and_given_up_with_the_keyboard(gallery):
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
