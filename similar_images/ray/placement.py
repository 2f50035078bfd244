"""Numbers of workers that fit on the nodes of a Ray cluster, and the cores of each."""

from math import floor
from typing import TypedDict

RESOLUTION = 1e-4  # smallest part of a CPU or GPU in Ray


class Node(TypedDict):
    """An entry of ray.nodes()."""

    Alive: bool
    Resources: dict[str, float]  # "CPU" and "GPU"


def count_slots(nodes: list[Node], cpus: float, gpus: float = 0) -> int:
    """Return the number of workers, each with these CPUs and GPUs, that fit on the living nodes."""
    return sum(_slots_of(node, cpus, gpus) for node in _living(nodes))


def cpus_per_worker(nodes: list[Node], workers: int, gpus: float = 0) -> float:
    """Return the most CPUs that each worker can have, a whole number if it is one or more.

    Raises ValueError if the workers do not fit: Ray would wait forever.
    """
    living = _living(nodes)
    if gpus and (most := sum(_fit(node, "GPU", gpus) for node in living)) < workers:
        total = sum(node["Resources"].get("GPU", 0) for node in living)
        raise ValueError(
            f"expected GPUs for {workers} workers with {gpus:g} each, got {total:g} on {len(living)} nodes, enough for "
            f"{most}: use fewer --workers, or a smaller --gpus-per-worker"
        )
    shares = {
        floor(node["Resources"].get("CPU", 0) / k / RESOLUTION) * RESOLUTION
        for node in living
        for k in range(1, workers + 1)
    }
    shares = {float(floor(share)) if share >= 1 else share for share in shares if share > 0}
    for share in sorted(shares, reverse=True):
        if count_slots(living, share, gpus) >= workers:
            return share
    raise ValueError(f"expected nodes with CPUs for {workers} workers, got {len(living)} nodes without: start one")


def default_workers(nodes: list[Node], gpus: float = 0) -> int:
    """Return one worker per node with CPUs, or as many as the GPUs allow."""
    living = [node for node in _living(nodes) if node["Resources"].get("CPU", 0)]
    return max(1, sum(_fit(node, "GPU", gpus) for node in living) if gpus else len(living))


def _living(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node["Alive"]]


def _slots_of(node: Node, cpus: float, gpus: float) -> int:
    return min(_fit(node, "CPU", cpus), _fit(node, "GPU", gpus)) if gpus else _fit(node, "CPU", cpus)


def _fit(node: Node, kind: str, each: float) -> int:
    return floor(node["Resources"].get(kind, 0) / each + RESOLUTION)
