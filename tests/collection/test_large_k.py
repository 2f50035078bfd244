"""Large k: as many hits as there are, with the recall measured for 10."""

from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_vectors

from similar_images import Collection
from similar_images.collection import searcher
from similar_images.index.backend import search
from similar_images.index.builder import BuildRequest, build, remove
from similar_images.index.exact import exact_search, unit_rows
from similar_images.index.index import open_index
from similar_images.milvus.search import MilvusSearch
from similar_images.vectors.store import open_vectors

N, D = 6000, 48
REMOVED = list(range(0, N, 9))
RECIPES = ["flat", "reduced", "mapped", "reduced in parts", "mapped on disk", "IVF64,Flat", "SQ8"]


def collection_of(vectors: Path, index: Path, recipe: str, removed: list[int]) -> Collection:
    size = 2000 if recipe.endswith(("parts", "disk")) else None
    build(open_vectors(vectors), index, BuildRequest(recipe.split(" ")[0], part_size=size, similarity="cosine"))
    if removed:
        remove(open_vectors(vectors), index, removed)
    return Collection(open_vectors(vectors), open_index(index, mapped=recipe == "mapped on disk"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Open a collection with some rows removed by the recipe of its index."""
    folder = tmp_path_factory.mktemp("many")
    save_vectors(folder / "v.npy", clustered(N, D))
    known: dict[str, Collection] = {}

    def make(recipe: str) -> Collection:
        if recipe not in known:
            known[recipe] = collection_of(folder / "v.npy", folder / f"{len(known)}.index", recipe, REMOVED)
        return known[recipe]

    return make


def recall_at(k: int, collection: Collection, queries: list[int], where: np.ndarray | None = None) -> float:
    """Return recall@k of rows as queries, after checks of their hits."""
    left_out = np.zeros(len(collection), bool) if where is None else ~where
    left_out[collection.removed] = True
    units = unit_rows(collection.compared, np.array(queries))[1]
    true = exact_search(collection.compared, units, k + 1, left_out)[1]
    shares = []
    for query, rows in zip(queries, true, strict=True):
        hits = [hit.row for hit in collection.nearest(query, k, where=where)]
        available = np.count_nonzero(~left_out) - (not left_out[query])
        assert len(hits) == len({*hits}) == min(k, available)
        assert query not in hits and not left_out[hits].any()
        shares.append(len({*hits} & {*rows[rows != query][: len(hits)].tolist()}) / len(hits))
    return float(np.mean(shares))


@pytest.mark.parametrize("k", [21, 46, 700, 2500, 10_000])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_large_k_gives_all_hits_with_the_recall_of_10(opened, recipe, k):
    collection = opened(recipe)
    assert recall_at(k, collection, [1, 500, 2222, 5999]) >= min(0.99, collection.recall)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("k", [30, 900, 5000])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_filter_leaves_all_hits_and_their_recall(opened, recipe, k, few, monkeypatch):
    collection = opened(recipe)
    monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 10**9 if few else 0)
    collection.searcher._subsets.clear()
    where = np.arange(N) % 4 == 1
    assert recall_at(k, collection, [1, 500, 2222], where) >= min(0.99, collection.recall)


@pytest.mark.parametrize("recipe", ["reduced", "mapped", "reduced in parts", "mapped on disk", "IVF64,Flat"])
def test_an_index_alone_probes_all_lists_if_it_finds_too_few(opened, recipe):
    collection = opened(recipe)
    index, unit = collection.index, unit_rows(collection.array, np.arange(1, 6))[1]
    for array in (None, collection.array):
        for k in (1000, index.ntotal, index.ntotal + 5):
            rows = search(index.backend, unit, k, array, index.reranked)[1]
            assert all(len({*found[found >= 0]}) == min(k, index.ntotal) for found in rows)


def test_the_limit_of_milvus_is_one_line_without_the_vectors():
    search = MilvusSearch.__new__(MilvusSearch)
    search.ntotal = 20_000
    with pytest.raises(
        ValueError, match=r"^expected k of at most 16,384, the most hits of a search in Milvus, got 17,000"
    ):
        search.search(np.eye(4, dtype=np.float32), 17_000)
    assert search.max_hits == 16_384


@pytest.mark.parametrize("similarity", ["cosine", "whitened"])
def test_real_vectors_keep_their_recall_for_every_k(data, tmp_path, similarity):
    vectors = data / "vectors" / "caltech101_mobilenetv2.npy"
    if not vectors.is_file():
        pytest.skip(f"no {vectors}")
    build(open_vectors(vectors), tmp_path / "v.index", BuildRequest("reduced", similarity=similarity))
    collection = Collection.open(vectors, index=tmp_path / "v.index")
    queries = np.random.default_rng(0).permutation(len(collection))[:100].tolist()
    for k in (10, 20, 40, 60, 100, 500, 2000, 9000):
        assert recall_at(k, collection, queries if k < 500 else queries[:10]) >= collection.recall - 0.005, k
