#!/usr/bin/env python3
"""Compare networks on labelled photographs: precision@8 by exact cosine, and images per second end to end.

./benchmarks/networks.py FOLDER efficientnetlite0 efficientnetlite2 mobilenetv2 --weights mobilenetv2=FILE

FOLDER has one folder per class. Each round runs `similar-images extract` with every network in turn. Prints medians and
ratios to the last network. A run lasts from the start of the process to the last vector.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.evaluation.evaluation import precision
from similar_images.evaluation.labels import folder_labels
from similar_images.index.exact import normalise
from similar_images.inputs.names import read_names

SCRIPT = Path(__file__).parent.parent / "extract_image_vectors.py"


def extract(folder: Path, network: str, weights: str | None, place: Path) -> float:
    """Extract into a new folder; return the seconds."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    command = [sys.executable, str(SCRIPT), "-d", str(folder), "--network", network]
    command += ["-o", str(place / "v.npy"), *(["--weights", weights] if weights else [])]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("networks", nargs=-1, required=True)
@click.option("--weights", multiple=True, help="NETWORK=FILE")
@click.option("--rounds", default=3, show_default=True)
def main(folder: Path, networks: tuple[str, ...], weights: tuple[str, ...], rounds: int) -> None:
    files = dict(one.split("=", 1) for one in weights)
    seconds: dict[str, list[float]] = {network: [] for network in networks}
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds + 1):  # the first one, which may export a network, does not count
            for network in networks:
                place = Path(temporary, network)
                spent = extract(folder.absolute(), network, files.get(network), place)
                if number:
                    seconds[network].append(spent)
                names = read_names(place / "v.txt")
                found[network] = precision(normalise(np.load(place / "v.npy")), folder_labels(names), 8)
    rates = {network: len(names) / statistics.median(each) for network, each in seconds.items()}
    print(f"{len(names)} images, medians of {rounds} rounds\nnetwork              precision@8  images/s  ratio")
    for network, rate in rates.items():
        print(f"{network:20} {found[network]:11.3f} {rate:9.0f} {rate / rates[networks[-1]]:6.2f}")


if __name__ == "__main__":
    main()
