"""How many workers fit on the nodes of a cluster, and with how many cores each.

A node is what ray.nodes() says of it: "Alive" and "Resources", with the numbers of "CPU" and "GPU".
"""

from math import floor

SMALLEST = 1e-4  # of a CPU or a GPU, that Ray distinguishes


def room(nodes: list[dict], cpus: float, gpus: float = 0) -> int:
    """Return how many workers with so many CPUs and GPUs each fit on the nodes that are alive."""
    return sum(_fit(node, cpus, gpus) for node in _alive(nodes))


def cpus_each(nodes: list[dict], workers: int, gpus: float = 0) -> float:
    """Return the most CPUs that so many workers can have each, whole numbers if they have one or more.

    Raises ValueError where they do not fit: Ray would wait for ever.
    """
    alive = _alive(nodes)
    if gpus and (most := sum(_of(node, "GPU", gpus) for node in alive)) < workers:
        have = sum(node["Resources"].get("GPU", 0) for node in alive)
        raise ValueError(
            f"expected GPUs for {workers} workers with {gpus:g} each, got {have:g} on {len(alive)} nodes, enough for "
            f"{most}: use fewer --workers, or a smaller --gpus-per-worker"
        )
    shares = {
        floor(node["Resources"].get("CPU", 0) / k / SMALLEST) * SMALLEST
        for node in alive
        for k in range(1, workers + 1)
    }
    shares = {float(floor(share)) if share >= 1 else share for share in shares if share > 0}
    for share in sorted(shares, reverse=True):
        if room(alive, share, gpus) >= workers:
            return share
    raise ValueError(f"expected nodes with CPUs for {workers} workers, got {len(alive)} nodes without: start one")


def default_workers(nodes: list[dict], gpus: float = 0) -> int:
    """Return one worker for each node with CPUs, or as many as there are GPUs for."""
    alive = [node for node in _alive(nodes) if node["Resources"].get("CPU", 0)]
    return max(1, sum(_of(node, "GPU", gpus) for node in alive) if gpus else len(alive))


def _alive(nodes: list[dict]) -> list[dict]:
    return [node for node in nodes if node["Alive"]]


def _fit(node: dict, cpus: float, gpus: float) -> int:
    return min(_of(node, "CPU", cpus), _of(node, "GPU", gpus)) if gpus else _of(node, "CPU", cpus)


def _of(node: dict, kind: str, each: float) -> int:
    return floor(node["Resources"].get(kind, 0) / each + SMALLEST)
