"""Networks of the Hugging Face hub, or in a folder of the same form: named, found, downloaded, and checked."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from similar_images.networks import hub_checks
from similar_images.networks.catalog import NetworkUnavailable
from similar_images.networks.description import NetworkDescription
from similar_images.networks.hub_checks import CONFIG, GIT_SHA1, ONNX_IMAGES, ONNX_WORDS, SHARDS, SMALL
from similar_images.networks.telemetry import import_huggingface_hub

PREFIX = "hf:"
NAME = re.compile(r"hf:([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?", re.ASCII)
SECONDS = 30  # for the hub's answer which files a network has
Tell = Callable[[str], object]


class HubNetwork(NamedTuple):
    """The files of a network, checked."""

    folder: Path
    name: str  # hf:OWNER/NAME, or the name of the folder
    revision: str | None  # the commit; None: a folder that is not from the hub
    weights: str  # SHA-256 of the file of weights, or of each of several
    files: str  # SHA-256 over all files that are read

    @property
    def version(self) -> str:
        """What tells it from other networks of the same name."""
        return self.revision or self.files

    def config(self, *names: str) -> dict[str, Any]:
        """Return the first of these JSON files that is there, empty if none is."""
        for name in names:
            if (self.folder / name).is_file():
                return hub_checks.read_config(self.folder / name)
        return {}


def is_hub_network(network: str) -> bool:
    """Return whether a name is of the hub, or of a folder with a network of its form."""
    return network.startswith(PREFIX) or (Path(network) / CONFIG).is_file()


def split(network: str) -> tuple[str, str | None]:
    """Return OWNER/NAME and the revision, None if it is not given. Raises ValueError for what is no name of the hub."""
    matched = NAME.fullmatch(network)
    if matched is None or ".." in network or "--" in matched[1]:  # as the hub itself, whose cache has -- for the slash
        raise ValueError(f"expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, got {network}")
    return matched[1], matched[2]


def recorded_name(network: str) -> str:
    """Return the name that manifests record of a network: without its revision, of a folder only its name."""
    if network.startswith(PREFIX):
        return PREFIX + split(network)[0]
    return Path(network).resolve().name if is_hub_network(network) or "/" in network else network


def versioned(description: NetworkDescription) -> str:
    """Return the name of a described network, with its commit if it is of the hub."""
    return f"{description.name}@{description.revision}" if description.revision else description.name


def folder_of(network: str) -> Path | None:
    """Return the folder of a network that is not named by the hub, for a manifest to record; None for any other."""
    return Path(network) if is_hub_network(network) and not network.startswith(PREFIX) else None


def find(network: str, download: bool, tell: Tell = lambda sentence: None) -> HubNetwork:
    """Return the files of a network by its name on the hub, or in a folder; with `download` they are fetched if needed.

    A commit whose files are here needs no internet access. `tell` gets what is downloaded and how large it is, before.
    Raises NetworkUnavailable if the files are not here and cannot be fetched, ValueError if they are not a network or
    are refused.
    """
    if not network.startswith(PREFIX):
        folder = Path(network)
        return HubNetwork(folder, recorded_name(network), None, *hub_checks.check(folder, folder))
    repository, revision = split(network)
    try:
        if download and not (revision and GIT_SHA1.fullmatch(revision)):
            raise NetworkUnavailable  # a branch may have moved
        folder = _cached(network, repository, revision)
    except NetworkUnavailable:
        if not download:
            raise
        folder = _downloaded(network, repository, revision, tell)
    return HubNetwork(folder, PREFIX + repository, folder.name, *hub_checks.check(folder, folder.parent.parent))


def _cached(network: str, repository: str, revision: str | None) -> Path:
    """Return the folder of a network in the hub's cache. Raises NetworkUnavailable if it is not there, or incomplete."""
    hub = import_huggingface_hub()
    try:
        # With names, the library raises an error if the network has more of them than are here.
        given = {"revision": revision, "local_files_only": True}
        folder = Path(hub.snapshot_download(repository, **given, allow_patterns=list(SMALL)))
        weights = hub_checks.weights_of(folder)
        if weights[0].relative_to(folder).as_posix() in ONNX_IMAGES:
            hub.snapshot_download(repository, **given, allow_patterns=[ONNX_WORDS])
        return folder
    except (OSError, ValueError) as error:  # the library's own errors are subclasses of these
        raise NetworkUnavailable(
            f"{network} is not on this machine: run `similar-images extract --network {network}` where there is internet "
            f"access, or give its folder"
        ) from error


def _downloaded(network: str, repository: str, revision: str | None, tell: Tell) -> Path:
    hub = import_huggingface_hub()
    try:
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=SECONDS)
    except hub.errors.GatedRepoError as error:
        raise NetworkUnavailable(
            f"{network} is gated: accept its conditions on its page of the hub, and set HF_TOKEN to a token of yours"
        ) from error
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
            raise NetworkUnavailable(
                f"{network} is not on this machine and cannot be downloaded ({_reason(error)}): give the folder of a copy"
            ) from error
    sizes = {one.rfilename: one.size or 0 for one in info.siblings or ()}
    names = hub_checks.wanted(network, sizes)
    for name in {*names} & {*SMALL, SHARDS}:
        hub_checks.check_size(f"{network}: {name}", sizes[name])
    missing = [
        name for name in names if not isinstance(hub.try_to_load_from_cache(repository, name, revision=info.sha), str)
    ]
    if not (sys.stderr and sys.stderr.isatty()):
        hub.utils.disable_progress_bars()
    if missing:
        megabytes = sum(sizes[name] for name in missing) / 1e6
        tell(f"downloading {network}, revision {info.sha}: {len(missing)} files, {megabytes:,.1f} MB")
    try:  # by the name of the branch, so that it is found by that name without internet access
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=names))
    except Exception as error:  # as above
        raise NetworkUnavailable(
            f"the download of {network} failed ({_reason(error)}): rerun the same command, which keeps the files that are complete"
        ) from error


def _reason(error: Exception) -> str:
    """Return an error of the library in one line, without the user's token."""
    reason, token = " ".join(str(error).split()) or type(error).__name__, import_huggingface_hub().get_token()
    return (reason.replace(token, "...") if token else reason)[:300]
