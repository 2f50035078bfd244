"""Downloads from a hub on loopback: announced, resumed, pinned to a commit, used offline."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT
from hub_networks import save
from hub_server import Hub, serving
from huggingface_hub import constants

from similar_images.cli.main import main
from similar_images.networks import hub_files, text

FIND = """
import sys
from similar_images.networks import hub_files
hub_files.find(sys.argv[1], download=True)
"""
NAME, COMMIT = "hf:someone/net", "1" * 40
LARGE = 25_000_000  # bytes; the library writes a download to disk in parts of 10 MB
NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub, and an empty cache of downloads."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving() as hub:
        use_endpoint(monkeypatch, hub.url)
        yield hub


def use_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    path = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + path)
    monkeypatch.setattr(constants, "ENDPOINT", url)


@pytest.fixture
def network(tmp_path, hub) -> Path:
    """A repository with random weights, a pickle and other files."""
    folder = tmp_path / "repository"
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "vit"}')
    (folder / "preprocessor_config.json").write_text("{}")
    for name in ("README.md", "pytorch_model.bin", "onnx/model.onnx"):
        (folder / name).write_bytes(b"not read")
    (folder / "model.safetensors").write_bytes(np.random.default_rng(0).bytes(LARGE))
    hub.folders["someone/net"] = folder
    return folder


def find(name: str = NAME, download: bool = True) -> str:
    """Return the notes about a download, and the network or the error."""
    shown: list[str] = []
    try:
        found = hub_files.find(name, download, lambda event: shown.append(event.note))
        shown.append(f"{found.name} {found.revision} {found.folder}")
    except (OSError, ValueError) as error:
        shown.append(f"{type(error).__name__}: {error}")
    return "\n".join(shown)


def test_download_announces_its_size_and_pins_the_branch(hub, network):
    first, last = find().splitlines()
    assert first == f"downloading {NAME}, revision {COMMIT}: 3 files, 25.0 MB"
    assert last.startswith(f"{NAME} {COMMIT} ")
    folder = Path(last.split()[-1])
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "model.safetensors", "preprocessor_config.json"),
    }
    assert (folder / "model.safetensors").read_bytes() == (network / "model.safetensors").read_bytes()


@pytest.mark.parametrize("fetch", [find, lambda: text._folder("someone/net")], ids=["images", "texts"])
def test_requests_do_not_describe_the_machine(fetch, hub, network, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    fetch()
    assert hub.agents and not [agent for agent in hub.agents if "torch" in agent or "agent/" in agent]


def test_downloaded_network_needs_no_internet(hub, network, monkeypatch):
    find()
    expected = find()  # asks whether the branch has moved
    hub.requests.clear()
    assert find(f"{NAME}@{COMMIT}") == find(download=False) == expected
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find() == expected and hub.requests == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    use_endpoint(monkeypatch, NO_SERVER)
    assert find() == expected


def test_moved_branch_is_another_network(hub, network):
    find()
    hub.commit = "2" * 40
    (network / "config.json").write_text('{"model_type": "clip"}')
    assert f"{NAME} {hub.commit} " in find()
    assert f"{NAME} {COMMIT} " in find(f"{NAME}@{COMMIT}")


def test_broken_connection_is_resumed(hub, network):
    hub.breaks = 1
    assert f"{NAME} {COMMIT} " in find()
    ranges = [asked for method, path, asked in hub.requests if method == "GET" and path.endswith(".safetensors")]
    assert len(ranges) == 2 and ranges[1] == "bytes=10485760-"


def test_killed_download_keeps_complete_files_only(hub, network, tmp_path):
    hub.breaks = 10**6
    process = start_download(hub, tmp_path / "hf")
    while sum(path.endswith(".safetensors") for path in hub.asked()) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.breaks = 0
    hub.requests.clear()
    assert find(download=False) == (
        f"NetworkUnavailable: {NAME} is not on this machine: run `similar-images extract --network {NAME}` with "
        "internet access, or give its folder"
    )
    assert f"{NAME} {COMMIT} " in find()
    assert [path.rpartition("/")[2] for path in hub.asked() if "resolve" in path] == ["model.safetensors"]


def start_download(hub: Hub, home: Path) -> subprocess.Popen:
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FIND, NAME]
    return subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:someone/nothing", "the hub has no hf:someone/nothing, or it needs a token in HF_TOKEN: check its name"),
        (f"{NAME}@old", f"{NAME}@old: there is no such revision"),
        (f"{NAME}@{'3' * 40}", f"{NAME}@{'3' * 40}: there is no such revision"),
    ],
)
def test_unknown_name_or_revision(name, message, hub, network):
    assert find(name) == f"NetworkUnavailable: {message}"


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, "RepoNotFound", f"the hub has no {NAME}, or it needs a token in HF_TOKEN: check its name"),
        (403, "GatedRepo", f"{NAME} is gated: accept its conditions on its page of the hub, and set HF_TOKEN"),
        (400, "", f"{NAME} is not on this machine and cannot be downloaded ("),
    ],
)
def test_refusals_of_the_hub(status, error, message, hub, network, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.status, hub.error = status, error
    shown = find()
    assert shown.startswith(f"NetworkUnavailable: {message}")
    assert "\n" not in shown and "hf_secret" not in shown


def test_no_server(hub, monkeypatch):
    use_endpoint(monkeypatch, NO_SERVER)
    shown = find()
    assert shown.startswith(f"NetworkUnavailable: {NAME} is not on this machine and cannot be downloaded (")
    assert shown.endswith("): give the folder of a copy") and "\n" not in shown


def test_network_of_pickles_is_not_downloaded(hub, network):
    for name in ("model.safetensors", "onnx/model.onnx"):
        (network / name).unlink()
    assert find() == (
        f"ValueError: {NAME} has neither model.safetensors nor onnx/vision_model.onnx, and other files of weights may "
        "contain code: choose another network"
    )
    assert [path for path in hub.asked() if "resolve" in path] == []


def test_oversized_tokenizer_is_not_downloaded(hub, network):
    with (network / "tokenizer.json").open("wb") as file:
        file.truncate(65 * 10**6)
    assert find() == f"ValueError: {NAME}: tokenizer.json: expected at most 64 MB, got 65 MB; choose another network"
    assert [path for path in hub.asked() if "resolve" in path] == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_altered_file_in_the_cache_is_refused(name, hub, network):
    folder = Path(find().split()[-1])
    blob = (folder / name).resolve()
    blob.write_bytes(blob.read_bytes().replace(b"}", b" }") if name == "config.json" else b"altered")
    shown = find(download=False)
    assert shown.startswith(f"ValueError: {folder / name} was altered: expected the sum {blob.name}, got ")


def test_extract_and_search_commands(hub, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hub.folders["someone/net"] = save("clip", tmp_path / "repository")
    extract = ["extract", "-d", "photos"]
    done = CliRunner().invoke(main, [*extract, "--network", NAME])
    assert done.exit_code == 0, done.output
    assert f"downloading {NAME}, revision {COMMIT}" in done.stderr
    written = Path("photos_file_list.txt.saved_predictions.json").read_text()
    assert f'"revision": "{COMMIT}"' in written and "hf_secret" not in written + done.output
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))  # only the export is left
    use_endpoint(monkeypatch, NO_SERVER)
    shutil.copy(photos / "red" / "0.jpg", tmp_path / "new.jpg")
    found = CliRunner().invoke(main, ["search", "-k", "1", "new.jpg"])
    assert found.exit_code == 0 and "1.0000  red/0.jpg" in found.stdout, found.output
    again = CliRunner().invoke(main, extract)
    assert again.exit_code == 0 and "already complete" in again.stderr, again.output
