"""A connection to Milvus, a server or cluster or the embedded Milvus Lite: credentials, time limits, clear errors.

Every failure is one line with its remedy, after a limited time. The credentials come from the environment each time that a
connection is made, and are kept nowhere else.
"""

import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from similar_images import forks
from similar_images.milvus import lite
from similar_images.networks.extras import need

ANSWER = 10.0  # seconds for a search or a question
WRITE = 120.0  # for a batch of rows, or for the building of an index to begin
DIAGNOSIS = 3.0  # to find out why there is no connection
TIMEOUT = "MILVUS_TIMEOUT"  # the environment's seconds in place of ANSWER
CREDENTIALS = "MILVUS_TOKEN, MILVUS_TOKEN_FILE, or MILVUS_USER and MILVUS_PASSWORD"
NOT_FOUND, NOT_LOADED, NO_INDEX = 100, 101, 700  # codes of Milvus
FULL = ("disk quota", "quota exceeded", "force deny", "no space left", "file too large", "memory quota")


class CollectionGone(ValueError):
    """The collection that a manifest names is not in Milvus any more."""


class NotLoaded(ValueError):
    """A collection is in Milvus, but not in the memory of its query nodes."""


def is_file(uri: str) -> bool:
    """Return whether a URI is the file of Milvus Lite, not the address of a server."""
    return "://" not in uri


def checked(uri: str) -> str:
    """Return a URI as it can be used and kept. Raises ValueError for credentials in it, and for another scheme."""
    if is_file(uri):
        if not uri.endswith(".db"):
            raise ValueError(f"expected a file ending in .db for Milvus Lite, or http(s)://HOST:PORT, got {uri}")
        return uri
    try:
        parts = urlsplit(uri)
        host, port, has_credentials = parts.hostname, parts.port, "@" in parts.netloc
    except ValueError:
        raise ValueError("expected http(s)://HOST:PORT of a Milvus server, got an address that is none") from None
    if has_credentials or parts.query:
        raise ValueError(
            f"expected an address of Milvus without credentials: remove them, and set {CREDENTIALS} in the environment"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"expected http(s)://HOST:PORT of a Milvus server, or a file ending in .db, got {uri}")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port or 19530}{parts.path.rstrip('/')}"


class Connection:
    """Milvus at a URI. It connects with the first call; after a failure the next call tries again."""

    def __init__(self, uri: str, ca: Path | None = None):
        """`ca` is the certificate of an own authority (PEM), for https. Raises ValueError for a URI that is none."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes to stderr what is reported here
        need("pymilvus", "cluster", "a search on Milvus")
        self.uri, self.ca = checked(uri), ca
        if ca is not None and not ca.is_file():
            raise FileNotFoundError(f"there is no certificate {ca}: name the authority's with --milvus-ca")
        self._client: Any = None
        self._lock = forks.new_reentrant_lock()

    @property
    def is_embedded(self) -> bool:
        """Whether this is Milvus Lite."""
        return is_file(self.uri)

    def call(self, method: str, *args: Any, seconds: float | None = None, **kwargs: Any) -> Any:
        """Return what a method of MilvusClient returns.

        Raises CollectionGone, NotLoaded, OSError (ConnectionError, TimeoutError, PermissionError) or ValueError.
        """
        limit = answer_seconds() if seconds is None else seconds
        client = self._connected()
        return self._reported(lambda: getattr(client, method)(*args, timeout=limit, **kwargs), limit)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                if self.is_embedded:
                    need("milvus_lite", "cluster", "Milvus Lite")
                    self._client = self._reported(lambda: _client(lite.address(Path(self.uri))), ANSWER)
                else:
                    secure = {"secure": True} if self.uri.startswith("https:") else {}
                    trusted = {"server_pem_path": str(self.ca)} if self.ca else {}
                    self._client = self._reported(
                        lambda: _client(self.uri, token=_token(), **secure, **trusted), ANSWER, connecting=True
                    )
            return self._client

    def _reported(self, work: Callable[[], Any], limit: float, connecting: bool = False) -> Any:
        """Do the work, whose failures become errors of this module; nothing of pymilvus', nor its log, is shown."""
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            return work()
        except (grpc.RpcError, MilvusException) as error:
            cause: Any = error.__cause__ if isinstance(error.__cause__, grpc.RpcError) else error
            if isinstance(cause, grpc.RpcError):
                known: Any = cause
                failure = self._failure(known.code(), str(known.details()), limit, connecting)
            else:
                failure = self._failure(cause.code, str(cause.message), limit, connecting)
        raise failure

    def _failure(self, code: Any, message: str, limit: float, connecting: bool) -> Exception:
        import grpc

        said, status = " ".join(message.split())[:300], grpc.StatusCode
        lowered = said.casefold()
        if code == NOT_FOUND or "can't find collection" in lowered or "collection not found" in lowered:
            return CollectionGone(f"the collection is not in Milvus at {self.uri}")
        if code == NOT_LOADED or "collection not loaded" in lowered:
            return NotLoaded(f"the collection is not loaded in Milvus at {self.uri}")
        if code in (status.UNAUTHENTICATED, status.PERMISSION_DENIED) or "auth check failure" in lowered:
            return self._unauthorised()
        if any(sign in lowered for sign in FULL):
            return OSError(
                f"Milvus at {self.uri} is full ({said}): free space or raise its quota, then rerun to resume"
            )
        if connecting:
            return self._unconnected()
        if code == status.DEADLINE_EXCEEDED or "deadline exceeded" in lowered:
            return TimeoutError(
                f"Milvus at {self.uri} did not answer within {limit:g} s: try again, or allow more with {TIMEOUT}=SECONDS"
            )
        if code == status.UNAVAILABLE or "unavailable" in lowered or "retry timeout" in lowered:
            with self._lock:
                self._client = None  # its next call connects anew
            return self._down()
        return ValueError(f"Milvus at {self.uri} refused: {said}")

    def _down(self) -> ConnectionError:
        return ConnectionError(f"no Milvus answers at {self.uri}: start it, or check the address")

    def _unauthorised(self) -> PermissionError:
        given = "the token is wrong" if _token() else "it requires a token"
        return PermissionError(f"Milvus at {self.uri} refused access, {given}: set {CREDENTIALS} in the environment")

    def _unconnected(self) -> OSError:
        """Return why no connection could be made: pymilvus gives the same message for all reasons."""
        parts = urlsplit(self.uri)
        host, port = parts.hostname or "", parts.port or 0
        try:
            with socket.create_connection((host, port), DIAGNOSIS) as plain:
                try:
                    context = ssl.create_default_context(cafile=self.ca)
                    with context.wrap_socket(plain, server_hostname=host):
                        speaks_tls, refused = True, ""
                except ssl.SSLCertVerificationError as error:
                    speaks_tls, refused = True, error.verify_message
                except (ssl.SSLError, OSError) as error:
                    speaks_tls, refused = False, str(getattr(error, "reason", None) or error)
        except OSError:
            return self._down()
        if parts.scheme == "http":
            if speaks_tls:
                return ConnectionError(f"Milvus at {self.uri} speaks TLS: use https://")
        elif refused:
            remedy = (
                "name its authority's certificate with --milvus-ca" if speaks_tls else "it speaks no TLS, use http://"
            )
            return ConnectionError(f"TLS to Milvus at {self.uri} failed ({refused}): {remedy}")
        return TimeoutError(f"something listens at {self.uri}, but no Milvus answered within {ANSWER:g} s")


def answer_seconds() -> float:
    """Return the time limit of a question, which the environment can set. Raises ValueError if it sets none."""
    given = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(given) if given else ANSWER
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"expected a number of seconds above 0 in {TIMEOUT}, got {given}")
    return seconds


def _token() -> str:
    """Return the credentials in the environment; an empty string if there are none."""
    environment = os.environ
    if token := environment.get("MILVUS_TOKEN"):
        return token
    if file := environment.get("MILVUS_TOKEN_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise FileNotFoundError("MILVUS_TOKEN_FILE does not name a file that can be read") from None
    user, password = (environment.get(f"MILVUS_{what}", "") for what in ("USER", "PASSWORD"))
    return f"{user}:{password}" if user and password else ""


def _client(uri: str, **options: Any) -> Any:
    import pymilvus

    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they log every error with a traceback
    return pymilvus.MilvusClient(uri, timeout=min(ANSWER, answer_seconds()), **options)
