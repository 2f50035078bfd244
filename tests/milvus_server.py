"""Milvus server for tests, in its own network namespace: it listens on all interfaces."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from itertools import count
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = Path(os.environ.get("SIMILAR_IMAGES_MILVUS", ROOT / ".venv" / "milvus"))
START_SECONDS = 120
_numbers = count()  # one per server of this process
# Replaces its process by the server, which keeps the process id.
RUN = """
import os, re, sys
from pathlib import Path
import milvus

folder, options = Path(sys.argv[1]), dict(option.split("=", 1) for option in sys.argv[2:])
config = milvus.MilvusServerConfig(data_dir=str(folder))
settings = {name.split(".")[-1]: options.pop(name) for name in [*options] if "." in name}  # unknown to the package
for name, value in options.items():
    kind = config.get_type(name) if name in config.configurable_items else str
    config.set(name, value == "true" if kind is bool else kind(value))
config.resolve()
milvus._initialize_data_files(str(folder))
written = folder / "configs" / "milvus.yaml"
for name, value in settings.items():
    written.write_text(re.sub(rf"(?m)^( +{name}:) \\S+", rf"\\1 {value}", written.read_text()))
libraries, log = str(folder / "bin"), os.open(folder / "server.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
os.chdir(folder)
os.dup2(log, 1), os.dup2(log, 2)
own = {"DEPLOY_MODE": "STANDALONE", "METRICS_PORT": "9091", "MILVUS_RUN_DIR": str(folder / "run")}
os.execve(f"{libraries}/milvus", ["milvus", "run", "standalone"], {**os.environ, **own, "LD_LIBRARY_PATH": libraries})
"""


def why_not() -> str:
    """Return the reason for not starting a server; an empty string if one can run."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None:
        return "a Milvus server needs its own network namespace: root, and the command ip"
    if not (PACKAGE / "milvus").is_dir():
        return f"there is no Milvus server in {PACKAGE}: run `make test-cluster`"
    return ""


class MilvusServer:
    """Server that keeps its data when it is killed and restarted."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self._options = folder, options
        number, process = next(_numbers), os.getpid()
        self._name = f"simmv{process}x{number}"
        network = f"10.{200 + process // 256 % 50}.{process % 256}"
        ours, self.host = f"{network}.{4 * number + 1}", f"{network}.{4 * number + 2}"
        self._process: subprocess.Popen | None = None
        ip("netns", "add", self._name)
        outside, inside = f"mv{process}x{number}o", f"mv{process}x{number}i"
        ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self._name)
        ip("addr", "add", f"{ours}/30", "dev", outside)
        ip("link", "set", outside, "up")
        ip("-n", self._name, "addr", "add", f"{self.host}/30", "dev", inside)
        ip("-n", self._name, "link", "set", inside, "up")
        ip("-n", self._name, "link", "set", "lo", "up")

    def uri(self, scheme: str = "http") -> str:
        return f"{scheme}://{self.host}:19530"

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["ip", "netns", "exec", self._name, sys.executable, "-c", RUN, str(self.folder), *self._options]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.host}:9091/healthz", timeout=1) as answer:
                    if b"OK" in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.2)
        self.kill()
        raise RuntimeError(f"the Milvus server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the server, like a power cut."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop the server and delete its namespace."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
        self.kill()
        ip("netns", "delete", self._name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    """Server without access control."""
    if reason := why_not():
        pytest.skip(reason)
    server = MilvusServer(tmp_path_factory.mktemp("milvus") / "server")
    try:
        server.start()
        yield server
    finally:
        server.close()
