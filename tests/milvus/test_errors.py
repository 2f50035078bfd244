"""Errors of Milvus: one line with a remedy, within a time limit, without credentials."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from arrays import clustered
from conftest import ROOT
from milvus_collections import opened, saved
from milvus_server import MilvusServer, why_not

from similar_images.milvus import connection as connections
from similar_images.milvus import loading
from similar_images.milvus.connection import CollectionGone, Connection, normalise_uri
from similar_images.milvus.manifest import MilvusIndex
from similar_images.networks.extras import MissingExtra

SECRET = "not-to-be-seen"


@pytest.fixture
def listener():
    """Address of a socket that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(connections, "DIAGNOSIS_SECONDS", 1.0)


@pytest.mark.parametrize("uri", ["http://root:{}@milvus:19530", "https://{}@milvus", "http://milvus:1?token={}"])
def test_uri_with_credentials_is_refused_without_repeating_them(run, tmp_path, uri):
    saved(tmp_path, clustered(20, 8))
    done = run("build", "-i", "v.npy", "--milvus", uri.format(SECRET))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "MILVUS_TOKEN" in done.stderr and SECRET not in done.stderr + done.stdout
    assert not [file for file in tmp_path.iterdir() if "milvus" in file.name]


@pytest.mark.parametrize("uri", ["ftp://milvus", "photos", "http://", "http://milvus:99999", "http://[::"])
def test_invalid_address_is_refused(uri):
    with pytest.raises(ValueError, match="expected"):
        normalise_uri(uri)


def test_address_is_normalised():
    assert normalise_uri("http://milvus/") == "http://milvus:19530"
    assert normalise_uri("https://[::1]:443/photos/") == "https://[::1]:443/photos"
    assert normalise_uri("some/photos.db") == "some/photos.db"


def test_unreachable_server_gives_one_line(run, tmp_path):
    saved(tmp_path, clustered(20, 8))
    began = time.monotonic()
    done = run("build", "-i", "v.npy", "--milvus", "http://127.0.0.1:1")
    assert done.returncode == 1 and time.monotonic() - began < 60
    assert done.stderr.splitlines()[-1] == (
        "Error: no Milvus answers at http://127.0.0.1:1: start it, or check the address"
    )
    assert "Traceback" not in done.stderr


def test_silent_server_times_out(quick, listener):
    with pytest.raises(TimeoutError, match="no Milvus answered within 1 s"):
        Connection(listener).call("list_collections")


def test_server_without_tls_is_reported(quick, listener):
    with pytest.raises(OSError, match=r"TLS to Milvus at .* failed .*use http://|no Milvus answers"):
        Connection(listener.replace("http", "https")).call("list_collections")


def test_import_closes_no_handler_of_logging(tmp_path):
    program = """
import logging
import os
from similar_images.milvus.connection import Connection

class Handler(logging.Handler):
    def close(self):
        print("closed")

logging.getLogger("own").addHandler(Handler())
try:
    Connection("http://127.0.0.1:1").call("list_collections")
except ConnectionError:
    print("no answer", flush=True)
os._exit(0)  # a usual exit closes handlers
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["no answer"]


def test_invalid_time_limit_is_refused(monkeypatch):
    monkeypatch.setenv("MILVUS_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="expected a number of seconds above 0 in MILVUS_TIMEOUT, got soon"):
        Connection("http://127.0.0.1:1").call("list_collections")


def test_missing_extra_names_the_install_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(
        MissingExtra, match=r"a search on Milvus needs pymilvus: pip install 'similar-images\[cluster\]'"
    ):
        Connection("http://127.0.0.1:1")


def test_faiss_search_does_not_import_milvus(tmp_path):
    saved(tmp_path, clustered(300, 8))
    program = (
        "import sys; from similar_images.cli.main import main; from similar_images import Collection\n"
        "main(['build', '-i', 'v.npy'], standalone_mode=False); Collection.open('v.npy').nearest(0, where={'folder': '1'})\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('pymilvus', 'milvus_lite', 'grpc')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_dropped_or_altered_collection_is_refused(milvus, tmp_path):
    vectors = saved(tmp_path, clustered(300, 16))
    manifest = milvus.build(vectors, "gone", similarity="cosine")
    reader = opened(vectors, manifest)
    search = reader.index.backend
    search.connection.call("delete", search.name, ids=[0, 1, 2])
    search.count()
    with pytest.raises(
        ValueError, match=r"expected 300 rows in gone_\w+ of Milvus at .*, got 297: load them with .*--overwrite"
    ):
        opened(vectors, manifest)
    data = [
        {"row": row, "vector": np.eye(16, dtype=np.float32)[0], "name": "", "name_folded": "", "folder": ""}
        for row in range(300)
    ]
    search.connection.call("upsert", search.name, data)
    search.count()
    with pytest.raises(ValueError, match=r"has other vectors than .*--overwrite"):
        opened(vectors, manifest)
    search.connection.call("drop_collection", search.name)
    for ask in (lambda: reader.nearest(0), lambda: opened(vectors, manifest)):
        with pytest.raises(CollectionGone, match=r"is not in Milvus at .*--overwrite"):
            ask()


def test_collection_of_another_dimension_is_refused(milvus, tmp_path):
    vectors = saved(tmp_path, clustered(300, 16))
    manifest = milvus.build(vectors, "narrow", similarity="cosine")
    search = opened(vectors, manifest).index.backend
    flat = MilvusIndex(type="FLAT", built_with={})
    other = replace(search.manifest, collection="narrow_other", d=8, columns={}, index=flat)
    loading.create_collection(search.connection, other)
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "collection": "narrow_other"}))
    with pytest.raises(ValueError, match="narrow_other"):
        opened(vectors, manifest)
    with pytest.raises(ValueError, match="expected a vector of shape"):
        manifest.write_text(json.dumps(content))
        opened(vectors, manifest).nearest(np.ones(8, np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "http://a:b@c"},
        {"collection": "x; drop"},
        {"n": -1},
        {"columns": {"a": 1}},
        {"format": "?"},
        {"index": {"type": "?", "built_with": {}, "searched_with": {}}},
    ],
)
def test_damaged_manifest_is_refused(milvus, tmp_path, change):
    vectors = saved(tmp_path, clustered(60, 8))
    manifest = milvus.build(vectors, "damaged", similarity="cosine")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(ValueError, match=r"rebuild it with similar-images build --milvus"):
        opened(vectors, manifest)


def test_file_open_in_another_process_is_reported(run, tmp_path):
    saved(tmp_path, clustered(60, 8))
    connection = Connection(str(tmp_path / "v.milvus.db"))
    connection.call("list_collections")
    done = run("build", "-i", "v.npy", "--milvus", env=os.environ)
    assert done.returncode == 1 and "is open in another process" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_full_disk_is_reported_and_load_resumes(run, tmp_path):
    saved(tmp_path, clustered(3000, 64))
    program = (
        "import resource; from similar_images.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, -1))\n"
        "main(['build', '-i', 'v.npy', '--milvus', '--similarity', 'cosine'])"
    )
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and "is full" in done.stderr.splitlines()[-1], done.stderr
    again = run("build", "-i", "v.npy", "--milvus", "--similarity", "cosine")
    assert again.returncode == 0 and "resuming the interrupted load" in again.stderr, again.stderr
    assert len(opened(tmp_path / "v.npy", tmp_path / "v.milvus.json").nearest(5, 3)) == 3


@pytest.fixture
def guarded(tmp_path):
    """Server with TLS and access control."""
    if reason := why_not():
        pytest.skip(reason)
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command for a certificate")
    server = MilvusServer(
        tmp_path / "guarded",
        "authorization_enabled=true",
        "tls_mode=1",
        "server_pem_path=s.pem",
        "server_key_path=s.key",
        "ca_pem_path=s.pem",
    )
    server.folder.mkdir()
    certify = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=milvus -keyout s.key -out s.pem -addext"
    command = [*certify.split(), f"subjectAltName=IP:{server.host}"]
    subprocess.run(command, cwd=server.folder, check=True, capture_output=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.mark.cluster
def test_tls_and_a_token(run, guarded, tmp_path, monkeypatch, caplog, quick):
    vectors = saved(tmp_path / "v", clustered(300, 16))
    ca, uri = guarded.folder / "s.pem", guarded.uri("https")
    with pytest.raises(ConnectionError, match=r"speaks TLS: use https://"):
        Connection(guarded.uri()).call("list_collections")
    with pytest.raises(ConnectionError, match=r"self-signed certificate.*--milvus-ca"):
        Connection(uri).call("list_collections")
    with pytest.raises(PermissionError, match="it requires a token: set MILVUS_TOKEN"):
        Connection(uri, ca).call("list_collections")
    monkeypatch.setenv("MILVUS_TOKEN", f"root:{SECRET}")
    with pytest.raises(PermissionError, match="the token is wrong"):
        Connection(uri, ca).call("list_collections")
    monkeypatch.delenv("MILVUS_TOKEN")
    (tmp_path / "token").write_text("root:Milvus\n")
    monkeypatch.setenv("MILVUS_TOKEN_FILE", str(tmp_path / "token"))
    assert Connection(uri, ca).call("list_collections") == []
    done = run("build", "-i", vectors, "--milvus", uri, "--milvus-ca", ca)
    assert done.returncode == 0, done.stderr
    manifest = vectors.with_name("v.milvus.json")
    assert len(opened(vectors, manifest).nearest(3, 5)) == 5
    written = "".join(file.read_text(errors="replace") for file in vectors.parent.iterdir())
    assert "root:" not in written + done.stderr + done.stdout + caplog.text and SECRET not in caplog.text
