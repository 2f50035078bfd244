"""Maps: similar rows are near, equal bytes, NaN for rows without neighbours."""

import numpy as np
import pytest
from arrays import clustered
from sklearn.manifold import trustworthiness

from similar_images.events import Event
from similar_images.index.exact import normalise
from similar_images.index.neighbours import Neighbours, find_neighbours
from similar_images.overview import layout
from similar_images.overview.layout import NEIGHBOURS, Layout, lay_out

pytest.importorskip("openTSNE", reason="the map is not installed")


def laid_out(vectors: np.ndarray, **options: object) -> Layout:
    return lay_out(find_neighbours(vectors, NEIGHBOURS), vectors, **options)


def of_the_first(kept: Layout, n: int) -> Layout:
    """A layout of some rows as one of n, of which the others have no place."""
    without = np.full((n - len(kept.places), 2), np.nan, np.float32)
    return kept._replace(places=np.vstack([kept.places, without]))


def placed(vectors: np.ndarray, removed: list[int] | None = None, **options: object) -> np.ndarray:
    return lay_out(find_neighbours(vectors, NEIGHBOURS, removed=removed or []), vectors, **options).places


@pytest.mark.parametrize("interpolated", [100, 10_000])
def test_neighbours_on_the_map_are_neighbours(monkeypatch, interpolated):
    monkeypatch.setattr(layout, "INTERPOLATED", interpolated)
    vectors = clustered(600, 64)
    places = placed(vectors)
    unit = normalise(vectors)
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
    places = lay_out(Neighbours(rows, similarities), vectors).places
    assert trustworthiness(normalise(vectors), places, n_neighbors=5) > 0.8


def test_progress_goes_to_one():
    events: list[Event] = []
    placed(clustered(50, 8), progress=events.append)
    shares = [event.done / event.total for event in events]
    assert shares == sorted(shares) and shares[0] < 0.2 and shares[-1] == 1


@pytest.mark.parametrize("interpolated", [100, 10_000])
def test_from_kept_places_most_stay_near_and_new_rows_join_similar_ones(monkeypatch, interpolated):
    monkeypatch.setattr(layout, "INTERPOLATED_KEPT", interpolated)
    vectors = clustered(500, 64)
    kept = laid_out(vectors[:400])
    grown = laid_out(vectors, kept=of_the_first(kept, 500)).places
    unit = normalise(vectors)
    moved, moved_anew = (
        np.median(np.linalg.norm(places[:400] - kept.places, axis=1)) for places in (grown, placed(vectors))
    )
    assert moved < 0.15 and moved < moved_anew / 2
    assert trustworthiness(unit, grown, n_neighbors=12) > trustworthiness(unit, placed(vectors), n_neighbors=12) - 0.03
    nearest = np.argsort(-unit[400:] @ unit[:400].T, axis=1)[:, :5]
    apart = np.linalg.norm(grown[400:, None] - grown[nearest], axis=2)
    other = np.linalg.norm(grown[400:, None] - grown[None, :400], axis=2)
    assert np.median(apart) < np.median(other) / 3


def test_the_same_kept_places_give_the_same_bytes():
    vectors = clustered(150, 16)
    kept = of_the_first(laid_out(vectors[:120]), 150)
    assert laid_out(vectors, kept=kept).places.tobytes() == laid_out(vectors, kept=kept).places.tobytes()
    assert laid_out(vectors, kept=kept).places.tobytes() != laid_out(vectors).places.tobytes()


def test_where_most_rows_are_new_all_get_new_places():
    vectors = clustered(150, 16)
    kept = of_the_first(laid_out(vectors[:60]), 150)
    assert laid_out(vectors, kept=kept).places.tobytes() == laid_out(vectors).places.tobytes()


def test_isolated_group_of_new_rows_has_places():
    old, new = np.zeros((60, 16), np.float32), np.zeros((40, 16), np.float32)
    old[:, :8], new[:, 8:] = np.abs(clustered(60, 8)), np.abs(clustered(40, 8, seed=1))
    vectors = np.vstack([old, new])
    grown = laid_out(vectors, kept=of_the_first(laid_out(old), 100)).places
    assert np.isfinite(grown).all() and trustworthiness(normalise(vectors), grown, n_neighbors=5) > 0.9
