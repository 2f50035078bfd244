"""What the scripts share: commands whose errors are one line, and the options that open a collection."""

import builtins
import codecs
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from similar_images.inputs.sources import check_source
from similar_images.networks.catalog import NETWORKS

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
AS_EXTRACTED = "[default: as when the images were extracted]"


class Place(click.ParamType):
    """Where images are: a folder, an archive, or a folder in an archive."""

    name = "place"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        try:
            check_source(Path(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return Path(str(value))


COLLECTION = (  # what Collection.open takes beside the list or the vectors, and the index
    click.option("-d", "--images", type=Place(), help=f"The folder or archive of its images.  {AS_EXTRACTED}"),
    click.option("--network", type=click.Choice(list(NETWORKS)), help="What made vectors that have no manifest."),
    click.option("-m", "--model", type=FILE, help=f"The file of the network.  {AS_EXTRACTED}"),
    click.option("--weights", type=FILE, help=f"The weights of the network.  {AS_EXTRACTED}"),
)


def collection_options(command: Callable, several: bool = False) -> Callable:
    """Give a command --index, which may be given several times, and the options of COLLECTION, under the names that
    Collection.open has for them.
    """
    told = "An index to compare, may be given again." if several else "The collection's index."
    index = click.option("--index", type=FILE, multiple=several, help=f"{told}  [default: the one beside the vectors]")
    for option in reversed((index, *COLLECTION)):
        command = option(command)
    return command


class Bytes(click.ParamType):
    """A size such as 8M: bytes, or thousands (k), millions (M), thousands of millions (G) of them."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        number, unit = str(value)[:-1], str(value)[-1:].upper()
        factor = {"K": 10**3, "M": 10**6, "G": 10**9}.get(unit)
        try:
            size = int(float(number) * factor) if factor else int(str(value))
        except (ValueError, OverflowError):  # OverflowError: infinity
            size = 0
        if size < 1:
            self.fail(f"expected a size such as 500k, 8M or 2G, got {value}", param, ctx)
        return size


class Encoding(click.ParamType):
    """How a file of text is encoded: a name that Python knows."""

    name = "encoding"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return codecs.lookup(str(value)).name
        except LookupError:
            self.fail(f"expected an encoding such as utf-8, latin-1 or utf-16, got {value}", param, ctx)


class Command(click.Command):
    """A click command that tells every error, its own and the library's, in one line and ends with 1 or 2."""

    def make_context(self, *args: object, **kwargs: object) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            error.ctx = None  # click would put the usage above the message
            raise

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (OSError, ValueError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error


def only_collection_here(of_texts: bool = False) -> Path:
    """Return the vectors of the only collection of images, or of texts, in the current folder.

    Raises ClickException where there is none or are several.
    """
    from similar_images.networks.catalog import reads_text
    from similar_images.vectors.store import SUFFIX, manifest_path, read_manifest

    def is_of_texts(path: Path) -> bool:
        return manifest_path(path).exists() and reads_text(read_manifest(path)["network"])

    found = [path for path in sorted(Path().glob(f"*{SUFFIX}")) if is_of_texts(path) == of_texts]
    if len(found) != 1:
        kind = "texts" if of_texts else "images"
        raise click.ClickException(
            f"expected one collection of {kind} (*{SUFFIX}) in this folder, found {len(found)}: name it with -i"
        )
    return found[0]


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does; afterwards the handler is what it was, also in a notebook's kernel."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def this_command() -> str:
    """Return what started this script, to be given again: in a shell, or in a notebook's cell."""
    return f"%run {shlex.join(sys.argv)}" if hasattr(builtins, "__IPYTHON__") else shlex.join(sys.orig_argv)
