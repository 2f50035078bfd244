"""Texts to vectors: encoded in batches and written block by block; resumable."""

from collections.abc import Callable

import numpy as np

from similar_images.events import Skipped
from similar_images.inputs.texts import rejection_reason
from similar_images.networks.text import TextEncoder
from similar_images.vectors.writer import Writer

BLOCK = 2048  # texts that are sorted by length, encoded and written together; repeated after a kill
SHOWN = 60  # characters of a text that a report names


def extract(
    texts: list[str],
    encoder: TextEncoder,
    writer: Writer,
    progress: Callable[[int, list[Skipped]], None] = lambda rows, skipped: None,
) -> int:
    """Write the vectors of the texts that are not done in `writer`, after its `begin`; an empty or huge text gets zeros.

    After each batch `progress` gets the number of new rows and those that were skipped. Blocks begin at multiples of
    BLOCK, so that a resumed run gives the same bytes as an uninterrupted one.
    Returns the number of texts that are longer than the network's input. Raises ValueError if it returns NaN.
    """
    longer, n = 0, len(texts)
    try:
        for first in range(writer.rows_done // BLOCK * BLOCK, n, BLOCK):
            rows = range(max(first, writer.rows_done), min(first + BLOCK, n))
            skipped = [
                Skipped(row, shown(texts[row]), reason) for row in rows if (reason := rejection_reason(texts[row]))
            ]
            progress(len(skipped), skipped)
            good = np.setdiff1d(rows, [entry.row for entry in skipped])
            some = [texts[row] for row in good]
            vectors = np.zeros((len(rows), encoder.dimension), dtype=np.float32)
            if some:
                lengths = encoder.lengths(some)
                longer += int((lengths > encoder.tokens).sum())
                vectors[good - rows[0]] = encoder.encode(some, lengths, lambda batch: progress(batch, []))
            if not np.isfinite(vectors).all():
                raise ValueError(
                    f"expected finite numbers from the network, got NaN or infinity in rows {rows[0]} to {rows[-1]}"
                )
            writer.write(vectors, skipped)
            writer.checkpoint()
    finally:
        writer.finish()
    return longer


def shown(text: str) -> str:
    """Return the beginning of a text, as reports show it."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
