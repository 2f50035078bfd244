"""get_sentiment140.sh: the texts of the tweets."""

import csv
import io
import shutil

import pytest
from conftest import ROOT
from downloads import TWEETS, assert_fails, files, make_zip, ranges, run, write_tool

TEXTS = "tweets/texts_20k.csv"
TABLE = "training.1600000.processed.noemoticon.csv"
SAID = ["Need a hug ", 'she said "hi", twice', "two\nlines", "caf\xe9 \xa3 5", "@you &lt;3", "one too many"]


def tweets_zip(said=SAID, name=TABLE, fields=("0", "1467810369", "Mon Apr 06 22:19:45 PDT 2009", "NO_QUERY", "me")):
    table = io.StringIO()
    csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows((*fields, text) for text in said)
    return make_zip({name: table.getvalue().encode("latin-1"), "testdata.manual.2009.06.14.csv": b'"4","3"\n'})


def assert_tweets_are_complete(result, folder):
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{TEXTS}: 5 texts\n"
    with (folder / TEXTS).open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == SAID[:5]


def test_the_tweets_are_downloaded_and_their_texts_taken(folder, path, server):
    server.content = tweets_zip()
    assert_tweets_are_complete(run(TWEETS, folder, path, server), folder)
    assert files(folder) == [TEXTS]
    assert server.requests == [("GET", "/tweets.zip", None)]
    again = run(TWEETS, folder, path, server)
    assert_tweets_are_complete(again, folder)
    assert "already complete" in again.stderr
    assert len(server.requests) == 1


def test_tweets_over_a_broken_connection_resume(folder, path, server):
    server.content, server.breaks = tweets_zip(), 1
    assert_tweets_are_complete(run(TWEETS, folder, path, server), folder)
    assert ranges(server) == [None, f"bytes={len(server.content) // 2}-"]


@pytest.mark.parametrize(
    "content, message",
    [
        (tweets_zip(name="other.csv"), f"expected {TABLE} in the zip, got other files"),
        (tweets_zip(SAID[:4]), f"expected 5 tweets or more in {TABLE}, got 4"),
        (tweets_zip(fields=("0",)), "line 1: expected 6 fields, got 2"),
        (tweets_zip()[:100], "expected a complete zip, got a damaged one"),
        (tweets_zip().replace(b"Need a hug", b"Need a mug"), "damaged in it"),
        (b"no zip", "expected a complete zip, got a damaged one"),
    ],
    ids=["another table", "too few", "other fields", "half", "altered", "no zip"],
)
def test_unexpected_tweets_are_refused(content, message, folder, curl, server):
    server.content = content
    assert_fails(run(TWEETS, folder, curl, server), message, "the download was removed. Rerun to start over")
    assert files(folder) == []
    server.content = tweets_zip()
    assert_tweets_are_complete(run(TWEETS, folder, curl, server), folder)


def test_other_texts_of_that_name_are_never_overwritten(folder, curl, server):
    (folder / "tweets").mkdir()
    (folder / TEXTS).write_text("text\nmine\n")
    assert_fails(run(TWEETS, folder, curl, server), f"{TEXTS}: expected 5 texts, got 1; move it away and rerun")
    assert (folder / TEXTS).read_text() == "text\nmine\n"
    assert server.requests == []


def test_tweets_without_python_say_how_to_install_it(folder, tmp_path, tools, server):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    write_tool(tools, "python3", "exit 1")
    result = run(tmp_path / TWEETS, folder, tools, server)
    assert_fails(result, "expected Python 3.11 or later")
