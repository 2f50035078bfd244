"""Image files that tests write part by part: TIFFs with any tags, and PNGs of single chunks."""

import io
import struct
import zlib

import numpy as np
import tifffile


def write_tiff(pixels: np.ndarray, photometric: str = "minisblack", **options: object) -> bytes:
    """Return a TIFF of one page."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric=photometric, metadata=None, **options)
    return buffer.getvalue()


def tiff_by_hand(data: bytes, width: int, height: int, **tags: int) -> bytes:
    """Return an uncompressed TIFF of one strip; `tags` are bits, photometric and samples."""
    entries = {256: width, 257: height, 258: tags["bits"], 259: 1, 262: tags["photometric"], 273: 8}
    entries |= {277: tags["samples"], 278: height, 279: len(data)}
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory + bytes(4)


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    """Return a chunk of a PNG."""
    crc = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colours: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")
