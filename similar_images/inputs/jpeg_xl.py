"""JPEG XL as a Pillow image: the size is read from the header before pixels are decoded (ISO/IEC 18181-1 and -2).

The plugin of Pillow decodes when it opens a file, so that no limit of pixels could be checked; only its decoder is used.
"""

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile

CODESTREAM = b"\xff\x0a"
SIZE_BITS = (9, 13, 18, 30)  # of a width or height, by its selector
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, by their number from 1
HEADER_BYTES = 16
ORIENTATION = 274  # in EXIF


class JpegXlImage(ImageFile.ImageFile):
    format = "JXL"

    def _open(self) -> None:
        self._content = cast(BinaryIO, self.fp).read()
        self._size = read_size(self._content)
        self._mode = "RGB"
        exif = next((content for kind, content in _boxes(self._content) if kind == b"Exif"), b"")
        if len(exif) > 4:
            self.info["exif"] = exif[4:] if exif[4:6] in (b"II", b"MM") else exif  # after an offset
        # Not in `info`: Pillow would apply an orientation of XMP, which JPEG XL ignores.
        self.xmp = next((content for kind, content in _boxes(self._content) if kind == b"xml "), b"")

    def load(self) -> Any:
        if self._content:
            from pillow_jxl import Decoder

            content, self._content = self._content, b""
            is_jpeg, described, data, profile, _ = Decoder(num_threads=1)(content)
            if is_jpeg:
                image: Image.Image = Image.open(io.BytesIO(data), formats=["JPEG"])
                image.load()
                self.info = image.info
            else:
                mode = "F" if described.mode.startswith("F") else described.mode  # floats are of 32 bits
                image = Image.frombytes(mode, (described.width, described.height), data)
                self.info |= {"icc_profile": profile} if profile else {}
                self._drop_orientation()
            self.im, self._mode, self._size = image.im, image.mode, image.size
        return Image.Image.load(self)

    def _drop_orientation(self) -> None:
        """Remove the orientation of EXIF: the decoder has applied the only valid one, in the codestream."""
        exif = self.getexif()
        if ORIENTATION in exif:
            del exif[ORIENTATION]
            self.info["exif"] = exif.tobytes()


def read_size(content: bytes) -> tuple[int, int]:
    """Return the width and height of the pixels, before rotation. Raises SyntaxError for a damaged header."""
    header = _codestream(content)[: len(CODESTREAM) + HEADER_BYTES]
    if not header.startswith(CODESTREAM) or len(header) < len(CODESTREAM) + 1:
        raise SyntaxError("its header is damaged")
    bits, at = int.from_bytes(header[len(CODESTREAM) :], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & ((1 << count) - 1)

    def take_length(is_small: int) -> int:
        return 8 * (1 + take(5)) if is_small else 1 + take(SIZE_BITS[take(2)])

    is_small = take(1)
    height = take_length(is_small)
    ratio = take(3)
    if ratio == 0:
        return take_length(is_small), height
    across, down = RATIOS[ratio - 1]
    return height * across // down, height


def _codestream(content: bytes) -> bytes:
    """Return the beginning of the codestream, which may be in boxes."""
    if content.startswith(CODESTREAM):
        return content
    for kind, part in _boxes(content):
        if kind == b"jxlc":
            return part
        if kind == b"jxlp":
            return part[4:]
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box of a container; none for a bare codestream."""
    at = 0 if content[4:8] == b"JXL " else len(content)
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        start = at + 8
        if size == 1 and start + 8 <= len(content):
            (size,), start = struct.unpack_from(">Q", content, start), start + 8
        end = at + size if size else len(content)
        if end <= start:
            return
        yield kind, content[start:end]
        at = end
