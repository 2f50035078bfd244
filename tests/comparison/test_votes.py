"""The file of votes survives killed processes and damaged lines."""

import csv
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from conftest import ROOT

from similar_images.comparison.votes import HEADER, Vote, append, join, latest, read, remove_last, timestamp

VOTE = Vote(timestamp(), "ann", 'a, "b".jpg', "old", "new", "new", ("ä.jpg", "c;d.jpg"), ('e".jpg', "f.jpg"), "left")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "votes.csv"


def test_written_vote_is_read_by_any_csv_reader(file):
    votes = [VOTE, VOTE._replace(vote="tie"), VOTE._replace(voter="Bob O'Neil", left="old", list_a=())]
    for vote in votes:
        append(file, vote)
    assert read(file) == votes
    with file.open(newline="", encoding="utf-8") as lines:
        first = next(csv.DictReader(lines))
    assert first["query"] == VOTE.query and json.loads(first["list_b"]) == ['e".jpg', "f.jpg"]


def test_names_like_formulas_are_quoted_in_the_file_and_read_as_they_were(file):
    vote = VOTE._replace(query="=HYPERLINK(1).jpg", a="@old", b="-new", left="-new", list_a=("=a.jpg",))
    twice = VOTE._replace(query="'=quoted.jpg")
    for each in (vote, twice):
        append(file, each)
    assert read(file) == [vote, twice]
    for row in csv.reader(file.read_text().splitlines()[1:]):
        assert not any(cell.startswith(("=", "@", "+", "-")) for cell in row)


def test_older_file_with_raw_names_is_read(file):
    cells = [timestamp(), "ann", "=a.jpg", "@old", "new", "new", '["=b.jpg"]', "[]", "left"]
    with file.open("w", newline="") as lines:
        csv.writer(lines, lineterminator="\n").writerows([HEADER.decode().strip().split(","), cells])
    assert read(file)[0][2:7] == ("=a.jpg", "@old", "new", "new", ("=b.jpg",))


def test_the_last_matching_vote_is_removed_and_the_rest_stays_byte_for_byte(file):
    votes = [
        VOTE._replace(voter=voter, vote=choice) for voter, choice in (("ann", "left"), ("ann", "tie"), ("bob", "tie"))
    ]
    for vote in votes:
        append(file, vote)
    lines = file.read_bytes().splitlines(keepends=True)
    assert remove_last(file, lambda vote: vote.voter == "ann") == votes[1]
    assert file.read_bytes() == b"".join(lines[:2] + lines[3:])
    assert remove_last(file, lambda vote: vote.voter == "eve") is None
    assert remove_last(file.with_name("nowhere.csv"), lambda vote: True) is None
    assert not file.with_name("nowhere.csv").exists()
    file.write_bytes(file.read_bytes() + b"2030-01-01,ann,cut")
    assert remove_last(file, lambda vote: vote.voter == "ann") == votes[0]
    assert read(file) == [votes[2]]


def test_concurrent_votes_and_undos_are_all_kept(file):
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from similar_images.comparison.votes import *\n"
        "file, voter = Path(sys.argv[2]), sys.argv[3]\n"
        "for number in range(60):\n"
        "    append(file, Vote(timestamp(), voter, str(number), 'a', 'b', 'a', ('x',), ('y',), 'left'))\n"
        "    if voter == 'undoes':\n"
        "        assert remove_last(file, lambda vote: vote.voter == voter).query == str(number)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(file), voter])
        for voter in ("undoes", "one", "two")
    ]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    kept = [(vote.voter, vote.query) for vote in read(file)]
    assert sorted(kept) == sorted((voter, str(number)) for voter in ("one", "two") for number in range(60))


def test_the_winner_follows_from_side_and_vote():
    assert VOTE.winner == "new"
    assert VOTE._replace(vote="right").winner == VOTE._replace(left="old").winner == "old"
    assert VOTE._replace(vote="tie").winner is VOTE._replace(vote="neither").winner is None


def test_file_cut_at_any_byte_keeps_complete_votes(file):
    for voter in ("ann", "bob"):
        append(file, VOTE._replace(voter=voter))
    content = file.read_bytes()
    ends = [at for at, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        file.write_bytes(content[:length])
        whole = sum(end <= length for end in ends[1:])  # the last end itself may be missing
        assert len(read(file)) == whole
        assert file.read_bytes() == content[:length]  # to read changes nothing
        append(file, VOTE._replace(voter="eve"))
        assert [vote.voter for vote in read(file)] == [*["ann", "bob"][:whole], "eve"]
        assert file.read_bytes().startswith(HEADER) and file.read_bytes().endswith(b"\n")


def test_killed_process_loses_no_vote(file):
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from similar_images.comparison.votes import *\n"
        "vote = Vote(timestamp(), 'ann', 'q', 'a', 'b', 'a', ('x' * 2000,) * 40, ('y',), 'left')\n"
        "for number in range(100_000):\n"
        "    append(Path(sys.argv[2]), vote._replace(query=str(number)))\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = [process.stdout.readline() for _ in range(20)]
        process.kill()
        said = [int(line) for line in [*first, *process.stdout.read().split()]]
    assert process.returncode == -signal.SIGKILL
    queries = [int(vote.query) for vote in read(file)]
    assert queries == list(range(len(queries))) and len(queries) in (len(said), len(said) + 1)
    append(file, VOTE)
    assert read(file)[-1] == VOTE


def test_file_saved_by_a_spreadsheet_is_read(file):
    append(file, VOTE)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    append(file, VOTE)
    assert read(file) == [VOTE, VOTE]


@pytest.mark.parametrize("content", [b"image,labels\na.jpg,dog\n", b"\x89PNG\r\n\x1a\n\0\0", b"no line", b"\n"])
def test_foreign_file_is_refused_unchanged(file, content):
    file.write_bytes(content)
    for use in (read, lambda file: append(file, VOTE)):
        with pytest.raises(
            ValueError, match=r"votes.csv is not a file of votes: expected the columns time, .*; choose another"
        ):
            use(file)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b",left\n", b",up\n", "expected one of left, right, tie, neither, got 'up'"),
        (b",left\n", b"\n", "expected 9 cells, got 8"),
        (b",new,new,", b",new,other,", "expected two systems, one of them on the left"),
        (b",ann,", b",=1+1,", "expected a voter's name"),
        (b'"["', b'"{"', "not a vote: .*delimiter"),
    ],
)
def test_a_damaged_line_is_named(file, old, new, reason):
    append(file, VOTE)
    append(file, VOTE)
    head, _, last = file.read_bytes().rstrip(b"\n").rpartition(b"\n")
    assert old in head + b"\n"
    file.write_bytes((head + b"\n").replace(old, new) + last + b"\n")
    with pytest.raises(ValueError, match=rf"votes.csv, line 2 is not a vote: .*{reason}|line 2 is {reason}"):
        read(file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vote": "up"}, "expected one of left, right, tie, neither"),
        ({"voter": "=HYPERLINK(1)"}, "expected a voter's name"),
        ({"voter": ""}, "expected a voter's name"),
        ({"query": "a\nb"}, "expected names without line breaks"),
        ({"left": "third"}, "expected two systems"),
    ],
)
def test_invalid_vote_is_not_written(file, change, reason):
    with pytest.raises(ValueError, match=reason):
        append(file, VOTE._replace(**change))
    assert not file.exists()


def test_joined_files_keep_each_voters_latest_vote(tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    early, late = (timestamp(datetime(2030, 1, day, tzinfo=UTC)) for day in (1, 2))
    changed = VOTE._replace(time=late, vote="right", a="new", b="old")
    other = [VOTE._replace(time=early, voter="bob"), VOTE._replace(time=early, a="third")]
    append(first, changed)
    for vote in (VOTE._replace(time=early), *other):
        append(second, vote)
    for files in ([first, second], [str(second), str(first)], [first, second, first]):
        assert join(files) == [*other, changed]
    assert latest([]) == []
    with pytest.raises(FileNotFoundError):
        join([tmp_path / "nowhere.csv"])


def test_times_are_in_utc_and_sort_as_text():
    moment = datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2029-12-31T23:00:00.000+00:00"
    assert timestamp(moment) < timestamp(moment + timedelta(milliseconds=1))
