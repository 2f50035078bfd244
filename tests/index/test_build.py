import json
from shutil import copytree

import faiss
import numpy as np
import pytest
from arrays import clustered
from notes import Candidates

from similar_images import Collection
from similar_images.index import quality
from similar_images.index.builder import BuildRequest, add, build, remove
from similar_images.index.exact import exact_search, normalise
from similar_images.index.index import open_index
from similar_images.index.quality import Queries, recall
from similar_images.index.tuning import QualityTarget, Unreachable
from similar_images.vectors.store import Vectors

N, D = 6000, 64


@pytest.fixture
def store(save):
    """Save the first n of some vectors, with their list, and open them."""
    array = clustered(N + 500, D)

    def store(n: int = N) -> Vectors:
        return save(array[:n])

    store.unseen = normalise(array[N:])
    return store


def reached(index, vectors, queries) -> float:
    true = exact_search(vectors.array, queries, 10, index.removed)[1]
    return float(recall(index.search(queries, 10, vectors.array)[1], true).mean())


def test_queries_are_excluded_from_their_hits(store):
    vectors = store(300)
    queries = Queries(vectors.array, removed=[5, 7], count=50)
    assert len(queries.rows) == 50 and not {5, 7} & set(queries.rows)
    unit = normalise(vectors.array)
    similarities = unit[queries.rows] @ unit.T
    similarities[:, [5, 7]] = -2
    similarities[np.arange(50), queries.rows] = -2
    assert np.array_equal(queries.true, np.argsort(-similarities, axis=1)[:, :10])


@pytest.mark.parametrize("wanted", [0.8, 0.95])
def test_target_recall_holds_for_new_queries(store, tmp_path, wanted):
    vectors, target, tried = store(), QualityTarget(recall=wanted, max_bytes=1_000_000), Candidates()
    manifest = build(vectors, tmp_path / "i.index", BuildRequest(target=target), tried)
    index = open_index(tmp_path / "i.index")
    assert reached(index, vectors, store.unseen) >= wanted
    assert manifest.measured.recall >= manifest.measured.interval[0] >= wanted
    assert manifest.measured.bytes_on_disk == (tmp_path / "i.index").stat().st_size <= 1_000_000
    assert manifest.target == target
    assert any(one.recipe == manifest.recipe for one in tried)  # hopeless candidates are skipped
    assert manifest.parameters.reranked == index.reranked


def test_without_target_recall_most_exact_candidate_wins(store, tmp_path):
    target = QualityTarget(max_bytes=2_000_000)
    manifest = build(store(), tmp_path / "i.index", BuildRequest(target=target))
    assert manifest.recipe == "flat" and manifest.measured.recall == 1
    target, tried = QualityTarget(max_bytes=400_000), Candidates()
    manifest = build(store(), tmp_path / "i.index", BuildRequest(target=target), tried)
    assert manifest.measured.bytes_on_disk <= 400_000
    within = [one.recall for one in tried if one.bytes <= 400_000]
    assert manifest.measured.recall == pytest.approx(max(within), abs=1e-9)


def test_unreachable_target_names_limit_and_writes_nothing(store, tmp_path):
    vectors = store()
    before = {path.name for path in tmp_path.iterdir()}
    for limits, message in (
        ({"max_bytes": 90_000}, r"with the others met, the smallest is [0-9,]+ bytes \(--max-bytes 90000\)"),
        ({"max_ms": 0.0001}, r"with the others met, the fastest takes [0-9.]+ ms \(--max-ms 0.0001\)"),
        ({"max_bytes": 90_000, "max_ms": 0.0001}, "loosen at least two"),
    ):
        with pytest.raises(Unreachable, match=message):
            build(vectors, tmp_path / "i.index", BuildRequest(target=QualityTarget(recall=0.9, **limits)))
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("n", [1, 2, 12, 30])
def test_few_vectors_reach_recall_1(store, tmp_path, n):
    manifest = build(store(n), tmp_path / "i.index", BuildRequest(target=QualityTarget(recall=1.0)))
    assert manifest.measured.recall == 1


def test_manifest_records_recall_with_and_without_vectors(store, tmp_path):
    vectors = store()
    measured = build(vectors, tmp_path / "i.index", BuildRequest("reduced")).measured
    index = open_index(tmp_path / "i.index")
    assert measured.recall == pytest.approx(reached(index, vectors, store.unseen), abs=0.03)
    alone = recall(index.search(store.unseen, 10)[1], exact_search(vectors.array, store.unseen, 10)[1]).mean()
    assert measured.recall_alone == pytest.approx(alone, abs=0.03)
    assert measured.recall_alone < measured.recall
    assert 0 < measured.p50_ms <= measured.p95_ms
    assert measured.bytes_in_memory == index.backend.bytes


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_two_adds_equal_one_and_match_a_rebuild(store, tmp_path, recipe):
    for name in ("one", "two"):
        build(store(5400), tmp_path / f"{name}.index", BuildRequest(recipe))
    add(store(5700), tmp_path / "two.index")
    vectors = store()
    add(vectors, tmp_path / "two.index")
    manifest = add(vectors, tmp_path / "one.index")
    assert (tmp_path / "one.index").read_bytes() == (tmp_path / "two.index").read_bytes()
    assert manifest.n == N and not quality.is_stale(manifest)
    grown = reached(open_index(tmp_path / "one.index"), vectors, store.unseen)
    build(vectors, tmp_path / "new.index", BuildRequest(recipe))
    assert grown == pytest.approx(reached(open_index(tmp_path / "new.index"), vectors, store.unseen), abs=0.02)


def test_trivial_ids_are_not_stored(store, tmp_path):
    vectors, path = store(3000), tmp_path / "v.faiss.index"
    manifest = build(vectors, path, BuildRequest("flat"))
    assert isinstance(faiss.read_index(str(path)), faiss.IndexFlat)
    assert manifest.measured.bytes_on_disk == path.stat().st_size < 4 * vectors.array.size + 100
    remove(vectors, path, [2999])
    assert isinstance(faiss.read_index(str(path)), faiss.IndexFlat)  # the last one leaves no gap
    remove(vectors, path, [7])
    index = faiss.read_index(str(path))
    assert isinstance(index, faiss.IndexIDMap)
    assert set(faiss.vector_to_array(index.id_map)) == set(range(2999)) - {7}


@pytest.mark.parametrize("recipe", ["flat", "reduced", "classic", "PQ32x4fs"])
def test_removed_rows_stay_removed_and_ids_stay_rows(store, tmp_path, recipe):
    vectors = store(3000)
    build(vectors, tmp_path / "v.faiss.index", BuildRequest(recipe))
    nearest = Collection.open(tmp_path / "v.npy").nearest(17, 1)[0].row
    manifest = remove(vectors, tmp_path / "v.faiss.index", [nearest, 40])
    assert manifest.removed == sorted([nearest, 40]) and manifest.n == 2998
    for exact in (False, True):
        collection = Collection.open(tmp_path / "v.npy")
        hits = [hit.row for hit in collection.nearest(17, 50, exact=exact)]
        assert nearest not in hits and 40 not in hits
        assert collection.nearest(collection.vectors.array[2999], 1)[0].row == 2999
    added = add(store(3200), tmp_path / "v.faiss.index")
    assert added.n == 3198 and added.removed == manifest.removed


def test_recipe_without_removal_is_unchanged_by_remove(store, tmp_path):
    vectors = store(500)
    build(vectors, tmp_path / "i.index", BuildRequest("HNSW8"))
    before = (tmp_path / "i.index").read_bytes()
    with pytest.raises(ValueError, match="the recipe HNSW8 cannot remove"):
        remove(vectors, tmp_path / "i.index", [3])
    assert (tmp_path / "i.index").read_bytes() == before


def test_different_new_vectors_make_index_stale(save, tmp_path):
    first = clustered(3000, D)
    manifest = build(save(first), tmp_path / "i.index", BuildRequest("IVF54,PQ16x4fs"))
    assert not quality.is_stale(manifest)
    other = np.random.default_rng(9).normal(size=(12_000, D)).astype(np.float32) * 0.3 - 4  # somewhere else altogether
    assert quality.is_stale(add(save(np.vstack([first, other])), tmp_path / "i.index"))


def test_percentiles_match_random_pairs(store, tmp_path):
    vectors = store(2000)
    build(vectors, tmp_path / "v.faiss.index")
    collection = Collection.open(tmp_path / "v.npy")
    unit = normalise(vectors.array)
    pairs = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    for percent in (5, 50, 99, 99.9):
        assert collection.percentile(float(np.percentile(pairs, percent))) == pytest.approx(percent, abs=1)
    assert collection.percentile(1.0) == 100


def test_random_queries_have_no_close_match(store, tmp_path):
    build(store(2000), tmp_path / "v.faiss.index")
    collection = Collection.open(tmp_path / "v.npy")
    alike = [collection.is_like_nothing(collection.nearest(row, 3)) for row in range(0, 2000, 20)]
    assert np.mean(alike) < 0.05
    strange = np.random.default_rng(1).normal(size=(20, D))
    assert all(collection.is_like_nothing(collection.nearest(query, 3)) for query in strange)


def test_command_builds_for_target_adds_and_removes(store, run, tmp_path):
    store(5000)
    built = run("build", "-i", "v.npy", "--target-recall", "0.9", "--max-bytes", "1M", "--max-ms", "50")
    assert built.returncode == 0, built.stderr
    assert "recall@10" in built.stdout.splitlines()[0] and built.stdout.splitlines()[-1] == "v.faiss.index"
    assert "5000 of 5000 vectors" in built.stderr
    refused = run("build", "-i", "v.npy", "-o", "o.index", "--target-recall", "1", "--max-bytes", "100k")
    assert refused.returncode == 1 and "no index meets all limits" in refused.stderr
    assert not (tmp_path / "o.index").exists()
    store(5200)
    grown = run("build", "-i", "v.npy", "--add")
    assert grown.returncode == 0 and "5200 of 5200 vectors" in grown.stderr
    (tmp_path / "away.txt").write_text("3.jpg\n5.jpg\n")
    smaller = run("build", "-i", "v.npy", "--remove", "away.txt")
    assert smaller.returncode == 0 and "5198 of 5200 vectors" in smaller.stderr
    assert json.loads((tmp_path / "v.faiss.index.json").read_text())["removed"] == [3, 5]
    store(5201)
    (tmp_path / "away.txt").write_text("7.jpg\n")
    replaced = run("build", "-i", "v.npy", "--remove", "away.txt", "--add")
    assert replaced.returncode == 0 and "5198 of 5201 vectors" in replaced.stderr
    assert json.loads((tmp_path / "v.faiss.index.json").read_text())["removed"] == [3, 5, 7]


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_repaired_images_are_added(recipe, run, photos, tmp_path):
    for number in range(3):  # so many that a recipe can be trained
        copytree(photos, photos / f"again {number}")
    command = "extract", "-d", photos, "--network", "hog-colour"
    good = {name: (photos / name).read_bytes() for name in ("again 0/blue/0.jpg", "red/2.jpg")}
    for name in good:
        (photos / name).write_bytes(b"")
    assert run(*command).returncode == 0
    build = "build", "-i", "photos_file_list.txt.saved_predictions.npy"
    assert "94 of 96 vectors" in run(*build, "--recipe", recipe).stderr
    for name, content in good.items():
        (photos / name).write_bytes(content)
    assert "0 skipped" in run(*command, "--retry-skipped").stderr
    assert Collection.open(tmp_path / "photos_file_list.txt").names[0] in good  # row 0 is in the fingerprint
    (tmp_path / "away.txt").write_text("red/3.jpg\n")
    assert "93 of 96 vectors" in run(*build, "--remove", "away.txt").stderr
    added = run(*build, "--add")
    assert "95 of 96 vectors" in added.stderr, added.stderr
    collection = Collection.open(tmp_path / "photos_file_list.txt")
    for name in good:
        (hit,) = collection.nearest(photos / name, k=1)
        assert hit.similarity > 0.999
        assert name in {hit.name for hit in collection.nearest(photos / name, k=10)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-bytes", "eight"), "expected a size such as 500k, 8M or 2G"),
        (("--target-recall", "1.5"), "1.5 is not in the range"),
        (("--target-recall", "0.9", "--recipe", "flat"), "a target chooses the recipe"),
        (("--add",), "there is no index"),
        (("--add", "--recipe", "flat"), "keep recipe and similarity of the index"),
    ],
)
def test_invalid_options_report_one_line(store, run, tmp_path, options, said):
    store(50)
    done = run("build", "-i", "v.npy", *options)
    assert done.returncode != 0 and said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "v.faiss.index").exists()


def test_removing_unknown_names_is_refused(store, run, tmp_path):
    build(store(50), tmp_path / "v.faiss.index")
    (tmp_path / "away.txt").write_text("3.jpg\nno.jpg\n")
    done = run("build", "-i", "v.npy", "--remove", "away.txt")
    assert done.returncode == 1 and "1 names are not in v.npy, such as no.jpg" in done.stderr
