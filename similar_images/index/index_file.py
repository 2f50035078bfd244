"""What is in the file of an index, read before Faiss sees it: a bad length would end the whole process.

The layout is that of faiss/impl/index_write.cpp, for the types that this project writes or the scripts of 2022
wrote; any other is refused where no manifest vouches for the file.
"""

import struct
from pathlib import Path
from typing import BinaryIO

FOURCC = {"flat": (b"IxFI", b"IxF2"), "map": (b"IxMp",), "ivfpq": (b"IwPQ",)}


def check(path: Path) -> None:
    """Raise ValueError where the file is not a whole index of a known type: each length in it fits the file."""
    with path.open("rb") as file:
        reader = _Reader(file, path.stat().st_size)
        reader.index()
        if reader.left():
            raise ValueError(f"{reader.left()} bytes are left after its end")


class _Reader:
    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size

    def left(self) -> int:
        return self.size - self.file.tell()

    def take(self, form: str) -> tuple:
        content = self.file.read(struct.calcsize("<" + form))
        if len(content) < struct.calcsize("<" + form):
            raise ValueError("it is truncated")
        return struct.unpack("<" + form, content)

    def vector(self, item_bytes: int, expected: int | None = None) -> int:
        """Skip an array that is stored with its length; return that."""
        (count,) = self.take("Q")
        self.skip(count * item_bytes)
        if expected is not None and count != expected:
            raise ValueError(f"expected an array of {expected}, got {count}")
        return count

    def skip(self, count: int) -> None:
        if count > self.left():
            raise ValueError(f"it is truncated or altered: an array of {count} bytes in {self.left()}")
        self.file.seek(count, 1)

    def index(self, inner: bool = False) -> tuple[int, int]:
        """Skip an index; return its d and its number of vectors."""
        (kind,) = self.take("4s")
        d, n, _, _, trained, metric = self.take("iqqq?i")
        if not 0 < d < 2**16 or n < 0 or metric not in (0, 1):
            raise ValueError(f"expected dimension, number and metric of an index, got {d}, {n}, {metric}")
        if kind in FOURCC["flat"]:
            self.vector(4, n * d)
        elif kind in FOURCC["map"] and not inner:
            if self.index(inner=True) != (d, n):
                raise ValueError("its parts are of different sizes")
            self.vector(8, n)
        elif kind in FOURCC["ivfpq"] and trained:
            self.ivfpq(d, n)
        else:
            raise ValueError(f"expected an index of a type that is known here, got {kind!r}")
        return d, n

    def ivfpq(self, d: int, n: int) -> None:
        lists, probed = self.take("QQ")
        if self.index(inner=True) != (d, lists) or not probed > 0:
            raise ValueError("its inverted lists and their centroids are of different sizes")
        (direct_map,) = self.take("b")
        if direct_map != 0:
            raise ValueError("it keeps a direct map, which is not known here")
        self.vector(8, 0)
        (_, code_bytes) = self.take("?Q")
        (pq_d, parts, bits) = self.take("QQQ")
        if pq_d != d or not parts or d % parts or not 0 < bits <= 16 or code_bytes != (parts * bits + 7) // 8:
            raise ValueError("its product codes are of another size")
        self.vector(4, d * 2**bits)
        self.inverted_lists(lists, code_bytes, n)

    def inverted_lists(self, lists: int, code_bytes: int, n: int) -> None:
        kind, stored, stored_bytes, form = self.take("4sQQ4s")
        if (kind, stored, stored_bytes) != (b"ilar", lists, code_bytes):
            raise ValueError("its inverted lists are of another size or kind")
        (count,) = self.take("Q")
        if count * 8 > self.left():
            raise ValueError("it is truncated")
        numbers = self.take(f"{count}Q")
        if form == b"full" and count == lists:
            sizes = numbers
        elif form == b"sprs" and count % 2 == 0 and all(row < lists for row in numbers[::2]):
            sizes = numbers[1::2]
        else:
            raise ValueError("its inverted lists are of another form")
        if sum(sizes) != n:
            raise ValueError(f"expected {n} vectors in its inverted lists, got {sum(sizes)}")
        for size in sizes:
            self.skip(size * (code_bytes + 8))
