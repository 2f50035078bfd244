"""The texts of Sentiment140 (Go, Bhayani & Huang 2009), from its zip to a CSV of the column `text`."""

import csv
import io
import zipfile
import zlib
from itertools import islice
from pathlib import Path

from similar_images.files import replacing
from similar_images.inputs.texts import read_texts

TABLE = "training.1600000.processed.noemoticon.csv"  # polarity, id, date, query, user, text; no header
FIELDS = 6
ENCODING = "latin-1"


def extract(archive: Path, output: Path, count: int) -> None:
    """Write the texts of the first `count` tweets in the zip, whole or not at all.

    Raises ValueError where it is not that zip.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if damaged := opened.testzip():
                raise ValueError(f"{damaged} in it is damaged")
            with opened.open(TABLE) as file:
                rows = csv.reader(io.TextIOWrapper(file, ENCODING, newline=""))
                texts = [_text(row, rows.line_num) for row in islice(rows, count)]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"it is not a whole zip ({error})") from error
    except KeyError:
        raise ValueError(f"there is no {TABLE} in it") from None
    except csv.Error as error:
        raise ValueError(f"{TABLE} is damaged: {error}") from error
    if len(texts) < count:
        raise ValueError(f"expected {count} tweets or more in {TABLE}, got {len(texts)}")
    with replacing(output) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("text",))
        table.writerows((text,) for text in texts)


def check(texts: Path, count: int) -> None:
    """Raise ValueError where a CSV does not hold `count` texts."""
    found = len(read_texts(texts, "text"))
    if found != count:
        raise ValueError(f"{texts}: expected {count} texts, got {found}")


def _text(row: list[str], line: int) -> str:
    if len(row) != FIELDS:
        raise ValueError(f"{TABLE}, line {line}: expected {FIELDS} fields, got {len(row)}")
    return row[-1]
