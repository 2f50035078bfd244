"""Map, clusters, outliers, typical rows and spread, kept in files beside the index."""

import sys
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_indexed

from similar_images.collection import overview
from similar_images.collection.images import Collection
from similar_images.index import builder
from similar_images.index.exact import normalise
from similar_images.networks.extras import MissingExtra
from similar_images.vectors.store import index_path, open_vectors

pytest.importorskip("openTSNE", reason="the map is not installed")
pytest.importorskip("sknetwork", reason="the clusters are not installed")

N = 300


@pytest.fixture
def path(tmp_path) -> Path:
    vectors = clustered(N, 32)
    vectors[7] = 0
    return save_indexed(tmp_path / "photos.npy", vectors, similarity="whitened")


def kept(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("*.map.*"))


def test_no_result_is_kept_before_it_is_computed(path):
    collection = Collection.open(path)
    assert collection.kept_map() is None and collection.kept_clusters() is None
    assert kept(path) == []


def test_a_map_is_made_once_and_read_by_the_next_collection(path, monkeypatch):
    places = Collection.open(path).map()
    assert places.shape == (N, 2) and np.isnan(places[7]).all() and np.isfinite(np.delete(places, 7, 0)).all()
    monkeypatch.setattr(overview, "find_neighbours", None)
    collection = Collection.open(path)
    assert collection.map().tobytes() == collection.kept_map().tobytes() == places.tobytes()
    assert np.array_equal(np.load(collection.map_file())["places"], places, equal_nan=True)


def test_clusters_are_made_once_and_read_by_the_next_collection(path, monkeypatch):
    clusters = Collection.open(path).clusters()
    assert clusters.labels.shape == (N,) and clusters.labels[7] == -1 and len(clusters) > 1
    monkeypatch.setattr(overview, "find_neighbours", None)
    again = Collection.open(path).kept_clusters()
    assert [(one.name, one.rows.tolist()) for one in again] == [(one.name, one.rows.tolist()) for one in clusters]


def test_a_map_of_other_vectors_is_not_used_and_replaced_by_the_next(path):
    Collection.open(path).map()
    vectors = np.load(path)
    vectors[20] += 1
    collection = Collection.open(save_indexed(path, vectors, similarity="whitened"))
    assert collection.kept_map() is None
    collection.map()
    assert collection.kept_map() is not None and kept(path) == ["photos.faiss.index.map.npz"]


def test_clusters_without_a_removed_row_are_others(path):
    Collection.open(path).clusters()
    builder.remove(open_vectors(path), index_path(path), [3])
    collection = Collection.open(path)
    assert collection.kept_clusters() is None
    assert collection.clusters().labels[3] == -1


def test_tried_similarity_and_seed_have_their_own_maps(path):
    collection = Collection.open(path)
    places = collection.map()
    other = collection.with_similarity("cosine")
    assert other.kept_map() is None and collection.kept_map(seed=1) is None
    assert not np.array_equal(other.map(), places, equal_nan=True)
    assert np.array_equal(collection.kept_map(), places, equal_nan=True)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00 cut off", b"PK\x03\x04 cut off", None])
def test_a_damaged_map_is_made_again(path, content):
    collection = Collection.open(path)
    places = collection.map()
    file = collection.map_file()
    file.write_bytes(file.read_bytes()[:-8] if content is None else content)
    assert collection.kept_map() is None
    assert collection.map().tobytes() == places.tobytes() == np.load(file)["places"].tobytes()


def test_neighbours_are_in_the_similarity_of_the_collection(path):
    collection = Collection.open(path)
    found = collection.neighbours(5)
    assert found.rows.shape == (N, 5)
    hits = collection.nearest(11, k=5, exact=True)
    assert found.rows[11].tolist() == [hit.row for hit in hits]
    assert found.similarities[11] == pytest.approx([hit.similarity for hit in hits], abs=1e-4)
    with pytest.raises(ValueError, match="expected k of at least 1, got 0"):
        collection.neighbours(0)


def test_neighbours_of_a_large_collection_come_from_the_index(path, monkeypatch):
    exact = Collection.open(path).neighbours(10)
    monkeypatch.setattr(overview, "MAX_EXACT_ROWS", 100)
    found = Collection.open(path).neighbours(10)
    recall = [len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), exact.rows.tolist(), strict=True)]
    assert np.mean(recall) / 10 > 0.95


def test_the_outlier_is_the_image_unlike_all_others(tmp_path):
    random = np.random.default_rng(0)
    vectors = np.abs(random.normal(size=(60, 16))).astype(np.float32)
    vectors[:, 15], vectors[42] = 0, np.eye(16)[15]
    collection = Collection.open(save_indexed(tmp_path / "photos.npy", vectors, similarity="cosine"))
    first = collection.outliers(3)[0]
    assert (first.row, first.name, first.similarity) == (42, "42.jpg", pytest.approx(0))
    assert 42 not in [hit.row for hit in collection.typical(10)]
    similarities = [hit.similarity for hit in collection.outliers(10)]
    assert similarities == sorted(similarities)


def test_the_spread_is_k_rows_with_their_similarity_to_those_they_stand_for(path):
    collection = Collection.open(path)
    hits = collection.spread(6)
    unit = normalise(collection.compared)[np.arange(N) != 7]
    similarities = unit @ unit[[hit.row - (hit.row > 7) for hit in hits]].T
    mine = similarities.argmax(axis=1)
    assert len({hit.row for hit in hits}) == 6
    for place, hit in enumerate(hits):
        assert hit.similarity == pytest.approx(similarities[mine == place, place].mean(), abs=1e-3)
    sizes = np.bincount(mine)
    assert (np.diff(sizes) <= 1).all()  # float16 may move a row from one to the other


@pytest.mark.parametrize("call", ["outliers", "typical", "spread"])
def test_k_is_at_least_one_and_at_most_what_there_is(path, call):
    collection = Collection.open(path)
    with pytest.raises(ValueError, match="expected k of at least 1"):
        getattr(collection, call)(0)
    assert len(getattr(collection, call)(1000)) <= N - 1


def test_a_missing_package_is_one_line_with_the_remedy(path, monkeypatch):
    collection = Collection.open(path)
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(MissingExtra, match=r"a map needs openTSNE: pip install 'similar-images\[map\]'"):
        collection.map()
    monkeypatch.setitem(sys.modules, "sknetwork", None)
    with pytest.raises(
        MissingExtra, match=r"the search for clusters needs scikit-network: pip install 'similar-images\[map\]'"
    ):
        collection.clusters()


def test_progress_goes_from_the_first_step_to_the_last(path):
    steps: list[tuple[int, int]] = []
    Collection.open(path).map(progress=lambda done, n: steps.append((done, n)))
    assert steps == sorted(steps) and steps[-1] == (2 * N, 2 * N)
