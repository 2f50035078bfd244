"""How many images at once are the fastest for a network on this machine: measured in a few seconds."""

from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np
import psutil

from similar_images.networks.catalog import Encoder

BATCHES = (4, 8, 16, 32, 64)  # images
BATCH = 8  # where it is not worth a measurement
FEW = 200  # images
REPEATS = 2  # timed runs of each batch; the best counts, a shared machine only slows down
SECONDS = 3  # no larger batch is begun afterwards
GAIN = 1.03  # that a larger batch must bring: it takes more memory


class Measured(NamedTuple):
    batch: int
    rate: float  # images/s


def measure(encoder: Encoder, max_memory: int) -> Iterator[Measured]:
    """Yield the rate of each batch, as long as the next, with twice the working memory, stays within the limit.

    `max_memory` is for the whole process, in bytes.
    """
    side = encoder.network.side
    process, began = psutil.Process(), perf_counter()
    loaded = process.memory_info().rss
    for batch in BATCHES:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
        seconds = []
        for _ in range(1 + REPEATS):  # the first makes room
            start = perf_counter()
            encoder.encode(pixels)
            seconds.append(perf_counter() - start)
        yield Measured(batch, batch / min(seconds[1:]))
        used = process.memory_info().rss
        if perf_counter() - began > SECONDS or used + (used - loaded) > max_memory:
            return


def fastest(measured: list[Measured]) -> int:
    """Return the batch to take: a larger one only where it is clearly faster."""
    best = measured[0]
    for one in measured[1:]:
        best = one if one.rate > GAIN * best.rate else best
    return best.batch
