"""Texts to vectors: encode in batches, write as it goes; resumable."""

from collections.abc import Callable

import numpy as np

from similar_images.inputs.texts import fault
from similar_images.networks.text import TextEncoder
from similar_images.vectors.store import Skipped
from similar_images.vectors.writer import Writer

BLOCK = 2048  # texts that are sorted by length, encoded and written together; done again after a kill
SHOWN = 60  # characters of a text that a report names


def extract(
    texts: list[str],
    encoder: TextEncoder,
    writer: Writer,
    progress: Callable[[int, list[Skipped]], None] = lambda rows, skipped: None,
) -> int:
    """Write the vector of every text that `writer`, already begun, has not; the row of an empty or huge one is zeros.

    After each batch `progress` gets the number of new rows and those that were skipped. Blocks begin at multiples of
    BLOCK, so that a run that was killed ends with the bytes of an unbroken one.
    Returns the number of texts that are longer than the network sees. Raises ValueError where it gives NaN.
    """
    longer, n = 0, len(texts)
    try:
        for first in range(writer.rows_done // BLOCK * BLOCK, n, BLOCK):
            rows = range(max(first, writer.rows_done), min(first + BLOCK, n))
            skipped = [Skipped(row, shown(texts[row]), reason) for row in rows if (reason := fault(texts[row]))]
            progress(len(skipped), skipped)
            good = np.setdiff1d(rows, [entry.row for entry in skipped])
            some = [texts[row] for row in good]
            vectors = np.zeros((len(rows), encoder.dimension), dtype=np.float32)
            if some:
                lengths = encoder.lengths(some)
                longer += int((lengths > encoder.tokens).sum())
                vectors[good - rows[0]] = encoder.encode(some, lengths, lambda batch: progress(batch, []))
            if not np.isfinite(vectors).all():
                raise ValueError(f"the network gave NaN or infinity in rows {rows[0]} to {rows[-1]}: expected numbers")
            writer.write(vectors, skipped)
            writer.checkpoint()
    finally:
        writer.finish()
    return longer


def shown(text: str) -> str:
    """Return what a report names of a text."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
