"""Images decoded in the background, by processes that may be slow, crash or run out of memory without harm.

Processes and not threads: a decoder in a thread cannot be stopped, and takes the run with it when it crashes. Pixels
come back in memory that all share.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pebble import ProcessExpired, ProcessPool

from similar_images.inputs import images
from similar_images.networks.catalog import Encoder

MEMORY = 2 * 2**30  # bytes for one image, beyond what the process has when it starts
WORKERS = 2

_slots: np.ndarray  # in a decoding process: where the pixels go, uint8 (slots, side, side, 3)


Source = Path | bytes


class Begun(NamedTuple):
    """Images that are being decoded."""

    sources: list[Source]
    slots: list[int]
    future: Future


class Decoders:
    """Decodes images as one network wants them."""

    def __init__(self, pool: ProcessPool, slots: np.ndarray, resampling: str, limits: images.Limits):
        self._pool, self._slots, self._arguments, self._limits = pool, slots, (resampling, limits), limits
        self._free = list(range(len(slots)))

    def begin(self, sources: list[Source]) -> Begun:
        """Begin to decode the images in files or in bytes; as many at once as there are slots."""
        slots = [self._free.pop() for _ in sources]
        return Begun(sources, slots, self._schedule(sources, slots))

    def result(self, begun: Begun) -> list[np.ndarray | images.UnreadableImage]:
        """Return RGB uint8 (side, side, 3) of each image, or why there is none."""
        sources, slots, future = begun
        try:
            reasons = future.result()
        except (TimeoutError, ProcessExpired):  # one by one, to find out which it was
            reasons = [self._alone(source, slot) for source, slot in zip(sources, slots, strict=True)]
        pixels = [
            images.UnreadableImage(reason) if reason else self._slots[slot].copy()
            for slot, reason in zip(slots, reasons, strict=True)
        ]
        self._free += slots
        return pixels

    def _alone(self, source: Source, slot: int) -> str | None:
        try:
            return self._schedule([source], [slot]).result()[0]
        except TimeoutError:
            return f"took longer than {self._limits.seconds:g} s to decode"
        except ProcessExpired as error:
            return f"its decoder crashed (exit code {error.exitcode})"

    def _schedule(self, sources: list[Source], slots: list[int]) -> Future:
        return self._pool.schedule(_decode, args=(slots, sources, *self._arguments), timeout=self._limits.seconds)


@contextmanager
def decoders(
    encoder: Encoder, slots: int, limits: images.Limits = images.LIMITS, workers: int = WORKERS
) -> Iterator[Decoders]:
    """Yield decoders for the images of a network; their processes end with the block."""
    context = multiprocessing.get_context("spawn")
    shape = (slots, encoder.network.side, encoder.network.side, 3)
    shared = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
    pool = ProcessPool(workers, initializer=_prepare, initargs=(shared, shape), context=context)
    try:
        yield Decoders(pool, _view(shared, shape), encoder.resampling, limits)
    finally:
        pool.stop()
        pool.join()


def _view(shared: ctypes.Array, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(shared, dtype=np.uint8).reshape(shape)


def _prepare(shared: ctypes.Array, shape: tuple[int, ...]) -> None:
    """Make this process one that only decodes: it leaves Ctrl-C to its parent and has a limit of memory."""
    global _slots
    _slots = _view(shared, shape)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ImportError, OSError, ValueError):  # not on Windows, not all of it on a Mac
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _decode(slots: list[int], sources: list[Source], resampling: str, limits: images.Limits) -> list[str | None]:
    """Put the pixels of images into their slots; return why there are none."""
    reasons = []
    for slot, source in zip(slots, sources, strict=True):
        try:
            _slots[slot] = images.read(source, _slots.shape[1], resampling, limits)
            reasons.append(None)
        except images.UnreadableImage as error:
            reasons.append(str(error))
    return reasons
