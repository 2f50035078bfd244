"""Collections of equal vectors: recall counts every equal row, and each search path gives the same rows in the same order."""

from itertools import pairwise

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_vectors

from similar_images import Collection
from similar_images.collection import searcher
from similar_images.collection.encoder import Query
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.evaluation import AlteredCopy, SearchConfig, _rank_copies, evaluate
from similar_images.index import backend as backends
from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import ROUNDING, exact_search, normalise, rank
from similar_images.index.index import open_index
from similar_images.index.quality import recall
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.store import open_vectors

D, K = 32, 10
REPEATED = {
    "60 copies of one photo": [*[0] * 60, *range(1, 541)],
    "243 identical rows": [0] * 243,
    "20 photos x 15 copies": [row % 20 for row in range(300)],
    "one of a thousand thrice": [*range(1000), 1, 1, 1],
}
RECIPES = [
    "exact",
    "flat",
    "classic",
    "reduced",
    "mapped",
    "reduced in parts",
    "mapped on disk",
    "IVF8,Flat",
    "PCA8,SQ8",
]
PAIRS = [
    (rows, recipe)
    for rows in REPEATED
    for recipe in RECIPES
    if (len(REPEATED[rows]), recipe) != (243, "mapped on disk")
]
QUERIES = [0, 7, 42, 199]


def vectors_of(repeated: list[int]) -> np.ndarray:
    """Return vectors (n, d) in which equal numbers stand for equal vectors, float32, of different lengths."""
    return (clustered(max(repeated) + 1, D) * 3)[repeated]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Open a collection by its rows and the recipe of its index."""
    known: dict[tuple[str, str], Collection] = {}

    def make(rows: str, recipe: str) -> Collection:
        if (rows, recipe) not in known:
            folder = tmp_path_factory.mktemp("ties")
            vectors = open_vectors(save_vectors(folder / "v.npy", vectors_of(REPEATED[rows])))
            path = folder / "v.faiss.index"
            if recipe != "exact":
                size = 100 if recipe.endswith(("parts", "disk")) else None
                build(vectors, path, BuildRequest(recipe.split(" ")[0], similarity="cosine", part_size=size))
            index = open_index(path, mapped=recipe == "mapped on disk") if recipe != "exact" else None
            inverted = backends.find_ivf(index.backend) if index else None
            if inverted is not None:
                inverted.nprobe = inverted.nlist  # only the order of hits is of interest
            known[rows, recipe] = Collection(vectors, index)
        return known[rows, recipe]

    return make


def true_rows(array: np.ndarray, query: int, allowed: np.ndarray) -> list[int]:
    """Return the rows nearest to one of them, the allowed ones and not itself, by float64 in NumPy; equal ones by row."""
    unit = array / np.linalg.norm(array.astype(np.float64), axis=1)[:, None]
    cosines = np.round(unit @ unit[query], 6)
    order = np.lexsort((np.arange(len(array)), -cosines))
    return [int(row) for row in order if allowed[row] and row != query][:K]


def rows_of(hits: list) -> list[int]:
    return [hit.row for hit in hits]


@pytest.mark.parametrize("path", ["default", "exact", "several queries", "few rows", "many rows", "all rows"])
@pytest.mark.parametrize(("rows", "recipe"), PAIRS)
def test_equal_hits_are_ordered_by_row_in_every_search_path(opened, rows, recipe, path, monkeypatch):
    collection = opened(rows, recipe)
    n = len(collection)
    allowed = np.ones(n, bool)
    where = None
    if path.endswith("rows"):
        where = allowed if path == "all rows" else np.arange(n) % 3 > 0
        allowed = where
        monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 10**9 if path == "few rows" else 0)
        collection.searcher._subsets.clear()
    if path == "several queries":
        found = [rows_of(hits) for hits in collection.nearest_many(QUERIES, K)]
    else:
        found = [rows_of(collection.nearest(query, K, exact=path == "exact", where=where)) for query in QUERIES]
    assert found == [true_rows(collection.array, query, allowed) for query in QUERIES]


@pytest.mark.parametrize(("rows", "recipe"), [pair for pair in PAIRS if pair[1] != "exact"])
def test_equal_hits_of_an_index_alone_are_ordered_by_row(opened, rows, recipe):
    for hits in opened(rows, recipe).nearest_many(QUERIES, 60, reranked=False):
        assert len({hit.row for hit in hits}) == len(hits) == 60
        pairs = pairwise(hits)
        assert all(one.similarity - other.similarity > ROUNDING / 2 or one.row < other.row for one, other in pairs)


@pytest.mark.parametrize("rows", REPEATED)
def test_the_recall_of_an_exact_index_is_1(opened, rows):
    measured = opened(rows, "flat").measured
    assert (measured.recall, measured.recall_alone) == (1, 1)


@pytest.mark.parametrize("recipe", ["reduced", "mapped", "reduced in parts"])
@pytest.mark.parametrize("rows", ["243 identical rows", "20 photos x 15 copies"])
def test_the_recall_of_an_approximate_index_counts_every_copy(opened, rows, recipe):
    assert opened(rows, recipe).measured.recall == 1


@pytest.mark.parametrize("rows", REPEATED)
def test_evaluation_counts_every_equal_row_as_a_hit(opened, rows):
    collection = opened(rows, "IVF8,Flat")
    evaluated = evaluate([SearchConfig(collection)], K, queries=100, altered=0)[0]
    assert {k: each.mean() for k, each in evaluated.recalls.items()} == {1: 1, 10: 1, 100: 1}
    assert evaluated.curve[-1].nprobe == 8 and evaluated.curve[-1].recall == 1


def test_a_lower_similarity_and_a_repeated_row_are_no_hits():
    array = np.array([[1, 0], [1, 0], [3, 0], [1, 1], [0, 1]], np.float32)
    unit, true = normalise(array[:1]), np.array([[0, 1]])
    assert recall(np.array([[1, 2]]), true, array, unit).tolist() == [1]
    assert recall(np.array([[2, 2]]), true, array, unit).tolist() == [0.5]
    assert recall(np.array([[0, 0, 1, 2, 3]]), true, array, unit).tolist() == [1]
    assert recall(np.array([[3, -1]]), true, array, unit).tolist() == [0]
    assert recall(np.array([[2, 1]]), true).tolist() == [0.5]  # without vectors by row


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equal_rows_stay_equal_if_a_matrix_product_rounds_them_differently(dtype):
    array = np.random.default_rng(0).normal(size=(243, 1280)).astype(dtype)
    same = np.arange(3, 243, 2)
    array[same] = array[1]
    _, rows = exact_search(array, normalise(array[[1, 0, 2]]), 5)
    assert rows[0].tolist() == [1, 3, 5, 7, 9]


def test_similarities_within_rounding_are_ordered_by_row_and_others_are_not():
    similarities = np.array([[0.5, 0.5 + ROUNDING / 4, 0.7, 0.5 - ROUNDING / 4, 0.4, -np.inf]], np.float32)
    _, rows = rank(similarities, np.array([[3, 9, 8, 2, 1, -1]]), 5)
    assert rows.tolist() == [[8, 2, 3, 9, 1]]
    slope = np.linspace(0.5, 0.5 + 100 * ROUNDING, 1001, dtype=np.float32)[None]  # each step is within rounding
    found, rows = rank(slope, np.arange(1001)[None], 1001)
    assert (np.diff(slope[0][rows[0]]) < 1.1 * ROUNDING).all() and (np.diff(found[0]) <= 0).all()


@pytest.mark.parametrize("recipe", ["exact", "flat", "reduced"])
def test_the_rank_of_an_original_counts_only_better_hits(opened, recipe):
    collection, name = opened("60 copies of one photo", recipe), next(iter(ALTERATIONS))
    unknown = NetworkDescription("unknown", dimension=1)
    copies = [AlteredCopy(name, row, Query(collection.vector(row), unknown)) for row in (0, 59)]
    ranks = _rank_copies(SearchConfig(collection), copies, 8)
    assert ranks[name].tolist() == [1, 1]
