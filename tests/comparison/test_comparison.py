"""Blind trials of two systems, and their votes, also after a kill."""

import re

import numpy as np
import pytest
from collection_files import save_indexed, save_vectors

from similar_images import Collection, Comparison
from similar_images.comparison.votes import append, read
from similar_images.evaluation.evaluation import SearchConfig
from similar_images.inputs.images import UnreadableImage, open_image

NAMES = [f"{number}.jpg" for number in range(40)]


def step(size: int):
    """Return a ranking that goes round the names in steps of this size."""
    return lambda query, k: [NAMES[(NAMES.index(query) + size * rank) % 40] for rank in range(1, k + 1)]


@pytest.fixture
def compare(tmp_path):
    def compare(one="hog", other="net", voter="ann", k=4, file="votes.csv") -> Comparison:
        return Comparison({one: step(1), other: step(2)}, tmp_path / file, voter, k)

    return compare


@pytest.fixture
def collections(photos) -> tuple[Collection, Collection]:
    """The photographs by two networks; the second one has other rows, and no vector of 11.jpg."""
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    random, opened = np.random.default_rng(0), []
    for name, listed in (("one", names), ("two", names[::-1])):
        array = random.normal(size=(len(names), 8)).astype(np.float32)
        array[0] = 0 if name == "two" else array[0]
        opened.append(Collection.open(save_vectors(photos.parent / f"{name}.npy", array, listed), images=photos))
    return tuple(opened)


def test_trial_has_both_lists_and_no_system_names(compare):
    comparison = compare()
    trials = list(comparison.trials(queries=NAMES))
    assert [trial.query for trial in trials] == NAMES
    assert not re.search("hog|net", repr(trials))
    for trial in trials:
        assert {trial.left, trial.right} == {tuple(step(size)(trial.query, 4)) for size in (1, 2)}
    on_the_left = sum(trial.left == tuple(step(1)(trial.query, 4)) for trial in trials)
    assert 10 < on_the_left < 30


def test_seed_determines_trials(collections, tmp_path):
    def drawn(seed):
        systems = dict(zip("ab", collections, strict=True))
        return list(Comparison(systems, tmp_path / "votes.csv", "ann", 3).trials(n=8, seed=seed))

    assert drawn(0) == drawn(0) != drawn(1)
    assert len({trial.query for trial in drawn(0)}) == 8


def test_vote_counts_for_preferred_system(compare, tmp_path):
    comparison = compare()
    for trial in comparison.trials(queries=NAMES[:20]):
        prefers_hog = trial.left == tuple(step(1)(trial.query, 4))
        vote = comparison.vote(trial, "left" if prefers_hog else "right")
        assert vote.winner == "hog" and read(tmp_path / "votes.csv")[-1] == vote
        assert vote.list_a == tuple(step(1)(trial.query, 4)) and vote.list_b == tuple(step(2)(trial.query, 4))
    result = comparison.result()
    assert result[:5] == (20, 0, 0, 0, 1)
    assert result.overlap == 0.5 and result.more_votes == 0


def test_restart_repeats_no_query(compare):
    first = compare()
    trials = first.trials(queries=NAMES[:6])
    given = [first.vote(next(trials), "tie") for _ in range(4)]
    rest = [trial.query for trial in compare().trials(queries=NAMES[:6])]
    assert [vote.query for vote in given] + rest == NAMES[:6]
    assert len(list(compare(voter="bob").trials(queries=NAMES[:6]))) == 6
    assert len(list(compare().trials(queries=NAMES[:6], again=True))) == 6
    assert len(list(compare(other="third").trials(queries=NAMES[:6]))) == 6


def test_random_trials_resume(collections, tmp_path):
    def comparison():
        return Comparison(dict(zip("ab", collections, strict=True)), tmp_path / "votes.csv", "ann", 3)

    whole = list(comparison().trials(n=7))
    begun = comparison()
    for trial, _ in zip(begun.trials(n=7), range(3), strict=False):
        begun.vote(trial, "neither")
    assert list(comparison().trials(n=7)) == whole[3:]


def test_changed_vote_counts_once_and_other_systems_never(compare):
    comparison = compare()
    trial = next(comparison.trials(queries=NAMES))
    for choice in ("left", "tie"):
        comparison.vote(trial, choice)
    other = compare(other="third")
    other.vote(next(other.trials(queries=NAMES)), "neither")
    assert comparison.result()[:4] == (0, 0, 1, 0) and other.result()[:4] == (0, 0, 0, 1)
    turned = Comparison({"net": step(2), "hog": step(1)}, comparison.file, "ann", 4)
    assert turned.result().ties == 1 and list(turned.trials(queries=[trial.query])) == []


def test_undo_removes_only_the_voters_last_vote(compare):
    comparison, other = compare(), compare(voter="bob")
    trials = list(comparison.trials(queries=NAMES[:3]))
    with pytest.raises(ValueError, match=r"expected a vote of ann to undo, got none in .*votes.csv"):
        comparison.undo()
    given = [comparison.vote(trial, "left") for trial in trials[:2]]
    other.vote(next(other.trials(queries=NAMES)), "tie")
    third = compare(other="third")
    third.vote(next(third.trials(queries=NAMES)), "tie")
    assert comparison.undo() == given[1]
    assert [vote.voter for vote in read(comparison.file)] == ["ann", "bob", "ann"]
    assert [trial.query for trial in compare().trials(queries=NAMES[:3])] == NAMES[1:3]
    changed = comparison.vote(trials[0], "right")
    assert comparison.undo() == changed and comparison.result().wins + comparison.result().losses == 1
    assert comparison.undo() == given[0] and [vote.voter for vote in comparison.votes()] == ["bob"]


def test_identical_lists_are_skipped_and_counted(tmp_path):
    same_from_20 = lambda query, k: step(1 if NAMES.index(query) >= 20 else 2)(query, k)  # noqa: E731
    comparison = Comparison({"hog": step(1), "net": same_from_20}, tmp_path / "votes.csv", "ann")
    assert [trial.query for trial in comparison.trials(queries=NAMES)] == NAMES[:20]
    assert comparison.result().skipped_identical == 20


def test_random_queries_have_vectors_in_both_collections(collections, tmp_path, photos):
    one, two = collections
    comparison = Comparison({"a": one, "b": two}, tmp_path / "votes.csv", "ann", 3)
    trials = list(comparison.trials(n=100))
    assert {trial.query for trial in trials} == set(one.names) - {two.names[0]}
    for trial in trials:
        lists = {tuple(hit.name for hit in each.nearest(each.row(trial.query), 3)) for each in collections}
        assert {trial.left, trial.right} == lists
    assert open_image(comparison.image(trials[0].query)).size == (80, 60)
    with pytest.raises(UnreadableImage, match="images="):
        comparison.image("nowhere.jpg")
    with pytest.raises(ValueError, match=r"expected the name of an image in .*(one|two).npy, got nowhere.jpg"):
        list(comparison.trials(queries=["nowhere.jpg"]))


def test_an_index_is_compared_with_exact_search_and_a_callable(tmp_path):
    array = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    collection = Collection.open(save_indexed(tmp_path / "v.npy", array, recipe="IVF8,Flat"))
    comparison = Comparison({"index": collection, "exact": SearchConfig(collection, True)}, tmp_path / "v.csv", "ann")
    exact = {row: tuple(hit.name for hit in collection.nearest(row, 8, exact=True)) for row in range(500)}
    trials = list(comparison.trials(n=30))
    assert len(trials) == 30 and comparison.result().skipped_identical > 0
    assert all(exact[collection.row(trial.query)] in (trial.left, trial.right) for trial in trials)
    with_callable = Comparison({"index": collection, "none": lambda query, k: []}, tmp_path / "w.csv", "ann")
    assert {len(next(with_callable.trials())[side]) for side in (1, 2)} == {0, 8}


def test_plot_matches_votes(compare):
    comparison = compare(one="$hog$")
    assert "after 0 votes: none" in comparison.plot()
    for trial, choice in zip(comparison.trials(queries=NAMES), ["tie", "left", "right", "left"], strict=False):
        comparison.vote(trial, choice)
    drawing = comparison.plot()
    assert drawing.startswith('<svg role="img"') and "currentColor" in drawing
    low, high = comparison.result().interval
    expected = (
        f"win rate of $hog$ against net after 4 votes: {comparison.result().win_rate:.2f} [{low:.2f}, {high:.2f}]"
    )
    assert expected in drawing and drawing == comparison.plot()


def test_bad_input_error_names_expected_value(compare, collections, tmp_path):
    with pytest.raises(ValueError, match="expected two systems, got 1: a"):
        Comparison({"a": step(1)}, tmp_path / "v.csv", "ann")
    with pytest.raises(ValueError, match="expected k of at least 1, got 0"):
        compare(k=0)
    with pytest.raises(ValueError, match="expected a voter's name"):
        compare(voter="@ann\n")
    with pytest.raises(FileNotFoundError, match="create it first"):
        compare(file="no/folder.csv")
    (tmp_path / "labels.csv").write_text("image,labels\n")
    with pytest.raises(ValueError, match="is not a file of votes"):
        compare(file="labels.csv")
    with pytest.raises(ValueError, match="expected queries=, a list of names"):
        next(compare().trials())
    trial = next(compare().trials(queries=NAMES))
    with pytest.raises(ValueError, match="expected a trial of this comparison"):
        compare().vote(trial, "left")
    comparison = compare()
    with pytest.raises(ValueError, match="expected one of left, right, tie, neither, got 'both'"):
        comparison.vote(next(comparison.trials(queries=NAMES)), "both")
    one, two = collections
    renamed = Collection(two.vectors._replace(names=[f"x{name}" for name in two.names]))
    with pytest.raises(ValueError, match=r"expected collections of the same images, got blue/0.jpg here and xred"):
        next(Comparison({"a": one, "b": renamed}, tmp_path / "v.csv", "ann").trials())


def test_votes_of_several_voters_count(compare):
    for voter in ("ann", "bob"):
        comparison = compare(voter=voter)
        comparison.vote(next(comparison.trials(queries=NAMES)), "left")
    vote = comparison.votes()[-1]
    append(comparison.file, vote)
    assert sum(comparison.result()[:2]) == 2


def test_an_index_is_compared_with_and_without_re_ranking(tmp_path):
    array = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    collection = Collection.open(save_indexed(tmp_path / "v.npy", array, recipe="PCA4,SQ8"))
    exact = [hit.name for hit in collection.nearest(0, 4, exact=True)]
    assert [hit.name for hit in collection.nearest(0, 4)] == exact
    alone = [hit.name for hit in collection.nearest(0, 4, reranked=False)]
    assert alone != exact
    configs = {"re-ranked": SearchConfig(collection), "as found": SearchConfig(collection, reranked=False)}
    (trial,) = Comparison(configs, tmp_path / "votes.csv", "ann", k=4).trials(queries=["0.jpg"])
    assert {trial.left, trial.right} == {tuple(exact), tuple(alone)}
