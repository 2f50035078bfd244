"""Networks of the hub, exported to ONNX once and then computed without PyTorch.

An export is a folder in the user's cache. A process of its own writes it from checked files and compares its vectors
with the original network.

Shape letters: b images or texts in a batch, t tokens, d numbers in a vector.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import platformdirs
from joblib import cpu_count
from tokenizers import Tokenizer

from similar_images import forks
from similar_images.events import Event, Progress, ignore
from similar_images.files import replace_folder, sha256
from similar_images.inputs.images import Preparation
from similar_images.networks import description as descriptions
from similar_images.networks import hub_files
from similar_images.networks.catalog import Backend, Encoder, torch_sees_gpu
from similar_images.networks.description import NetworkDescription, reads_words
from similar_images.networks.hub_checks import CONFIG, ONNX_WORDS, SHARDS, TOKENIZER, WEIGHTS
from similar_images.networks.hub_files import IMAGES, WORDS, HubNetwork
from similar_images.networks.hub_preparation import read_preparation
from similar_images.networks.onnx import (
    BACKENDS,
    OUTPUT,
    OnnxModel,
    create_once,
    export_in_process,
    open_session,
    to_tokens,
)
from similar_images.records import read_record, write_record

MANIFEST = "network.json"
ENGINES = ("onnxruntime", "openvino", "torch")


@dataclass(frozen=True, kw_only=True)
class HubManifest:
    """The manifest of an export."""

    FORMAT: ClassVar[str] = "similar-images hub network 1"
    description: NetworkDescription
    preparation: Preparation
    sha256: dict[str, str]  # by file


class HubExport(NamedTuple):
    """The folder of an exported network, and its manifest."""

    folder: Path
    manifest: HubManifest

    @property
    def description(self) -> NetworkDescription:
        return self.manifest.description


class WordEncoder:
    """Encodes words with ONNX Runtime."""

    def __init__(self, folder: Path):
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._session = open_session(folder / WORDS, cpu_count())
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._tokenizer_lock = forks.new_lock()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors (b, d)."""
        with self._tokenizer_lock:
            tokens = to_tokens(self._tokenizer.encode_batch(list(texts)))
        return np.asarray(self._session.run([OUTPUT], {name: tokens[name] for name in self._inputs})[0])


class HubEncoder(Encoder):
    """A network of the hub, ready to encode images and, if it reads words, texts."""

    def __init__(self, engine: Backend, export: HubExport):
        super().__init__(engine, export.manifest.preparation, export.description)
        self.words = WordEncoder(export.folder) if reads_words(export.description) else None

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return super().encode_texts(texts) if self.words is None else self.words(texts)


def load(
    network: str,
    engine: str | None = None,
    precision: str = "float32",
    threads: int | None = None,
    download: bool = False,
    progress: Progress = ignore,
) -> HubEncoder:
    """Load a network by its name on the hub, or from a folder.

    `engine` is one of ENGINES, by default the fastest. Missing files are fetched only with `download`.
    Raises ValueError if the files are refused or cannot be computed, NetworkUnavailable if they are missing,
    MissingExtra if a package is not installed.
    """
    engine = engine or fastest_engine(precision)
    if engine not in ENGINES:
        raise ValueError(f"expected the engine of {network} to be {', '.join(ENGINES)}, got {engine}")
    export = find_or_create_export(network, download, progress)
    if engine == "torch":
        from similar_images.networks.hub_torch import TorchImages

        name = hub_files.versioned_name(export.description) if export.description.revision else network
        files = hub_files.find(name, download, progress)
        return HubEncoder(TorchImages(files, read_preparation(files)[1], precision), export)
    images = OnnxModel(export.folder / IMAGES, export.description.weights or "")
    return HubEncoder(BACKENDS[engine](images, precision, threads), export)


def is_here(description: NetworkDescription) -> bool:
    """Return whether a network loads without a download."""
    if description.revision:
        return _find_commit(hub_files.versioned_name(description)) is not None
    return description.source == "folder"


def fastest_engine(precision: str = "float32") -> str:
    """Return PyTorch on a GPU, else ONNX Runtime, or OpenVINO for half precision."""
    if torch_sees_gpu() and find_spec("transformers"):
        return "torch"
    return "onnxruntime" if precision == "float32" else "openvino"


def find_or_create_export(network: str, download: bool = False, progress: Progress = ignore) -> HubExport:
    """Return the export of a network; several processes may call this at once. Raises as `load` does."""
    if (export := _find_commit(network)) is not None:
        return export
    files = hub_files.find(network, download, progress)
    folder = _export_folder(files.name, files.version)

    def create() -> HubExport:
        progress(Event(note=f"exporting {files.name} to ONNX, once: this takes seconds to minutes"))
        export = export_in_process(files.name, _export, files, folder)
        if not reads_words(export.description) and _should_read_words(files):
            note = f"{files.name} reads words, but has no usable tokenizer: it will encode images only"
            progress(Event(note=note))
        return export

    return create_once(folder, lambda: _find_export(folder, files.name), create)


def _should_read_words(files: HubNetwork) -> bool:
    return bool(files.config(CONFIG).get("text_config")) or (files.folder / ONNX_WORDS).is_file()


def _find_commit(network: str) -> HubExport | None:
    """Return the export of a hub name with its revision, which needs no other file."""
    if not network.startswith(hub_files.PREFIX):
        return None
    repository, revision = hub_files.split_name(network)
    name = hub_files.PREFIX + repository
    return _find_export(_export_folder(name, revision), name, revision) if revision else None


def _export_folder(name: str, version: str) -> Path:
    """Return the folder of an export, named after the network and its commit or the SHA-256 of its files."""
    plain = name.removeprefix(hub_files.PREFIX).replace("/", "--")
    return platformdirs.user_cache_path("similar-images") / f"{plain}-{version[:40].replace('/', '-')}"


def _find_export(folder: Path, name: str, revision: str | None = None) -> HubExport | None:
    """Return the export of a network in a folder; None if it is missing or damaged."""
    try:
        manifest = read_record(folder / MANIFEST, HubManifest)
        if _digests(folder) != manifest.sha256:
            return None
    except (OSError, ValueError):
        return None
    known = manifest.description
    if known.name != name or revision not in (None, known.revision):
        return None
    return HubExport(folder, manifest)


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in (IMAGES, WORDS, TOKENIZER) if (folder / name).is_file()}


def _export(network: HubNetwork, folder: Path) -> HubExport:
    """Write the export of a network with checked files. Raises ValueError if its vectors differ from the network's."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # whatever a configuration asks for, this process reads checked files only
    preparation, scaling = read_preparation(network)
    with replace_folder(folder) as partial:
        if (network.folder / WEIGHTS).is_file() or (network.folder / SHARDS).is_file():
            from similar_images.networks.hub_torch import export
        else:
            from similar_images.networks.hub_onnx import export
        layer, d = export(network, preparation, scaling, partial)
        description = NetworkDescription(
            name=network.name,
            source="huggingface" if network.revision else "folder",
            revision=network.revision,
            files=None if network.revision else network.files,
            layer=layer,
            reads=descriptions.IMAGES_AND_WORDS if (partial / WORDS).is_file() else descriptions.IMAGES,
            dimension=d,
            resized=_describe_resizing(preparation),
            cropped=f"{preparation.height} x {preparation.width}",
            resampling=preparation.resampling,
            jpeg="whole",
            preprocessing=f"(x * {scaling[0]:.6g} - {scaling[1]}) / {scaling[2]}",
            weights=network.weights,
            nulls=frozenset({"revision", "files", "resized"}),
        )
        manifest = HubManifest(description=description, preparation=preparation, sha256=_digests(partial))
        write_record(partial / MANIFEST, manifest)
    return HubExport(folder, manifest)


def _describe_resizing(preparation: Preparation) -> str | None:
    if preparation.shorter:
        return f"shorter side {preparation.shorter}"
    return "{} x {}".format(*preparation.resized) if preparation.resized else None
