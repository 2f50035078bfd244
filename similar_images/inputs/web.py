"""Fetch an image from the public internet only.

A host name is resolved once, and the checked address is used for the connection, against DNS rebinding. The URL is
parsed once too, so that two parsers cannot disagree.
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import responses
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import certifi
import httpcore
import idna
from pebble.concurrent import thread

from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.names import one_line

PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
HEADERS = [("User-Agent", "similar-images"), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)  # a name, IPv4 or IPv6
PLACE = re.compile(r"([^\[\]]*|\[[^\[\]]*:[^\[\]]*\])(:[0-9]*)?")  # urlsplit ignores text next to brackets
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")  # parsers disagree on the meaning of these in a URL
MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # in a JPEG: start of a segment
SOS, EOI = 0xDA, 0xD9  # of a JPEG: start of a scan, end of the image
MAX_SCANS = 100  # of a JPEG; encoders write about 10, and each one costs as much as decoding the image
MAX_ADDRESS = 8000  # characters; the minimum of RFC 9110
MAX_SHOWN = 100  # characters of an address in a message; data: addresses can have megabytes

NAT64 = ip_network("64:ff9b::/96")  # its last 32 bits are an IPv4 address (RFC 6052)
# Special-purpose networks (IANA) that `is_global` of some Python versions takes for public.
SPECIAL = [
    ip_network("168.63.129.16"),  # Azure's metadata service, as 169.254.169.254 is elsewhere
    ip_network("192.0.0.0/24"),  # protocol assignments
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("::/3"),  # with the next two: everything outside 2000::/3, the only range in use
    ip_network("4000::/2"),
    ip_network("8000::/1"),
    ip_network("2001::/23"),  # protocol assignments, including Teredo, which embeds an IPv4 address
    ip_network("2001:db8::/32"),  # documentation
    ip_network("2002::/16"),  # 6to4, which embeds an IPv4 address
    ip_network("3fff::/20"),  # documentation
]

IpAddress = IPv4Address | IPv6Address


class FetchLimits(NamedTuple):
    """The limits of fetching an image."""

    bytes: int = 25_000_000
    seconds: float = 10  # in total, with name resolution, redirects and decoding
    redirects: int = 5


LIMITS = FetchLimits()


def fetch(address: str, allow_private: bool = False, limits: FetchLimits = LIMITS) -> bytes:
    """Return the bytes of the image at an http(s) address, after checking that it can be decoded.

    This machine and private networks are refused, also after redirects, unless `allow_private`.
    Raises UnreadableImage.
    """
    network = _CheckedNetwork(time.monotonic() + limits.seconds, allow_private)
    try:
        content = _download(address, network, limits)
        _check_decodes(content, network.deadline)
        return content
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise UnreadableImage(
            f"{_shorten(address)} cannot be fetched: it took longer than {limits.seconds:g} s"
        ) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        raise UnreadableImage(f"{_shorten(address)} cannot be fetched: {_reason(error)}") from error


def is_public(address: IpAddress) -> bool:
    """Return whether an address, or its embedded IPv4 address, belongs to the public internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address in NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast and not any(address in special for special in SPECIAL)


def _download(address: str, network: httpcore.NetworkBackend, limits: FetchLimits) -> bytes:
    # A proxy from the environment would connect to unchecked addresses, so none is used.
    trusted = ssl.create_default_context(cafile=certifi.where())
    with httpcore.ConnectionPool(trusted, network_backend=network) as pool:
        for _ in range(limits.redirects + 1):
            url = _parse(address)
            with pool.stream("GET", url, headers=[("Host", _host_header(url)), *HEADERS]) as response:
                headers = {name.lower(): value for name, value in response.headers}
                if response.status not in REDIRECTS or b"location" not in headers:
                    return _body(response, headers, limits)
            address = urljoin(address, headers[b"location"].decode("utf-8", "surrogateescape"))
    raise UnreadableImage(f"more than {limits.redirects} redirects")


def _body(response: httpcore.Response, headers: Mapping[bytes, bytes], limits: FetchLimits) -> bytes:
    if response.status != 200:
        raise UnreadableImage(f"the server answered {response.status} {responses.get(response.status, '')}".rstrip())
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":  # no decompression bombs
        raise UnreadableImage(
            "the server compresses it although uncompressed data was requested: download it and open the file"
        )
    too_large = UnreadableImage(f"it is larger than {limits.bytes / 1e6:g} MB")
    if int(headers.get(b"content-length", 0)) > limits.bytes:
        raise too_large
    content = bytearray()
    for part in response.iter_stream():
        content += part
        if len(content) > limits.bytes:
            raise too_large
    return bytes(content)


def _check_decodes(content: bytes, deadline: float) -> None:
    """Raise UnreadableImage if the image cannot be decoded, TimeoutError if that takes too long."""
    if _scans(content) > MAX_SCANS:
        raise UnreadableImage(f"it is a JPEG of more than {MAX_SCANS} scans, which takes too long to decode")
    # In a daemon thread: a decoder cannot be stopped, but it can be abandoned. A JPEG is decoded at its smallest scale.
    thread(images.open_image)(content, side=1).result(_seconds_left(deadline))


def _scans(content: bytes) -> int:
    """Return the number of scans of a JPEG, at most MAX_SCANS + 1; 0 for other files."""
    if not content.startswith(b"\xff\xd8\xff"):
        return 0
    scans, position = 0, 2
    while scans <= MAX_SCANS and (found := MARKER.search(content, position)):
        position, marker = found.end(), content[found.end() - 1]
        if marker == EOI:
            break
        scans += marker == SOS
        position += int.from_bytes(content[position : position + 2])  # the segment's length
    return scans


def _parse(address: str) -> httpcore.URL:
    """Return the parts of an unambiguous address. Raises ValueError."""
    parts = urlsplit(address)
    if parts.scheme not in PORTS:
        raise UnreadableImage("expected an address that begins with http:// or https://")
    if len(address) > MAX_ADDRESS or FORBIDDEN.search(address):
        raise UnreadableImage(f"expected at most {MAX_ADDRESS} characters, none a backslash or control character")
    if "@" in parts.netloc:
        raise UnreadableImage("expected an address without a user's name or password")
    port, host = parts.port or PORTS[parts.scheme], parts.hostname or ""
    if not host.isascii():
        with suppress(UnicodeError):  # the check below refuses the name
            host = idna.encode(host, uts46=True).decode()
    host = host.removesuffix(".")  # certificates contain the name without it
    if not PLACE.fullmatch(parts.netloc) or not HOST.fullmatch(host):
        raise UnreadableImage("expected an address with the name of a host after http://")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = quote(target, safe="%/:?#[]@!$&'()*+,;=~", errors="surrogateescape")  # keeps existing quotes
    return httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target)


def _host_header(url: httpcore.URL) -> str:
    host = url.host.decode()
    host = f"[{host}]" if ":" in host else host
    return host if url.port == PORTS[url.scheme.decode()] else f"{host}:{url.port}"


class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects to checked addresses only, until the deadline."""

    def __init__(self, deadline: float, allow_private: bool):
        self.deadline, self._allow_private = deadline, allow_private
        self._network = httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.NetworkStream:
        found = _look_up(host, port, _seconds_left(self.deadline))
        allowed = [one for one in found if self._allow_private or (is_public(one) and not _is_this_machine(one))]
        if not allowed:
            raise UnreadableImage(f"{host} is not on the public internet (allow_private=True in Python allows it)")
        while True:
            share = _seconds_left(self.deadline) / len(allowed)  # so that a silent address leaves time for the rest
            address = allowed.pop(0)
            try:
                return _TimedStream(self._network.connect_tcp(str(address), port, share), self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not allowed:
                    raise


class _TimedStream(httpcore.NetworkStream):
    """A connection whose operations end at the deadline, even if bytes arrive one by one."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float):
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _seconds_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _seconds_left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_TimedStream":
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, _seconds_left(self._deadline)), self._deadline
        )

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _look_up(host: str, port: int, seconds: float) -> list[IpAddress]:
    """Return the addresses of a name. Raises UnreadableImage, TimeoutError."""
    # In a daemon thread: a look-up cannot be stopped, but it can be abandoned, and must not delay the program's end.
    look_up = thread(socket.getaddrinfo)(host, port, type=socket.SOCK_STREAM)
    try:
        return [ip_address(entry[4][0]) for entry in look_up.result(seconds)]
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise UnreadableImage(f"the host {host} does not exist") from error
        raise UnreadableImage(f"the host {host} could not be resolved: check the internet connection") from error


def _is_this_machine(address: IpAddress) -> bool:
    """Return whether a public address belongs to this machine: connections to it would come from the same address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # connecting it sends nothing
        try:
            probe.connect((str(address), 9))
        except OSError:  # no route
            return False
        return ip_address(probe.getsockname()[0]) == address


def _seconds_left(deadline: float) -> float:
    """Return the seconds until the deadline. Raises TimeoutError after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: Exception) -> str:
    if isinstance(error, httpcore.ProtocolError):  # its message quotes the server
        return "the server closed the connection early or does not speak HTTP"
    cause = error.__context__ if isinstance(error, httpcore.NetworkError) else error  # httpcore hides it
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "no secure connection is possible: try an address that begins with http://"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return one_line(error)


def _shorten(address: str) -> str:
    return address if len(address) <= MAX_SHOWN else f"{address[:MAX_SHOWN]}…"
