"""Search sessions: requests, result pages, examples, history."""

import pytest
from arrays import clustered
from collection_files import Letters, save_indexed, save_texts

from similar_images import Collection, TextCollection
from similar_images.collection.encoder import Query
from similar_images.collection.session import History, QueryState, SearchRequest, SearchSession, network_name
from similar_images.networks import text as text_networks

N, D = 400, 48


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> SearchSession:
    path = tmp_path_factory.mktemp("session") / "v.npy"
    save_indexed(path, clustered(N, D), recipe="IVF10,Flat", similarity="cosine")
    return SearchSession(Collection.open(path), seed=0)


def test_page_has_the_hits_of_the_collection(session):
    page = session.search(SearchRequest(session.query_row(3), k=5))
    assert page.hits == session.collection.nearest(3, 5)
    assert (page.is_all, page.missed, page.changes) == (False, frozenset(), "")
    assert page.state == QueryState("3.jpg", 3, row=3)
    assert f"index of {N} images: stored vector, search" in page.summary and "recall" in page.summary


def test_where_restricts_the_page_and_its_summary(session):
    page = session.search(SearchRequest(session.query_row(3), k=50, where={"name": "7.jpg"}))
    assert all(hit.name.endswith("7.jpg") for hit in page.hits) and page.is_all
    assert "40 that match of the" in page.summary


def test_extended_page_begins_with_the_known_hits_and_reaches_all_rows(session):
    page = session.search(SearchRequest(session.query_row(3), k=5))
    longer = session.extend(page, N)
    assert longer.hits[:5] == page.hits and longer.is_all
    assert {hit.row for hit in longer.hits} == {*range(N)} - {3}


def test_exact_search_reports_missed_rows(session):
    state = session.query_row(3)
    page = session.search(SearchRequest(state, k=N // 2, exact=True, compares=True))
    found = {hit.row for hit in session.collection.nearest(3, N // 2)}
    assert page.missed == {hit.row for hit in page.hits} - found
    expected = (
        f"{len(page.missed)} of {N // 2} hits are found by exact search only" if page.missed else "The index finds"
    )
    assert page.changes.startswith(expected)
    assert session.search(SearchRequest(state, exact=True)).changes == ""


def test_marked_rows_replace_marks_of_the_collection_only(session):
    state = session.mark(session.query_row(3), [4, 5], [6])
    assert state.rows == [3, 4, 5, 6]
    page = session.search(SearchRequest(state, k=8))
    assert page.hits == session.collection.nearest([3, 4, 5], 8, negatives=[6])
    assert "like 3 and unlike 1" in page.summary
    assert [hit.row for hit in session.compare(state, [9, 7])] == [9, 7]
    outside = session.query_row(3)
    new = Query(session.collection.vector(8), session.collection.network)
    outside = QueryState(outside.name, 3, row=3, positives=(*state.positives, type(state.positives[0])("new", new)))
    assert [mark.name for mark in session.mark(outside, [9], []).positives] == ["new", "9.jpg"]


def test_similarities_are_described_by_percentile(session):
    page = session.search(SearchRequest(session.query_row(3), k=1))
    describe = lambda **values: session.describe_similarity(page, page.hits[0]._replace(**values))  # noqa: E731
    assert describe(similarity=1.0) == "the same image"
    assert describe(similarity=0.5, percentile=99.995) == "closer than any of 10,000 pairs"
    assert describe(similarity=0.5, percentile=98.769) == "closer than 98.76% of pairs"
    assert describe(similarity=0.5, percentile=None) == ""


def test_random_rows_come_once_before_any_repeats(session):
    rows = [session.random_row() for _ in range(2 * N)]
    assert sorted(rows[:N]) == [*range(N)] and rows[N:] == rows[:N]


def test_names_are_found_ignoring_case_with_the_exact_one_first(session):
    assert [session.collection.names[row] for row in session.find_names("7.JPG", 2)] == ["7.jpg", "17.jpg"]
    assert session.find_names("17.jpg", 3)[0] == 17 and session.find_names("nothing", 3) == []


def test_history_goes_back_and_forward_and_drops_later_queries():
    history, states = History(), [QueryState(name, 0, row=0) for name in "abcd"]
    assert history.current is None and history.step(0) is None
    for state in states[:3]:
        history.add(state)
    assert history.step(-2) == states[0] and history.step(-1) is None and history.can_go_forward
    history.add(states[3])
    assert history.states == [states[0], states[3]] and not history.can_go_forward
    typed = QueryState("typ", 0, provisional=True)
    history.add(typed)
    history.add(QueryState("typed", 0))
    assert [state.name for state in history.states] == ["a", "d", "typed"]


def test_texts_are_encoded_and_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(text_networks, "load_text_network", lambda name: Letters())
    session = SearchSession(TextCollection.open(save_texts(tmp_path / "t.txt", ["abc", "bcd", "xyz"])))
    state = session.query_text("  abc ", provisional=True)
    assert state.name == "abc" and state.provisional and state.seconds is not None
    assert session.search(SearchRequest(state)).hits[0].name == "abc"
    assert network_name(session.collection) == "letters" and session.caveat == ""
