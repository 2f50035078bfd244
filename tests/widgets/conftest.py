"""A sample, a gallery that shows it, and the notebook of images opened in Chromium."""

from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbformat
import pytest
from browser import chromium, opened_notebook
from browser_gallery import BLIND_TEST, NOTEBOOK, press
from conftest import committed
from playwright.sync_api import Browser, Locator, Page, expect
from sample_images import make_sample

from similar_images import Collection, Gallery


@pytest.fixture
def collection(tmp_path) -> Collection:
    make_sample(tmp_path)
    return Collection.open(tmp_path / "sample_file_list.txt")


@pytest.fixture
def shown(collection) -> Gallery:
    gallery = Gallery(collection, seed=1)
    gallery.wait()
    return gallery


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The notebook beside a sample, with two cells more.

    A gallery that may ask the server of the tests, and a blind test of two that differ.
    """
    folder = tmp_path_factory.mktemp("served")
    make_sample(folder)
    notebook = nbformat.reads(committed(NOTEBOOK), as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("Gallery(collection, allow_private=True)"))
    notebook.cells.append(nbformat.v4.new_code_cell(BLIND_TEST))
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


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


@pytest.fixture(scope="module", params=["notebook", "voila"])
def opened(request, browser, folder) -> Iterator[tuple[Page, list[str]]]:
    """The page with all cells run, and a list of what went wrong in the browser or left the machine."""
    (folder / "voted.csv").unlink(missing_ok=True)
    with opened_notebook(browser, folder, NOTEBOOK, request.param) as opened:
        yield opened


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
