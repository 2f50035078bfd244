"""An image on the web, fetched so that an address cannot reach what is not on the web.

A name is resolved once, and only an address that was checked is connected to, so that a name which changes its address
between two look-ups gains nothing. Everything is held to one deadline and one number of bytes.
"""

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
import httpcore

from similar_images import images
from similar_images.images import UnreadableImage

SCHEMES = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
HEADERS = [("User-Agent", "similar-images"), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
# What Python's is_global lets through, though it is not the web's (IANA's special-purpose address registries).
SPECIAL = [ip_network(one) for one in ("192.0.0.0/24", "192.88.99.0/24")]
UNICAST = ip_network("2000::/3")  # all that IANA gave out of IPv6
SPECIAL_6 = [ip_network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
NAT64 = ip_network("64:ff9b::/96")  # the last 32 bits are an IPv4 address (RFC 6052)

IpAddress = IPv4Address | IPv6Address


class FetchLimits(NamedTuple):
    bytes: int = 25_000_000
    seconds: float = 10  # for everything, names and redirects included
    redirects: int = 5


LIMITS = FetchLimits()


def fetch(address: str, allow_private: bool = False, limits: FetchLimits = LIMITS) -> bytes:
    """Return the image at an http(s) address, as the server has it.

    Addresses of this machine and of private networks are refused, at each redirect too, unless `allow_private`.
    Raises UnreadableImage with the reason a person can act on.
    """
    deadline = time.monotonic() + limits.seconds
    backend = _Checked(deadline, allow_private)
    try:
        with httpcore.ConnectionPool(_ssl_context(), network_backend=backend) as pool:
            target = address
            for _ in range(limits.redirects + 1):
                content = _get(pool, target, limits, deadline)
                if isinstance(content, bytes):
                    images.open_image(content)
                    return content
                target = content.target
        raise UnreadableImage(f"more than {limits.redirects} redirects")
    except UnreadableImage as error:
        raise UnreadableImage(f"{address} cannot be fetched: {error}") from error
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise UnreadableImage(f"{address} cannot be fetched: it took longer than {limits.seconds:g} s") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"{address} cannot be fetched: {reason}") from error


def is_public(address: IpAddress) -> bool:
    """Return whether an address is one of the public internet, in all that it may stand for."""
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None)
        if embedded:
            return is_public(embedded)
        return address in UNICAST and not address.scope_id and not _is_in(address, SPECIAL_6)
    return address.is_global and not address.is_multicast and not _is_in(address, SPECIAL)


class _Redirect(NamedTuple):
    target: str


def _get(pool: httpcore.ConnectionPool, address: str, limits: FetchLimits, deadline: float) -> bytes | _Redirect:
    url = _parsed(address)
    with pool.stream("GET", url, headers=[("Host", _host_header(url)), *HEADERS]) as response:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in REDIRECTS and "location" in headers:
            return _Redirect(urljoin(address, headers["location"]))
        if response.status != 200:
            raise UnreadableImage(f"the server answered {response.status}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnreadableImage(f"the server packed it ({headers['content-encoding']}), which was not asked for")
        if int(headers.get("content-length", "0")) > limits.bytes:
            raise UnreadableImage(_too_large(limits))
        content = bytearray()
        for part in response.iter_stream():
            content += part
            if len(content) > limits.bytes:
                raise UnreadableImage(_too_large(limits))
            if time.monotonic() > deadline:
                raise TimeoutError
    return bytes(content)


def _parsed(address: str) -> httpcore.URL:
    """Return the parts of an address, each taken from one reading of it. Raises UnreadableImage."""
    if any(ord(character) < 33 or character == "\\" for character in address):
        raise UnreadableImage("expected an address without spaces, control characters and backslashes")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise UnreadableImage(str(error)) from error
    if parts.scheme.lower() not in SCHEMES:
        raise UnreadableImage("expected an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise UnreadableImage("expected an address without a user's name and password")
    host = _host(parts)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(
        scheme=parts.scheme.lower().encode(),
        host=host.encode(),
        port=port,
        target=_quoted(target),
    )


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "%" in host:
        raise UnreadableImage("expected a host without a zone or percent signs")
    try:
        host = host if ":" in host else host.encode("idna").decode()
    except UnicodeError as error:
        raise UnreadableImage(f"expected the name of a host, got {host}") from error
    if not host.strip("."):
        raise UnreadableImage("expected the name of a host")
    return host


def _host_header(url: httpcore.URL) -> str:
    host = url.host.decode()
    host = f"[{host}]" if ":" in host else host
    return host if url.port in (None, SCHEMES[url.scheme.decode()]) else f"{host}:{url.port}"


def _quoted(target: str) -> bytes:
    """Return a path with what is not ASCII percent-encoded; what is encoded already stays as it is."""
    return b"".join(
        bytes([byte]) if 32 < byte < 127 else b"%%%02X" % byte for byte in target.encode("utf-8", "surrogatepass")
    )


class _Checked(httpcore.NetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, deadline: float, allow_private: bool):
        self._deadline, self._allow_private = deadline, allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, timeout=None, local_address=None, socket_options=None):
        addresses = _resolved(host, port, _left(self._deadline))
        allowed = [one for one in addresses if self._allow_private or is_public(one)]
        if not allowed:
            raise UnreadableImage(f"{host} is {addresses[0]}, which is not on the public internet")
        for address in allowed:
            try:
                stream = self._sockets.connect_tcp(str(address), port, _left(self._deadline))
                return _Timed(stream, self._deadline)
            except httpcore.ConnectError as error:
                failure = error
        raise failure


class _Timed(httpcore.NetworkStream):
    """A connection whose every step may only take what is left of the time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float):
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout=None):
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Timed(stream, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _resolved(host: str, port: int, seconds: float) -> list[IpAddress]:
    """Return the addresses of a name, looked up once. Raises UnreadableImage, TimeoutError."""
    look_up = ThreadPoolExecutor(1)  # a look-up cannot be stopped, only left
    try:
        found = look_up.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM).result(seconds)
    except (socket.gaierror, UnicodeError) as error:
        raise UnreadableImage(f"there is no host {host}") from error
    finally:
        look_up.shutdown(wait=False)
    return [ip_address(entry[4][0]) for entry in found]


def _left(deadline: float) -> float:
    """Return the seconds that are left. Raises TimeoutError where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


def _is_in(address: IpAddress, networks: list) -> bool:
    return any(address in network for network in networks)


def _too_large(limits: FetchLimits) -> str:
    return f"it is larger than {limits.bytes / 1e6:g} MB"
