"""Show names in a terminal and keep them in a CSV file."""

import pytest

from similar_images.inputs.names import escape_line, from_csv_cell, to_csv_cell


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.jpg", "plain.jpg"),
        ("größe 写真 ①.jpg", "größe 写真 ①.jpg"),
        ("at\u202f3\u00a0pm.png", "at\u202f3\u00a0pm.png"),  # spaces of macOS
        ("\x1b]0;owned\x07.jpg", r"\x1b]0;owned\x07.jpg"),
        ("\x1b[2J\x9b31m.jpg", r"\x1b[2J\x9b31m.jpg"),
        ("line\r\nfeed\t.jpg", r"line\r\nfeed\t.jpg"),
        ("\u202egpj.exe", r"\u202egpj.exe"),  # reverses the following text
        ("caf\udce9.jpg", r"caf\udce9.jpg"),  # invalid UTF-8
        ("line\u2028.jpg", r"line\u2028.jpg"),
    ],
    ids=ascii,
)
def test_printed_name_has_no_control_characters(name, shown):
    assert escape_line(name) == shown
    escape_line(name).encode("utf-8")


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_formula_is_quoted_in_csv(first):
    for name in (f"{first}HYPERLINK(1).jpg", f"'{first}a.jpg", f"''{first}a.jpg"):
        cell = to_csv_cell(name)
        assert cell.startswith("'") and cell.endswith(name)
        assert from_csv_cell(cell) == name


@pytest.mark.parametrize("name", ["a.jpg", "'a'.jpg", "a=b.jpg", "'", ""])
def test_other_names_are_unchanged_in_csv(name):
    assert to_csv_cell(name) == from_csv_cell(name) == name
