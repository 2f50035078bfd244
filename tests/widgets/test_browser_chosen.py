"""Ticked hits, marks, several images, names and further hits, as Chromium shows them, joined with Python."""

import re

import pytest
from browser import barriers, chromium_path, set_hits
from browser_gallery import hits, name_of, names, press, query, settle
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


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


def test_more_and_less_like_hits_are_searched_shown_and_taken_back(gallery):
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
    gallery.page.keyboard.press("-")  # the focus is where it was, on the third hit
    expect(gallery.get_by_role("button", name=f"Unmark {less}")).to_be_visible()
    expect(gallery.get_by_text("1 ticked. Export:")).to_be_visible()
    gallery.get_by_role("button", name="Untick all").click()
    expect(gallery.get_by_text("ticked. Export:")).to_have_count(0)


def test_ticks_stay_from_query_to_query_until_they_are_cleared(gallery):
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


def test_arrow_keys_go_from_hit_to_hit_and_shift_ticks_all_in_between(gallery):
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


def test_only_ticked_images_are_searched_until_all_are_again(gallery):
    first = names(gallery)
    for name in first[2:6]:
        gallery.get_by_label(f"Tick {name}").check()
    press(gallery, "Search only these")
    assert names(gallery) == first[2:6]
    expect(gallery.locator(".status")).to_contain_text("4 that match of the")
    gallery.get_by_role("button", name="Untick all").click()  # what is ticked later is not what is searched
    press(gallery, "Random image")
    assert set(names(gallery)) <= set(first[2:6])
    press(gallery, "← Back")
    press(gallery, "Search all, not only 4")
    assert names(gallery) == first
    expect(gallery.locator(".status")).not_to_contain_text("that match of the")
    expect(gallery.get_by_role("button", name="Search only these")).to_be_hidden()


def test_several_images_at_once_are_searched_together(gallery, folder):
    files = [folder / "sample" / "sea" / "sea-1.jpg", folder / "sample" / "wine" / "wine-2.jpg"]
    gallery.locator("input[type=file]").set_input_files(files)
    expect(query(gallery)).to_have_attribute("title", "sea-1.jpg")
    settle(gallery)
    assert marked(gallery, "More like these") == ["wine-2.jpg"]
    assert set(names(gallery)[:2]) == {"sea/sea-1.jpg", "wine/wine-2.jpg"}


def test_a_name_is_proposed_and_searched(gallery):
    box = gallery.get_by_label("Name or web address")
    box.fill("sun-1")
    expect(gallery.locator("datalist option")).to_have_attribute("value", "sun/sun-1.jpg")
    box.press("Enter")
    expect(query(gallery)).to_have_attribute("title", "sun/sun-1.jpg")
    box.fill("")


def test_further_hits_follow_up_to_the_whole_collection(gallery):
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_with_marks_and_ticks(page, gallery, theme):
    mark(gallery, 0, "More like")
    mark(gallery, 0, "Less like")
    hits(gallery).first.hover()
    gallery.get_by_label(f"Tick {names(gallery)[0]}").check()
    assert not barriers(page, theme)
    gallery.get_by_role("button", name="Untick all").click()
