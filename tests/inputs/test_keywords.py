"""Locations, keywords and ratings in real files, as columns and in filters."""

import io
import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
from labelled_files import GPS, PARIS, RIO, degrees, exif, iptc, photograph, xmp
from PIL import ExifTags, Image, ImageFile, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from similar_images import Collection
from similar_images.inputs.exif import EXIF_COLUMNS, Photograph, parse_exif
from similar_images.inputs.keywords import MAX_KEYWORD_CHARS, MAX_KEYWORDS_CHARS
from similar_images.widgets.filters import offer

PHOTOGRAPHS = {
    "paris.jpg": photograph(exif=exif(PARIS), xmp=xmp(["Beach", "caf\u00e9 noir"], 5)),
    "rio.jpg": photograph(exif=exif(RIO, 3, "statue;beach "), segment=iptc([b"Rio", b"caf\xe9"])),
    "rejected.webp": photograph("WEBP", exif=exif(), xmp=xmp(["rain, storm"], -1, as_element=True)),
    "plain.jpg": photograph(xmp=xmp([], 0)),
}
KEYWORDS = ["Beach; caf\u00e9 noir", "Rio; caf\u00e9; statue; beach", "rain, storm", ""]


def read(content: bytes) -> Photograph:
    return parse_exif(io.BytesIO(content))


@pytest.fixture
def collection(tmp_path) -> Collection:
    (tmp_path / "photos").mkdir()
    for name, content in PHOTOGRAPHS.items():
        (tmp_path / "photos" / name).write_bytes(content)
    np.save(tmp_path / "v.npy", np.eye(len(PHOTOGRAPHS), dtype=np.float32))
    (tmp_path / "v.txt").write_text("".join(f"{name}\n" for name in PHOTOGRAPHS))
    opened = Collection.open(tmp_path / "v.npy", images=tmp_path / "photos")
    opened.read_exif()
    return opened


def test_location_keywords_and_rating_become_columns(collection, tmp_path):
    for columns in (collection.columns, Collection.open(tmp_path / "v.npy").columns):
        assert list(columns) == ["name", "folder", *EXIF_COLUMNS]
        assert columns["latitude"].tolist() == pytest.approx([PARIS[0], RIO[0], math.nan, math.nan], nan_ok=True)
        assert columns["longitude"].tolist() == pytest.approx([PARIS[1], RIO[1], math.nan, math.nan], nan_ok=True)
        assert columns["keywords"].tolist() == KEYWORDS
        assert columns["rating"].tolist() == [5, 3, -1, None] and columns["rating"].dtype == np.int64


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"keywords": "beach"}, [0, 1]),
        ({"keywords": "CAFE\u0301"}, [1]),
        ({"keywords": "rain"}, []),
        ({"keywords": ["rio", "rain, storm"]}, [1, 2]),
        ({"keywords": KEYWORDS[1]}, [1]),
        ({"keywords": None}, [3]),
        ({"keywords!": "beach"}, [2, 3]),
        ({"keywords": "beach", "keywords!": "Rio"}, [0]),
        ({"rating": (4, None)}, [0]),
        ({"rating": -1}, [2]),
        ({"rating": None}, [3]),
        ({"latitude": (48, 49), "longitude": (2, 3)}, [0]),
        ({"latitude!": (0, None)}, [1, 2, 3]),
    ],
)
def test_filters_on_metadata(collection, where, rows):
    assert np.flatnonzero(collection.matching(where)).tolist() == rows


def test_each_keyword_is_offered_once(collection):
    offered = {field["column"]: field for field in offer(collection.columns)}
    assert offered["keywords"]["texts"] == ["Beach", "caf\u00e9", "caf\u00e9 noir", "rain, storm", "Rio", "statue"]
    assert offered["rating"]["ends"] == [-1, 5]


def test_an_exported_table_has_equal_columns(collection, tmp_path):
    collection.export(tmp_path / "v.columns.csv")
    (tmp_path / "v.exif.npz").unlink()
    columns = Collection.open(tmp_path / "v.npy").columns
    for column in ("latitude", "keywords", "rating"):
        assert columns[column].tolist() == pytest.approx(collection.columns[column].tolist(), nan_ok=True)
    assert np.flatnonzero(columns.matching({"keywords": "beach"})).tolist() == [0, 1]


@dataclass
class Form:
    """An image format with an option that writes an XMP packet into it."""

    name: str
    options: dict


def png_with(packet: bytes) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    return info


@pytest.mark.parametrize(
    "form",
    [
        Form("JPEG", {"xmp": xmp(["a", "b"], 4)}),
        Form("WEBP", {"xmp": xmp(["a", "b"], 4)}),
        Form("AVIF", {"xmp": xmp(["a", "b"], 4)}),
        Form("PNG", {"pnginfo": png_with(xmp(["a", "b"], 4))}),
        Form("TIFF", {"tiffinfo": {700: xmp(["a", "b"], 4)}}),
        Form("HEIF", {"xmp": xmp(["a", "b"], 4)}),
        Form("JXL", {"xmp": xmp(["a", "b"], 4)}),
    ],
    ids=lambda form: form.name,
)
def test_xmp_is_read_in_every_format_without_decoding(form, monkeypatch):
    import photo_files  # noqa: F401 - registers HEIF and JPEG XL

    content = photograph(form.name, **form.options)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert read(content)[4:] == ("a; b", 4)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "JXL"])
def test_locations_are_read_in_every_format(form):
    import photo_files  # noqa: F401 - registers HEIF and JPEG XL

    found = read(photograph(form, exif=exif(RIO, 2).tobytes()))
    assert (found.latitude, found.longitude, found.rating) == (*RIO, 2)


def test_xmp_of_a_raw_photograph_is_read():
    pytest.importorskip("rawpy")
    from photo_files import DATE, dng

    found = read(dng(Image.new("RGB", (64, 48), "red"), xmp=xmp(["a", "b"], 4)))
    assert (found.keywords, found.rating, str(found.date).replace("-", ":")) == ("a; b", 4, DATE)


def test_xmp_counts_more_than_exif_for_the_rating():
    assert read(photograph(exif=exif(rating=2), xmp=xmp(rating=4))).rating == 4
    assert read(photograph(exif=exif(rating=2), xmp=xmp(rating=0))).rating == 0
    assert read(photograph(exif=exif(rating=2), xmp=xmp(["a"]))).rating == 2


@pytest.mark.parametrize(
    ("rating", "expected"),
    [(5, 5), ("3.0", 3), (" 4 ", 4), (-1, -1), (99, 0), ("nan", 0), ("", 0), ("five", 0), ("1e999", 0)],
)
def test_invalid_ratings_are_unknown(rating, expected):
    assert read(photograph(xmp=xmp(rating=rating))).rating == expected


def changed(tag: int, value: object) -> bytes:
    """Return a photograph of Paris with another value in one tag of its location; None: without the tag."""
    written = exif(PARIS)
    gps = written.get_ifd(ExifTags.IFD.GPSInfo)
    if value is None:
        del gps[tag]
    else:
        gps[tag] = value
    return photograph(exif=written)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (GPS.GPSLatitude, None),
        (GPS.GPSLongitudeRef, None),
        (GPS.GPSLatitudeRef, "X"),
        (GPS.GPSLatitude, degrees(91.0)),
        (GPS.GPSLongitude, degrees(181.0)),
        (GPS.GPSLatitude, (IFDRational(0, 0),) * 3),
        (GPS.GPSLatitude, (IFDRational(48, 0), IFDRational(0), IFDRational(0))),
    ],
)
def test_invalid_locations_are_unknown(tag, value):
    found = read(changed(tag, value))
    assert math.isnan(found.latitude) and math.isnan(found.longitude)


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "beach"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c SYSTEM "file:///etc/passwd">]>"""


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"subject",
        b"<x:xmpmeta subject",
        xmp(["a"], 4)[:-90],
        BOMB + xmp(["&b;"], 4),
        BOMB + xmp(["&c;"], 4),
        xmp(["a"], 4).replace(b"rdf:RDF", b"rdf:Other"),
        b"<a>" * 5_000 + b"subject" + b"</a>" * 5_000,
    ],
)
def test_damaged_or_hostile_xmp_leaves_the_other_metadata(packet):
    assert read(photograph(exif=exif(PARIS, 3, "sea"), xmp=packet))[2:] == (*PARIS, "sea", 3)


def test_xmp_that_is_too_large_is_not_parsed():
    info = png_with(xmp(["a" * 2**22], 4))
    assert read(photograph("PNG", pnginfo=info, exif=exif(rating=2)))[4:] == ("", 2)


def test_damaged_iptc_leaves_the_other_metadata():
    whole = iptc([b"sea", b"boat"])
    assert read(photograph(segment=whole)).keywords == "sea; boat"
    for place in range(4, len(whole)):
        damaged = whole[:place] + b"\xff" + whole[place + 1 :]
        assert read(photograph(exif=exif(PARIS, 3), segment=damaged))[2:4] == PARIS


def test_keywords_are_single_lines_once_and_of_limited_length():
    assert read(photograph(xmp=xmp([" a\n b ", "A  B", "c;d", "", ";"]))).keywords == "a b; c; d"
    assert read(photograph(xmp=xmp(["x" * 1_000, "y"]))).keywords == f"{'x' * MAX_KEYWORD_CHARS}; y"
    many = read(photograph(xmp=xmp([f"word {number}" for number in range(300)]))).keywords
    assert MAX_KEYWORDS_CHARS - 20 < len(many) <= MAX_KEYWORDS_CHARS and many.split("; ")[-1].startswith("word ")
    start = time.monotonic()
    read(photograph("PNG", pnginfo=png_with(xmp([f"{number}" for number in range(150_000)]))))
    assert time.monotonic() - start < 5


def test_a_table_of_the_user_may_have_several_keywords_in_a_cell(collection, tmp_path):
    (tmp_path / "v.columns.csv").write_text("name,keywords,rating\nplain.jpg,sea;Night sky,good\n")
    columns = Collection.open(tmp_path / "v.npy").columns
    assert np.flatnonzero(columns.matching({"keywords": "night SKY", "rating": "Good"})).tolist() == [3]
    assert columns["keywords"].tolist() == ["", "", "", "sea;Night sky"]


def test_an_orientation_in_the_xmp_of_a_jpeg_xl_is_ignored():
    import photo_files  # noqa: F401 - registers JPEG XL

    from similar_images.inputs.images import open_image

    packet = xmp(["a"], 4).replace(
        b"xmp:Rating", b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" xmp:Rating'
    )
    content = photograph("JXL", xmp=packet)
    assert read(content).keywords == "a" and open_image(content).size == (32, 24)
