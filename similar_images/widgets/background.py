"""Base of the widgets: requests of the page, work off the kernel's thread, and a line of status."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from inspect import signature
from threading import Thread, current_thread, main_thread
from typing import Any, ClassVar

import anywidget
from traitlets import Dict, TraitError

from similar_images.collection.session import Box
from similar_images.widgets.replies import Reply

MAX_UNASKED_IMAGES = 200_000  # larger collections take minutes: the page offers to start the work
MAX_SHOWN_CHARACTERS = 100  # of a wrong message

Buffers = Sequence[memoryview | bytes]


class Stopped(Exception):
    """The widget was closed or Python ends: the rest of the work is not needed."""


class BackgroundWidget(anywidget.AnyWidget):
    """A widget whose work has no caller to raise to: every failure is shown to the user.

    A request of the page {do: "row", row: 3} calls `_answer_row(row=3)`; the annotations of its parameters are checked.
    Work stops at its next report of progress once the widget is closed or Python ends. Python waits for the work:
    native code still running at its end would abort the process.
    """

    # kind: busy, with the finished `share` if known; done; failure; or offer, of work that the page may start
    status: Any = Dict({"kind": "busy", "text": ""}).tag(sync=True)
    # Traits that a page may set.
    _settable: ClassVar[frozenset[str]] = frozenset({"layout", "tabbable", "tooltip", "_view_count"})
    _is_closed = True  # until `__init__` has set it up
    _threads: tuple[Thread, ...] = ()
    _offered: Callable[[], None] | None = None

    def close(self) -> None:
        """Close the widget, and free its threads and memory."""
        if not self._is_closed:
            self._is_closed = True
            self._free()
        super().close()

    def _free(self) -> None:
        """End threads and free memory, once."""

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

    def _handle_custom_msg(self, content: object, buffers: Buffers) -> None:
        """Answer a request of the page; show a failure."""
        super()._handle_custom_msg(content, buffers)
        if not self._is_closed:
            try:
                self._answer(content, buffers)
            except Exception as error:  # a message has no caller to raise to
                self._show_failure(error)

    def _answer(self, message: object, buffers: Buffers) -> None:
        """Call the method that answers a request. Raises ValueError for any other message, or a wrong field."""
        do = message.get("do") if isinstance(message, dict) else None
        answer = getattr(self, f"_answer_{do}", None) if isinstance(do, str) else None
        if answer is None or not isinstance(message, dict):
            raise ValueError(f"expected a request of {type(self).__name__}'s page, got {shorten(message)}")
        answer(**read_fields(answer, message, buffers))

    def _reply(self, reply: Reply, buffers: Buffers = ()) -> None:
        self.send(reply.to_message(), [*buffers])

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
            self._answer_begin()

    def _answer_begin(self) -> None:
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
    is_readable = message and isinstance(error, OSError | ValueError | IndexError | TraitError)
    return message if is_readable else f"{type(error).__name__}: {message}"


def check_rows(rows: Sequence[int], n: int, name: str = "row", most: int = 1) -> None:
    """Raise ValueError for more than `most` rows, or a row outside the n of a collection."""
    if len(rows) > most:
        raise ValueError(f"expected up to {most} rows, got {len(rows)}")
    for row in rows:
        if not 0 <= row < n:
            raise ValueError(f"expected a {name} from 0 to {n - 1}, got {shorten(row)}")


def read_fields(target: Callable[..., object], message: Mapping[str, object], buffers: Buffers) -> dict[str, object]:
    """Return the arguments of `target` from the fields of a message, and bytes from its first buffer.

    Raises ValueError for a missing field, or one of another type than the annotation.
    """
    found: dict[str, object] = {}
    for name, parameter in signature(target).parameters.items():
        kind = parameter.annotation
        default = None if parameter.default is parameter.empty else parameter.default
        is_record = is_dataclass(kind)
        if kind is bytes:
            found[name] = _read_buffer(buffers)
        elif is_record:
            found[name] = kind(**read_fields(kind, message, buffers))
        else:
            found[name] = _read_field(name, kind, message.get(name, default))
    return found


def shorten(value: object) -> str:
    """Return a value as one short line."""
    try:
        return " ".join(repr(value).split())[:MAX_SHOWN_CHARACTERS]
    except (ValueError, RecursionError):  # an integer of thousands of digits, or endlessly nested lists
        return type(value).__name__


def _read_buffer(buffers: Buffers) -> bytes:
    if not buffers:
        raise ValueError("expected a message with bytes, got none")
    return bytes(buffers[0])


def _read_field(name: str, kind: Any, value: object) -> object:
    title, is_valid = _FIELDS[kind]
    if not is_valid(value):
        raise ValueError(f"expected {name} to be {title}, got {'none' if value is None else shorten(value)}")
    return value


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_integer, value))


def _is_box(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 4
        and all(isinstance(share, int | float) and 0 <= share <= 1 for share in value)
    )


_FIELDS: dict[Any, tuple[str, Callable[[object], bool]]] = {  # by the annotation of a parameter
    str: ("text", lambda value: isinstance(value, str)),
    int: ("an integer", _is_integer),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    list[int]: ("a list of integers", _is_rows),
    dict[str, Any]: ("a mapping", lambda value: isinstance(value, dict)),
    Box: ("4 numbers from 0 to 1", _is_box),
}
