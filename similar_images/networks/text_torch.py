"""Networks of sentence-transformers computed with PyTorch."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from similar_images.inputs.names import one_line
from similar_images.networks.extras import need

FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # of a network on the hub: no code, no pickles


class TorchText:
    """Encodes texts with PyTorch, through sentence-transformers."""

    name = "torch"

    def __init__(self, model: Any):
        self.model = model
        self.tokens, self.dimension = model.max_seq_length, model.get_embedding_dimension()

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.asarray(self.model.encode(texts, batch_size=len(texts), show_progress_bar=False))

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text before truncation, int (b,)."""
        return np.array([len(ids) for ids in self.model.tokenizer(texts, verbose=False)["input_ids"]], dtype=int)


def load_sentence_transformer(folder: Path) -> Any:
    """Return the SentenceTransformer in a folder; only safetensors are read, and code in the folder never runs."""
    need("transformers", "text", folder.name)
    with silence():
        library = need("sentence_transformers", "text", folder.name)
        try:
            return library.SentenceTransformer(
                str(folder), trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # the library raises anything for a damaged or missing file
            raise ValueError(
                f"{folder} cannot be loaded as a network of sentence-transformers: {one_line(error)}"
            ) from error


@contextmanager
def silence() -> Iterator[None]:
    """Suppress messages of transformers about its own code: short progress bars, deprecations, traces."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # also turns off a warning about forks
    messages: Any = import_module("transformers.utils.logging")
    level, bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity(logging.ERROR)
    messages.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        messages.set_verbosity(level)
        if bars:
            messages.enable_progress_bar()
