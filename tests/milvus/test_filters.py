"""Filters as expressions of Milvus match the same rows as the collection's filter, for any values."""

import csv
from datetime import date

import numpy as np
import pytest
from arrays import clustered
from milvus_collections import add, opened, rows_of, saved

from similar_images.collection.columns import Columns, texts
from similar_images.milvus.expressions import match_conditions, quote

N, K = 1200, 12
HOSTILE = [
    "it's",
    'dou"ble',
    "back\\slash",
    "end\\",
    "per%cent",
    "under_score",
    "{x}",
    "a\\nb",
    'x" or row >= 0 or name == "',
    "\u00e9\u4e2d\U0001f600",
    "STRASSE",
    "\u0130",
]
WHERES = [
    {"folder": "a"},
    {"folder": ["a/b", "c d"]},
    {"folder": "a", "number": (10, 20)},
    {"number": (None, 5)},
    {"number": (-3.5, None)},
    {"number": [3, (7, 8.25), None]},
    {"number": None},
    {"number": (None, None)},
    {"id": 2**60 + 7},
    {"id": [(2**60 + 3, 2**60 + 9), -5]},
    {"id": (None, 2**60 + 300)},
    {"id": [None, 2**60 + 50.5]},
    {"taken": "2019"},
    {"taken": ("2019-02", "2019-03-15")},
    {"taken": (date(2019, 3, 1), None)},
    {"taken": [None, "2020-01-02"]},
    {"owner": None},
    {"owner": ["Ann", None]},
    {"owner": "nobody"},
    {"owner": HOSTILE},
    {"like": "in", "owner": "Ann"},
    {"name": "IMAGE 7"},
    {"name": ["strasse", "\u4e2d"]},
    {"name": "under_score"},
    {"name": "%"},
    {"name": "\\"},
    {"name": '"'},
    {"name": ""},
    {"name": []},
    {"name": None},
    {"name": ["IMAGE 7", None]},
    {"folder": "B"},
    {"folder!": "a"},
    {"folder": "a", "folder!": "b"},
    {"number!": (None, 5)},
    {"number!": [3, (7, 8.25), None]},
    {"number!": (None, None)},
    {"id!": [(None, 2**60 + 300), None]},
    {"taken!": ["2019", None]},
    {"owner": "aNN"},
    {"keywords": "SEA"},
    {"keywords!": ["boat", None]},
    {"owner!": "Ann"},
    {"owner!": ["ann", None]},
    {"owner!": "nobody"},
    {"owner!": HOSTILE},
    {"name!": "IMAGE 7"},
    {"name!": ["strasse", "1"]},
    {"name!": []},
    {"name!": "%"},
]


@pytest.fixture(scope="module")
def collection(milvus, tmp_path_factory):
    """Rows with hostile names, texts, numbers and dates, some empty, in an exact index of Milvus."""
    random = np.random.default_rng(0)
    names = [
        f"{('a', 'a/b', 'ab', 'c d', 'e')[row % 5]}/image {row} {HOSTILE[row % len(HOSTILE)]}.jpg" for row in range(N)
    ]
    folder = tmp_path_factory.mktemp("filters")
    vectors = saved(folder, clustered(N, 24), names)
    with (folder / "v.columns.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "number", "id", "taken", "owner", "like", "keywords"])
        for row, name in enumerate(names):
            number = "" if row % 11 == 0 else f"{random.normal() * 10:.3f}" if row % 3 else str(row % 9)
            taken = "" if row % 13 == 0 else str(np.datetime64("2019-01-01") + row % 500)
            owner = "" if row % 7 == 0 else ("Ann", "Bob", *HOSTILE)[row % 14]
            words = ("sea; boat", "Sea", "", "boat;sky")[row % 4]
            large = "" if row % 17 == 0 else 2**60 + row
            writer.writerow([name, number, large, taken, owner, "in" if row % 2 else "like", words])
    return opened(vectors, milvus.build(vectors, "filters", similarity="cosine"))


@pytest.mark.parametrize("where", WHERES, ids=str)
def test_milvus_filter_matches_exact_search(collection, where):
    queries = [3, 500, N - 1]
    found = collection.nearest_many(queries, K, where=where, reranked=True)
    expected = collection.nearest_many(queries, K, exact=True, where=where)
    assert list(map(rows_of, found)) == list(map(rows_of, expected))
    assert {row for hits in found for row in rows_of(hits)} <= set(np.flatnonzero(collection.matching(where)).tolist())


@pytest.mark.parametrize("where", [where for where in WHERES if not {"name", "name!"} & {*where}], ids=str)
def test_filter_without_names_becomes_an_expression(collection, where):
    part = collection.searcher.subset(where).index
    assert part is not None and "row in" not in part.where
    assert collection.index.backend.count(part.where) == part.ntotal == collection.matching(where).sum()


def test_rows_and_masks_are_searched_too(collection):
    rows = np.arange(0, N, 3)
    mask = np.isin(np.arange(N), rows)
    assert rows_of(collection.nearest(4, K, where=rows)) == rows_of(collection.nearest(4, K, where=mask))
    assert rows_of(collection.nearest(4, K, where=rows)) == rows_of(collection.nearest(4, K, exact=True, where=rows))
    part = collection.index.backend.restrict(mask, None, probe_all=True)
    found, _ = part.search(collection.compared[:1].astype(np.float32), 5)
    assert part.where.startswith("row in [0,3,6") and found.shape == (1, 5)


def test_changed_columns_reach_milvus_with_add(milvus, tmp_path):
    vectors = saved(tmp_path, clustered(300, 16))
    manifest = milvus.build(vectors, "changed")
    table = tmp_path / "v.columns.csv"
    table.write_text("name,stars\n" + "".join(f"{row % 10}/image {row}.jpg,{row % 5}\n" for row in range(300)))
    later = opened(vectors, manifest)
    assert later.searcher.subset({"stars": 2}).index.where.startswith("row in")
    rebuilt = milvus.build(vectors, "changed")
    assert opened(vectors, rebuilt).searcher.subset({"stars": 2}).index.where.startswith("((c")
    table.write_text("name,stars\n" + "".join(f"{row % 10}/image {row}.jpg,{row % 3}\n" for row in range(300)))
    changed = opened(vectors, rebuilt)
    assert changed.searcher.subset({"stars": 2}).index.where.startswith("row in")
    assert all(row % 3 == 2 for row in rows_of(changed.nearest(0, 20, where={"stars": 2})))
    add(vectors, rebuilt)
    added = opened(vectors, rebuilt)
    assert added.searcher.subset({"stars": 2}).index.where.startswith("((c")
    assert all(row % 3 == 2 for row in rows_of(added.nearest(0, 20, where={"stars": 2})))


def test_literals_are_escaped():
    assert quote('a"\\') == '"a\\"\\\\"'
    assert quote("line\nbreak") == '"line\\nbreak"'
    assert quote(-1.5) == "-1.5"


def test_values_unknown_to_milvus_have_no_expression():
    columns = Columns({"name": texts(["a.jpg", "b.jpg"]), "size": np.array([1.0, np.nan])})

    def given(**where):
        return columns.conditions(where)

    assert match_conditions(given(size=1), {}, True) is None
    assert match_conditions(given(size=(1, 2)), {"size": "c1_size"}, True).endswith(
        "c1_size >= 1.0 and c1_size <= 2.0))"
    )
    assert match_conditions(given(name="a"), {"name": "name_folded"}, True) == '(name_folded like "%a%")'
    negated = match_conditions(
        columns.conditions({"name!": "a", "size": 1}), {"name": "name_folded", "size": "c"}, True
    )
    assert negated.startswith('not (name_folded like "%a%") and ((c > ')
    assert match_conditions(given(name="a"), {"name": "name_folded"}, False) is None
    assert match_conditions(given(name="50%"), {"name": "name_folded"}, True) is None
