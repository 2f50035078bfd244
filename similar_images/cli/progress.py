"""Show the events of running work on stderr: a bar for the running step, a line for each note and skipped item."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from similar_images.cli.options import sigterm_interrupts, this_command
from similar_images.events import Event, Skipped
from similar_images.inputs.names import escape_line, is_blank

if TYPE_CHECKING:
    from similar_images.collection.images import Collection

Counts = Callable[[int, int], None]  # gets the number of finished items, and of all


def describe_skipped(item: Skipped) -> str:
    """Return the line for a skipped item; none for a blank line of a list."""
    return "" if is_blank(item.name) else f"skipped {item.name}: {item.reason}"


class ProgressBar:
    """A `progress` that shows events; a `unit` replaces the name of the step and adds the number of skipped items."""

    def __init__(self, unit: str = "", leave: bool = True, describe: Callable[[Skipped], str] = describe_skipped):
        self._unit, self._leave, self._describe = unit, leave, describe
        self._bar: Any = None
        self._step, self._skipped = "", 0

    def __call__(self, event: Event) -> None:
        for line in (event.note, *map(self._describe, event.skipped)):
            if line:
                self._print(line)
        if not event.step:
            return
        if event.step != self._step:
            self._start(event)
        self._skipped += len(event.skipped)
        if self._unit and event.total:
            self._bar.set_postfix(skipped=self._skipped, refresh=False)
        self._bar.total = event.total
        self._bar.update(event.done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _start(self, event: Event) -> None:
        from tqdm import tqdm

        self.close()
        shown: dict[str, Any] = {"unit": f" {self._unit}"} if self._unit else {"desc": event.step}
        self._step = event.step
        self._bar = tqdm(total=event.total, initial=event.done, leave=self._leave, disable=None, **shown)

    def _print(self, line: str) -> None:
        from tqdm import tqdm

        if self._bar is not None and self._bar.total and self._bar.n >= self._bar.total:
            self.close()
        with tqdm.external_write_mode():
            click.echo(escape_line(line), err=True)


@contextmanager
def show_progress(leave: bool = False) -> Iterator[ProgressBar]:
    """Yield a `progress`; with `leave`, finished bars stay on the terminal."""
    with closing(ProgressBar(leave=leave)) as progress:
        yield progress


@contextmanager
def show_counts(step: str) -> Iterator[Counts]:
    """Yield a `progress(done, n)`, as the Python functions take it, that shows a bar."""
    with show_progress(leave=True) as progress:
        yield lambda done, n: progress(Event(step, done, n))


def read_exif(collection: "Collection") -> None:
    """Read the EXIF of a collection's photographs, with a progress bar on stderr."""
    with show_counts("photographs read") as progress:
        collection.read_exif(progress)


@contextmanager
def resumable(unit: str, describe: Callable[[Skipped], str] = describe_skipped) -> Iterator[ProgressBar]:
    """Yield a `progress` for an extraction. Ctrl-C and SIGTERM raise ClickException with the command to resume it."""
    from similar_images.vectors.extract import Stopped

    with closing(ProgressBar(unit, describe=describe)) as progress:
        try:
            with sigterm_interrupts():
                yield progress
        except Stopped as stopped:
            progress.close()
            raise click.ClickException(f"{stopped}; to resume: {this_command()}") from None
