"""The texts of Sentiment140 (Go, Bhayani & Huang 2009), read from its zip and written as a CSV with the column `text`."""

import csv
import io
import zipfile
import zlib
from itertools import islice
from pathlib import Path

from similar_images.files import replace_file
from similar_images.inputs.texts import read_texts

TABLE = "training.1600000.processed.noemoticon.csv"  # polarity, id, date, query, user, text; no header
FIELDS = 6
ENCODING = "latin-1"


def extract(archive: Path, output: Path, count: int) -> None:
    """Write the texts of the first `count` tweets in the zip, completely or not at all.

    Raises ValueError if the zip is damaged or another one.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if damaged := opened.testzip():
                raise ValueError(f"expected a complete zip, got {damaged} damaged in it")
            with opened.open(TABLE) as file:
                rows = csv.reader(io.TextIOWrapper(file, ENCODING, newline=""))
                texts = [_text(row, rows.line_num) for row in islice(rows, count)]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"expected a complete zip, got a damaged one ({error})") from error
    except KeyError:
        raise ValueError(f"expected {TABLE} in the zip, got other files") from None
    except csv.Error as error:
        raise ValueError(f"expected a CSV in {TABLE}, got a damaged one: {error}") from error
    if len(texts) < count:
        raise ValueError(f"expected {count} tweets or more in {TABLE}, got {len(texts)}")
    with replace_file(output) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("text",))
        table.writerows((text,) for text in texts)


def check(texts: Path, count: int) -> None:
    """Raise ValueError unless a CSV has `count` texts."""
    found = len(read_texts(texts, "text"))
    if found != count:
        raise ValueError(f"{texts}: expected {count} texts, got {found}")


def _text(row: list[str], line: int) -> str:
    if len(row) != FIELDS:
        raise ValueError(f"{TABLE}, line {line}: expected {FIELDS} fields, got {len(row)}")
    return row[-1]
