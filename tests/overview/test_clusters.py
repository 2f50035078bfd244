"""Clusters of points whose groups are known."""

import numpy as np
import pytest
from arrays import clustered

from similar_images.index.neighbours import find_neighbours
from similar_images.overview.clusters import Clusters, communities, find_clusters

pytest.importorskip("sknetwork", reason="the clusters are not installed")

SIZES = (9, 14, 11)


@pytest.fixture
def vectors() -> np.ndarray:
    """Three tight groups in different directions, float32 (36, 12), one row of zeros, and one alone."""
    random = np.random.default_rng(0)
    groups = [
        np.eye(12)[place] + 0.1 * random.normal(size=(size, 12)) * (np.arange(12) < 9)
        for place, size in enumerate(SIZES)
    ]
    return np.vstack([*groups, np.zeros(12), np.eye(12)[11]]).astype(np.float32)


def clusters_of(vectors: np.ndarray, removed: tuple[int, ...] = ()) -> Clusters:
    names = [f"{row}.jpg" for row in range(len(vectors))]
    return Clusters(find_clusters(find_neighbours(vectors, 8, removed=removed), vectors), names)


def test_the_groups_are_found_the_largest_first(vectors):
    clusters = clusters_of(vectors)
    assert [cluster.size for cluster in clusters][:3] == [14, 11, 9]
    assert sorted(clusters[0].rows.tolist()) == list(range(9, 23))
    assert len(clusters) == 3 and [cluster.number for cluster in clusters] == [0, 1, 2]


def test_labels_number_the_clusters_and_minus_one_the_rest(vectors):
    clusters = clusters_of(vectors, removed=(0, 1))
    for cluster in clusters:
        assert (clusters.labels[cluster.rows] == cluster.number).all()
    assert clusters.labels.dtype == np.int32 and clusters.labels.shape == (36,)
    assert np.flatnonzero(clusters.labels < 0).tolist() == [0, 1, 34, 35]
    assert "3 clusters of 32 rows, 4 in none" in repr(clusters)


def test_cluster_is_named_after_its_most_typical_row(vectors):
    for cluster in clusters_of(vectors):
        unit = vectors[cluster.rows] / np.linalg.norm(vectors[cluster.rows], axis=1, keepdims=True)
        means = (unit @ unit.T).sum(axis=1)
        assert np.argmax(means) == 0 and (np.diff(means) < 1e-4).all()
        assert cluster.name == f"{cluster.typical}.jpg"


def test_the_same_vectors_give_the_same_bytes():
    vectors = clustered(300, 32)
    tables = {find_clusters(find_neighbours(vectors, 8), vectors).tobytes() for _ in range(10)}
    assert len(tables) == 1


def test_a_higher_resolution_gives_more_clusters(vectors):
    found = find_neighbours(vectors, 8)
    counts = [len(np.unique(communities(found, resolution=resolution))) for resolution in (1.0, 100.0)]
    assert counts[0] < counts[1]


def test_rows_without_links_are_in_no_cluster():
    clusters = clusters_of(np.vstack([np.zeros((2, 4)), np.eye(4)]).astype(np.float32))
    assert len(clusters) == 0 and (clusters.labels == -1).all()
    assert list(clusters) == []
