"""Why a hit is similar, in Chromium: heat maps over the query and the hit, by button and by key."""

from pathlib import Path

import nbformat
import pytest
from browser import barriers, chromium_path
from browser_gallery import NOTEBOOK, hits, name_of, names, press
from conftest import committed
from playwright.sync_api import Locator, expect
from sample_images import make_sample

from similar_images import Collection

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")
NETWORK_MILLISECONDS = 60_000  # to load the network and compare, on a busy machine
SECOND = 'Gallery(Collection.open("deep/sample_file_list.txt"), seed=1)'


@pytest.fixture(scope="module")
def folder(served) -> Path:
    """The notebook beside a sample, with a second gallery, of a network with feature maps."""
    folder = served / "why"
    folder.mkdir()
    make_sample(folder)
    Collection.create(folder / "sample", folder / "deep", "efficientnetlite0")
    notebook = nbformat.reads(committed(NOTEBOOK), as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(SECOND))
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder


@pytest.fixture
def deep(page) -> Locator:
    gallery = page.get_by_role("region", name="Similar images", exact=True).nth(1)  # its cell runs last
    expect(hits(gallery).first).to_be_visible(timeout=NETWORK_MILLISECONDS)
    return gallery


def test_heat_maps_are_shown_and_arrows_move_to_the_next_hit(page, deep):
    name, query = names(deep)[0], name_of(deep)
    deep.get_by_role("button", name=f"Why {name} is similar").click()
    dialog = deep.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{name}: most alike: the ", timeout=NETWORK_MILLISECONDS)
    pictures = dialog.get_by_role("img")
    expect(pictures).to_have_count(2)
    assert pictures.first.get_attribute("alt").startswith(f"Query {query}, with a heat map: most alike in the ")
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
