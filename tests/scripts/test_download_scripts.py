"""Runs the download scripts whole, as people do, against a server on loopback that can misbehave."""

import contextlib
import csv
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from similar_images.vectors.store import open_vectors

ROOT = Path(__file__).resolve().parents[2]
DATASET, VECTORS, TWEETS = "get_ms_coco_dataset.sh", "get_ms_coco_vectors.sh", "get_sentiment140.sh"
TOOLS = "awk bash cat cmp comm cp cut df dirname env find grep head md5sum mkdir mv rm sed sh sleep sort unzip wc"
LIST = "ms_coco_file_list.txt"
NPY, MANIFEST = f"{LIST}.saved_predictions.npy", f"{LIST}.saved_predictions.json"
PREDICTIONS = "ms_coco_predictions_vgg.zip"
NAMES = [f"COCO_val2014_{number:012d}.jpg" for number in (42, 73, 74, 133, 136)]
SORTED = "".join(f"{name}\n" for name in NAMES)
IMAGES = {name: np.random.default_rng(row).bytes(40_000) for row, name in enumerate(NAMES)}
ROWS = np.random.default_rng(0).random((5, 4096), dtype=np.float32)
LIMIT = 20  # seconds for one run of a script


class Server(ThreadingHTTPServer):
    """Serves one file at every address; `requests` are its (method, path, Range)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.content = b""
        self.requests = []
        self.status = 200
        self.ranges = True
        self.breaks = 0  # answers still to be cut in half
        self.stalls = 0  # answers still to fall silent in the middle
        self.closing = threading.Event()

    def handle_error(self, request, client_address):
        """A client that was killed or gave up is what these tests are about."""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.command, self.path, asked))
        self.close_connection = True
        content, start, total = server.content, 0, len(server.content)
        if server.status != 200:
            return self.send_error(server.status)
        if asked and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        half = content[start : start + (total - start) // 2]
        if server.breaks:
            server.breaks -= 1
            self.wfile.write(half)
        elif server.stalls:
            server.stalls -= 1
            self.wfile.write(half)
            server.closing.wait(LIMIT)
        else:
            self.wfile.write(content[start:])

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my images"
    folder.mkdir()
    return folder


@pytest.fixture
def tools(tmp_path):
    """A folder that is the whole PATH: neither curl nor wget is in it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS.split():
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    write_tool(tools, "python3", f'exec "{sys.executable}" "$@"')
    return tools


@pytest.fixture(params=["curl", "wget"])
def path(request, tools):
    """The PATH with one downloader only."""
    return with_downloader(tools, request.param)


@pytest.fixture
def curl(tools):
    return with_downloader(tools, "curl")


def with_downloader(tools: Path, downloader: str) -> Path:
    found = shutil.which(downloader)
    if not found:
        pytest.skip(f"{downloader} is not installed")
    (tools / downloader).symlink_to(found)
    return tools


def write_tool(tools: Path, name: str, lines: str) -> None:
    (tools / name).unlink(missing_ok=True)
    (tools / name).write_text(f"#!/bin/sh\n{lines}\n")
    (tools / name).chmod(0o755)


def start(script, folder, path, server, *arguments, **environment):
    environment = {
        "PATH": str(path),
        "HOME": str(folder.parent),
        "COCO_URL": f"{server.url}/zips",
        "COCO_VECTORS_URL": f"{server.url}/vectors.zip?dl=1",
        "COCO_MD5": hashlib.md5(server.content).hexdigest(),
        "COCO_BYTES": str(len(server.content)),
        "COCO_VECTORS_BYTES": str(len(server.content)),
        "COCO_COUNT": "5",
        "SENTIMENT140_URL": f"{server.url}/tweets.zip",
        "SENTIMENT140_BYTES": str(len(server.content)),
        "SENTIMENT140_COUNT": "5",
        "DOWNLOAD_ATTEMPTS": "3",
        "DOWNLOAD_PAUSE": "0",
        "DOWNLOAD_TIMEOUT": "10",
        **environment,
    }
    return subprocess.Popen(
        [Path(script) if Path(script).is_absolute() else ROOT / script, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to be killed whole
    )


def run(script, folder, path, server, *arguments, **environment):
    process = start(script, folder, path, server, *arguments, **environment)
    try:
        stdout, stderr = process.communicate(timeout=LIMIT)
    finally:
        kill(process)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def images_zip(images=IMAGES, dataset="val2014"):
    return make_zip({f"{dataset}/{name}": images[name] for name in sorted(images, reverse=True)})


def npy(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def vectors_zip(array=ROWS, names=SORTED, under=""):
    files = {f"{under}{NPY}": array if isinstance(array, bytes) else npy(array)}
    return make_zip(files | ({f"{under}{LIST}": names.encode()} if names else {}))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_dataset_is_whole(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"val2014: 5 images, named in {LIST}\n"
    assert {name: (folder / "val2014" / name).read_bytes() for name in NAMES} == IMAGES
    assert (folder / LIST).read_text() == SORTED
    assert not [name for name in files(folder) if ".part" in name or ".zip" in name]
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "val2014"]


def assert_vectors_are_whole(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{NPY}: 5 vectors, named in {LIST}\n"
    vectors = open_vectors(folder / NPY)
    np.testing.assert_array_equal(vectors.array, ROWS)
    assert vectors.names == (folder / LIST).read_text().splitlines()
    assert (vectors.network["name"], vectors.network["resampling"]) == ("vgg16", "nearest")
    assert vectors.images == folder / "val2014"
    assert sorted(path.name for path in folder.iterdir() if path.name != "val2014") == [LIST, MANIFEST, NPY]


def assert_fails(result, *messages):
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    for message in messages:
        assert message in result.stderr
    assert "Traceback" not in result.stderr


def ranges(server) -> list:
    return [asked for _, _, asked in server.requests]


def test_the_dataset_is_downloaded_unpacked_and_listed_sorted(folder, path, server):
    server.content = images_zip()
    result = run(DATASET, folder, path, server)
    assert_dataset_is_whole(result, folder)
    assert server.requests == [("GET", "/zips/val2014.zip", None)]
    assert "removed val2014.zip, KEEP_ZIP=1 keeps it" in result.stderr


def test_what_is_whole_is_not_downloaded_again(folder, path, server):
    server.content = images_zip()
    run(DATASET, folder, path, server)
    server.requests.clear()
    result = run(DATASET, folder, path, server)
    assert_dataset_is_whole(result, folder)
    assert "already whole" in result.stderr
    assert server.requests == []


def test_val2017_has_a_list_of_its_own(folder, curl, server):
    server.content = images_zip({"000000000139.jpg": b"one", "000000000285.jpg": b"two"}, "val2017")
    result = run(DATASET, folder, curl, server, "val2017", COCO_COUNT="2")
    assert result.returncode == 0, result.stderr
    assert (folder / "ms_coco_val2017_file_list.txt").read_text() == "000000000139.jpg\n000000000285.jpg\n"
    assert server.requests == [("GET", "/zips/val2017.zip", None)]
    assert not (folder / LIST).exists()


def test_a_broken_connection_goes_on_where_it_was(folder, path, server):
    server.content, server.breaks = images_zip(), 2
    assert_dataset_is_whole(run(DATASET, folder, path, server), folder)
    half = len(server.content) // 2
    quarter = (len(server.content) - half) // 2
    assert ranges(server) == [None, f"bytes={half}-", f"bytes={half + quarter}-"]


def test_a_silent_connection_is_given_up_and_goes_on_where_it_was(folder, path, server):
    server.content, server.stalls = images_zip(), 1
    assert_dataset_is_whole(run(DATASET, folder, path, server, DOWNLOAD_TIMEOUT="2"), folder)
    assert ranges(server) == [None, f"bytes={len(server.content) // 2}-"]


def test_a_server_that_cannot_go_on_in_the_middle_starts_afresh(folder, path, server):
    server.content, server.breaks, server.ranges = images_zip(), 1, False
    assert_dataset_is_whole(run(DATASET, folder, path, server), folder)


def test_a_connection_that_always_breaks_is_given_up_and_the_next_run_goes_on(folder, path, server):
    server.content, server.breaks, server.ranges = images_zip(), 1000, False
    result = run(DATASET, folder, path, server)
    assert_fails(result, "3 attempts brought nothing new: run again later, it goes on")
    assert not (folder / "val2014").exists() and not (folder / LIST).exists()
    server.breaks, server.ranges = 0, True
    assert_dataset_is_whole(run(DATASET, folder, path, server), folder)


def test_a_download_that_was_killed_goes_on_where_it_was(folder, path, server):
    server.content, server.stalls = images_zip(), 1
    partial = folder / "val2014.zip.part"
    process = start(DATASET, folder, path, server, DOWNLOAD_TIMEOUT="60")
    try:
        deadline = time.monotonic() + LIMIT
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        kill(process)
    assert files(folder) == ["val2014.zip.part"]
    had = partial.stat().st_size
    assert 0 < had <= len(server.content) // 2
    assert_dataset_is_whole(run(DATASET, folder, path, server), folder)
    assert ranges(server) == [None, f"bytes={had}-"]


def test_a_download_killed_when_whole_is_not_fetched_again(folder, path, server):
    server.content = images_zip()
    (folder / "val2014.zip.part").write_bytes(server.content)
    assert_dataset_is_whole(run(DATASET, folder, path, server), folder)
    assert ranges(server) == [f"bytes={len(server.content)}-"]


def test_unpacking_that_was_killed_never_looks_whole(folder, curl, server):
    server.content = images_zip()
    unzip = (curl / "unzip").resolve()
    write_tool(curl, "unzip", f'"{unzip}" "$@"; rm val2014.part/val2014/{NAMES[3]}; kill -KILL 0')
    assert run(DATASET, folder, curl, server).returncode == -signal.SIGKILL
    assert not (folder / "val2014").exists() and not (folder / LIST).exists()
    (curl / "unzip").unlink()
    (curl / "unzip").symlink_to(unzip)
    server.requests.clear()
    assert_dataset_is_whole(run(DATASET, folder, curl, server), folder)
    assert server.requests == []


def test_a_wrong_sum_unpacks_nothing_and_the_next_run_starts_afresh(folder, path, server):
    server.content = images_zip()
    got, expected = hashlib.md5(server.content).hexdigest(), "0" * 32
    result = run(DATASET, folder, path, server, COCO_MD5=expected)
    assert_fails(result, f"val2014.zip: expected the MD5 sum {expected}, got {got}", "run again to start afresh")
    assert files(folder) == []
    assert_dataset_is_whole(run(DATASET, folder, path, server), folder)
    assert ranges(server) == [None, None]


def test_a_zip_that_someone_put_there_is_checked_too_and_not_removed(folder, curl, server):
    server.content = images_zip()
    (folder / "val2014.zip").write_bytes(server.content[:-1])
    assert_fails(run(DATASET, folder, curl, server), "got", "move it away and run again")
    assert files(folder) == ["val2014.zip"]
    (folder / "val2014.zip").write_bytes(server.content)
    assert_dataset_is_whole(run(DATASET, folder, curl, server), folder)
    assert server.requests == []


def test_the_zip_is_kept_on_request(folder, curl, server):
    server.content = images_zip()
    assert run(DATASET, folder, curl, server, KEEP_ZIP="1").returncode == 0
    assert (folder / "val2014.zip").read_bytes() == server.content


def test_a_zip_with_other_images_is_refused(folder, curl, server):
    server.content = images_zip()
    assert_fails(run(DATASET, folder, curl, server, COCO_COUNT="6"), "expected 6 images in val2014/, got 5")
    assert files(folder) == ["val2014.zip"]


def test_the_sum_is_checked_with_the_tool_of_macos_too(folder, curl, server):
    server.content = images_zip()
    write_tool(curl, "md5", f'[ "$1" = -q ] && "{shutil.which("md5sum")}" "$2" | cut -c 1-32')
    (curl / "md5sum").unlink()
    assert_fails(run(DATASET, folder, curl, server, COCO_MD5="0" * 32), "expected the MD5 sum")
    assert_dataset_is_whole(run(DATASET, folder, curl, server), folder)


def test_a_folder_that_is_not_whole_is_filled_and_nothing_in_it_is_lost(folder, curl, server):
    server.content = images_zip()
    (folder / "val2014").mkdir()
    (folder / "val2014" / NAMES[0]).write_bytes(b"")
    (folder / "val2014" / NAMES[1]).write_bytes(IMAGES[NAMES[1]])
    (folder / "val2014" / "mine.jpg").write_bytes(b"mine")
    assert_dataset_is_whole(run(DATASET, folder, curl, server), folder)
    assert (folder / "val2014" / "mine.jpg").read_bytes() == b"mine"


def test_a_whole_folder_without_a_list_gets_one_without_a_download(folder, curl, server):
    (folder / "val2014").mkdir()
    for name, content in IMAGES.items():
        (folder / "val2014" / name).write_bytes(content)
    assert_dataset_is_whole(run(DATASET, folder, curl, server), folder)
    assert server.requests == []


def test_an_empty_image_does_not_count(folder, curl, server):
    server.content = images_zip()
    assert run(DATASET, folder, curl, server).returncode == 0
    (folder / "val2014" / NAMES[2]).write_bytes(b"")
    (folder / LIST).unlink()
    assert_dataset_is_whole(run(DATASET, folder, curl, server), folder)
    assert len(server.requests) == 2


def test_the_order_of_a_list_that_is_there_is_kept(folder, curl, server):
    server.content = images_zip()
    reverse = "".join(f"{name}\n" for name in reversed(NAMES))
    (folder / LIST).write_text(reverse)
    assert run(DATASET, folder, curl, server).returncode == 0
    assert (folder / LIST).read_text() == reverse


def test_a_list_of_other_images_is_never_overwritten(folder, curl, server):
    server.content = images_zip()
    (folder / LIST).write_text("mine.jpg\n")
    assert_fails(run(DATASET, folder, curl, server), f"{LIST}: expected 5 lines, got 1; move it away")
    assert server.requests == []
    other = SORTED.replace(NAMES[2], "mine.jpg")
    (folder / LIST).write_text(other)
    assert_fails(run(DATASET, folder, curl, server), f"{LIST} names mine.jpg, which is not in val2014/")
    assert (folder / LIST).read_text() == other


def test_too_small_a_disk_is_said_before_anything_is_downloaded(folder, curl, server):
    server.content = images_zip()
    write_tool(
        curl,
        "df",
        'echo "Filesystem 1024-blocks Used Available Capacity Mounted on"; echo "disk 9 8 1000 9% /"',
    )
    for script, needed in ((DATASET, "13291 MB"), (VECTORS, "6646 MB")):
        result = run(script, folder, curl, server, COCO_BYTES="6645013297", COCO_VECTORS_BYTES="6645013297")
        assert_fails(
            result,
            f"needs {needed} of disk in {folder}",
            "free are 2 MB",
        )
    assert server.requests == [] and files(folder) == []


@pytest.fixture
def small_disk(folder):
    """Makes `folder` a real disk of 1 MB; yields a function that makes it larger."""

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)

    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    mounted = mount("size=1m")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield lambda size: mount(f"remount,size={size}")
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=LIMIT)


def test_a_disk_that_fills_up_keeps_what_was_downloaded(folder, path, server, small_disk):
    server.content = images_zip({**IMAGES, NAMES[0]: bytes(2_000_000)})
    result = run(DATASET, folder, path, server, COCO_BYTES="0")
    assert_fails(result, "cannot write val2014.zip.part, is the disk full? Make room and run again")
    assert files(folder) == ["val2014.zip.part"]
    small_disk("8m")
    assert run(DATASET, folder, path, server).returncode == 0
    assert re.fullmatch(r"bytes=\d{6,}-", ranges(server)[-1])
    assert (folder / "val2014" / NAMES[0]).read_bytes() == bytes(2_000_000)


def test_a_disk_that_fills_up_while_unpacking_leaves_no_half_folder(folder, curl, server, small_disk):
    server.content = images_zip({**IMAGES, NAMES[0]: bytes(600_000)})
    result = run(DATASET, folder, curl, server, COCO_BYTES="0")
    assert_fails(result, "cannot unpack val2014.zip, the disk is full: make room and run again")
    assert files(folder) == ["val2014.zip"]
    small_disk("8m")
    assert run(DATASET, folder, curl, server).returncode == 0
    assert len(server.requests) == 1 and (folder / LIST).read_text() == SORTED


def test_an_address_that_is_not_there_is_asked_once(folder, path, server):
    server.status = 404
    assert_fails(run(DATASET, folder, path, server), "check the address")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(folder, curl, server):
    server.status = 503
    assert_fails(run(DATASET, folder, curl, server), "3 attempts brought nothing new")
    assert len(server.requests) == 3


def test_a_server_that_is_not_there_is_given_up(folder, path, server):
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert_fails(run(DATASET, folder, path, server, COCO_URL=nowhere), "3 attempts brought nothing new")


def free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as closed:
        return closed.server_port


def test_a_file_is_no_address(folder, curl, server):
    assert_fails(run(DATASET, folder, curl, server, COCO_URL="file:///etc"), "expected http:// or https://")


@pytest.mark.parametrize("script", [DATASET, VECTORS, TWEETS])
def test_a_page_instead_of_the_zip_is_recognised(script, folder, path, server):
    server.content = b"\n<!DOCTYPE html><html><title>Log in</title></html>"
    assert_fails(run(script, folder, path, server), "it is a page, not a zip: open the address in a browser")
    assert files(folder) == []


@pytest.mark.parametrize("script", [DATASET, VECTORS])
def test_without_a_downloader_or_unzip_the_message_names_them(script, folder, tools, server):
    assert_fails(run(script, folder, tools, server), "needs curl or wget: install one of them")
    (tools / "unzip").unlink()
    assert_fails(run(script, folder, tools, server), "needs unzip: install it")


@pytest.mark.parametrize("script", [DATASET, VECTORS, TWEETS])
def test_help_names_every_variable_and_starts_nothing(script, folder, tools, server):
    source = (ROOT / script).read_text() + (ROOT / "download.sh").read_text()
    for option in ("-h", "--help"):
        result = run(script, folder, tools, server, option)
        assert result.returncode == 0 and result.stdout.startswith(f"Usage: {script}")
        assert [
            name
            for name in re.findall(r"\{((?:COCO|SENTIMENT140|DOWNLOAD|KEEP)_\w+):-", source)
            if name not in result.stdout
        ] == []
    assert files(folder) == []


@pytest.mark.parametrize("script, arguments", [(DATASET, ["train2014"]), (DATASET, ["val2014", "x"]), (VECTORS, ["x"])])
def test_an_unknown_argument_is_refused(script, arguments, folder, curl, server):
    assert_fails(run(script, folder, curl, server, *arguments), "got: ", arguments[-1], "see --help")
    assert server.requests == []


@pytest.mark.parametrize("under", ["", "predictions/vgg/"])
def test_the_vectors_are_downloaded_checked_and_described(under, folder, path, server):
    server.content = vectors_zip(under=under)
    assert_vectors_are_whole(run(VECTORS, folder, path, server), folder)
    assert server.requests == [("GET", "/vectors.zip?dl=1", None)]


def test_what_macos_adds_to_a_zip_is_left_aside(folder, curl, server):
    server.content = make_zip({f"vgg/{NPY}": npy(ROWS), LIST: SORTED.encode(), f"__MACOSX/vgg/._{NPY}": b"Mac OS X"})
    assert_vectors_are_whole(run(VECTORS, folder, curl, server), folder)


def test_whole_vectors_are_not_downloaded_again(folder, curl, server):
    server.content = vectors_zip()
    run(VECTORS, folder, curl, server)
    result = run(VECTORS, folder, curl, server)
    assert_vectors_are_whole(result, folder)
    assert "already here" in result.stderr
    assert len(server.requests) == 1


def test_vectors_over_a_broken_connection_go_on_where_they_were(folder, path, server):
    server.content, server.breaks = vectors_zip(), 1
    assert_vectors_are_whole(run(VECTORS, folder, path, server), folder)
    assert ranges(server) == [None, f"bytes={len(server.content) // 2}-"]


def test_both_scripts_fit_together_in_either_order(folder, tmp_path, curl, server):
    images, vectors = images_zip(), vectors_zip(names=None)
    server.content = images
    assert run(DATASET, folder, curl, server).returncode == 0
    server.content = vectors
    assert_vectors_are_whole(run(VECTORS, folder, curl, server), folder)

    server.content = vectors_zip()
    other = tmp_path / "other"
    other.mkdir()
    assert_vectors_are_whole(run(VECTORS, other, curl, server), other)
    server.content = images
    assert run(DATASET, other, curl, server).returncode == 0
    assert files(other) == files(folder)


def test_vectors_without_any_names_ask_for_the_dataset_first(folder, curl, server):
    server.content = vectors_zip(names=None)
    assert_fails(run(VECTORS, folder, curl, server), "has no names: run get_ms_coco_dataset.sh first")
    assert files(folder) == [f"{PREDICTIONS}.part"]
    (folder / LIST).write_text(SORTED)
    assert_vectors_are_whole(run(VECTORS, folder, curl, server), folder)
    assert ranges(server) == [None, f"bytes={len(server.content)}-"]


BAD_ZIPS = {
    "another dimension": (vectors_zip(ROWS[:, :100]), "expected vectors of vgg16, (n, 4096), got (5, 100)"),
    "other numbers": (
        vectors_zip(ROWS.astype(np.int32)),
        "expected vectors of shape (n, d), float32 or float16",
    ),
    "one dimension": (vectors_zip(ROWS[0]), "expected vectors of shape (n, d), float32 or float16"),
    "pickled": (vectors_zip(npy(np.array([{}] * 5, dtype=object), allow_pickle=True)), "not a plain array"),
    "cut off": (vectors_zip(npy(ROWS)[:-1]), "truncated"),
    "not a .npy": (vectors_zip(b"vectors"), "is not a .npy file of vectors"),
    "fewer vectors": (vectors_zip(ROWS[:4]), "has 5 lines, but"),
    "fewer names": (vectors_zip(names="a.jpg\nb.jpg\n"), "expected 5 names, got 2"),
    "fewer of both": (vectors_zip(ROWS[:2], "a.jpg\nb.jpg\n"), "expected 5 names, got 2"),
    "no vectors": (make_zip({LIST: SORTED.encode()}), "expected one .npy in it, got 0"),
    "a damaged zip": (vectors_zip().replace(ROWS[3].tobytes(), ROWS[2].tobytes()), "it is not a whole zip"),
    "half a zip": (vectors_zip()[:40_000], "it is not a whole zip"),
}


@pytest.mark.parametrize("content, message", BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_vectors_that_are_not_what_they_should_be_are_refused(content, message, folder, curl, server):
    server.content = content
    assert_fails(run(VECTORS, folder, curl, server), message, "the download was removed, run again to start afresh")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name, mine", [(LIST, SORTED[::-1].strip().encode()), (NPY, npy(ROWS[::-1])), (MANIFEST, b"{}")]
)
def test_another_file_of_that_name_is_never_overwritten(name, mine, folder, curl, server):
    server.content = vectors_zip()
    (folder / name).write_bytes(mine)
    assert_fails(run(VECTORS, folder, curl, server), f"{name} is here and is another one", "move it away and run again")
    assert (folder / name).read_bytes() == mine
    assert files(folder) == sorted([name, PREDICTIONS])


def test_a_list_of_another_length_is_refused_before_the_download(folder, curl, server):
    (folder / LIST).write_text("mine.jpg\n")
    assert_fails(run(VECTORS, folder, curl, server), f"{LIST}: expected 5 lines, got 1; move it away")
    assert server.requests == []


def test_vectors_that_someone_put_there_are_described_without_a_download(folder, curl, server):
    (folder / NPY).write_bytes(npy(ROWS))
    (folder / LIST).write_text(SORTED)
    assert_vectors_are_whole(run(VECTORS, folder, curl, server), folder)
    (folder / NPY).write_bytes(npy(ROWS[:3]))
    (folder / MANIFEST).unlink()
    assert_fails(run(VECTORS, folder, curl, server), "has 5 lines, but", "move it away and run again")
    assert server.requests == []


def test_vectors_that_were_altered_are_refused(folder, curl, server):
    server.content = vectors_zip()
    run(VECTORS, folder, curl, server)
    (folder / LIST).write_text(SORTED.replace("42", "43"))
    assert_fails(run(VECTORS, folder, curl, server), "lines were changed")


def test_without_its_packages_the_script_says_how_to_install_them(folder, tmp_path, curl, server):
    for script in (VECTORS, "download.sh"):
        shutil.copy(ROOT / script, tmp_path)
    assert_fails(run(tmp_path / VECTORS, folder, curl, server), "cannot load similar_images: run `make install`")
    assert server.requests == []


TEXTS = "tweets/texts_20k.csv"
TABLE = "training.1600000.processed.noemoticon.csv"
SAID = ["Need a hug ", 'she said "hi", twice', "two\nlines", "caf\xe9 \xa3 5", "@you &lt;3", "one too many"]


def tweets_zip(said=SAID, name=TABLE, fields=("0", "1467810369", "Mon Apr 06 22:19:45 PDT 2009", "NO_QUERY", "me")):
    table = io.StringIO()
    csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows((*fields, text) for text in said)
    return make_zip({name: table.getvalue().encode("latin-1"), "testdata.manual.2009.06.14.csv": b'"4","3"\n'})


def assert_tweets_are_whole(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{TEXTS}: 5 texts\n"
    with (folder / TEXTS).open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == SAID[:5]


def test_the_tweets_are_downloaded_and_their_texts_taken(folder, path, server):
    server.content = tweets_zip()
    assert_tweets_are_whole(run(TWEETS, folder, path, server), folder)
    assert files(folder) == [TEXTS]
    assert server.requests == [("GET", "/tweets.zip", None)]
    again = run(TWEETS, folder, path, server)
    assert_tweets_are_whole(again, folder)
    assert "already here" in again.stderr
    assert len(server.requests) == 1


def test_tweets_over_a_broken_connection_go_on_where_they_were(folder, path, server):
    server.content, server.breaks = tweets_zip(), 1
    assert_tweets_are_whole(run(TWEETS, folder, path, server), folder)
    assert ranges(server) == [None, f"bytes={len(server.content) // 2}-"]


@pytest.mark.parametrize(
    "content, message",
    [
        (tweets_zip(name="other.csv"), f"there is no {TABLE} in it"),
        (tweets_zip(SAID[:4]), f"expected 5 tweets or more in {TABLE}, got 4"),
        (tweets_zip(fields=("0",)), "line 1: expected 6 fields, got 2"),
        (tweets_zip()[:100], "it is not a whole zip"),
        (tweets_zip().replace(b"Need a hug", b"Need a mug"), "is damaged"),
        (b"no zip", "it is not a whole zip"),
    ],
    ids=["another table", "too few", "other fields", "half", "altered", "no zip"],
)
def test_tweets_that_are_not_what_they_should_be_are_refused(content, message, folder, curl, server):
    server.content = content
    assert_fails(run(TWEETS, folder, curl, server), message, "the download was removed, run again to start afresh")
    assert files(folder) == []
    server.content = tweets_zip()
    assert_tweets_are_whole(run(TWEETS, folder, curl, server), folder)


def test_other_texts_of_that_name_are_never_overwritten(folder, curl, server):
    (folder / "tweets").mkdir()
    (folder / TEXTS).write_text("text\nmine\n")
    assert_fails(run(TWEETS, folder, curl, server), f"{TEXTS}: expected 5 texts, got 1; move it away and run again")
    assert (folder / TEXTS).read_text() == "text\nmine\n"
    assert server.requests == []


def test_tweets_without_python_say_how_to_install_it(folder, tmp_path, tools, server):
    for script in (TWEETS, "download.sh"):
        shutil.copy(ROOT / script, tmp_path)
    write_tool(tools, "python3", "exit 1")
    result = run(tmp_path / TWEETS, folder, tools, server)
    assert_fails(result, "is not Python 3.11 or later: run `make install`")
