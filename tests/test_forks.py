"""Search in a forked child after its parent has searched with threads."""

import faulthandler
import multiprocessing
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import faiss
import numpy as np
import pytest
from arrays import clustered
from collection_files import Letters, save_texts

from similar_images import Collection, TextCollection, forks
from similar_images.collection import searcher
from similar_images.index import exact
from similar_images.index.builder import BuildRequest, build
from similar_images.networks import text as text_networks
from similar_images.vectors.store import index_path, open_vectors, vectors_path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
N, D, K = 6000, 32, 8
SECONDS = 60  # a child that hangs takes longer
TEXTS = [f"{one} {other}" for one in ("red", "green", "blue", "dark") for other in ("bus", "apple", "river", "cat")]


def in_child(search):
    """Return the result of `search` in a forked child; kill it if it hangs, and show where."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    stacks = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def work() -> None:
        faulthandler.dump_traceback_later(0.8 * SECONDS, file=stacks)
        try:
            sender.send(search())
        except BaseException as error:
            sender.send(error)

    child = fork.Process(target=work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads in a parent that forks
        child.start()
    try:
        if not receiver.poll(SECONDS):
            stacks.seek(0)
            pytest.fail(f"the child hangs: {stacks.read()}")
        return receiver.recv()
    finally:
        child.kill()
        child.join()
        stacks.close()


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Let each search use several threads, even on one core."""
    monkeypatch.setattr(exact, "_cores", lambda: 3)
    monkeypatch.setattr(exact, "CACHED_BYTES", 2**14)
    monkeypatch.setattr(exact, "SINGLE_QUERY_FACTOR", 1)
    exact._threads.cache_clear()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    yield
    faiss.omp_set_num_threads(before)
    exact._threads.cache_clear()


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("forks")
    np.save(folder / "v.npy", clustered(N, D))
    (folder / "v.txt").write_text("".join(f"{row % 5}/{row}.jpg\n" for row in range(N)))
    build(open_vectors(folder / "v.npy"), folder / "v.faiss.index", BuildRequest("reduced", similarity="whitened"))
    build(
        open_vectors(folder / "v.npy"),
        folder / "parts.index",
        BuildRequest("mapped", similarity="cosine", part_size=2000),
    )
    return folder / "v.npy"


QUERY = clustered(1, D, seed=3)[0]
MANY = clustered(40, D, seed=4)
SEARCHES = {
    "exact": lambda collection: collection.nearest(QUERY, K, exact=True),
    "approximate": lambda collection: collection.nearest(QUERY, K),
    "as the index found them": lambda collection: collection.nearest(QUERY, K, reranked=False),
    "by row": lambda collection: collection.nearest(7, K),
    "many hits": lambda collection: collection.nearest(7, 3000),
    "filtered": lambda collection: collection.nearest(7, K, where={"folder": "3"}),
    "filtered, exact": lambda collection: collection.nearest(7, K, exact=True, where={"folder": "3"}),
    "several queries": lambda collection: collection.nearest([7, 8, QUERY], K),
    "negatives": lambda collection: collection.nearest(7, K, negatives=[9]),
    "many at once": lambda collection: collection.nearest_many(MANY, K),
    "many at once, exact": lambda collection: collection.nearest_many(MANY, K, exact=True),
    "many at once, filtered": lambda collection: collection.nearest_many(MANY, K, where={"folder": ["1", "3"]}),
    "comparison of rows": lambda collection: collection.compare(7, [1, 2, 3]),
    "another similarity": lambda collection: collection.with_similarity("centred").nearest(7, K),
    "neighbours": lambda collection: collection.neighbours(5).rows.tolist(),
}


@pytest.mark.parametrize("index", ["v.faiss.index", "parts.index"])
@pytest.mark.parametrize("kind", SEARCHES)
def test_child_equals_parent(vectors, kind, index, monkeypatch):
    monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 10_000)
    collection, search = Collection.open(vectors, index=vectors.with_name(index)), SEARCHES[kind]
    collection.nearest_many(MANY, K), collection.nearest_many(MANY, K, exact=True)  # start all threads
    expected = search(collection)
    collection.overview._neighbours = None  # cached
    assert in_child(lambda: search(collection)) == expected


def test_child_does_not_wait_for_locks_of_the_parent(vectors):
    collection = Collection.open(vectors)
    expected = collection.nearest(7, K, where={"folder": "3"})
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with collection.searcher.lock, collection.encoder._lock, collection.columns._lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        assert in_child(lambda: collection.nearest(7, K, where={"folder": "3"})) == expected
    finally:
        done.set()
        holder.join()


def test_child_encodes_an_image(photos, tmp_path):
    collection = Collection.create(photos, tmp_path)
    file = photos / "red" / "1.jpg"
    expected = [hit.row for hit in collection.nearest(file, 3)]
    assert in_child(lambda: [hit.row for hit in collection.nearest(file, 3)]) == expected


def test_child_searches_texts(tmp_path, monkeypatch):
    monkeypatch.setattr(text_networks, "load_text_network", lambda name: Letters())
    texts = save_texts(tmp_path / "texts.txt", TEXTS)
    build(open_vectors(vectors_path(texts)), index_path(vectors_path(texts)), BuildRequest("flat"))
    collection = TextCollection.open(texts)
    for exactly in (False, True):
        expected = collection.nearest("green river", 5, exact=exactly)
        assert in_child(lambda exactly=exactly: collection.nearest("green river", 5, exact=exactly)) == expected


def test_child_computes_clusters(vectors):
    from sklearn.cluster import KMeans

    points = clustered(2000, 8)
    expected = KMeans(4, n_init=1, random_state=0).fit(points).labels_
    assert np.array_equal(in_child(lambda: KMeans(4, n_init=1, random_state=0).fit(points).labels_), expected)
    collection = Collection.open(vectors)
    expected = collection.clusters()
    assert len(in_child(lambda: Collection.open(vectors).clusters())) == len(expected)


def test_locks_are_released_in_a_child():
    for lock in (forks.new_lock(), forks.new_reentrant_lock()):
        with lock:
            assert in_child(lambda lock=lock: lock.acquire(timeout=1)) is True


def test_tensorflow_in_a_child_is_refused(monkeypatch):
    from similar_images.networks import keras

    monkeypatch.setattr(keras, "_importing_process", 1)
    with pytest.raises(ValueError, match=r"cannot compute in a forked process: start processes with .* spawn"):
        keras._check_process()
