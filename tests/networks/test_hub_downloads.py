"""Downloads from a hub on loopback: announced, resumed, pinned to a commit, used offline."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hub_networks import save
from hub_server import serving

FIND = """
import sys
from similar_images.networks import hub_files
try:
    found = hub_files.find(sys.argv[1], "offline" not in sys.argv, lambda event: print(event.note))
    print(found.name, found.revision, found.folder)
except (OSError, ValueError) as error:
    print(f"{type(error).__name__}: {error}")
"""
FIND_TEXTS = """
import sys
from similar_images.networks import text
print(text._folder(sys.argv[1]))
"""
NAME, COMMIT = "hf:someone/net", "1" * 40
LARGE = 25_000_000  # bytes; the library writes a download to disk in parts of 10 MB


@pytest.fixture
def hub():
    with serving() as hub:
        yield hub


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


def environment(hub, tmp_path, **more: str) -> dict[str, str]:
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **own, **more}


def find(hub, tmp_path, name: str = NAME, *arguments: str, code: str = FIND, **more: str) -> str:
    command = [sys.executable, "-c", code, name, *arguments]
    given = environment(hub, tmp_path, **more)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_download_announces_its_size_and_pins_the_branch(hub, network, tmp_path):
    first, last = find(hub, tmp_path).splitlines()
    assert first == f"downloading {NAME}, revision {COMMIT}: 3 files, 25.0 MB"
    assert last.startswith(f"{NAME} {COMMIT} ")
    folder = Path(last.split()[-1])
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert (folder / "model.safetensors").read_bytes() == (network / "model.safetensors").read_bytes()


@pytest.mark.parametrize("code", [FIND, FIND_TEXTS])
def test_requests_do_not_describe_the_machine(code, hub, network, tmp_path):
    find(hub, tmp_path, NAME if code == FIND else "someone/net", code=code)
    assert hub.agents and not [agent for agent in hub.agents if "torch" in agent or "agent/" in agent]


def test_downloaded_network_needs_no_internet(hub, network, tmp_path):
    find(hub, tmp_path)
    expected = find(hub, tmp_path)  # asks whether the branch has moved
    hub.requests.clear()
    assert find(hub, tmp_path, f"{NAME}@{COMMIT}") == expected
    assert find(hub, tmp_path, NAME, "offline") == expected
    assert find(hub, tmp_path, NAME, HF_HUB_OFFLINE="1") == expected
    assert hub.requests == []
    hub.status = 503
    assert find(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9") == expected


def test_moved_branch_is_another_network(hub, network, tmp_path):
    find(hub, tmp_path)
    hub.commit = "2" * 40
    (network / "config.json").write_text('{"model_type": "clip"}')
    assert f"{NAME} {hub.commit} " in find(hub, tmp_path)
    assert f"{NAME} {COMMIT} " in find(hub, tmp_path, f"{NAME}@{COMMIT}")


def test_broken_connection_is_resumed(hub, network, tmp_path):
    hub.breaks = 1
    assert f"{NAME} {COMMIT} " in find(hub, tmp_path)
    ranges = [asked for method, path, asked in hub.requests if method == "GET" and path.endswith(".safetensors")]
    assert len(ranges) == 2 and ranges[1] == "bytes=10485760-"


def test_killed_download_keeps_complete_files_only(hub, network, tmp_path):
    hub.breaks = 10**6
    command = [sys.executable, "-c", FIND, NAME]
    process = subprocess.Popen(command, env=environment(hub, tmp_path), cwd=tmp_path, stdout=subprocess.PIPE)
    while sum(path.endswith(".safetensors") for path in hub.asked()) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.breaks = 0
    hub.requests.clear()
    message = find(hub, tmp_path, NAME, "offline")
    assert message == (
        f"NetworkUnavailable: {NAME} is not on this machine: run `similar-images extract --network {NAME}` with "
        "internet access, or give its folder\n"
    )
    assert f"{NAME} {COMMIT} " in find(hub, tmp_path)
    assert [path.rpartition("/")[2] for path in hub.asked() if "resolve" in path] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:someone/nothing", "the hub has no hf:someone/nothing, or it needs a token in HF_TOKEN: check its name"),
        (f"{NAME}@old", f"{NAME}@old: there is no such revision"),
        (f"{NAME}@{'3' * 40}", f"{NAME}@{'3' * 40}: there is no such revision"),
    ],
)
def test_unknown_name_or_revision(name, message, hub, network, tmp_path):
    assert find(hub, tmp_path, name) == f"NetworkUnavailable: {message}\n"


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, "RepoNotFound", f"the hub has no {NAME}, or it needs a token in HF_TOKEN: check its name"),
        (403, "GatedRepo", f"{NAME} is gated: accept its conditions on its page of the hub, and set HF_TOKEN"),
        (400, "", f"{NAME} is not on this machine and cannot be downloaded ("),
    ],
)
def test_refusals_of_the_hub(status, error, message, hub, network, tmp_path):
    hub.status, hub.error = status, error
    shown = find(hub, tmp_path, HF_TOKEN="hf_secret")
    assert shown.startswith(f"NetworkUnavailable: {message}")
    assert shown.count("\n") == 1 and "hf_secret" not in shown


def test_no_server(hub, tmp_path):
    shown = find(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert shown.startswith(f"NetworkUnavailable: {NAME} is not on this machine and cannot be downloaded (")
    assert shown.endswith("): give the folder of a copy\n") and shown.count("\n") == 1


def test_network_of_pickles_is_not_downloaded(hub, network, tmp_path):
    for name in ("model.safetensors", "onnx/model.onnx"):
        (network / name).unlink()
    assert find(hub, tmp_path) == (
        f"ValueError: {NAME} has neither model.safetensors nor onnx/vision_model.onnx, and other files of weights may "
        "contain code: choose another network\n"
    )
    assert [path for path in hub.asked() if "resolve" in path] == []


def test_oversized_tokenizer_is_not_downloaded(hub, network, tmp_path):
    with (network / "tokenizer.json").open("wb") as file:
        file.truncate(65 * 10**6)
    message = f"{NAME}: tokenizer.json: expected at most 64 MB, got 65 MB; choose another network"
    assert find(hub, tmp_path) == f"ValueError: {message}\n"
    assert [path for path in hub.asked() if "resolve" in path] == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_altered_file_in_the_cache_is_refused(name, hub, network, tmp_path):
    folder = Path(find(hub, tmp_path).split()[-1])
    blob = (folder / name).resolve()
    blob.write_bytes(blob.read_bytes().replace(b"}", b" }") if name == "config.json" else b"altered")
    shown = find(hub, tmp_path, NAME, "offline")
    assert shown.startswith(f"ValueError: {folder / name} was altered: expected the sum {blob.name}, got ")


def test_extract_and_search_commands(hub, photos, tmp_path):
    hub.folders["someone/net"] = save("clip", tmp_path / "repository")
    base = [sys.executable, "-m", "similar_images"]
    given = environment(hub, tmp_path, HF_TOKEN="hf_secret", XDG_CACHE_HOME=str(tmp_path / "cache"))
    options = {"cwd": tmp_path, "env": given, "capture_output": True, "text": True, "timeout": 280}
    done = subprocess.run([*base, "extract", "-d", "photos", "--network", NAME], **options)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert f"downloading {NAME}, revision {COMMIT}" in lines[0] or f"downloading {NAME}, revision {COMMIT}" in lines[1]
    written = (tmp_path / "photos_file_list.txt.saved_predictions.json").read_text()
    assert f'"revision": "{COMMIT}"' in written and "hf_secret" not in written + done.stderr + done.stdout
    given |= {"HF_HOME": str(tmp_path / "empty"), "HF_ENDPOINT": "http://127.0.0.1:9"}  # only the export is left
    shutil.copy(photos / "red" / "0.jpg", tmp_path / "new.jpg")
    done = subprocess.run([*base, "search", "-k", "1", "new.jpg"], **options)
    assert done.returncode == 0 and "1.0000  red/0.jpg" in done.stdout, (done.stdout, done.stderr)
    done = subprocess.run([*base, "extract", "-d", "photos"], **options)
    assert done.returncode == 0 and "already complete" in done.stderr
