"""Show the events of running work on stderr: a bar for the running step, a line for each note."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import click

from similar_images.events import Event, Progress
from similar_images.inputs.names import escape_line


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
