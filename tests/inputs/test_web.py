"""Fetch images within limits of size, time and redirects, from servers on loopback."""

import io
import socket
import ssl
import subprocess
import sys
import time
from urllib.parse import quote

import certifi
import pytest
import web_server
from conftest import ROOT
from PIL import Image
from web_server import OTHER, PATIENCE, PUBLIC, SHORT, SMALL, png, refusal

from similar_images.inputs import web as fetching
from similar_images.inputs.web import fetch


def test_private_address_is_fetched_if_allowed(server):
    assert fetch(f"{server.address}/image?größe=a b%20c#part", allow_private=True) == png()
    path, headers = server.seen[0]
    assert path == "/image?gr%C3%B6%C3%9Fe=a%20b%20c"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)


def test_this_machine_is_refused_with_remedy(server):
    assert refusal(f"{server.address}/image") == (
        f"{server.address}/image cannot be fetched: "
        "127.0.0.1 is not on the public internet (allow_private=True in Python allows it)"
    )
    assert server.seen == []


def test_checked_address_is_connected_to_despite_rebinding(look_ups, connections):
    look_ups["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert "Connection refused" in refusal("http://rebinding.example/a.jpg")
    assert connections == [PUBLIC]
    assert look_ups["rebinding.example"] == [["127.0.0.1"]]  # not looked up
    assert "not on the public internet" in refusal("http://rebinding.example/a.jpg")


def test_public_addresses_of_a_name_are_tried_in_order(look_ups, connections):
    look_ups["both.example"] = [["10.0.0.1", OTHER, "127.0.0.1", PUBLIC, "::1"]]
    assert "Connection refused" in refusal("http://both.example/a.jpg")
    assert connections == [OTHER, PUBLIC]
    look_ups["none.example"] = [["10.0.0.1", "::1"]]
    assert "none.example is not on the public internet" in refusal("http://none.example/a.jpg")
    assert connections == [OTHER, PUBLIC]


def test_silent_address_leaves_time_for_the_next(look_ups, server, monkeypatch):
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


def test_public_address_of_this_machine_is_refused(monkeypatch, server):
    monkeypatch.setattr(fetching, "is_public", lambda address: True)
    assert "is not on the public internet" in refusal(f"{server.address}/image")
    assert server.seen == []


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
def test_redirect_target_is_checked(public, server, location, reason):
    location = quote(location.format(port=server.server_port), safe="")
    assert reason in refusal(f"{public}/away/{location}")
    assert len(server.seen) == 1


def test_redirect_to_the_same_name_is_checked_again(public, server, look_ups):
    look_ups["public.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    assert "public.example is not on the public internet" in refusal(f"{public}/away/{quote(public, safe='')}")
    assert len(server.seen) == 1


def test_at_most_five_redirects_are_followed(public, server, look_ups):
    look_ups["public.example"] = [["127.0.0.1"] for _ in range(20)]
    assert fetch(f"{public}/redirect/5") == png()
    assert len(server.seen) == 6
    for path in ("/redirect/6", "/loop"):
        server.seen.clear()
        assert "more than 5 redirects" in refusal(public + path)
        assert len(server.seen) == 6


@pytest.mark.parametrize(("coding", "expected"), [("utf-8", "gr%C3%B6%C3%9Fer"), ("latin-1", "gr%F6%DFer")])
def test_redirect_target_keeps_its_bytes(public, server, coding, expected):
    assert fetch(f"{public}/away/%2Fimage%3F{quote('größer'.encode(coding))}") == png()
    assert server.seen[1][0] == f"/image?{expected}"


def test_proxy_in_the_environment_is_ignored(server, monkeypatch):
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
def test_oversized_and_invalid_answers_are_refused(server, path, reason):
    said = refusal(server.address + path, allow_private=True, limits=SMALL)
    assert said.startswith(f"{server.address}{path} cannot be fetched: ")
    assert reason in said
    assert "secret" not in said


def test_jpeg_of_many_scans_is_refused_before_decoding(server, monkeypatch):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    assert fetching._scans(content) == 10  # default of libjpeg
    assert fetching._scans(png()) == 0
    last = content.rindex(b"\xff\xda")
    monkeypatch.setattr(web_server, "png", lambda: content[:-2] + content[last:-2] * 200 + b"\xff\xd9")
    assert "it is a JPEG of more than 100 scans" in refusal(f"{server.address}/image", allow_private=True)
    monkeypatch.setattr(web_server, "png", lambda: content + content[last:-2] * 200)  # after the image's end
    assert fetch(f"{server.address}/image", allow_private=True).startswith(content)


def test_decoding_counts_towards_the_time(server, monkeypatch):
    monkeypatch.setattr(fetching.images, "open_image", lambda *_, **__: time.sleep(20))
    began = time.monotonic()
    assert "it took longer than 1 s" in refusal(f"{server.address}/image", allow_private=True, limits=SHORT)
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("path", ["/drip", "/drip-headers", "/silence"])
def test_slow_answer_times_out(server, path):
    began = time.monotonic()
    assert refusal(server.address + path, allow_private=True, limits=SHORT).endswith("it took longer than 1 s")
    assert time.monotonic() - began < PATIENCE


def test_unanswered_handshake_times_out(server):
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert "longer than 1 s" in refusal(address, allow_private=True, limits=SHORT)
    assert time.monotonic() - began < PATIENCE


def test_hanging_look_up_delays_neither_answer_nor_exit():
    script = """
import socket, time
from similar_images.inputs.web import FetchLimits, fetch
socket.getaddrinfo = lambda *arguments, **options: time.sleep(300)
fetch("http://slow.example/", limits=FetchLimits(seconds=0.2))
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.stderr.endswith("http://slow.example/ cannot be fetched: it took longer than 0.2 s\n")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (socket.EAI_NONAME, "the host nowhere.example does not exist"),
        (socket.EAI_AGAIN, "the host nowhere.example could not be resolved: check the internet connection"),
    ],
)
def test_failed_look_up_has_a_reason(monkeypatch, number, reason):
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "the resolver's own words")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert refusal("http://nowhere.example/") == f"http://nowhere.example/ cannot be fetched: {reason}"


def test_https_certificate_must_match_the_name(server, certificate, look_ups, monkeypatch):
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


def test_https_on_an_http_server_suggests_http(server):
    assert "try an address that begins with http://" in refusal(
        f"https://127.0.0.1:{server.server_port}/image", allow_private=True
    )
