#!/usr/bin/env python3
"""Time the map of 100,000 images in Notebook 7 and Chromium: first drawing, panning, selections, pictures.

./benchmarks/map_widget.py [--count 100000]

If jupyter-scatter is installed (pip install jupyter-scatter==1.0.1), its widget pans the same points in the same page.
Frames are counted by requestAnimationFrame while the mouse drags for SECONDS; Chromium draws without a GPU.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

import click
import nbformat
import numpy as np
from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import chromium, notebook_server, run_all_cells  # noqa: E402
from gallery import KERNEL, prepare  # noqa: E402

NOTEBOOK = "map_widget.ipynb"
SECONDS = 4
ROUNDS = 5
CELLS = (
    """import time, ipywidgets, numpy as np
from similar_images import Collection, Gallery, Map
collection = Collection.open("v.npy", names="v.txt", images="images")
n = len(collection)
coordinates = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
labels = np.arange(n) % 8
gallery = Gallery(collection, k=4, seed=0)
gallery""",
    """print("began", time.time() * 1000)
map = Map(collection, coordinates, color=labels)
map""",
    """told = ipywidgets.Label().add_class("told")
map.observe(lambda change: setattr(told, "value", str(len(change["new"]))), "selection")
few, many = ipywidgets.Button(description="few"), ipywidgets.Button(description="many")
few.on_click(lambda _: setattr(map, "selection", list(range(1, min(n, 1000)))))
many.on_click(lambda _: setattr(map, "selection", list(range(n))))
ipywidgets.VBox([told, few, many])""",
)
SCATTER = """import jscatter
jscatter.Scatter(x=coordinates[:, 0], y=coordinates[:, 1], color_by=labels, height=560).show()"""
COUNT_FRAMES = """() => {
    const times = window.frameTimes = [];
    const next = time => { if (window.frameTimes === times) { times.push(time); requestAnimationFrame(next); } };
    requestAnimationFrame(next);
}"""
ENDED = "() => { const times = window.frameTimes; window.frameTimes = null; return times; }"
SELECT = """([press, told, wanted]) => new Promise(resolve => {
    const began = performance.now();
    eval(press)();
    const look = () => eval(told)() === wanted ? resolve(performance.now() - began) : requestAnimationFrame(look);
    look();
})"""
BUTTON = "() => [...document.querySelectorAll('button')].find(one => one.textContent === '{}').click()"
LEGEND = "() => document.querySelector('.similar-images-legend button').click()"
SHOWN = "() => document.querySelector('.similar-images-map').dataset.selected"
TOLD = "() => document.querySelector('.told').textContent"


def frames(page: Page, canvas: Locator) -> np.ndarray:
    """Return the ms between frames while the mouse drags in circles."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(COUNT_FRAMES)
    began = page.evaluate("() => performance.now()")
    angle = 0.0
    while page.evaluate("() => performance.now()") - began < 1000 * SECONDS:
        angle += 0.1
        page.mouse.move(x + 100 * np.sin(angle), y + 100 * (1 - np.cos(angle)))
    times = page.evaluate(ENDED)
    page.mouse.up()
    return np.diff(times)


def clear(root: Locator) -> None:
    if root.get_attribute("data-selected") != "0":
        root.get_by_role("button", name="Clear selection").evaluate("one => one.click()")
        expect(root.page.locator(".told")).to_have_text("0")


def told(what: str, gaps: np.ndarray) -> float:
    rate = 1000 / gaps.mean()
    print(f"  {what:16} {rate:5.1f} frames a second, 95% of them within {np.percentile(gaps, 95):.0f} ms")
    return rate


@click.command()
@click.option("--count", default=100_000, show_default=True)
def main(count: int) -> None:
    has_scatter = importlib.util.find_spec("jscatter") is not None
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        prepare(folder, count)
        cells = [nbformat.v4.new_code_cell(cell) for cell in (*CELLS, *([SCATTER] if has_scatter else []))]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), folder / NOTEBOOK)
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        with notebook_server(folder) as address:
            run_all_cells(page, address, NOTEBOOK)
            root = page.locator(".similar-images-map")
            expect(root).to_have_attribute("data-in-view", str(count), timeout=60_000)
            began = float(page.get_by_text("began").last.inner_text().split()[-1])
            print(
                f"{count} images: drawn {(float(root.get_attribute('data-drawn') or 0) - began) / 1000:.2f} s after the cell began"
            )
            page.wait_for_timeout(3000)
            ours = told("panned", frames(page, root.locator("canvas").last))
            if has_scatter:
                other = told("jupyter-scatter", frames(page, page.locator("canvas:visible").last))
                print(f"  ours / jupyter-scatter {ours / other:.2f}")
            for what, button, size in (("few", "few", min(count, 1000) - 1), ("all", "many", count)):
                took = []
                for _ in range(ROUNDS):
                    clear(root)
                    took.append(page.evaluate(SELECT, [BUTTON.format(button), SHOWN, str(size)]))
                print(f"  {what}, {size} selected in Python, seen in the page after {np.median(took) / 1000:.2f} s")
            took = []
            for _ in range(ROUNDS):
                clear(root)
                took.append(page.evaluate(SELECT, [LEGEND, TOLD, str(-(-count // 8))]))
            print(f"  {count // 8} selected in the page, told by Python after {np.median(took) / 1000:.2f} s")
            clear(root)
            while int(root.get_attribute("data-in-view") or 0) > 300:
                root.get_by_role("button", name="Zoom in").evaluate("one => one.click()")
                page.wait_for_timeout(100)
            began = page.evaluate("() => performance.now()")
            page.wait_for_function("() => Number(document.querySelector('.similar-images-map').dataset.pictures) > 50")
            print(f"  pictures after {(page.evaluate('() => performance.now()') - began) / 1000:.2f} s")
            page.wait_for_timeout(2000)
            told("with pictures", frames(page, root.locator("canvas").last))


if __name__ == "__main__":
    main()
