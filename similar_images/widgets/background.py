"""Work of a widget off the kernel's thread, with a line of status on its page."""

from collections.abc import Callable
from threading import Thread, current_thread, main_thread
from typing import Any

import anywidget
from traitlets import Dict, TraitError

from similar_images.widgets.messages import shortened

MANY = 200_000  # images of a collection; what takes minutes for more is not begun unasked


class Stopped(Exception):
    """The widget was closed or Python ends: the rest of the work is not needed."""


class BackgroundWidget(anywidget.AnyWidget):
    """A widget whose work has no caller to raise to: every failure is shown to the user.

    Work stops at its next report of progress once the widget is closed or Python ends. Python waits for that: native
    code that still ran while Python ends would abort the process.
    """

    # kind: busy, which may have a `share` that is done; done; failure; or offer, of work that the page may begin
    status: Any = Dict({"kind": "busy", "text": ""}).tag(sync=True)
    _settable = frozenset({"layout", "tabbable", "tooltip", "_view_count"})  # traits that a page may set
    _is_closed = True  # until it is set up
    _threads: tuple[Thread, ...] = ()
    _offered: Callable[[], None] | None = None

    def wait(self, seconds: float = 60) -> None:
        """Wait until all work is done. Raises TimeoutError."""
        for thread in set(self._threads) - {current_thread()}:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still working after {seconds:g} s")

    def _take_state(self, state: dict) -> None:
        """Take values of traits from a page; wrong ones are refused, and the page gets the right ones back."""
        if unknown := state.keys() - self._settable:
            self.log.warning("a page may not set %s of %s", shortened(sorted(unknown)), type(self).__name__)
        changes = {name: value for name, value in state.items() if name in self._settable}
        if changes:
            try:
                self.set_state(changes)
            except Exception as error:  # anything may be sent
                self._refuse(error)
                self.send_state([*changes])

    def _handle_msg(self, msg: dict) -> None:
        """Handle a message of the page; one that ipywidgets cannot read is logged, without a traceback."""
        match msg:
            case {"content": {"data": {"method": "update", "state": dict(state)} as data}} if not data.get(
                "buffer_paths"
            ):
                self._take_state(state)
            case {"content": {"data": {"method": "custom", "content": _}}, "buffers": list()} | {
                "content": {"data": {"method": "request_state"}}
            }:
                super()._handle_msg(msg)
            case _:
                self.log.warning("%s ignores a message: %s", type(self).__name__, shortened(msg))

    def _told(self, _: object, message: Any, buffers: list) -> None:
        """Do what the page requests; a failure is shown."""
        try:
            if not isinstance(message, dict):
                raise ValueError(f"expected a request, got {shortened(message)}")
            self._do(message, buffers)
        except Exception as error:  # a message has no caller to raise to
            self._refuse(error)

    def _do(self, message: dict, buffers: list) -> None:
        """Do what the page requests. Raises ValueError for a request that no page of this widget makes."""
        raise ValueError(f"expected a request of {type(self).__name__}'s page, got {shortened(message)}")

    def _refuse(self, error: Exception) -> None:
        """Show that a request failed; an offer stays on the page, and the failure is logged."""
        if self.status["kind"] == "offer":
            self.log.warning("%s: %s", type(self).__name__, self._failed(error))
        else:
            self._say("failure", self._failed(error))

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
            except Stopped:
                pass
            except Exception as error:  # see the class
                self._say("failure", self._failed(error))

        thread = Thread(target=guarded)  # no daemon: see the class
        self._threads = (*(one for one in self._threads if one.is_alive()), thread)
        thread.start()

    def _failed(self, error: Exception) -> str:
        """Return what is shown of a failure."""
        return f"Failed: {reason(error)}"

    def _say(self, kind: str, text: str = "", **share: float) -> None:
        if not self._is_stopped:
            self.status = {"kind": kind, "text": text} | share

    @property
    def _is_stopped(self) -> bool:
        return self._is_closed or not main_thread().is_alive()

    def _continue(self) -> None:
        """Raise Stopped once the widget is closed or Python ends."""
        if self._is_stopped:
            raise Stopped("the widget was closed")

    def _doing(self, text: str) -> Callable[[int, int], None]:
        """Show a status and return its progress callback, which raises Stopped once the work is not needed."""
        self._continue()
        self._say("busy", text)

        def progress(done: int, n: int) -> None:
            self._continue()
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
    return (
        message
        if message and isinstance(error, OSError | ValueError | TraitError)
        else f"{type(error).__name__}: {message}"
    )
