"""The gallery's filters without a browser: what is offered for each column, what a page chooses, what Python sets."""

import datetime

import pytest
from galleries import hits, query, refusal, tell
from traitlets import TraitError

from similar_images import Collection, Gallery

TABLE = "sample_file_list.columns.csv"


@pytest.fixture
def shown(collection, tmp_path) -> Gallery:
    """A gallery of a collection with a table of numbers, texts and dates."""
    lines = [f"{name},{row},{'ab'[row % 2]},2020-01-{row + 1:02}" for row, name in enumerate(collection.names)]
    (tmp_path / TABLE).write_text("name,size,part,day\n" + "\n".join(lines))
    gallery = Gallery(Collection.open(tmp_path / "sample_file_list.txt"), seed=1)
    gallery.wait()
    return gallery


def test_each_column_is_offered_with_its_kind_and_values(shown):
    tell(shown, do="filters")
    offered = {field["column"]: field for field in shown.filters}
    assert offered["name"]["kind"] == "part"
    assert offered["folder"]["texts"] == sorted({name.split("/")[0] for name in shown.collection.names})
    assert offered["part"]["texts"] == ["a", "b"]
    assert offered["size"] == {"column": "size", "kind": "number", "ends": [0, 11]}
    assert offered["day"] == {"column": "day", "kind": "date", "ends": ["2020-01-01", "2020-01-12"]}


def test_only_what_matches_is_found_and_the_status_says_how_many_do(shown):
    tell(shown, do="where", where={"name": "", "part": "b", "size": [3, None], "day": [None, None]})
    assert shown.where == {"part": "b", "size": (3, None)}
    own = shown.collection.names.index(query(shown))
    assert {row for row, _, _ in hits(shown)} == {3, 5, 7, 9, 11} - {own}
    assert "5 that match of the flat index of 12 images" in shown.status["text"]
    tell(shown, do="where", where={})
    assert shown.where == {} and len(hits(shown)) == 8


def test_what_matches_nothing_or_is_no_column_is_told_and_changes_nothing(shown):
    before = hits(shown)
    tell(shown, do="where", where={"size": [99, None]})
    assert "no image matches {'size': [99, None]}" in refusal(shown)
    with pytest.raises(TraitError, match="there is no column colour: expected one of name, folder, size, part, day"):
        shown.where = {"colour": "red"}
    assert (shown.where, hits(shown)) == ({}, before)


def test_a_filter_that_is_set_in_python_searches_and_is_sent_to_the_page(shown):
    shown.where = {"day": (datetime.date(2020, 1, 5), None)}
    shown.wait()
    assert {row for row, _, _ in hits(shown)} <= set(range(4, 12))
    assert shown.get_state()["where"] == {"day": ["2020-01-05", None]}


def test_hits_selection_and_query_are_data_frames_with_the_columns(shown):
    pytest.importorskip("pandas")
    frame = shown.hits.to_pandas()
    assert list(frame.columns) == ["row", "name", "path", "similarity", "percentile", "folder", "size", "part", "day"]
    assert frame["size"].tolist() == frame["row"].tolist() == [hit.row for hit in shown.hits]
    shown.selection = [2, 7]
    assert shown.selection.to_pandas()["name"].tolist() == [shown.collection.names[row] for row in (2, 7)]
    assert shown.query.to_pandas()["name"].tolist() == [query(shown)]
