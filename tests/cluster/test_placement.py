"""How many workers fit on nodes, with how many cores each."""

import pytest

from similar_images.cluster.placement import cpus_each, default_workers, room


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
    assert cpus_each(nodes(*resources), workers, gpus) == pytest.approx(each)
    assert room(nodes(*resources), each, gpus) >= workers


def test_what_can_never_fit_is_refused():
    with pytest.raises(ValueError, match="expected GPUs for 3 workers with 1 each, got 2 on 2 nodes, enough for 2"):
        cpus_each(nodes((8, 2), (8, 0)), 3, 1)
    with pytest.raises(ValueError, match="expected nodes with CPUs for 1 workers"):
        cpus_each(nodes((0, 0)), 1)


def test_a_dead_node_has_no_room_and_the_default_is_a_worker_a_node_or_one_a_gpu():
    dead = nodes((4, 0))[0] | {"Alive": False}
    assert room([*nodes((4, 0)), dead], 2) == 2
    assert default_workers([*nodes((4, 0), (0, 0), (8, 0)), dead]) == 2
    assert default_workers(nodes((8, 2), (8, 0)), 0.5) == 4
