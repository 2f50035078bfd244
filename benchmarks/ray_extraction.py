#!/usr/bin/env python3
"""Compare extraction on Ray with the plain engine, on the same images and cores; measure the cost of Ray's start.

./benchmarks/ray_extraction.py FOLDER [--images 4000] [--network efficientnetlite0] [--workers 2] [--times 3]

Images are repeated up to the given number. Both engines alternate, started as users start them: first on a few images
(`FEW`), which measures the start, then on all. The difference is the time for the remaining images. Prints each run,
medians and their ratio.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.inputs.names import write_names
from similar_images.inputs.sources import open_source

SCRIPT = Path(__file__).parent.parent / "extract_image_vectors.py"
FEW = 32  # images: a batch for each of two workers, at least


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--images", default=4000, show_default=True)
@click.option("--network", default="efficientnetlite0", show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--times", "repetitions", default=3, show_default=True)
def main(folder: Path, images: int, network: str, workers: int, repetitions: int) -> None:
    found = open_source(folder).find().names
    names = (found * (images // len(found) + 1))[:images]
    print(f"{len(names)} images, of {len(found)} files in {folder}, {network}")
    kinds: dict[str, tuple[str, ...]] = {"plain": (), "ray": ("--ray", "--workers", str(workers))}
    starts: dict[str, list[float]] = {kind: [] for kind in kinds}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as place:
        for count in (FEW, len(names)):
            write_names(Path(place, f"{count}.txt"), names[:count])
        for _ in range(repetitions):
            for kind, added in kinds.items():
                few, all_ = (
                    seconds(place, kind, count, folder, "--network", network, *added) for count in (FEW, len(names))
                )
                starts[kind].append(few)
                times[kind].append(all_ - few)
                rate = (len(names) - FEW) / (all_ - few)
                print(f"{kind}: {FEW} images {few:.1f} s, the others {all_ - few:.1f} s, {rate:.0f} a second")
        is_same = Path(place, "plain.npy").read_bytes() == Path(place, "ray.npy").read_bytes()
    start, time = ({kind: statistics.median(of[kind]) for kind in kinds} for of in (starts, times))
    for kind in kinds:
        print(f"{kind}, medians: {FEW} images {start[kind]:.1f} s, the others {time[kind]:.1f} s")
    print(f"ratio {time['ray'] / time['plain']:.2f}, the same bytes: {is_same}")


def seconds(place: str, kind: str, count: int, folder: Path, *options: str) -> float:
    """Return how long an extraction takes, from its start to its end."""
    files = ("-l", f"{place}/{count}.txt", "-d", str(folder), "-o", f"{place}/{kind}.npy", "--overwrite")
    began = monotonic()
    subprocess.run([sys.executable, str(SCRIPT), *files, *options], check=True, capture_output=True)
    return monotonic() - began


if __name__ == "__main__":
    main()
