"""Networks of the Hugging Face hub, or in a folder of the same form: found, downloaded, and checked before they are read.

Only safetensors, ONNX and JSON are read; a network that brings code of its own is refused.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from similar_images.files import sha256
from similar_images.networks.catalog import NetworkUnavailable
from similar_images.networks.extras import need

PREFIX = "hf:"
NAME = re.compile(r"hf:([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?")
CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
PREPARATIONS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = "tokenizer.json"
TOKENS = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json")
VOCABULARIES = (
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)  # without tokenizer.json
ONNX_IMAGES = ("onnx/vision_model.onnx", "onnx/model.onnx")  # the first that is there
ONNX_WORDS = "onnx/text_model.onnx"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
LFS_NAME = re.compile("[0-9a-f]{64}")  # of a blob in the hub's cache: its SHA-256
Tell = Callable[[str], object]


class HubNetwork(NamedTuple):
    """The files of a network, checked."""

    folder: Path
    name: str  # hf:OWNER/NAME, or the name of the folder
    revision: str | None  # the commit; None: a folder that is not from the hub
    weights: str  # SHA-256 of the file of weights, or of each of several

    def config(self, *names: str) -> dict[str, Any]:
        """Return the first of these JSON files that is there, empty if none is."""
        for name in names:
            if (self.folder / name).is_file():
                return json.loads((self.folder / name).read_text(encoding="utf-8"))
        return {}


def is_hub_network(network: str) -> bool:
    """Return whether a name is of the hub, or of a folder with a network of its form."""
    return network.startswith(PREFIX) or (Path(network) / CONFIG).is_file()


def split(network: str) -> tuple[str, str | None]:
    """Return OWNER/NAME and the revision, None if it is not given. Raises ValueError for what is no name of the hub."""
    matched = NAME.fullmatch(network)
    if matched is None or ".." in network:
        raise ValueError(f"expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, got {network}")
    return matched[1], matched[2]


def recorded_name(network: str) -> str:
    """Return the name that manifests record of a network: without its revision, of a folder only its name."""
    if network.startswith(PREFIX):
        return PREFIX + split(network)[0]
    return Path(network).resolve().name if is_hub_network(network) else network


def folder_of(network: str) -> Path | None:
    """Return the folder of a network that is not named by the hub, for a manifest to record; None for any other."""
    return Path(network) if is_hub_network(network) and not network.startswith(PREFIX) else None


def find(network: str, download: bool, tell: Tell = lambda sentence: None) -> HubNetwork:
    """Return the files of a network by its name on the hub, or in a folder; with `download` they are fetched if needed.

    `tell` gets what is downloaded and how large it is, before. Raises NetworkUnavailable if the files are not here and
    cannot be fetched, ValueError if they are not a network or are refused.
    """
    if not network.startswith(PREFIX):
        folder = Path(network)
        return HubNetwork(folder, recorded_name(network), None, _checked(folder, folder))
    repository, revision = split(network)
    folder = _downloaded(network, repository, revision, tell) if download else _cached(network, repository, revision)
    checked = _checked(folder, folder.parent.parent)
    return HubNetwork(folder, PREFIX + repository, folder.name, checked)


def _cached(network: str, repository: str, revision: str | None) -> Path:
    hub = need("huggingface_hub", "hub", network)
    try:
        return Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:  # the library's own errors are subclasses of these
        raise NetworkUnavailable(
            f"{network} is not on this machine: run `similar-images extract --network {network}` where there is internet "
            f"access, or give its folder"
        ) from error


def _downloaded(network: str, repository: str, revision: str | None, tell: Tell) -> Path:
    hub = need("huggingface_hub", "hub", network)
    try:
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
    except hub.errors.RepositoryNotFoundError as error:
        raise NetworkUnavailable(
            f"{network} is not on the hub, or needs a token in HF_TOKEN: check its name"
        ) from error
    except hub.errors.RevisionNotFoundError as error:
        raise NetworkUnavailable(f"{network}: there is no such revision") from error
    except Exception as error:  # offline: what is here is used. The library raises errors of several HTTP libraries
        try:
            return _cached(network, repository, revision)
        except NetworkUnavailable:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise NetworkUnavailable(
                f"{network} is not on this machine and cannot be downloaded ({reason}): give the folder of a copy"
            ) from error
    sizes = {one.rfilename: one.size or 0 for one in info.siblings or ()}
    wanted = _wanted(network, sizes)
    missing = [
        name for name in wanted if not isinstance(hub.try_to_load_from_cache(repository, name, revision=info.sha), str)
    ]
    if missing:
        megabytes = sum(sizes[name] for name in missing) / 1e6
        tell(f"downloading {network}, revision {info.sha}: {len(missing)} files, {megabytes:,.1f} MB")
    try:
        return Path(hub.snapshot_download(repository, revision=info.sha, allow_patterns=wanted))
    except Exception as error:  # as above
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NetworkUnavailable(
            f"the download of {network} failed ({reason}): rerun the same command to go on"
        ) from error


def _wanted(network: str, names: Iterable[str]) -> list[str]:
    """Return the files that are read of those in a repository. Raises ValueError if its weights are none that are read."""
    names = set(names)
    wanted = [name for name in (CONFIG, *PREPARATIONS, *TOKENS) if name in names]
    if TOKENIZER not in names:
        wanted += [name for name in VOCABULARIES if name in names]
    shards = sorted(name for name in names if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name))
    if WEIGHTS in names:
        return [*wanted, WEIGHTS]
    if SHARDS in names and shards:
        return [*wanted, SHARDS, *shards]
    images = next((name for name in ONNX_IMAGES if name in names), None)
    if images is None:
        raise ValueError(f"{network} has neither {WEIGHTS} nor {ONNX_IMAGES[0]}: other files may contain code")
    return [*wanted, images, *(name for name in (ONNX_WORDS,) if name in names)]


def _checked(folder: Path, within: Path) -> str:
    """Return the SHA-256 of the weights in a folder. Raises ValueError if it is no network, or may contain code."""
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is not a network of the hub's form: it has no {CONFIG}")
    files = sorted(file for file in folder.rglob("*") if not file.is_dir())
    for file in files:
        if not file.resolve().is_relative_to(within.resolve()):
            raise ValueError(f"{file} leads out of the folder and is not read: put the file itself there")
        if file.suffix in PICKLES and folder == within:  # the hub's cache has files for others, which are not read here
            raise ValueError(f"{file} may contain code: only safetensors and ONNX are read; remove it")
    for name in (CONFIG, *PREPARATIONS, *TOKENS):
        if (folder / name).is_file():
            _check_config(folder / name)
    weights = _weights(folder)
    sums = [sha256(file) for file in weights]
    for file, total in zip(weights, sums, strict=True):
        blob = file.resolve().name
        if file.is_symlink() and LFS_NAME.fullmatch(blob) and blob != total:
            raise ValueError(
                f"{file} was altered: expected the SHA-256 {blob}, got {total}; delete it and download again"
            )
    return " ".join(sums)


def _check_config(file: Path) -> None:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as JSON") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file}: expected an object, got {type(config).__name__}")
    for part in (config, *(one for one in config.values() if isinstance(one, dict))):
        if "auto_map" in part:
            raise ValueError(f"{file} asks for code of its own (auto_map), which is not run: choose another network")


def _weights(folder: Path) -> list[Path]:
    """Return the files of weights. Raises ValueError if there are none, or if they are outside of the folder."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / SHARDS).is_file():
        names = json.loads((folder / SHARDS).read_text(encoding="utf-8")).get("weight_map", {}).values()
        shards = [folder / name for name in sorted(set(map(str, names)))]
        if shards and all(
            file.parent == folder and file.suffix == ".safetensors" and file.is_file() for file in shards
        ):
            return shards
        raise ValueError(f"{folder / SHARDS} names files that are not there: download the network again")
    own = [folder / name for name in (*ONNX_IMAGES, ONNX_WORDS) if (folder / name).is_file()]
    if not own or own[0].name == Path(ONNX_WORDS).name:
        raise ValueError(f"{folder} has no weights that are read: expected {WEIGHTS} or {ONNX_IMAGES[0]}")
    return own
