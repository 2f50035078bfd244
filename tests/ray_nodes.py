"""Nodes of a Ray cluster on one machine, each in a network namespace of its own, joined by a bridge; needs root."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

TOKEN = "0123456789abcdef" * 4
PORT = 6379
JOINED = "import ray, sys; ray.init(address=sys.argv[1]); print(sum(node['Alive'] for node in ray.nodes()))"
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


class Node:
    """A process `ray start --block` in a namespace; `run` starts others there."""

    def __init__(self, namespace: str, address: str, folder: str):
        self.namespace, self.address, self.folder = namespace, address, folder
        self.process: subprocess.Popen | None = None

    def environment(self, token: str | None = TOKEN) -> dict[str, str]:
        known = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "error"}
        return os.environ | known | ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {})

    def start(self, *options: str, hidden: Sequence[object] = ()) -> None:
        """Start Ray; the `hidden` folders are empty for this node: mounts of a namespace are private."""
        before = " && ".join(["true", *(f"mount -t tmpfs none {shlex.quote(str(folder))}" for folder in hidden)])
        command = [
            "sh",
            "-c",
            f'{before} && exec "$@"',
            "sh",
            *RAY,
            "start",
            "--block",
            f"--node-ip-address={self.address}",
            "--disable-usage-stats",
            *options,
        ]
        self.process = self.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def join(self, head: "Node", *hidden: object) -> None:
        """Start Ray as a node with one CPU, and a folder of its own for Ray's files."""
        self.start(f"--address={head.address}:{PORT}", "--num-cpus=1", hidden=(self.folder, *hidden))

    def popen(self, command: list[str], token: str | None = TOKEN, **options) -> subprocess.Popen:
        inside = ["ip", "netns", "exec", self.namespace, *command]
        return subprocess.Popen(inside, env=self.environment(token), **options)

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Return the node's processes whose command line contains `name`."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if any(name in part for part in child.cmdline())]

    def kill(self) -> None:
        """Kill all processes of the node, by their ids."""
        if self.process is None or self.process.poll() is not None:
            return
        processes = [*self.processes(), psutil.Process(self.process.pid)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(processes, timeout=30)


@contextmanager
def cluster(workers: int) -> Iterator[list[Node]]:
    """Yield a head without CPUs, and joined workers with one CPU each."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("several nodes need root and iproute2, for network namespaces")
    name = f"si{os.getpid()}"
    bridge = f"{name}b"
    with ExitStack() as stack:
        add_namespace(stack, bridge)
        ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", bridge, "link", "set", "br0", "up")
        nodes = []
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True))
        for number in range(workers + 1):
            node = Node(f"{name}n{number}", f"10.213.0.{number + 1}", folder)
            add_namespace(stack, node.namespace)
            ip("-n", bridge, "link", "add", f"v{number}", "type", "veth", "peer", "eth0", "netns", node.namespace)
            ip("-n", bridge, "link", "set", f"v{number}", "master", "br0", "up")
            ip("-n", node.namespace, "address", "add", f"{node.address}/24", "dev", "eth0")
            ip("-n", node.namespace, "link", "set", "eth0", "up")
            ip("-n", node.namespace, "link", "set", "lo", "up")
            stack.callback(node.kill)
            nodes.append(node)
        head, *others = nodes
        head.start("--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}")
        time.sleep(5)
        for node in others:
            node.join(head)
        wait_until_joined(head, workers + 1)
        yield nodes


def wait_until_joined(head: Node, count: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        done = head.popen(
            [sys.executable, "-c", JOINED, f"{head.address}:{PORT}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output, error = done.communicate(timeout=100)
        if output.strip() == str(count):
            return
        time.sleep(1)
    raise TimeoutError(f"expected {count} nodes, got {output}: {error}")


def add_namespace(stack: ExitStack, name: str) -> None:
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        pytest.skip("network namespaces are not allowed here")
    stack.callback(subprocess.run, ["ip", "netns", "delete", name], capture_output=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
