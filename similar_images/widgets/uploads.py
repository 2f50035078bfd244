"""Uploads of images in parts, several images together; the newest upload replaces an unfinished one."""

from dataclasses import dataclass

from similar_images.inputs.images import UnreadableImage

MAX_BYTES = 25_000_000  # of an image, which arrives in parts: Jupyter's server drops messages above 10 MiB
MAX_TOTAL_BYTES = 100_000_000  # of the images of an upload
MAX_IMAGES = 1_000  # of an upload
MAX_NAME = 255  # characters

File = tuple[str, bytes]  # an image's name and content


@dataclass(frozen=True)
class UploadPart:
    """A part of an uploaded file."""

    name: str
    start: int  # of the part in the file
    size: int  # of the file
    content: bytes
    upload: str = ""  # id of the upload
    at: int = 0  # place of the file in the upload
    of: int = 1  # files of the upload


class Upload:
    """The running upload of a page: at most MAX_TOTAL_BYTES, until it is complete or replaced."""

    def __init__(self) -> None:
        self._id: str | None = ""  # None: refused
        self._files: list[File] = []
        self._part = bytearray()  # of the next file

    def receive(self, part: UploadPart) -> list[File] | None:
        """Add a part; return the files of a complete upload, else None.

        The first part of the first file starts an upload. Parts of a replaced or refused one are dropped. Raises
        UnreadableImage if an image or the upload is too large, and ValueError for an impossible part.
        """
        if part.at == 0 and part.start == 0:
            self._reset(part.upload)
        elif part.upload != self._id:
            return None
        try:
            return self._add(part)
        except ValueError:
            self._reset(None)
            raise

    def _reset(self, upload: str | None) -> None:
        self._id, self._files, self._part = upload, [], bytearray()

    def _add(self, part: UploadPart) -> list[File] | None:
        name = part.name[:MAX_NAME]
        if part.size < 1:
            raise UnreadableImage(f"{name} is empty (0 bytes)")
        if part.size > MAX_BYTES:
            raise UnreadableImage(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB")
        if sum(len(file) for _, file in self._files) + part.size > MAX_TOTAL_BYTES:
            raise UnreadableImage(f"the images are larger than {MAX_TOTAL_BYTES / 1e6:.0f} MB together")
        if not 1 <= part.of <= MAX_IMAGES:
            raise ValueError(f"expected 1 to {MAX_IMAGES} images, got {part.of}")
        end = part.start + len(part.content)
        is_next = part.at == len(self._files) < part.of and part.start == len(self._part)
        if not is_next or not part.start < end <= part.size:
            raise ValueError(f"{name}: its parts came out of order")
        self._part += part.content
        if end < part.size:
            return None
        self._files.append((name, bytes(self._part)))
        self._part = bytearray()
        if len(self._files) < part.of:
            return None
        files = self._files
        self._reset("")
        return files
