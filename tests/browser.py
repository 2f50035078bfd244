"""Notebook 7 and Voila on loopback, and Chromium: for tests, benchmarks and docs/screenshot.py."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from axe_playwright_python.sync_playwright import Axe
from conditions import wait_until
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
STORED = "JSON.stringify(Object.entries(localStorage).sort())"
SETTINGS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
VOILA = (  # as the Makefile has it
    "--template=similar-images",
    "--Voila.ip=127.0.0.1",
    "--VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension",
)
START_SECONDS = 300
KERNEL_MILLISECONDS = 300_000  # to start and to run all cells, on a busy machine
NOTEBOOKS_OWN = "Cannot read properties of undefined (reading 'schema')"  # Notebook 7.6.5 with any notebook
HERE = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
SERIOUS = {"serious", "critical"}
CHANGE_THEME = "apputils:change-theme"
EXPECTED_MILLISECONDS = 120_000  # for the effect of a click, on a busy machine
LOADED = "images => images.every(image => image.complete && image.naturalWidth > 0)"

expect.set_options(timeout=EXPECTED_MILLISECONDS)


def chromium_path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium. Raises FileNotFoundError if it is not installed."""
    path = chromium_path()
    if path is None:
        raise FileNotFoundError(f"expected one of {', '.join(NAMES)} on the path: install Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def notebook_server(folder: Path) -> Iterator[str]:
    """Serve a folder's notebooks on loopback, without the user's settings; yield an address with {} for the name."""
    options = {"ip": "127.0.0.1", "port_retries": 0, "allow_root": True, "open_browser": False}
    command = ["notebook", *(f"--ServerApp.{key}={value}" for key, value in options.items()), "--ServerApp.port={port}"]
    command.append("--JupyterNotebookApp.expose_app_in_browser=True")  # for `set_theme`
    with _server(folder, command, "/api") as (port, token):
        yield f"http://127.0.0.1:{port}/notebooks/{{}}?token={token}"


@contextmanager
def voila_server(folder: Path, name: str) -> Iterator[str]:
    """Serve a notebook of a folder without its code, as `make app` does; yield its address."""
    options = [*VOILA, "--no-browser", "--Voila.port_retries=0", "--port={port}", "--Voila.token={token}"]
    with _server(folder, ["voila", name, *options], "/voila/static/voila.js") as (port, token):
        yield f"http://127.0.0.1:{port}/?token={token}"


@contextmanager
def _server(folder: Path, command: list[str], path: str) -> Iterator[tuple[int, str]]:
    """Run a module as a server in a folder until it answers at a path; yield its port and token."""
    with tempfile.TemporaryDirectory() as settings:
        port, token = _free_port(), secrets.token_hex()
        own = {name: f"{settings}/{name}" for name in SETTINGS}
        own |= {"JUPYTER_PATH": str(ROOT / "app"), "JUPYTER_TOKEN": token, "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port, token=token) for part in command)],
            cwd=folder,
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}{path}", server)
            yield port, token
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextmanager
def watched_page(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """Yield a new page, and the list of errors in it and of requests to other machines."""
    wrong: list[str] = []
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1400, "height": 1400})
    context.set_default_navigation_timeout(KERNEL_MILLISECONDS)  # Voila runs all cells before the page is complete
    context.set_default_timeout(EXPECTED_MILLISECONDS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: error.message == NOTEBOOKS_OWN or wrong.append(error.message))
    page.on("request", lambda request: request.url.startswith(HERE) or wrong.append(request.url))
    page.on(
        "response",
        lambda response: response.ok or response.status == 304 or wrong.append(f"{response.status} {response.url}"),
    )
    yield page, wrong
    context.close()


def end_kernels(address: str) -> None:
    """End all kernels of a notebook server."""
    kernels = address.replace("notebooks/{}", "api/kernels{}")
    with urlopen(kernels.format("")) as answer:
        running = json.load(answer)
    for kernel in running:
        urlopen(Request(kernels.format(f"/{kernel['id']}"), method="DELETE")).close()


def set_hits(gallery: Locator, count: int | str) -> None:
    """Type the number of hits."""
    box = gallery.get_by_label("Hits", exact=True).first
    box.fill(str(count))
    box.press("Enter")


def barriers(page: Page, theme: str) -> list[dict]:
    """Return the serious and critical findings of axe-core in the widgets of a light or dark page."""
    set_theme(page, theme)
    found = Axe().run(page, context=".similar-images")
    set_theme(page, "light")
    return [one for one in found.response["violations"] if one["impact"] in SERIOUS]


def set_theme(page: Page, theme: str) -> None:
    """Show a page light or dark, by the system's setting and by the notebook's theme, if it has one."""
    page.emulate_media(color_scheme=theme)
    if page.evaluate("command => window.jupyterapp?.commands.hasCommand(command)", CHANGE_THEME):  # not in Voila
        chosen = [CHANGE_THEME, {"theme": f"JupyterLab {theme.capitalize()}"}]
        page.evaluate("([command, theme]) => window.jupyterapp.commands.execute(command, theme)", chosen)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", str(theme == "light").lower())


def run_all_cells(page: Page, address: str, name: str) -> None:
    """Open a notebook, run its cells, and wait until its first gallery shows hits."""
    with page.expect_websocket(lambda socket: "/api/kernels/" in socket.url, timeout=KERNEL_MILLISECONDS):
        page.goto(address.format(quote(name)))  # without a connection to the kernel nothing would be run
    expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=KERNEL_MILLISECONDS)
    kernel = page.locator(".jp-Notebook-ExecutionIndicator")
    expect(kernel).to_have_attribute("data-status", "idle", timeout=KERNEL_MILLISECONDS)
    run_all(page)


def run_all(page: Page) -> None:
    """Run the cells of the open notebook, and wait until its first gallery shows hits."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    wait_for_gallery(page)


def reload_notebook(page: Page, wrong: list[str]) -> None:
    """Reload a notebook with widgets; again if Jupyter gives up after 4 s because the kernel is slow."""
    given_up = page.get_by_text("Error displaying widget: model not found")
    for _ in range(5):
        page.reload()
        expect(page.locator(".similar-images").or_(given_up).first).to_be_visible(timeout=KERNEL_MILLISECONDS)
        expect(page.get_by_text("Loading widget...")).to_have_count(0)
        if not given_up.count():
            break
        wrong[:] = [error for error in wrong if "widget model not found" not in error]


def wait_for_gallery(page: Page) -> None:
    """Wait until the first gallery shows hits and their pictures, if any."""
    expect(page.locator(".similar-images-card").first).to_be_visible(timeout=KERNEL_MILLISECONDS)
    wait_for_pictures(page)


def wait_for_pictures(page: Page) -> None:
    """Wait until every picture of the gallery is decoded; a query of words has none."""
    page.wait_for_function(f"({LOADED})([...document.querySelectorAll('.similar-images-answer :not(.words) > img')])")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(address, timeout=5):
                return
        except HTTPError:
            return
        except (URLError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"the notebook's server did not answer at {address}; it ended with {server.poll()}")


def reload_until_stored(page: Page) -> None:
    """Reload the page until it reads its local storage as it is now: Chromium stores it a moment later."""
    own = page.evaluate(STORED)
    wait_until(lambda: page.reload() and page.evaluate(STORED) == own)
