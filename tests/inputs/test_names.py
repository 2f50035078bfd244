"""Names of images: how they are shown in a terminal and kept in a CSV file."""

import csv
import io

import pytest

from similar_images.inputs.names import escape_line, from_csv_cell, to_csv_cell


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.jpg", "plain.jpg"),
        ("größe 写真 ①.jpg", "größe 写真 ①.jpg"),
        ("at\u202f3\u00a0pm.png", "at\u202f3\u00a0pm.png"),  # spaces that macOS puts in names
        ("\x1b]0;owned\x07.jpg", r"\x1b]0;owned\x07.jpg"),
        ("\x1b[2J\x9b31m.jpg", r"\x1b[2J\x9b31m.jpg"),
        ("line\r\nfeed\t.jpg", r"line\r\nfeed\t.jpg"),
        ("\u202egpj.exe", r"\u202egpj.exe"),  # shows what follows from right to left
        ("caf\udce9.jpg", r"caf\udce9.jpg"),  # a byte that is not UTF-8
        ("line\u2028.jpg", r"line\u2028.jpg"),
    ],
    ids=ascii,
)
def test_a_name_is_printed_without_what_controls_a_terminal(name, shown):
    assert escape_line(name) == shown
    escape_line(name).encode("utf-8")


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_a_spreadsheet_reads_no_name_as_a_formula(first):
    for name in (f"{first}HYPERLINK(1).jpg", f"'{first}a.jpg", f"''{first}a.jpg"):
        cell = to_csv_cell(name)
        assert cell.startswith("'") and cell.endswith(name)
        assert from_csv_cell(cell) == name


@pytest.mark.parametrize("name", ["a.jpg", "'a'.jpg", "a=b.jpg", "'", ""])
def test_other_names_stay_as_they_are_in_a_csv(name):
    assert to_csv_cell(name) == from_csv_cell(name) == name


def test_names_come_back_from_a_csv_as_they_were_written():
    names = ["=1+1.jpg", "'=1.jpg", '-a, "b".jpg', "@x", "plain"]
    text = io.StringIO()
    csv.writer(text).writerow(map(to_csv_cell, names))
    (cells,) = csv.reader(io.StringIO(text.getvalue()))
    assert [from_csv_cell(cell) for cell in cells] == names
