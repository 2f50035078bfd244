"""Rows of an index that match a filter: same ids, and more probes the fewer rows match."""

import faiss
import numpy as np
import pytest
from arrays import clustered

from similar_images.index.backend import FaissBackend, find_ivf, without_trivial_ids
from similar_images.index.exact import ExactSubset, normalise
from similar_images.index.recipes import train

N, D = 3000, 32
UNIT = normalise(clustered(N, D))


def open_trained(recipe: str) -> FaissBackend:
    index = train(recipe, UNIT, N).index
    index.add_with_ids(UNIT, np.arange(N))
    return FaissBackend(faiss.deserialize_index(faiss.serialize_index(without_trivial_ids(index))))


@pytest.mark.parametrize("recipe", ["flat", "classic", "reduced", "PCA8,SQ8", "PCA16,IVF8,SQ8", "IVF16,Flat"])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_restricted_index_finds_only_matching_rows(recipe, share):
    backend, matching = open_trained(recipe), np.random.default_rng(0).random(N) < share
    restricted = backend.restrict(matching, probe_all=True)
    assert (restricted.ntotal, backend.ntotal) == (matching.sum(), N)
    _, rows = restricted.search(UNIT[:20], int(matching.sum()))
    assert np.array_equal(np.sort(rows, axis=1), np.tile(np.flatnonzero(matching), (20, 1)))


def test_fewer_and_uneven_matches_need_more_probes():
    backend = open_trained("IVF64,Flat")
    find_ivf(backend).nprobe = 2

    def nprobe(matching: np.ndarray) -> int:
        return find_ivf(backend.restrict(matching)).nprobe

    random = np.random.default_rng(0).random(N)
    nearest = np.argsort(np.argsort(-UNIT @ UNIT[0])) < N // 2  # one half of the space
    assert nprobe(np.ones(N, bool)) == 2
    assert 8 <= nprobe(random < 0.5) <= 11 and 30 <= nprobe(random < 0.1) <= 55
    assert nprobe(nearest) > 1.5 * nprobe(random < 0.5)
    assert nprobe(random < 0.01) == 64
    assert nprobe(np.zeros(N, bool)) >= 1


def test_few_rows_are_ordered_by_similarity_then_row():
    few = ExactSubset(np.array([4, 7, 9]), np.array([[1, 0], [0, 1], [1, 0]], np.float32))
    similarities, rows = few.search(np.array([[1, 0], [0, 1]], np.float32), 5)
    assert rows.tolist() == [[4, 9, 7], [7, 4, 9]] and similarities.tolist() == [[1, 1, 0], [1, 0, 0]]
    empty = ExactSubset(np.zeros(0, np.int64), np.zeros((0, 2), np.float32))
    assert empty.search(np.ones((3, 2)), 2)[1].shape == (3, 0)
