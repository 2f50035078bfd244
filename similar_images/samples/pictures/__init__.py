"""The sample collection: pictures of familiar things, drawn by code.

A picture is 320 x 240 pixels. A thing is drawn in its own coordinates around (0, 0) and placed in the picture by a `Pen`.
Every picture has a random generator seeded by its kind and number, so that each run gives the same bytes.
"""

from pathlib import Path

from PIL import Image

from similar_images.files import replace_file
from similar_images.samples.pictures.animals import Animals
from similar_images.samples.pictures.canvas import Picture
from similar_images.samples.pictures.things import Things

drawings = {**vars(Animals), **vars(Things)}
KINDS = {name.replace("_", "-"): drawing for name, drawing in drawings.items() if not name.startswith("_")}
EACH = 25  # pictures of a kind
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
    numbered = [(name, number) for name in sorted(KINDS) for number in range(EACH)]
    wanted = {folder / name / f"{name}-{number:02}.jpg": (name, number) for name, number in numbered}
    files = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}
    if foreign := files - wanted.keys():
        other = f"{folder} with other files, such as {min(foreign)}: choose another folder"
        raise FileExistsError(f"expected an empty or new folder, got {other}")
    for path, (name, number) in wanted.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path) as partial:
                paint(name, number).save(partial, "JPEG", quality=QUALITY)
    return len(wanted)
