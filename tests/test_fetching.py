"""Fetching by address: what may be reached, how much of it, and for how long. All servers are on loopback."""

import gzip
import io
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread

import pytest
from PIL import Image

from similar_images import fetching
from similar_images.fetching import FetchLimits, fetch, is_public
from similar_images.images import UnreadableImage

QUICK = FetchLimits(bytes=100_000, seconds=2)


def picture(form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, form)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        path = self.path.split("?")[0]
        if path.startswith("/redirect/"):
            left = int(path.split("/")[2])
            self.answer(302, b"", Location=f"/redirect/{left - 1}" if left > 1 else "/image.png")
        elif path == "/away":
            self.answer(301, b"", Location=self.server.away)
        elif path == "/missing":
            self.answer(404, b"")
        elif path == "/page":
            self.answer(200, b"<!doctype html><title>not an image</title>")
        elif path == "/packed":
            self.answer(200, gzip.compress(bytes(50_000_000)), **{"Content-Encoding": "gzip"})
        elif path == "/says-large":
            self.answer(200, b"", **{"Content-Length": "1000000000"})
        elif path == "/large":
            self.answer(200, None)
            for _ in range(40):
                self.wfile.write(bytes(10_000))
        elif path == "/drip":
            self.answer(200, None)
            for _ in range(100):
                self.wfile.write(b"\0")
                time.sleep(0.2)
        elif path == "/drip-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                self.wfile.write(b"X-Slow: yes\r\n")
                time.sleep(0.2)
        elif path == "/bomb.png":
            buffer = io.BytesIO()
            Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
            self.answer(200, buffer.getvalue())
        else:
            self.answer(200, picture())

    def answer(self, status: int, content: bytes | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if content is not None and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client had enough
            super().handle()


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.seen, server.away = True, [], "http://127.0.0.1:1/"
        server.address = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def refusal(address: str, **options: object) -> str:
    with pytest.raises(UnreadableImage) as error:
        fetch(address, **options)
    return str(error.value)


def test_an_image_is_fetched_where_private_addresses_are_allowed(server):
    assert fetch(f"{server.address}/image.png?größe=1", allow_private=True) == picture()
    path, headers = server.seen[0]
    assert path == "/image.png?gr%C3%B6%C3%9Fe=1"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}" and headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers and "Cookie" not in headers


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7F.0x0.0x0.0x1",
        "0177.0.0.1",
        "017700000001",
        "localhost",
        "LOCALHOST",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "0",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "0xA9FEA9FE",
        "100.64.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[2001:db8::1]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[3fff::1]",
    ],
)
def test_an_address_that_is_not_on_the_public_internet_is_refused(host):
    assert "which is not on the public internet" in refusal(f"http://{host}:1/a.jpg")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("file:///etc/passwd", "expected an address that begins with http:// or https://"),
        ("ftp://example.org/a.jpg", "begins with http"),
        ("gopher://example.org/", "begins with http"),
        ("javascript:alert(1)", "begins with http"),
        ("data:image/png;base64,AAAA", "begins with http"),
        ("//example.org/a.jpg", "begins with http"),
        ("a.jpg", "begins with http"),
        ("", "begins with http"),
        ("http://", "expected the name of a host"),
        ("http://.", "expected the name of a host"),
        ("http:///a.jpg", "expected the name of a host"),
        ("http://[::1", "Invalid IPv6"),
        ("http://example.org:99999/", "out of range"),
        ("http://example.org:port/", "could not be cast"),
        ("http://[fe80::1%25eth0]/", "without a zone"),
        ("http://[::1%lo]/", "zone"),
        ("http://user@127.0.0.1/", "without a user's name"),
        ("http://example.org@127.0.0.1/", "without a user's name"),
        ("http://user:password@example.org/", "without a user's name"),
        ("http://127.0.0.1:80\\@example.org/", "backslashes"),
        ("http://example.org\\@127.0.0.1/", "backslashes"),
        ("http://127.0.0.1\t/", "control characters"),
        ("http://127.0.0.1/\r\nHost: example.org", "control characters"),
        ("http:// 127.0.0.1/", "spaces"),
        (f"http://{'a' * 64}.org/", "expected the name of a host"),
    ],
)
def test_an_address_that_can_be_read_in_two_ways_or_none_is_refused(address, reason):
    assert reason in refusal(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("151.101.1.69", True),
        ("2606:4700:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
    ],
)
def test_public_addresses_are_public(address, expected):
    assert is_public(ip_address(address)) == expected


def test_redirects_are_followed_five_times_and_checked_each_time(server, monkeypatch):
    assert fetch(f"{server.address}/redirect/5", allow_private=True) == picture()
    assert "more than 5 redirects" in refusal(f"{server.address}/redirect/6", allow_private=True)
    resolve(monkeypatch, {"public.example": ["127.0.0.1"]})
    monkeypatch.setattr(fetching, "is_public", lambda address: len(server.seen) < 8)  # public so far
    for away in (f"http://127.0.0.1:{server.server_port}/", f"//[::1]:{server.server_port}/"):
        server.away, server.seen[:] = away, [None] * 7
        assert "not on the public internet" in refusal(f"http://public.example:{server.server_port}/away")
        assert len(server.seen) == 8  # the place that it led to was never asked
    for away in ("file:///etc/passwd", "ftp://127.0.0.1/"):
        server.away, server.seen[:] = away, [None] * 7
        assert "begins with http" in refusal(f"http://public.example:{server.server_port}/away")


def resolve(monkeypatch, names: dict[str, list[str]]) -> list[str]:
    """Have names resolved to one address after the other; return the list of names that were looked up."""
    asked, real = [], socket.getaddrinfo

    def getaddrinfo(host, port, *arguments, **options):
        if host not in names:
            return real(host, port, *arguments, **options)
        asked.append(host)
        address = names[host].pop(0) if len(names[host]) > 1 else names[host][0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_changes_its_address_is_looked_up_once_and_connected_to_what_was_checked(monkeypatch):
    asked, connected = resolve(monkeypatch, {"rebinding.example": ["93.184.215.14", "127.0.0.1"]}), []

    def connect(address, *arguments, **options):
        connected.append(address[0])
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert "refused" in refusal("http://rebinding.example/a.jpg")
    assert (asked, connected) == (["rebinding.example"], ["93.184.215.14"])


def test_of_several_addresses_only_public_ones_are_tried(monkeypatch):
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in ("10.0.0.1", "93.184.215.14")]
    connected = []

    def connect(address, *arguments, **options):
        connected.append(address[0])
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: both)
    monkeypatch.setattr(socket, "create_connection", connect)
    refusal("http://both.example/a.jpg")
    assert connected == ["93.184.215.14"]


def test_a_proxy_in_the_environment_is_not_asked(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, server.address)
    assert "not on the public internet" in refusal("http://127.0.0.1:1/a.jpg")
    assert not server.seen


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "the server answered 404"),
        ("/page", "a web page or other markup, not an image"),
        ("/says-large", "larger than 0.1 MB"),
        ("/large", "larger than 0.1 MB"),
        ("/packed", "the server packed it (gzip)"),
        ("/drip", "longer than 2 s"),
        ("/drip-headers", "longer than 2 s"),
        ("/bomb.png", "more than the limit of 100000000 pixels"),
    ],
)
def test_what_is_no_image_or_too_much_is_refused(server, path, reason):
    began = time.monotonic()
    said = refusal(server.address + path, allow_private=True, limits=QUICK)
    assert reason in said
    assert said.startswith(f"{server.address}{path} cannot be fetched: ")
    assert time.monotonic() - began < 10


def test_a_look_up_that_hangs_is_left(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: time.sleep(3))
    assert "longer than 0.2 s" in refusal("http://slow.example/", limits=FetchLimits(seconds=0.2))


def test_a_name_that_there_is_not_is_told():
    assert "there is no host nowhere.invalid" in refusal("http://nowhere.invalid/a.jpg")


def test_https_is_held_to_the_name_though_the_address_is_connected_to(server, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out"]
    name = ["-subj", "/CN=images.example", "-addext", "subjectAltName=DNS:images.example"]
    subprocess.run([*command, certificate, *name], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    resolve(monkeypatch, {"images.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    good, other = (f"https://{name}.example:{server.server_port}/image.png" for name in ("images", "other"))
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(good, allow_private=True)
    monkeypatch.setattr(fetching, "_ssl_context", lambda: ssl.create_default_context(cafile=certificate))
    assert fetch(good, allow_private=True) == picture()
    assert server.seen[-1][1]["Host"] == f"images.example:{server.server_port}"
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(other, allow_private=True)
