"""The types of index that Milvus has: what each is built with, and the parameter that makes its search more exact.

Source of names and ranges: https://milvus.io/docs/index.md. Shape letters: n vectors, c numbers in a vector.
"""

from collections.abc import Callable
from typing import NamedTuple

USUAL = "IVF_SQ8"  # a byte a number, built in seconds; also in Milvus Lite
FLAT = 5_000  # vectors; below it an exact search takes less than anything else
MOST_LISTS = 65_536
MOST_CODES = 64
SEGMENT = 2**29  # bytes of vectors in a segment, each of which has lists of its own


class IndexType(NamedTuple):
    name: str
    built_with: Callable[[int, int], dict[str, int]]  # of n and c
    searched_with: str | None  # None: it is exact, or chooses for itself
    values: tuple[int, ...] = ()  # of that, in rising order
    in_lite: bool = True
    bytes: Callable[[int], float] = lambda c: 4 * c  # of a vector in the memory of a query node


def lists(n: int, c: int) -> dict[str, int]:
    """Return the number of inverted lists for n vectors."""
    n = min(n, SEGMENT // (4 * c))
    return {"nlist": max(1, min(MOST_LISTS, round(4 * n**0.5), n // 39))}  # with less than 39 a list is trained badly


def codes(n: int, c: int) -> dict[str, int]:
    """Return the same with product codes of at most MOST_CODES bytes: more are trained for many minutes."""
    return lists(n, c) | {"m": max(m for m in range(1, MOST_CODES + 1) if c % m == 0), "nbits": 8}


def graph(n: int, c: int) -> dict[str, int]:
    """Return the neighbours of a node of the graph, and the candidates when it is built."""
    return {"M": 16, "efConstruction": 200}


PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
CANDIDATES = (64, 128, 256, 512, 1024)
TYPES = {
    one.name: one
    for one in (
        IndexType("FLAT", lambda n, c: {}, None),
        IndexType("IVF_FLAT", lists, "nprobe", PROBES),
        IndexType("IVF_SQ8", lists, "nprobe", PROBES, bytes=lambda c: c + 8),
        IndexType("IVF_PQ", codes, "nprobe", PROBES, in_lite=False, bytes=lambda c: codes(1, c)["m"] + 8),
        IndexType("HNSW", graph, "ef", CANDIDATES, bytes=lambda c: 4 * c + 132),
        IndexType("SCANN", lists, "nprobe", PROBES, in_lite=False, bytes=lambda c: 4 * c + c / 4),
        IndexType("DISKANN", lambda n, c: {}, "search_list", CANDIDATES, in_lite=False, bytes=lambda c: c / 2),
        IndexType("AUTOINDEX", lambda n, c: {}, None),
    )
}


def chosen(name: str, n: int, is_embedded: bool) -> tuple[IndexType, str]:
    """Return the index type of a name of TYPES or "auto", or the one in its place; and what to say of that."""
    if name == "auto":
        return TYPES["FLAT" if n < FLAT else USUAL], ""
    if is_embedded and not TYPES[name].in_lite:
        known = ", ".join(one.name for one in TYPES.values() if one.in_lite)
        return TYPES[USUAL], f"Milvus Lite has no {name}: using {USUAL} (it has {known})"
    return TYPES[name], ""
