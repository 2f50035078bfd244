#!/usr/bin/env python3
"""Measure the time of converting colour profiles to sRGB, and its effect on pixels and vectors.

./benchmarks/colour_profiles.py PHOTOGRAPHS

Each photograph is prepared for the network alternately with and without the conversion. Rows of the table: no profile,
sRGB (never converted), any other profile.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.inputs import decoding
from similar_images.inputs.formats import FORMATS
from similar_images.inputs.images import Preparation, read_pixels
from similar_images.inputs.sources import open_source
from similar_images.networks.loader import load

KINDS = ("no profile", "sRGB", "another profile")
ROUNDS = 5


def kind_of(path: Path) -> str:
    try:
        with Image.open(path, formats=FORMATS) as image:
            profile, mode = image.info.get("icc_profile"), image.mode
    except OSError:
        return "unreadable"
    if not profile:
        return KINDS[0]
    sample = Image.effect_noise((64, 64), 90).convert("RGB").convert(mode)
    is_same = np.array_equal(decoding.to_srgb(sample, profile).convert("RGB"), sample.convert("RGB"))
    return KINDS[1] if is_same else KINDS[2]


def unconverted(image: Image.Image, profile: bytes | None) -> Image.Image:
    return image


def prepare(path: Path, preparation: Preparation, conversion: Callable) -> tuple[np.ndarray, float]:
    """Return the pixels, and the median of the seconds that they took."""
    seconds = []
    with patch.object(decoding, "to_srgb", conversion):
        for _ in range(ROUNDS):
            began = time.perf_counter()
            pixels = read_pixels(path, preparation)
            seconds.append(time.perf_counter() - began)
    return pixels, float(np.median(seconds))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("--count", default=40, show_default=True, help="Photographs of each kind, at most.")
def main(folder: Path, network: str, count: int) -> None:
    encoder, chosen = load(network), {kind: list[Path]() for kind in (*KINDS, "unreadable")}
    names = open_source(folder).find().names
    for name in (names[i] for i in np.random.default_rng(0).permutation(len(names))):
        chosen[kind_of(folder / name)].append(folder / name)
    print("profile          images  converted  unconverted  ratio  mean difference  cosine: median, minimum")
    for kind in KINDS:
        paths = chosen[kind][:count]
        if not paths:
            continue
        pairs = [[prepare(path, encoder.preparation, to) for to in (decoding.to_srgb, unconverted)] for path in paths]
        with_profile, without = (np.sum([pair[i][1] for pair in pairs]) / len(pairs) for i in range(2))
        difference = np.mean([np.abs(one[0].astype(float) - other[0]).mean() for one, other in pairs])
        cosines = []
        for one, other in pairs:
            a, b = encoder.encode(one[0][None])[0], encoder.encode(other[0][None])[0]
            cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
        print(
            f"{kind:15}  {len(paths):6}  {1000 * with_profile:6.2f} ms  {1000 * without:8.2f} ms  "
            f"{with_profile / without:5.2f}  {difference:15.2f}  {np.median(cosines):.4f}, {min(cosines):.4f}"
        )


if __name__ == "__main__":
    main()
