"""Nearest rows of every row compared with brute force."""

import numpy as np
import pytest
from arrays import clustered

from similar_images.index import neighbours
from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import normalise
from similar_images.index.index import open_index
from similar_images.index.neighbours import find_neighbours


def oracle(vectors: np.ndarray, k: int, absent: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and similarities (n, k) by all cosines; -1 for the absent ones."""
    unit = normalise(vectors)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    cosines[:, absent] = -2
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    similarities = np.take_along_axis(cosines, rows, axis=1)
    rows[absent], similarities[absent] = -1, -1
    return rows, similarities


@pytest.fixture
def indexed(save, tmp_path):
    """Return vectors, and their index, of 3,000 rows of which two were skipped."""
    vectors = clustered(3000, 64)
    vectors[[5, 70]] = 0
    build(save(vectors), tmp_path / "v.index", BuildRequest("reduced", similarity="cosine"))
    return vectors, open_index(tmp_path / "v.index")


def test_neighbours_match_brute_force(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_QUERIES", 64)  # several blocks
    vectors = clustered(500, 20)
    vectors[[3, 499]] = 0
    found = find_neighbours(vectors, 7, removed=[10, 11])
    rows, similarities = oracle(vectors, 7, [3, 10, 11, 499])
    assert np.array_equal(found.rows, rows)
    assert found.similarities == pytest.approx(similarities, abs=1e-5)
    assert np.flatnonzero(~found.has_any).tolist() == [3, 10, 11, 499]


def test_missing_neighbours_are_minus_one():
    found = find_neighbours(np.eye(3, dtype=np.float32) + 0.1, 5, removed=[1])
    assert found.rows.tolist() == [[2, -1, -1, -1, -1], [-1] * 5, [0, -1, -1, -1, -1]]
    assert (found.similarities[:, 1:] == -1).all()
    assert not find_neighbours(np.zeros((2, 4), np.float32), 1).has_any.any()


def test_index_finds_nearly_all_neighbours(indexed):
    vectors, index = indexed
    found = find_neighbours(vectors, 10, index)
    rows, _ = oracle(vectors, 10, [5, 70])
    kept = found.has_any
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows[kept], rows[kept], strict=True)])
    assert kept.sum() == 2998 and recall > 0.95
    assert not (found.rows == np.arange(3000)[:, None]).any()


def test_progress_counts_every_row_once():
    vectors, events = clustered(300, 8), []
    vectors[-40:] = 0
    find_neighbours(vectors, 2, progress=events.append)
    counts = [event.done for event in events]
    assert counts == sorted(counts) and counts[-1] == 300 == events[-1].total


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="expected k of at least 1, got 0"):
        find_neighbours(clustered(4, 4), 0)


def test_similarities_through_an_index_are_exact(indexed):
    vectors, index = indexed
    one = find_neighbours(vectors, 3, index)
    row = int(np.flatnonzero(one.has_any)[0])
    unit = normalise(vectors)
    assert one.similarities[row] == pytest.approx(unit[one.rows[row]] @ unit[row], abs=1e-5)
