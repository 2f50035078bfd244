"""Images to vectors: decode in the background, encode in batches, write after each batch; resumable."""

import csv
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from similar_images.events import Skipped
from similar_images.files import replace_file
from similar_images.inputs import images
from similar_images.inputs.formats import SUFFIXES
from similar_images.inputs.names import escape_line, find_line_error, is_blank, read_names, show_examples, to_csv_cell
from similar_images.inputs.sources import Location, Source, digest_image, location_title, open_source
from similar_images.networks import batch_size, loader
from similar_images.networks.catalog import Encoder
from similar_images.networks.hub_files import Tell
from similar_images.vectors.decode_pool import Begun, decoders, default_workers
from similar_images.vectors.store import list_path
from similar_images.vectors.writer import Writer

CHECKPOINT_SECONDS = 1  # about so much work is repeated after a kill
CHECKPOINT_SHARE = 0.02  # of the time goes to checkpoints, at most
EMPTY_LINE = "an empty line in the list"
LINES = 1000  # of a list without images in which the first fault is looked for
AHEAD = 32  # images decoded while the network computes, at least
AHEAD_PER_WORKER = 4


class Images(NamedTuple):
    list_file: Path
    names: list[str]  # line i is row i
    notes: list[str]  # what was left out of a folder or archive, or of a list, a sentence for each kind
    source: Source  # opened once: listing, extraction and the report of skipped images share it


def list_images(
    list_file: Path | None, place: Location | None, output: Path | None = None, allow_outside: bool = False
) -> Images:
    """Return the images of a list, or else of a folder or archive: those listed by an earlier run, then the new ones,
    sorted.

    A folder's list is beside the `output`, or in the current folder, and is not written here. Names and links that lead
    out of the `place` are not read without `allow_outside`; the paths of a list without a `place` are taken as they are.
    Raises ValueError if there are none.
    """
    source = open_source(place or Path(), allow_outside or place is None)
    if list_file is not None:
        names = read_names(list_file)
        if not source.has_any(names):
            raise ValueError(
                f"expected paths of images in {source.path.absolute()}, got none in {list_file}: "
                f"{_list_fault(names, source, place is not None)}"
            )
        blank = [f"line {row + 1}" for row, name in enumerate(names) if is_blank(name)]
        notes = [f"ignored {len(blank)} blank lines of {list_file}: {show_examples(blank)}"] if blank else []
        return Images(list_file, names, notes, source)
    if place is None:
        raise ValueError("expected a list of images (-l), a folder or archive of images (-d), or both")
    found = source.find()
    if not found.names:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise ValueError("; ".join([f"no image in {place}: expected files ending in {suffixes}", *found.notes()]))
    list_file = list_path(output) if output else Path(f"{location_title(place)}_file_list.txt")
    listed = read_names(list_file) if list_file.exists() else []
    there = set(found.names)
    known = {name if name in there else source.match_name(name) for name in listed}
    return Images(list_file, listed + [name for name in found.names if name not in known], found.notes(), source)


def _list_fault(names: list[str], source: Source, has_place: bool) -> str:
    """Return why no name of a list is an image, for the first name that tells, and the remedy."""
    lines = [(row + 1, name) for row, name in enumerate(names[:LINES]) if not is_blank(name)]
    for line, name in lines:
        if fault := find_line_error(name):
            return f"line {line}, {escape_line(name)!r:.200}, has {fault}"
    line, name = lines[0] if lines else (1, "")
    if source.join(name) is None:
        return f"line {line}, {escape_line(name)!r:.200}, leads outside; --allow-outside reads it"
    remedy = "is there another folder for -d?" if has_place else "name their folder with -d"
    return f"line {line} is {escape_line(name)!r:.200}; {remedy}"


Names = list[str] | Mapping[int, str]  # by row
Encoded = tuple[list[int], np.ndarray, list[Skipped]]  # rows (b,), their vectors (b, d), what was skipped


def load_encoder(
    recorded: dict,
    network: str,
    model_file: Path | None = None,
    weights_file: Path | None = None,
    resampling: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    max_memory: int = batch_size.MAX_MEMORY,
    tell: Tell = lambda sentence: None,
) -> tuple[Encoder, dict]:
    """Load a network as it computed the rows that are there (`recorded`: `Writer.engine`), unless told otherwise.

    Returns it with the name of its backend, the precision and the batch, as `Writer.begin` takes them. Raises as
    loader.load does.
    """
    precision = precision or recorded.get("precision", "float32")
    backend = engine or recorded.get("name") or loader.fastest_engine(network, precision)
    encoder = loader.load(network, model_file, weights_file, resampling, backend, precision, threads, tell=tell)
    batch = batch or recorded.get("batch") or batch_size.default(encoder.engine.name, max_memory)
    return encoder, {"name": encoder.engine.name, "precision": precision, "batch": batch}


def extract(
    names: list[str],
    place: Location | Source,
    encoder: Encoder,
    writer: Writer,
    batch: int = 8,
    limits: images.Limits = images.LIMITS,
    retry_skipped: bool = False,
    progress: Callable[[int, list[Skipped]], None] = lambda rows, skipped: None,
    workers: int | None = None,
) -> None:
    """Write the vectors that `writer`, on which `begin` was called, does not have yet; an unreadable image is zeros.

    `place` is the folder or archive that contains the names. With `retry_skipped`, skipped images are retried first.
    After each batch `progress` gets the number of new rows and the images that were skipped. `workers` is the number
    of processes that decode; None: as many as the cores allow. The network always gets a full batch, padded where
    images are missing, so that a vector does not depend on the other images.
    Raises ValueError if the network gives NaN or infinity, OSError if the folder or archive disappears.
    """
    blocks = due(writer, len(names), batch, retry_skipped)
    write(encoded(names, open_source(place), encoder, batch, limits, workers, blocks), writer, progress)


def due(writer: Writer, n: int, batch: int, retry_skipped: bool = False) -> Iterator[Iterable[int]]:
    """Yield the blocks of rows to compute: with `retry_skipped` those that were skipped, then all that are not done."""
    again = [entry.row for entry in writer.skipped] if retry_skipped else []
    yield from (again[start : start + batch] for start in range(0, len(again), batch))
    yield from _blocks(writer.rows_done, n, batch)


def write(
    computed: Generator[Encoded], writer: Writer, progress: Callable[[int, list[Skipped]], None] = lambda *_: None
) -> None:
    """Write the blocks of `due` as they are computed, in order, and finish; what is computed is closed."""
    checkpoint_due = monotonic() + CHECKPOINT_SECONDS
    try:
        with closing(computed):
            for rows, vectors, skipped in computed:
                is_retry = bool(rows) and rows[0] < writer.rows_done
                if is_retry:
                    writer.replace(rows, vectors, skipped)
                else:
                    writer.write(vectors, skipped)
                if (began := monotonic()) > checkpoint_due:
                    writer.checkpoint()
                    checkpoint_due = monotonic() + max(CHECKPOINT_SECONDS, (monotonic() - began) / CHECKPOINT_SHARE)
                if not is_retry:
                    progress(len(rows), skipped)
    finally:
        writer.finish()


def encoded(
    names: list[str],
    source: Source,
    encoder: Encoder,
    batch: int,
    limits: images.Limits = images.LIMITS,
    workers: int | None = None,
    blocks: Iterable[Iterable[int]] | None = None,
) -> Generator[Encoded]:
    """Yield rows (b,), their vectors (b, d), zeros for what cannot be read, and what was skipped, batch after batch.

    `blocks` are the rows of each batch, by default all in order. Close the generator to end the processes that decode.
    Raises as `extract` does.
    """
    with BatchEncoder(source, encoder, batch, limits, workers) as encode:
        yield from encode(names, blocks or _blocks(0, len(names), batch))


class BatchEncoder:
    """Encodes images of a source batch after batch, with processes that decode until the `with` block ends."""

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        batch: int,
        limits: images.Limits = images.LIMITS,
        workers: int | None = None,
        known: str = "",
    ):
        """`known` is a name that the source holds: if an image cannot be read, neither that one, the source is gone."""
        workers = workers or default_workers()
        self._source, self._encoder, self._batch, self._known = source, encoder, batch, known
        self._ahead = max(AHEAD, AHEAD_PER_WORKER * workers)
        self._pool = decoders(source, encoder, self._ahead + 2 * batch, limits, workers)

    def __enter__(self) -> "BatchEncoder":
        self._decoders = self._pool.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._pool.__exit__(*error)

    def __call__(self, names: Names, blocks: Iterable[Iterable[int]]) -> Iterator[Encoded]:
        """Yield what `encoded` yields for these blocks of rows; `names` may be those of the blocks alone."""
        for rows, pixels in self._decoded(names, blocks):
            yield rows, *_encode(self._encoder, names, rows, pixels, self._batch)

    def _decoded(self, names: Names, blocks: Iterable[Iterable[int]]) -> Iterator[tuple[list[int], list]]:
        """Yield blocks of rows and their pixels, or the reason why there are none, decoded ahead. Raises OSError."""
        ahead: deque[tuple[list[int], Begun]] = deque()
        for block in chain(blocks, [None]):
            if block is not None:
                rows = list(block)
                ahead.append((rows, self._decoders.begin([names[row] for row in rows if not is_blank(names[row])])))
            while ahead and (block is None or sum(len(rows) for rows, _ in ahead) > self._ahead + len(ahead[0][0])):
                rows, begun = ahead.popleft()
                decoded = iter(self._decoders.result(begun))
                pixels = [images.UnreadableImage(EMPTY_LINE) if is_blank(names[row]) else next(decoded) for row in rows]
                for row, image in zip(rows, pixels, strict=True):
                    if isinstance(image, np.ndarray):
                        self._known = names[row]
                    elif not self._source.exists() or not self._source.exists(self._known):
                        raise FileNotFoundError(
                            f"{self._source.path / self._known} is missing: restore it and rerun to resume"
                        )
                yield rows, pixels


def write_skipped(
    path: Path, place: Location | Source, skipped: list[Skipped], limits: images.Limits = images.LIMITS
) -> None:
    """Write a CSV of the skipped images: name, reason, bytes and SHA-256.

    A file that is missing has neither bytes nor SHA-256; one that is larger than the limit has no SHA-256.
    """
    source = open_source(place)
    with replace_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason", "bytes", "sha256"))
        for entry in skipped:
            rows.writerow(
                (to_csv_cell(entry.name), to_csv_cell(entry.reason), *_size_and_digest(source, entry.name, limits))
            )


def _size_and_digest(source: Source, name: str, limits: images.Limits) -> tuple[int | str, str]:
    try:
        size = source.size(name)
        return digest_image(source, name) if size <= limits.bytes else (size, "")
    except (OSError, ValueError):  # missing, unreadable, or a name that no file can have
        return "", ""


def _blocks(done: int, n: int, batch: int) -> Iterator[range]:
    """Yield the rows from `done` to `n` in blocks that begin at multiples of `batch`.

    So a batch of the same images gives the same bytes, and a run that was killed ends like an unbroken one.
    """
    yield from (range(*edges) for edges in pairwise([done, *range(done - done % batch + batch, n, batch), n]))


def _with_line(reason: str, row: int, name: str) -> str:
    """Return the reason for a skipped image; if it is not found, with the fault of its line in the list."""
    fault = find_line_error(name) if reason.startswith("no such file") else None
    return f"{reason}: line {row + 1} has {fault}" if fault else reason


def _encode(
    encoder: Encoder, names: Names, rows: list[int], pixels: list, batch: int
) -> tuple[np.ndarray, list[Skipped]]:
    """Return vectors (b, d), zeros for what could not be read, and what was skipped."""
    vectors = np.zeros((len(rows), encoder.dimension), dtype=np.float32)
    skipped = [
        Skipped(row, names[row], _with_line(str(reason), row, names[row]))
        for row, reason in zip(rows, pixels, strict=True)
        if isinstance(reason, images.UnreadableImage)
    ]
    good = [i for i, image in enumerate(pixels) if isinstance(image, np.ndarray)]
    if good:
        full = np.zeros(
            (batch, *encoder.preparation.shape), dtype=np.uint8
        )  # backends compute other last digits in other batches
        full[: len(good)] = [pixels[i] for i in good]
        vectors[good] = encoder.encode(full)[: len(good)]
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        name = names[rows[int(np.argmin(finite))]]
        raise ValueError(f"the network gave NaN or infinity for {name}: expected finite numbers; check its weights")
    return vectors, skipped
