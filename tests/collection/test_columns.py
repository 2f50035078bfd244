"""Columns of a table beside the list: types, conditions, damaged tables."""

import datetime
import sys
from decimal import Decimal

import numpy as np
import pytest
from collection_files import save_vectors

from similar_images import Collection
from similar_images.collection import column_files
from similar_images.collection.column_files import beside
from similar_images.collection.columns import Columns, name_columns, texts

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
        save_vectors(tmp_path / "photos.txt.saved_predictions.npy", np.eye(4, 20, dtype=np.float32), NAMES)
        if table is not None:
            content = table.encode() if isinstance(table, str) else table
            (tmp_path / f"photos{suffix}").write_bytes(content)
        return Collection.open(tmp_path / "photos.txt")

    return open_with


@pytest.fixture
def opened_with_parquet(opened, tmp_path):
    """Save a collection of four names with a table in Parquet, and open it."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def open_with(table: dict) -> Collection:
        pq.write_table(pa.table(table), tmp_path / "photos.columns.parquet")
        return opened(None)

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
        ({"stars": float("nan")}, [1, 3]),
        ({"stars": [np.float64("nan"), 3]}, [1, 2, 3]),
        ({"label": float("nan")}, [1, 3]),
        ({"name": None}, []),
        ({"name": [None, "old"]}, [1]),
        ({"name": ""}, [0, 1, 2, 3]),
        ({"folder": None}, []),
        ({"date": np.datetime64("NaT")}, [1]),
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
        ({"folder": "Cats/OLD"}, [1]),
        ({"folder": "old"}, [1]),
        ({"folder": "OLD/"}, [1]),
        ({"folder": "ld"}, []),
        ({"folder": ["old", "dogs"]}, [1, 2]),
        ({"label": "DOG"}, [2]),
        ({"label!": "Dog"}, [0, 1, 3]),
        ({"label!": ["dog", "CAT"]}, [1, 3]),
        ({"label!": None}, [0, 2]),
        ({"label!": ["dog", None]}, [0]),
        ({"label!": []}, [0, 1, 2, 3]),
        ({"folder!": "cats"}, [2, 3]),
        ({"folder!": "old"}, [0, 2, 3]),
        ({"folder": "cats", "folder!": "old"}, [0]),
        ({"name!": ["OLD", "d.j"]}, [0, 2]),
        ({"stars!": (3, 4)}, [0, 1, 3]),
        ({"stars!": [(None, 4), None]}, [0]),
        ({"date!": "2019"}, [1, 3]),
        ({"stars": (3, None), "stars!": 3}, [0]),
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
    assert matches(opened(), columns.parsed(["name="])) == []
    assert matches(opened(), columns.parsed(["stars=", "label="])) == [1, 3]
    negated = columns.parsed(["stars!=4..", "date!=2020", "stars!="])
    assert negated == {"stars!": [("4", None), None], "date!": ["2020"]} and matches(opened(), negated) == [2]
    with pytest.raises(ValueError, match=r"expected COLUMN=VALUE, COLUMN!=VALUE or COLUMN=LOW\.\.HIGH, got beach"):
        columns.parsed(["beach"])


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ({"colour": "red"}, "there is no column colour: expected one of name, folder, label, stars, date, note$"),
        ({"colour!": "red"}, "there is no column colour: expected one of name, folder, label, stars, date, note$"),
        ({"stars!": "many"}, "stars: expected a number, got 'many'"),
        ({"stars": "many"}, "stars: expected a number, got 'many'"),
        ({"stars": 10**400}, "stars: expected a number, got 1000"),
        ({"stars": "nan"}, "stars: expected a number, got 'nan'"),
        ({"stars": (float("nan"), 2)}, "stars: expected a number, got nan"),
        ({"stars": (1, 2, 3)}, r"stars: expected a pair \(low, high\), got"),
        ({"date": "31.7.2019"}, "date: expected a date such as 2019, 2019-07 or 2019-07-31, got '31.7.2019'"),
        ({"date": ("2019-13", None)}, "date: expected a date such as"),
    ],
)
def test_invalid_condition_is_one_line(opened, where, error):
    with pytest.raises(ValueError, match=error):
        opened().matching(where)


PATHS = ["Fruit/Apple/a.jpg", "Fruit/Apple/Red/b.jpg", "Tech/apple/c.jpg", "Red/d.jpg", "Pineapple/e.jpg", "f.jpg"]


@pytest.mark.parametrize(
    ("folder", "rows"),
    [
        ("Apple", [0, 1, 2]),
        ("fruit/apple", [0, 1]),
        ("Apple/Red", [1]),
        ("red", [3]),  # from the root; Fruit/Apple/Red only if there were none
        ("apple/Red/", [1]),
        ("/Fruit", []),
        ("", []),
        (".", [5]),
        (["red", "Apple/Red"], [1, 3]),
    ],
)
def test_a_folder_is_found_from_the_root_or_by_the_end_of_its_path(folder, rows):
    columns = Columns(name_columns(PATHS, folders=True))
    assert np.flatnonzero(columns.matching({"folder": folder})).tolist() == rows
    excluded = columns.matching({"folder!": folder})
    assert np.flatnonzero(~excluded).tolist() == rows
    accepted = {text for condition in columns.conditions({"folder": folder}) for text in condition.alternatives}
    assert [row for row, text in enumerate(columns["folder"]) if text in accepted] == rows


def test_absolute_folders_are_found_too():
    columns = Columns(name_columns(["/home/u/Pictures/a.jpg", "/home/u/b.jpg"], folders=True))
    for folder, rows in {"/home/u": [0, 1], "/home/u/pictures": [0], "Pictures": [0], "u": [0, 1], "/": []}.items():
        assert np.flatnonzero(columns.matching({"folder": folder})).tolist() == rows, folder
    assert columns.choices("folder") == ["/home", "/home/u", "/home/u/Pictures"]


def test_choices_include_parent_folders_and_one_spelling_of_a_text():
    columns = Columns(
        {
            **name_columns([*PATHS, "Fruit-salad/x.jpg"], folders=True),
            "label": texts(["b", "B", "", "a", "c", "c", "b"]),
        }
    )
    assert columns.choices("folder") == [
        ".",
        "Fruit",
        "Fruit/Apple",
        "Fruit/Apple/Red",
        "Fruit-salad",
        "Pineapple",
        "Red",
        "Tech",
        "Tech/apple",
    ]
    assert columns.choices("label") == ["a", "B", "c"]


@pytest.mark.parametrize("accents", [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_texts_are_compared_without_case_and_with_composed_accents(opened, accents):
    collection = opened(f"name,label,Stra\u00dfe\ncats/a.jpg,Caf{accents[0]},x\ndogs/c.jpg,cafe,STRASSE\n")
    assert matches(collection, {"label": f"CAF{accents[1].upper()}"}) == [0]
    assert matches(collection, {"Stra\u00dfe": "stra\u00dfe"}) == [2]


def test_a_column_whose_name_ends_in_an_exclamation_mark_is_not_a_negation(opened):
    collection = opened("name,new!\ncats/a.jpg,yes\n")
    assert matches(collection, {"new!": "yes"}) == [0] and matches(collection, {"new!!": "yes"}) == [1, 2, 3]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"folder": "Aple"}, "no image matches it; folder: expected Fruit/Apple, Tech/apple, Pineapple"),
        ({"folder": "fruit/aple"}, "no image matches it; folder: expected Fruit/Apple, Fruit, Tech/apple"),
        ({"folder": "pine"}, "no image matches it; folder: expected Pineapple"),
        (
            {"folder": "zzz"},
            "no image matches it; folder: expected ., Fruit, Fruit/Apple, Fruit/Apple/Red, Pineapple, ...",
        ),
        ({"camera": "canon"}, "no image matches it; camera: expected Canon EOS"),
        ({"camera": "phone"}, "no image matches it; camera: expected Canon EOS, Nikon"),
        ({"camera": ["Nikn", "x"]}, "no image matches it; camera: expected Nikon"),
        ({"folder": "Fruit", "size": 9}, "no image matches it"),
        ({"folder": "Fruit", "camera": "Nikon"}, "no image matches it"),
        ({"camera!": ["Nikon", "Canon EOS", None]}, "no image matches it"),
        ({"name": "zzz"}, "no image matches it"),
        ({"date": "2019"}, "no image here has a date"),
        ({"date!": None}, "no image here has a date"),
        ({"folder": "Fruit", "date": ("2019", None)}, "no image here has a date"),
        ({"owner": "Ann"}, "no image here has a value for owner"),
        ({"weight": (1, 2)}, "no image here has a value for weight"),
        ({"latitude": (1, 2)}, "no image here has a location"),
    ],
)
def test_a_filter_without_a_match_is_explained_in_one_line(where, message):
    n = len(PATHS)
    extra = {
        "camera": texts(["Canon EOS", "", "", "Nikon", "", ""]),
        "size": np.arange(n),
        "date": np.full(n, "NaT", "datetime64[s]"),
        "owner": texts([""] * n),
        "weight": np.ma.array(np.zeros(n, int), mask=True),
        "latitude": np.full(n, np.nan),
    }
    columns = Columns({**name_columns(PATHS, folders=True), **extra})
    assert not columns.matching(where).any()
    assert columns.explain_no_match(where, "image", "it") == message


def test_a_filter_in_python_is_explained_by_its_mapping(opened):
    expected = "no row matches {'label': 'dig'}; label: expected dog"
    assert opened().columns.explain_no_match({"label": "dig"}) == expected


def test_a_suggestion_is_short_and_fast_among_many_texts():
    labels = [f"{number:06} {'x' * 1000}" for number in range(20_000)] + ["beach"]
    columns = Columns({"name": texts(labels), "label": texts(labels)})
    assert columns.explain_no_match({"label": "beech"}, "text", "it") == "no text matches it; label: expected beach"
    assert len(columns.explain_no_match({"label": "zzz"}, "text", "it")) < 500


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
        ("\nname,label\nd.jpg,a\n", "line 1 is empty: expected the names of the columns"),
        ("image;label\nd.jpg;a\n", "expected a column name, got image, label"),
        ("name;label\nd.jpg;a\na.jpg,b\n", "line 3: expected 2 fields, as in line 1, got 1"),
        ('name,label\nd.jpg,"a\n', "line 2: expected a CSV table with quoted texts"),
        ("name,label\n" + "d.jpg,a\n" * 5, "expected at most 4 rows, one for each name of the list, got more"),
        (f"name,label\nd.jpg,{'x' * 2**20}\n", "line 2: expected a row of at most 1,048,576 characters, got more"),
        (
            f'name,label\nd.jpg,"{"xy" + chr(10)}{"z" * 2**20}"\n',
            "line 2: expected a row of at most 1,048,576 characters",
        ),
    ],
)
def test_invalid_table_is_one_line(opened, table, error):
    collection = opened(table)  # opening does not read it
    with pytest.raises(ValueError, match=error) as raised:
        _ = collection.columns
    assert "\n" not in str(raised.value)


def test_numbers_and_dates_only_where_all_cells_are_such(opened):
    columns = opened("name,a,b,c,d\nd.jpg,1e3,2019-02-30,nan,1\ncats/a.jpg,-.5,2019-01-01,1,x\n").columns
    assert [columns.kind(column) for column in "abcd"] == ["number", "text", "text", "text"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_with_other_separators(opened, separator):
    lines = [("name", "label", "stars"), ("d.jpg", f'"a{separator} b"', "3"), ("dogs/c.jpg", "1,5", "4")]
    columns = opened("".join(separator.join(line) + "\r\n" for line in lines)).columns
    assert columns["label"].tolist() == ["", "", "1,5", f"a{separator} b"]
    assert columns["stars"].tolist() == [None, None, 4, 3]


def test_a_column_without_a_name_is_skipped_with_a_line(opened):
    with pytest.warns(UserWarning, match=r"photos.columns.csv: skipped columns: one without a name \(no name\)"):
        columns = opened(",name, label \n0,d.jpg,a\n1,dogs/c.jpg,b\n").columns
    assert list(columns) == ["name", "folder", "label"]


def test_each_of_many_large_numbers_matches_its_own_row_alone(opened):
    first = 1234567890123456000
    lines = [f"{name},{first + row},{2**64 - 1 - row}" for row, name in enumerate(NAMES)]
    collection = opened("name,id,unsigned\n" + "\n".join(lines))
    columns = collection.columns
    assert (columns["id"].dtype, columns["unsigned"].dtype) == (np.int64, np.uint64)
    for row in range(4):
        for value in (first + row, str(first + row), np.int64(first + row)):
            assert matches(collection, {"id": value}) == [row]
        assert matches(collection, {"unsigned": 2**64 - 1 - row}) == [row]
        assert matches(collection, columns.parsed([f"id={first + row}..{first + row}"])) == [row]
    assert matches(collection, {"id": (first + 1, first + 2)}) == [1, 2]
    assert matches(collection, {"id": [(10**30, None), first + 0.5, (None, 10**400)]}) == [0, 1, 2, 3]
    assert matches(collection, {"id": 10**400}) == []


def test_whole_numbers_with_empty_cells_stay_whole(opened):
    collection = opened(f"name,id\nd.jpg,{2**60 + 1}\ndogs/c.jpg,-3\ncats/a.jpg,\n")
    values = collection.columns["id"]
    assert values.dtype == np.int64 and values.tolist() == [None, None, -3, 2**60 + 1]
    assert matches(collection, {"id": 2**60 + 1}) == [3] and matches(collection, {"id": 2**60}) == []
    assert matches(collection, {"id": None}) == [0, 1] and matches(collection, {"id": (None, 5)}) == [2]
    assert matches(collection, {"id": 2.5}) == [] and matches(collection, {"id": (-3.5, 2.5)}) == [2]
    assert np.flatnonzero(collection.matching(values < 5)).tolist() == [2]
    assert np.flatnonzero(collection.matching(values != -3)).tolist() == [3]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["00001", "2"], ["00001", "2"]),
        (["007.5", "2"], ["007.5", "2"]),
        (["+491701", "2"], ["+491701", "2"]),
        ([str(2**64), "2"], [str(2**64), "2"]),
        (["-1", str(2**63)], ["-1", str(2**63)]),
        (["1" * 5000, "2"], ["1" * 5000, "2"]),
        (["1e999", "2"], ["1e999", "2"]),
        ([str(2**53 + 1), "0.5"], [str(2**53 + 1), "0.5"]),
        (["\u0663", "2"], ["\u0663", "2"]),
        (["0", "-12"], [0, -12]),
        (["0.1", "-12"], [0.1, -12.0]),
        (["+.5", "1E-3"], [0.5, 0.001]),
        (["inf", "-1.5"], [np.inf, -1.5]),
    ],
)
def test_a_cell_is_a_number_only_if_nothing_of_it_gets_lost(opened, cells, expected):
    values = opened(f"name,x\ncats/a.jpg,{cells[0]}\ncats/old/b.jpg,{cells[1]}\n").columns["x"].tolist()[:2]
    assert values == expected and list(map(type, values)) == list(map(type, expected))


def test_float_matches_its_displayed_number(opened_with_parquet):
    pa = pytest.importorskip("pyarrow")
    kinds = {"half": pa.float16(), "single": pa.float32(), "double": pa.float64()}
    arrays = {name: pa.array([0.1, 0.2, None, 512.0], kind) for name, kind in kinds.items()}
    collection = opened_with_parquet({"name": NAMES, **arrays})
    for name in kinds:
        assert [matches(collection, {name: value}) for value in (0.1, "0.2", 0.15)] == [[0], [1], []]
        assert matches(collection, {name: (0.1, 0.2)}) == [0, 1]
        assert matches(collection, {name: None}) == [2]
    assert matches(collection, {"double": 0.1 + 1e-9}) == []


def test_kinds_of_parquet_are_read_or_skipped_with_a_line(opened_with_parquet, tmp_path):
    pa = pytest.importorskip("pyarrow")
    moment = datetime.datetime(2020, 1, 2, 23, 30, tzinfo=datetime.UTC)
    read = {
        "view": (pa.array(["x", None, "y", "x"], pa.string_view()), ["x", "", "y", "x"]),
        "large": (pa.array(["x", None, "y", "x"], pa.large_string()), ["x", "", "y", "x"]),
        "coded": (pa.array(["x", None, "y", "x"]).dictionary_encode(), ["x", "", "y", "x"]),
        "coded_numbers": (pa.array([5, None, 2**60 + 1, 5]).dictionary_encode(), [5, None, 2**60 + 1, 5]),
        "zoned": (
            pa.array([moment, None] * 2, pa.timestamp("us", "Europe/Berlin")),
            [moment.replace(tzinfo=None), None] * 2,
        ),
        "price": (pa.array([Decimal("1.10"), None] * 2), [1.1, None] * 2),
        "huge": (pa.array([Decimal(10**37), Decimal(1)] * 2), [str(10**37), "1"] * 2),
        "half": (pa.array([np.float16(0.5), None] * 2), [0.5, None] * 2),
        "unsigned": (pa.array([2**64 - 1, 0] * 2, pa.uint64()), [2**64 - 1, 0] * 2),
        "good": (pa.array([True, None] * 2), [1, None] * 2),
    }
    skipped = {
        "time": pa.array([datetime.time(1, 2), None] * 2),
        "took": pa.array([datetime.timedelta(1), None] * 2),
        "bytes": pa.array([b"x", None] * 2),
        "fixed": pa.array([b"x", None] * 2, pa.binary(1)),
        "none": pa.nulls(4),
        "tags": pa.array([["x"], None] * 2),
        "place": pa.array([{"x": 1.0}, None] * 2),
    }
    collection = opened_with_parquet({"name": NAMES} | {name: array for name, (array, _) in read.items()} | skipped)
    with pytest.warns(UserWarning, match="photos.columns.parquet: skipped columns: ") as caught:
        columns = collection.columns
    assert len(caught) == 1 and all(f"{name} (" in str(caught[0].message) for name in skipped)
    assert list(columns) == ["name", "folder", *read]
    for name, (_, expected) in read.items():
        assert [None if value != value else value for value in columns[name].tolist()] == expected, name
    for suffix in (".csv", ".parquet"):
        collection.export(tmp_path / f"out{suffix}")
    assert matches(collection, {"zoned": "2020-01-02", "price": "1.10", "view": "x"}) == [0]


def test_texts_of_parquet_share_their_memory_and_have_a_limit(opened_with_parquet, monkeypatch):
    table = {"name": NAMES, "note": ["x" * 1000] * 3 + ["y"], "long": ["z" * 2**20 + "z"] * 4}
    with pytest.warns(UserWarning, match=r"skipped columns: long \(a text of 1,048,577 characters, expected at most"):
        note = opened_with_parquet(table).columns["note"]
    assert note.tolist() == table["note"] and note[0] is note[2]
    monkeypatch.setattr(column_files, "MAX_TEXT_BYTES", 2**20 - 2**12)
    monkeypatch.setattr(column_files, "_known_texts", lambda column: known.append(column.length()) or NAMES)
    known = []
    with pytest.warns(
        UserWarning, match=r"skipped columns: long \(1,048,\d+ bytes of text, expected at most 1,048,576"
    ):
        _ = opened_with_parquet(table).columns
    assert len(known) == 2  # name and note: the third was not read


def test_a_table_with_more_rows_than_names_is_refused_from_its_footer(opened_with_parquet, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    collection = opened_with_parquet({"name": ["x"] * 100_000})
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match="expected at most 4 rows, one for each name of the list, got 100,000"):
        _ = collection.columns


def test_a_table_of_parquet_has_its_types(opened, opened_with_parquet, tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = {
        "name": ["d.jpg", "dogs/c.jpg"],
        "stars": pa.array([2, None], pa.int8()),
        "good": [True, False],
        "date": [datetime.date(2020, 1, 2), None],
        "label": pa.array(["x", None]).dictionary_encode(),
        "vector": [[1.0], [2.0]],
    }
    collection = opened_with_parquet(table)
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


def test_a_name_that_occurs_twice_in_the_list_has_the_columns_of_its_line_twice():
    columns = Columns(name_columns(["a", "b", "a"], folders=False))
    assert list(columns) == ["name"] and columns.matching({"name": "a"}).tolist() == [True, False, True]


def test_the_table_cannot_be_taken_for_another_file_of_the_collection(tmp_path):
    assert beside(tmp_path / "photos_file_list.txt", ".columns.csv").name == "photos_file_list.columns.csv"
    assert beside(tmp_path / "photos", ".columns.csv").name == "photos.columns.csv"
