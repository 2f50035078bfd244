"""The check for plain English counts convoluted phrases in prose, not in code."""

import runpy
from pathlib import Path

import pytest
from conftest import ROOT

CHECK = runpy.run_path(str(ROOT / "scripts" / "check_prose.py"))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("what reads it", 1),
        ("that is", 1),
        ("which has it", 1),
        ("that of search", 1),
        ("where there is", 1),
        ("goes on anew", 2),
        ("where rows end", 0),
        ("unreadable images are skipped", 0),
    ],
)
def test_convoluted_phrases_are_counted(text, count):
    assert len(CHECK["PHRASES"].findall(text)) == count


def test_docstrings_comments_messages_and_test_names_are_prose(tmp_path):
    file, phrase = tmp_path / "module.py", "which has been"
    lines = (f'"""Return rows {phrase}."""', f"# rows {phrase}", f'x = "rows, {phrase}"', "def test_what_is(): pass")
    file.write_text("\n".join(lines) + '\nwhich_has = "which has"\n')
    words, places = CHECK["count_phrases"]([file])
    assert [place.rpartition(": ")[2] for place in places] == ["which has"] * 3 + ["what is"]
    assert words == 5 + 4 + 4 + 3


def test_code_in_documentation_is_not_counted(tmp_path):
    file, phrase = tmp_path / "page.md", "which has rows"
    file.write_text(f"A file {phrase}\n```\na file {phrase}\n```\n")
    assert CHECK["count_phrases"]([file]) == (4, [f"{file}:1: which has"])


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("similar_images/files.py", "package"),
        ("Makefile", "package"),
        ("docs/files.md", "docs"),
        ("docs/reference/commands.md", None),
        ("tests/test_files.py", "tests"),
        ("sample.jpg", None),
    ],
)
def test_files_belong_to_groups(name, group):
    assert CHECK["group_of"](Path(name)) == group
