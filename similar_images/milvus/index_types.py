"""Index types of Milvus: build parameters, the search parameter that raises recall, and size.

Source of names and ranges: https://milvus.io/docs/index.md. Shape letters: n vectors, c numbers in a vector.
"""

from collections.abc import Callable
from typing import NamedTuple

DEFAULT_TYPE = "IVF_SQ8"  # one byte per number, built in seconds; also in Milvus Lite
MIN_IVF_VECTORS = 5_000  # below it an exact search is the fastest
MAX_LISTS = 65_536
MAX_CODE_BYTES = 64  # longer product codes are trained for many minutes
MIN_VECTORS_PER_LIST = 39  # Faiss warns below it
SEGMENT_BYTES = 2**29  # of vectors; each segment has its own lists
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
CANDIDATES = (64, 128, 256, 512, 1024)
Parameters = dict[str, int]  # of Milvus, by name


class IndexType(NamedTuple):
    """An index type of Milvus."""

    name: str
    build_parameters: Callable[[int, int], Parameters]  # from n and c
    search_parameter: str | None  # None: exact
    search_values: tuple[int, ...] = ()  # in rising order
    is_in_lite: bool = True
    vector_bytes: Callable[[int], float] = lambda c: 4 * c  # in the memory of a query node


def list_parameters(n: int, c: int) -> Parameters:
    """Return the number of inverted lists for n vectors."""
    n = min(n, SEGMENT_BYTES // (4 * c))
    return {"nlist": max(1, min(MAX_LISTS, round(4 * n**0.5), n // MIN_VECTORS_PER_LIST))}


def pq_parameters(n: int, c: int) -> Parameters:
    """Return the parameters of inverted lists with product codes of at most MAX_CODE_BYTES."""
    m = max(m for m in range(1, MAX_CODE_BYTES + 1) if c % m == 0)
    return list_parameters(n, c) | {"m": m, "nbits": 8}


def graph_parameters(n: int, c: int) -> Parameters:
    """Return the links per node and the candidates considered during the build."""
    return {"M": 16, "efConstruction": 200}


TYPES = {
    index_type.name: index_type
    for index_type in (
        IndexType("FLAT", lambda n, c: {}, None),
        IndexType("IVF_FLAT", list_parameters, "nprobe", PROBES),
        IndexType("IVF_SQ8", list_parameters, "nprobe", PROBES, vector_bytes=lambda c: c + 8),
        IndexType(
            "IVF_PQ",
            pq_parameters,
            "nprobe",
            PROBES,
            is_in_lite=False,
            vector_bytes=lambda c: pq_parameters(1, c)["m"] + 8,
        ),
        IndexType("HNSW", graph_parameters, "ef", CANDIDATES, vector_bytes=lambda c: 4 * c + 132),
    )
}


def choose_index_type(name: str, n: int, is_embedded: bool) -> tuple[IndexType, str]:
    """Return the index type for a name of TYPES or "auto", and a note if Milvus Lite needs another one."""
    if name == "auto":
        return TYPES["FLAT" if n < MIN_IVF_VECTORS else DEFAULT_TYPE], ""
    if is_embedded and not TYPES[name].is_in_lite:
        known = ", ".join(index_type.name for index_type in TYPES.values() if index_type.is_in_lite)
        return TYPES[DEFAULT_TYPE], f"Milvus Lite has no {name}: using {DEFAULT_TYPE} (it has {known})"
    return TYPES[name], ""
