"""Networks of the hub, ready to encode images and words: exported to ONNX once, then computed without PyTorch.

An export is a folder in the user's cache. It is made from files that are checked, by a process of its own, and compared
with the network that it comes from.

Shape letters: b images or texts in a batch, t tokens, d numbers in a vector.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
from joblib import cpu_count
from tokenizers import Tokenizer

from similar_images import forks
from similar_images.files import hold_lock, mismatch, read_json, replace_folder, sha256, write_json
from similar_images.inputs import preparation
from similar_images.inputs.preparation import Preparation
from similar_images.networks import hub_files
from similar_images.networks.catalog import Encoder, has_gpu_device
from similar_images.networks.description import IMAGES as IMAGES_ONLY
from similar_images.networks.description import IMAGES_AND_WORDS, NetworkDescription, reads_words
from similar_images.networks.hub_checks import CONFIG, ONNX_WORDS, PREPARATIONS, SHARDS, WEIGHTS
from similar_images.networks.hub_files import HubNetwork, Tell
from similar_images.networks.onnx import BACKENDS, IDS, MASK, OUTPUT, OnnxExport, open_session
from similar_images.spawn import hide_main

FORMAT = "similar-images hub network 1"
IMAGES, WORDS, TOKENIZER, MANIFEST = "images.onnx", "words.onnx", "tokenizer.json", "network.json"
FORM: dict[str, Any] = {
    "description": {
        **{"name": str, "revision": str | None, "files": str | None, "reads": str, "dimension": int, "weights": str},
    },
    "preparation": dict,
    "sha256": dict,
}
ENGINES = ("onnxruntime", "openvino", "torch")


class HubExport(NamedTuple):
    """The folder of a network that was exported, and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def description(self) -> NetworkDescription:
        return NetworkDescription.from_json(self.manifest["description"])


class Words:
    """Computes vectors of words with ONNX Runtime, as the network was trained to read them."""

    def __init__(self, folder: Path):
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._session = open_session(folder / WORDS, cpu_count())
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._one_at_a_time = forks.new_lock()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors (b, d)."""
        with self._one_at_a_time:
            encodings = self._tokenizer.encode_batch(list(texts))
        ids, masks = [one.ids for one in encodings], [one.attention_mask for one in encodings]
        given = dict(zip((IDS, MASK), (ids, masks), strict=True))
        return self._session.run([OUTPUT], {name: np.array(given[name], dtype=np.int64) for name in self._inputs})[0]


class HubEncoder(Encoder):
    """A network of the hub, ready to encode images, and words if it reads them."""

    def __init__(self, engine: Any, export: HubExport):
        super().__init__(engine, _preparation(export.manifest), export.description)
        self.words = Words(export.folder) if reads_words(export.description) else None

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return super().encode_texts(texts) if self.words is None else self.words(texts)


def load(
    network: str,
    engine: str | None = None,
    precision: str = "float32",
    threads: int | None = None,
    download: bool = False,
    tell: Tell = lambda sentence: None,
) -> HubEncoder:
    """Load a network by its name on the hub, or from a folder.

    `engine`: one of ENGINES; the default is PyTorch if it is installed and there is a GPU, else ONNX Runtime (OpenVINO
    for half precision). With `download` the files are fetched if they are not here; `tell` gets their size before.
    Raises ValueError if the files are refused or are no network that can be computed, NetworkUnavailable if they are
    not here, MissingExtra if a package is not installed.
    """
    engine = engine or fastest_engine(precision)
    if engine not in ENGINES:
        raise ValueError(f"expected the engine of {network} to be {', '.join(ENGINES)}, got {engine}")
    export = find_or_create_export(network, download, tell)
    if engine == "torch":
        from similar_images.networks.hub_torch import TorchImages

        exported = hub_files.versioned(export.description) if export.description.revision else network
        files = hub_files.find(exported, download, tell)
        return HubEncoder(TorchImages(files, _prepared(files)[1], precision), export)
    images = OnnxExport(export.folder / IMAGES, export.description.weights or "")
    return HubEncoder(BACKENDS[engine](images, precision, threads), export)


def is_here(description: NetworkDescription) -> bool:
    """Return whether the network of a manifest can be loaded without a download."""
    if description.revision:
        return _find_recorded(hub_files.versioned(description)) is not None
    return description.source == "folder"


def fastest_engine(precision: str = "float32") -> str:
    """Return the fastest backend of this machine for a network of the hub."""
    if has_gpu_device() and find_spec("torch") and find_spec("transformers"):
        import torch

        if torch.cuda.is_available():
            return "torch"
    return "onnxruntime" if precision == "float32" else "openvino"


def find_or_create_export(network: str, download: bool = False, tell: Tell = lambda sentence: None) -> HubExport:
    """Return the export of a network; several processes may call this at once. Raises as `load` does."""
    if (export := _find_recorded(network)) is not None:
        return export
    files = hub_files.find(network, download, tell)
    folder = _folder(files.name, files.version)
    if export := _find(folder, files.name):
        return export
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder, wait=True):
        if export := _find(folder, files.name):  # created by another process meanwhile
            return export
        tell(f"exporting {files.name} to ONNX, once: this takes seconds to minutes")
        export = _exported(files, folder)
    if not reads_words(export.description) and _should_read_words(files):
        tell(f"{files.name} reads words, but has no tokenizer that can be used here: it will encode images only")
    return export


def _exported(files: HubNetwork, folder: Path) -> HubExport:
    """Return the new export of a network. The export needs several times its memory, which is freed with the process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        with hide_main():
            exporting = process.submit(_export, files, folder)
        try:
            return exporting.result()
        except BrokenProcessPool as error:
            raise OSError(
                f"the export of {files.name} was stopped, perhaps for lack of memory: choose a smaller network"
            ) from error


def _should_read_words(files: HubNetwork) -> bool:
    return bool(files.config(CONFIG).get("text_config")) or (files.folder / ONNX_WORDS).is_file()


def _find_recorded(network: str) -> HubExport | None:
    """Return the export of a name on the hub with its revision, which needs no other file."""
    if not network.startswith(hub_files.PREFIX):
        return None
    repository, revision = hub_files.split(network)
    name = hub_files.PREFIX + repository
    return _find(_folder(name, revision), name, revision) if revision else None


def _folder(name: str, version: str) -> Path:
    """Return where the export of a network is, by its commit or the SHA-256 of its files."""
    plain = name.removeprefix(hub_files.PREFIX).replace("/", "--")
    return platformdirs.user_cache_path("similar-images") / f"{plain}-{version[:40].replace('/', '-')}"


def _find(folder: Path, name: str, revision: str | None = None) -> HubExport | None:
    """Return the export of a network in a folder; None if there is none, or it is damaged."""
    try:
        manifest = read_json(folder / MANIFEST, FORMAT)
        if mismatch(manifest, FORM) or _digests(folder) != manifest["sha256"]:
            return None
        _preparation(manifest)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    known = manifest["description"]
    return (
        HubExport(folder, manifest)
        if (known["name"], revision or known["revision"]) == (name, known["revision"])
        else None
    )


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in (IMAGES, WORDS, TOKENIZER) if (folder / name).is_file()}


def _preparation(manifest: dict[str, Any]) -> Preparation:
    known = manifest["preparation"]
    return Preparation(**known | {"resized": known["resized"] and tuple(known["resized"])})


def _prepared(network: HubNetwork) -> tuple[Preparation, tuple[float, list[float], list[float]]]:
    """Return how images are prepared, and how their pixels are scaled. Raises ValueError for what is not possible here."""
    config = network.config(*PREPARATIONS)
    if not config:
        raise ValueError(f"{network.name} does not say how images are prepared: expected a {PREPARATIONS[0]}")
    nested = config.get("image_processor")
    config = nested if isinstance(nested, dict) else config
    try:
        return preparation.parse_config(config), preparation.parse_scaling(config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{network.name}: its {PREPARATIONS[0]} {error}") from error


def _export(network: HubNetwork, folder: Path) -> HubExport:
    """Write the export of a network whose files are checked. Raises ValueError if it computes other vectors."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # this process reads what was checked, whatever a configuration asks for
    prepared, scaling = _prepared(network)
    with replace_folder(folder) as partial:
        if (network.folder / WEIGHTS).is_file() or (network.folder / SHARDS).is_file():
            from similar_images.networks import hub_torch as source
        else:
            from similar_images.networks import hub_onnx as source  # type: ignore[no-redef]
        layer, d = source.write(network, prepared, scaling, partial / IMAGES, partial / WORDS, partial / TOKENIZER)
        description = NetworkDescription(
            name=network.name,
            source="huggingface" if network.revision else "folder",
            revision=network.revision,
            files=None if network.revision else network.files,
            layer=layer,
            reads=IMAGES_AND_WORDS if (partial / WORDS).is_file() else IMAGES_ONLY,
            dimension=d,
            **prepared.describe(),
            resampling=prepared.resampling,
            jpeg="whole",
            preprocessing=f"(x * {scaling[0]:.6g} - {scaling[1]}) / {scaling[2]}",
            weights=network.weights,
            nulls=frozenset({"revision", "files", "resized"}),
        )
        manifest = {
            "description": description.to_json(),
            "preparation": prepared._asdict(),
            "sha256": _digests(partial),
        }
        write_json(partial / MANIFEST, {"format": FORMAT, **manifest})
    return HubExport(folder, manifest)
