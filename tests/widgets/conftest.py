"""A sample, its gallery, and notebooks opened in Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import end_kernels, notebook_server, run_all_cells, voila_server, wait_for_gallery, watched_page
from browser_gallery import press
from playwright.sync_api import Locator, Page, expect
from sample_images import make_sample

from similar_images import Collection, Gallery
from similar_images.widgets import thumbnails


@pytest.fixture(autouse=True)
def patience(monkeypatch) -> None:
    """Wait for all thumbnails, on a busy machine too."""
    monkeypatch.setattr(thumbnails, "PATIENCE", 30)


@pytest.fixture
def collection(tmp_path) -> Collection:
    make_sample(tmp_path)
    return Collection.open(tmp_path / "sample_file_list.txt")


@pytest.fixture
def shown(collection) -> Gallery:
    gallery = Gallery(collection, seed=1)
    gallery.wait()
    return gallery


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Path:
    """The folder of the notebook server, with a folder for each module of tests."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def server(served) -> Iterator[str]:
    """The address of the only notebook server of this process, with {} for the notebook."""
    with notebook_server(served) as address:
        yield address


@pytest.fixture(scope="module")
def opened(request, browser, folder) -> Iterator[tuple[Page, list[str]]]:
    """The notebook in `folder` with all cells run, and the list of errors in its page.

    Notebook 7 opens it, or Voila if the parameter says so.
    """
    (folder / "voted.csv").unlink(missing_ok=True)
    (name,) = folder.glob("*.ipynb")
    with watched_page(browser) as (page, wrong):
        if getattr(request, "param", None) == "voila":
            with voila_server(folder, name.name) as address:
                page.goto(address)
                wait_for_gallery(page)
                yield page, wrong
        else:
            server = request.getfixturevalue("server")
            run_all_cells(page, server, f"{folder.name}/{name.name}")
            yield page, wrong
            end_kernels(server)


@pytest.fixture
def page(opened) -> Iterator[Page]:
    page, wrong = opened
    yield page
    assert not wrong


@pytest.fixture
def gallery(page) -> Locator:
    """The first gallery, with the hits of a random image, none of them ticked."""
    gallery = page.locator(".similar-images").first
    if (none := gallery.get_by_role("button", name="Untick all")).is_visible():
        none.click()
    press(gallery, "Random image")
    expect(gallery.locator("[role=alert]")).to_have_count(0)
    return gallery
