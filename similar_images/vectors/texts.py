"""Encodes texts block by block, sorted by length within a block."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from similar_images.events import Event, Progress, Skipped, ignore
from similar_images.inputs.texts import rejection_reason
from similar_images.networks import text as text_networks
from similar_images.networks.text import TextEncoder
from similar_images.vectors.extract import STEP, Block, EncodedBlock
from similar_images.vectors.items import Items
from similar_images.vectors.manifest import Runtime

BLOCK = 2048  # texts
MAX_SHOWN_CHARS = 60  # of a skipped text


@dataclass(frozen=True)
class TextExecutor:
    """Runs a network for texts in this process; None: as recorded with the existing rows, or the default."""

    choice: str = text_networks.DEFAULT  # a name, or a folder
    engine: str | None = None
    precision: str | None = None

    @property
    def network(self) -> None:
        return None

    @property
    def files(self) -> dict[str, Path | None]:
        return {"model": Path(self.choice) if Path(self.choice).is_dir() else None}

    @contextmanager
    def start(self, items: Items, recorded: Runtime, progress: Progress) -> Iterator["TextBlockEncoder"]:
        precision = self.precision or recorded.precision or "float32"
        engine = self.engine or recorded.name or text_networks.fastest_engine()
        encoder = text_networks.load_text_network(self.choice, engine, precision)
        yield TextBlockEncoder(encoder, Runtime(encoder.engine.name, precision), len(items.names), progress)


class TextBlockEncoder:
    """Encodes blocks of texts; empty and huge texts are skipped."""

    block_size = BLOCK

    def __init__(self, encoder: TextEncoder, runtime: Runtime, n: int, progress: Progress = ignore):
        self.description, self.runtime = encoder.description, runtime
        self._encoder, self._n, self._progress = encoder, n, progress

    def encode(self, blocks: Iterable[Block]) -> Generator[EncodedBlock]:
        """Yield each block encoded, then report texts beyond the length of the network's input.

        Raises ValueError for NaN or infinity.
        """
        truncated = 0
        for rows, texts in blocks:
            skipped = [
                Skipped(row, shorten(text), reason)
                for row, text in zip(rows, texts, strict=True)
                if (reason := rejection_reason(text))
            ]
            unread = {entry.row for entry in skipped}
            good = [i for i, row in enumerate(rows) if row not in unread]
            vectors = np.zeros((len(rows), self._encoder.dimension), dtype=np.float32)
            if good:
                some = [texts[i] for i in good]
                lengths = self._encoder.lengths(some)
                truncated += int((lengths > self._encoder.tokens).sum())
                vectors[good] = self._encoder.encode(some, lengths, self._count_from(rows[0]))
            if not np.isfinite(vectors).all():
                raise ValueError(
                    f"expected finite numbers from the network, got NaN or infinity in rows {rows[0]} to {rows[-1]}"
                )
            yield EncodedBlock(rows, vectors, skipped)
        if truncated:
            limit = f"the network's input, {self._encoder.tokens} tokens"
            self._progress(Event(note=f"{truncated} texts are longer than {limit}: the rest is ignored"))

    def _count_from(self, first: int) -> Callable[[int], None]:
        """Return a function that reports the texts of each batch within a block."""
        done = first

        def count(texts: int) -> None:
            nonlocal done
            done += texts
            self._progress(Event(STEP, done, self._n))

        return count


def shorten(text: str) -> str:
    """Return the beginning of a text, for reports."""
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 3]}..."
