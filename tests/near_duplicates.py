"""A sample with near-duplicates, and actions of a user in their review, in Chromium."""

from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page
from sample_images import extract_and_index, make_sample

THRESHOLD = 0.9
OTHER = "sea/sea-1.jpg"
LARGE, COPY, SAME = "grass/grass-0.jpg", "grass/it's -a copy.png", "grass/same.jpg"


def make_copies(folder: Path) -> None:
    """Write the sample with a smaller copy and a same file of one picture, and a PNG copy of another."""
    make_sample(folder)
    pictures = folder / "sample"
    with Image.open(pictures / LARGE) as image:
        image.load()
    smooth = image.resize((8, 6)).resize((320, 240), Image.Resampling.BICUBIC)
    smooth.save(pictures / LARGE, quality=95)
    smooth.resize((160, 120)).save(pictures / COPY)
    (pictures / SAME).write_bytes((pictures / LARGE).read_bytes())
    with Image.open(pictures / OTHER) as other:
        other.save(pictures / "sea/-copy.png")
    for file in folder.glob("sample_file_list*"):
        file.unlink()
    extract_and_index(pictures, folder / "sample_file_list.txt")


def keeps(place: Page | Locator, name: str) -> Locator:
    return place.get_by_role("checkbox", name=f"Keep {name}", exact=True)


def saved(page: Page, place: Page | Locator, button: str) -> str:
    with page.expect_download() as download:
        place.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes().decode()
