"""A server on loopback that can misbehave, and the download scripts as users run them against it."""

import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from similar_images.vectors.store import open_vectors

DATASET, VECTORS, TWEETS = "get_ms_coco_dataset.sh", "get_ms_coco_vectors.sh", "scripts/get_sentiment140.sh"
TOOLS = "awk bash cat cmp comm cp cut df dirname env find grep head md5sum mkdir mv rm sed sh sleep sort unzip wc"
LIST = "ms_coco_file_list.txt"
NPY, MANIFEST = f"{LIST}.saved_predictions.npy", f"{LIST}.saved_predictions.json"
PREDICTIONS = "ms_coco_predictions_vgg.zip"
NAMES = [f"COCO_val2014_{number:012d}.jpg" for number in (42, 73, 74, 133, 136)]
SORTED = "".join(f"{name}\n" for name in NAMES)
IMAGES = {name: np.random.default_rng(row).bytes(40_000) for row, name in enumerate(NAMES)}
ROWS = np.random.default_rng(0).random((5, 4096), dtype=np.float32)
LIMIT = 120  # seconds for one run of a script


class Server(ThreadingHTTPServer):
    """Serves one file at every address; `requests` are its (method, path, Range)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.content = b""
        self.requests = []
        self.status = 200
        self.ranges = True
        self.breaks = 0  # answers left to cut in half
        self.stalls = 0  # answers left that stall halfway
        self.closing = threading.Event()

    def handle_error(self, request, client_address):
        """These tests are about clients killed or giving up."""


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
        start_new_session=True,  # its own process group, so that all of it can be killed
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


def assert_dataset_is_complete(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"val2014: 5 images, named in {LIST}\n"
    assert {name: (folder / "val2014" / name).read_bytes() for name in NAMES} == IMAGES
    assert (folder / LIST).read_text() == SORTED
    assert not [name for name in files(folder) if ".part" in name or ".zip" in name]
    assert not [path for path in folder.iterdir() if path.is_dir() and path.name != "val2014"]


def assert_vectors_are_complete(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{NPY}: 5 vectors, named in {LIST}\n"
    vectors = open_vectors(folder / NPY)
    np.testing.assert_array_equal(vectors.array, ROWS)
    assert vectors.names == (folder / LIST).read_text().splitlines()
    assert (vectors.network.name, vectors.network.resampling) == ("vgg16", "nearest")
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
