"""Network traffic of a command, recorded by strace: native code is seen too."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

CALLS = "connect,sendto,sendmsg,sendmmsg"
ADDRESS = re.compile(r'htons\((\d+)\).*?(?:inet_addr\("|AF_INET6, ")([^"]+)"')
RESOLVER = "io.systemd.Resolve"  # a socket; looks names up for other processes
LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.")
IN_CI = ("CI", "TF_BUILD", "JENKINS_URL")  # OpenVINO does not report where one of these is set


def recorded(command: list[str], folder: Path, home: Path) -> list[str]:
    """Run a command in a folder with a home of its own; return its calls that look up a name or leave the machine.

    The test is skipped without strace, and fails if the command does.
    """
    if shutil.which("strace") is None or subprocess.run(["strace", "true"], capture_output=True).returncode:
        pytest.skip("no strace that can trace processes: install it (apt install strace)")
    log = home / "strace.log"
    tracing = ["strace", "-f", "--seccomp-bpf", "-e", f"trace={CALLS}", "-e", "signal=none", "-s", "99", "-o", str(log)]
    kept = {name: value for name, value in os.environ.items() if name not in IN_CI and not name.startswith("ORT_")}
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "KERAS_HOME": str(home / ".keras")}
    environment = {**kept, **own, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(tracing + command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [line for line in log.read_text(errors="replace").splitlines() if _leaves(line)]


def _leaves(line: str) -> bool:
    if RESOLVER in line:
        return True
    port, address = found.groups() if (found := ADDRESS.search(line)) else ("0", "127.")
    return port == "53" or not LOOPBACK.match(address)


def traces(home: Path) -> list[str]:
    """Return the files of ONNX Runtime's and OpenVINO's telemetry in a home."""
    found = (path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    return sorted(path for path in found if path.startswith("intel/") or ".onnxruntime/" in path)
