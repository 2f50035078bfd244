#!/usr/bin/env python3
"""The README's picture: the notebook on the sample collection, as Chromium shows it."""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium, notebook_server, run_all_cells  # noqa: E402

NOTEBOOK = "Similar image.ipynb"
PICTURE = ROOT / "docs" / "notebook.png"
CELL = "Gallery(collection)"
SEED = 3  # of the random image that the picture shows
WIDTH, HEIGHT = 1100, 1600  # of the window, in CSS pixels
SCALE = 1.3
MARGIN = 16  # CSS pixels


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _copy_to(Path(folder))
        with notebook_server(Path(folder)) as address, chromium() as browser:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
            run_all_cells(page, address, NOTEBOOK)
            _write(page.screenshot(clip=_from_title_to_hits(page)))


def _copy_to(folder: Path) -> None:
    """Copy the notebook, its first query fixed, and the sample collection: what is here stays as it is."""
    notebook = (ROOT / NOTEBOOK).read_text(encoding="utf-8").replace(CELL, f"{CELL[:-1]}, seed={SEED})")
    (folder / NOTEBOOK).write_text(notebook, encoding="utf-8")
    for file in ROOT.glob("sample_file_list*"):
        shutil.copy(file, folder)
    (folder / "sample").symlink_to(ROOT / "sample")


def _from_title_to_hits(page: Page) -> dict[str, float]:
    title, gallery = page.locator(".jp-Cell").first.bounding_box(), page.locator(".similar-images").bounding_box()
    bottom = gallery["y"] + gallery["height"] + MARGIN
    return {"x": title["x"], "y": title["y"], "width": title["width"], "height": bottom - title["y"]}


def _write(screenshot: bytes) -> None:
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture.save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {picture.width} x {picture.height}, {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
