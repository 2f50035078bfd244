"""Milvus Lite servers of this process, one per database file."""

import atexit
import logging
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from similar_images import forks

MAX_TEMP_LENGTH = 70  # characters; a socket's path has at most 107


class LiteServer(NamedTuple):
    """A running Milvus Lite."""

    server: Any
    database: Any
    address: str
    folder: Path  # of its socket


_servers: dict[Path, LiteServer] = {}
_lock = forks.new_lock()


def start(file: Path) -> str:
    """Start Milvus Lite for `file` unless it runs already; return its address.

    The address is a socket in a private folder: a port would let every user of this machine change the collection.
    Raises BlockingIOError if another process has opened the file, FileNotFoundError or ValueError if it cannot be opened.
    """
    path = file.resolve()
    with _lock:
        if path not in _servers:
            _servers[path] = _start_server(path, file)
        return _servers[path].address


def _start_server(path: Path, file: Path) -> LiteServer:
    from milvus_lite.adapter.grpc.server import start_server_in_thread
    from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {file}: create it first")
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL + 1)  # it logs each error with a traceback
    is_short = len(tempfile.gettempdir()) < MAX_TEMP_LENGTH
    folder = Path(tempfile.mkdtemp(prefix="milvus-", dir=None if is_short else "/tmp"))
    try:
        if hasattr(socket, "AF_UNIX"):
            server, database, _ = start_server_in_thread(str(path), host=f"unix:{folder}/lite", port=0)
            return LiteServer(server, database, f"unix:{folder}/lite:0", folder)
        server, database, port = start_server_in_thread(str(path))
        return LiteServer(server, database, f"http://127.0.0.1:{port}", folder)
    except DataDirLockedError:
        failure: Exception = BlockingIOError(
            f"{file} is open in another process, and Milvus Lite allows only one: end that process, such as a "
            "notebook's kernel, or use a Milvus server"
        )
    except (MilvusLiteError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        failure = ValueError(f"Milvus Lite cannot open {file} ({reason}): remove it and build again")
    shutil.rmtree(folder, ignore_errors=True)
    raise failure


@atexit.register
def _stop_servers() -> None:
    for each in _servers.values():
        each.server.stop(grace=1)
        each.database.close()
        shutil.rmtree(each.folder, ignore_errors=True)
    _servers.clear()
