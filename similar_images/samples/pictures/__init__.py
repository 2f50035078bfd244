"""The sample collection: pictures of familiar things, drawn by code.

A picture is 320 x 240 pixels. Each thing is drawn in its own coordinates: its centre is (0, 0), up is negative, and it
is about 100 units tall. A `Pen` places it in the picture. Every picture has a random generator seeded by its kind and
number, so that each run gives the same bytes.
"""

from pathlib import Path

from PIL import Image

from similar_images.files import replacing
from similar_images.samples.pictures import nature, places, things, travel  # noqa: F401  (fill the table of kinds)
from similar_images.samples.pictures.canvas import KINDS, Picture

EACH = 24  # pictures of a kind
QUALITY = 88  # of the JPEGs


def paint(name: str, number: int) -> Image.Image:
    """Return picture `number` of a kind as RGB of 320 x 240 pixels; it is the same on each run."""
    picture = Picture(f"{name} {number}")
    KINDS[name](picture)
    return picture.finished()


def write(folder: Path) -> int:
    """Paint the collection into `folder`, one folder per kind, and return the number of pictures.

    Raises FileExistsError if the folder contains other files.
    """
    wanted = [folder / name / f"{name}-{number:02}.jpg" for name in sorted(KINDS) for number in range(EACH)]
    if folder.exists():
        files = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}
        if foreign := files - set(wanted):
            raise FileExistsError(
                f"expected an empty or new folder, got {folder} with other files, such as {min(foreign)}: choose another folder"
            )
    for path in wanted:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            number = int(path.stem.rpartition("-")[2])
            with replacing(path) as partial:
                paint(path.parent.name, number).save(partial, "JPEG", quality=QUALITY)
    return len(wanted)
