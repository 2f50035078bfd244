"""Names and cells in the output of commands: a terminal obeys none of them, and a skipped column is one line."""

import csv

import pytest
from arrays import clustered
from collection_files import save_indexed

from similar_images.collection import overview

N = 240
HOSTILE = "\x1b[31m\x9b5m\x07\u200d"  # the last is a joiner, which belongs to names and emoji
ESCAPES = {"\x1b", "\x9b", "\x07", "\r"}


@pytest.fixture
def listed(tmp_path) -> str:
    """A collection whose names, folders and table have control characters."""
    (tmp_path / "v.columns.csv").write_text(f"name,{HOSTILE},=cmd()\n{name(0)},{HOSTILE},=1\n")
    return save_indexed(tmp_path / "v.npy", clustered(N, 24), list(map(name, range(N))), recipe="flat").name


def name(row: int) -> str:
    return f"{HOSTILE}{row % 2}/{HOSTILE}{row}.jpg"


FOUND = [
    ("search", "-i", "LIST", name(0)),
    ("search", "-i", "LIST", "--json", name(0)),
    ("search", "-i", "LIST", name(0), "--where", f"folder={HOSTILE}1"),
    ("duplicates", "LIST", "-t", "0.2"),
    ("clusters", "LIST"),
    ("map", "LIST"),
    ("export", "LIST", "-o", "out.csv"),
    ("evaluate", "LIST", "--queries", "20"),
    ("evaluate", "LIST", "--queries", "20", "--csv"),
    ("build", "-i", "LIST", "--overwrite", "-v"),
]
REFUSED = [
    ("search", "-i", "LIST", f"{HOSTILE}.jpg"),
    ("search", "-i", "LIST", name(0), "--where", f"{HOSTILE}x=1"),
    ("search", "-i", "LIST", name(0), "--where", f"folder={HOSTILE}9"),
    ("evaluate", "LIST", "--labels", f"{HOSTILE}.csv"),
]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [*((one, 0) for one in FOUND), *((one, 1) for one in REFUSED)],
    ids=[" ".join(one[:1] + one[2:]).encode("unicode_escape").decode() for one in FOUND + REFUSED],
)
def test_no_command_prints_control_characters(run, listed, arguments, code):
    done = run(*(listed if argument == "LIST" else argument for argument in arguments))
    said = done.stdout + done.stderr
    assert done.returncode == code and said and not ESCAPES.intersection(said), said


def test_a_table_on_stdout_has_no_control_characters_but_a_file_has_exact_names(run, listed, tmp_path):
    assert run("duplicates", listed, "-t", "0.2", "--csv", "out.csv").returncode == 0
    exact = {line["name"] for line in csv.DictReader((tmp_path / "out.csv").read_text().splitlines())}
    printed = {line["name"] for line in csv.DictReader(run("duplicates", listed, "-t", "0.2").stdout.splitlines())}
    assert name(0) in exact and printed == {
        one.replace("\x1b", "\\x1b").replace("\x9b", "\\x9b").replace("\x07", "\\x07") for one in exact
    }


def test_paths_are_exact_for_other_commands_but_not_in_a_terminal(run, listed, tmp_path, monkeypatch):
    for row in range(N):
        (tmp_path / name(row)).parent.mkdir(exist_ok=True)
        (tmp_path / name(row)).touch()
    paths = run("search", "-i", listed, "-d", ".", "--paths", "-k", "3", name(0)).stdout.splitlines()
    assert len(paths) == 3 and all(path.startswith(HOSTILE) for path in paths)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True)
    assert not ESCAPES.intersection(run("search", "-i", listed, "-d", ".", "--paths", name(0)).stdout)


def test_skipped_columns_give_one_line(run, listed, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "v.columns.csv").unlink()
    names = [name(row) for row in range(N)]
    took = pa.array([3] * N, pa.duration("s"))
    pq.write_table(pa.table({"name": names, "stars": [5] * N, f"{HOSTILE}took": took}), tmp_path / "v.columns.parquet")
    expected = "v.columns.parquet: skipped columns: \\x1b[31m\\x9b5m\\x07\\u200dtook (duration[s])\n"
    for arguments in (("search", "-i", listed, name(0), "--where", "stars=5"), ("export", listed, "-o", "out.csv")):
        done = run(*arguments)
        assert done.returncode == 0 and done.stderr.count(expected) == 1 and "Warning" not in done.stderr


def test_a_map_that_cannot_be_kept_is_one_line(run, listed, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "not writable")

    monkeypatch.setattr(overview, "replace_file", fail)
    assert "cannot write" in run("clusters", listed).stderr
