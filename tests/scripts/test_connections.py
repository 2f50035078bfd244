"""Connections, servers and command lines: what all download scripts share."""

import re
import time
from http.server import ThreadingHTTPServer

import pytest
from conftest import ROOT
from downloads import (
    DATASET,
    LIMIT,
    LIST,
    TWEETS,
    VECTORS,
    Answer,
    assert_dataset_is_complete,
    assert_fails,
    files,
    images_zip,
    kill,
    ranges,
    run,
    start,
    write_tool,
)


def test_a_broken_connection_resumes(folder, path, server):
    server.content, server.breaks = images_zip(), 2
    assert_dataset_is_complete(run(DATASET, folder, path, server), folder)
    half = len(server.content) // 2
    quarter = (len(server.content) - half) // 2
    assert ranges(server) == [None, f"bytes={half}-", f"bytes={half + quarter}-"]


def test_a_silent_connection_is_dropped_and_resumes(folder, path, server):
    server.content, server.stalls = images_zip(), 1
    assert_dataset_is_complete(run(DATASET, folder, path, server, DOWNLOAD_TIMEOUT="2"), folder)
    assert ranges(server) == [None, f"bytes={len(server.content) // 2}-"]


def test_a_server_that_cannot_resume_starts_over_or_is_given_up(folder, path, server):
    server.content, server.breaks, server.ranges = images_zip(), 1000, False
    assert_fails(run(DATASET, folder, path, server), "3 attempts brought no new data. Rerun later to resume after")
    assert not (folder / "val2014").exists() and not (folder / LIST).exists()
    server.breaks = 1
    assert_dataset_is_complete(run(DATASET, folder, path, server), folder)


def test_killed_download_resumes(folder, path, server):
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
    size = partial.stat().st_size
    assert 0 < size <= len(server.content) // 2
    assert_dataset_is_complete(run(DATASET, folder, path, server), folder)
    assert ranges(server) == [None, f"bytes={size}-"]


def test_a_download_killed_when_complete_is_not_fetched_again(folder, path, server):
    server.content = images_zip()
    (folder / "val2014.zip.part").write_bytes(server.content)
    assert_dataset_is_complete(run(DATASET, folder, path, server), folder)
    assert ranges(server) == [f"bytes={len(server.content)}-"]


def test_too_small_a_disk_is_an_error_before_the_download(folder, curl, server):
    server.content = images_zip()
    disk = "echo Filesystem 1024-blocks Used Available Capacity Mounted on; echo disk 9 8 1000 9% /"
    write_tool(curl, "df", disk)
    for script, needed in ((DATASET, "13291 MB"), (VECTORS, "6646 MB")):
        result = run(script, folder, curl, server, COCO_BYTES="6645013297", COCO_VECTORS_BYTES="6645013297")
        assert_fails(result, f"requires {needed} of disk space in {folder}", "got 2 MB")
    assert server.requests == [] and files(folder) == []


def test_missing_address_is_requested_once(folder, path, server):
    server.status = 404
    assert_fails(run(DATASET, folder, path, server), "check the address")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(folder, curl, server):
    server.status = 503
    assert_fails(run(DATASET, folder, curl, server), "3 attempts brought no new data")
    assert len(server.requests) == 3


def test_missing_server_is_given_up(folder, path, server):
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as closed:
        nowhere = f"http://127.0.0.1:{closed.server_port}"
    assert_fails(run(DATASET, folder, path, server, COCO_URL=nowhere), "3 attempts brought no new data")


def test_a_file_is_no_address(folder, curl, server):
    assert_fails(run(DATASET, folder, curl, server, COCO_URL="file:///etc"), "expected http:// or https://")


@pytest.mark.parametrize("script", [DATASET, VECTORS, TWEETS])
def test_a_page_instead_of_the_zip_is_recognised(script, folder, path, server):
    server.content = b"\n<!DOCTYPE html><html><title>Log in</title></html>"
    assert_fails(run(script, folder, path, server), "expected a zip, got a web page: open the address in a browser")
    assert files(folder) == []


@pytest.mark.parametrize("script", [DATASET, VECTORS])
def test_without_a_downloader_or_unzip_the_message_names_them(script, folder, tools, server):
    assert_fails(run(script, folder, tools, server), "requires curl or wget: install one of them")
    (tools / "unzip").unlink()
    assert_fails(run(script, folder, tools, server), "requires unzip: install it")


@pytest.mark.parametrize("script", [DATASET, VECTORS, TWEETS])
def test_help_names_every_variable_and_starts_nothing(script, folder, tools, server):
    source = (ROOT / script).read_text() + (ROOT / "scripts/download.sh").read_text()
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
