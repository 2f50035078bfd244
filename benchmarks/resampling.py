#!/usr/bin/env python3
"""Measure precision@8 of a network on labelled photographs with each resampling filter.

./benchmarks/resampling.py FOLDER [--network mobilenetv2 --weights FILE]    (FOLDER/CLASS/image.jpg)
"""

import sys
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.evaluation.evaluation import precision
from similar_images.evaluation.labels import folder_labels
from similar_images.index.exact import normalise
from similar_images.inputs import images
from similar_images.inputs.images import read_pixels, resize_to_square
from similar_images.inputs.sources import open_source
from similar_images.networks.loader import LoadOptions, load

BATCH = 32


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("-m", "--model", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path))
def main(folder: Path, network: str, model: Path | None, weights: Path | None) -> None:
    names = open_source(folder).find().names
    labels = folder_labels(names)
    encoder = load(network, LoadOptions(model, weights))
    side = encoder.preparation.height
    print(f"{network}, {len(names)} images squeezed to {side} x {side}")
    print("resampling  precision@8  ms an image to decode and squeeze")
    for resampling in images.RESAMPLINGS:
        vectors, seconds = [], 0.0
        for start in range(0, len(names), BATCH):
            began = time.perf_counter()
            pixels = [
                read_pixels(folder / name, resize_to_square(side, resampling)) for name in names[start : start + BATCH]
            ]
            seconds += time.perf_counter() - began
            vectors.append(encoder.encode(np.stack(pixels)))
        unit = normalise(np.concatenate(vectors))
        print(f"{resampling:10}  {precision(unit, labels, 8):.4f}       {1000 * seconds / len(names):.1f}", flush=True)


if __name__ == "__main__":
    main()
