"""Connection to a Milvus server, a cluster or the embedded Milvus Lite.

Each failure becomes one line with a remedy, within a time limit. Credentials are read from the environment whenever a
connection is made, and stored nowhere.
"""

import logging
import logging.config
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from similar_images import forks
from similar_images.milvus import lite
from similar_images.networks.extras import need

ANSWER_SECONDS = 10.0  # limit of a search or a question
WRITE_SECONDS = 120.0  # limit of writing a batch of rows, or of starting to build an index
DIAGNOSIS_SECONDS = 3.0  # to find out why a connection fails
TIMEOUT_VARIABLE = "MILVUS_TIMEOUT"  # seconds that replace ANSWER_SECONDS
CREDENTIALS = "MILVUS_TOKEN, MILVUS_TOKEN_FILE, or MILVUS_USER and MILVUS_PASSWORD"
NOT_FOUND, NOT_LOADED = 100, 101  # error codes of Milvus
FULL_MESSAGES = ("disk quota", "quota exceeded", "force deny", "no space left", "file too large", "memory quota")
_importing = forks.new_lock()  # the configuration of logging belongs to the whole process


class CollectionGone(ValueError):
    """Milvus no longer has the collection that a manifest names."""


class NotLoaded(ValueError):
    """Milvus has the collection, but its query nodes have not loaded it."""


def is_file(uri: str) -> bool:
    """Return whether a URI is a file of Milvus Lite rather than a server's address."""
    return "://" not in uri


def normalise_uri(uri: str) -> str:
    """Return a URI with its port. Raises ValueError if it contains credentials or is neither http(s) nor a .db file."""
    if is_file(uri):
        if not uri.endswith(".db"):
            raise ValueError(f"expected a file ending in .db for Milvus Lite, or http(s)://HOST:PORT, got {uri}")
        return uri
    try:
        parts = urlsplit(uri)
        host, port, has_credentials = parts.hostname, parts.port, "@" in parts.netloc
    except ValueError:
        raise ValueError("expected http(s)://HOST:PORT of a Milvus server, got an invalid address") from None
    if has_credentials or parts.query:
        raise ValueError(
            f"expected an address of Milvus without credentials: remove them, and set {CREDENTIALS} in the environment"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"expected http(s)://HOST:PORT of a Milvus server, or a file ending in .db, got {uri}")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port or 19530}{parts.path.rstrip('/')}"


class Connection:
    """Milvus at a URI. The first call connects; after a failure the next call reconnects."""

    def __init__(self, uri: str, ca: Path | None = None):
        """`ca` is the certificate (PEM) of a private authority, for https. Raises ValueError for an invalid URI."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # errors are reported here, not on stderr
        with _without_logging_setup():
            need("pymilvus", "cluster", "a search on Milvus")
        self.uri, self.ca = normalise_uri(uri), ca
        if ca is not None and not ca.is_file():
            raise FileNotFoundError(f"there is no certificate {ca}: name the authority's with --milvus-ca")
        self._client: Any = None
        self._lock = forks.new_reentrant_lock()

    @property
    def is_embedded(self) -> bool:
        """Whether this is Milvus Lite."""
        return is_file(self.uri)

    def call(self, method: str, *args: Any, seconds: float | None = None, **kwargs: Any) -> Any:
        """Call a method of MilvusClient and return its result.

        Raises CollectionGone, NotLoaded, OSError (ConnectionError, TimeoutError, PermissionError) or ValueError.
        """
        limit = read_timeout() if seconds is None else seconds
        client = self._connect()
        return self._translate_errors(lambda: getattr(client, method)(*args, timeout=limit, **kwargs), limit)

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                if self.is_embedded:
                    need("milvus_lite", "cluster", "Milvus Lite")
                    address = lite.start(Path(self.uri))
                    self._client = self._translate_errors(lambda: _open_client(address), ANSWER_SECONDS)
                else:
                    options: dict[str, Any] = {"secure": True} if self.uri.startswith("https:") else {}
                    options |= {"server_pem_path": str(self.ca)} if self.ca else {}
                    self._client = self._translate_errors(
                        lambda: _open_client(self.uri, token=_read_token(), **options),
                        ANSWER_SECONDS,
                        is_connecting=True,
                    )
            return self._client

    def _translate_errors(self, work: Callable[[], Any], limit: float, is_connecting: bool = False) -> Any:
        """Return the result of `work`. Errors of pymilvus and gRPC become the errors that `call` documents."""
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            return work()
        except (grpc.RpcError, MilvusException) as error:
            cause: Any = error.__cause__ if isinstance(error.__cause__, grpc.RpcError) else error
            if isinstance(cause, grpc.RpcError):
                call: Any = cause
                failure = self._as_error(call.code(), str(call.details()), limit, is_connecting)
            else:
                failure = self._as_error(cause.code, str(cause.message), limit, is_connecting)
        raise failure

    def _as_error(self, code: Any, message: str, limit: float, is_connecting: bool) -> Exception:
        import grpc

        reason, status = " ".join(message.split())[:300], grpc.StatusCode
        lowered = reason.casefold()
        if code == NOT_FOUND or "can't find collection" in lowered or "collection not found" in lowered:
            return CollectionGone(f"the collection is not in Milvus at {self.uri}")
        if code == NOT_LOADED or "collection not loaded" in lowered:
            return NotLoaded(f"the collection is not loaded in Milvus at {self.uri}")
        if code in (status.UNAUTHENTICATED, status.PERMISSION_DENIED) or "auth check failure" in lowered:
            return self._access_error()
        if any(sign in lowered for sign in FULL_MESSAGES):
            return OSError(
                f"Milvus at {self.uri} is full ({reason}): free space or raise its quota, then rerun to resume"
            )
        if is_connecting:
            return self._diagnose()
        if code == status.DEADLINE_EXCEEDED or "deadline exceeded" in lowered:
            return TimeoutError(
                f"Milvus at {self.uri} did not answer within {limit:g} s: try again, or allow more with "
                f"{TIMEOUT_VARIABLE}=SECONDS"
            )
        if code == status.UNAVAILABLE or "unavailable" in lowered or "retry timeout" in lowered:
            with self._lock:
                self._client = None  # the next call reconnects
            return self._no_answer_error()
        return ValueError(f"Milvus at {self.uri} refused: {reason}")

    def _no_answer_error(self) -> ConnectionError:
        return ConnectionError(f"no Milvus answers at {self.uri}: start it, or check the address")

    def _access_error(self) -> PermissionError:
        problem = "the token is wrong" if _read_token() else "it requires a token"
        return PermissionError(f"Milvus at {self.uri} refused access, {problem}: set {CREDENTIALS} in the environment")

    def _diagnose(self) -> OSError:
        """Return the reason for a failed connection: pymilvus gives the same message for all reasons."""
        parts = urlsplit(self.uri)
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 0), DIAGNOSIS_SECONDS) as plain:
                speaks_tls, tls_fault = self._try_tls(plain, parts.hostname or "")
        except OSError:
            return self._no_answer_error()
        if parts.scheme == "http":
            if speaks_tls:
                return ConnectionError(f"Milvus at {self.uri} speaks TLS: use https://")
        elif tls_fault:
            remedy = (
                "name its authority's certificate with --milvus-ca" if speaks_tls else "it speaks no TLS, use http://"
            )
            return ConnectionError(f"TLS to Milvus at {self.uri} failed ({tls_fault}): {remedy}")
        return TimeoutError(f"something listens at {self.uri}, but no Milvus answered within {ANSWER_SECONDS:g} s")

    def _try_tls(self, plain: socket.socket, host: str) -> tuple[bool, str]:
        """Return whether the other end speaks TLS, and why the handshake failed, if it did."""
        try:
            with ssl.create_default_context(cafile=self.ca).wrap_socket(plain, server_hostname=host):
                return True, ""
        except ssl.SSLCertVerificationError as error:
            return True, error.verify_message
        except (ssl.SSLError, OSError) as error:
            return False, str(getattr(error, "reason", None) or error)


def read_timeout() -> float:
    """Return the seconds that a question may take, from the environment. Raises ValueError if they are invalid."""
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text) if text else ANSWER_SECONDS
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"expected a number of seconds above 0 in {TIMEOUT_VARIABLE}, got {text}")
    return seconds


def _read_token() -> str:
    """Return the credentials in the environment; an empty string without any."""
    if token := os.environ.get("MILVUS_TOKEN"):
        return token
    if file := os.environ.get("MILVUS_TOKEN_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise FileNotFoundError("MILVUS_TOKEN_FILE does not name a readable file") from None
    user, password = (os.environ.get(f"MILVUS_{name}", "") for name in ("USER", "PASSWORD"))
    return f"{user}:{password}" if user and password else ""


@contextmanager
def _without_logging_setup() -> Iterator[None]:
    """Keep the handlers of logging while pymilvus is imported: its own configuration of logging closes all of them.

    The handler of absl, a package of TensorFlow, then closes the standard error of a notebook during a command.
    """
    with _importing:
        configure = logging.config.dictConfig
        logging.config.dictConfig = lambda config: None
        try:
            yield
        finally:
            logging.config.dictConfig = configure


def _open_client(uri: str, **options: Any) -> Any:
    import pymilvus

    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they log each error with a traceback
    return pymilvus.MilvusClient(uri, timeout=min(ANSWER_SECONDS, read_timeout()), **options)
