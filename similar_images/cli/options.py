"""Shared by the commands: errors in one line, and the options of a collection."""

import builtins
import codecs
import io
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from similar_images.files import FULL_DISK_ERRORS, NoSpace, replace_file
from similar_images.inputs.names import escape_line
from similar_images.inputs.sources import Location, check_source, open_source, parse_location
from similar_images.networks import hub_files
from similar_images.networks.catalog import NETWORKS
from similar_images.networks.hub_checks import CONFIG

if TYPE_CHECKING:
    from similar_images.collection.images import Collection
    from similar_images.vectors.store import Vectors

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PACKAGE = Path(__file__).parents[1]
EXISTING = click.Path(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
AS_EXTRACTED = "[default: as when the images were extracted]"

SIMILARITIES = ("cosine", "centred", "whitened")  # as in index/similarity.py, which imports Faiss
MILVUS_INDEXES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW")  # as in milvus.index_types
NAMED = 5  # collections in a message
MAX_LOOKED_UP = 1000  # names, in a new folder of images


class Parsed(click.ParamType[T]):
    """A text that a function parses; its ValueError becomes the message."""

    def __init__(self, name: str, parse: Callable[[str], T]):
        self.name, self._parse = name, parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_place(text: str) -> Location:
    """Return the location of images: a folder, an archive, a folder in an archive, or an address that fsspec opens."""
    place = parse_location(text)
    if isinstance(place, Path):
        place = place.expanduser()  # zsh does not expand the tilde in FOLDER=~/Pictures
    check_source(place)
    return place


def parse_network(name: str) -> str:
    """Return the name of a network of the table or the hub, or a folder with a network in the hub's form."""
    if name.startswith(hub_files.PREFIX):
        hub_files.split_name(name)
    elif name not in NETWORKS and not hub_files.is_hub_network(name):
        raise ValueError(
            f"expected {', '.join(NETWORKS)}, a name of the hub (hf:OWNER/NAME), or a folder with {CONFIG}, got {name}"
        )
    return name


def parse_size(text: str) -> int:
    """Return a size such as 8M: bytes, or thousands (k), millions (M), thousands of millions (G) of them."""
    factor = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper())
    try:
        size = int(float(text[:-1]) * factor) if factor else int(text)
    except (ValueError, OverflowError):  # OverflowError: infinity
        size = 0
    if size < 1:
        raise ValueError(f"expected a size such as 500k, 8M or 2G, got {text}")
    return size


def parse_encoding(name: str) -> str:
    """Return Python's name of an encoding."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"expected an encoding such as utf-8, latin-1 or utf-16, got {name}") from None


PLACE = Parsed("place", parse_place)
NETWORK = Parsed("network", parse_network)
SIZE = Parsed("size", parse_size)
ENCODING = Parsed("encoding", parse_encoding)

allow_outside_option = click.option(
    "--allow-outside",
    is_flag=True,
    default=None,
    help="Also read images that the list, or a symbolic link, places outside -d.",
)
exclude_option = click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    default=None,
    help="Leave out new files and folders below -d that match this pattern, with the syntax of a .gitignore; repeat it for "
    "several. The patterns are recorded; '' removes them.  [default: as recorded]",
)
COLLECTION = (  # what Collection.open takes beside the list or the vectors, and the index
    click.option("-d", "--images", type=PLACE, help=f"The folder or archive of its images.  {AS_EXTRACTED}"),
    allow_outside_option,
    click.option("--network", type=click.Choice(list(NETWORKS)), help="The network of vectors without a manifest."),
    click.option("-m", "--model", type=EXISTING, help=f"The file of the network, or its folder.  {AS_EXTRACTED}"),
    click.option("--weights", type=FILE, help=f"The weights of the network.  {AS_EXTRACTED}"),
)


def collection_options(command: F, several: bool = False) -> F:
    """Add --index, which `several` allows to repeat, and the options of COLLECTION, named as in Collection.open."""
    about = "An index to compare; repeat it for several." if several else "The collection's index."
    index = click.option("--index", type=FILE, multiple=several, help=f"{about}  [default: the one beside the vectors]")
    for option in reversed((index, *COLLECTION)):
        command = option(command)
    return command


where_option = click.option(
    "--where",
    "conditions",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Search only matching images: name=PART, folder=FOLDER, date=2019-07, date=LOW..HIGH, camera=MODEL, keywords=WORD, "
    "rating=4.., latitude=LOW..HIGH, longitude=LOW..HIGH, or a column of the table beside the list, LIST.columns.csv or .parquet. All columns must match, of one column any value; "
    "COLUMN!=VALUE excludes. Case does not matter.",
)


class Command(click.Command):
    """A click command that reports every error, its own and the library's, in one line and exits with 1 or 2."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            error.ctx = None  # click would put the usage above the message
            raise

    def invoke(self, ctx: click.Context) -> object:
        try:
            with (
                redirect_stderr(sys.stdout) if in_kernel() else nullcontext(),  # a notebook shows stderr as errors
                _warnings_as_lines(),
            ):
                _check_outputs(self, ctx)
                return super().invoke(ctx)
        except BrokenPipeError:  # the reader, such as head, has read enough: click ends quietly
            raise
        except (OSError, ValueError) as error:
            is_output = isinstance(error, OSError) and error.filename is None and error.errno in FULL_DISK_ERRORS
            said = NoSpace(Path("the output")) if is_output else error
            raise click.ClickException(escape_line(" ".join(str(said).split()))) from error


def _check_outputs(command: click.Command, ctx: click.Context) -> None:
    """Raise ValueError if a file to write is also read: a file, a place of images, or a text that names a file."""
    inputs, outputs = set[Path](), list[Path]()
    for parameter in command.params:
        value = ctx.params.get(parameter.name or "")
        if _is_output(parameter):
            outputs += [value] if value else []
        else:
            values = value if isinstance(value, tuple) else (value,)
            inputs |= {Path(one).resolve() for one in values if isinstance(one, Path | str)}
    for output in outputs:
        if output.resolve() in inputs:
            raise ValueError(f"{output} is an input of this command: choose another name for the output")


def _is_output(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path) and parameter.type.file_okay and not parameter.type.exists


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print each warning of this package as one line on stderr."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], filename: str, *rest: Any, **place: Any) -> None:
            if Path(filename).is_relative_to(PACKAGE):
                click.echo(escape_line(str(message)), err=True)
            else:
                shown(message, category, filename, *rest, **place)

        warnings.filterwarnings("always", category=UserWarning, module=PACKAGE.name)
        warnings.showwarning = show
        yield


def only_collection_here(of_texts: bool = False) -> Path:
    """Return the vectors of the only collection of images, or of texts, in the current folder.

    Raises ClickException, which names them, if there are none or several.
    """
    from similar_images.collection.opening import is_of_texts
    from similar_images.vectors.store import SUFFIX, vectors_in

    found = [path for path in vectors_in(Path()) if is_of_texts(path) == of_texts]
    if len(found) == 1:
        return found[0]
    kind = "texts" if of_texts else "images"
    if not found:
        remedy = "similar-images extract-texts FILE" if of_texts else "similar-images extract -d FOLDER"
        raise click.ClickException(
            f"expected a collection of {kind} (*{SUFFIX}, or a .npy with its manifest) in this folder, found 0: "
            f"make one with {remedy}"
        )
    lists = [Path(path.name.removesuffix(SUFFIX)) for path in found]
    names = [escape_line(str(names if names.is_file() else path)) for names, path in zip(lists, found, strict=True)]
    named = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    command = click.get_current_context().command_path
    raise click.ClickException(
        f"expected one collection of {kind} in this folder, found {len(found)}: {named}. "
        f"Choose one with -i: {command} -i {shlex.quote(names[0])} QUERY"
    )


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM interrupt the block as Ctrl-C does, then restore the previous handler (of a notebook's kernel)."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def silent_decoders() -> Iterator[None]:
    """Drop what libtiff and others write to stderr, for a command that runs alone in its process."""
    if in_kernel() or sys.stderr is None:  # other threads write to it, or it is closed
        yield
        return
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as silence:
        os.dup2(silence.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def open_csv(file: Path | None) -> Iterator[TextIO]:
    """Yield the CSV to write: a file, replaced whole or not at all, or stdout, in UTF-8."""
    if file is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
    else:
        with replace_file(file) as partial, partial.open("w", encoding="utf-8", newline="") as table:
            yield table


def report_assumption(vectors: "Vectors") -> None:
    """Say on stderr if the network of vectors is assumed, and how to name another."""
    if vectors.assumption:
        click.echo(f"{escape_line(vectors.assumption)}; use --network to name another", err=True)


def report_place(collection: "Collection", given: Location | None) -> None:
    """Say on stderr if the folder of the images is missing; record a `given` folder with them in its place."""
    from similar_images.vectors.writer import record_place

    recorded, source = collection.vectors.images, collection.source
    if not isinstance(recorded, Path) or source is None or open_source(recorded).exists():
        return
    if given is None:
        remedy = "if it has moved, give its new place once with -d"
        click.echo(f"the images of this collection were in {escape_line(str(recorded))}: {remedy}", err=True)
    elif source.has_any(collection.names[:MAX_LOOKED_UP]):
        with suppress(OSError):  # its folder may be read-only
            record_place(collection.vectors.path, given)


def in_kernel() -> bool:
    """Return whether this runs in a notebook's cell."""
    return type(sys.stderr).__module__.startswith("ipykernel")


def this_command() -> str:
    """Return the command that resumes this one, for a shell or a notebook cell, without --overwrite."""
    in_notebook = hasattr(builtins, "__IPYTHON__")
    command = [part for part in (sys.argv if in_notebook else sys.orig_argv) if part != "--overwrite"]
    if in_notebook and Path(command[0]) == PACKAGE / "__main__.py":
        command[:1] = ["-m", PACKAGE.name]
    return f"%run {shlex.join(command)}" if in_notebook else shlex.join(command)
