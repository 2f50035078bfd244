"""Images at an address that fsspec opens: a folder of an object storage (s3://, gs://, abfs://), file:// and others."""

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from similar_images.inputs.exclusions import Exclusions
from similar_images.inputs.formats import archive_suffix
from similar_images.inputs.images import OUTSIDE_FOLDER, UnreadableImage
from similar_images.inputs.listing import OUTSIDE_LINKS, Listing, classify
from similar_images.inputs.names import one_line
from similar_images.inputs.sources.folder import is_inside
from similar_images.inputs.sources.source import Address, FileStatus, Source, digest_text

READERS = 32  # images read at once: an object storage has a long latency and a high throughput
# Entries of fsspec's info that change with a file's content: in S3, Google's, Azure's and other stores, and on disks.
STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime")
WEB_PROTOCOLS = ("http", "https")  # opened by inputs/web.py alone, within its limits


def check_address(address: Address) -> None:
    """Raise ValueError, with the remedy, for an unsupported address. Nothing is opened."""
    protocol, _, rest = address.partition("://")
    if "@" in rest.split("/")[0]:
        raise ValueError(
            f"{protocol}:// addresses are taken without a user and password, which would be recorded: set them as "
            f"the package of {protocol}:// reads them, from the environment or its files"
        )
    if protocol in WEB_PROTOCOLS or "::" in address or "?" in rest.split("/")[0]:
        raise ValueError(f"expected a folder or an address such as s3://bucket/photos, got {address}")
    if archive_suffix(address):
        raise ValueError(f"{address} is an archive: copy it to a disk, or unpack it there")


class Remote(Source):
    """Images at an address, opened at first use."""

    readers = READERS

    def __init__(self, address: Address):
        self.path: Address = address

    def find(self, exclude: Sequence[str] = ()) -> Listing:
        exclusions = Exclusions(exclude)
        start = len(self._root) + 1
        names = [path[start:] for path in self._query("find")]
        inside = {name for name in names if self._is_inside(name)}
        self.read_ignore_files(exclusions, inside)
        return classify(inside, {OUTSIDE_LINKS: outside} if (outside := set(names) - inside) else {}, exclusions)

    def exists(self, name: str = "") -> bool:
        return self._check("exists", name)

    def is_file(self, name: str) -> bool:
        return self._check("isfile", name)

    def join(self, name: str) -> Address | None:
        return None if name.startswith("/") or ".." in name.split("/") else self.path / name

    def locate(self, name: str) -> Address:
        location = self.join(name)
        if location is None or not self._is_inside(name):
            raise UnreadableImage(OUTSIDE_FOLDER)
        return location

    def status(self, name: str) -> FileStatus:
        status = self._query("info", name)
        if status["type"] != "file":
            raise UnreadableImage("no such file")
        stamps = [status[key] for key in STAMPS if status.get(key) is not None]
        return FileStatus(int(status["size"]), digest_text(str(stamps)))

    def open(self, name: str) -> IO[bytes]:
        return io.BufferedReader(io.BytesIO(self._query("cat_file", name)))

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system and the path in it. Raises ValueError or OSError, with the remedy."""
        import fsspec

        check_address(self.path)
        try:
            system, root = fsspec.url_to_fs(str(self.path), use_listings_cache=False)
        except (ImportError, ValueError) as error:  # the message names the package to install
            raise OSError(f"cannot open {self.path}: {error}") from error
        except Exception as error:  # storage packages raise any type
            raise OSError(f"cannot open {self.path}: {one_line(error)}") from error
        return system, root.rstrip("/")

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _is_inside(self, name: str) -> bool:
        """Return whether a file is below the folder after following links, which only local disks (file://) have."""
        system, root = self._opened
        is_local = "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)
        return not is_local or is_inside(Path(root, name), Path(root))

    def _check(self, method: str, name: str) -> bool:
        try:
            return bool(self._query(method, name))
        except UnreadableImage:
            return False

    def _query(self, method: str, name: str = "") -> Any:
        """Return the result of a method of the file system. Raises UnreadableImage or OSError."""
        self.locate(name)
        system, root = self._opened
        try:
            return getattr(system, method)(f"{root}/{name}" if name else root)
        except (FileNotFoundError, IsADirectoryError) as error:
            if name:
                raise UnreadableImage("no such file") from error
            raise FileNotFoundError(f"{self.path} does not exist: check the address") from error
        except Exception as error:  # storage packages raise any type
            raise OSError(
                f"cannot read {self.path / name}: {one_line(error)}. Check the address, and the credentials in the environment"
            ) from error
