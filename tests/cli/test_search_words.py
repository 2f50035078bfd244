"""Words and mixed queries in the shell."""

import json

import pytest
from commands import one_line
from sample_images import make_sample
from small_clip import make_words_sample

from similar_images.cli.search import parse_queries

for package in ("transformers", "onnxscript"):
    pytest.importorskip(package, reason="networks of the hub are not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_words_sample(tmp_path_factory.mktemp("words"))


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        (["a.jpg", "b c"], [("a.jpg", [(1, "a.jpg")], []), ("b c", [(1, "b c")], [])]),
        (["a.jpg", "+", "b c"], [("a.jpg + b c", [(1, "a.jpg"), (1, "b c")], [])]),
        (["a", "+", "0.5", "b", "-", "2", "c"], [("a + 0.5 b - 2 c", [(1, "a"), (0.5, "b")], [(2, "c")])]),
        (["2", "a", "-", ".5", "c"], [("2 a - .5 c", [(2, "a")], [(0.5, "c")])]),
        (["7", "7", "-", "a"], [("7 7 - a", [(7, "7")], [(1, "a")])]),
        (["+", "a", "-", "0", "-", "b"], [("+ a - 0 - b", [(1, "a")], [(1, "0"), (1, "b")])]),
        (["5"], [("5", [(1, "5")], [])]),
    ],
)
def test_signs_make_one_query_of_several(queries, expected):
    assert parse_queries(queries) == expected


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        (["a", "+"], r"expected a query after \+"),
        (["a", "+", "-", "b"], r"expected a query after \+, got -"),
        (["a", "b", "+", "c"], r"expected \+ or - before b"),
        (["a", "-", "2"], "expected a query after 2"),
        (["-", "a"], "expected a query to be like"),
    ],
)
def test_a_sign_without_its_query_is_refused(queries, reason):
    with pytest.raises(ValueError, match=reason):
        parse_queries(queries)


def test_query_without_file_or_name_is_words(folder, run):
    done = run("search", "--json", "-k", "3", "sea", "wine/wine-0.jpg", cwd=folder)
    assert done.returncode == 0, done.stderr
    words, row = json.loads(done.stdout)
    assert [hit["name"].split("/")[0] for hit in words["hits"]] == ["sea"] * 3
    assert {hit["percentile"] for hit in words["hits"]} == {None}
    assert [hit["name"].split("/")[0] for hit in row["hits"][:2]] == ["wine"] * 2


def test_a_file_is_a_file_even_if_it_is_called_like_words(folder, run):
    (folder / "sea").write_bytes((folder / "sample/wine/wine-0.jpg").read_bytes())
    try:
        done = run("search", "-k", "2", "sea", cwd=folder)
    finally:
        (folder / "sea").unlink()
    assert done.returncode == 0 and done.stdout.count("wine/") == 2


def test_images_and_words_are_added_and_subtracted(folder, run):
    done = run("search", "-k", "3", "grass/grass-0.jpg", "+", "3", "sea", "-", "grass", cwd=folder)
    assert done.returncode == 0 and done.stdout.count("sea/") == 3, done.stderr
    wrong = run("search", "grass/grass-0.jpg", "+", cwd=folder)
    assert (wrong.returncode, wrong.stderr) == (1, "Error: expected a query after +\n")


def test_a_missing_file_of_a_network_without_words_names_those_that_read_them(tmp_path, run):
    make_sample(tmp_path)
    refused = one_line(run("search", "a dog"))
    assert refused.startswith("Error: a dog: no such file; hog-colour does not read words: make the collection with")
