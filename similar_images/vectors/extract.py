"""Extraction, the only pipeline from images or texts to rows on disk: list, decode, encode, append.

Row i is line i. Shape letters: b items per block, d numbers per vector.
"""

import csv
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol

import numpy as np

from similar_images.events import Event, Progress, Skipped, ignore
from similar_images.files import replace_file
from similar_images.inputs.images import LIMITS, OVER_LIMIT, Limits, UnreadableImage
from similar_images.inputs.names import find_line_error, is_blank, to_csv_cell
from similar_images.inputs.sources import Source, digest_image
from similar_images.networks import loader
from similar_images.networks.catalog import MAX_BATCH_MEMORY, Encoder, default_batch
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_files import local_folder
from similar_images.networks.loader import LoadOptions
from similar_images.vectors.decode_pool import DecodePool, default_workers
from similar_images.vectors.file_records import to_array
from similar_images.vectors.items import Items
from similar_images.vectors.manifest import Runtime
from similar_images.vectors.store import open_array, skipped_path, vectors_path
from similar_images.vectors.writer import Writer

STEP = "vectors"  # of events
CHECKPOINT_SECONDS = 1  # of work are repeated after a kill, about
COPY_ROWS = 1024  # copied at once
CHECKPOINT_SHARE = 0.02  # of the time is spent on checkpoints, at most


class Block(NamedTuple):
    """Items to encode together."""

    rows: Sequence[int]
    names: list[str]


class EncodedBlock(NamedTuple):
    """The vectors of a block, in its order."""

    rows: Sequence[int]
    vectors: np.ndarray  # float32 (b, d); zeros for skipped items
    skipped: list[Skipped]
    records: np.ndarray | None = None  # of the files, file_records.DTYPE (b,); None for texts


class BlockEncoder(Protocol):
    """A loaded network that decodes and encodes blocks of items."""

    description: NetworkDescription
    runtime: Runtime
    block_size: int  # items

    def encode(self, blocks: Iterable[Block]) -> Generator[EncodedBlock]:
        """Yield each block encoded, in order."""


class Executor(Protocol):
    """Loads a network and runs it: in this process, on a Ray cluster, or for texts."""

    @property
    def network(self) -> str | None:
        """The name of the network, compared before it is loaded; None: compared after loading."""

    @property
    def files(self) -> Mapping[str, Path | None]:
        """The files of the network, for the manifest."""

    def start(self, items: Items, recorded: Runtime, progress: Progress) -> AbstractContextManager[BlockEncoder]:
        """Load the network, with the `recorded` runtime of existing rows unless the user chose another."""


@dataclass(frozen=True)
class Options:
    dtype: str | None = None  # of the vectors on disk; None: as the existing rows, or float32
    overwrite: bool = False
    retry_skipped: bool = False
    verify: bool = True  # compare the network with the existing rows even if no row is missing
    verbose: bool = False  # report the description of the network


class Stopped(KeyboardInterrupt):
    """An interrupted extraction, which can be resumed; the message has the number of complete rows."""


def extract(
    items: Items, output: Path, executor: Executor, options: Options | None = None, progress: Progress = ignore
) -> None:
    """Write the missing vectors of the items to `output`; skipped items get zeros and are reported.

    Raises ValueError if the existing rows have another network, list or place, or if the network returns NaN or
    infinity, OSError if the output cannot be written or the images disappear, Stopped after an interrupt.
    """
    options = options or Options()
    if output.resolve() == items.list_file.resolve():
        raise ValueError(f"{output} is the list: choose another name for the vectors, such as {vectors_path(output)}")
    for note in items.notes:
        progress(Event(note=note))
    writer = Writer(output, items.list_file, items.names, items.place, options.overwrite, items.allow_outside)
    if items.exclude is not None:
        writer.exclude = items.exclude
    if executor.network is not None:
        writer.check_name(executor.network)
    retries = options.retry_skipped and bool(writer.skipped)
    is_complete = writer.is_complete and not retries
    if not is_complete and not retries and writer.network and _are_copies(items, writer):
        writer.begin(writer.network, executor.files, options.dtype, writer.runtime)
        append(_copy(items, range(writer.rows_done, len(items.names)), output), writer, items, progress)
    elif options.verify or not is_complete:
        with executor.start(items, writer.runtime, progress) as encoder:
            if options.verbose:
                for key, value in encoder.description.to_json().items():
                    progress(Event(note=f"{key}: {value}"))
            writer.check(encoder.description)
            if not is_complete:
                _note_older_decoding(writer, progress)
                writer.begin(encoder.description, executor.files, options.dtype, encoder.runtime, retries)
                blocks = pending_blocks(writer, items.names, encoder.block_size, options.retry_skipped)
                append(_encode(blocks, items, output, encoder), writer, items, progress)
    if is_complete:
        writer.record_settings()
        if options.verify:
            n = len(items.names)
            progress(Event(note=f"{output} is already complete, {n} rows; use --overwrite to rebuild"))
    else:
        report(items, output, writer.skipped, progress)


def pending_blocks(writer: Writer, names: list[str], size: int, retry_skipped: bool = False) -> Iterator[Block]:
    """Yield the blocks to encode: with `retry_skipped` the skipped rows first, then all missing rows."""
    retried = [entry.row for entry in writer.skipped] if retry_skipped else []
    for start in range(0, len(retried), size):
        rows = retried[start : start + size]
        yield Block(rows, [names[row] for row in rows])
    yield from split_into_blocks(names, size, writer.rows_done)


def _are_copies(items: Items, writer: Writer) -> bool:
    """Return whether all missing rows have the content of earlier rows, so that no network is needed."""
    return writer.rows_done > 0 and all(row in items.copies for row in range(writer.rows_done, len(items.names)))


def _encode(blocks: Iterable[Block], items: Items, output: Path, encoder: BlockEncoder) -> Generator[EncodedBlock]:
    """Yield the blocks in order: copied rows as they are, and other rows encoded."""
    if not items.copies:
        yield from encoder.encode(blocks)
        return
    rows = chain.from_iterable(block.rows for block in blocks)
    for is_copied, group in groupby(rows, items.copies.__contains__):
        some = list(group)
        if is_copied:
            yield from _copy(items, some, output)
        else:
            names = [items.names[row] for row in some]
            size = encoder.block_size
            starts = range(0, len(some), size)
            with closing(
                encoder.encode(Block(some[at : at + size], names[at : at + size]) for at in starts)
            ) as encoded:
                yield from encoded


def _copy(items: Items, rows: Sequence[int], output: Path) -> Generator[EncodedBlock]:
    """Yield rows with the vectors of the earlier rows that have the same content."""
    array = open_array(output)
    for start in range(0, len(rows), COPY_ROWS):
        some = rows[start : start + COPY_ROWS]
        copies = [items.copies[row] for row in some]
        vectors = np.array(array[[copy.row for copy in copies]], np.float32)
        yield EncodedBlock(some, vectors, [], to_array(copy.record for copy in copies))


def split_into_blocks(names: list[str], size: int, first: int = 0) -> Iterator[Block]:
    """Yield the rows from `first` on in blocks that begin at multiples of `size`.

    So a resumed run encodes the same blocks, and ends with the same bytes, as an uninterrupted one.
    """
    n = len(names)
    for start, stop in pairwise([first, *range(first - first % size + size, n, size), n]):
        if start < stop:
            yield Block(range(start, stop), names[start:stop])


def append(encoded: Generator[EncodedBlock], writer: Writer, items: Items, progress: Progress = ignore) -> None:
    """Write encoded blocks in order, with a checkpoint about every second, and close the output."""
    n, retried = len(items.names), writer.rows_done
    checkpoint_due = monotonic() + CHECKPOINT_SECONDS
    progress(Event(STEP, writer.rows_done))
    try:
        with closing(encoded):
            for rows, vectors, skipped, records in encoded:
                if len(rows) and rows[0] < retried:
                    writer.replace(rows, vectors, skipped, records)
                else:
                    writer.append(vectors, skipped, records)
                    progress(Event(STEP, writer.rows_done, n, tuple(skipped)))
                if (now := monotonic()) > checkpoint_due:
                    writer.checkpoint()
                    checkpoint_due = monotonic() + max(CHECKPOINT_SECONDS, (monotonic() - now) / CHECKPOINT_SHARE)
    except KeyboardInterrupt:
        raise Stopped(f"stopped after {writer.rows_done} of {n} {items.kind}") from None
    finally:
        writer.finish()


def report(items: Items, output: Path, skipped: list[Skipped], progress: Progress = ignore) -> None:
    """Report the number of skipped items, and list skipped images beside the vectors."""
    total, remedy = len(items.names), ""
    if items.source is not None:
        total = sum(not is_blank(name) for name in items.names)
        skipped = [entry for entry in skipped if not is_blank(entry.name)]
        path = skipped_path(output)
        if skipped:
            write_skipped(path, items.source, skipped, items.limits)
            remedy = f": see {path}; use --retry-skipped to retry them"
            if any(OVER_LIMIT in entry.reason for entry in skipped):
                remedy += ", and raise --max-pixels or --max-bytes to include oversized images"
        else:
            path.unlink(missing_ok=True)
    progress(Event(note=f"{total - len(skipped)} of {total} {items.kind}, {len(skipped)} skipped{remedy}"))


def write_skipped(path: Path, source: Source, skipped: list[Skipped], limits: Limits = LIMITS) -> None:
    """Write a CSV of the skipped images: name, reason, bytes and SHA-256.

    Missing files have neither bytes nor SHA-256; files above the limit have no SHA-256.
    """
    with replace_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason", "bytes", "sha256"))
        for entry in skipped:
            cells = to_csv_cell(entry.name), to_csv_cell(entry.reason)
            rows.writerow((*cells, *_size_and_digest(source, entry.name, limits)))


def _size_and_digest(source: Source, name: str, limits: Limits) -> tuple[int | str, str]:
    try:
        size = source.size(name)
        return digest_image(source, name) if size <= limits.bytes else (size, "")
    except (OSError, ValueError):  # missing, unreadable, or an impossible file name
        return "", ""


def _note_older_decoding(writer: Writer, progress: Progress) -> None:
    if writer.has_older_decoding:
        note = (
            f"{writer.path} was made by an earlier version, which ignored colour profiles: its rows stay as they are; "
            f"use --overwrite to recompute them"
        )
        progress(Event(note=note))


@dataclass(frozen=True)
class NetworkChoice:
    """A network and its runtime; None: as recorded with the existing rows, or the default."""

    name: str
    model_file: Path | None = None
    weights_file: Path | None = None
    resampling: str | None = None
    engine: str | None = None
    precision: str | None = None
    threads: int | None = None
    batch: int | None = None  # images
    max_memory: int = MAX_BATCH_MEMORY  # bytes, for the default batch

    @property
    def files(self) -> dict[str, Path | None]:
        return {"model": self.model_file or local_folder(self.name), "weights": self.weights_file}

    def load(self, recorded: Runtime, progress: Progress = ignore) -> tuple[Encoder, Runtime]:
        """Return the network and its runtime. Raises as loader.load does."""
        precision = self.precision or recorded.precision or "float32"
        engine = self.engine or recorded.name or loader.fastest_engine(self.name, precision)
        options = LoadOptions(self.model_file, self.weights_file, self.resampling, engine, precision, self.threads)
        encoder = loader.load(self.name, options, progress)
        batch = self.batch or recorded.batch or default_batch(encoder.engine.name, self.max_memory)
        return encoder, Runtime(encoder.engine.name, precision, batch)


@dataclass(frozen=True)
class LocalExecutor:
    """Runs a network for images in this process, and decodes in others."""

    choice: NetworkChoice
    workers: int | None = None  # processes that decode; None: as many as the cores allow

    @property
    def network(self) -> str:
        return self.choice.name

    @property
    def files(self) -> dict[str, Path | None]:
        return self.choice.files

    @contextmanager
    def start(self, items: Items, recorded: Runtime, progress: Progress) -> Iterator[BlockEncoder]:
        if items.source is None:
            raise ValueError(f"expected images, got the texts of {items.list_file}")
        encoder, runtime = self.choice.load(recorded, progress)
        workers = self.workers or default_workers(self.choice.threads)
        with ImageEncoder(items.source, encoder, runtime, items.limits, workers) as images:
            yield images


class ImageEncoder:
    """Decodes images of a source ahead, in other processes, and encodes them block by block."""

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        runtime: Runtime,
        limits: Limits = LIMITS,
        workers: int | None = None,
        known: str = "",
    ):
        """`known` is the name of an existing image: if it is missing, the whole source is."""
        self.description, self.runtime = encoder.description, runtime
        self.block_size = runtime.batch or default_batch(encoder.engine.name)
        self._source, self._encoder, self._known = source, encoder, known
        self._pool = DecodePool(source, encoder.preparation, self.block_size, limits, workers)

    def __enter__(self) -> "ImageEncoder":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.close()

    def encode(self, blocks: Iterable[Block]) -> Generator[EncodedBlock]:
        """Yield each block encoded. Raises ValueError for NaN or infinity, OSError if the source disappears."""
        for (rows, names), decoded in self._pool.decode(blocks):
            pixels = [image.pixels for image in decoded]
            self._check_source(names, pixels)
            vectors = np.zeros((len(rows), self.description.dimension), dtype=np.float32)
            good = {i: image for i, image in enumerate(pixels) if isinstance(image, np.ndarray)}
            if good:  # a full batch: in smaller ones backends compute other last digits
                batch = np.zeros((self.block_size, *self._encoder.preparation.shape), dtype=np.uint8)
                batch[: len(good)] = list(good.values())
                vectors[list(good)] = self._encoder.engine(batch)[: len(good)]
            _check_finite(vectors, names)
            skipped = [
                Skipped(row, name, _with_line(str(image), row, name))
                for row, name, image in zip(rows, names, pixels, strict=True)
                if isinstance(image, UnreadableImage)
            ]
            yield EncodedBlock(rows, vectors, skipped, to_array(image.record for image in decoded))

    def _check_source(self, names: list[str], pixels: list[np.ndarray | UnreadableImage]) -> None:
        """Raise FileNotFoundError if an image is unreadable because the whole source is missing."""
        for name, image in zip(names, pixels, strict=True):
            if isinstance(image, np.ndarray):
                self._known = name
            elif not self._source.exists() or not self._source.exists(self._known):
                path = self._source.path / self._known
                raise FileNotFoundError(f"{path} is missing: restore it and rerun to resume")


def _check_finite(vectors: np.ndarray, names: list[str]) -> None:
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        name = names[int(np.argmin(finite))]
        raise ValueError(f"the network gave NaN or infinity for {name}: expected finite numbers; check its weights")


def _with_line(reason: str, row: int, name: str) -> str:
    """Return the reason for a skipped image; if it is missing, with the fault of its line in the list."""
    fault = find_line_error(name) if reason.startswith("no such file") else None
    return f"{reason}: line {row + 1} has {fault}" if fault else reason
