"""A web server on loopback that answers with an image or with trouble."""

import gzip
import io
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

import pytest
from PIL import Image

from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.web import FetchLimits, fetch

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


def refusal(address: str, **options: object) -> str:
    with pytest.raises(UnreadableImage) as error:
        fetch(address, **options)
    return str(error.value)
