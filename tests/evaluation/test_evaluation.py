"""Measurements of an evaluation, and the command as people run it."""

import csv
import io
import json
import re

import numpy as np
import pytest
from collection_files import save_vectors
from commands import one_line

from similar_images.evaluation import report
from similar_images.evaluation.evaluation import evaluate, open_configs
from similar_images.evaluation.labels import choose_labels
from similar_images.index.backend import find_ivf
from similar_images.index.builder import BuildRequest, build, remove
from similar_images.index.exact import normalise
from similar_images.vectors.store import open_vectors


@pytest.fixture
def collection(tmp_path):
    """3,000 vectors of ten kinds, a folder a kind, with two indexes of different quality."""
    random = np.random.default_rng(0)
    kinds = np.repeat(np.arange(10), 300)
    array = random.normal(size=(10, 32))[kinds] + 0.9 * random.normal(size=(3000, 32))
    array[7] = 0
    names = [f"kind {kind}/{row}.jpg" for row, kind in enumerate(kinds)]
    vectors = open_vectors(save_vectors(tmp_path / "v.npy", array.astype(np.float32), names))
    for name, recipe in (("good", "IVF16,Flat"), ("bad", "IVF16,PQ2x4fs")):
        build(vectors, tmp_path / f"{name}.index", BuildRequest(recipe))
    return tmp_path


def opened(folder, *indexes):
    return open_configs(folder / "v.npy", [folder / f"{name}.index" for name in indexes], names=folder / "v.txt")


def test_configurations_are_compared_with_exact_search(collection):
    configs = opened(collection, "good", "bad")
    good, bad, exact = evaluate(configs, k=10, queries=400, labels=choose_labels(None, configs[0].collection.names))
    array = np.load(collection / "v.npy")
    cosines = normalise(array)[exact.queries] @ normalise(array).T
    cosines[np.arange(len(exact.queries)), exact.queries] = -2
    true = np.argsort(-cosines, axis=1)[:, :10]
    assert 7 not in exact.queries
    assert np.array_equal(exact.rows, true)
    expected = np.mean([np.isin(one, other).mean() for one, other in zip(true, good.rows, strict=True)])
    assert good.recalls[10].mean() == pytest.approx(expected)
    assert bad.recalls[10].mean() <= good.recalls[10].mean() <= exact.recalls[10].mean() == 1
    assert [point.nprobe for point in good.curve] == [1, 2, 4, 8, 16]
    assert good.curve[-1].recall == 1 and good.curve[0].recall < 0.9
    assert exact.curve == [] and exact.bytes == array.nbytes
    assert good.bytes == (collection / "good.index").stat().st_size
    assert len(good.milliseconds) == len(good.queries)
    kinds = np.arange(3000) // 300
    shares = (kinds[exact.rows] == kinds[exact.queries, None]).mean(axis=1)
    assert (exact.relevance.gains > 0).mean(axis=1) == pytest.approx(shares)
    assert exact.relevance.relevant.max() == 299 and exact.relevance.relevant.min() == 298  # one was skipped


def test_evaluation_restores_index_even_if_interrupted(collection):
    config = opened(collection, "good")[0]
    inverted = find_ivf(config.collection.index.backend)
    before, hits = inverted.nprobe, config.collection.nearest(3, 10)
    evaluate([config], queries=50)
    assert inverted.nprobe == before

    def interrupt(event):
        if event.step.endswith("nprobe") and event.done == 2:
            assert inverted.nprobe != before
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate([config], queries=50, progress=interrupt)
    assert inverted.nprobe == before and config.collection.nearest(3, 10) == hits


def test_exact_search_has_recall_without_interval(collection):
    good, exact = evaluate(opened(collection, "good"), queries=50)
    lines = dict(report.lines([good, exact]))
    assert lines["recall@10"][1] == "1.000" and re.fullmatch(r"0\.8\d\d \[0\.\d+, \S+\]", lines["recall@10"][0])
    assert report.summary(exact)["recall"]["10"] == {"mean": 1, "low": 1, "high": 1}
    assert report.summary(good)["recall"]["10"]["low"] < good.recalls[10].mean()


def test_removed_images_are_neither_queries_nor_hits(collection):
    vectors = open_vectors(collection / "v.npy")
    remove(vectors, collection / "good.index", list(range(1000, 3000)))
    good, exact = evaluate(opened(collection, "good"), queries=3000)
    for one in (good, exact):
        assert max(one.queries.max(), one.rows.max()) < 1000
    shares = [np.isin(one, other).mean() for one, other in zip(exact.rows, good.rows, strict=True)]
    assert good.recalls[10].tolist() == shares


def test_fewer_than_two_images_are_an_error(tmp_path):
    save_vectors(tmp_path / "v.npy", np.eye(4, dtype=np.float32)[[0, 1, 1]])
    only = evaluate(opened(tmp_path))[0]
    assert only.rows.shape == (3, 2)
    save_vectors(tmp_path / "v.npy", np.eye(4, dtype=np.float32)[:1])
    with pytest.raises(ValueError, match="expected at least 2 images with a vector, got 1"):
        evaluate(opened(tmp_path))


@pytest.fixture
def extracted(indexed):
    """The photographs with vectors, an index, and one image that can no longer be read."""
    (indexed.parent / "photos" / "red" / "0.jpg").write_bytes(b"broken")
    return indexed.parent


def test_command_prints_table_and_writes_report(run, extracted):
    done = run("evaluate", "photos_file_list.txt", "-k", 3, "--alterations", 12, "--report", "r.html")
    assert done.returncode == 0, done.stderr
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in done.stdout.splitlines()[1:])
    assert lines["precision@3"] == "1.000 [0.735, 1.000]  1.000 [0.735, 1.000]"  # 12 queries
    assert lines["copies, blur: first / in 3"].startswith("1.00 / 1.00")
    assert "skipped" in done.stderr and "red/0.jpg" in done.stderr
    page = (extracted / "r.html").read_text()
    assert page.count("<svg") == 4 and page.count('src="data:image/jpeg;base64,') > 20
    assert not re.search(r"(src|href)=\"(?!data:|#)", page) and "http" not in page
    assert "use --overwrite" in one_line(run("evaluate", "photos_file_list.txt", "--report", "r.html"))


def test_altered_copies_are_queries_without_labels(run, extracted):
    (extracted / "labels.csv").write_text("image,labels\nred/1.jpg,warm\nred/2.jpg,warm;red\n")
    done = run("evaluate", "photos_file_list.txt", "--labels", "none", "--json")
    content = json.loads(done.stdout)
    assert [one["recipe"] for one in content] == ["flat", "exact"]
    assert content[0]["alterations"]["blur"]["recall_1"]["mean"] == 1
    assert content[0]["labels"] is None and content[0]["recall"]["10"]["mean"] == 1
    labelled = json.loads(run("evaluate", "photos_file_list.txt", "--labels", "labels.csv", "--json").stdout)
    assert labelled[0]["labels"]["queries"] == 2 and labelled[0]["alterations"] is None
    table = run("evaluate", "photos_file_list.txt", "--csv").stdout
    first, second = csv.DictReader(io.StringIO(table))
    assert (first["recipe"], second["recipe"]) == ("flat", "exact")
    assert first["labels.precision.mean"] == second["labels.precision.mean"]


def test_collections_are_columns_of_one_table(run, extracted):
    assert run("extract", "-d", "photos", "-o", "b.npy", "--network", "hog-colour").returncode == 0
    done = run("evaluate", "photos_file_list.txt", "b.npy", "--report", "r.html")
    assert done.stdout.splitlines()[0].split("  ")[-1].strip() == "b: exact"
    assert "photos: flat" in done.stdout


def test_bad_input_gives_one_line(run, extracted):
    several = ["photos_file_list.txt", "--index", "photos_file_list.faiss.index"]
    for arguments, message in (
        (["--labels", "nowhere.csv"], "nowhere.csv"),
        (["--json", "--csv"], "expected --json or --csv, got both"),
        (["--report", "no/folder.html"], "there is no folder"),
        (several, "expected one COLLECTION with --index"),
    ):
        assert message in one_line(run("evaluate", "photos_file_list.txt", *arguments))


def test_each_similarity_has_its_own_exact_search(collection):
    build(
        open_vectors(collection / "v.npy"), collection / "white.index", BuildRequest("reduced", similarity="whitened")
    )
    names = collection / "v.txt"
    configs = open_configs(collection / "v.npy", [collection / "white.index"], ["cosine", "centred"], names=names)
    labels = choose_labels(None, configs[0].collection.names)
    found = evaluate(configs, k=10, queries=300, labels=labels)
    assert [one.config.collection.similarity.name for one in found] == ["whitened", "whitened", "cosine", "centred"]
    array = np.load(collection / "v.npy")
    for one in found:
        moved = one.config.collection.similarity.transform(normalise(array))
        products = moved[one.queries] @ moved.T
        products[np.arange(len(one.queries)), one.queries] = -2
        true = np.argsort(-products, axis=1)[:, :10]
        overlap = np.mean([np.isin(a, b).mean() for a, b in zip(true, one.rows, strict=True)])
        assert overlap > (0.97 if one.config.exact else 0.9)  # float16
        assert one.recalls[10].mean() == pytest.approx(overlap, abs=0.02)
    assert found[1].bytes < found[2].bytes


def test_similarity_is_chosen_on_one_half_and_reported_on_the_other(run, tmp_path):
    random = np.random.default_rng(0)
    kinds = np.repeat(np.arange(12), 40)
    array = random.normal(size=(12, 96))[kinds] + 1.5 * random.normal(size=(480, 96)) + 3  # a common mean, much noise
    array = array.astype(np.float32)
    save_vectors(tmp_path / "v.npy", array, [f"kind {kind}/{row}.jpg" for row, kind in enumerate(kinds)])
    done = run("build", "-i", "v.npy", "--labels", "folders")
    said = re.search(r"similarity (\w+), chosen by folders: mAP@100 of 240 held-out images: (.*)", done.stderr)
    measured = {name: float(value) for name, value in (pair.split() for pair in said[2].split(", "))}
    assert said[1] == max(measured, key=measured.get) != "cosine" and measured[said[1]] > measured["cosine"] + 0.02
    assert f"recipe flat, similarity {said[1]}" in done.stderr
    shuffled = [f"kind {kind}/{row}.jpg" for row, kind in enumerate(random.permutation(kinds))]
    save_vectors(tmp_path / "v.npy", array, shuffled)  # labels that say nothing
    done = run("build", "-i", "v.npy", "--labels", "folders", "--overwrite")
    assert "similarity cosine, chosen by folders" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "folders", "--similarity", "cosine"], "--labels choose the similarity of a new index"),
        (["--labels", "folders", "--recipe", "classic"], "--labels choose the similarity of a new index"),
        (["--labels", "folders"], "expected at least 50 images with a shared label, got 30"),
        (["--labels", "none.csv"], "there is no labels file none.csv"),
    ],
)
def test_impossible_choice_by_labels_gives_one_line(run, tmp_path, arguments, message):
    array = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    save_vectors(tmp_path / "v.npy", array, [f"{row % 2}/{row}.jpg" for row in range(30)])
    assert message in one_line(run("build", "-i", "v.npy", *arguments))
