"""Base of the widgets: messages of the page, work off the kernel's thread, and a line of status."""

from collections.abc import Callable, Sequence
from threading import Thread, current_thread, main_thread
from typing import Any, ClassVar

import anywidget
from traitlets import Dict, TraitError

from similar_images.widgets.messages import Buffers, Request, parse, shorten

MAX_UNASKED_IMAGES = 200_000  # larger collections take minutes: the page offers to start the work


class Stopped(Exception):
    """The widget was closed or Python ends: the rest of the work is not needed."""


class BackgroundWidget(anywidget.AnyWidget):
    """A widget whose work has no caller to raise to: every failure is shown to the user.

    Work stops at its next report of progress once the widget is closed or Python ends. Python waits for the work:
    native code still running at its end would abort the process.
    """

    # kind: busy, with the finished `share` if known; done; failure; or offer, of work that the page may start
    status: Any = Dict({"kind": "busy", "text": ""}).tag(sync=True)
    # Traits that a page may set.
    _settable: ClassVar[frozenset[str]] = frozenset({"layout", "tabbable", "tooltip", "_view_count"})
    _is_closed = True  # until it is set up
    _threads: tuple[Thread, ...] = ()
    _offered: Callable[[], None] | None = None

    def wait(self, seconds: float = 60) -> None:
        """Wait until all work is done. Raises TimeoutError."""
        for thread in set(self._threads) - {current_thread()}:
            thread.join(seconds)
            if thread.is_alive():
                raise TimeoutError(f"still working after {seconds:g} s")

    def _take_state(self, state: dict[str, Any]) -> None:
        """Take values of traits from a page; refuse wrong ones and send back the right ones."""
        if unknown := state.keys() - self._settable:
            self.log.warning("a page may not set %s of %s", shorten(sorted(unknown)), type(self).__name__)
        changes = {name: value for name, value in state.items() if name in self._settable}
        if changes:
            try:
                self.set_state(changes)
            except Exception as error:  # a page may send any value
                self._show_failure(error)
                self.send_state([*changes])

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        """Handle a message of the page; log unreadable ones without a traceback."""
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
                self.log.warning("%s ignores a message: %s", type(self).__name__, shorten(msg))

    def _on_message(self, _: object, message: object, buffers: Buffers) -> None:
        """Handle a request of the page; show a failure."""
        try:
            self._handle(parse(message), buffers)
        except Exception as error:  # a message has no caller to raise to
            self._show_failure(error)

    def _handle(self, request: Request, buffers: Buffers) -> None:
        """Handle a request of the page. Raises ValueError for a request of other widgets."""
        raise ValueError(f"expected a request of {type(self).__name__}'s page, got {shorten(request)}")

    def _show_failure(self, error: Exception) -> None:
        """Show that a request failed; if the page shows an offer, keep that and log the failure."""
        if self.status["kind"] == "offer":
            self.log.warning("%s: %s", type(self).__name__, self._failure_text(error))
        else:
            self._set_status("failure", self._failure_text(error))

    def _start_or_offer(self, work: Callable[[], None], n: int, text: str) -> None:
        """Start work on a collection of n; offer it to the page if n is large."""
        self._offered = work
        if n > MAX_UNASKED_IMAGES:
            self._set_status("offer", text)
        else:
            self._start_offered()

    def _start_offered(self) -> None:
        """Start the offered work, once."""
        work, self._offered = self._offered, None
        if work is not None:
            self._run(work)

    def _run(self, work: Callable[[], None]) -> None:
        """Run work in a thread and show its failure."""

        def guarded() -> None:
            try:
                work()
            except Stopped:
                pass
            except Exception as error:  # see the class
                self._set_status("failure", self._failure_text(error))

        thread = Thread(target=guarded)  # no daemon: see the class
        self._threads = (*(one for one in self._threads if one.is_alive()), thread)
        thread.start()

    def _failure_text(self, error: Exception) -> str:
        return f"Failed: {describe_error(error)}"

    def _set_status(self, kind: str, text: str = "", **share: float) -> None:
        if not self._is_stopped:
            self.status = {"kind": kind, "text": text} | share

    @property
    def _is_stopped(self) -> bool:
        return self._is_closed or not main_thread().is_alive()

    def _check_open(self) -> None:
        """Raise Stopped once the widget is closed or Python ends."""
        if self._is_stopped:
            raise Stopped("the widget was closed")

    def _show_step(self, text: str) -> Callable[[int, int], None]:
        """Show a status and return its progress callback, which raises Stopped after the widget was closed."""
        self._check_open()
        self._set_status("busy", text)

        def progress(done: int, n: int) -> None:
            self._check_open()
            self._set_status("busy", text, share=round(done / max(n, 1), 2))  # equal values are not sent again

        return progress


def describe_error(error: Exception) -> str:
    """Return the reason of a failure for the user, in one line."""
    message = " ".join(str(error).split())
    is_readable = message and isinstance(error, OSError | ValueError | TraitError)
    return message if is_readable else f"{type(error).__name__}: {message}"


def check_rows(rows: Sequence[int], n: int, name: str = "row", most: int = 1) -> None:
    """Raise ValueError for more than `most` rows, or a row outside the n of a collection."""
    if len(rows) > most:
        raise ValueError(f"expected up to {most} rows, got {len(rows)}")
    for row in rows:
        if not 0 <= row < n:
            raise ValueError(f"expected a {name} from 0 to {n - 1}, got {shorten(row)}")
