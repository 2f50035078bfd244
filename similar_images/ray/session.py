"""A connection to Ray, started on this machine or joined: quiet, and without telemetry."""

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from similar_images.networks.extras import need

AUTO = "auto"  # instead of an address: start Ray on this machine, and end it
CONNECT_SECONDS = 5  # to a port
JOIN_SECONDS = 60  # until Ray answers
MAX_FOLDER_CHARS = 40  # the path of a socket has at most 107 characters, and Ray needs 62
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray would report dying workers on stdout, among the results
}
# Ray on this machine alone asks no other host for its address, and listens on 127.0.0.1 (as on Windows and macOS).
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
TRY = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); ray.shutdown()"
NO_TOKEN = "no authentication token"  # in messages of Ray
REFUSED = ("InvalidAuthToken", "Unauthenticated")
WITH_TOKEN = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to the token of the cluster"


class Session:
    """A connection to Ray. `rejoin` renews it, which ends all work of this process on the cluster."""

    def __init__(self, ray: ModuleType, address: str, options: dict[str, Any]):
        self.ray, self.address, self._options = ray, address, options
        self._join()

    @property
    def is_local(self) -> bool:
        return self.address == AUTO

    def rejoin(self) -> None:
        self.ray.shutdown()
        self._join()

    def _join(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGTERM) if in_main else None
        # Without this file in the home, Ray asks cloud metadata servers by name. Workers have the user's home.
        home = {"HOME": self._options["_temp_dir"]} if self.is_local else {}
        if self.is_local:
            Path(home["HOME"], "ray_bootstrap_config.yaml").write_text("{}", encoding="utf-8")
        try:
            with _environment(home):
                self.ray.init(log_to_driver=False, logging_level="ERROR", **self._options)
        except Exception as error:  # Ray raises anything, from ConnectionError to RuntimeError
            where = "on this machine" if self.is_local else f"at {self.address}"
            raise OSError(f"cannot start or join Ray {where}: {error}") from error
        finally:
            if in_main:
                signal.signal(signal.SIGTERM, handler)  # Ray sets its own


@contextmanager
def connect(address: str = AUTO) -> Iterator[Session]:
    """Yield a connection to the Ray cluster at `address`, HOST:PORT, or to a new one on this machine (AUTO).

    For a cluster with a token, RAY_AUTH_MODE is "token" and the token is in RAY_AUTH_TOKEN, or in the file
    RAY_AUTH_TOKEN_PATH. A new cluster has its own token and no dashboard, and ends with the block or this process.
    Raises MissingExtra without Ray, OSError, in bounded time, if no cluster answers at the address.
    """
    own = LOOPBACK | {"RAY_AUTH_TOKEN": secrets.token_hex(32)} if address == AUTO else {}
    with _environment(QUIET | own), _folder() as folder, _silent_backend():
        need("ray.data", "cluster", "--ray")
        import ray

        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if ray.is_initialized():
            raise OSError("this process is connected to Ray already: disconnect it with ray.shutdown()")
        if address != AUTO:
            _check(address)
        options: dict[str, Any] = {"address": address}
        if address == AUTO:
            options = {"include_dashboard": False, "_temp_dir": folder, "runtime_env": {"env_vars": _home()}}
        try:
            yield Session(ray, address, options)
        finally:
            ray.shutdown()


def _check(address: str) -> None:
    """Raise OSError if no cluster answers. Another process tries it: Ray would try for minutes, and exit."""
    parts = urlsplit(f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:  # also ray://: Ray Data does not support clients
        raise ValueError(f"expected the HOST:PORT of a Ray cluster, on one of its nodes, or {AUTO}, got {address}")
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise OSError(
            f"no Ray cluster answers at {address} ({error}): check the address and `ray status` there"
        ) from error
    command = [sys.executable, "-c", TRY, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            output = process.communicate(timeout=JOIN_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = f"{process.communicate()[0]}\nno answer in {JOIN_SECONDS} s"
    if process.returncode == 0:
        return
    if NO_TOKEN in output or any(sign in output for sign in REFUSED):
        raise PermissionError(f"the Ray cluster at {address} refuses the token, or there is none: {WITH_TOKEN}")
    raise OSError(f"cannot join the Ray cluster at {address}: {output.strip().splitlines()[-1]}")


def _home() -> dict[str, str]:
    return {"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _silent_backend() -> Iterator[None]:
    """Drop the output of Ray's C++ code on stderr; keep the output of Python."""
    python = sys.stderr
    try:
        shares = python is not None and python.fileno() == 2
    except (OSError, ValueError):  # a notebook's
        shares = False
    kept = os.dup(2)
    if shares:
        python.flush()
        sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1, encoding=python.encoding, errors=python.errors)
    with Path(os.devnull).open("wb") as silence:
        os.dup2(silence.fileno(), 2)
    try:
        yield
    finally:
        if shares:
            sys.stderr.close()
            sys.stderr = python
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _folder() -> Iterator[str]:
    """Yield a new temporary folder with a short path, for sockets."""
    place = tempfile.gettempdir()
    folder = tempfile.mkdtemp(
        prefix="ray-", dir=place if len(place) <= MAX_FOLDER_CHARS - len("/ray-12345678") else "/tmp"
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
