"""The blind test without a browser: questions, votes, and restarts."""

import io

import pytest
from galleries import tell
from PIL import Image
from sample_images import make_sample

from similar_images import BlindTest, Collection, Comparison
from similar_images.comparison.statistics import preference
from similar_images.comparison.votes import Vote, read
from similar_images.widgets.blind_test import verdict


@pytest.fixture
def comparison(tmp_path):
    make_sample(tmp_path)
    collection = Collection.open(tmp_path / "sample_file_list.txt")

    def compare(voter: str = "ann") -> Comparison:
        systems = {"near": collection, "far": lambda query, k: sorted(collection.names, reverse=True)[:k]}
        return Comparison(systems, tmp_path / "votes.csv", voter, k=4)

    return compare


def started(comparison, n: int = 5, queries: list[str] | None = None) -> BlindTest:
    test = BlindTest(comparison, n, queries=queries)
    test.wait()
    return test


def vote(test: BlindTest, choice: str) -> None:
    tell(test, do="vote", vote=choice, number=test.asked["number"])


def test_lists_have_no_names(comparison):
    test = started(comparison())
    assert (test.voted, test.n, test.status["kind"], test.result) == (0, 5, "done", {})
    assert len(test.asked["left"]) == len(test.asked["right"]) == 4
    assert Image.open(io.BytesIO(test.asked["query"]["picture"])).size == (80, 60)
    assert "near" not in str({**test.asked, "left": [], "right": [], "query": ""})


def test_votes_are_saved_at_once_and_restart_continues(comparison, tmp_path):
    test = started(comparison())
    for i, choice in enumerate(("left", "right", "tie")):
        vote(test, choice)
        assert [one.vote for one in read(tmp_path / "votes.csv")][i:] == [choice]
    again = started(comparison())  # as after a kill: nothing but the file is left
    assert again.voted == 3
    vote(again, "neither")
    vote(again, "left")
    votes = read(tmp_path / "votes.csv")
    assert len({one.query for one in votes}) == 5 and again.voted == 5
    assert again.asked == {}
    assert dict(again.result["rows"])["ties"] == "1" and "<svg" in again.result["plot"]
    assert started(comparison("bob")).voted == 0


def test_repeated_click_votes_once(comparison, tmp_path):
    test = started(comparison())
    message = {"do": "vote", "vote": "left", "number": test.asked["number"]}
    for _ in range(3):
        test._handle_custom_msg(message, [])
    test.wait()
    assert len(read(tmp_path / "votes.csv")) == 1 and test.voted == 1


def test_click_before_the_next_question_votes_once(comparison, tmp_path, monkeypatch):
    test = started(comparison())
    message = {"do": "vote", "vote": "left", "number": test.asked["number"]}
    picture = test._picture

    def clicked_meanwhile(name: str) -> dict:
        monkeypatch.setattr(test, "_picture", picture)
        test._handle_custom_msg(message, [])
        return picture(name)

    monkeypatch.setattr(test, "_picture", clicked_meanwhile)
    test._handle_custom_msg(message, [])
    test.wait()
    test.wait()  # for the second click, which came after the first call
    assert len(read(tmp_path / "votes.csv")) == 1 and test.voted == 1


def test_failed_vote_keeps_the_query(comparison, monkeypatch):
    test = started(comparison())
    asked = test.asked

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Comparison, "vote", full)
        vote(test, "left")
    assert test.status == {"kind": "failure", "text": "no space left on device"} and test.asked == asked
    vote(test, "left")
    assert test.status["kind"] == "done" and test.voted == 1


def test_verdict_uses_the_sequential_bound():
    lists = {"list_a": ("1",), "list_b": ("2",)}
    won = [Vote("t", "ann", "q", "a", "b", "a", **lists, vote="left")] * 8
    # The test for one look would already decide: p = 2 / 2**7 < 0.05.
    assert (
        verdict(preference(won[:7], "a", "b"), "a", "b")
        == "Not decided yet: about 1 more vote would decide it at this rate."
    )
    assert verdict(preference(won, "a", "b"), "a", "b") == "a is preferred."


def test_result_can_be_shown_before_the_end(comparison):
    test = started(comparison())
    vote(test, "left")
    tell(test, do="result")
    assert "more votes" in test.result["sentence"] or "no end" in test.result["sentence"]


def test_each_list_is_searched_once_and_votes_are_counted(tmp_path):
    searched, names = [], [f"{number}.jpg" for number in range(60)]

    def far(query: str, k: int) -> list[str]:
        searched.append(query)
        return names[::-1] if int(query.split(".")[0]) % 2 else names  # every other query has two identical lists

    test = started(Comparison({"near": lambda query, k: names, "far": far}, tmp_path / "v.csv", "ann"), 60, names)
    for given in range(7):
        assert (test.voted, test.n, len(test.asked["left"])) == (given, 30, 8)
        vote(test, "tie")
    tell(test, do="undo")
    assert (test.voted, test.n) == (6, 30) and searched == names
    test.show_result()
    test.wait()
    assert dict(test.result["rows"])["queries skipped, both lists identical"] == "30"


def test_n_is_limited_by_the_images(comparison):
    test = started(comparison(), 60)
    assert (test.voted, test.n) == (0, 12)
    vote(test, "left")
    again = started(comparison(), 60)
    assert (again.voted, again.n) == (1, 12)


def test_failed_search_is_shown_after_earlier_questions(tmp_path):
    def fails(query: str, k: int) -> list[str]:
        if query == "b.jpg":
            raise ValueError("no such image: b.jpg")
        return []

    names = ["a.jpg", "b.jpg", "c.jpg"]
    test = started(Comparison({"near": lambda query, k: names, "far": fails}, tmp_path / "v.csv", "ann"), 3, names)
    assert test.status["kind"] == "done" and len(test.asked["left"] + test.asked["right"]) == 3
    for _ in range(2):
        vote(test, "left")
        assert test.status == {"kind": "failure", "text": "no such image: b.jpg"} and test.voted == 1
    assert len(read(tmp_path / "v.csv")) == 1


def test_equal_systems_have_no_questions(tmp_path):
    make_sample(tmp_path)
    collection = Collection.open(tmp_path / "sample_file_list.txt")
    test = started(Comparison({"one": collection, "other": collection}, tmp_path / "votes.csv", "ann"))
    assert test.asked == {} and dict(test.result["rows"])["queries skipped, both lists identical"] == "12"


def test_earlier_votes_on_other_queries_do_not_count(comparison):
    first = comparison()
    for trial in first.trials(n=3, seed=1):
        first.vote(trial, "tie")
    asked = [trial.query for trial in first.trials(n=12, seed=0, again=True)]
    voted = {vote.query for vote in first.votes()}
    test = started(first, n=2)
    assert test.voted == len(voted & set(asked[:2]))


def test_undone_vote_repeats_its_query(comparison):
    test = started(comparison())
    assert not test.can_undo
    first = test.asked["query"]
    vote(test, "left")
    assert test.can_undo and test.voted == 1
    tell(test, do="undo")
    assert (test.voted, test.can_undo, test.asked["query"]) == (0, False, first)
    assert comparison().votes() == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({}, "expected a request of BlindTest's page, got {}"),
        ({"do": "vote", "vote": "left"}, "expected number to be an integer, got none"),
        ({"do": "vote", "number": 1}, "expected vote to be text, got none"),
        ({"do": "random"}, "expected a request of BlindTest's page, got {'do': 'random'}"),
    ],
)
def test_malformed_request_is_shown_as_failure(comparison, message, reason):
    test = started(comparison())
    test._handle_custom_msg(message, [])
    test.wait()
    assert test.status["text"] == reason
