"""History, settings, exports, keyboard and votes in the notebook, as Chromium shows them."""

import io
import re
from pathlib import Path

import psutil
import pytest
from browser import barriers, chromium_path, run_all, set_hits, wait_for_gallery, wait_for_pictures
from browser_gallery import (
    encoded,
    hits,
    name_of,
    names,
    press,
    query,
    settle,
    upload,
)
from PIL import Image
from playwright.sync_api import Locator, expect

from similar_images.comparison.votes import read

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


def test_history_goes_back_and_forward(gallery):
    first = name_of(gallery)
    press(gallery, "Random image")
    second, found = name_of(gallery), names(gallery)
    press(gallery, "← Back")
    assert name_of(gallery) == first
    press(gallery, "Forward →")
    assert (name_of(gallery), names(gallery)) == (second, found)
    expect(gallery.get_by_role("button", name="Forward →")).to_be_disabled()
    gallery.get_by_role("button", name="Random image").press("Alt+ArrowLeft")
    expect(query(gallery)).to_have_attribute("title", first)


def test_the_number_of_hits_and_the_exact_search_can_be_set(gallery):
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
def test_a_number_of_hits_that_is_not_possible_is_told_until_the_next_action(gallery, wanted, used):
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


def test_a_hit_is_opened_its_name_copied_and_ticked_ones_are_taken_away(gallery):
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
        gallery.get_by_label(f"Tick {ticked}").check()  # the card is scrolled to, and so pointed at
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
        ("half.jpg", encoded(Image.effect_noise((300, 300), 90))[:9000], "half.jpg: damaged or truncated"),
        ("film.jpg", bytes(25_000_001), "film.jpg is larger than 25 MB"),
        ("nothing.jpg", b"", "nothing.jpg is empty"),
    ],
    ids=["text", "broken", "too large", "empty"],
)
def test_what_is_no_image_is_told_and_the_gallery_goes_on(gallery, tmp_path, name, content, reason):
    before = name_of(gallery), names(gallery)
    (tmp_path / name).write_bytes(content)
    upload(gallery, tmp_path / name)
    expect(gallery.get_by_role("alert")).to_contain_text(f"Not searched: {reason}")
    assert (name_of(gallery), names(gallery)) == before
    press(gallery, "Random image")
    expect(gallery.get_by_role("alert")).to_have_count(0)


def test_a_photograph_of_sixty_megapixels_arrives_whole(gallery, tmp_path):
    coarse = Image.effect_noise((600, 400), 60).resize((9480, 6330), Image.Resampling.BICUBIC).convert("RGB")
    coarse.save(tmp_path / "large.jpg", quality=97)
    assert (tmp_path / "large.jpg").stat().st_size > 11_000_000  # more than Jupyter's server takes in one message
    upload(gallery, tmp_path / "large.jpg")
    expect(query(gallery)).to_have_attribute("title", "large.jpg", timeout=60_000)
    settle(gallery)


def test_every_control_is_reached_and_pressed_with_the_keyboard(gallery):
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, gallery, theme):
    gallery.get_by_label(f"Tick {names(gallery)[0]}").check()
    assert not barriers(page, theme)


def test_a_reloaded_page_shows_the_last_query(page, gallery):
    if "/notebooks/" in page.url:
        before = name_of(gallery), names(gallery)
        with page.expect_response(lambda response: response.request.method == "PUT"):
            gallery.get_by_role("button", name="Random image").press("Control+s")  # the notebook's, from here too
        page.reload()
        gallery = page.locator(".similar-images").first
        expect(query(gallery)).to_have_attribute("title", before[0], timeout=60_000)
        wait_for_pictures(page)
        assert names(gallery) == before[1]
        press(gallery, "Random image")


def test_five_votes_with_a_killed_kernel_in_between(opened, folder):
    page, wrong = opened

    def test() -> Locator:
        return page.get_by_role("region", name="Blind test").last

    def voted(count: int) -> None:
        expect(test()).to_contain_text(f"{count} of 5 done", timeout=30_000)
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
    wrong.clear()  # the browser complains of the connection that broke
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
