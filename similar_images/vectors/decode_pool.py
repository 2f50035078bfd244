"""Images decoded in the background, by processes that may hang, crash or be killed without harm to the run.

Processes, not threads: a decoder in a thread cannot be stopped, and its crash ends the run. Each process has its own
pipe and its own thread here, so that a process that dies affects no image but the one it decodes. The bytes of a file
go through the pipe one image at a time; a path is passed as it is. Pixels come back in shared memory.
"""

import ctypes
import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from queue import LifoQueue
from threading import Condition, Lock
from typing import NamedTuple

import numpy as np
from joblib import cpu_count  # counts the cores that this process may use (affinity, cgroup)

from similar_images.inputs import images
from similar_images.inputs.preparation import Preparation, read_pixels
from similar_images.inputs.sources import Source
from similar_images.networks.catalog import Encoder
from similar_images.spawn import hide_main

MEMORY = 2 * 2**30  # bytes for one image, beyond what the process has when it starts
BYTES_AHEAD = 256 * 10**6  # of files from archives that are in memory at once; a larger file is there alone
MAX_WORKERS = 32
TRIES = 2  # an image is retried alone when its decoder dies, which may have been another's fault
STARTS = 10  # attempts to start a process

_slots: np.ndarray  # in a decoding process: where the pixels go, uint8 (slots, side, side, 3)


class Begun(NamedTuple):
    """Images that are being decoded."""

    slots: list[int]
    reasons: list[Future]  # None, or why there are no pixels


class Decoders:
    """Decodes the images of a source as one network expects them."""

    def __init__(self, source: Source, processes: list["_Process"], slots: np.ndarray, limits: images.Limits):
        self._source, self._slots, self._limits = source, slots, limits
        self._free = list(range(len(slots)))
        self._budget = _Budget(BYTES_AHEAD)
        self._idle: LifoQueue[_Process] = LifoQueue()  # the last one used comes first: no more are started than needed
        for process in processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(max(len(processes), source.readers))

    def begin(self, names: list[str]) -> Begun:
        """Start to decode the images of these names; at most as many at once as there are slots."""
        slots = [self._free.pop() for _ in names]
        return Begun(slots, [self._threads.submit(self._decode, *task) for task in zip(names, slots, strict=True)])

    def result(self, begun: Begun) -> list[np.ndarray | images.UnreadableImage]:
        """Return RGB uint8 (side, side, 3) of each image, or the reason why there is none."""
        pixels = []
        for slot, future in zip(begun.slots, begun.reasons, strict=True):
            reason = future.result()
            pixels.append(images.UnreadableImage(reason) if reason else self._slots[slot].copy())
        self._free += begun.slots
        return pixels

    def stop(self) -> None:
        """Drop what has not started and wait for the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _decode(self, name: str, slot: int) -> str | None:
        """Read an image and have it decoded into its slot; return why there are no pixels."""
        try:
            size = self._source.size(name) if self._source.in_memory else 0
            with self._budget.take(min(size, self._limits.bytes)):
                return self._decode_image(self._source.image(name, self._limits), slot)
        except images.UnreadableImage as error:
            return str(error)

    def _decode_image(self, image: Path | bytes, slot: int) -> str | None:
        process = self._idle.get()
        try:
            for _ in range(TRIES):
                reason = process.decode(slot, image, self._limits.seconds)
                if process.alive or reason is None:
                    return reason
            return reason
        except TimeoutError:
            return f"took longer than {self._limits.seconds:g} s to decode"
        finally:
            self._idle.put(process)


@contextmanager
def decoders(
    source: Source,
    encoder: Encoder,
    slots: int,
    limits: images.Limits = images.LIMITS,
    workers: int | None = None,
) -> Iterator[Decoders]:
    """Yield decoders for the images of a source; their processes end with the block."""
    context = multiprocessing.get_context("spawn")
    shape = (slots, *encoder.preparation.shape)
    shared = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
    arguments = (shared, shape, encoder.preparation, limits)
    processes = [_Process(context, arguments) for _ in range(workers or default_workers())]
    pool = Decoders(source, processes, _view(shared, shape), limits)
    try:
        yield pool
    finally:
        for process in processes:
            process.close()
        pool.stop()


def default_workers(threads: int | None = None) -> int:
    """Return how many processes decode beside a network with this number of threads; None: it uses all cores.

    With all cores the network and the decoders share them: a decoder waits whenever it is ahead.
    """
    cores = cpu_count()
    return min(MAX_WORKERS, max(2, cores - threads if threads and threads < cores else cores))


class _Process:
    """A process that decodes one image at a time; it starts when it is needed, and again after it died."""

    _lock = Lock()  # multiprocessing starts and joins from one thread at a time

    def __init__(self, context: SpawnContext, arguments: tuple):
        self._context, self._arguments = context, arguments
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._closed = False

    @property
    def alive(self) -> bool:
        return self._process is not None

    def decode(self, slot: int, image: Path | bytes, seconds: float) -> str | None:
        """Put the pixels of an image into its slot; return why there are none. Raises TimeoutError."""
        pipe = self._pipe or self._start()
        try:
            pipe.send((slot, None if isinstance(image, bytes) else image))
            if isinstance(image, bytes):
                pipe.send_bytes(image)
            answered = pipe.poll(seconds)
            if answered:
                return pipe.recv()
        except (EOFError, OSError):  # the process died
            return _death(self._stop(patience=1))  # seconds: it is on its way out, with the exit code that tells why
        self._stop()
        raise TimeoutError

    def close(self) -> None:
        """End the process, also while it decodes, and start none again."""
        self._closed = True
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _start(self) -> Connection:
        for _ in range(STARTS):
            pipe, other = self._context.Pipe()
            with self._lock:
                if self._closed:
                    raise RuntimeError("the decoders were closed")
                self._process = self._context.Process(target=_serve, args=(other, *self._arguments), daemon=True)
                with hide_main():
                    self._process.start()
            other.close()
            self._pipe = pipe
            try:
                pipe.recv()  # it is ready: the time for an image begins after that
                return pipe
            except (EOFError, OSError):
                exitcode = self._stop(patience=1)
        raise ChildProcessError(f"no process to decode images could be started (exit code {exitcode})")

    def _stop(self, patience: float = 0) -> int | None:
        """Kill the process if it does not end by itself in so many seconds; return its exit code."""
        assert self._process is not None and self._pipe is not None
        self._pipe.close()
        with self._lock:
            self._process.join(patience)
            self._process.kill()
            self._process.join()
            exitcode = self._process.exitcode
            self._process = self._pipe = None
        return exitcode


class _Budget:
    """Limits how many bytes are in use at once; what is larger than the limit waits until it is alone."""

    def __init__(self, limit: int):
        self._limit = self._free = limit
        self._changed = Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        size = min(size, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        if name == "SIGKILL":
            return "its decoder was killed (SIGKILL), probably because memory ran out"
        return f"its decoder crashed ({name})"
    return f"its decoder crashed (exit code {exitcode})"


def _view(shared: ctypes.Array, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(memoryview(shared), dtype=np.uint8).reshape(shape)


def _serve(
    pipe: Connection, shared: ctypes.Array, shape: tuple[int, ...], preparation: Preparation, limits: images.Limits
) -> None:
    """Decode what comes through the pipe, until it is closed."""
    _prepare(shared, shape)
    with suppress(EOFError, OSError):  # the parent is gone
        pipe.send("ready")
        while True:
            slot, source = pipe.recv()
            if source is None:
                source = pipe.recv_bytes()
            pipe.send(_decode(slot, source, preparation, limits))
            del source  # it may be large


def _prepare(shared: ctypes.Array, shape: tuple[int, ...]) -> None:
    """Make this process one that only decodes: it leaves Ctrl-C to its parent, is silent and has a limit of memory."""
    global _slots
    _slots = _view(shared, shape)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # Pillow's; what matters becomes the reason for skipping
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # libtiff and others write to it
    os.close(silence)
    with suppress(ImportError, OSError, ValueError):  # not on Windows, not all of it on a Mac
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _decode(slot: int, source: Path | bytes, preparation: Preparation, limits: images.Limits) -> str | None:
    """Put the pixels of an image into its slot; return why there are none."""
    try:
        _slots[slot] = read_pixels(source, preparation, limits)
    except images.UnreadableImage as error:
        return str(error)
    return None
