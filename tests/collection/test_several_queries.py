"""Queries of several positives and negatives, many queries at once, and a similarity of one's own choice."""

import numpy as np
import pytest
from arrays import clustered
from collection_files import Letters, letters, save_indexed, save_texts, save_vectors

from similar_images import Collection, TextCollection
from similar_images.collection.searcher import NEGATIVE_SHARE, NEGATIVE_SHARE_OF_ONE
from similar_images.index import builder
from similar_images.index.exact import normalise
from similar_images.vectors.store import open_vectors

N, D = 400, 48


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return clustered(N, D)


@pytest.fixture(scope="module", params=["none", "cosine", "centred", "whitened"])
def collection(request, tmp_path_factory, array) -> Collection:
    path = tmp_path_factory.mktemp(request.param) / "v.npy"
    if request.param == "none":
        return Collection.open(save_vectors(path, array))
    return Collection.open(save_indexed(path, array, similarity=request.param))


def best(collection: Collection, direction: np.ndarray, without: list[int], k: int) -> list[int]:
    """Return the rows whose transformed vectors are nearest to a direction, computed with NumPy."""
    moved = collection.similarity.transform(normalise(collection.array))
    similarities = moved @ (direction / np.linalg.norm(direction))
    similarities[without] = -2
    return np.argsort(-similarities)[:k].tolist()


def rows(hits) -> list[int]:
    return [hit.row for hit in hits]


def test_the_hits_are_like_the_mean_of_the_positives_less_a_share_of_the_negatives(collection):
    moved = collection.similarity.transform(normalise(collection.array))
    for positives, negatives, share in (
        ([3, 5, 9], [], 0),
        ([3, 5, 9], [20, 30], NEGATIVE_SHARE),
        ([3], [20], NEGATIVE_SHARE_OF_ONE),
    ):
        direction = moved[positives].mean(axis=0) - (share * moved[negatives].mean(axis=0) if negatives else 0)
        found = collection.nearest(positives, k=10, negatives=negatives)
        assert rows(found) == best(collection, direction, positives + negatives, 10)
        assert found[0].similarity == pytest.approx(
            moved[found[0].row] @ direction / np.linalg.norm(direction), abs=1e-3
        )
        assert rows(collection.nearest(positives, k=10, negatives=negatives, exact=True)) == rows(found)
    assert rows(collection.nearest(3, negatives=[20])) == rows(collection.nearest([3], negatives=[20]))
    assert rows(collection.nearest([3])) == rows(collection.nearest(3))


def test_weights_and_vectors(collection, array):
    moved = collection.similarity.transform(normalise(array))
    expected = best(collection, (3 * moved[1] + moved[2]) / 4, [1, 2], 5)
    for weighted in ([(1, 3), 2], [(1, 1.5), (2, np.float32(0.5))]):
        assert rows(collection.nearest(weighted, k=5)) == expected
    by_vector = rows(collection.nearest([(array[1], 3), array[2]], k=7))
    assert [row for row in by_vector if row not in (1, 2)][:5] == expected
    assert {*rows(collection.nearest([array[1], array[2]], k=2))} == {1, 2}  # vectors have no row to leave out


@pytest.mark.parametrize(
    ("query", "negatives", "message"),
    [
        ([], [], "at least one positive query"),
        ([], [3], "at least one positive query"),
        ([3, (4, float("nan"))], [], "a weight above 0"),
        ([3], [(4, -1)], "a weight above 0"),
    ],
)
def test_invalid_combinations_fail(tmp_path, array, query, negatives, message):
    with pytest.raises(ValueError, match=message):
        Collection.open(save_vectors(tmp_path / "v.npy", array)).nearest(query, negatives=negatives)


def test_many_queries_are_answered_as_one_by_one(collection, array):
    for exact in (False, True):
        each = [collection.nearest(row, 6, exact) for row in range(30)]
        together = collection.nearest_many(list(range(30)), 6, exact)
        assert [rows(hits) for hits in together] == [rows(hits) for hits in each]
        for one, other in zip(each, together, strict=True):
            assert [hit.similarity for hit in one] == pytest.approx([hit.similarity for hit in other], abs=1e-5)
    assert [rows(hits)[0] for hits in collection.nearest_many(array[:20], 3)] == list(range(20))
    assert collection.nearest_many([]) == []
    with pytest.raises(ValueError, match=r"expected vectors \(q, d\)"):
        collection.nearest_many(array[0])


def test_any_similarity_can_be_searched_exactly(collection, array):
    for name in ("cosine", "centred", "whitened"):
        other = collection.with_similarity(name)
        assert other.similarity.name == name and other.index is None
        moved = other.similarity.transform(normalise(array))
        assert rows(other.nearest(5, 8)) == best(other, moved[5], [5], 8)
    assert collection.similarity.name in ("cosine", "centred", "whitened") and rows(collection.nearest(5, 8))


def test_removed_rows_stay_out_of_any_similarity(tmp_path, array):
    save_indexed(tmp_path / "v.npy", array, similarity="whitened")
    nearest = rows(Collection.open(tmp_path / "v.npy").nearest(5, 1))[0]
    builder.remove(open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index", [nearest])
    collection = Collection.open(tmp_path / "v.npy")
    for one in (collection, collection.with_similarity("cosine")):
        assert nearest not in rows(one.nearest(5, 20)) and nearest not in rows(one.nearest(5, 20, exact=True))


def test_exact_search_finds_rows_missing_from_the_index(tmp_path, array):
    save_indexed(tmp_path / "v.npy", array[:380], similarity="whitened")
    collection = Collection.open(save_vectors(tmp_path / "v.npy", array))
    assert collection.not_indexed == 20
    moved = collection.similarity.transform(normalise(array))
    assert rows(collection.nearest(390, 9, exact=True)) == best(collection, moved[390], [390], 9)
    assert max(rows(collection.nearest(390, 9))) < 380


def test_texts_are_combined_too(tmp_path):
    save_texts(tmp_path / "t.txt", ["aaaa", "bbbb", "aabb", "cccc", "aacc", "bbcc"])
    collection = TextCollection.open(tmp_path / "t.txt")
    collection.encoder.loaded = Letters()
    collection.encoder.loaded.description = collection.network
    assert collection.nearest(["aaaa", "bbbb"], k=1)[0].name == "aabb"
    assert collection.nearest(["aaaa", ("cccc", 2)], k=3, negatives=["bbbb"])[0].name == "aacc"
    direction = letters("a") - NEGATIVE_SHARE_OF_ONE * letters("c")
    scores = {name: letters(name) @ direction / np.linalg.norm(letters(name)) for name in collection.names}
    assert collection.nearest("aaaa", k=6, negatives=["cccc"])[1].name == sorted(scores, key=scores.get)[-2]
