"""Commands on unusual collections: grown, without vectors, with rows of zeros, of a single image, in foreign files."""

import json
import shutil
import warnings

import numpy as np
import pytest
from collection_files import save_vectors
from colour_network import saved
from PIL import Image

from similar_images import Collection
from similar_images.index.builder import BuildRequest, build, remove
from similar_images.vectors.store import index_path, open_vectors

D = 8


@pytest.fixture
def stored(tmp_path):
    """Save vectors and names as another tool would, and return the file of the vectors."""
    return lambda array: save_vectors(tmp_path / "v.npy", array)


def directions(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, D)).astype(np.float32)


@pytest.mark.parametrize(("n", "recipe", "part_size"), [(10, "flat", None), (400, "reduced", 100)])
def test_image_can_be_removed_before_it_is_indexed(run, stored, tmp_path, n, recipe, part_size):
    path = stored(directions(n))
    build(open_vectors(path), index_path(path), BuildRequest(recipe, part_size=part_size))
    stored(directions(n + 3))
    (tmp_path / "names.txt").write_text(f"{n + 1}.jpg\n2.jpg\n")
    done = run("build", "-i", path, "--remove", "names.txt")
    assert done.returncode == 0, done.stderr
    assert Collection.open(path).not_indexed == 2
    done = run("build", "-i", path, "--add")
    assert done.returncode == 0, done.stderr
    collection = Collection.open(path)
    assert (collection.removed, collection.not_indexed) == ([2, n + 1], 0)
    assert collection.index.ntotal == n + 1
    assert {hit.row for hit in collection.nearest(0, n, exact=True)} == {*range(1, n + 3)} - {2, n + 1}
    assert build(open_vectors(path), index_path(path), BuildRequest("flat")).removed == [2, n + 1]


def test_removing_and_adding_at_once_leaves_the_removed_one_out(run, stored, tmp_path):
    path = stored(directions(10))
    build(open_vectors(path), index_path(path), BuildRequest("flat"))
    stored(directions(13))
    (tmp_path / "names.txt").write_text("11.jpg\n")
    done = run("build", "-i", path, "--remove", "names.txt", "--add")
    assert done.returncode == 0, done.stderr
    assert {hit.row for hit in Collection.open(path).nearest(0, 20)} == {*range(1, 13)} - {11}


def test_fewer_vectors_than_removed_rows_are_refused(stored):
    path = stored(directions(13))
    build(open_vectors(path), index_path(path), BuildRequest("flat"))
    stored(directions(10))
    with pytest.raises(ValueError, match="was built from other vectors"):
        Collection.open(path)
    build(open_vectors(path), index_path(path), BuildRequest("flat"))
    stored(directions(13))
    remove(open_vectors(path), index_path(path), [12])
    stored(directions(10))
    with pytest.raises(ValueError, match="was built from other vectors"):
        Collection.open(path)


def test_building_a_grown_collection_names_add(run, stored):
    path = stored(directions(10))
    assert run("build", "-i", path).returncode == 0
    stored(directions(13))
    done = run("build", "-i", path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "exists: add new images with --add, use --overwrite to rebuild it" in done.stderr


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_rows_of_zeros_in_foreign_vectors_are_skipped_for_good(run, stored, recipe):
    array = directions(300)
    array[3] = array[7] = 0
    path = stored(array)
    assert run("build", "-i", path, "--recipe", recipe).returncode == 0
    collection = Collection.open(path)
    assert collection.not_indexed == 0
    assert not {3, 7} & {hit.row for hit in collection.nearest(0, 300)}
    done = run("search", "-i", path, "0.jpg")
    assert "not in the index" not in done.stderr
    array[3] = directions(301)[300]
    stored(array)
    assert run("build", "-i", path, "--add").returncode == 0
    collection = Collection.open(path)
    assert (collection.not_indexed, collection.index.ntotal) == (0, 299)


@pytest.mark.parametrize(
    ("array", "queries", "expected"),
    [
        (np.zeros((5, D), np.float32), [np.ones(D)], "no image of this collection has a vector"),
        (np.ones((1, D), np.float32), ["0.jpg"], "no hit for 0.jpg"),
    ],
)
def test_a_search_without_hits_says_so(run, stored, array, queries, expected):
    path = stored(array)
    for query in queries:
        if isinstance(query, str):
            done = run("search", "-i", path, query)
            assert (done.returncode, done.stderr.count("\n")) == (0, 1)
            assert expected in done.stderr
        else:
            with pytest.raises(ValueError, match=expected):
                Collection.open(path).nearest(query)


def test_overviews_of_a_collection_without_vectors_are_refused(stored):
    collection = Collection.open(stored(np.zeros((5, D), np.float32)))
    for make in (collection.map, collection.clusters, collection.outliers, collection.typical, collection.spread):
        with pytest.raises(ValueError, match="no image of this collection has a vector"):
            make()


def test_a_changed_file_is_searched_as_it_is_now(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 1, 3), dtype=np.uint8)
    for i in range(6):
        Image.fromarray(np.broadcast_to(pixels[i], (40, 40, 3))).save(tmp_path / "photos" / f"{i}.png")
    collection = Collection.create("photos", network=str(saved(tmp_path / "network")))
    shutil.copy(tmp_path / "photos" / "3.png", tmp_path / "photos" / "1.png")
    done = run("search", "--json", "photos/1.png")
    hits = [(hit["row"], hit["similarity"]) for hit in json.loads(done.stdout)[0]["hits"]]
    assert hits == [(hit.row, hit.similarity) for hit in collection.nearest("photos/1.png")] and hits[0] == (
        3,
        pytest.approx(1),
    )
    assert "photos/1.png has changed since its vector was made" in done.stderr
    (tmp_path / "photos" / "2.png").touch()
    done = run("search", "--json", "photos/2.png")
    assert [hit["row"] for hit in json.loads(done.stdout)[0]["hits"]] == [hit.row for hit in collection.nearest(2)]
    assert not done.stderr


@pytest.mark.parametrize("query", ["", "  ", "\t"])
@pytest.mark.parametrize("command", ["search", "search-texts"])
def test_an_empty_query_is_refused(run, stored, command, query):
    path = stored(directions(4))
    done = run(command, "-i", path, query)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    if command == "search":
        assert "expected a file, a name, an address or words to search for, got an empty text" in done.stderr


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.asfortranarray(directions(20)), "the numbers of each row side by side (C order), got Fortran order"),
        (directions(20).astype(">f4"), "float32 or float16, got shape (20, 8), >f4"),
        (directions(20).astype(np.float64), "float32 or float16, got shape (20, 8), float64"),
        (directions(20).astype(int), "float32 or float16, got shape (20, 8), int64"),
        (directions(20)[0], "expected vectors of shape (n, d)"),
    ],
)
def test_foreign_vectors_are_refused_with_the_remedy(run, stored, array, expected):
    path = stored(array)
    done = run("build", "-i", path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert expected in done.stderr
    assert ("np.ascontiguousarray(array, dtype=np.float32)" in done.stderr) == (array.ndim == 2)


@pytest.mark.parametrize("similarity", [None, "cosine", "centred"])
def test_min_percentile_holds_for_every_similarity(run, stored, similarity):
    path = stored(directions(300))
    build(open_vectors(path), index_path(path), BuildRequest("flat", similarity="whitened"))
    chosen = ["--similarity", similarity] if similarity else []
    every = run("search", "-i", path, "-k", 299, *chosen, "0.jpg").stdout.splitlines()
    done = run("search", "-i", path, "-k", 299, *chosen, "--min-percentile", 90, "0.jpg")
    assert (done.returncode, len(every)) == (0, 299)
    assert 10 <= len(done.stdout.splitlines()) <= 60
    assert done.stdout.splitlines() == every[: len(done.stdout.splitlines())]


def test_min_percentile_holds_without_an_index(run, stored):
    path = stored(directions(300))
    done = run("search", "-i", path, "-k", 299, "--min-percentile", 90, "0.jpg")
    assert (done.returncode, 10 <= len(done.stdout.splitlines()) <= 60) == (0, True)


@pytest.mark.parametrize("scale", [1e19, 1e-24, 1e30])
@pytest.mark.parametrize(("recipe", "similarity"), [("flat", "cosine"), ("reduced", "cosine"), ("reduced", "whitened")])
def test_vectors_of_any_length_are_searched(stored, scale, recipe, similarity):
    array = directions(3000)
    path = stored((array / np.linalg.norm(array, axis=1, keepdims=True) * scale).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(open_vectors(path), index_path(path), BuildRequest(recipe, similarity=similarity))
        collection = Collection.open(path)
        hits = collection.nearest(array[7], 5)
        assert (hits[0].row, round(hits[0].similarity, 3)) == (7, 1)
        assert collection.nearest(array[7], 5, exact=True)[0].row == 7
        assert collection.compare(array[7], [7])[0].similarity == pytest.approx(1, abs=1e-3)
        assert collection.neighbours(3).similarities.max() < 1
