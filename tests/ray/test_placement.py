"""Numbers of workers that fit on nodes, and their cores."""

import pytest

from similar_images.ray.placement import count_slots, cpus_per_worker, default_workers


def nodes(*resources: tuple[float, float]) -> list[dict]:
    """Return nodes with so many CPUs and GPUs."""
    return [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in resources]


@pytest.mark.parametrize(
    ("resources", "workers", "gpus", "each"),
    [
        ([(2, 0)], 2, 0, 1),
        ([(2, 0)], 1, 0, 2),
        ([(2, 0)], 3, 0, 0.6666),  # Ray distinguishes four digits
        ([(4, 0), (4, 0)], 1, 0, 4),  # no worker is on two nodes
        ([(4, 0), (4, 0)], 3, 0, 2),
        ([(4, 0), (16, 0)], 5, 0, 4),
        ([(7, 0)], 2, 0, 3),  # whole cores
        ([(0, 0), (3, 0)], 3, 0, 1),  # a head without work
        ([(8, 2), (8, 0)], 2, 1, 4),
        ([(8, 1)], 4, 0.25, 2),
    ],
)
def test_workers_get_as_many_cores_as_fit(resources, workers, gpus, each):
    assert cpus_per_worker(nodes(*resources), workers, gpus) == pytest.approx(each)
    assert count_slots(nodes(*resources), each, gpus) >= workers


def test_too_many_workers_are_refused():
    with pytest.raises(ValueError, match="expected GPUs for 3 workers with 1 each, got 2 on 2 nodes, enough for 2"):
        cpus_per_worker(nodes((8, 2), (8, 0)), 3, 1)
    with pytest.raises(ValueError, match="expected nodes with CPUs for 1 workers"):
        cpus_per_worker(nodes((0, 0)), 1)


def test_dead_nodes_do_not_count_and_the_default_is_one_worker_per_node_or_gpu():
    dead = nodes((4, 0))[0] | {"Alive": False}
    assert count_slots([*nodes((4, 0)), dead], 2) == 2
    assert default_workers([*nodes((4, 0), (0, 0), (8, 0)), dead]) == 2
    assert default_workers(nodes((8, 2), (8, 0)), 0.5) == 4
