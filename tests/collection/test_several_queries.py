"""Queries of several positives and negatives, many queries at once, and a similarity of one's own choice."""

import numpy as np
import pytest
from arrays import clustered
from collection_files import Letters, letters, save_texts

from similar_images import Collection, TextCollection
from similar_images.collection.queries import Query
from similar_images.collection.searcher import NEGATIVE_SHARE, NEGATIVE_SHARE_OF_ONE
from similar_images.index import builder
from similar_images.index.builder import BuildRequest
from similar_images.index.exact import normalise
from similar_images.vectors.store import open_vectors

N, D = 400, 48


@pytest.fixture
def array(tmp_path) -> np.ndarray:
    array = clustered(N, D)
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "v.txt").write_text("".join(f"{row}.jpg\n" for row in range(N)))
    return array


@pytest.fixture(params=["none", "cosine", "centred", "whitened"])
def collection(request, tmp_path, array) -> Collection:
    if request.param != "none":
        builder.build(
            open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index", BuildRequest(similarity=request.param)
        )
    return Collection.open(tmp_path / "v.npy")


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
    direction = (3 * moved[1] + moved[2]) / 4
    expected = best(collection, direction, [1, 2], 5)
    assert (
        rows(collection.nearest([(1, 3), 2], k=5))
        == rows(collection.nearest([(1, 1.5), (2, np.float32(0.5))], k=5))
        == expected
    )
    by_vector = (
        rows(collection.nearest([(array[1], 3), Query(array[2], collection.network)], k=7))
        if collection.network
        else None
    )
    assert by_vector is None or [row for row in by_vector if row not in (1, 2)][:5] == expected
    assert rows(collection.nearest([array[1], array[2]], k=5))[:2] in (
        [1, 2],
        [2, 1],
    )  # vectors have no row to leave out


@pytest.mark.parametrize(
    ("query", "negatives", "message"),
    [
        ([], [], "at least one positive query"),
        ([], [3], "at least one positive query"),
        ([(3, 0)], [], "a weight above 0"),
        ([3, (4, float("nan"))], [], "a weight above 0"),
        ([3], [(4, -1)], "a weight above 0"),
        ([3, 4000], [], "expected a row from 0 to 399"),
        ([np.zeros(D, np.float32)], [], "a vector with a direction"),
    ],
)
def test_invalid_combinations_fail(tmp_path, array, query, negatives, message):
    with pytest.raises((ValueError, IndexError), match=message):
        Collection.open(tmp_path / "v.npy").nearest(query, negatives=negatives)
    with pytest.raises(ValueError, match="k of at least 1"):
        Collection.open(tmp_path / "v.npy").nearest([3], k=0)


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
    builder.build(open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index", BuildRequest(similarity="whitened"))
    nearest = rows(Collection.open(tmp_path / "v.npy").nearest(5, 1))[0]
    builder.remove(open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index", [nearest])
    collection = Collection.open(tmp_path / "v.npy")
    for one in (collection, collection.with_similarity("cosine")):
        assert nearest not in rows(one.nearest(5, 20)) and nearest not in rows(one.nearest(5, 20, exact=True))


def test_exact_search_finds_rows_missing_from_the_index(tmp_path, array):
    np.save(tmp_path / "v.npy", array[:380])
    (tmp_path / "v.txt").write_text("".join(f"{row}.jpg\n" for row in range(380)))
    builder.build(open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index", BuildRequest(similarity="whitened"))
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "v.txt").write_text("".join(f"{row}.jpg\n" for row in range(N)))
    collection = Collection.open(tmp_path / "v.npy")
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
