"""How many images a network computes at once.

The default depends on the backend alone, not on a measurement: the last digits of a vector depend on the batch, and
two runs on the same images must give the same bytes.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np
import psutil

from similar_images.networks.catalog import Encoder

BATCHES = (4, 8, 16, 32, 64)  # images
# benchmarks/extraction.py, MobileNetV2 on 2 cores, images/s for a batch of 4, 8, 16, 32, 64: ONNX Runtime 414, 411, 392,
# 350, 276; OpenVINO 395, 398, 358, 310, 278; TensorFlow 106, 121, 128, 138, 134.
DEFAULTS = {"onnxruntime": 8, "openvino": 8, "scikit-image": 8, "tensorflow": 32, "torch": 32}
MAX_MEMORY = 2 * 10**9  # bytes, by default
IMAGE_BYTES = 50 * 10**6  # working memory of an image in a batch, for the networks that need most
REPEATS = 2  # timed runs of each batch; the best counts: other work on the machine only slows down
SECONDS = 3  # no larger batch starts afterwards


def default(backend: str, max_memory: int = MAX_MEMORY) -> int:
    """Return the batch of a backend, smaller where its working memory would exceed `max_memory`, in bytes."""
    return max(1, min(DEFAULTS[backend], max_memory // IMAGE_BYTES))


class Measured(NamedTuple):
    batch: int
    rate: float  # images/s


def measure(encoder: Encoder, max_memory: int) -> Iterator[Measured]:
    """Yield the rate of each batch as long as the next, with twice the working memory, stays within the limit.

    `max_memory` is for the whole process, in bytes.
    """
    process, began = psutil.Process(), perf_counter()
    loaded = process.memory_info().rss
    for batch in BATCHES:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *encoder.preparation.shape), dtype=np.uint8)
        seconds = []
        for _ in range(1 + REPEATS):  # the first makes room
            start = perf_counter()
            encoder.encode(pixels)
            seconds.append(perf_counter() - start)
        yield Measured(batch, batch / min(seconds[1:]))
        used = process.memory_info().rss
        if perf_counter() - began > SECONDS or used + (used - loaded) > max_memory:
            return
