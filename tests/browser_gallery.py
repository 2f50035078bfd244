"""Actions of a user in the notebook of images, in Chromium."""

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import nbformat
from browser import wait_for_pictures
from PIL import Image
from playwright.sync_api import Locator, expect

NOTEBOOK = "Similar image.ipynb"
BLIND_TEST = """\
systems = {"near": collection, "far": lambda query, k: sorted(collection.names, reverse=True)[:k]}
BlindTest(Comparison(systems, "voted.csv", voter="ann", k=4), n=5)"""


def write_notebook(folder: Path, cells: Sequence[str]) -> None:
    """Write cells of code in place of the notebook of images."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
    nbformat.write(made, folder / NOTEBOOK)


def press(gallery: Locator, button: str | re.Pattern) -> None:
    """Click, and wait for the answer."""
    before = gallery.get_attribute("data-number")
    gallery.get_by_role("button", name=button, exact=isinstance(button, str)).click()
    expect(gallery).not_to_have_attribute(
        "data-number", before, timeout=120_000
    )  # the kernel may still run other cells
    settle(gallery)


def settle(gallery: Locator) -> None:
    expect(gallery).to_have_attribute("aria-busy", "false")
    wait_for_pictures(gallery.page)


def query(gallery: Locator) -> Locator:
    return gallery.locator(".similar-images-query figcaption")


def name_of(gallery: Locator) -> str:
    return query(gallery).get_attribute("title")


def hits(gallery: Locator) -> Locator:
    return gallery.locator(".similar-images-card")


def names(gallery: Locator) -> list[str]:
    return [one.get_attribute("title") for one in gallery.locator(".similar-images-card .name").all()]


def upload(gallery: Locator, file: Path) -> None:
    with gallery.page.expect_file_chooser() as chooser:
        gallery.get_by_role("button", name="Upload image").click()
    chooser.value.set_files(file)


def hand_over(gallery: Locator, event: str, name: str, content: bytes) -> None:
    """Dispatch the events of a dropped or pasted file."""
    hand_over_all(gallery, event, [(name, content)])


def hand_over_all(gallery: Locator, event: str, files: Sequence[tuple[str, bytes]], padding: int = 0) -> None:
    """Drop or paste files, one directly after the other, each longer by a padding of zeros."""
    gallery.evaluate(
        """(root, [event, files, padding]) => {
            for (const [name, content] of files) {
                const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes, new Uint8Array(padding)], name, {type: "image/jpeg"}));
                const options = {bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer};
                root.dispatchEvent(event === "drop" ? new DragEvent(event, options) : new ClipboardEvent(event, options));
            }
        }""",
        [event, [(name, b64encode(content).decode()) for name, content in files], padding],
    )


def encoded(image: Image.Image, form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()
