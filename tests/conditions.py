"""Conditions that tests wait for: a delay is too short on a busy machine, and too long on any other."""

import json
import signal
import subprocess
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


def wait_for_more(*lists: list) -> None:
    """Return once one of these lists, filled by other threads, has grown."""
    before = sum(map(len, lists))
    wait_until(lambda: sum(map(len, lists)) > before)


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
