"""Fetching by address: what may be reached, how much of it, for how long. Every server is one on loopback."""

import gzip
import io
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread
from urllib.parse import quote, unquote

import certifi
import pytest
from conftest import ROOT
from PIL import Image

from similar_images.inputs import web as fetching
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.web import FetchLimits, fetch, is_public

SMALL, SHORT = FetchLimits(bytes=100_000), FetchLimits(seconds=1)
PATIENCE = 9  # seconds; what is not held to its one second goes on for ten, or for a minute
PUBLIC, OTHER = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


def png(side: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers each path with one kind of trouble, /image with an image; `server.seen` is what was asked."""

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        name, _, rest = self.path.removeprefix("/").partition("/")
        getattr(self, name.partition("?")[0].replace("-", "_"))(rest)

    def image(self, _: str) -> None:
        self.answer(200, png())

    def redirect(self, times: str) -> None:
        self.answer(302, b"", Location=f"/redirect/{int(times) - 1}" if int(times) > 1 else "/image")

    def loop(self, _: str) -> None:
        self.answer(307, b"", Location="/loop")

    def away(self, to: str) -> None:
        self.answer(301, b"", Location=unquote(to, "latin-1"))

    def missing(self, _: str) -> None:
        self.answer(404, b"nothing here")

    def page(self, _: str) -> None:
        self.answer(200, b"<!doctype html><title>a page</title>", **{"Content-Type": "image/png"})

    def bomb(self, _: str) -> None:
        self.answer(200, png(13_000))

    def packed(self, _: str) -> None:
        self.answer(200, gzip.compress(bytes(50_000_000)), **{"Content-Encoding": "gzip"})

    def says_large(self, _: str) -> None:
        self.answer(200, b"", **{"Content-Length": "100001"})

    def large(self, _: str) -> None:
        self.answer(200)
        self.go_on(bytes(10_000), pause=0)

    def chunked(self, _: str) -> None:
        self.answer(200, **{"Transfer-Encoding": "chunked"})
        self.go_on(b"2710\r\n" + bytes(10_000) + b"\r\n", pause=0)

    def short(self, _: str) -> None:
        self.answer(200, png()[:40], **{"Content-Length": "400"})

    def drip(self, _: str) -> None:
        self.answer(200)
        self.go_on(b"\0")

    def drip_headers(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.go_on(b"X")

    def silence(self, _: str) -> None:
        self.go_on(b"")

    def no_http(self, _: str) -> None:
        self.wfile.write(b"SSH-2.0-secret\r\n")

    def answer(self, status: int, content: bytes | None = None, **headers: str) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(status)
        if content is not None:
            headers = {"Content-Length": str(len(content)), **headers}
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.close_connection = True
        self.end_headers()
        self.wfile.write(content or b"")

    def go_on(self, part: bytes, pause: float = 0.1) -> None:
        for _ in range(600):
            self.wfile.write(part)
            time.sleep(pause)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # the client had enough
            super().handle()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen, server.address = [], f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def look_ups(monkeypatch) -> dict[str, list]:
    """The addresses of made-up names, one list of them for each look-up to come; real ones for real names."""
    real, answers = socket.getaddrinfo, {}

    def getaddrinfo(host: str, port: int, *arguments: object, **options: object) -> list:
        if host not in answers:
            return real(host, port, *arguments, **options)
        return [entry for one in answers[host].pop(0) for entry in real(one, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


@pytest.fixture
def connections(monkeypatch) -> list[str]:
    """The addresses that were connected to; none of them answers."""
    made = []

    def create_connection(address: tuple[str, int], *_: object, **__: object) -> None:
        made.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return made


def refusal(address: str, **options: object) -> str:
    with pytest.raises(UnreadableImage) as error:
        fetch(address, **options)
    return str(error.value)


def test_an_image_is_fetched_where_private_addresses_are_allowed(server):
    assert fetch(f"{server.address}/image?größe=a b%20c#part", allow_private=True) == png()
    path, headers = server.seen[0]
    assert path == "/image?gr%C3%B6%C3%9Fe=a%20b%20c"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_this_machine_is_refused_by_default_and_the_remedy_is_told(server):
    assert refusal(f"{server.address}/image") == (
        f"{server.address}/image cannot be fetched: "
        "127.0.0.1 is not on the public internet (allow_private=True in Python allows it)"
    )
    assert server.seen == []


@pytest.mark.parametrize(
    "host",
    [
        # this machine
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0x0.0x0.0X1",
        "0177.0.0.1",
        "00000177.0.0.1",
        "017700000001",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "１２７.0.0.1",  # noqa: RUF001
        "127。0。0。1",
        "①②⑦.0.0.1",
        "ⓛⓞcalhost",
        "127.0.0.\u00ad1",  # a soft hyphen
        "0",
        "0.0.0.0",
        "0.1.2.3",
        # private networks, the link, a provider's
        "10.0.0.1",
        "10.255.255.255",
        "0x0a.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "3232235521",
        "169.254.169.254",
        "0xA9FEA9FE",
        "169.254.43518",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        # for special purposes
        "192.0.0.8",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        # IPv6
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[ff0e::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[2001:20::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[4000::1]",
        # IPv6 that holds IPv4
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::FFFF:10.0.0.1]",
        "[0:0:0:0:0:ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:808:808::]",
        "[2001:0:7f00:1::]",
        "[2001:0:808:808::80ff:fffe]",
    ],
    ids=ascii,
)
def test_what_is_not_on_the_public_internet_is_refused(host, connections):
    assert "is not on the public internet" in refusal(f"http://{host}/a.jpg")
    assert "is not on the public internet" in refusal(f"HTTPS://{host}:8443")
    assert connections == []


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", PUBLIC, OTHER, "2a00:1450:4001:82a::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_what_is_on_the_public_internet_is_connected_to(address, connections):
    assert is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert "Connection refused" in refusal(f"http://{host}:8080/a.jpg")
    assert [ip_address(one) for one in connections] == [ip_address(address)]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        # other schemes
        ("file:///etc/passwd", "begins with http:// or https://"),
        ("FILE://localhost/etc/passwd", "begins with http:// or https://"),
        ("ftp://example.org/a.jpg", "begins with http:// or https://"),
        ("gopher://127.0.0.1:6379/_INFO", "begins with http:// or https://"),
        ("javascript:alert(1)", "begins with http:// or https://"),
        ("data:image/png;base64,AAAA", "begins with http:// or https://"),
        ("ws://example.org/", "begins with http:// or https://"),
        ("//example.org/a.jpg", "begins with http:// or https://"),
        ("example.org/a.jpg", "begins with http:// or https://"),
        ("", "begins with http:// or https://"),
        # no host, or none that there can be
        ("http:", "the name of a host"),
        ("http://", "the name of a host"),
        ("http:example.org", "the name of a host"),
        ("http:///a.jpg", "the name of a host"),
        ("http:////127.0.0.1/", "the name of a host"),
        ("http://:80/", "the name of a host"),
        ("http://?", "the name of a host"),
        ("http://.", "the name of a host"),
        ("http://127.0.0.1../", "the name of a host"),
        ("http://127.0.0.1 /", "the name of a host"),
        ("http:// 127.0.0.1/", "the name of a host"),
        ("http://127.0.0.1\u00a0/", "the name of a host"),
        ("http://127.0.0.1;example.org/", "the name of a host"),
        ("http://127.0.0.1&example.org/", "the name of a host"),
        ("http://127.0.0.1%00.example.org/", "the name of a host"),
        ("http://127.0.0.1%2f.example.org/", "the name of a host"),
        ("http://%31%32%37.0.0.1/", "the name of a host"),
        ("http://%6c%6f%63%61lhost/", "the name of a host"),
        (f"http://{'a' * 64}.example/", "the name of a host"),
        ("http://[fe80::1%25eth0]/", "the name of a host"),
        ("http://[fe80::1%eth0]/", "the name of a host"),
        ("http://[::1%25lo]/", "the name of a host"),
        ("http://[::1]443/", "the name of a host"),
        ("http://[::1].example.org/", "the name of a host"),
        ("http://example.org[::1]/", "host"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://[127.0.0.1]/", "address"),
        ("http://127.0.0.1\u2100.example.org/", "invalid characters under NFKC"),
        ("http://example.org:99999/", "out of range"),
        ("http://example.org:-1/", "could not be cast"),
        ("http://example.org:8o/", "could not be cast"),
        ("http://127.0.0.1:80:80/", "could not be cast"),
        # a user's name, which one reader takes for the host and another does not
        ("http://a@127.0.0.1/", "without a user's name"),
        ("http://example.org@127.0.0.1/", "without a user's name"),
        ("http://example.org:80@127.0.0.1/", "without a user's name"),
        ("http://127.0.0.1@example.org/", "without a user's name"),
        ("http://a:secret@example.org/", "without a user's name"),
        ("http://@127.0.0.1/", "without a user's name"),
        ("http://a@b@127.0.0.1/", "without a user's name"),
        ("http://127.0.0.1:80\\@example.org/", "none a backslash"),
        ("http://example.org\\@127.0.0.1/", "none a backslash"),
        ("http://example.org\\.127.0.0.1/", "none a backslash"),
        ("http:\\\\127.0.0.1\\", "none a backslash"),
        ("http:/\\127.0.0.1/", "none a backslash"),
        # characters that some readers drop
        ("ht\ntp://127.0.0.1/", "control character"),
        ("http://127.0\t.0.1/", "control character"),
        ("http://127.0.0.1\n/", "control character"),
        ("\x01http://127.0.0.1/", "expected"),  # versions of Python read it differently
        ("http://example.org\0.127.0.0.1/", "control character"),
        ("http://127.0.0.1\x7f/", "control character"),
        ("http://127.0.0.1:1/ HTTP/1.1\r\nHost: example.org\r\n\r\n", "control character"),
        (f"http://example.org/{'a' * 8000}", "at most 8000 characters"),
    ],
    ids=ascii,
)
def test_what_is_no_address_or_can_be_read_in_two_ways_is_refused(address, reason, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    assert reason in refusal(address, allow_private=True)


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org#@127.0.0.1/",
        "http://example.org?@127.0.0.1/",
        "http://example.org/@127.0.0.1/",
        "http://example.org/..//127.0.0.1/",
        "http://EXAMPLE.org.:80?http://127.0.0.1/",
        "http://example.org/ http://127.0.0.1/",
    ],
)
def test_what_looks_like_a_second_host_is_none(address, look_ups, connections):
    look_ups["example.org"] = [[PUBLIC]]
    assert "Connection refused" in refusal(address)
    assert connections == [PUBLIC]


def test_a_name_in_another_script_is_looked_up_as_browsers_do(look_ups, connections):
    look_ups["xn--strae-oqa.example"] = [[PUBLIC]]
    refusal("http://Straße.example/")
    assert connections == [PUBLIC]


def test_a_long_address_is_shortened_in_its_refusal():
    said = refusal(f"data:image/png;base64,{'A' * 1_000_000}")
    assert said.endswith("… cannot be fetched: expected an address that begins with http:// or https://")
    assert len(said) < 300


def test_a_name_that_changes_its_address_is_looked_up_once_and_connected_to_what_was_checked(look_ups, connections):
    look_ups["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert "Connection refused" in refusal("http://rebinding.example/a.jpg")
    assert connections == [PUBLIC]
    assert look_ups["rebinding.example"] == [["127.0.0.1"]]  # was not asked for
    assert "not on the public internet" in refusal("http://rebinding.example/a.jpg")


def test_of_a_names_addresses_the_public_ones_are_tried_one_after_the_other(look_ups, connections):
    look_ups["both.example"] = [["10.0.0.1", OTHER, "127.0.0.1", PUBLIC, "::1"]]
    assert "Connection refused" in refusal("http://both.example/a.jpg")
    assert connections == [OTHER, PUBLIC]
    look_ups["none.example"] = [["10.0.0.1", "::1"]]
    assert "none.example is not on the public internet" in refusal("http://none.example/a.jpg")
    assert connections == [OTHER, PUBLIC]


def test_an_address_that_is_silent_leaves_time_for_the_next(look_ups, server, monkeypatch):
    real, shares = socket.create_connection, []

    def create_connection(address: tuple[str, int], timeout: float, **options: object) -> socket.socket:
        shares.append(timeout)
        if address[0] == PUBLIC:
            raise TimeoutError
        return real(address, timeout, **options)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    look_ups["slow.example"] = [[PUBLIC, "127.0.0.1"]]
    assert fetch(f"http://slow.example:{server.server_port}/image", allow_private=True) == png()
    assert shares[0] <= 5 < shares[1] <= 10


def test_a_public_address_of_this_machine_is_refused(monkeypatch, server):
    monkeypatch.setattr(fetching, "is_public", lambda address: True)
    assert "is not on the public internet" in refusal(f"{server.address}/image")
    assert server.seen == []


@pytest.fixture
def public(monkeypatch, look_ups, server) -> str:
    """The server, as if it were one on the public internet, under a name."""
    monkeypatch.setattr(fetching, "is_public", lambda address: str(address) == "127.0.0.1")
    monkeypatch.setattr(fetching, "_is_this_machine", lambda address: False)
    look_ups["public.example"] = [["127.0.0.1"] for _ in range(2)]
    return f"http://public.example:{server.server_port}"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.2:{port}/image", "127.0.0.2 is not on the public internet"),
        ("http://[::1]:{port}/image", "::1 is not on the public internet"),
        ("//127.0.0.3:{port}/image", "127.0.0.3 is not on the public internet"),
        ("http://0x7f.2:{port}/image", "0x7f.2 is not on the public internet"),
        ("http://public.example:1@127.0.0.2:{port}/image", "without a user's name"),
        ("file:///etc/passwd", "begins with http:// or https://"),
        ("ftp://127.0.0.1/image", "begins with http:// or https://"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http:\\\\127.0.0.1", "none a backslash"),
        ("data:image/png;base64,AAAA", "begins with http:// or https://"),
    ],
)
def test_where_a_redirect_leads_is_checked_too(public, server, location, reason):
    location = quote(location.format(port=server.server_port), safe="")
    assert reason in refusal(f"{public}/away/{location}")
    assert len(server.seen) == 1


def test_a_name_that_a_redirect_leads_back_to_is_checked_anew(public, server, look_ups):
    look_ups["public.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    assert "public.example is not on the public internet" in refusal(f"{public}/away/{quote(public, safe='')}")
    assert len(server.seen) == 1


def test_five_redirects_are_followed_and_no_more(public, server, look_ups):
    look_ups["public.example"] = [["127.0.0.1"] for _ in range(20)]
    assert fetch(f"{public}/redirect/5") == png()
    assert len(server.seen) == 6
    for path in ("/redirect/6", "/loop"):
        server.seen.clear()
        assert "more than 5 redirects" in refusal(public + path)
        assert len(server.seen) == 6


@pytest.mark.parametrize(("coding", "expected"), [("utf-8", "gr%C3%B6%C3%9Fer"), ("latin-1", "gr%F6%DFer")])
def test_where_a_redirect_leads_keeps_its_bytes(public, server, coding, expected):
    assert fetch(f"{public}/away/%2Fimage%3F{quote('größer'.encode(coding))}") == png()
    assert server.seen[1][0] == f"/image?{expected}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://example.org/", "example.org"),
        ("http://example.org:80/", "example.org"),
        ("https://example.org:443/", "example.org"),
        ("http://example.org:443/", "example.org:443"),
        ("https://[2606:2800::1]/", "[2606:2800::1]"),
        ("http://[2606:2800::1]:8080/", "[2606:2800::1]:8080"),
    ],
)
def test_the_host_header_has_the_port_where_it_is_another(address, expected):
    assert fetching._host_header(fetching._parsed(address)) == expected


def test_a_proxy_in_the_environment_is_not_asked(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, server.address)
    assert "not on the public internet" in refusal("http://127.0.0.1:1/image")
    assert "Connection refused" in refusal("http://127.0.0.1:1/image", allow_private=True)
    assert server.seen == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "the server answered 404 Not Found"),
        ("/page", "a web page or other markup, not an image"),
        ("/bomb", "13000 x 13000 pixels: more than the limit"),
        ("/says-large", "larger than 0.1 MB"),
        ("/large", "larger than 0.1 MB"),
        ("/chunked", "larger than 0.1 MB"),
        ("/packed", "the server compresses it"),
        ("/short", "the server closed the connection early"),
        ("/no-http", "does not speak HTTP"),
    ],
)
def test_what_is_no_image_or_too_much_is_refused(server, path, reason):
    said = refusal(server.address + path, allow_private=True, limits=SMALL)
    assert said.startswith(f"{server.address}{path} cannot be fetched: ")
    assert reason in said
    assert "secret" not in said


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(server, monkeypatch):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    assert fetching._scans(content) == 10  # libjpeg's own
    assert fetching._scans(png()) == 0
    last = content.rindex(b"\xff\xda")
    monkeypatch.setitem(globals(), "png", lambda: content[:-2] + content[last:-2] * 200 + b"\xff\xd9")
    assert "it is a JPEG of more than 100 scans" in refusal(f"{server.address}/image", allow_private=True)
    monkeypatch.setitem(globals(), "png", lambda: content + content[last:-2] * 200)  # after the image's end
    assert fetch(f"{server.address}/image", allow_private=True).startswith(content)


def test_decoding_counts_towards_the_time(server, monkeypatch):
    monkeypatch.setattr(fetching.images, "open_image", lambda *_, **__: time.sleep(20))
    began = time.monotonic()
    assert "it took longer than 1 s" in refusal(f"{server.address}/image", allow_private=True, limits=SHORT)
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("path", ["/drip", "/drip-headers", "/silence"])
def test_what_is_too_slow_is_left(server, path):
    began = time.monotonic()
    assert refusal(server.address + path, allow_private=True, limits=SHORT).endswith("it took longer than 1 s")
    assert time.monotonic() - began < PATIENCE


def test_a_handshake_that_is_not_answered_is_left(server):
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert "longer than 1 s" in refusal(address, allow_private=True, limits=SHORT)
    assert time.monotonic() - began < PATIENCE


def test_a_look_up_that_hangs_holds_up_neither_the_answer_nor_the_programs_end():
    script = """
import socket, time
from similar_images.inputs.web import FetchLimits, fetch
socket.getaddrinfo = lambda *arguments, **options: time.sleep(300)
fetch("http://slow.example/", limits=FetchLimits(seconds=0.2))
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stderr.endswith("http://slow.example/ cannot be fetched: it took longer than 0.2 s\n")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (socket.EAI_NONAME, "the host nowhere.example does not exist"),
        (socket.EAI_AGAIN, "the host nowhere.example could not be resolved: check the internet connection"),
    ],
)
def test_a_name_that_cannot_be_looked_up_is_told(monkeypatch, number, reason):
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "the resolver's own words")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert refusal("http://nowhere.example/") == f"http://nowhere.example/ cannot be fetched: {reason}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A key and a certificate for images.example that nobody signed, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "images.example.pem"
    names = ["-subj", "/CN=images.example", "-addext", "subjectAltName=DNS:images.example"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*make, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_https_is_held_to_the_name_though_an_address_is_connected_to(server, certificate, look_ups, monkeypatch):
    context, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: asked.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    look_ups.update({name: [["127.0.0.1"]] * 3 for name in ("images.example", "other.example")})
    port = server.server_port

    assert "its certificate is not valid: self-signed" in refusal(
        f"https://images.example:{port}/image", allow_private=True
    )
    monkeypatch.setattr(certifi, "where", lambda: certificate.with_suffix(".crt"))
    assert fetch(f"https://images.example:{port}/image", allow_private=True) == png()
    assert fetch(f"https://IMAGES.example.:{port}/image", allow_private=True) == png()
    assert {headers["Host"] for _, headers in server.seen} == {f"images.example:{port}"}
    assert "its certificate is not valid: Hostname" in refusal(
        f"https://other.example:{port}/image", allow_private=True
    )
    assert "its certificate is not valid: IP" in refusal(f"https://127.0.0.1:{port}/image", allow_private=True)
    assert asked == ["images.example", "images.example", "images.example", "other.example", None]


def test_https_where_there_is_only_http_is_told(server):
    assert "try an address that begins with http://" in refusal(
        f"https://127.0.0.1:{server.server_port}/image", allow_private=True
    )
