"""A collection and its hits as tables: pandas, Arrow, Parquet and CSV, row by row, block by block."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_indexed, save_texts

from similar_images import Collection, Hit, TextCollection
from similar_images.collection import table as tables
from similar_images.vectors.store import vectors_path

N, D = 300, 24
TABLE = "name,stars,taken,label\n=1+1.jpg,1.5,2019-07-31,dog\n3/3.jpg,,,\n"


@pytest.fixture
def collection(tmp_path) -> Collection:
    array = clustered(N, D)
    array[5] = 0  # skipped
    names = ["=1+1.jpg", *(f"{row % 7}/{row}.jpg" for row in range(1, N))]
    (tmp_path / "v.columns.csv").write_text(TABLE)
    path = save_indexed(tmp_path / "v.npy", array, names, recipe="flat")
    return Collection.open(path, images=tmp_path / "photos")


@pytest.fixture
def mapped(collection, monkeypatch) -> Collection:
    """The same with a map and clusters."""
    columns = {"x": np.arange(N) / 2, "cluster": np.arange(N) % 3}
    monkeypatch.setattr(collection.overview, "columns", lambda: columns)
    return collection


def test_a_hit_has_its_path_and_its_percentile(collection):
    hits = collection.nearest(0, 4)
    assert [hit.path for hit in hits] == [collection.path(hit.row) for hit in hits]
    assert [hit.percentile for hit in hits] == pytest.approx([collection.percentile(hit.similarity) for hit in hits])
    assert Hit(1, "a", 0.5) == (1, "a", 0.5, None, None)
    cosine = collection.with_similarity("cosine").nearest(0, 1)[0]
    assert cosine.percentile is None  # the known values come from the index
    text = Collection.open(collection.vectors.path).nearest(0, 1)[0]
    assert text.path is None and text.percentile == hits[0].percentile


def test_the_collection_as_a_data_frame(mapped):
    pd = pytest.importorskip("pandas")
    frame = mapped.to_pandas()
    assert list(frame) == ["name", "folder", "stars", "taken", "label", "x", "cluster"]
    assert len(frame) == N and frame.index.name == "row" and frame.name.tolist() == mapped.names
    assert frame.loc[0].tolist() == ["=1+1.jpg", ".", 1.5, pd.Timestamp("2019-07-31"), "dog", 0.0, 0]
    assert frame.stars[3:].isna().all() and frame.taken[3:].isna().all() and frame.x[9] == 4.5
    dogs = mapped.nearest(1, 3, where=frame.label == "dog")
    assert [hit.row for hit in dogs] == [0]


def test_hits_as_a_data_frame(mapped):
    pytest.importorskip("pandas")
    hits = mapped.nearest(9, 5)
    frame = mapped.hits_to_pandas(hits)
    expected = ["row", "name", "path", "similarity", "percentile", "file"]
    expected += ["folder", "stars", "taken", "label", "x", "cluster"]
    assert list(frame) == expected and len(frame) == 5
    assert frame.row.tolist() == [hit.row for hit in hits] and frame.name.tolist() == [hit.name for hit in hits]
    assert [Path(path) for path in frame.path] == [hit.path for hit in hits]
    assert frame.cluster.tolist() == [hit.row % 3 for hit in hits]
    assert np.allclose(frame.similarity, [hit.similarity for hit in hits])
    empty = mapped.hits_to_pandas([])
    assert list(empty) == list(frame) and len(empty) == 0
    assert mapped.hits_to_pandas([Hit(3, "3/3.jpg", 0.5)]).percentile.isna().all()


@pytest.mark.parametrize("block", [7, 10_000])
def test_arrow_in_blocks_is_the_whole(mapped, block, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(tables, "BLOCK_ROWS", block)
    reader = mapped.to_arrow(vectors=True)
    assert reader.schema.field("vector").type == pa.list_(pa.float32(), D)
    batches = list(reader)
    assert [len(batch) for batch in batches[:-1]] == [block] * (len(batches) - 1)
    table = pa.Table.from_batches(batches)
    table.validate(full=True)
    assert table.column_names == ["name", "folder", "stars", "taken", "label", "x", "cluster", "vector"]
    assert table["name"].to_pylist() == mapped.names and table["cluster"].to_pylist() == [row % 3 for row in range(N)]
    assert table["stars"].null_count == N - 1 and table["taken"].null_count == N - 1
    vectors = table["vector"].to_pylist()
    assert vectors[5] is None and table["vector"].null_count == 1
    assert np.array_equal(np.array(vectors[:5] + vectors[6:], np.float32), np.delete(mapped.array, 5, axis=0))
    assert "vector" not in mapped.to_arrow().schema.names


def test_parquet_is_written_whole_and_read_by_other_tools(mapped, tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    said = []
    monkeypatch.setattr(tables, "BLOCK_ROWS", 100)
    mapped.export(tmp_path / "out.parquet", vectors=True, progress=lambda done, n: said.append((done, n)))
    assert said == [(0, N), (100, N), (200, N), (N, N)]
    table = pq.read_table(tmp_path / "out.parquet")
    expected = mapped.to_arrow(vectors=True).read_all()
    assert table.cast(expected.schema).equals(expected)  # Parquet has milliseconds
    monkeypatch.setattr(pq.ParquetWriter, "write_batch", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        mapped.export(tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").equals(table)
    assert {file.name for file in tmp_path.iterdir() if "out" in file.name} == {"out.parquet"}


def test_exported_csv_can_be_the_table_beside_the_list(mapped, tmp_path):
    before = {name: values.copy() for name, values in mapped.columns.items()}
    mapped.export(tmp_path / "out.csv")
    lines = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert lines[0] | {"x": ""} == {
        "name": "'=1+1.jpg",  # a spreadsheet would compute it
        "folder": ".",
        "stars": "1.5",
        "taken": "2019-07-31T00:00:00",
        "label": "dog",
        "x": "",
        "cluster": "0",
    }
    assert lines[3]["x"] == "1.5" and lines[1]["stars"] == lines[1]["taken"] == ""
    (tmp_path / "out.csv").replace(tmp_path / "v.columns.csv")
    again = Collection.open(tmp_path / "v.npy").columns
    for name, values in before.items():
        assert np.array_equal(values, again[name], equal_nan=values.dtype.kind != "O")
    assert again.kind("x") == "number"


HOSTILE = [
    "=cmd()",
    "'=x",
    "+1",
    "-5 m",
    "@a",
    '"',
    "a,b",
    "a;b\tc",
    "two\nlines",
    "a\rb",
    "a\r\nb",
    " x ",
    "",
    "00012",
    "\x1b[31m",
]
VALUES = {
    "=cmd()": [HOSTILE[row % len(HOSTILE)] for row in range(N)],
    "id": [1234567890123456000 + row for row in range(N)],
    "sparse": [None if row % 3 else 2**60 + row for row in range(N)],
    "unsigned": [2**64 - 1 - row for row in range(N)],
    "small": [None if row % 5 else -row for row in range(N)],
    "ratio": [None if row % 7 == 1 else 0.1 * row for row in range(N)],
    "extreme": [(5e-324, 1.7976931348623157e308, float("inf"), -0.0)[row % 4] for row in range(N)],
    "single": np.linspace(0.1, 1, N, dtype=np.float32),
}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_exported_table_imports_with_equal_values(collection, tmp_path, suffix):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    kinds = {"unsigned": pa.uint64(), "single": pa.float32()}
    table = {"name": collection.names} | {name: pa.array(some, kinds.get(name)) for name, some in VALUES.items()}
    (tmp_path / "v.columns.csv").unlink()
    pq.write_table(pa.table(table), tmp_path / "v.columns.parquet")
    imported = Collection.open(tmp_path / "v.npy")
    imported.export(tmp_path / f"out{suffix}")
    (tmp_path / "v.columns.parquet").unlink()
    (tmp_path / f"out{suffix}").replace(tmp_path / f"v.columns{suffix}")
    again = Collection.open(tmp_path / "v.npy")
    assert list(again.columns) == list(imported.columns)
    for name, values in VALUES.items():
        for columns in (imported.columns, again.columns):
            assert columns.kind(name) == ("text" if name == "=cmd()" else "number")
            found = [None if value != value else value for value in columns[name].tolist()]
            if name == "single" and suffix == ".csv" and columns is again.columns:
                found = np.array(found, np.float32).tolist()  # a CSV has 0.1 for it
            assert found == (values if isinstance(values, list) else values.tolist()), name
    for collection in (imported, again):
        assert np.flatnonzero(collection.matching({"id": VALUES["id"][9]})).tolist() == [9]
        assert collection.matching({"single": str(VALUES["single"][2])}).sum() == 1
        assert np.flatnonzero(collection.matching({"sparse": None})).tolist() == [row for row in range(N) if row % 3]


def test_a_spreadsheet_computes_neither_a_cell_nor_a_header_of_an_export(collection, tmp_path):
    (tmp_path / "v.columns.csv").write_text("name,=cmd(),@b\n3/3.jpg,=1+1,-x\n")
    exported = Collection.open(tmp_path / "v.npy")
    exported.export(tmp_path / "out.csv")
    lines = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert lines[0] == ["name", "folder", "'=cmd()", "'@b"] and lines[4] == ["3/3.jpg", "3", "'=1+1", "'-x"]


def test_large_whole_numbers_stay_exact_in_other_tools(collection, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    lines = [f"{row % 7}/{row}.jpg,{2**60 + row},{row}" for row in range(1, N)]
    (tmp_path / "v.columns.csv").write_text("name,id,count\n" + "\n".join(lines))
    read = Collection.open(tmp_path / "v.npy")
    frame, table = read.to_pandas(), read.to_arrow().read_all()
    assert frame["id"].isna().tolist()[:2] == [True, False] and frame["id"][7] == 2**60 + 7
    assert frame["count"].dtype == float and frame["count"].isna().sum() == 1 and frame["count"][7] == 7
    assert table.schema.field("id").type == table.schema.field("count").type == pa.int64()
    assert table["id"].to_pylist()[:2] == [None, 2**60 + 1]
    hits = read.hits_to_pandas([Hit(9, "2/9.jpg", 0.5)])
    assert hits["id"].tolist() == [2**60 + 9] and hits["count"].tolist() == [9]


def test_hits_of_several_queries_are_one_data_frame(mapped):
    pytest.importorskip("pandas")
    found = [mapped.nearest(row, count) for row, count in ((9, 3), (20, 1))]
    frame = mapped.hits_to_pandas([found[0], [], found[1]])
    assert frame["query"].tolist() == [0, 0, 0, 2]
    one = mapped.hits_to_pandas([*found[0], *found[1]])
    assert frame.drop(columns="query").equals(one) and "query" not in one
    many = mapped.hits_to_pandas(mapped.nearest_many([9, 20], 3))
    assert many["query"].tolist() == [0, 0, 0, 1, 1, 1] and many["row"].tolist()[:3] == [hit.row for hit in found[0]]
    assert list(mapped.hits_to_pandas([[], []])) == list(frame)
    for wrong in ([9, 20], [found[0], 9], [[9]]):
        with pytest.raises(TypeError, match="expected hits, or a list of hits for each query, got int"):
            mapped.hits_to_pandas(wrong)


def test_a_collection_of_texts_has_tables_too(tmp_path):
    pytest.importorskip("pandas")
    collection = TextCollection.open(vectors_path(save_texts(tmp_path / "t.txt", ["one dog", "two cats"])))
    assert collection.to_pandas().to_dict("list") == {"name": ["one dog", "two cats"]}
    assert collection.hits_to_pandas(collection.nearest(0, 1)).path.tolist() == [None]


@pytest.mark.parametrize(
    ("file", "vectors", "error"),
    [("out.xlsx", False, "expected a file ending in .csv or .parquet"), ("out.csv", True, "cannot hold vectors")],
)
def test_failed_export_is_one_line(collection, tmp_path, file, vectors, error):
    with pytest.raises(ValueError, match=error):
        collection.export(tmp_path / file, vectors)
    assert not (tmp_path / file).exists()


@pytest.mark.parametrize("module", ["pandas", "pyarrow"])
def test_missing_package_is_named_with_its_extra(collection, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OSError, match=r"pip install 'similar-images\[table\]'"):
        collection.to_pandas() if module == "pandas" else collection.to_arrow()
