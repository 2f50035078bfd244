"""Locks and thread pools that work in a forked child.

A fork copies only the forking thread. In the child, a lock held by another thread would never be released, and a pool
would wait forever for its threads. Both are created again in the child.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

_locks: WeakSet[Any] = WeakSet()


def new_lock() -> threading.Lock:
    """Return a lock, released in a forked child."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def new_reentrant_lock() -> Any:
    """Return a reentrant lock, released in a forked child."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def run_in_child(work: Callable[[], object]) -> None:
    """Call `work` first in each forked child; Windows does not fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=work)


def _free_locks() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # as the standard library does for the locks of logging


def _use_one_thread() -> None:
    """Limit OpenMP to the forking thread, whose team of threads is lost.

    GNU OpenMP would wait for the team forever. Threads started by the child have new teams.
    """
    if {"sklearn", "torch"} & sys.modules.keys():  # each ships its own OpenMP
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, "openmp")


run_in_child(_free_locks)
run_in_child(_use_one_thread)
