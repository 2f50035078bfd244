"""Labels and their measures, compared with numbers computed by hand and with scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from similar_images.evaluation import labels
from similar_images.evaluation.labels import as_labels, choose_labels, read_labels, relevance

NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "c/1.jpg"]


def held(rows: list[list[int]], queries: list[int], indicator: list[list[str]], absent: tuple[int, ...] = ()):
    return relevance(as_labels(indicator, "here"), np.array(queries), np.array(rows), absent)


def test_two_folders_with_two_images_are_labels():
    found = choose_labels(None, NAMES)
    assert (found.source, found.classes.tolist()) == ("folders", ["a", "b", "c"])
    assert found.indicator.toarray().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert choose_labels(None, NAMES[1:]) is None
    assert choose_labels("none", NAMES) is None
    with pytest.raises(
        ValueError, match=r"at least two folders with two images each, got fewer: use --labels FILE.csv"
    ):
        choose_labels("folders", ["1.jpg", "2.jpg"])


def test_loose_images_have_no_label():
    found = choose_labels(None, [*NAMES, "1.jpg", "2.jpg"])
    assert found.classes.tolist() == ["a", "b", "c"]
    assert labels.unlabelled(found) == 2
    assert found.indicator.toarray()[-2:].sum() == 0
    assert choose_labels(None, ["1.jpg", "2.jpg", "a/1.jpg", "a/2.jpg"]) is None, "one folder is no choice of class"


def test_missing_labels_file_error_names_the_format(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no labels file .*nowhere.csv: expected a CSV with the columns image"):
        choose_labels(str(tmp_path / "nowhere.csv"), NAMES)


def test_csv_gives_several_labels_in_one_line_or_many(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("\ufefflabels,image\nboat; sea,a/1.jpg\nsea,a/2.jpg\nsun,a/2.jpg\nx,not here.jpg\n", "utf-8")
    assert read_labels(file, NAMES) == [{"boat", "sea"}, {"sea", "sun"}, set(), set(), set()]
    found = choose_labels(str(file), NAMES)
    assert (found.source, found.classes.tolist()) == (str(file), ["boat", "sea", "sun"])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_labels_of_a_table_with_other_separators(tmp_path, separator):
    file = tmp_path / "labels.csv"
    file.write_text(separator.join(("image", "labels")) + "\n" + separator.join(("a/1.jpg", '"boat;sea"')) + "\n")
    assert read_labels(file, NAMES)[0] == {"boat", "sea"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected columns image and labels, got nothing"),
        (b"name,kind\na/1.jpg,boat\n", "expected columns image and labels, got name, kind"),
        (b"image,labels\nz.jpg,boat\n", "expected labels for names such as a/1.jpg, got none for this collection"),
        (b"image,labels\na/1.jpg,\xff\xfe\n", "is not a CSV file in UTF-8"),
    ],
)
def test_csv_without_labels_is_refused(tmp_path, content, message):
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_labels(file, NAMES)


def test_measures_by_hand():
    indicator = [["x"], ["x"], ["x"], ["y"], ["y"], ["z"]]
    found = held([[1, 3, 2], [3, 0, 4], [4, 0, 1], [0, 1, 2]], [0, 1, 3, 5], indicator)
    assert found.counts.tolist() == [True, True, True, False]  # z is alone
    assert found.relevant.tolist() == [2, 2, 1, 0]
    measured = labels.measures(found)
    assert measured["precision"].tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert measured["mAP"].tolist() == pytest.approx([(1 + 2 / 3) / 2, (1 / 2) / 2, 1])
    best = 1 + 1 / np.log2(3)
    assert measured["nDCG"].tolist() == pytest.approx([(1 + 1 / 2) / best, (1 / np.log2(3)) / best, 1])
    assert measured["kNN accuracy"].tolist() == [True, False, False]


def test_equal_votes_go_to_the_nearest():
    found = held([[1, 2, 3, 4], [2, 1, 4, 3]], [0, 0], [["x"], ["x"], ["y"], ["y"], ["x"]])
    assert labels.measures(found)["kNN accuracy"].tolist() == [True, False]


def test_gain_is_jaccard_and_ndcg_matches_scikit_learn():
    gains = held([[1, 2, 3]], [0], [["x", "y"], ["y", "z"], ["x", "y"], []]).gains
    assert gains.tolist() == [pytest.approx([1 / 3, 1, 0])]
    random = np.random.default_rng(0)
    indicator = [random.choice(list("abcdef"), random.integers(0, 4), replace=False).tolist() for _ in range(60)]
    rows = np.array([random.permutation(np.delete(np.arange(60), query)) for query in range(60)])
    found = held(rows[:, :10].tolist(), list(range(60)), indicator)
    overlap = np.array([[len({*a} & {*b}) / max(1, len({*a} | {*b})) for b in indicator] for a in indicator])
    ranking = np.zeros((60, 59))
    np.put_along_axis(ranking, np.arange(59)[None].repeat(60, 0), np.arange(59, 0, -1)[None].repeat(60, 0), axis=1)
    expected = [
        ndcg_score(overlap[query, rows[query]][None], ranking[query][None], k=10)
        for query in range(60)
        if overlap[query, rows[query]].any()
    ]
    assert labels.measures(found)["nDCG"] == pytest.approx(expected)


def test_blocks_equal_one_pass(monkeypatch):
    random = np.random.default_rng(0)
    indicator = [[str(label)] for label in random.integers(0, 5, 40)]
    rows = random.integers(0, 40, (40, 4)).tolist()
    whole = held(rows, list(range(40)), indicator)
    monkeypatch.setattr(labels, "BLOCK_BYTES", 8 * 40 * 7)
    assert np.array_equal(held(rows, list(range(40)), indicator).ideal, whole.ideal)


def test_absent_images_match_no_query():
    found = held([[1, -1]], [0], [["x"], ["x"], ["x"]], absent=(2,))
    assert found.relevant.tolist() == [1]
    assert found.gains.tolist() == [[1, 0]]
    assert labels.measures(found)["mAP"].tolist() == [1]


def test_classes_are_sorted_worst_first_with_their_confusion():
    found = held([[1, 2], [2, 3], [3, 0]], [0, 1, 2], [["x"], ["x"], ["y"], ["y"]])
    assert labels.class_precisions(found) == [("x", 2, 0.25), ("y", 1, 0.5)]
    assert all(one[2] <= other[2] for one, other in pairwise(labels.class_precisions(found)))
    assert [labels.mistaken_for(found, label) for label in ("x", "y")] == ["y", "x"]
    assert labels.queries_with(found, "x").tolist() == [True, True, False]
    assert labels.measures(held([[1]], [0], [["x"], ["y"]])) == {}
