import re
from pathlib import Path

import numpy as np
import pytest

from similar_images.index import exact
from similar_images.index.exact import exact_search, normalise, unit_blocks


def oracle(array: np.ndarray, unit: np.ndarray, k: int, removed: list[int]) -> np.ndarray:
    """Rank by cosines in float64, equal ones by row; rows of zeros and removed rows are no hits."""
    cosines = unit.astype(np.float64) @ normalise(array).T.astype(np.float64)
    absent = np.union1d(removed, np.flatnonzero(~array.any(axis=1))).astype(int)
    cosines[:, absent] = -9
    return np.stack([np.lexsort((np.arange(len(array)), -np.round(each, 6)))[:k] for each in cosines])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("cached_bytes", "compared"), [(4 * 33 * 64, 8 * 200), (2**20, 2**24)])
def test_hits_match_numpy_and_ties_are_ordered_by_row(dtype, cached_bytes, compared, monkeypatch):
    monkeypatch.setattr(exact, "CACHED_BYTES", cached_bytes)
    monkeypatch.setattr(exact, "MAX_SIMILARITIES", compared)
    array = np.random.default_rng(1).normal(size=(5000, 33)).astype(dtype)
    array[::7] = array[3]  # 715 equal vectors
    array[::11] = 0
    if dtype == np.float32:
        array[5] *= 1e25  # squares that leave float32
        array[8] *= 1e-25
    unit = normalise(array[1:9])
    for queries in (unit, unit[2:3]):
        similarities, rows = exact_search(array, queries, 20, [1, 2, 700])
        assert np.array_equal(rows, oracle(array, queries, 20, [1, 2, 700]))
        assert similarities.dtype == np.float32 and rows.dtype == np.int64
        np.testing.assert_allclose(similarities, np.einsum("bd,bkd->bk", queries, normalise(array)[rows]), atol=1e-6)


def test_float64_vectors_are_searched():
    array = np.random.default_rng(2).normal(size=(300, 8))
    unit = normalise(array[:3])
    assert np.array_equal(exact_search(array, unit, 5)[1], oracle(array, unit, 5, []))


def test_k_above_number_of_vectors_returns_all_vectors():
    array = np.eye(5, dtype=np.float32)
    array[4] = 0
    assert exact_search(array, array[:2], 10, [3])[1].tolist() == [[0, 1, 2], [1, 0, 2]]
    assert exact_search(np.zeros((4, 5), np.float32), array[:2], 3)[1].shape == (2, 0)
    assert len(exact_search(array, array[:0], 3)[1]) == 0


def test_infinity_is_refused_with_its_row():
    array = np.ones((50, 4), np.float16)
    array[33, 2] = np.inf
    with pytest.raises(ValueError, match="NaN or infinity in row 33"):
        exact_search(array, normalise(array[:1]), 3)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not say which pages are mapped")
def test_reading_blocks_releases_memory_mapped_pages(tmp_path):
    file = tmp_path / "v.npy"
    np.save(file, np.ones((50_000, 64), np.float32))
    array = np.load(file, mmap_mode="r")
    assert sum(len(rows) for rows, _ in unit_blocks(array)) == len(array)
    mapped = Path("/proc/self/smaps").read_text().split(str(file))[1]
    kib = int(re.search(r"Rss:\s+(\d+) kB", mapped)[1])
    assert kib < array.nbytes / 1024 / 10


def test_removed_rows_can_be_rows_or_a_mask():
    array = np.random.default_rng(4).normal(size=(500, 16)).astype(np.float32)
    removed = np.random.default_rng(5).permutation(500)[:300]
    mask = np.zeros(500, bool)
    mask[removed] = True
    unit = normalise(array[:4])
    for given in (removed.tolist(), removed, mask):
        assert np.array_equal(exact_search(array, unit, 7, given)[1], oracle(array, unit, 7, removed.tolist()))
    assert exact_search(array, unit, 7, np.ones(500, bool))[1].shape == (4, 0)
