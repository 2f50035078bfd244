"""Read texts, one per line or from a column of a table."""

import csv
import io
import json

import pytest

from similar_images.inputs.names import read_names, write_names
from similar_images.inputs.texts import read_texts, text_list_path, to_one_line

SAID = ["first", 'she said "hi", twice', "עברית مرحبا", "😀 café", "", "last"]


@pytest.fixture
def file(tmp_path):
    """Write a file of this name and content."""

    def write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def table(rows: list[tuple]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def test_one_text_per_line(file):
    assert read_texts(file("a.txt", "".join(f"{text}\n" for text in SAID))) == SAID
    assert read_texts(file("windows.txt", "one\r\ntwo")) == ["one", "two"]
    assert read_texts(file("bom.txt", "\ufeffone\n")) == ["one"]


def test_txt_lines_equal_the_list(file):
    path = file("a.txt", "one\u2028half\r\n\n two \x0b\nthree")
    assert read_texts(path) == read_names(path)


@pytest.mark.parametrize("column", [None, "text"])
def test_column_of_a_csv(file, column):
    path = file("a.csv", table([("id", "text"), *enumerate(SAID)]))
    assert read_texts(path, column) == SAID


def test_quoted_line_break_becomes_a_space(file):
    path = file("a.csv", 'text\n"two\nlines"\n"\r\nthree\r\n"\n')
    assert read_texts(path) == ["two lines", " three"]


def test_only_column_needs_no_name(file):
    assert read_texts(file("a.csv", "review\ngood\nbad\n")) == ["good", "bad"]


def test_tsv_has_no_quotes(file):
    assert read_texts(file("a.tsv", 'text\tid\n"unbalanced\t1\nplain\t2\n')) == ['"unbalanced', "plain"]


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.csv", 'id;text\n1;"one; two, three"\n2;four, five\n', None),
        ("a.csv", 'id\ttext\n1\t"one; two, three"\n2\tfour, five\n', None),
        ("a.csv", 'id, stars;said\n1;"one; two, three"\n2;four, five\n', "said"),
        ("a.csv", ';"text";x\n1;"one; two, three";\n2;"four, five";\n', None),
        ("a.csv", 'id, text\n1,"one; two, three"\n2,"four, five"\n', None),
        ("a.tsv", 'id;text\n1;"one; two, three"\n2;four, five\n', None),
        ("a.tsv", '"id"\t"text"\n"1"\t"one; two, three"\n"2"\t"four, five"\n', None),
        ("a.tsv", "id\ttext\n1\tone; two, three\n2\tfour, five\n", None),
    ],
)
def test_header_decides_separator_and_quotes(file, name, content, column):
    assert read_texts(file(name, content), column) == ["one; two, three", "four, five"]


def test_key_of_json_lines(file):
    lines = [json.dumps({"id": 1, "text": text}) for text in SAID] + ["", '{"id": 2, "text": null}']
    assert read_texts(file("a.jsonl", "\n".join(lines))) == [*SAID, ""]


def test_lone_surrogate_in_json_can_be_listed(file, tmp_path):
    texts = read_texts(file("a.jsonl", '{"text": "half \\ud83d"}\n'))
    write_names(tmp_path / "list.txt", texts)
    assert read_names(tmp_path / "list.txt") == texts


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings(file, encoding):
    path = file("a.csv", "text\ncafé\n".encode(encoding))
    assert read_texts(path, encoding=encoding) == ["café"]


def test_two_hundred_thousand_rows_and_ten_megabytes_in_one(file):
    rows = [("text",), *((f"row {row}",) for row in range(200_000)), ("x" * 10_000_000,)]
    texts = read_texts(file("a.csv", table(rows)))
    assert (len(texts), texts[199_999], len(texts[-1])) == (200_001, "row 199999", 10_000_000)


@pytest.mark.parametrize("broken", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x1e"])
def test_line_breaks_in_a_text_become_spaces(broken, tmp_path):
    text = to_one_line(f"one{broken}two")
    write_names(tmp_path / "list.txt", [text, "three"])
    assert read_names(tmp_path / "list.txt") == ["one two", "three"]


@pytest.mark.parametrize(
    "name, content, options, message",
    [
        ("a.txt", "", {}, "a.txt is empty: expected texts"),
        ("a.txt", "\n\n", {}, "a.txt is empty: expected texts"),
        ("a.csv", "", {}, "a.csv is empty: expected texts"),
        ("a.csv", "text\n", {}, "a.csv is empty: expected texts"),
        ("a.csv", b"text\ncaf\xe9\n", {}, "a.csv is not in utf-8: specify its encoding with --encoding"),
        ("a.txt", b"\xff\xfeo\x00", {}, "a.txt is not in utf-8"),
        ("a.csv", "id,said\n1,x\n", {}, "no column text: choose one of id, said with --column"),
        ("a.csv", "id,text\n1,x\n", {"column": "said"}, "no column said: choose one of id, text"),
        ("a.csv", "id,text\n1,x\n2,a, b\n", {}, "line 3: expected 2 fields, as in line 1, got 3"),
        ("a.csv", "id;said\n1;x\n", {}, "no column text: choose one of id, said with --column"),
        ("a.csv", "\nid,text\n1,x\n", {}, "line 1 is empty: expected the names of the columns"),
        ("a.csv", "id;text\n1;x\n2,y\n", {}, "line 3: expected 2 fields, as in line 1, got 1"),
        ("a.csv", 'text\n"never closed\n', {}, "line 2: expected a CSV table with quoted texts"),
        ("a.tsv", "id\ttext\n1\tx\ntwo\n", {}, "line 3: expected 2 fields, as in line 1, got 1"),
        ("a.jsonl", '{"text": "x"}\n{"text"\n', {}, "line 2: Expecting"),
        ("a.jsonl", '["x"]\n', {}, "line 1: expected a JSON object"),
        ("a.jsonl", '{"text": 5}\n', {}, "line 1: expected a text in text, got 5"),
        ("a.jsonl", '{"text": "x"}\n{"said": "x", "id": 1}\n', {}, "line 2: no column text"),
        ("a.jsonl", "[" * 100_000, {}, "line 1: "),
        ("a.txt", "one\n", {"column": "text"}, "no columns: omit --column"),
        ("a.pdf", "one\n", {}, "expected a file of texts ending in .txt, .csv, .tsv, .jsonl"),
    ],
)
def test_error_names_the_line(file, name, content, options, message):
    with pytest.raises(ValueError) as raised:
        read_texts(file(name, content), **options)
    assert message in str(raised.value)


def test_list_path_of_a_table_is_another_file(tmp_path):
    assert text_list_path(tmp_path / "a.txt") == tmp_path / "a.txt"
    assert text_list_path(tmp_path / "a.txt", "latin-1") == tmp_path / "a_list.txt"
    assert text_list_path(tmp_path / "a.csv") == tmp_path / "a_list.txt"
