#!/usr/bin/env python3
"""Measure the time saved by decoding large JPEGs at a reduced scale, and the effect on nearest neighbours.

./benchmarks/jpeg_scale.py PHOTOGRAPHS [--network mobilenetv2 --weights FILE]

Photographs are enlarged to 8 megapixels and saved as JPEG, like camera files. Each is decoded alternately at full scale
and at the smallest scale of at least DRAFT_MARGIN times the network's side. Averaging filters are hardly affected. The
nearest-neighbour filter picks single pixels, so extraction never reduces images for it.
"""

import io
import sys
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.index.exact import exact_search, normalise
from similar_images.inputs import images
from similar_images.inputs.sources import open_source
from similar_images.networks.loader import LoadOptions, load

PIXELS = 8_000_000
K = 8


def of_a_camera(path: Path) -> bytes:
    image = images.open_image(path)
    scale = (PIXELS / (image.width * image.height)) ** 0.5
    buffer = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS).save(
        buffer, "JPEG", quality=90
    )
    return buffer.getvalue()


def read(content: bytes, side: int, resampling: str, reduced: bool) -> tuple[np.ndarray, float]:
    """Return the pixels, RGB uint8 (side, side, 3), and the seconds that took."""
    began = time.perf_counter()
    image = images.open_image(content, side=side if reduced else None)
    pixels = np.asarray(image.resize((side, side), Image.Resampling[resampling.upper()]))
    return pixels, time.perf_counter() - began


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("-m", "--model", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path))
@click.option("--count", default=1000, show_default=True)
@click.option(
    "--times",
    default=images.DRAFT_MARGIN,
    show_default=True,
    help="Smallest scale, as a multiple of the network's side.",
)
def main(folder: Path, network: str, model: Path | None, weights: Path | None, count: int, times: int) -> None:
    images.DRAFT_MARGIN = times
    encoder = load(network, LoadOptions(model, weights))
    side, resampling = encoder.preparation.height, encoder.preparation.resampling
    names = open_source(folder).find().names
    vectors, seconds = {True: [], False: []}, {True: [], False: []}
    for name in [names[i] for i in np.random.default_rng(0).permutation(len(names))[:count]]:
        content = of_a_camera(folder / name)
        for reduced in (True, False):
            pixels, took = read(content, side, resampling, reduced)
            vectors[reduced].append(encoder.encode(pixels[None])[0])
            seconds[reduced].append(took)
    one, other = (normalise(np.stack(vectors[reduced])) for reduced in (False, True))
    cosines = np.einsum("nd,nd->n", one, other)
    whole, reduced = (exact_search(unit, unit, K + 1)[1][:, 1:] for unit in (one, other))
    overlap = np.mean([len(set(a) & set(b)) / K for a, b in zip(whole, reduced, strict=True)])
    first = np.mean(whole[:, 0] == reduced[:, 0])
    slow, fast = np.median(seconds[False]), np.median(seconds[True])
    print(
        f"{len(one)} photographs of {PIXELS / 1e6:.0f} megapixels, {network}, {resampling}, {times} times {side} pixels remain"
    )
    print(
        f"to decode one: full scale {1000 * slow:.1f} ms, reduced {1000 * fast:.1f} ms: {slow / fast:.1f} times as fast"
    )
    print(f"cosine of the vectors of one image: median {np.median(cosines):.5f}, least {cosines.min():.5f}")
    print(f"the {K} nearest stay the same in {overlap:.3f} of the places, the first in {first:.3f}")


if __name__ == "__main__":
    main()
