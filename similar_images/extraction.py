"""Images to vectors: decode in the background, encode in batches, write as it goes; resumable."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np

from similar_images import images
from similar_images.networks import Encoder
from similar_images.vectors import Skipped, Writer, list_path, read_names

CHECKPOINT_SECONDS = 1  # about so much work is done again after a kill
CHECKPOINT_SHARE = 0.02  # of the time goes to checkpoints, at most
BLOCKS_AHEAD = 3  # decoded while the network works
DECODERS = 2  # threads; Pillow decodes without Python's lock


class Images(NamedTuple):
    list_file: Path
    names: list[str]  # line i is row i
    unlistable: list[str]  # names in the folder that do not fit in a list


def list_images(list_file: Path | None, folder: Path | None, output: Path | None = None) -> Images:
    """Return the images of a list, or else of a folder: those listed on an earlier run, then the new ones, sorted.

    A folder's list is beside the `output`, or in the current folder, and is not written here.
    Raises ValueError where there are none.
    """
    if list_file is not None:
        names = read_names(list_file)
        if not any((folder or Path()).joinpath(name).is_file() for name in names if name):
            raise ValueError(f"no line of {list_file} is a file in {folder or Path().absolute()}: is -d right?")
        return Images(list_file, names, [])
    if folder is None:
        raise ValueError("expected a list of images (-l), a folder of images (-d), or both")
    found = images.find(folder)
    if not found.names:
        raise ValueError(f"there is no image in {folder}: expected {', '.join(sorted(images.SUFFIXES))}")
    list_file = list_path(output) if output else Path(f"{folder.resolve().name}_file_list.txt")
    listed = read_names(list_file) if list_file.exists() else []
    known = set(listed)
    return Images(list_file, listed + [name for name in found.names if name not in known], found.unlistable)


def extract(
    names: list[str],
    folder: Path,
    encoder: Encoder,
    writer: Writer,
    batch: int = 32,
    max_pixels: int = images.MAX_PIXELS,
    progress: Callable[[int, list[Skipped]], None] = lambda rows, skipped: None,
) -> None:
    """Write the vector of every image that `writer`, already begun, has not; an unreadable image's row is zeros.

    After each batch `progress` gets the number of rows and those that were skipped.
    Raises ValueError where the network gives NaN or infinity.
    """
    due = monotonic() + CHECKPOINT_SECONDS
    try:
        for rows, pixels in _blocks(names, folder, encoder, writer.rows_done, batch, max_pixels):
            vectors, skipped = _encode(encoder, names, rows, pixels)
            writer.write(vectors, skipped)
            if (began := monotonic()) > due:
                writer.checkpoint()
                due = monotonic() + max(CHECKPOINT_SECONDS, (monotonic() - began) / CHECKPOINT_SHARE)
            progress(len(rows), skipped)
    finally:
        writer.finish()


def _blocks(
    names: list[str], folder: Path, encoder: Encoder, done: int, batch: int, max_pixels: int
) -> Iterator[tuple[range, list]]:
    """Yield rows and their pixels (or why there are none), decoded ahead.

    Blocks begin at multiples of `batch` whatever row a run begins at: a batch of the same images gives the
    same bytes, so a run that was killed ends like an unbroken one.
    """

    def decode(row: int) -> np.ndarray | images.UnreadableImage:
        try:
            if not names[row]:
                raise images.UnreadableImage("an empty line in the list")
            return images.read(folder / names[row], encoder.network.side, encoder.resampling, max_pixels)
        except images.UnreadableImage as error:
            return error

    edges = [done, *range(done - done % batch + batch, len(names), batch), len(names)]
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decoder") as pool:
        ahead: deque[tuple[range, list[Future]]] = deque()
        try:
            for start, stop in pairwise(edges):
                ahead.append((range(start, stop), [pool.submit(decode, row) for row in range(start, stop)]))
                if len(ahead) > BLOCKS_AHEAD:
                    yield _decoded(ahead.popleft())
            while ahead:
                yield _decoded(ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _decoded(block: tuple[range, list[Future]]) -> tuple[range, list]:
    rows, futures = block
    return rows, [future.result() for future in futures]


def _encode(encoder: Encoder, names: list[str], rows: range, pixels: list) -> tuple[np.ndarray, list[Skipped]]:
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
