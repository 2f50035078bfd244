"""Rows that stand out, among points in a plane."""

import numpy as np
import pytest

from similar_images.index.neighbours import find_neighbours
from similar_images.overview.representatives import covering, isolation, popularity


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_isolation_is_the_mean_similarity_to_the_nearest():
    found = find_neighbours(at(0, 10, 90), 8)
    cosine = np.cos(np.radians([10, 80, 90]))
    expected = [(cosine[0] + cosine[2]) / 2, (cosine[0] + cosine[1]) / 2, (cosine[1] + cosine[2]) / 2]
    assert isolation(found) == pytest.approx(expected, abs=1e-5)


def test_isolation_of_rows_without_neighbours_is_not_a_number():
    vectors = at(0, 10, 20)
    vectors[1] = 0
    assert np.isnan(isolation(find_neighbours(vectors, 2))).tolist() == [False, True, False]


def test_the_row_that_most_have_among_their_nearest_is_the_most_popular():
    found = find_neighbours(at(0, 20, -21, 43, -45), 1)
    sums, means = popularity(found)
    assert sums[0] == pytest.approx(np.cos(np.radians([20, 21])).sum(), abs=1e-5)
    assert means[0] == pytest.approx(sums[0] / 2)
    assert (sums[3:] == 0).all()


def test_as_many_rows_as_groups_take_one_of_each():
    random = np.random.default_rng(0)
    angles = np.concatenate([centre + random.uniform(-5, 5, size) for centre, size in ((0, 30), (100, 60), (200, 10))])
    rows, similarities = covering(at(*angles), 3)
    assert [int(row >= 30) + int(row >= 90) for row in rows] == [1, 0, 2]  # the largest group first
    assert (similarities > np.cos(np.radians(10))).all()


def test_it_covers_better_than_random_rows():
    vectors = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    covered = (unit @ unit[covering(vectors, 10)[0]].T).max(axis=1).mean()
    random = [
        (unit @ unit[np.random.default_rng(seed).permutation(400)[:10]].T).max(axis=1).mean() for seed in range(20)
    ]
    assert covered > max(random)


def test_absent_and_skipped_rows_are_not_chosen():
    vectors = at(0, 1, 100, 101, 200)
    vectors[0] = 0
    rows, _ = covering(vectors, 8, absent=[2])
    assert sorted(rows.tolist()) == [1, 3, 4]
    assert covering(np.zeros((2, 3), np.float32), 2)[0].tolist() == []
