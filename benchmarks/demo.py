#!/usr/bin/env python3
"""Time `similar-images demo` until the browser shows the first hits, with installed packages and an empty cache.

./benchmarks/demo.py [FOLDER]

Without FOLDER, sample images are painted. Each round starts with an empty data folder and then repeats the command.
Prints seconds until the notebook server answers, until the gallery shows hits, and from choosing a photograph to its
hits. Requires Chromium.
"""

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import KERNEL_MILLISECONDS, chromium, run_all_cells  # noqa: E402

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/notebooks/(\S+)\.ipynb\?token=\w+")


def wait_until_listening(port: int) -> None:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def measure(page: Page, folder: str | None, photo: Path, look: float, data: Path) -> list[float]:
    """Return the seconds to the served notebook, to its first hits, and of an upload."""
    environment = {**os.environ, "XDG_DATA_HOME": str(data), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "similar_images", "demo", *([folder] if folder else []), "--no-browser"]
    began = time.perf_counter()
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = next(found for line in server.stderr if (found := ADDRESS.search(line)))
        wait_until_listening(int(address[1]))  # Jupyter prints its address a moment before
        served = time.perf_counter() - began
        run_all_cells(page, address[0].replace(f"{address[2]}.ipynb", "{}"), f"{address[2]}.ipynb")
        hits = time.perf_counter() - began
        gallery = page.locator(".similar-images").first
        time.sleep(look)
        asked = time.perf_counter()
        gallery.locator("input[type=file]").set_input_files(photo)
        expect(gallery.locator(".status")).to_contain_text("network", timeout=KERNEL_MILLISECONDS)
        return [served, hits, time.perf_counter() - asked]
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()


@click.command()
@click.argument("folder", required=False)
@click.option("--photo", type=click.Path(exists=True, path_type=Path), required=True, help="A photograph to upload.")
@click.option("--look", default=2.0, show_default=True, help="Seconds from the first hits to the choice of it.")
@click.option("--rounds", default=3, show_default=True)
def main(folder: str | None, photo: Path, look: float, rounds: int) -> None:
    first, again = [], []
    with chromium() as browser:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as data:
                for rows in (first, again):
                    context = browser.new_context(viewport={"width": 1400, "height": 1400})
                    rows.append(measure(context.new_page(), folder, photo, look, Path(data)))
                    context.close()
    print(f"medians of {rounds} rounds, s   served  first hits  upload to hits")
    for name, rows in (("first run", first), ("second run", again)):
        served, hits, upload = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:24} {served:8.1f} {hits:11.1f} {upload:15.2f}")


if __name__ == "__main__":
    main()
