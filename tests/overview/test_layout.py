"""The map: near what is alike, the same bytes again, NaN where there is nothing to place."""

import numpy as np
import pytest
from arrays import clustered
from sklearn.manifold import trustworthiness

from similar_images.index.exact import normalised
from similar_images.index.neighbours import Neighbours, find_neighbours
from similar_images.overview import layout
from similar_images.overview.layout import NEIGHBOURS, lay_out

pytest.importorskip("openTSNE", reason="the map is not installed")


def placed(vectors: np.ndarray, removed: list[int] | None = None, **options: object) -> np.ndarray:
    return lay_out(find_neighbours(vectors, NEIGHBOURS, removed=removed or []), vectors, **options)


@pytest.mark.parametrize("interpolated", [100, 10_000])
def test_neighbours_on_the_map_are_neighbours(monkeypatch, interpolated):
    monkeypatch.setattr(layout, "INTERPOLATED", interpolated)
    vectors = clustered(600, 64)
    places = placed(vectors)
    unit = normalised(vectors)
    of_components = unit - unit.mean(axis=0)
    of_components = of_components @ np.linalg.svd(of_components, full_matrices=False)[2][:2].T
    assert trustworthiness(unit, places, n_neighbors=12) > 0.9 > trustworthiness(unit, of_components, n_neighbors=12)
    assert places.dtype == np.float32 and np.abs(places).max() == pytest.approx(1)


@pytest.mark.parametrize("interpolated", [10, 10_000])
def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(monkeypatch, interpolated):
    monkeypatch.setattr(layout, "INTERPOLATED", interpolated)
    monkeypatch.setattr(layout, "PARALLEL", 10)
    vectors = clustered(200, 16)
    monkeypatch.setattr(layout, "cpu_count", lambda: 1)
    one = placed(vectors, seed=3)
    monkeypatch.setattr(layout, "cpu_count", lambda: 2)
    assert placed(vectors, seed=3).tobytes() == one.tobytes()
    assert placed(vectors, seed=4).tobytes() != one.tobytes()


def test_skipped_and_removed_rows_have_no_place():
    vectors = clustered(60, 16)
    vectors[8] = 0
    places = placed(vectors, [20, 59])
    assert np.flatnonzero(np.isnan(places).any(axis=1)).tolist() == [8, 20, 59]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 12])
def test_a_handful_of_rows_has_places(n):
    places = placed(clustered(n + 1, 16))[:n]
    assert places.shape == (n, 2) and np.isfinite(places).all()


def test_equal_vectors_have_places():
    places = placed(np.repeat(clustered(2, 8), 10, axis=0))
    assert np.isfinite(places).all()
    apart = np.linalg.norm(places[:10].mean(axis=0) - places[10:].mean(axis=0))
    assert apart > np.linalg.norm(places[:10] - places[:10].mean(axis=0), axis=1).max()


def test_no_rows_have_no_places():
    assert np.isnan(placed(np.zeros((3, 4), np.float32))).all()


def test_a_neighbour_that_an_index_has_not_found_has_no_weight():
    vectors = clustered(80, 16)
    found = find_neighbours(vectors, NEIGHBOURS)
    rows, similarities = found.rows.copy(), found.similarities.copy()
    rows[:, 25:], similarities[:, 25:] = -1, -1
    places = lay_out(Neighbours(rows, similarities), vectors)
    assert trustworthiness(normalised(vectors), places, n_neighbors=5) > 0.8


def test_progress_goes_to_one():
    shares: list[float] = []
    placed(clustered(50, 8), progress=shares.append)
    assert shares == sorted(shares) and shares[0] < 0.2 and shares[-1] == 1
