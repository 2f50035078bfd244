"""The notebook as a person sees it: served by Notebook 7, looked at with Chromium."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import ROOT, chromium, chromium_path, notebook_server, run_all_cells, wait_for_pictures
from playwright.sync_api import Browser, Page, expect
from test_gallery import make_sample

NOTEBOOK = "Similar image.ipynb"
NOTEBOOKS_OWN = "Cannot read properties of undefined (reading 'schema')"  # Notebook 7.6.5 with any notebook
HERE = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    make_sample(folder)
    shutil.copy(ROOT / NOTEBOOK, folder)
    return folder


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    with notebook_server(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, address) -> Iterator[Page]:
    """The notebook after Run All Cells; at the end nothing failed in the browser and nothing left the machine."""
    wrong: list[str] = []
    with browser.new_context(reduced_motion="reduce", viewport={"width": 1400, "height": 1400}) as context:
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("pageerror", lambda error: error.message == NOTEBOOKS_OWN or wrong.append(error.message))
        page.on("request", lambda request: request.url.startswith(HERE) or wrong.append(request.url))
        page.on("response", lambda response: response.ok or wrong.append(f"{response.status} {response.url}"))
        run_all_cells(page, address, NOTEBOOK)
        yield page
    assert not wrong


def query(page: Page):
    return page.locator(".similar-images-query figcaption")


def hits(page: Page):
    return page.locator(".similar-images-card")


def status(page: Page):
    return page.locator(".similar-images p").first


def upload(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload image").click()
    chooser.value.set_files(file)


def test_run_all_shows_eight_hits_with_their_pictures(page):
    expect(hits(page)).to_have_count(8)
    expect(page.locator(".similar-images img")).to_have_count(9)
    expect(hits(page).first).to_contain_text(re.compile(r"-\d\.jpg0\.\d\d"))
    expect(status(page)).to_contain_text("flat index of 12 images")
    expect(page.get_by_text("This collection was made with hog-colour, which compares colour")).to_be_visible()
    expect(page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)


def test_the_random_button_shows_another_query(page):
    before = query(page).text_content()
    page.get_by_role("button", name="Random image").click()
    expect(query(page)).not_to_have_text(before)
    wait_for_pictures(page)


def test_a_click_on_a_hit_searches_by_it(page):
    name = hits(page).nth(3).locator("figure").get_attribute("title")
    hits(page).nth(3).get_by_role("button", name="Search by this").click()
    expect(query(page)).to_have_text(f"{name}query")
    wait_for_pictures(page)


def test_every_control_is_reached_and_pressed_with_the_keyboard(page):
    page.get_by_role("button", name="Random image").focus()
    for control in (page.get_by_label("Web address"), page.get_by_role("button", name=re.compile("Search$"))):
        page.keyboard.press("Tab")
        expect(control).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Upload image")).to_be_focused()
    page.keyboard.press("Tab")
    expect(hits(page).first.get_by_role("button")).to_be_focused()
    name = hits(page).first.locator("figure").get_attribute("title")
    page.keyboard.press("Enter")
    expect(query(page)).to_have_text(f"{name}query")


def test_an_uploaded_image_is_searched(page, folder):
    upload(page, folder / "sample" / "sea" / "sea-1.jpg")
    expect(query(page)).to_have_text("sea-1.jpgquery")
    expect(hits(page).first).to_contain_text("sea/sea-1.jpg1.00")
    expect(status(page)).to_contain_text("network")
    wait_for_pictures(page)


def test_an_uploaded_text_is_told_and_the_gallery_goes_on(page, tmp_path):
    (tmp_path / "notes.jpg").write_text("milk, bread and eggs")
    upload(page, tmp_path / "notes.jpg")
    expect(page.get_by_role("alert")).to_contain_text("Not searched: notes.jpg: not an image of a known format")
    page.get_by_role("button", name="Random image").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_enter_in_the_address_searches_it(page):
    box = page.get_by_label("Web address")
    box.fill("file:///etc/passwd")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("begins with http:// or https://, got file:///etc/passwd")
    expect(box).to_be_enabled()
