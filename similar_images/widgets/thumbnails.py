"""Small pictures of a collection's images, made in the background and cached up to a number of bytes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Lock

from cachetools import LRUCache

from similar_images.collection.images import Collection
from similar_images.inputs import images

KEPT_BYTES = 64_000_000  # some 5,000 thumbnails
PATIENCE = 0.25  # seconds; what takes longer is shown later
WORKERS = 2  # Pillow decodes without Python's lock

Thumbnail = bytes | str  # a JPEG, or why there is none


def as_message(made: dict[int, Thumbnail]) -> tuple[dict, list[bytes]]:
    """Return the part of a message that gives a page the thumbnails of rows, and its buffers."""
    pictures = {row: one for row, one in made.items() if isinstance(one, bytes)}
    absent = [(row, one) for row, one in made.items() if isinstance(one, str)]
    return {"pictures": [*pictures], "absent": absent}, [*pictures.values()]


class Thumbnails:
    """Thumbnails of a collection; the least recently used are dropped first."""

    def __init__(self, collection: Collection, side: int, kept_bytes: int = KEPT_BYTES):
        """`side`: the longer one, in pixels."""
        self._collection, self._side = collection, side
        self._kept: LRUCache[int, Thumbnail] = LRUCache(kept_bytes, getsizeof=len)
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="thumbnails")

    def close(self) -> None:
        """End the threads and drop what is cached."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._kept.clear()

    def get(self, rows: list[int]) -> Iterator[dict[int, Thumbnail]]:
        """Yield the thumbnails of rows: those made within PATIENCE seconds, then what is made in each later such time."""
        with self._lock:
            found = {row: self._kept[row] for row in rows if row in self._kept}
        begun = {self._pool.submit(self._make, row): row for row in dict.fromkeys(rows) if row not in found}
        left = set(begun)
        try:
            while left:
                done, left = wait(left, PATIENCE)
                yield found | {begun[future]: future.result() for future in done}
                found = {}
            if found:
                yield found
        finally:
            for future in left:  # nobody waits for them any more
                future.cancel()

    def _make(self, row: int) -> Thumbnail:
        made: Thumbnail
        try:
            made = images.make_thumbnail(self._collection.image(row), self._side)
        except (ValueError, OSError) as error:  # the file or its archive is missing or damaged, or its folder unknown
            made = str(error)
        with self._lock:
            if len(made) <= self._kept.maxsize:
                self._kept[row] = made
        return made
