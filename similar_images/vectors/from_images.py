"""Images to vectors: decode in the background, encode in batches, write as it goes; resumable."""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np

from similar_images.files import replacing
from similar_images.inputs import images
from similar_images.inputs.names import read_names
from similar_images.inputs.sources import Source, digest, open_source, title
from similar_images.networks.catalog import Encoder
from similar_images.vectors.decode_pool import Decoders, decoders
from similar_images.vectors.store import Skipped, list_path
from similar_images.vectors.writer import Writer

CHECKPOINT_SECONDS = 1  # about so much work is done again after a kill
CHECKPOINT_SHARE = 0.02  # of the time goes to checkpoints, at most
EMPTY_LINE = "an empty line in the list"
AHEAD = 32  # images decoded while the network works


class Images(NamedTuple):
    list_file: Path
    names: list[str]  # line i is row i
    unlistable: list[str]  # names in the folder that do not fit in a list


def list_images(list_file: Path | None, place: Path | None, output: Path | None = None) -> Images:
    """Return the images of a list, or else of a folder or archive: those listed on an earlier run, then the new ones,
    sorted.

    A folder's list is beside the `output`, or in the current folder, and is not written here.
    Raises ValueError where there are none.
    """
    source = open_source(place or Path())
    if list_file is not None:
        names = read_names(list_file)
        if not source.holds_any(names):
            raise ValueError(f"no line of {list_file} is a file in {source.path.absolute()}: is -d right?")
        return Images(list_file, names, [])
    if place is None:
        raise ValueError("expected a list of images (-l), a folder or archive of images (-d), or both")
    found = source.find()
    if not found.names:
        raise ValueError(f"there is no image in {place}: expected {', '.join(sorted(images.SUFFIXES))}")
    list_file = list_path(output) if output else Path(f"{title(place)}_file_list.txt")
    listed = read_names(list_file) if list_file.exists() else []
    known = set(listed)
    return Images(list_file, listed + [name for name in found.names if name not in known], found.unlistable)


def extract(
    names: list[str],
    place: Path,
    encoder: Encoder,
    writer: Writer,
    batch: int = 8,
    limits: images.Limits = images.LIMITS,
    retry_skipped: bool = False,
    progress: Callable[[int, list[Skipped]], None] = lambda rows, skipped: None,
) -> None:
    """Write the vector of every image that `writer`, already begun, has not; an unreadable image's row is zeros.

    `place` is the folder or archive that the names are of. With `retry_skipped` those that were skipped are tried again first. After each batch `progress` gets the
    number of new rows and those that were skipped.
    Raises ValueError where the network gives NaN or infinity, OSError where the place is gone.
    """
    source, due = open_source(place), monotonic() + CHECKPOINT_SECONDS
    try:
        with decoders(encoder, AHEAD + 2 * batch, limits) as pool:
            again = [entry.row for entry in writer.skipped] if retry_skipped else []
            blocks = chain(_chunks(again, batch), _blocks(writer.rows_done, len(names), batch))
            for rows, pixels in _decoded(names, source, limits, blocks, pool):
                vectors, skipped = _encode(encoder, names, rows, pixels)
                is_retry = bool(rows) and rows[0] < writer.rows_done
                if is_retry:
                    writer.replace(rows, vectors, skipped)
                else:
                    writer.write(vectors, skipped)
                if (began := monotonic()) > due:
                    writer.checkpoint()
                    due = monotonic() + max(CHECKPOINT_SECONDS, (monotonic() - began) / CHECKPOINT_SHARE)
                if not is_retry:
                    progress(len(rows), skipped)
    finally:
        writer.finish()


def write_skipped(path: Path, place: Path, skipped: list[Skipped]) -> None:
    """Write a CSV of the skipped images: name, reason, bytes and SHA-256, both empty where there is no file."""
    source = open_source(place)
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason", "bytes", "sha256"))
        for entry in skipped:
            try:
                known = digest(source, entry.name)
            except (OSError, images.UnreadableImage):
                known = "", ""
            rows.writerow((entry.name, entry.reason, *known))


def _blocks(done: int, n: int, batch: int) -> Iterator[range]:
    """Yield the rows from `done` to `n` in blocks that begin at multiples of `batch`.

    So a batch of the same images gives the same bytes, and a run that was killed ends like an unbroken one.
    """
    yield from (range(*edges) for edges in pairwise([done, *range(done - done % batch + batch, n, batch), n]))


def _chunks(rows: list[int], batch: int) -> Iterator[list[int]]:
    yield from (rows[start : start + batch] for start in range(0, len(rows), batch))


def _decoded(
    names: list[str], source: Source, limits: images.Limits, blocks: Iterable[Iterable[int]], pool: Decoders
) -> Iterator[tuple[list[int], list]]:
    """Yield blocks of rows and their pixels (or why there are none), decoded ahead. Raises OSError, see `extract`."""

    def begin(rows: list[int]) -> tuple:
        contents = [_content(source, names[row], limits) for row in rows]
        return contents, pool.begin([one for one in contents if not isinstance(one, images.UnreadableImage)])

    ahead = deque()
    read = ""  # the last image that could be read
    with ThreadPoolExecutor(1) as reader:  # the network does not wait for an archive
        for block in chain(blocks, [None]):
            if block is not None:
                rows = list(block)
                ahead.append((rows, reader.submit(begin, rows)))
            while ahead and (block is None or sum(len(rows) for rows, _ in ahead) > AHEAD + len(ahead[0][0])):
                rows, begun = ahead.popleft()
                contents, decoding = begun.result()
                decoded = iter(pool.result(decoding))
                pixels = [one if isinstance(one, images.UnreadableImage) else next(decoded) for one in contents]
                for row, image in zip(rows, pixels, strict=True):
                    if isinstance(image, np.ndarray):
                        read = names[row]
                    elif not source.exists() or not source.exists(read):
                        raise FileNotFoundError(
                            f"{source.path / read} is gone: bring it back, the same command goes on where this one "
                            f"stopped"
                        )
                yield rows, pixels


def _content(source: Source, name: str, limits: images.Limits) -> Path | bytes | images.UnreadableImage:
    try:
        return source.image(name, limits) if name else images.UnreadableImage(EMPTY_LINE)
    except images.UnreadableImage as error:
        return error


def _encode(encoder: Encoder, names: list[str], rows: list[int], pixels: list) -> tuple[np.ndarray, list[Skipped]]:
    """Return vectors (b, d), zeros for what could not be read, and what was skipped."""
    vectors = np.zeros((len(rows), encoder.network.dimension), dtype=np.float32)
    skipped = [
        Skipped(row, names[row], str(reason))
        for row, reason in zip(rows, pixels, strict=True)
        if isinstance(reason, images.UnreadableImage)
    ]
    good = [i for i, image in enumerate(pixels) if isinstance(image, np.ndarray)]
    if good:
        vectors[good] = encoder.encode(np.stack([pixels[i] for i in good]))
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        name = names[rows[int(np.argmin(finite))]]
        raise ValueError(f"the network gave NaN or infinity for {name}: expected numbers; are its weights damaged?")
    return vectors, skipped
