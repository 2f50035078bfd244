#!/usr/bin/env python3
"""Compare an update of an unchanged folder with `find -printf` over the same files.

./benchmarks/update.py [--count 100000] [--rounds 5]

The folder contains `--count` small files in folders of 1,000; their vectors are random numbers. Both sides alternate, and
the table has medians of the seconds of each process, from its start to its end, with a warm cache, then with a cold one
if the system's cache can be dropped (Linux, root). Then 10 files are renamed, and an update is timed with the peak of its
memory.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from similar_images.index.update import update_index
from similar_images.inputs.sources import open_source
from similar_images.networks.loader import load
from similar_images.vectors.file_records import read_record, to_array
from similar_images.vectors.store import vectors_path
from similar_images.vectors.writer import Writer

DROP = Path("/proc/sys/vm/drop_caches")
BLOCK = 10_000


def make_collection(folder: Path, count: int) -> tuple[Path, Path]:
    """Write files and a collection of them; return their folder and the vectors."""
    photos, output = folder / "photos", vectors_path(folder / "photos_file_list.txt")
    for number in range(count):
        if number % 1000 == 0:
            (photos / f"{number // 1000:04}").mkdir(parents=True)
        (photos / f"{number // 1000:04}" / f"{number:06}.jpg").write_bytes(number.to_bytes(8))
    source, network, random = open_source(photos), load("hog-colour").description, np.random.default_rng(0)
    names = source.find().names
    writer = Writer(output, folder / "photos_file_list.txt", names, photos)
    writer.begin(network, dtype="float16")
    for start in range(0, count, BLOCK):
        some = names[start : start + BLOCK]
        vectors = random.standard_normal((len(some), network.dimension), np.float32)
        writer.append(vectors, [], to_array(read_record(source, name) for name in some))
    writer.finish()
    update_index(output)
    return photos, output


def seconds(command: list[str | Path], is_cold: bool) -> float:
    """Return the seconds of a command, with an empty cache of the system if `is_cold`."""
    if is_cold:
        os.sync()
        DROP.write_text("3")
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


@click.command()
@click.option("--count", type=click.IntRange(min=100), default=100_000, show_default=True, help="Files.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
def main(count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        photos, output = make_collection(Path(name), count)
        update = [sys.executable, "-m", "similar_images", "update", photos, "-o", output]
        sides = {"find": ["find", photos, "-printf", "%s %T@ %p\n"], "update": update}
        for is_cold in (False, True) if os.access(DROP, os.W_OK) else (False,):
            times: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side, command in sides.items():
                    times[side].append(seconds(command, is_cold))
            found, updated = (statistics.median(times[side]) for side in sides)
            cache = "cold" if is_cold else "warm"
            click.echo(
                f"{count} files, {cache}: find {found:.2f} s, update {updated:.2f} s, ratio {updated / found:.2f}"
            )
        for number in range(10):
            file = photos / "0000" / f"{number:06}.jpg"
            file.rename(file.with_name(f"renamed-{number}.jpg"))
        renamed = seconds(update, False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        click.echo(f"10 renamed: {renamed:.2f} s, ratio to find {renamed / found:.2f}, peak of memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
