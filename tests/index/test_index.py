import json

import faiss
import numpy as np
import pytest
from arrays import clustered
from notes import Notes

from similar_images.index import index as indexes
from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import normalise
from similar_images.index.index import open_index
from similar_images.index.quality import recall
from similar_images.vectors.store import open_vectors


@pytest.fixture
def stored(tmp_path):
    """Save vectors as a .npy of another tool and open them."""

    def store(array: np.ndarray, name: str = "vectors.npy"):
        np.save(tmp_path / name, array)
        return open_vectors(tmp_path / name)

    return store


def exact(array: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(normalise(queries) @ normalise(array).T), axis=1)[:, :k]


def test_normalise_returns_unit_rows_and_keeps_its_argument():
    block = np.array([[3, 4], [0, 0]], dtype=np.float32)
    assert np.array_equal(normalise(block), np.array([[0.6, 0.8], [0, 0]], dtype=np.float32))
    assert block[0, 0] == 3
    assert normalise(block.astype(np.float16)).dtype == np.float32
    with pytest.raises(ValueError, match="row 1 contains NaN"):
        normalise(np.array([[1, 1], [np.nan, 1]], dtype=np.float32))


def test_large_numbers_are_normalised_without_overflow():
    assert np.allclose(normalise(np.full((1, 4), 1e30, dtype=np.float32)), 0.5)


def test_flat_recipe_is_exact(stored, tmp_path):
    vectors = stored(clustered(300, 20))
    assert build(vectors, tmp_path / "i.index").recipe == "flat"
    queries = clustered(7, 20, seed=1)
    similarities, rows = open_index(tmp_path / "i.index").search(normalise(queries), 5)
    assert np.array_equal(rows, exact(vectors.array, queries, 5))
    cosines = (normalise(queries) @ normalise(vectors.array).T)[np.arange(7)[:, None], rows]
    np.testing.assert_allclose(similarities, cosines, atol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "at_least"), [("classic", 0.6), ("reduced", 0.95), ("IVF64,Flat", 0.1), ("HNSW32", 0.95)]
)
def test_approximate_recipes_reach_recall_and_return_cosines(stored, tmp_path, recipe, at_least):
    array = clustered(6050, 64)
    vectors, queries = stored(array[:6000]), normalise(array[6000:])
    build(vectors, tmp_path / "i.index", BuildRequest(recipe))
    opened = open_index(tmp_path / "i.index")
    assert opened.reranked == 100
    similarities, rows = opened.search(queries, 100)
    found = rows >= 0
    cosines = np.where(found, (queries[:, None] * normalise(vectors.array)[rows]).sum(axis=2), -2)
    assert np.abs(similarities - cosines)[found].mean() < 0.1
    reranked = np.take_along_axis(rows, np.argsort(-cosines, axis=1)[:, :10], axis=1)
    assert recall(reranked, exact(vectors.array, queries, 10)).mean() >= at_least


def test_recall_is_share_of_found_true_rows():
    true = np.array([[1, 2], [3, 4], [5, 6]])
    found = np.array([[2, 7, 1], [1, 2, 4], [-1, -1, -1]])
    assert recall(found, true).tolist() == [1, 0.5, 0]
    assert recall(np.array([[1, 2]]), np.array([[2, 3]])).tolist() == [0.5]
    assert recall(np.empty((1, 0), int), np.empty((1, 0), int)).tolist() == [1]  # of a single vector
    for queries in (1, 2):  # not one row for each query
        with pytest.raises(ValueError, match=f"expected the found rows of 3 queries, got those of {queries}"):
            recall(found[:queries], true)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_hits_are_reranked_by_exact_cosines(stored, tmp_path, dtype):
    array = clustered(6050, 64).astype(dtype)
    array[3] = 0
    vectors, queries = stored(array[:6000]), normalise(array[6000:])
    build(vectors, tmp_path / "i.index", BuildRequest("reduced"))
    similarities, rows = open_index(tmp_path / "i.index").search(queries, 10, vectors.array)
    cosines = np.einsum("bd,bkd->bk", queries, normalise(vectors.array)[rows])
    np.testing.assert_allclose(similarities, cosines, atol=1e-6)
    assert recall(rows, exact(vectors.array, queries, 10)).mean() >= 0.97


def test_default_recipe_depends_on_size(stored, tmp_path):
    assert build(stored(clustered(4999, 8)), tmp_path / "small.index").recipe == "flat"
    assert build(stored(clustered(5000, 8)), tmp_path / "large.index").recipe == "reduced"


def test_two_builds_give_the_same_index_and_manifest(stored, tmp_path):
    vectors = stored(clustered(6000, 64))
    build(vectors, tmp_path / "one.index")
    build(vectors, tmp_path / "two.index")
    assert (tmp_path / "one.index").read_bytes() == (tmp_path / "two.index").read_bytes()
    one, two = (json.loads((tmp_path / f"{name}.index.json").read_text()) for name in ("one", "two"))
    for manifest in (one, two):  # times differ
        del manifest["measured"]["p50_ms"], manifest["measured"]["p95_ms"]
    assert one == two
    assert (one["recipe"], one["n"], one["d"]) == ("reduced", 6000, 64)
    assert one["parameters"]["nprobe"] == 16
    assert one["vectors"]["file"] == "vectors.npy"


def test_block_size_does_not_change_index(stored, tmp_path, monkeypatch):
    vectors = stored(clustered(6000, 64))
    build(vectors, tmp_path / "whole.index", BuildRequest("reduced"))
    monkeypatch.setattr("similar_images.vectors.store.BLOCK_BYTES", 4 * 64 * 100)
    build(vectors, tmp_path / "blocks.index", BuildRequest("reduced"))
    assert (tmp_path / "whole.index").read_bytes() == (tmp_path / "blocks.index").read_bytes()


@pytest.mark.parametrize("recipe", ["classic", "reduced", "IVF500,Flat"])
def test_too_few_vectors_fall_back_to_flat_with_note(stored, tmp_path, recipe):
    notes = Notes()
    manifest = build(stored(clustered(12, 64)), tmp_path / "i.index", BuildRequest(recipe), progress=notes)
    assert manifest.recipe == "flat"
    assert "12 vectors are too few" in notes[0]
    assert open_index(tmp_path / "i.index").backend.ntotal == 12


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_skipped_rows_are_excluded_and_ids_stay_rows(stored, tmp_path, recipe):
    array = clustered(3000, 16)
    array[::3] = 0
    vectors = stored(array)
    manifest = build(vectors, tmp_path / "i.index", BuildRequest(recipe))
    assert manifest.n == 2000
    _, rows = open_index(tmp_path / "i.index").search(normalise(array[[1, 2999]]), 1)
    assert rows.ravel().tolist() == [1, 2999]


@pytest.mark.parametrize(
    ("array", "recipe", "message"),
    [
        (np.full((9, 4), np.nan, dtype=np.float32), "flat", "NaN or infinity in row 0"),
        (np.zeros((9, 4), dtype=np.float32), "flat", "every image was skipped"),
        (
            np.ones((9, 4), dtype=np.float32),
            "best",
            "expected a recipe of auto, flat, classic, reduced, mapped or a string",
        ),
        (
            np.ones((999, 7), dtype=np.float32),
            "IVF16,PQ16x8",
            "recipe IVF16,PQ16x8 cannot be used with 7 dimensions|that fits 7 dimensions",
        ),
    ],
)
def test_invalid_builds_report_reason_and_write_nothing(stored, tmp_path, array, recipe, message):
    with pytest.raises(ValueError, match=message):
        build(stored(array), tmp_path / "i.index", BuildRequest(recipe))
    assert {path.name for path in tmp_path.iterdir()} == {"vectors.npy"}


def test_infinity_in_late_block_writes_nothing(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("similar_images.vectors.store.BLOCK_BYTES", 4 * 8 * 100)
    array = clustered(500, 8)
    array[421, 3] = np.inf
    with pytest.raises(ValueError, match="NaN or infinity in row 421"):
        build(stored(array), tmp_path / "i.index")
    assert {path.name for path in tmp_path.iterdir()} == {"vectors.npy"}


def test_damaged_index_is_refused(stored, tmp_path):
    path = tmp_path / "i.index"
    build(stored(clustered(300, 20)), path)
    good = path.read_bytes()
    path.write_bytes(good[:-100])
    with pytest.raises(ValueError, match="altered or truncated; rebuild it"):
        open_index(path)
    path.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
    with pytest.raises(ValueError, match="altered or truncated"):
        open_index(path)
    (tmp_path / "i.index.json").unlink()
    for content in (b"", b"only text", good[:-100]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be used as an index"):
            open_index(path)


def test_index_of_other_vectors_is_refused(stored, tmp_path):
    vectors = stored(clustered(300, 20))
    build(vectors, tmp_path / "i.index")
    opened = open_index(tmp_path / "i.index")
    indexes.check_matches(opened, vectors)
    indexes.check_matches(opened, stored(np.vstack([vectors.array, clustered(5, 20)]), "grown.npy"))
    for other, message in (
        (clustered(300, 20, seed=2), "built from other vectors"),
        (clustered(100, 20), "built from other vectors"),
        (clustered(300, 16), r"expected an index of vectors \(n, 16\), got \(n, 20\)"),
    ):
        with pytest.raises(ValueError, match=message):
            indexes.check_matches(opened, stored(other, "other.npy"))


def test_altered_vectors_are_not_indexed(photos, run, tmp_path):
    run("extract", "-d", "photos", "--network", "hog-colour")
    path = tmp_path / "photos_file_list.txt.saved_predictions.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="was altered after it was made"):
        build(open_vectors(path), tmp_path / "i.index")


def test_index_of_2022_returns_cosines(stored, tmp_path):
    array = clustered(1000, 32)
    vectors = stored(array)
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        old = faiss.index_factory(32, "IVF31,PQ16x8np", metric)  # polysemous codes only cost time
        old.train(normalise(array))
        old.add(normalise(array))
        old.nprobe = 4
        faiss.write_index(old, str(tmp_path / "old.index"))
        opened = open_index(tmp_path / "old.index")
        indexes.check_matches(opened, vectors)
        similarities, rows = opened.search(normalise(array[:20]), 5)
        cosines = (normalise(array[:20])[:, None] * normalise(array)[rows]).sum(axis=2)
        assert np.abs(similarities - cosines).mean() < 0.1
