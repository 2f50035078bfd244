"""`similar-images notebook`: a working copy on the collection, served on this machine only."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest
from commands import one_line, program
from conftest import ROOT
from nbclient import NotebookClient

from similar_images.cli import notebook
from similar_images.cli.notebook import default_copy, write_copy
from similar_images.vectors.store import manifest_path, vectors_path

SECONDS = 300


def code(path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@contextmanager
def started(collection, *arguments: object, **environment: str) -> Iterator[subprocess.Popen]:
    """Start the server of a notebook, and end it after the block."""
    server = subprocess.Popen(
        program("notebook", collection.name, "--no-browser", *arguments),
        cwd=collection.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(address: str, server: subprocess.Popen) -> bytes:
    deadline = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(address, timeout=5) as opened:
                return opened.read()
        except (URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"no answer: {server.communicate()[0] if server.poll() is not None else 'still starting'}")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_server_on_loopback_offers_the_copy_and_ends_cleanly(indexed, sent):
    port, token = free_port(), secrets.token_hex()
    with started(indexed, "--port", port, JUPYTER_TOKEN=token) as server:
        api = f"http://127.0.0.1:{port}/api/contents/photos.ipynb?token={token}"
        served = json.loads(answer(api, server))["content"]["cells"]
        server.send_signal(sent)
        said, _ = server.communicate(timeout=SECONDS)
    assert server.returncode == 0 and "Traceback" not in said
    assert f"http://127.0.0.1:{port}/notebooks/photos.ipynb" in said
    assert said.endswith("Notebook server stopped\n")
    opening = next(cell["source"] for cell in served if cell["cell_type"] == "code")
    assert 'collection = Collection.open("photos_file_list.txt")' in opening
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        pass


def test_the_app_is_a_page_of_voila(indexed):
    port = free_port()
    with started(indexed, "--app", "--port", port) as server:
        answer(f"http://127.0.0.1:{port}/voila/static/voila.js", server)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=SECONDS)
    assert server.returncode == 0


def test_the_copy_opens_the_collection_and_shows_its_gallery_and_a_blind_test(indexed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    copy = default_copy(indexed)
    write_copy(indexed, copy)
    client = NotebookClient(nbformat.read(copy, as_version=4), timeout=300, allow_errors=True)
    done = client.execute(cwd=str(indexed.parent))
    by_id = {cell.id: cell for cell in done.cells}
    assert [output.output_type for output in by_id["open"].outputs] == []
    for cell in ("search", "blind-test"):
        (shown,) = by_id[cell].outputs
        assert "application/vnd.jupyter.widget-view+json" in shown.data


def test_the_copy_may_lie_in_another_folder(indexed, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "mine.ipynb"
    write_copy(indexed, copy)
    assert 'Collection.open("../photos_file_list.txt")' in code(copy)[0]


def test_texts_get_the_notebook_of_texts(indexed, tmp_path):
    manifest = manifest_path(vectors_path(indexed))
    content = json.loads(manifest.read_text())
    content["network"]["reads"] = "text"
    manifest.write_text(json.dumps(content))
    (tmp_path / "reviews.csv").write_text("text\nGood\n")
    for name in (indexed.name, vectors_path(indexed).name, "reviews.csv"):
        copy = tmp_path / "copy.ipynb"
        write_copy(tmp_path / name, copy)
        assert f'collection = TextCollection.open("{name}")' in code(copy)[0]
        assert not any("docs/reviews.csv" in cell for cell in code(copy))


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("photos_file_list.txt", "photos.ipynb"),
        ("photos_file_list.txt.saved_predictions.npy", "photos.ipynb"),
        ("reviews.csv", "reviews.ipynb"),
        ("docstrings_list.txt", "docstrings.ipynb"),
        ("v1.2.txt", "v1.2.ipynb"),
    ],
)
def test_the_copy_is_named_after_the_collection(name, copy, tmp_path):
    assert default_copy(tmp_path / name) == tmp_path / copy


def test_an_existing_copy_is_kept(indexed, run, monkeypatch):
    mine = default_copy(indexed)
    mine.write_text("mine")
    monkeypatch.setattr(notebook, "_serve", lambda *arguments: None)
    done = run("notebook", indexed)
    assert done.returncode == 0 and "is opened unchanged" in done.stderr
    assert mine.read_text() == "mine"


def test_without_jupyter_one_line_names_the_extra(indexed, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "notebook", None)
    refused = one_line(run("notebook", indexed))
    assert refused == "Error: this command needs notebook: pip install 'similar-images[notebook]'\n"
    assert not default_copy(indexed).exists()


def test_a_list_without_vectors_is_one_line(run, tmp_path):
    (tmp_path / "new_file_list.txt").write_text("a.jpg\n")
    assert "run `similar-images extract` first" in one_line(run("notebook", "new_file_list.txt"))
