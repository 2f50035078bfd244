"""Milvus Lite, started in this process for the file of a collection."""

import atexit
import logging
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from similar_images import forks


class Started(NamedTuple):
    server: Any
    database: Any
    address: str
    folder: Path  # of its socket


LONG = 70  # characters; the path of a socket has at most 107

_started: dict[Path, Started] = {}
_starting = forks.new_lock()


def address(file: Path) -> str:
    """Return the address of Milvus Lite of a file, which is started if it is not yet.

    It is a socket in a folder of this user's: on a port, anybody on this machine could read and change the collection.
    Raises BlockingIOError if another process has the file open, ValueError if it cannot be opened.
    """
    path = file.resolve()
    with _starting:
        if path not in _started:
            _started[path] = _start(path, file)
        return _started[path].address


def size(file: Path) -> int:
    """Return the bytes that a file of Milvus Lite, which is a folder, takes on disk."""
    return sum(one.stat().st_size for one in file.rglob("*") if one.is_file())


def _start(path: Path, file: Path) -> Started:
    from milvus_lite.adapter.grpc.server import start_server_in_thread
    from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {file}: create it first")
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL + 1)  # it logs every error with a traceback
    folder = Path(tempfile.mkdtemp(prefix="milvus-", dir=None if len(tempfile.gettempdir()) < LONG else "/tmp"))
    try:
        if hasattr(socket, "AF_UNIX"):
            server, database, _ = start_server_in_thread(str(path), host=f"unix:{folder}/lite", port=0)
            return Started(server, database, f"unix:{folder}/lite:0", folder)
        server, database, port = start_server_in_thread(str(path))
        return Started(server, database, f"http://127.0.0.1:{port}", folder)
    except DataDirLockedError:
        failure: Exception = BlockingIOError(
            f"{file} is open in another process, and Milvus Lite serves one at a time: end that one, such as a "
            "notebook's kernel, or use a Milvus server"
        )
    except (MilvusLiteError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        failure = ValueError(f"Milvus Lite cannot open {file} ({reason}): remove it and build again")
    shutil.rmtree(folder, ignore_errors=True)
    raise failure


@atexit.register
def _stop() -> None:
    for one in _started.values():
        one.server.stop(grace=1)
        one.database.close()
        shutil.rmtree(one.folder, ignore_errors=True)
    _started.clear()
