"""Filtered search: the right rows, exact if few, otherwise with the recall of the index."""

import numpy as np
import pytest
from arrays import clustered
from collection_files import Letters, save_indexed, save_texts, save_vectors

from similar_images import Collection, TextCollection
from similar_images.collection import searcher
from similar_images.index.builder import BuildRequest, add, build, remove
from similar_images.index.exact import normalise
from similar_images.networks import text as text_networks
from similar_images.vectors.store import index_path, open_vectors, vectors_path

N, D, K = 4000, 48, 10
VECTORS = clustered(N + 50, D)
QUERIES = VECTORS[N:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Vectors in folders 0 to 9 by similarity, and an index with inverted lists."""
    folder, array = tmp_path_factory.mktemp("filters"), VECTORS[:N]
    kinds = np.argsort(np.argsort(normalise(array) @ normalise(array[:1])[0])) * 10 // N
    names = [f"{kind}/{'Beach' if row % 7 == 0 else 'town'} {row}.jpg" for row, kind in enumerate(kinds)]
    save_indexed(folder / "v.npy", array, names, recipe="reduced", similarity="whitened")
    return folder


@pytest.fixture
def collection(folder) -> Collection:
    return Collection.open(folder / "v.npy")


@pytest.fixture
def many(monkeypatch):
    """Let every subset be many, so that the index is searched."""
    monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 0)


def oracle(collection: Collection, queries: np.ndarray, matching: np.ndarray, k: int = K) -> list[list[int]]:
    """Return the nearest rows that match by NumPy alone."""
    rows = np.flatnonzero(matching)
    transformed = collection.similarity.transform
    similarities = transformed(normalise(queries)) @ transformed(normalise(collection.array[rows])).T
    return rows[np.argsort(-similarities, axis=1)[:, :k]].tolist()


def rows_of(found: list) -> list[list[int]]:
    return [[hit.row for hit in hits] for hits in found]


def shared(found: list[list[int]], true: list[list[int]]) -> float:
    return float(np.mean([len({*one} & {*other}) / len(other) for one, other in zip(found, true, strict=True)]))


WHERES = [{"folder": "3"}, {"folder": ["1", "8"]}, {"name": "bEACH"}, {"folder": "2", "name": "town"}]


def expected(collection: Collection, where: dict) -> np.ndarray:
    folders = {*np.atleast_1d(where["folder"])} if "folder" in where else set("0123456789")
    part = where.get("name", "").lower()
    return np.array([name[0] in folders and part in name.lower() for name in collection.names])


@pytest.mark.parametrize("where", WHERES)
def test_few_rows_that_match_are_searched_exactly(collection, where):
    matching = expected(collection, where)
    assert np.array_equal(collection.matching(where), matching) and 0 < matching.sum() < N
    true = oracle(collection, QUERIES, matching)
    for exact in (False, True):
        found = rows_of(collection.nearest_many(QUERIES, K, exact, where=where))
        assert matching[np.concatenate(found)].all()
        assert shared(found, true) > 0.99  # the vectors beside the index are float16: near ties may change
    assert rows_of([collection.nearest(query, K, where=matching) for query in QUERIES]) == found


@pytest.mark.parametrize("where", [*WHERES, {"name": "town"}])
def test_the_index_finds_nearly_all_that_match(collection, where, many):
    matching = expected(collection, where)
    assert collection.searcher.subset(where).index is not None
    found = rows_of(collection.nearest_many(QUERIES, K, where=where))
    assert matching[np.concatenate(found)].all()
    assert shared(found, oracle(collection, QUERIES, matching)) >= 0.95
    exactly = rows_of(collection.nearest_many(QUERIES, K, exact=True, where=where))
    assert shared(exactly, oracle(collection, QUERIES, matching)) > 0.99


def test_similarities_equal_an_unfiltered_search(collection, many):
    everything = np.ones(N, bool)
    for exact in (False, True):
        plain, filtered = collection.nearest(3, 5, exact), collection.nearest(3, 5, exact, where=everything)
        assert [hit.row for hit in filtered] == [hit.row for hit in plain]
        assert [hit.similarity for hit in filtered] == pytest.approx([hit.similarity for hit in plain], abs=1e-6)


@pytest.mark.parametrize("few", [True, False])
def test_fewer_matches_than_k_are_all_hits(collection, few, monkeypatch):
    if not few:
        monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 0)
    rows = [5, 17, 40, 900, 3999]
    assert {hit.row for hit in collection.nearest(5, 20, where=rows)} == {17, 40, 900, 3999}  # without itself
    assert {hit.row for hit in collection.nearest(6, 20, where=np.array(rows))} == set(rows)
    assert collection.nearest(6, 20, where=np.zeros(N, bool)) == []
    assert collection.nearest_many([6, 7], where={"folder": "none"}) == [[], []]
    half = np.arange(N) % 2 == 0
    assert len(collection.nearest(1, 2000, where=half)) == 2000


def test_marks_and_filters_go_together(collection):
    where = {"folder": ["3", "4"]}
    hits = collection.nearest([3, 4], 5, negatives=[9], where=where)
    assert len(hits) == 5 and {hit.name[0] for hit in hits} <= {"3", "4"} and not {3, 4, 9} & {hit.row for hit in hits}


def test_without_an_index_and_with_another_similarity(folder, collection):
    matching = expected(collection, {"folder": "3"})
    cosine = collection.with_similarity("cosine")
    assert rows_of(cosine.nearest_many(QUERIES, K, where={"folder": "3"})) == oracle(cosine, QUERIES, matching)
    assert rows_of(collection.nearest_many(QUERIES, K, where={"folder": "3"})) != oracle(cosine, QUERIES, matching)


def test_removed_and_skipped_rows_are_not_found(tmp_path, monkeypatch):
    array = clustered(600, 24)
    array[7] = 0
    path = save_indexed(tmp_path / "v.npy", array[:500], recipe="reduced", similarity="centred")
    remove(open_vectors(path), index_path(path), [3, 9])
    for few in (2_000_000, 0):
        monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", few)
        collection = Collection.open(path)
        for exact in (False, True):
            found = {hit.row for hit in collection.nearest(0, 20, exact, where=range(12))}
            assert found == set(range(1, 12)) - {3, 7, 9}
    add(open_vectors(save_vectors(path, array)), index_path(path))
    assert len(Collection.open(path).nearest(0, 500, where=np.arange(600) >= 500)) == 100


def test_texts_without_vectors_are_filtered(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(600)]
    monkeypatch.setattr(text_networks, "load_text_network", lambda name: Letters())
    for recipe in ("flat", "PCA8,SQ8", "PCA16,IVF8,SQ8"):
        path = vectors_path(save_texts(tmp_path / f"{recipe}.txt", texts))
        build(open_vectors(path), index_path(path), BuildRequest(recipe))
        whole = TextCollection.open(path)
        where = {"name": "qu"} if len([text for text in texts if "qu" in text]) > 4 else {"name": "q"}
        expected = {row for row, text in enumerate(texts) if where["name"] in text}
        assert {hit.row for hit in whole.nearest("quiet", 600, where=where)} == expected
        path.unlink()
        found = TextCollection.open(tmp_path / f"{recipe}.txt").nearest("quiet", 600, where=where)
        assert {hit.row for hit in found} == expected
        assert found == sorted(found, key=lambda hit: -hit.similarity) and found[0].path is None


def test_close_match_threshold_depends_on_the_matching_rows(collection):
    """Rows of a tenth are further from each other than rows of the whole, but have each other for a match."""
    random = np.random.default_rng(1)
    tenth = random.random(N) < 0.1
    own = np.flatnonzero(random.random(N) < 0.1)
    found = [collection.nearest(int(row), 1, where=tenth) for row in own]
    by_subset = np.mean([collection.is_like_nothing(hits, tenth) for hits in found])
    by_all = np.mean([collection.is_like_nothing(hits) for hits in found])
    assert by_subset < 0.1 < by_all
    foreign = collection.matching({"folder": "9"})  # the most like row 0; rows in folder 0 are the least
    far = collection.nearest_many(np.flatnonzero(collection.matching({"folder": "0"}))[:100].tolist(), 1, where=foreign)
    assert np.mean([collection.is_like_nothing(hits, foreign) for hits in far]) > 0.5
    assert not collection.is_like_nothing(collection.nearest(0, 1, where=[1, 2, 3]), [1, 2, 3])  # too few to say


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ({"colour": "red"}, "there is no column colour: expected one of name, folder$"),
        (np.ones(3, bool), r"expected a bool array of shape \(4000,\), got \(3,\)"),
        ([0.5], "expected where as a mapping of columns, a bool array"),
        ([-1], "expected rows from 0 to 3999, got -1"),
        ({"folder": ("a", "b")}, "folder: expected a text or a list of texts, got"),
        ({"folder": 3}, "folder: expected a text or a list of texts, got 3"),
    ],
)
def test_invalid_filter_fails_in_one_line(collection, where, error):
    with pytest.raises((ValueError, IndexError), match=error) as raised:
        collection.nearest(0, where=where)
    assert "\n" not in str(raised.value)
