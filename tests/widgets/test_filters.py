"""The gallery's filters without a browser: the offer, the choice of a page, and values set in Python."""

import datetime
from pathlib import Path

import pytest
from galleries import hits, query, refusal, tell
from labelled_files import PARIS, RIO, exif, photograph, xmp
from PIL import Image
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


def test_columns_are_offered_with_kind_and_values(shown):
    tell(shown, do="filters")
    offered = {field["column"]: field for field in shown.filters}
    assert offered["name"]["kind"] == "part"
    assert offered["folder"]["texts"] == sorted({name.split("/")[0] for name in shown.collection.names})
    assert offered["part"]["texts"] == ["a", "b"]
    assert offered["size"] == {"column": "size", "kind": "number", "ends": [0, 11]}
    assert offered["day"] == {"column": "day", "kind": "date", "ends": ["2020-01-01", "2020-01-12"]}


def test_large_numbers_stay_exact(collection, tmp_path):
    lines = [f"{name},{2**60 + row},{row / 10 if row else 'inf'}" for row, name in enumerate(collection.names[:-1])]
    (tmp_path / TABLE).write_text("name,id,share\n" + "\n".join(lines))
    gallery = Gallery(Collection.open(tmp_path / "sample_file_list.txt"), seed=1)
    gallery.wait()
    tell(gallery, do="filters")
    offered = {field["column"]: field for field in gallery.filters}
    assert offered["id"]["ends"] == [str(2**60), str(2**60 + 10)] and offered["share"]["ends"] == [0.1, 1.0]
    tell(gallery, do="where", where={"id": [str(2**60 + 4), str(2**60 + 6)]})
    assert {row for row, _, _ in hits(gallery)} == {4, 5, 6} - {collection.names.index(query(gallery))}
    gallery.where = {"id": (2**60 + 4, None)}
    gallery.wait()
    assert gallery.get_state()["where"] == {"id": [str(2**60 + 4), None]}


def test_column_of_long_texts_is_not_offered(collection, tmp_path):
    lines = [
        f"{name},{'x' * 60_000 if row == 3 else 'short'},{'ab'[row % 2]}" for row, name in enumerate(collection.names)
    ]
    (tmp_path / TABLE).write_text("name,note,part\n" + "\n".join(lines))
    gallery = Gallery(Collection.open(tmp_path / "sample_file_list.txt"), seed=1)
    gallery.wait()
    tell(gallery, do="filters")
    assert [field["column"] for field in gallery.filters] == ["name", "folder", "part"]


def test_filter_limits_hits_and_status_counts_matches(shown):
    tell(shown, do="where", where={"name": "", "part": "b", "size": [3, None], "day": [None, None]})
    assert shown.where == {"part": "b", "size": (3, None)}
    own = shown.collection.names.index(query(shown))
    assert {row for row, _, _ in hits(shown)} == {3, 5, 7, 9, 11} - {own}
    assert "5 that match of the flat index of 12 images" in shown.status["text"]
    tell(shown, do="where", where={})
    assert shown.where == {} and len(hits(shown)) == 8


def test_impossible_filter_keeps_the_present_one(shown):
    before = hits(shown)
    tell(shown, do="where", where={"size": [99, None]})
    assert "no image matches {'size': [99, None]}" in refusal(shown)
    with pytest.raises(TraitError, match=r"no image matches \{'part': 'aa'\}; part: expected a"):
        shown.where = {"part": "aa"}
    with pytest.raises(TraitError, match="there is no column colour: expected one of name, folder, size, part, day"):
        shown.where = {"colour": "red"}
    assert (shown.where, hits(shown)) == ({}, before)


def test_parent_folders_and_keywords_are_offered(collection, tmp_path):
    lines = [
        f"{name},Fruit/{'ab'[row % 2]},{'sea; boat' if row % 2 else 'sea'}" for row, name in enumerate(collection.names)
    ]
    (tmp_path / TABLE).write_text("name,folder,keywords\n" + "\n".join(lines))
    gallery = Gallery(Collection.open(tmp_path / "sample_file_list.txt"), seed=1)
    gallery.wait()
    tell(gallery, do="filters")
    offered = {field["column"]: field.get("texts") for field in gallery.filters}
    assert offered == {"name": None, "folder": ["Fruit", "Fruit/a", "Fruit/b"], "keywords": ["boat", "sea"]}
    tell(gallery, do="where", where={"folder": "Fruit", "keywords": "boat"})
    assert {row % 2 for row, _, _ in hits(gallery)} == {1}


def test_negation_set_in_python_survives_the_filters_of_the_page(shown):
    shown.where = {"part!": "A", "size": (2, None)}
    shown.wait()
    own = shown.collection.names.index(query(shown))
    assert {row for row, _, _ in hits(shown)} == {3, 5, 7, 9, 11} - {own}
    tell(shown, do="where", where={"name": "", "size": [6, None], "part": ""})
    assert shown.where == {"part!": "A", "size": (6, None)}
    assert {row for row, _, _ in hits(shown)} == {7, 9, 11} - {own}
    tell(shown, do="where", where={})
    assert shown.where == {}


def test_filter_set_in_python_searches_and_reaches_the_page(shown):
    shown.where = {"day": (datetime.date(2020, 1, 5), None)}
    shown.wait()
    assert {row for row, _, _ in hits(shown)} <= set(range(4, 12))
    assert shown.get_state()["where"] == {"day": ["2020-01-05", None]}


def test_hits_selection_and_query_become_data_frames(shown):
    pytest.importorskip("pandas")
    frame = shown.hits.to_pandas()
    assert list(frame.columns) == [
        "row",
        "name",
        "path",
        "similarity",
        "percentile",
        "file",
        "folder",
        "size",
        "part",
        "day",
    ]
    assert frame["size"].tolist() == frame["row"].tolist() == [hit.row for hit in shown.hits]
    shown.selection = [2, 7]
    assert shown.selection.to_pandas()["name"].tolist() == [shown.collection.names[row] for row in (2, 7)]
    assert shown.query.to_pandas()["name"].tolist() == [query(shown)]


def test_selection_combines_with_other_filters(shown):
    shown.selection = [1, 2, 4, 6, 9]
    shown.set_state({"among": list(shown.selection)})  # the page's button
    shown.wait()
    own = shown.collection.names.index(query(shown))
    assert {row for row, _, _ in hits(shown)} == {1, 2, 4, 6, 9} - {own}
    tell(shown, do="where", where={"part": "a"})
    assert {row for row, _, _ in hits(shown)} == {2, 4, 6} - {own}
    assert "3 that match of the" in shown.status["text"]
    shown.where, shown.among = {}, []
    shown.wait()
    assert len(hits(shown)) == 8


def test_keywords_ratings_and_locations_are_read_on_request(shown):
    for row, (place, words, rating) in enumerate([(PARIS, ["sea", "boat"], 5), (RIO, ["Sea"], 3)]):
        path = shown.collection.image(row)
        Path(path).write_bytes(photograph(exif=exif(place), xmp=xmp(words, rating)))
    tell(shown, do="filters")
    offered = {field["column"]: field for field in shown.filters}
    assert offered["keywords"]["texts"] == ["boat", "Sea"] and offered["rating"]["ends"] == [3, 5]
    assert offered["latitude"]["ends"] == [RIO[0], PARIS[0]] and "date" not in offered
    tell(shown, do="where", where={"keywords": "boat"})
    assert {row for row, _, _ in hits(shown)} <= {0} and "1 that match" in shown.status["text"]
    with pytest.raises(TraitError, match=r"^no image here has a date$"):
        shown.where = {"date": "2019"}


def test_dates_of_photographs_are_read_on_request(shown):
    taken = Image.Exif()
    taken[0x0132] = taken.get_ifd(0x8769)[0x9003] = "2021:05:04 10:00:00"
    for row in (0, 1):
        taken[0x0110] = f"Model {row}"
        taken.get_ifd(0x8769)[0x9003] = f"202{row}:05:04 10:00:00"
        Image.open(shown.collection.image(row)).save(shown.collection.image(row), exif=taken)
    tell(shown, do="filters")
    offered = {field["column"]: field for field in shown.filters}
    assert offered["date"]["ends"] == ["2020-05-04", "2021-05-04"]
    assert offered["camera"]["texts"] == ["Model 0", "Model 1"]
    assert shown.reading == ""
    tell(shown, do="where", where={"date": ["2021-01-01", None]})
    assert {row for row, _, _ in hits(shown)} <= {1}
