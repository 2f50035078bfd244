"""Start processes without running the user's script again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from similar_images import forks

_lock = forks.new_lock()


@contextmanager
def hide_main() -> Iterator[None]:
    """Hide the module `__main__` from multiprocessing, which imports it in each spawned process.

    A script without `if __name__ == "__main__":` would start itself again, and an interactive one cannot be imported.
    Source: multiprocessing.spawn.get_preparation_data of Python 3.11.
    """
    with _lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
