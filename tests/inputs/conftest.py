"""Fixtures for fetching: a server on loopback, fake name look-ups, recorded connections."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from threading import Thread

import pytest
from web_server import Handler

from similar_images.inputs import web as fetching


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen, server.address = [], f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def look_ups(monkeypatch) -> dict[str, list]:
    """Addresses of fake names, a list for each future look-up; other names are looked up."""
    real, answers = socket.getaddrinfo, {}

    def getaddrinfo(host: str, port: int, *arguments: object, **options: object) -> list:
        if host not in answers:
            return real(host, port, *arguments, **options)
        return [entry for one in answers[host].pop(0) for entry in real(one, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


@pytest.fixture
def connections(monkeypatch) -> list[str]:
    """Addresses of attempted connections; all are refused."""
    made = []

    def create_connection(address: tuple[str, int], *_: object, **__: object) -> None:
        made.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return made


@pytest.fixture
def public(monkeypatch, look_ups, server) -> str:
    """The address of the server under a fake public name."""
    monkeypatch.setattr(fetching, "is_public", lambda address: str(address) == "127.0.0.1")
    monkeypatch.setattr(fetching, "_is_this_machine", lambda address: False)
    look_ups["public.example"] = [["127.0.0.1"] for _ in range(2)]
    return f"http://public.example:{server.server_port}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A key and a self-signed certificate for images.example in one file."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "images.example.pem"
    names = ["-subj", "/CN=images.example", "-addext", "subjectAltName=DNS:images.example"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*make, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path
