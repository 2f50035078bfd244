"""Images at an address that fsspec opens: a folder of an object storage (s3://, gs://, abfs://), file:// and others."""

import io
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from similar_images.inputs.images import LIMITS, OUTSIDE_FOLDER, OVER_LIMIT, Limits, UnreadableImage
from similar_images.inputs.names import ARCHIVES as ARCHIVES
from similar_images.inputs.names import OUTSIDE_LINKS, Listing, classify, is_inside

READERS = 32  # images that are read at once: an object storage answers slowly, but to many
ON_THE_WEB = ("http", "https")  # opened by inputs/web.py alone, within its limits


class Address(str):
    """An address of a folder or file, `s3://bucket/photos`; joined and shown like a path."""

    def __truediv__(self, name: str) -> "Address":
        return Address(f"{self.rstrip('/')}/{name}") if name else self

    @property
    def name(self) -> str:
        return self.rstrip("/").rsplit("/", 1)[-1]

    def absolute(self) -> "Address":
        return self

    resolve = absolute


def check_address(address: Address) -> None:
    """Raise ValueError, with the remedy, if it cannot be an address of images; nothing is opened."""
    protocol, _, rest = address.partition("://")
    if "@" in rest.split("/")[0]:
        raise ValueError(
            f"{protocol}:// addresses are taken without a user and password, which would be recorded: set them as "
            f"the package of {protocol}:// reads them, from the environment or its files"
        )
    if protocol in ON_THE_WEB or "::" in address or "?" in rest.split("/")[0]:
        raise ValueError(f"expected a folder or an address such as s3://bucket/photos, got {address}")
    if address.lower().endswith(ARCHIVES):
        raise ValueError(f"{address} is an archive: copy it to a disk, or unpack it there")


class Remote:
    """Images at an address; opened at first use. Threads may share it."""

    in_memory = True  # whether `image` returns bytes
    readers = READERS
    allow_outside = False

    def __init__(self, address: Address):
        self.path = address

    def join(self, name: str) -> Address | None:
        """Return the address of a file; None if the name leads out of the folder."""
        return None if _leads_outside(name) else self.path / name

    def locate(self, name: str) -> Address:
        """Return the address of a file. Raises UnreadableImage if it is outside the folder, on a disk also by a link."""
        if _leads_outside(name) or not self._is_inside(name):
            raise UnreadableImage(OUTSIDE_FOLDER)
        return self.path / name

    def match_name(self, name: str) -> str:
        """Return a name as `find` gives it."""
        return name

    def exists(self, name: str = "") -> bool:
        """Return whether the folder, or a file or folder of this name in it, exists. Raises OSError."""
        return self._is_here("exists", name)

    def find(self) -> Listing:
        """Return the names of all images, by suffix, and the other files by kind. Raises OSError."""
        start = len(self._root) + 1
        names = [path[start:] for path in self._asked("find")]
        inside = {name for name in names if self._is_inside(name)}
        return classify(inside, {OUTSIDE_LINKS: outside} if (outside := set(names) - inside) else {})

    def has_any(self, names: list[str]) -> bool:
        """Return whether at least one of the names is a file here. Raises OSError."""
        return any(self._is_here("isfile", name) for name in names if name)

    def image(self, name: str, limits: Limits = LIMITS) -> bytes:
        """Return the bytes of an image. Raises UnreadableImage if it is missing or too large, OSError if all is."""
        size = self.size(name)
        if size > limits.bytes:
            raise UnreadableImage(f"{size} bytes: {OVER_LIMIT} {limits.bytes} bytes")
        return self._asked("cat_file", name)

    def size(self, name: str) -> int:
        """Return the bytes of a file. Raises UnreadableImage if it is missing."""
        found = self._asked("info", name)
        if found["type"] != "file":
            raise UnreadableImage("no such file")
        return found["size"]

    def open(self, name: str) -> IO[bytes]:
        """Return the file, to be read in a `with` block. Raises UnreadableImage if it is missing."""
        return io.BufferedReader(io.BytesIO(self._asked("cat_file", name)))

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system and the path in it. Raises ValueError or OSError, with the remedy."""
        import fsspec

        check_address(self.path)
        try:
            system, root = fsspec.url_to_fs(str(self.path), use_listings_cache=False)
        except (ImportError, ValueError) as error:  # it names the package to install
            raise OSError(f"cannot open {self.path}: {error}") from error
        except Exception as error:  # the packages of the storages raise anything
            raise OSError(f"cannot open {self.path}: {_reason(error)}") from error
        return system, root.rstrip("/")

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _is_inside(self, name: str) -> bool:
        """Return whether a file is below the folder, if links can be followed: on a disk of this machine (file://)."""
        system, root = self._opened
        is_local = "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)
        return not is_local or is_inside(Path(root, name), Path(root))

    def _is_here(self, question: str, name: str) -> bool:
        try:
            return self._asked(question, name)
        except UnreadableImage:
            return False

    def _asked(self, question: str, name: str = "") -> Any:
        """Return what the file system answers; no name is a pattern. Raises UnreadableImage or OSError."""
        self.locate(name)
        system, root = self._opened
        try:
            return getattr(system, question)(f"{root}/{name}" if name else root)
        except (FileNotFoundError, IsADirectoryError) as error:
            if name:
                raise UnreadableImage("no such file") from error
            raise FileNotFoundError(f"{self.path} does not exist: check the address") from error
        except Exception as error:  # the packages of the storages raise anything
            raise OSError(
                f"cannot read {self.path / name}: {_reason(error)}. Check the address, and the credentials in the environment"
            ) from error


def _leads_outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
