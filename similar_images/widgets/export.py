"""Export hits: a CSV of their names, or a contact sheet as a picture or a page."""

import csv
import io

from PIL import Image, ImageDraw, ImageFont

from similar_images.collection.searcher import Hit
from similar_images.inputs.names import to_csv_cell
from similar_images.templates import pages
from similar_images.widgets.thumbnails import Thumbnail

COLUMNS, CELL, MARGIN, LINE = 6, 240, 12, 16  # of a picture; cells, then pixels
BACKGROUND, TEXT, EMPTY = "white", "black", "#e8e8e8"


def names_csv(hits: list[Hit], column: str = "name") -> bytes:
    """Return a CSV in UTF-8 with the name and similarity of each hit; `column` is the header of the names."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow((column, "similarity"))
    rows.writerows((to_csv_cell(hit.name), f"{hit.similarity:.4f}") for hit in hits)
    return file.getvalue().encode()


def contact_page(query: str, hits: list[Hit], thumbnails: dict[int, Thumbnail]) -> bytes:
    """Return the hits as one self-contained HTML page."""
    pictures = [
        (hit, pages.jpeg_url(picture) if isinstance(picture := thumbnails[hit.row], bytes) else None) for hit in hits
    ]
    return pages.render("contact_sheet.html", query=query, hits=pictures).encode()


def contact_picture(hits: list[Hit], thumbnails: dict[int, Thumbnail]) -> bytes:
    """Return a PNG of the hits in rows of COLUMNS, with their names."""
    columns = min(COLUMNS, len(hits))
    step = CELL + MARGIN
    size = MARGIN + columns * step, MARGIN + -(-len(hits) // columns) * (step + LINE)
    sheet, font = Image.new("RGB", size, BACKGROUND), ImageFont.load_default(LINE - 4)
    draw = ImageDraw.Draw(sheet)
    for i, hit in enumerate(hits):
        x, y = MARGIN + i % columns * step, MARGIN + i // columns * (step + LINE)
        draw.rectangle((x, y, x + CELL, y + CELL), EMPTY)
        if isinstance(thumbnail := thumbnails[hit.row], bytes):
            picture = Image.open(io.BytesIO(thumbnail))
            picture.thumbnail((CELL, CELL))
            sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
        draw.text((x, y + CELL + 2), _shorten(hit.name, draw, font), TEXT, font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _shorten(name: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a name, shortened at its start to the width of a picture."""
    shown = name
    while draw.textlength(shown, font) > CELL and len(shown) > 1:
        shown = "…" + shown.lstrip("…")[1:]
    return shown
