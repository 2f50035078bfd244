"""Texts to hits, as people do it: the scripts on real files with the real MiniLM."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from commands import one_line, program
from conditions import rows_done, wait_until
from conftest import ROOT

pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")

from similar_images.collection.texts import TextCollection
from similar_images.evaluation.evaluation import open_configs
from similar_images.inputs.texts import text_list_path
from similar_images.networks.text import load_text_network
from similar_images.vectors.extract import extract
from similar_images.vectors.items import Items
from similar_images.vectors.store import open_vectors, vectors_path
from similar_images.vectors.texts import BLOCK, TextExecutor

SAID = [
    "The train was late again, I waited an hour at the station",
    "My cat sleeps on the keyboard",
    "",
    "Traffic jam on the motorway, nothing moves",
    "החתול שלי ישן 😺",
    "We had pancakes for breakfast",
    "A kitten dozes on my laptop",
]
VECTORS, INDEX = "said_list.txt.saved_predictions.npy", "said_list.faiss.index"


@pytest.fixture
def said(tmp_path):
    return write_table(tmp_path)


@pytest.fixture
def extracted(tmp_path):
    """The table with its list and vectors in `tmp_path`."""
    shutil.copytree(made(), tmp_path, dirs_exist_ok=True)
    return tmp_path / "said.jsonl"


@cache
def made() -> Path:
    """Extract once; copies are much faster."""
    table = write_table(Path(tempfile.mkdtemp()))
    names = text_list_path(table)
    extract(Items(names, SAID), vectors_path(names), TextExecutor())
    return table.parent


def write_table(folder: Path) -> Path:
    file = folder / "said.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in SAID))
    return file


def listing(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_whole_way(said, run, tmp_path):
    done = run("extract-texts", "said.jsonl")
    assert (done.returncode, done.stdout) == (0, f"{VECTORS}\n"), done.stderr
    assert done.stderr.endswith("skipped text 3, '': empty text\n6 of 7 texts, 1 skipped\n")
    assert (tmp_path / "said_list.txt").read_text().splitlines() == SAID
    opened = open_vectors(tmp_path / VECTORS)
    assert (opened.network.name, opened.images, opened.array.shape) == ("all-MiniLM-L6-v2", None, (7, 384))
    assert [(one.row, one.reason) for one in opened.skipped] == [(2, "empty text")]
    assert not opened.array[2].any()
    expected = load_text_network().encode([text for text in SAID if text])
    np.testing.assert_allclose(np.delete(opened.array, 2, axis=0), expected, atol=1e-4)
    assert run("build", "-i", VECTORS).returncode == 0
    found = run("search-texts", "a cat asleep on a computer", "-k", "2")
    assert (found.returncode, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert all(re.fullmatch(r"0\.\d{4}  .+", line) for line in lines)
    assert {line[8:] for line in lines} == {SAID[1], SAID[6]}
    answers = json.loads(run("search-texts", "--json", "-k", "1", "stuck on the road", "food in the morning").stdout)
    assert [answer["hits"][0]["name"] for answer in answers] == [SAID[3], SAID[5]]
    assert answers[0]["hits"][0].keys() == {"row", "name", "similarity", "percentile"}


def test_texts_are_evaluated_by_the_same_command(extracted, run, tmp_path, data):
    assert run("build", "-i", VECTORS).returncode == 0
    done = run("evaluate", "said_list.txt", "-k", "2", "--json", "--report", "report.html")
    assert done.returncode == 0, done.stderr
    flat, exact = json.loads(done.stdout)
    assert (flat["recipe"], exact["recipe"], flat["recall"]["10"]["mean"]) == ("flat", "exact", 1)
    assert flat["labels"] is None and flat["alterations"] is None
    report = (tmp_path / "report.html").read_text()
    assert "pancakes" in report and "The queries are texts of the collection" in report and "thumbnails" not in report
    done = run("evaluate", "--sts", data / "texts" / "stsb_dev.tsv")
    assert re.fullmatch(r"all-MiniLM-L6-v2: Spearman 0\.86\d\d, Pearson 0\.8\d\d\d on 1,500 pairs\n", done.stdout)


def test_texts_with_slashes_have_no_folders(run, tmp_path):
    lines = [f"http://{site}/ says {word}" for site in "ab" for word in ("one", "two")]
    (tmp_path / "links.txt").write_text("\n".join(lines))
    assert run("extract-texts", "links.txt").returncode == 0
    done = run("evaluate", "links.txt", "--json")
    assert (done.stderr, json.loads(done.stdout)[0]["labels"]) == ("", None)


def test_grown_list_encodes_only_new_texts(run, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("one\ntwo\n")
    assert run("extract-texts", "notes.txt").returncode == 0
    before = np.load(tmp_path / "notes.txt.saved_predictions.npy")
    file.write_text("one\ntwo\nthree\n")
    assert "3 of 3 texts" in run("extract-texts", "notes.txt").stderr
    after = np.load(tmp_path / "notes.txt.saved_predictions.npy")
    assert np.array_equal(after[:2], before) and after[2].any()
    assert "already complete, 3 rows" in run("extract-texts", "notes.txt").stderr
    assert file.read_text() == "one\ntwo\nthree\n"


def test_long_texts_are_reported_and_huge_ones_skipped(run, tmp_path):
    (tmp_path / "long.txt").write_text(f"short\n{'word ' * 300}\n{'x' * 10_000_000}\n")
    done = run("extract-texts", "long.txt")
    assert done.returncode == 0
    assert "10,000,000 characters: expected at most 100,000" in done.stderr
    assert "1 texts are longer than the network's input, 256 tokens: the rest is ignored" in done.stderr
    assert "2 of 3 texts, 1 skipped" in done.stderr
    assert len(done.stderr) < 1000
    assert (tmp_path / "long.txt.saved_predictions.json").stat().st_size < 5000


def test_resumed_run_gives_the_same_bytes(tmp_path, run):
    words = np.random.default_rng(0).choice(["cat", "dog", "train", "rain", "on", "a"], (3 * BLOCK, 8))
    (tmp_path / "many.csv").write_text(
        "text\n" + "".join(" ".join(row[: 1 + i % 8]) + "\n" for i, row in enumerate(words))
    )
    command = program("extract-texts", "many.csv")
    manifest = tmp_path / "many_list.txt.saved_predictions.json"
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is not None or rows_done(manifest))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < rows_done(manifest) < 3 * BLOCK
    assert run("extract-texts", "many.csv").returncode == 0
    went_on = {name: content for name, content in listing(tmp_path).items() if "saved" in name}
    assert run("extract-texts", "many.csv", "--overwrite").returncode == 0
    assert {name: content for name, content in listing(tmp_path).items() if "saved" in name} == went_on


def test_index_of_the_same_texts_is_searched_without_vectors(extracted, run, tmp_path):
    assert run("build", "-i", VECTORS).returncode == 0
    with_vectors = run("search-texts", "breakfast", "-k", "3")
    for name in (VECTORS, VECTORS.replace(".npy", ".json"), "said_list.txt"):
        (tmp_path / name).unlink()
    alone = run("search-texts", "-i", "said.jsonl", "--index", INDEX, "breakfast", "-k", "3")
    assert (alone.stdout, alone.stderr) == (with_vectors.stdout, "")
    done = run("search-texts", "-i", "said.jsonl", "--exact", "breakfast")
    assert done.stderr.startswith("Error: an exact search needs the vectors said_list.txt.saved_predictions.npy")
    collection = TextCollection.open(extracted)
    assert [hit.row for hit in collection.nearest(1, k=1)] == [6]
    extracted.write_text(extracted.read_text().replace("cat", "dog"))
    done = run("search-texts", "-i", "said.jsonl", "--index", INDEX, "breakfast")
    assert re.fullmatch(r"Error: said_list\.faiss\.index was built from other texts: .+\n", done.stderr)


def test_an_index_fits_vectors_of_the_same_texts_by_another_engine(extracted, run, tmp_path):
    assert run("build", "-i", VECTORS, "-o", "kept.faiss.index").returncode == 0
    before = (tmp_path / VECTORS).read_bytes()
    assert run("extract-texts", "said.jsonl", "--engine", "torch", "--overwrite").returncode == 0
    assert (tmp_path / VECTORS).read_bytes() != before  # in the last digits
    done = run("search-texts", "--index", "kept.faiss.index", "breakfast", "-k", "1")
    assert (done.returncode, done.stdout.split("  ")[1]) == (0, f"{SAID[5]}\n"), done.stderr
    (tmp_path / "said.jsonl").write_text(json.dumps({"text": "another"}) + "\n" + (tmp_path / "said.jsonl").read_text())
    assert run("extract-texts", "said.jsonl", "--overwrite").returncode == 0
    done = run("search-texts", "--index", "kept.faiss.index", "breakfast")
    assert "kept.faiss.index was built from other vectors" in done.stderr


def test_the_collection_in_python(extracted, photos, run, tmp_path):
    collection = TextCollection.open(extracted)
    assert collection.nearest("a kitten", k=1)[0].name == SAID[6]
    with pytest.raises(ValueError, match="expected a text to search for: empty text"):
        collection.encode(" ")
    with pytest.raises(ValueError, match="has no vector, it was skipped: empty text"):
        collection.vector(2)
    assert [way.exact for way in open_configs(tmp_path / "said_list.txt")] == [True]
    assert run("extract", "-d", "photos", "--network", "hog-colour").returncode == 0
    with pytest.raises(ValueError, match=r"got one of images, .*: search it with similar-images search"):
        TextCollection.open(tmp_path / "photos_file_list.txt.saved_predictions.npy")
    assert "My cat" in run("search-texts", "cat").stdout  # the images beside it are not asked
    assert "red/" in run("search", "photos/red/0.jpg").stdout  # nor the texts beside them


def test_a_network_of_ones_own_is_found_again(said, run, tmp_path):
    from similar_images.networks import text as text_networks

    shutil.copytree(text_networks._folder("all-MiniLM-L6-v2"), tmp_path / "mine")
    done = run("extract-texts", "said.jsonl", "--network", "mine", "--engine", "torch", "-v")
    assert done.returncode == 0 and "name: mine" in done.stderr
    assert run("search-texts", "cat", "-k", "1").returncode == 0
    done = run("extract-texts", "said.jsonl")
    assert "was made with mine, not all-MiniLM-L6-v2" in done.stderr


def test_bad_input_gives_one_line_and_changes_no_file(extracted, run, tmp_path):
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path.parent / "hub")}
    absent = run("extract-texts", "said.jsonl", "--dtype", "float16", "--network", "absent/x", env=offline)
    assert "is not a folder here" in one_line(absent)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "latin.csv").write_bytes(b"text\ncaf\xe9\n")
    (tmp_path / "two.csv").write_text("id,said\n1,x\n")
    (tmp_path / "other.csv").write_text("text\nother\n")
    (tmp_path / "other_list.txt").write_text("mine\n")
    before = listing(tmp_path)
    for arguments, said in (
        (("extract-texts",), "Missing argument 'FILE'"),
        (("extract-texts", "absent.csv"), "'absent.csv' does not exist"),
        (("extract-texts", "empty.csv"), "empty.csv is empty: expected texts"),
        (("extract-texts", "latin.csv"), "is not in utf-8: specify its encoding with --encoding"),
        (("extract-texts", "latin.csv", "--encoding", "klingon"), "expected an encoding such as utf-8"),
        (("extract-texts", "two.csv"), "no column text: choose one of id, said with --column"),
        (("extract-texts", "other.csv"), "other_list.txt is a list of other texts: move it"),
        (("search-texts",), "Missing argument 'QUERY...'"),
        (("search-texts", "x", "-k", "0"), "0 is not in the range"),
        (("search-texts", ""), "expected a text to search for: empty text"),
        (("search-texts", "x", "-i", "other.csv"), "make them with similar-images extract-texts"),
        (("search-texts", "x", "--index", "other.csv"), "other.csv cannot be used as an index"),
        (("evaluate",), "expected a COLLECTION (its list or its vectors) or --sts with a file"),
        (("evaluate", "--sts", "two.csv"), "two.csv is not a file of the STS benchmark: line 1"),
    ):
        assert said in one_line(run(*arguments)), arguments
        assert listing(tmp_path) == before, arguments


def test_the_index_of_the_tweets_answers_without_their_vectors(data):
    """The texts are not in the project: `get_sentiment140.sh` gets them."""
    index = ROOT / "tweets" / "tweets_20000.faiss.index"
    collection = TextCollection.open(data / "texts" / "tweets_20k.csv", index=index)
    assert len(collection) == 20_000 and collection.vectors.memmap is None
    assert index.stat().st_size < 2_000_000
    traffic = collection.encode("stuck in traffic")
    assert all("traffic" in hit.name.lower() for hit in collection.nearest(traffic, k=3))
