"""Fixtures of the download scripts: a server, a folder, and a PATH with chosen tools."""

import os
import shutil
import subprocess
import sys
import threading

import pytest
from downloads import LIMIT, TOOLS, Server, with_downloader, write_tool


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
    """The only folder on the PATH, without curl and wget."""
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


@pytest.fixture
def small_disk(folder):
    """Mounts a disk of 1 MB on `folder`; yields a function that enlarges it."""

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
