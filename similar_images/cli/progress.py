"""Show the events of running work on stderr: a bar for the running step, a line for each note."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import click

from similar_images.cli.options import sigterm_interrupts, this_command
from similar_images.events import Event, Progress, Skipped
from similar_images.inputs.names import escape_controls, escape_line, is_blank


@contextmanager
def show_progress(leave: bool = False) -> Iterator[Progress]:
    """Yield a `progress`; with `leave`, finished bars stay on the terminal."""
    from tqdm import tqdm

    bar: tqdm[NoReturn] | None = None
    step = ""

    def progress(event: Event) -> None:
        nonlocal bar, step
        if event.step and (bar is None or event.step != step):
            stack.close()
            step, bar = event.step, stack.enter_context(tqdm(desc=event.step, leave=leave, disable=None))
        if event.step and bar is not None:
            bar.total = event.total
            bar.update(event.done - bar.n)
        notes = [event.note] if event.note else []
        for note in notes + [f"skipped {one.name}: {one.reason}" for one in event.skipped]:
            with tqdm.external_write_mode():
                click.echo(escape_line(note), err=True)

    with ExitStack() as stack:
        yield progress


def describe_image(image: Skipped) -> str:
    """Return the line for a skipped image; none for a blank line of a list."""
    return "" if is_blank(image.name) else f"skipped {escape_line(image.name)}: {escape_line(image.reason)}"


class ProgressBar:
    """Shows the events of an extraction on stderr; call it as `progress`."""

    def __init__(self, unit: str, describe: Callable[[Skipped], str] = describe_image):
        self._unit, self._describe = unit, describe
        self._bar: Any = None
        self._first = self._skipped = 0

    def __call__(self, event: Event) -> None:
        for line in (event.note, *map(self._describe, event.skipped)):
            if line:
                self._print(line)
        if event.total is None:
            self._first = event.done or self._first
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=event.total, initial=self._first, unit=f" {self._unit}", disable=None)
        self._skipped += len(event.skipped)
        self._bar.set_postfix(skipped=self._skipped, refresh=False)
        self._bar.update(event.done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _print(self, line: str) -> None:
        if self._bar is not None and self._bar.n < self._bar.total:
            self._bar.write(escape_controls(line), file=sys.stderr)
        else:
            self.close()
            click.echo(escape_controls(line), err=True)


@contextmanager
def resumable(unit: str, describe: Callable[[Skipped], str] = describe_image) -> Iterator[ProgressBar]:
    """Yield a `progress` for an extraction. Ctrl-C and SIGTERM raise ClickException with the command that resumes it."""
    from similar_images.vectors.extract import Stopped

    bar = ProgressBar(unit, describe)
    try:
        with sigterm_interrupts():
            yield bar
    except Stopped as stopped:
        bar.close()
        raise click.ClickException(f"{stopped}; to resume: {this_command()}") from None
    finally:
        bar.close()
