"""Names of networks on the Hugging Face hub or in a local folder of the same form; their files, downloaded on request."""

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from similar_images.events import Event, Progress, ignore
from similar_images.inputs.names import one_line
from similar_images.networks import hub_checks
from similar_images.networks.catalog import NetworkUnavailable
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_checks import CONFIG, GIT_SHA1, ONNX_IMAGES, ONNX_WORDS, SHARDS, SMALL_FILES
from similar_images.networks.telemetry import import_huggingface_hub

PREFIX = "hf:"
IMAGES, WORDS = "images.onnx", "words.onnx"  # files of an export, beside the tokenizer
# Factor, mean (3,) and standard deviation (3,) of pixels: inputs are (pixels * factor - mean) / deviation
Scaling = tuple[float, list[float], list[float]]
NAME = re.compile(r"hf:([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?", re.ASCII)
TIMEOUT = 30  # seconds, for the list of a network's files


class HubNetwork(NamedTuple):
    """A network whose files are on this machine and checked."""

    folder: Path
    name: str  # hf:OWNER/NAME, or the name of the folder
    revision: str | None  # the commit; None for a local folder
    weights: str  # SHA-256 of each file of weights
    files: str  # SHA-256 over all files

    @property
    def version(self) -> str:
        """The commit, or the checksum of a local folder."""
        return self.revision or self.files

    def config(self, *names: str) -> hub_checks.Config:
        """Return the content of the first existing JSON file of these; empty if none exists."""
        for name in names:
            if (self.folder / name).is_file():
                return hub_checks.read_config(self.folder / name)
        return {}


def is_hub_network(network: str) -> bool:
    """Return whether a name is from the hub, or a folder with a network in the hub's form."""
    return network.startswith(PREFIX) or (Path(network) / CONFIG).is_file()


def split_name(network: str) -> tuple[str, str | None]:
    """Return OWNER/NAME and the revision, None without one. Raises ValueError for an invalid hub name."""
    matched = NAME.fullmatch(network)
    if matched is None or ".." in network or "--" in matched[1]:  # as on the hub, whose cache has -- for the slash
        raise ValueError(f"expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, got {network}")
    return matched[1], matched[2]


def recorded_name(network: str) -> str:
    """Return the name of a network in manifests: without its revision, and for a folder only its last part."""
    if network.startswith(PREFIX):
        return PREFIX + split_name(network)[0]
    return Path(network).resolve().name if is_hub_network(network) or "/" in network else network


def versioned_name(description: NetworkDescription) -> str:
    """Return the name of a network, with its commit if it is from the hub."""
    return f"{description.name}@{description.revision}" if description.revision else description.name


def local_folder(network: str) -> Path | None:
    """Return the folder of a network in the hub's form, for a manifest to record; None for any other network."""
    return Path(network) if is_hub_network(network) and not network.startswith(PREFIX) else None


def find(network: str, download: bool, progress: Progress = ignore) -> HubNetwork:
    """Return the files of a network on the hub or in a folder; missing files are fetched only with `download`.

    A commit in the cache needs no internet access. `progress` gets a note with the size before a download.
    Raises NetworkUnavailable if files are missing and cannot be fetched, ValueError if they are refused.
    """
    if not network.startswith(PREFIX):
        folder = Path(network)
        return HubNetwork(folder, recorded_name(network), None, *hub_checks.check_folder(folder, folder))
    repository, revision = split_name(network)
    try:
        if download and not (revision and GIT_SHA1.fullmatch(revision)):
            raise NetworkUnavailable  # a branch may have moved
        folder = _find_cached(network, repository, revision)
    except NetworkUnavailable:
        if not download:
            raise
        folder = _download(network, repository, revision, progress)
    digests = hub_checks.check_folder(folder, folder.parent.parent)
    return HubNetwork(folder, PREFIX + repository, folder.name, *digests)


def _find_cached(network: str, repository: str, revision: str | None) -> Path:
    """Return the folder of a network in the hub's cache. Raises NetworkUnavailable if it is missing or incomplete."""
    hub = import_huggingface_hub()
    try:
        # The library raises an error if a named file is missing here but known to exist in the repository.
        given = {"revision": revision, "local_files_only": True}
        folder = Path(hub.snapshot_download(repository, **given, allow_patterns=list(SMALL_FILES)))
        weights = hub_checks.find_weights(folder)
        if weights[0].relative_to(folder).as_posix() in ONNX_IMAGES:
            hub.snapshot_download(repository, **given, allow_patterns=[ONNX_WORDS])
        return folder
    except (OSError, ValueError) as error:  # the library's own errors are subclasses of these
        raise NetworkUnavailable(
            f"{network} is not on this machine: run `similar-images extract --network {network}` with internet access, "
            f"or give its folder"
        ) from error


def _download(network: str, repository: str, revision: str | None, progress: Progress) -> Path:
    hub = import_huggingface_hub()
    try:
        info = _fetch_info(network, repository, revision)
    except ConnectionError as error:
        try:
            return _find_cached(network, repository, revision)
        except NetworkUnavailable:
            raise NetworkUnavailable(
                f"{network} is not on this machine and cannot be downloaded ({error}): give the folder of a copy"
            ) from error
    sizes = {one.rfilename: one.size or 0 for one in info.siblings or ()}
    names = hub_checks.select_files(network, sizes)
    for name in {*names} & {*SMALL_FILES, SHARDS}:
        hub_checks.check_size(f"{network}: {name}", sizes[name])
    missing = [
        name for name in names if not isinstance(hub.try_to_load_from_cache(repository, name, revision=info.sha), str)
    ]
    if not (sys.stderr and sys.stderr.isatty()):
        hub.utils.disable_progress_bars()
    if missing:
        megabytes = sum(sizes[name] for name in missing) / 1e6
        note = f"downloading {network}, revision {info.sha}: {len(missing)} files, {megabytes:,.1f} MB"
        progress(Event(note=note))
    try:  # by the name of the branch, so that the cache also finds it by that name
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=names))
    except Exception as error:  # as in _fetch_info
        raise NetworkUnavailable(
            f"the download of {network} failed ({_reason(error)}): rerun the same command, which keeps complete files"
        ) from error


def _fetch_info(network: str, repository: str, revision: str | None) -> Any:
    """Return the hub's list of a network's files. Raises ConnectionError if the hub does not answer."""
    hub = import_huggingface_hub()
    try:
        return hub.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT)
    except hub.errors.GatedRepoError as error:
        raise NetworkUnavailable(
            f"{network} is gated: accept its conditions on its page of the hub, and set HF_TOKEN to a token of yours"
        ) from error
    except hub.errors.RepositoryNotFoundError as error:
        raise NetworkUnavailable(
            f"the hub has no {network}, or it needs a token in HF_TOKEN: check its name"
        ) from error
    except hub.errors.RevisionNotFoundError as error:
        raise NetworkUnavailable(f"{network}: there is no such revision") from error
    except Exception as error:  # the library raises errors of several HTTP libraries
        raise ConnectionError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return an error of the library in one line, without the user's token."""
    reason, token = one_line(error, limit=None), import_huggingface_hub().get_token()
    return (reason.replace(token, "...") if token else reason)[:300]
