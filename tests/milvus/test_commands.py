"""Commands that build, search, evaluate and change an index in Milvus."""

import json

import numpy as np
import pytest
from arrays import clustered
from collection_files import Letters, save_texts
from milvus_collections import opened, rows_of, saved

from similar_images import TextCollection
from similar_images.collection import searcher
from similar_images.networks import text as text_networks

N = 600


@pytest.fixture
def place(milvus, tmp_path):
    """Value of --milvus: a server, or none for the default file, since each command runs in its own process."""
    return [milvus.server.uri()] if milvus.server else []


def test_build_search_evaluate_and_change(run, place, tmp_path):
    saved(tmp_path, clustered(N, 24))
    built = run("build", "-i", "v.npy", "--milvus", *place, "--milvus-index", "IVF_PQ", "-v")
    assert built.returncode == 0, built.stderr
    assert built.stdout.strip() == "v.milvus.json" and "recipe Milvus IVF_" in built.stderr
    assert ("Milvus Lite has no IVF_PQ: using IVF_SQ8" in built.stderr) == (not place)
    found = run("search", "-i", "v.npy", "--json", "3/image 3.jpg", "--where", "folder=4")
    (answer,) = json.loads(found.stdout)
    assert len(answer["hits"]) == 8 and {hit["row"] % 10 for hit in answer["hits"]} == {4}, found.stderr
    measured = run("evaluate", "v.npy", "--index", "v.milvus.json", "--queries", "60", "--json")
    approximate, exact = json.loads(measured.stdout)
    assert approximate["recipe"].startswith("Milvus IVF_") and exact["recipe"] == "exact"
    assert approximate["recall"]["10"]["mean"] >= 0.9

    (tmp_path / "names.txt").write_text("3/image 13.jpg\n")
    saved(tmp_path, np.vstack([np.load(tmp_path / "v.npy"), clustered(40, 24, seed=5)]))
    assert "40 of 640 images are not in the index" in run("search", "-i", "v.npy", "3/image 3.jpg").stderr
    changed = run("build", "-i", "v.npy", "--add", "--remove", "names.txt")
    assert changed.returncode == 0, changed.stderr
    assert changed.stderr.splitlines()[-1].startswith("639 of 640 vectors") or "639 of 640 vectors" in changed.stderr
    again = run("build", "-i", "v.npy", "-o", "v.milvus.json", "--overwrite")
    assert again.returncode == 0 and "1 removed images stay removed" in again.stderr, again.stderr
    exists = run("build", "-i", "v.npy", "--milvus", *place)
    assert exists.returncode == 1 and "--overwrite" in exists.stderr


def test_faiss_and_milvus_options_exclude_each_other(run, tmp_path):
    saved(tmp_path, clustered(20, 8))
    for options, message in (
        (["--milvus", "--recipe", "flat"], "choose Milvus' own with --milvus-index"),
        (["--milvus-index", "HNSW"], "expected -o FILE.milvus.json"),
        (["-o", "v.milvus.json"], "give its URI with --milvus"),
    ):
        done = run("build", "-i", "v.npy", *options)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1


def test_text_search_without_vectors(milvus, tmp_path, monkeypatch):
    words = ("red", "green", "blue", "dark", "light", "old", "new", "tall")
    texts = [f"{one} {other} {third}" for one in words for other in words for third in words][:400]
    monkeypatch.setattr(text_networks, "load_text_network", lambda name: Letters())
    listed = save_texts(tmp_path / "t.txt", texts)
    manifest = milvus.build(tmp_path / "t.txt.saved_predictions.npy", "t", "IVF_FLAT")
    stored = TextCollection.open(listed, index=manifest)
    expected = [hit.similarity for hit in stored.nearest("old blue", 5, exact=True)]
    assert [hit.similarity for hit in stored.nearest("old blue", 5)] == pytest.approx(expected, abs=1e-4)
    (tmp_path / "t.txt.saved_predictions.npy").unlink()
    alone = TextCollection.open(listed, index=manifest)
    found = alone.nearest("old blue", 5, where={"name": "old"})
    assert all("old" in hit.name for hit in found) and len(found) == 5


def test_filter_matching_many_rows_keeps_recall(milvus, tmp_path, monkeypatch):
    monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 0)
    vectors = saved(tmp_path, clustered(3000, 24))
    collection = opened(vectors, milvus.build(vectors, "many", "IVF_SQ8", similarity="whitened"))
    where, queries = {"folder": ["1", "2", "3", "4", "5"]}, list(range(0, 900, 10))
    found = collection.nearest_many(queries, 10, where=where)
    true = collection.nearest_many(queries, 10, exact=True, where=where)
    shares = [len({*rows_of(one)} & {*rows_of(other)}) / 10 for one, other in zip(found, true, strict=True)]
    assert np.mean(shares) >= 0.95
    assert collection.is_like_nothing(found[0], where) in (True, False)
