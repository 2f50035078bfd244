"""Conditions that tests wait for: a delay is too short on a busy machine, and too long on any other."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 300  # seconds; only a test that would fail waits so long


def wait_until(condition: Callable[[], object]) -> None:
    """Return once the condition is true. Raises TimeoutError if it is not within PATIENCE."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"still false after {PATIENCE} s: {condition}")
        time.sleep(0.01)


@contextmanager
def repeated(work: Callable[[], object], threads: int = 1) -> Iterator[Callable[[], None]]:
    """Call `work` in other threads during the block; yield a function that waits for its next call.

    Raises the first error of `work` at the end.
    """
    stop, calls, errors = threading.Event(), [], []

    def repeat() -> None:
        while not stop.is_set() and not errors:
            try:
                calls.append(work())
            except BaseException as error:
                errors.append(error)

    def wait() -> None:
        before = len(calls)
        wait_until(lambda: len(calls) > before or errors)

    running = [threading.Thread(target=repeat) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield wait
    finally:
        stop.set()
        for thread in running:
            thread.join()
    if errors:
        raise errors[0]


def rows_done(manifest: Path) -> int:
    """Return how many rows of vectors are complete, by their manifest, which may not be there yet."""
    return json.loads(manifest.read_text())["rows_done"] if manifest.exists() else 0


@contextmanager
def paused(process: subprocess.Popen) -> Iterator[None]:
    """Stop a process for the length of the block, so that it cannot end meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
