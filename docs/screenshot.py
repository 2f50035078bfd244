#!/usr/bin/env python3
"""The README's pictures: the notebooks and the report on the sample collections, as Chromium shows them."""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import KERNEL_MILLISECONDS, chromium, notebook_server, run_all_cells  # noqa: E402

NOTEBOOK, TEXT_NOTEBOOK = "Similar image.ipynb", "Text_similarity.ipynb"
NOTEBOOK_PICTURE, TEXTS_PICTURE, REPORT_PICTURE = (
    ROOT / "docs" / f"{name}.png" for name in ("notebook", "texts", "report")
)
CELL = "Gallery(collection)"
LIST, REPORT = "sample_file_list.txt", "report.html"
TYPED = "flip a picture left to right"
CLASSES = 3  # the number of worst classes that the picture shows
SEED = 3  # of the random image that the picture shows
WIDTH, HEIGHT = 1100, 2600  # of the window, in CSS pixels
SCALE = 1.3
MARGIN = 16  # CSS pixels
PICTURES_MILLISECONDS = 3000  # until the map has its pictures


def main() -> None:
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        _copy_to(folder)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
        with notebook_server(folder) as address:
            run_all_cells(page, address, NOTEBOOK)
            shown = page.get_by_role("region", name="Map")
            expect(shown).to_have_attribute("aria-busy", "false", timeout=KERNEL_MILLISECONDS)
            expect(shown.locator(".similar-images-legend button").first).to_be_visible(timeout=KERNEL_MILLISECONDS)
            page.wait_for_timeout(PICTURES_MILLISECONDS)
            _write(NOTEBOOK_PICTURE, page, page.locator(".jp-Cell").first, shown.locator(".similar-images-legend"))
            run_all_cells(page, address, TEXT_NOTEBOOK)
            texts = page.locator(".similar-images").first
            texts.get_by_label("Search for").fill(TYPED)
            expect(texts.locator(".status")).to_contain_text("network", timeout=KERNEL_MILLISECONDS)
            texts.get_by_label("Search for").blur()
            _write(TEXTS_PICTURE, page, texts, texts)
        evaluation = [sys.executable, "-m", "similar_images", "evaluate", LIST, "-k", "8", "--report", REPORT]
        subprocess.run(evaluation, cwd=folder, check=True)
        page.goto((folder / REPORT).as_uri())
        _write(REPORT_PICTURE, page, page.locator("figure").nth(1), page.locator(".tiles").nth(CLASSES - 1))


def _copy_to(folder: Path) -> None:
    """Copy the notebooks, with a fixed first query, and the sample collections, so that the originals do not change."""
    notebook = (ROOT / NOTEBOOK).read_text(encoding="utf-8").replace(CELL, f"{CELL[:-1]}, seed={SEED})")
    (folder / NOTEBOOK).write_text(notebook, encoding="utf-8")
    for pattern in ("sample_*", "docstrings_list*", TEXT_NOTEBOOK):
        for file in ROOT.glob(pattern):
            shutil.copy(file, folder)
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "reviews.csv", folder / "docs")
    (folder / "sample").symlink_to(ROOT / "sample")


def _write(picture: Path, page: Page, first: Locator, last: Locator) -> None:
    """Write what the page shows from one element to another."""
    top, bottom = first.bounding_box(), last.bounding_box()
    height = bottom["y"] + bottom["height"] + MARGIN - top["y"]
    clip = {"x": top["x"], "y": top["y"], "width": top["width"], "height": height}
    screenshot = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")
    screenshot.save(picture, optimize=True)
    print(
        f"{picture.relative_to(ROOT)}: {screenshot.width} x {screenshot.height}, {picture.stat().st_size / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
