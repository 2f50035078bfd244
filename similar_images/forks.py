"""Locks, threads and thread pools that can be used in a forked child.

A fork copies the thread that forks, and no other. A lock that another thread held then stays held in the child for ever,
and a pool waits for ever for its threads. Both are made new in the child.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

_locks: WeakSet[Any] = WeakSet()


def new_lock() -> threading.Lock:
    """Return a lock that is free in a forked child."""
    return _known(threading.Lock())


def new_reentrant_lock() -> Any:
    """Return a lock that its thread can take again, and that is free in a forked child."""
    return _known(threading.RLock())


def run_in_child(work: Callable[[], object]) -> None:
    """Call `work` in each forked child, before anything else there; on Windows nothing forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=work)


def _known(new: Any) -> Any:
    _locks.add(new)
    return new


def _free_locks() -> None:
    for each in _locks:
        each._at_fork_reinit()  # as the standard library frees its own, such as those of logging


def _use_one_thread() -> None:
    """Let libraries that use OpenMP compute on the thread that forked: its team of threads is gone.

    GNU's OpenMP would wait for it for ever. Threads that the child starts have teams of their own.
    """
    if {"sklearn", "torch"} & sys.modules.keys():  # each has an OpenMP of its own
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, "openmp")


run_in_child(_free_locks)
run_in_child(_use_one_thread)
