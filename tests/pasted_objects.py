"""Photographs with a painted object in them, so that it is known which part is similar: for tests and benchmarks/why.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from similar_images.samples.pictures import EACH, KINDS, paint
from similar_images.samples.pictures.canvas import HEIGHT, WIDTH, Pen, Picture

COUNT = 40  # pairs
SIZES = (0.35, 0.5, 0.65)  # of an object's longer side, as shares of the photograph's shorter one
SOLID = 200  # of 255; shadows are less
OTHER = 7  # a picture of the same kind has this number further


class Cutout(Picture):
    """Paints a thing without a scene, on nothing."""

    def place(self, *scenes: str, **how: float) -> Pen:
        pen = super().place(*scenes, **how)
        self.image = Image.new("RGBA", (WIDTH, HEIGHT))
        return pen


class Pasted(NamedTuple):
    """A photograph with an object."""

    image: Image.Image
    mask: np.ndarray  # bool (height, width): the pixels of the object
    size: float  # of SIZES

    def has(self, x: float, y: float) -> bool:
        """Return whether a place in pixels is in the box around the object."""
        ys, xs = np.nonzero(self.mask)
        return bool(xs.min() <= x <= xs.max() + 1 and ys.min() <= y <= ys.max() + 1)


class Pair(NamedTuple):
    kind: str
    own: Image.Image  # the picture that the object was painted in
    one: Pasted
    other: Pasted  # another object of the kind, in another photograph


def thing(kind: str, number: int) -> Image.Image:
    """Return what picture `number` of a kind shows, without its scene, as RGBA; transparent around it."""
    cut = Cutout(f"{kind} {number}")
    KINDS[kind](cut)
    alpha = cut.image.getchannel("A")
    finished = paint(kind, number)
    finished.putalpha(alpha)
    return finished.crop(alpha.point(lambda value: 255 * (value > SOLID)).getbbox())


def pairs(photographs: Path, count: int = COUNT) -> Iterator[Pair]:
    """Yield pairs of objects in photographs of a folder; they are the same on each run.

    Raises ValueError if there are fewer than two photographs for each pair.
    """
    files, random, kinds = sorted(photographs.glob("*.jpg")), np.random.default_rng(0), sorted(KINDS)
    if len(files) < 2 * count:
        raise ValueError(f"expected at least {2 * count} .jpg in {photographs}, got {len(files)}")
    drawn = iter(random.permutation(len(files)))
    for n in range(count):
        kind, number = kinds[n % len(kinds)], n % EACH
        things = thing(kind, number), thing(kind, (number + OTHER) % EACH)
        pasted = [_paste(files[next(drawn)], one, SIZES[(n + i) % len(SIZES)], random) for i, one in enumerate(things)]
        yield Pair(kind, paint(kind, number), *pasted)


def _paste(file: Path, thing: Image.Image, size: float, random: np.random.Generator) -> Pasted:
    """Return a photograph with a thing at a random place."""
    image = Image.open(file).convert("RGB")
    factor = size * min(image.size) / max(thing.size)
    thing = thing.resize((round(thing.width * factor), round(thing.height * factor)), Image.Resampling.LANCZOS)
    x, y = (int(random.integers(0, room + 1)) for room in np.subtract(image.size, thing.size))
    image.paste(thing, (x, y), thing)
    mask = Image.new("L", image.size)
    mask.paste(thing.getchannel("A"), (x, y))
    return Pasted(image, np.asarray(mask) > SOLID, size)
