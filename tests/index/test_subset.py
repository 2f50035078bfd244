"""A copy of a part of an index: it has the ids of the whole, and probes more where less of it is left."""

import faiss
import numpy as np
import pytest
from arrays import clustered

from similar_images.index.index import as_written, normalised
from similar_images.index.recipes import train
from similar_images.index.subset import FewRows, is_inverted, only

N, D = 3000, 32
UNIT = normalised(clustered(N, D))


def made(recipe: str) -> faiss.Index:
    index = train(recipe, UNIT, N).faiss
    index.add_with_ids(UNIT, np.arange(N))
    return faiss.deserialize_index(faiss.serialize_index(as_written(index)))  # as it is when it is opened


@pytest.mark.parametrize("recipe", ["flat", "classic", "reduced", "PCA8,SQ8", "PCA16,IVF8,SQ8", "IVF16,Flat"])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_copy_finds_only_what_matches_by_the_ids_of_the_whole(recipe, share):
    index, matching = made(recipe), np.random.default_rng(0).random(N) < share
    copy = only(index, matching, everywhere=True)
    assert (copy.ntotal, index.ntotal) == (matching.sum(), N)
    _, rows = copy.search(UNIT[:20], int(matching.sum()))
    assert np.array_equal(np.sort(rows, axis=1), np.tile(np.flatnonzero(matching), (20, 1)))
    assert is_inverted(index) == (recipe in ("classic", "reduced", "PCA16,IVF8,SQ8", "IVF16,Flat"))


def test_more_lists_are_probed_the_less_is_left_and_the_less_evenly():
    index = made("IVF64,Flat")
    faiss.extract_index_ivf(index).nprobe = 2

    def probes(matching: np.ndarray) -> int:
        return faiss.extract_index_ivf(only(index, matching)).nprobe

    random = np.random.default_rng(0).random(N)
    nearest = np.argsort(np.argsort(-UNIT @ UNIT[0])) < N // 2  # one half of the space
    assert probes(np.ones(N, bool)) == 2
    assert 8 <= probes(random < 0.5) <= 11 and 30 <= probes(random < 0.1) <= 55
    assert probes(nearest) > 1.5 * probes(random < 0.5)
    assert probes(random < 0.01) == 64
    assert probes(np.zeros(N, bool)) >= 1


def test_few_rows_are_ordered_by_similarity_then_row():
    few = FewRows(np.array([4, 7, 9]), np.array([[1, 0], [0, 1], [1, 0]], np.float32))
    similarities, rows = few.search(np.array([[1, 0], [0, 1]], np.float32), 5)
    assert rows.tolist() == [[4, 9, 7], [7, 4, 9]] and similarities.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert FewRows(np.zeros(0, np.int64), np.zeros((0, 2), np.float32)).search(np.ones((3, 2)), 2)[1].shape == (3, 0)
