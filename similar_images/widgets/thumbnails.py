"""Thumbnails of a collection's images, made in the background and cached up to a number of bytes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Lock

from cachetools import LRUCache

from similar_images.collection.images import Collection
from similar_images.inputs import images
from similar_images.widgets.replies import Pictures

CACHE_BYTES = 64_000_000  # some 5,000 thumbnails
PATIENCE = 0.25  # seconds; slower thumbnails come later
WORKERS = 2  # Pillow decodes without Python's lock

Thumbnail = bytes | str  # a JPEG, or the reason of its absence


def as_reply(made: dict[int, Thumbnail], number: int | None = None) -> tuple[Pictures, list[bytes]]:
    """Return thumbnails as a reply to the page, and its buffers."""
    pictures = {row: one for row, one in made.items() if isinstance(one, bytes)}
    absent = [(row, one) for row, one in made.items() if isinstance(one, str)]
    return Pictures([*pictures], absent, number), [*pictures.values()]


class Thumbnails:
    """Thumbnails of a collection; the least recently used are dropped first."""

    def __init__(self, collection: Collection, side: int, cache_bytes: int = CACHE_BYTES):
        """`side`: the longer one, in pixels."""
        self._collection, self._side = collection, side
        self._cache: LRUCache[int, Thumbnail] = LRUCache(cache_bytes, getsizeof=len)
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="thumbnails")

    def close(self) -> None:
        """End the threads and clear the cache."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._cache.clear()

    def get(self, rows: list[int]) -> Iterator[dict[int, Thumbnail]]:
        """Yield the thumbnails of rows, every PATIENCE seconds the ones made meanwhile."""
        with self._lock:
            found = {row: self._cache[row] for row in rows if row in self._cache}
        running = {self._pool.submit(self._make, row): row for row in dict.fromkeys(rows) if row not in found}
        left = set(running)
        try:
            while left:
                done, left = wait(left, PATIENCE)
                yield found | {running[future]: future.result() for future in done}
                found = {}
            if found:
                yield found
        finally:
            for future in left:  # the caller stopped early
                future.cancel()

    def _make(self, row: int) -> Thumbnail:
        made: Thumbnail
        try:
            made = images.make_thumbnail(self._collection.image(row), self._side)
        except (ValueError, OSError) as error:  # the file or its archive is missing or damaged, or its folder unknown
            made = str(error)
        with self._lock:
            if len(made) <= self._cache.maxsize:
                self._cache[row] = made
        return made
