"""A hub on loopback: repositories from folders, with the commits, branches and checksums of the real hub."""

import hashlib
import json
import re
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LFS = (".safetensors", ".onnx")  # files whose ETag is their SHA-256


class Hub(ThreadingHTTPServer):
    """Serves `folders` of OWNER/NAME; `requests` are (method, path, Range), `agents` the programs that asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.folders: dict[str, Path] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.agents: set[str] = set()
        self.status = 200
        self.error = ""  # X-Error-Code
        self.breaks = 0  # number of answers with weights to cut in half
        self.commit = "1" * 40

    def handle_error(self, request, client_address):
        """Ignore clients that give up."""

    def asked(self, method: str = "GET") -> list[str]:
        return [path for what, path, _ in self.requests if what == method]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        hub, path = self.server, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range")))
        hub.agents.add(self.headers.get("User-Agent", ""))
        if hub.status != 200:
            echoed = self.headers.get("Authorization", "")
            return self.answer(
                hub.status, json.dumps({"error": f"no: {echoed}"}).encode(), **{"X-Error-Code": hub.error}
            )
        if asked := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path):
            name, what, revision = asked.groups()
        elif asked := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name, revision, what = asked.groups()
        else:
            return self.answer(404, b"{}")
        if name not in hub.folders:
            return self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        if revision not in (None, "main", hub.commit):
            return self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        folder = hub.folders[name]
        if what in (None, "revision"):
            return self.info(name, folder)
        return self.tree(folder) if what == "tree" else self.file(folder / what)

    do_HEAD = do_GET

    def info(self, name: str, folder: Path) -> None:
        files = [{"rfilename": entry["path"], **entry} for entry in list_files(folder)]
        self.json({"_id": "1", "id": name, "sha": self.server.commit, "siblings": files, "private": False})

    def tree(self, folder: Path) -> None:
        self.json(list_files(folder))

    def file(self, file: Path) -> None:
        if not file.is_file():
            return self.answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        content, etag = file.read_bytes(), checksum(file)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.server.commit, "Accept-Ranges": "bytes"}
        if file.suffix in LFS:
            headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        status, start = 200, 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = len(content)
        if self.command == "GET" and file.suffix in LFS and self.server.breaks:
            self.server.breaks -= 1
            cut = start + (len(content) - start) // 2
        self.answer(status, content[start:cut], **headers, **{"Content-Length": str(len(content) - start)})

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.close_connection = True
        self.end_headers()
        if self.command == "GET":
            with suppress(OSError):
                self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def checksum(file: Path) -> str:
    """Return the SHA-256 of a large file, and the git checksum of any other."""
    content = file.read_bytes()
    if file.suffix in LFS:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def list_files(folder: Path) -> list[dict]:
    """Return the files of a repository in the form of the hub."""
    entries = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        entry = {"type": "file", "path": file.relative_to(folder).as_posix(), "size": file.stat().st_size}
        entry |= {"oid": checksum(file)[:40], "blobId": checksum(file)[:40]}
        if file.suffix in LFS:
            entry["lfs"] = {"oid": checksum(file), "sha256": checksum(file), "size": entry["size"], "pointerSize": 130}
        entries.append(entry)
    return entries


@contextmanager
def serving():
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
