"""Work of a widget off the kernel's thread, with a line of status on its page."""

from collections.abc import Callable
from threading import Thread, current_thread
from typing import Any

import anywidget
from traitlets import Dict

MANY = 200_000  # images of a collection; what takes minutes for more is not begun unasked


class BackgroundWidget(anywidget.AnyWidget):
    """A widget whose work has no caller to raise to: every failure is shown to the user."""

    # kind: busy, which may have a `share` that is done; done; failure; or offer, of work that the page may begin
    status: Any = Dict({"kind": "busy", "text": ""}).tag(sync=True)
    _is_closed = True  # until it is set up
    _threads: tuple[Thread, ...] = ()
    _offered: Callable[[], None] | None = None

    def wait(self, seconds: float = 60) -> None:
        """Wait until all work is done. Raises TimeoutError."""
        for thread in set(self._threads) - {current_thread()}:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still working after {seconds:g} s")

    def _begin(self, work: Callable[[], None], n: int, text: str) -> None:
        """Do in the background what takes long for a collection of n, or once the page asks for it."""
        self._offered = work
        if n > MANY:
            self._say("offer", text)
        else:
            self._begin_offered()

    def _begin_offered(self) -> None:
        """Begin what the page offers to begin, if it does."""
        work, self._offered = self._offered, None
        if work is not None:
            self._in_background(work)

    def _in_background(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # see the class
                self._say("failure", self._failed(error))

        thread = Thread(target=guarded, daemon=True)
        self._threads = (*(one for one in self._threads if one.is_alive()), thread)
        thread.start()

    def _failed(self, error: Exception) -> str:
        """Return what is shown of a failure."""
        return f"Failed: {reason(error)}"

    def _say(self, kind: str, text: str = "", **share: float) -> None:
        if not self._is_closed:
            self.status = {"kind": kind, "text": text} | share

    def _doing(self, text: str) -> Callable[[int, int], None]:
        """Say what is done now; return the function that is told how much of it, and of how much."""
        self._say("busy", text)

        def progress(done: int, n: int) -> None:
            self._say("busy", text, share=round(done / max(n, 1), 2))  # nothing is sent while this stays the same

        return progress

    def _counting(self, text: str, n: int) -> Callable[[int], None]:
        """Say what is done now; return the function that is told how many more of n are done."""
        done, progress = 0, self._doing(text)

        def count(more: int) -> None:
            nonlocal done
            done += more
            progress(done, n)

        return count


def reason(error: Exception) -> str:
    """Return what a failure says to a user, in one line."""
    message = " ".join(str(error).split())
    return message if message and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {message}"
