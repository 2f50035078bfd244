#!/usr/bin/env python3
"""Compare the extraction of 12-megapixel JPEGs and HEICs with decoding alone.

./benchmarks/photo_formats.py PHOTOGRAPHS

Photographs are enlarged to 4032 x 3024 pixels and saved in each format, as by a phone. Decoding alone opens them with the
decoder's Pillow plugin at full size, in as many processes as the extraction has. Both alternate in every round; loading
the network is not timed. Prints medians, and the ratio of the times. A ratio below 1 means that the extraction, with its
network, is faster than full decoding, because it decodes JPEGs at a reduced scale. Requires pillow-heif, which encodes.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.inputs import images
from similar_images.inputs.sources import open_source
from similar_images.vectors.decode_pool import default_workers
from similar_images.vectors.extract import LocalExecutor, NetworkChoice, extract
from similar_images.vectors.items import Items
from similar_images.vectors.manifest import Runtime

SIZE = (4032, 3024)  # pixels
QUALITY = {"JPEG": 90, "HEIF": 60}
SUFFIXES = {"JPEG": ".jpg", "HEIF": ".heic"}
NETWORK = "efficientnetlite0"


def write(folder: Path, photographs: list[Path], form: str) -> None:
    """Write enlarged photographs; noise gives them the detail of a camera's."""
    random = np.random.default_rng(0)
    for number, file in enumerate(photographs):
        pixels = np.asarray(images.open_image(file).resize(SIZE, Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = np.clip(pixels + random.integers(-6, 7, pixels.shape, np.int16), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:04}{SUFFIXES[form]}", form, quality=QUALITY[form])


def register() -> None:
    import pi_heif

    pi_heif.register_heif_opener(decode_threads=1)


def decode(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        image.load()
        return image.size


def decoding_seconds(files: list[Path], workers: int) -> float:
    with ProcessPoolExecutor(workers, get_context("spawn"), register) as pool:
        list(pool.map(decode, files[:workers]))  # the processes have started
        began = time.perf_counter()
        assert set(pool.map(decode, files)) == {SIZE}
        return time.perf_counter() - began


def extraction_seconds(folder: Path, choice: NetworkChoice) -> float:
    with tempfile.TemporaryDirectory() as place:
        items = Items(Path(place, "list.txt"), open_source(folder).find().names, open_source(folder))
        began = time.perf_counter()
        choice.load(Runtime())
        loading, began = time.perf_counter() - began, time.perf_counter()
        extract(items, Path(place, "v.npy"), LocalExecutor(choice))
        return time.perf_counter() - began - loading


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=24, show_default=True, help="Photographs.")
@click.option("--rounds", default=3, show_default=True)
def main(folder: Path, count: int, rounds: int) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    names, workers = open_source(folder).find().names, default_workers()
    chosen = [
        folder / names[i % len(names)] for i in np.random.default_rng(0).permutation(max(count, len(names)))[:count]
    ]
    print(f"{count} photographs of {SIZE[0]} x {SIZE[1]} pixels, {workers} decoding processes, {NETWORK}")
    print("format  megabytes  decoding ms  extraction ms  extraction / decoding")
    with tempfile.TemporaryDirectory() as place:
        for form in QUALITY:
            made = Path(place, form)
            made.mkdir()
            write(made, chosen, form)
            files = sorted(made.iterdir())
            megabytes = sum(file.stat().st_size for file in files) / len(files) / 1e6
            alone, whole = [], []
            for _ in range(rounds):
                alone.append(1000 * decoding_seconds(files, workers) / count)
                whole.append(1000 * extraction_seconds(made, NetworkChoice(NETWORK)) / count)
            ratio = statistics.median(two / one for one, two in zip(alone, whole, strict=True))
            one, two = statistics.median(alone), statistics.median(whole)
            print(f"{form:6}  {megabytes:9.1f}  {one:11.1f}  {two:13.1f}  {ratio:21.2f}")


if __name__ == "__main__":
    main()
