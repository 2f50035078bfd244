#!/usr/bin/env python3
"""Time a click until 48 thumbnails are on screen, in Notebook 7 and Chromium; measure memory over many queries.

./benchmarks/gallery.py [--count 40000] [--queries 200] [--scrolls 100]

Compares the gallery with the plain grid of 2022 (an ipywidgets.Image and a button per hit), alternately in one
notebook, with the same collection (repeated sample files with random vectors), the same index and random queries.
"Cached" alternates between two queries. No network runs, because vectors are stored. A click's time ends when all
pictures are decoded. "Selected" lasts from a click that sets `gallery.selection` in Python until the page shows it,
"ticked" from a click on the page until an observer in Python has displayed it. Prints medians, and memory of kernel and
page after warm-up, after further queries, and after scrolling.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import nbformat
import numpy as np
import psutil

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import chromium, notebook_server, run_all_cells, wait_for_pictures  # noqa: E402

DIMENSION = 256
K = 48
ROUNDS = 12
WARM_UP = 120  # queries, until the kept thumbnails reach their limit
NOTEBOOK = "gallery.ipynb"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
CELLS = (
    f"""from similar_images import Collection, Gallery
collection = Collection.open("v.npy", names="v.txt", images="images")
gallery = Gallery(collection, k={K}, seed=0)
gallery""",
    f"""import ipywidgets, random
grid, button, done = ipywidgets.Box(layout={{"flex_flow": "wrap"}}), ipywidgets.Button(description="Plain"), ipywidgets.Label()
def show(_):
    hits = collection.nearest(random.randrange(len(collection)), {K})
    grid.children = [
        ipywidgets.VBox([
            ipywidgets.Image(value=collection.image(hit.row).read_bytes(), width=160),
            ipywidgets.Button(description="Search by this"),
        ]) for hit in hits
    ]
    done.value = str(int(done.value or 0) + 1)
button.on_click(show)
box = ipywidgets.VBox([button, done, grid])
box.add_class("plain")
select, seen = ipywidgets.Button(description="Select"), ipywidgets.Label()
def set_selection(_):
    gallery.selection = [] if gallery.selection else [hit.row for hit in gallery.hits]
select.on_click(set_selection)
def show_selection(change):
    seen.value = str(len(change["new"]))
gallery.observe(show_selection, "selection")
selected = ipywidgets.VBox([select, seen])
selected.add_class("selected")
ipywidgets.VBox([box, selected])""",
)
TIME = """async ([root, button, changed, count]) => {
    const box = document.querySelector(root), sign = () => eval(changed)(box), before = sign();
    const began = performance.now();
    eval(button)(box).click();
    while (true) {
        await new Promise(requestAnimationFrame);
        const images = [...box.querySelectorAll("img")].filter(one => !one.closest("dialog, .similar-images-query"));
        if (sign() !== before && images.length === count && images.every(one => one.complete && one.naturalWidth > 0)) break;
    }
    return performance.now() - began;
}"""
SELECT = """async ([root, button, changed]) => {
    const sign = () => eval(changed)(), before = sign(), began = performance.now();
    eval(button)(document.querySelector(root)).click();
    while (sign() === before) await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""
TICKED = "() => document.querySelectorAll('.similar-images-card.ticked').length"
SEEN = "() => document.querySelector('.selected .widget-label').textContent"
SCROLL = "one => { one.scrollTop = one.scrollHeight; return one.querySelectorAll('ul').length; }"
NAMED = "box => [...box.querySelectorAll('button')].find(one => one.textContent.includes('{}'))"
OURS, PLAIN = "box => box.dataset.number", "box => box.querySelector('.widget-label').textContent"


def prepare(folder: Path, count: int) -> None:
    """Put the sample's images, repeated as links, vectors and an index into a folder."""
    from similar_images.index.builder import build
    from similar_images.vectors.store import open_vectors

    subprocess.run([sys.executable, "-m", "similar_images.cli.sample", str(folder / "painted")], check=True, cwd=ROOT)
    painted = sorted((folder / "painted").rglob("*.jpg"))
    (folder / "images").mkdir()
    names = [f"{i:06}.jpg" for i in range(count)]
    for i, name in enumerate(names):
        os.link(painted[i % len(painted)], folder / "images" / name)
    (folder / "v.txt").write_text("".join(f"{name}\n" for name in names))
    random = np.random.default_rng(0)
    kinds = random.standard_normal((400, DIMENSION), dtype=np.float32)
    np.save(
        folder / "v.npy", kinds[np.arange(count) % 400] + random.standard_normal((count, DIMENSION), dtype=np.float32)
    )
    build(open_vectors(folder / "v.npy"), folder / "v.faiss.index")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), folder / NOTEBOOK)


def took(page, root: str, button: str, changed: str) -> float:
    return page.evaluate(TIME, [root, NAMED.format(button), changed, K]) / 1000


def memory(page, folder: Path) -> tuple[float, float]:
    """Return the MB that the kernel and the page's scripts hold, the page's after its garbage was collected."""
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    heap = client.send("Runtime.getHeapUsage")["usedSize"]
    kernels = [
        one for one in psutil.process_iter(["cmdline"]) if "ipykernel_launcher" in " ".join(one.info["cmdline"] or ())
    ]
    (kernel,) = [one for one in kernels if one.cwd() == str(folder)]
    return kernel.memory_info().rss / 1e6, heap / 1e6


@click.command()
@click.option("--count", default=40_000, show_default=True)
@click.option("--queries", default=200, show_default=True)
@click.option("--scrolls", default=100, show_default=True)
def main(count: int, queries: int, scrolls: int) -> None:
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        prepare(folder, count)
        page = browser.new_page(viewport={"width": 1400, "height": 1400}, reduced_motion="reduce")
        with notebook_server(folder) as address:
            run_all_cells(page, address, NOTEBOOK)
            times: dict[str, list[float]] = {"uncached": [], "cached": [], "plain": []}
            for _ in range(ROUNDS):
                times["uncached"].append(took(page, ".similar-images", "Random image", OURS))
                times["cached"].append(took(page, ".similar-images", "Back", OURS))
                times["cached"].append(took(page, ".similar-images", "Forward", OURS))
                times["plain"].append(took(page, ".plain", "Plain", PLAIN))
            middle = {side: float(np.median(each)) for side, each in times.items()}
            print(f"{count} images, from click to {K} thumbnails:")
            for side, seconds in middle.items():
                print(f"  {side:9} {seconds:.2f} s (from {min(times[side]):.2f} to {max(times[side]):.2f})")
            print(
                f"  plain / cached {middle['plain'] / middle['cached']:.1f}, plain / uncached {middle['plain'] / middle['uncached']:.1f}"
            )
            joined: dict[str, list[float]] = {"selected": [], "ticked": []}
            for turn in range(ROUNDS):  # all are ticked after a first turn, none after a second one
                joined["selected"].append(page.evaluate(SELECT, [".selected", NAMED.format("Select"), TICKED]) / 1000)
                for button in ("Untick all", "Tick all")[:: -1 if turn % 2 else 1]:
                    joined["ticked"].append(
                        page.evaluate(SELECT, [".similar-images", NAMED.format(button), SEEN]) / 1000
                    )
            for side, each in joined.items():
                print(f"  {side:9} {np.median(each):.3f} s (from {min(each):.3f} to {max(each):.3f})")
            for _ in range(WARM_UP):
                took(page, ".similar-images", "Random image", OURS)
            before = memory(page, folder)
            for _ in range(queries):
                took(page, ".similar-images", "Random image", OURS)
            wait_for_pictures(page)
            after = memory(page, folder)
            scroller = page.locator(".similar-images-scroller")
            page.get_by_role("button", name="More hits").click()
            for done in range(1, scrolls + 1):
                while scroller.evaluate(SCROLL) < 1 + done:
                    page.wait_for_timeout(20)
            wait_for_pictures(page)
            hits = K * (1 + scrolls)
            for what, one, other, last in zip(("kernel", "page"), before, after, memory(page, folder), strict=True):
                print(
                    f"memory of the {what}: {one:.0f} MB, {other:.0f} MB after {queries} queries more: {other / one:.2f}; "
                    f"{last:.0f} MB after {hits} hits: {last / other:.2f}"
                )


if __name__ == "__main__":
    main()
