"""Decodes images in processes that may hang, crash or be killed without harm to the run.

Processes, not threads: a decoder in a thread cannot be stopped, and its crash ends the run. Each process has its own
pipe and its own thread, so that its death affects only the image that it decodes. The bytes of a file go through the
pipe one image at a time; paths are passed as they are. Pixels come back in shared memory.
"""

import ctypes
import multiprocessing
import os
import signal
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from queue import LifoQueue
from threading import Condition, Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
from joblib import cpu_count  # counts the cores that this process may use (affinity, cgroup)

from similar_images.inputs.images import LIMITS, Limits, Preparation, UnreadableImage, read_pixels
from similar_images.inputs.sources import FileStatus, Source, file_status
from similar_images.spawn import hide_main
from similar_images.vectors.file_records import (
    NO_RECORD,
    FileRecord,
    digest_bytes,
    digest_file,
    unstable,
)

MAX_DECODER_BYTES = 2 * 2**30  # of memory for one image, beyond the memory of a new process
MAX_BYTES_AHEAD = 256 * 10**6  # of files from archives in memory at once; a larger file is alone
MAX_WORKERS = 32
MIN_IMAGES_AHEAD = 32  # decoded while the network computes
IMAGES_AHEAD_PER_WORKER = 4
DECODE_ATTEMPTS = 2  # an image is retried alone when its decoder dies, perhaps because of another image
START_ATTEMPTS = 10  # of a process
EXIT_SECONDS = 1  # for a dying process, whose exit code tells the reason
EMPTY_LINE = "an empty line in the list"

BlockT = TypeVar("BlockT", bound=tuple[Any, list[str]])  # rows and names
Pixels = np.ndarray | UnreadableImage  # RGB uint8 (height, width, 3), or the reason why there are none

_slots: np.ndarray  # in a decoding process: shared pixels, uint8 (slots, height, width, 3)


class DecodedImage(NamedTuple):
    pixels: Pixels
    record: FileRecord


class PendingImage(NamedTuple):
    slot: int
    result: "Future[tuple[str | None, FileRecord]]"  # why there are no pixels; None: they are in the slot


class DecodePool:
    """Decodes the images of a source as one network expects them, in processes that start when they are needed."""

    def __init__(
        self,
        source: Source,
        preparation: Preparation,
        batch: int,
        limits: Limits = LIMITS,
        workers: int | None = None,
    ):
        """`batch` is the largest number of images in a block. Close the pool to end its processes."""
        workers = workers or default_workers()
        self._source, self._limits = source, limits
        self._ahead = max(MIN_IMAGES_AHEAD, IMAGES_AHEAD_PER_WORKER * workers)
        context = multiprocessing.get_context("spawn")
        shape = (self._ahead + 2 * batch, *preparation.shape)
        shared = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
        self._slots, self._free_slots = _view(shared, shape), list(range(shape[0]))
        self._budget = _Budget(MAX_BYTES_AHEAD)
        self._processes = [_Process(context, (shared, shape, preparation, limits)) for _ in range(workers)]
        self._idle: LifoQueue[_Process] = LifoQueue()  # the last used comes first: no more are started than needed
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(max(workers, source.readers))

    def decode(self, blocks: Iterable[BlockT]) -> Iterator[tuple[BlockT, list[DecodedImage]]]:
        """Yield each block with the pixels of its images, decoded ahead of the caller, and the records of their files."""
        pending: deque[tuple[BlockT, list[PendingImage]]] = deque()
        for block in blocks:
            pending.append((block, [self._submit(name) for name in block[1]]))
            while sum(len(images) for _, images in pending) > self._ahead + len(pending[0][1]):
                yield self._finish(*pending.popleft())
        while pending:
            yield self._finish(*pending.popleft())

    def close(self) -> None:
        """End the processes, also while they decode, and wait for the threads."""
        for process in self._processes:
            process.close()
        self._threads.shutdown(cancel_futures=True)

    def _submit(self, name: str) -> PendingImage:
        slot = self._free_slots.pop()
        return PendingImage(slot, self._threads.submit(self._decode, name, slot))

    def _finish(self, block: BlockT, images: list[PendingImage]) -> tuple[BlockT, list[DecodedImage]]:
        """Wait for the images of a block and free their slots."""
        decoded = []
        for slot, result in images:
            fault, record = result.result()
            decoded.append(DecodedImage(UnreadableImage(fault) if fault else self._slots[slot].copy(), record))
        self._free_slots += [slot for slot, _ in images]
        return block, decoded

    def _decode(self, name: str, slot: int) -> tuple[str | None, FileRecord]:
        """Read an image once for its record and its pixels; return the reason if there are no pixels, and the record."""
        if not name.strip():
            return EMPTY_LINE, NO_RECORD
        record, is_in_memory = NO_RECORD, self._source.in_memory
        try:
            if is_in_memory:
                record = FileRecord(*self._source.status(name), NO_RECORD.digest)
            with self._budget.take(min(record.size, self._limits.bytes) if is_in_memory else 0):
                image = self._source.image(name, self._limits)
                record = self._read_record(image, record)
                reason = self._decode_in_process(image, slot)
            is_stable = isinstance(image, bytes) or _status(image) == record.status
            return reason, record if is_stable else unstable(record)
        except UnreadableImage as error:
            return str(error), record

    def _read_record(self, image: Path | bytes, record: FileRecord) -> FileRecord:
        """Return the record of an image with its digest; of a file also with its status, without one if it is unreadable."""
        if isinstance(image, bytes):
            return record._replace(digest=digest_bytes(image))
        record = FileRecord(*_status(image), NO_RECORD.digest)
        try:
            if 0 <= record.size <= self._limits.bytes and image.is_file():
                with image.open("rb") as file:
                    return record._replace(digest=digest_file(file))
        except OSError:  # the decoder finds the reason
            pass
        return record

    def _decode_in_process(self, image: Path | bytes, slot: int) -> str | None:
        process = self._idle.get()
        try:
            for _ in range(DECODE_ATTEMPTS):
                reason = process.decode(slot, image, self._limits.seconds)
                if process.is_alive or reason is None:
                    return reason
            return reason
        except TimeoutError:
            return f"took longer than {self._limits.seconds:g} s to decode"
        finally:
            self._idle.put(process)


def _status(file: Path) -> FileStatus:
    """Return the status of a file; an unknown one of a file that the decoder will find unreadable."""
    try:
        return file_status(file)
    except (OSError, ValueError):
        return NO_RECORD.status


def default_workers(threads: int | None = None) -> int:
    """Return the number of decoding processes beside a network with this number of threads; None: all cores.

    With all cores the network and the decoders share them: a decoder waits whenever it is ahead.
    """
    cores: int = cpu_count()
    return min(MAX_WORKERS, max(2, cores - threads if threads and threads < cores else cores))


class _Process:
    """A process that decodes one image at a time; it starts when it is needed, and again after it died."""

    _lock = Lock()  # multiprocessing starts and joins from one thread at a time

    def __init__(self, context: SpawnContext, arguments: tuple[Any, ...]):
        self._context, self._arguments = context, arguments
        self._process: SpawnProcess | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._closed = False

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    def decode(self, slot: int, image: Path | bytes, seconds: float) -> str | None:
        """Put the pixels of an image into its slot; return the reason if there are none. Raises TimeoutError."""
        pipe = self._pipe or self._start()
        try:
            pipe.send((slot, None if isinstance(image, bytes) else image))
            if isinstance(image, bytes):
                pipe.send_bytes(image)
            if pipe.poll(seconds):
                reason: str | None = pipe.recv()
                return reason
        except (EOFError, OSError):  # the process died
            return _death_reason(self._stop(EXIT_SECONDS))
        self._stop()
        raise TimeoutError

    def close(self) -> None:
        """End the process, also while it decodes, and start none again."""
        self._closed = True
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _start(self) -> "Connection[Any, Any]":
        for _ in range(START_ATTEMPTS):
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
                exitcode = self._stop(EXIT_SECONDS)
        raise ChildProcessError(f"no process to decode images could be started (exit code {exitcode})")

    def _stop(self, seconds: float = 0) -> int | None:
        """Kill the process unless it ends within these seconds; return its exit code."""
        assert self._process is not None and self._pipe is not None
        self._pipe.close()
        with self._lock:
            self._process.join(seconds)
            self._process.kill()
            self._process.join()
            exitcode = self._process.exitcode
            self._process = self._pipe = None
        return exitcode


class _Budget:
    """Limits the bytes in use at once; a size above the limit waits until it is alone."""

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


def _death_reason(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        if name == "SIGKILL":
            return "its decoder was killed (SIGKILL), probably because memory ran out"
        return f"its decoder crashed ({name})"
    return f"its decoder crashed (exit code {exitcode})"


def _view(shared: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(memoryview(shared), dtype=np.uint8).reshape(shape)


def _serve(
    pipe: "Connection[Any, Any]", shared: Any, shape: tuple[int, ...], preparation: Preparation, limits: Limits
) -> None:
    """Decode the images from the pipe until it is closed."""
    _prepare_process(shared, shape)
    with suppress(EOFError, OSError):  # the parent is gone
        pipe.send("ready")
        while True:
            slot, image = pipe.recv()
            if image is None:
                image = pipe.recv_bytes()
            try:
                _slots[slot] = read_pixels(image, preparation, limits)
                reason = None
            except UnreadableImage as error:
                reason = str(error)
            pipe.send(reason)
            del image  # it may be large


def _prepare_process(shared: Any, shape: tuple[int, ...]) -> None:
    """Ignore Ctrl-C, which the parent handles; silence stderr and warnings; limit the memory."""
    global _slots
    _slots = _view(shared, shape)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # Pillow's; errors become the reason for skipping
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # libtiff and others write to it
    os.close(silence)
    with suppress(ImportError, OSError, ValueError):  # not on Windows, only partly on macOS
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MAX_DECODER_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
