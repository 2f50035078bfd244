"""Images that a page uploads: in parts, several together, and the newest upload replaces an unfinished one."""

from collections.abc import Mapping, Sequence
from typing import Any

from similar_images.inputs.images import UnreadableImage
from similar_images.widgets import messages

MAX_BYTES = 25_000_000  # of an image, which arrives in parts: Jupyter's server drops messages above 10 MiB
MAX_TOTAL_BYTES = 100_000_000  # of the images of an upload
MAX_IMAGES = 1_000  # of an upload
MAX_NAME = 255  # characters

File = tuple[str, bytes]  # an image's name and content


class Upload:
    """The upload that a page sends: at most MAX_TOTAL_BYTES are kept, until it is complete or another one begins."""

    def __init__(self):
        self._id: str | None = ""  # of the upload that is received; None: it was refused
        self._files: list[File] = []
        self._part = bytearray()  # of the next file

    def receive(self, message: Mapping[str, Any], buffers: Sequence[memoryview | bytes]) -> list[File] | None:
        """Take a part; return the files once the last one is complete, else None.

        The first part of the first file begins an upload. Parts of an earlier or a refused one are dropped. Raises
        UnreadableImage if an image or all of them are too large, and ValueError for an impossible part.
        """
        upload, at, start = (
            messages.text(message, "upload", ""),
            messages.integer(message, "at", 0),
            message.get("start"),
        )
        if at == 0 and start == 0:
            self._forget(upload)
        elif upload != self._id:
            return None
        try:
            return self._add(message, messages.buffer(buffers))
        except ValueError:
            self._forget(None)
            raise

    def _forget(self, upload: str | None) -> None:
        self._id, self._files, self._part = upload, [], bytearray()

    def _add(self, message: Mapping[str, Any], part: bytes) -> list[File] | None:
        name = messages.text(message, "name")[:MAX_NAME]
        start, size = messages.integer(message, "start"), messages.integer(message, "size")
        at, count = messages.integer(message, "at", 0), messages.integer(message, "of", 1)
        if size < 1:
            raise UnreadableImage(f"{name} is empty (0 bytes)")
        if size > MAX_BYTES:
            raise UnreadableImage(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB")
        if sum(len(content) for _, content in self._files) + size > MAX_TOTAL_BYTES:
            raise UnreadableImage(f"the images are larger than {MAX_TOTAL_BYTES / 1e6:.0f} MB together")
        if not 1 <= count <= MAX_IMAGES:
            raise ValueError(f"expected 1 to {MAX_IMAGES} images, got {count}")
        end = start + len(part)
        if at != len(self._files) or at >= count or start != len(self._part) or not start < end <= size:
            raise ValueError(f"{name}: its parts came out of order")
        self._part += part
        if end < size:
            return None
        self._files.append((name, bytes(self._part)))
        self._part = bytearray()
        if len(self._files) < count:
            return None
        files = self._files
        self._forget("")
        return files
