"""A folder of photographs that changes at random, and updates of its collection that count decoded images."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from similar_images.collection.images import Collection
from similar_images.vectors.store import index_path, vectors_path

COUNTING = """
import sys
from similar_images.cli.main import main
from similar_images.vectors import decode_pool

decode = decode_pool.DecodePool._decode

def counted(self, name, slot):
    with open("decoded.txt", "a") as file:
        file.write(name + "\\n")
    return decode(self, name, slot)

decode_pool.DecodePool._decode = counted
sys.argv = ["similar-images", *sys.argv[1:]]
main()
"""


class Library:
    """Photographs in folders below `root`, and their expected contents by name."""

    def __init__(self, home: Path, count: int, seed: int):
        self.home, self.root = home, home / "photos"
        self.random, self._pixels = random.Random(seed), np.random.default_rng(seed)
        self._deleted: list[tuple[str, bytes]] = []
        self._moves = 0
        self.names_file = home / "photos_file_list.txt"
        for number in range(count):
            self._write(f"{number % 7}/{number:03}.png", self._picture())

    # Changes

    def change(self) -> str:
        """Make one random change; return its kind."""
        kinds = (self.add, self.delete, self.rename_file, self.rename_folder, self.edit, self.swap, self.link)
        kind = self.random.choice((*kinds, self.restore, self.copy, self.touch))
        kind()
        return kind.__name__

    def add(self) -> None:
        self._write(f"{self.random.randrange(9)}/new {self.random.randrange(10**9)}.png", self._picture())

    def delete(self) -> None:
        name = self._any()
        self._deleted.append((name, (self.root / name).read_bytes()))
        (self.root / name).unlink()

    def restore(self) -> None:
        if self._deleted:
            name, content = self._deleted.pop(self.random.randrange(len(self._deleted)))
            self._write(name, content)

    def rename_file(self) -> None:
        name = self._any()
        target = self.root / f"{self.random.randrange(9)}/moved é {self.random.randrange(10**9)}.png"
        target.parent.mkdir(exist_ok=True)
        (self.root / name).rename(target)

    def rename_folder(self) -> None:
        folder = self.root / Path(self._any()).parts[0]
        folder.rename(self.root / f"{folder.name[:1]}-{self.random.randrange(10**9)}")

    def edit(self) -> None:
        """Write another picture in place: of equal size, a nanosecond later."""
        file = self.root / self._any()
        if file.is_symlink():
            return
        status = file.stat()
        file.write_bytes(self._picture(status.st_size))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    def swap(self) -> None:
        one, other = self.root / self._any(), self.root / self._any()
        between = self.root / "between"
        one.rename(between)
        if other.exists():
            other.rename(one)
            between.rename(other)
        else:  # the same file
            between.rename(one)

    def link(self) -> None:
        """Replace a file by a symbolic link to another file of the library."""
        one, other = self.root / self._any(), self.root / self._any()
        if one != other and not other.is_symlink():
            one.unlink()
            one.symlink_to(os.path.relpath(other, one.parent))

    def copy(self) -> None:
        self._write(f"{self.random.randrange(9)}/copy {self.random.randrange(10**9)}.png", self.content(self._any()))

    def touch(self) -> None:
        os.utime(self.root / self._any())

    def move_root(self) -> None:
        self._moves += 1
        target = self.home / f"disk {self._moves}" / "photos"
        target.parent.mkdir()
        self.root.rename(target)
        self.root = target

    # Content

    def names(self) -> list[str]:
        """Return the names of all photographs, without links to missing files."""
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*.png") if path.is_file())

    def content(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def contents(self) -> set[bytes]:
        return {self.content(name) for name in self.names()}

    def _any(self) -> str:
        return self.random.choice(self.names())

    def _write(self, name: str, content: bytes) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(content)

    def _picture(self, size: int = 6000) -> bytes:
        """Return a PNG of random rectangles, filled up to `size` bytes."""
        pixels = np.full((48, 48, 3), self._pixels.integers(0, 255, 3), np.uint8)
        for _ in range(8):
            top, left = self._pixels.integers(0, 40, 2)
            height, width = self._pixels.integers(4, 32, 2)
            pixels[top : top + height, left : left + width] = self._pixels.integers(0, 255, 3)
        file = self.home / "picture.png"
        Image.fromarray(pixels).save(file)
        content = file.read_bytes()
        return content + bytes(size - len(content))

    # Updates

    def update(self, kill_after: float | None = None) -> subprocess.CompletedProcess | None:
        """Update the collection in a process that logs decoded names; None if it was killed after these seconds."""
        command = [sys.executable, "-c", COUNTING, "update", str(self.root), "--network", "hog-colour"]
        command += ["-o", str(vectors_path(self.names_file))]
        process = subprocess.Popen(command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        out, err = process.communicate()
        return None if process.returncode == -9 else subprocess.CompletedProcess(command, process.returncode, out, err)

    def decoded(self) -> list[str]:
        """Return the names decoded since the last call."""
        file = self.home / "decoded.txt"
        names = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return names

    def collection(self) -> Collection:
        return Collection.open(self.names_file, index_path(vectors_path(self.names_file)))

    def fresh_collection(self) -> Collection:
        """Return a new collection of the same photographs."""
        folder = self.home / "fresh"
        shutil.rmtree(folder, ignore_errors=True)
        return Collection.create(self.root, folder, "hog-colour")
