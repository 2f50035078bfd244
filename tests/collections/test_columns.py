"""Columns: what a table beside the list says, of what type, and which rows match conditions."""

import datetime
import sys

import numpy as np
import pytest

from similar_images import Collection
from similar_images.collections.column_files import beside
from similar_images.collections.columns import Columns, name_columns

NAMES = ["cats/a.jpg", "cats/old/b.jpg", "dogs/c.jpg", "d.jpg"]
TABLE = """name,label,stars,date,note
dogs/c.jpg,dog,3,2019-07-31,"one, two"
cats/a.jpg,cat,4.5,2019-07-31 18:30:00,
d.jpg,,,2020-01,x
"""


@pytest.fixture
def opened(tmp_path):
    """Save a collection of four names with a table, and open it."""

    def open_with(table: str | bytes | None = TABLE, suffix: str = ".columns.csv") -> Collection:
        np.save(tmp_path / "photos.txt.saved_predictions.npy", np.eye(4, 20, dtype=np.float32))
        (tmp_path / "photos.txt").write_text("".join(f"{name}\n" for name in NAMES))
        if table is not None:
            content = table.encode() if isinstance(table, str) else table
            (tmp_path / f"photos{suffix}").write_bytes(content)
        return Collection.open(tmp_path / "photos.txt")

    return open_with


def matches(collection: Collection, where: dict) -> list[int]:
    return np.flatnonzero(collection.matching(where)).tolist()


def test_a_table_gives_columns_by_name_in_any_order(opened):
    columns = opened().columns
    assert list(columns) == ["name", "folder", "label", "stars", "date", "note"]
    assert [columns.kind(column) for column in columns] == ["text", "text", "text", "number", "date", "text"]
    assert columns["folder"].tolist() == ["cats", "cats/old", "dogs", "."]
    assert columns["label"].tolist() == ["cat", "", "dog", ""]
    assert columns["stars"].tolist() == pytest.approx([4.5, np.nan, 3, np.nan], nan_ok=True)
    assert columns["date"].astype(str).tolist() == [
        "2019-07-31T18:30:00",
        "NaT",
        "2019-07-31T00:00:00",
        "2020-01-01T00:00:00",
    ]
    assert columns["note"].tolist() == ["", "", "one, two", "x"]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"folder": "cats"}, [0, 1]),
        ({"folder": "cats/"}, [0, 1]),
        ({"folder": "cat"}, []),
        ({"folder": ["cats/old", "."]}, [1, 3]),
        ({"name": "C"}, [0, 1, 2]),
        ({"name": ["old", "D.jp"]}, [1, 3]),
        ({"label": "dog"}, [2]),
        ({"label": "dog/"}, []),
        ({"label": None}, [1, 3]),
        ({"stars": 3}, [2]),
        ({"stars": (3, 4.5)}, [0, 2]),
        ({"stars": (None, 4)}, [2]),
        ({"stars": [(4, None), 3]}, [0, 2]),
        ({"stars": None}, [1, 3]),
        ({"date": "2019"}, [0, 2]),
        ({"date": 2020}, [3]),
        ({"date": "2019-07-31"}, [0, 2]),
        ({"date": "2019-07-31 18:30"}, [0]),
        ({"date": datetime.date(2019, 7, 31)}, [0, 2]),
        ({"date": ("2019-07-01", "2019-07-31")}, [0, 2]),
        ({"date": (datetime.date(2019, 8, 1), None)}, [3]),
        ({"date": (None, datetime.datetime(2019, 7, 31, 12))}, [2]),
        ({"date": [None, "2020"]}, [1, 3]),
        ({"folder": "cats", "stars": (4, None)}, [0]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_conditions_on_columns(opened, where, rows):
    assert matches(opened(), where) == rows


def test_conditions_as_they_are_written_in_a_shell(opened):
    columns = opened().columns
    where = columns.parsed(["date=2019-01-01..2019-12-31", "label=dog", "label=cat", "stars=..4"])
    assert where == {"date": [("2019-01-01", "2019-12-31")], "label": ["dog", "cat"], "stars": [(None, "4")]}
    assert np.flatnonzero(columns.matching(where)).tolist() == [2]
    assert columns.parsed(["name=a..b"]) == {"name": ["a..b"]}
    with pytest.raises(ValueError, match=r"expected COLUMN=VALUE or COLUMN=LOW\.\.HIGH, got beach"):
        columns.parsed(["beach"])


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ({"colour": "red"}, "there is no column colour: expected one of name, folder, label, stars, date, note$"),
        ({"stars": "many"}, "stars: expected a number, got 'many'"),
        ({"stars": (1, 2, 3)}, r"stars: expected a pair \(low, high\), got"),
        ({"date": "31.7.2019"}, "date: expected a date such as 2019, 2019-07 or 2019-07-31, got '31.7.2019'"),
        ({"date": ("2019-13", None)}, "date: expected a date such as"),
    ],
)
def test_a_condition_that_does_not_fit_is_one_line(opened, where, error):
    with pytest.raises(ValueError, match=error):
        opened().matching(where)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("name,label\nx.jpg,a\ny.jpg,b\n", r"2 names are not in .*photos.txt, such as x.jpg"),
        ("name,label\nd.jpg,a\nd.jpg,b\n", "1 names are there more than once, such as d.jpg"),
        ("image,label\nd.jpg,a\n", "expected a column name, got image, label"),
        ("name,label,label\nd.jpg,a,b\n", "expected columns of different names"),
        ("name,label\nd.jpg\n", "line 2: expected 2 fields, as in line 1, got 1"),
        (b"name,label\nd.jpg,\xff\n", "is not a CSV file in UTF-8"),
        ("", "expected a column name, got nothing"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(opened, table, error):
    collection = opened(table)  # opening does not read it
    with pytest.raises(ValueError, match=error) as raised:
        _ = collection.columns
    assert "\n" not in str(raised.value)


def test_numbers_and_dates_only_where_all_cells_are_such(opened):
    columns = opened("name,a,b,c,d\nd.jpg,1e3,2019-02-30,nan,1\ncats/a.jpg,-.5,2019-01-01,1,x\n").columns
    assert [columns.kind(column) for column in "abcd"] == ["number", "text", "text", "text"]


def test_a_table_of_parquet_has_its_types(opened, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = {
        "name": ["d.jpg", "dogs/c.jpg"],
        "stars": pa.array([2, None], pa.int8()),
        "good": [True, False],
        "date": [datetime.date(2020, 1, 2), None],
        "label": pa.array(["x", None]).dictionary_encode(),
        "vector": [[1.0], [2.0]],
    }
    pq.write_table(pa.table(table), tmp_path / "photos.columns.parquet")
    collection = opened(None)
    assert list(collection.columns) == ["name", "folder", "stars", "good", "date", "label"]
    assert matches(collection, {"stars": 2, "good": True, "date": "2020-01-02", "label": "x"}) == [3]
    assert matches(collection, {"stars": None}) == [0, 1, 2]
    (tmp_path / "photos.columns.csv").write_text(TABLE)
    with pytest.raises(ValueError, match="expected one table of columns, got"):
        _ = opened(None).columns
    (tmp_path / "photos.columns.csv").unlink()
    (tmp_path / "photos.columns.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="damaged or not a Parquet file"):
        _ = opened(None).columns


def test_parquet_without_pyarrow_names_the_remedy(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OSError, match=r"needs PyArrow: pip install 'similar-images\[table\]'"):
        _ = opened(b"PAR1", ".columns.parquet").columns


def test_a_name_that_occurs_twice_in_the_list_has_the_columns_of_its_line_twice(tmp_path):
    columns = Columns(name_columns(["a", "b", "a"], folders=False))
    assert list(columns) == ["name"] and columns.matching({"name": "a"}).tolist() == [True, False, True]


def test_the_table_cannot_be_taken_for_another_file_of_the_collection(tmp_path):
    assert beside(tmp_path / "photos_file_list.txt", ".columns.csv").name == "photos_file_list.columns.csv"
    assert beside(tmp_path / "photos", ".columns.csv").name == "photos.columns.csv"
