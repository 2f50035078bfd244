"""Keywords and ratings of photographs, as XMP, IPTC and EXIF state them.

Sources: XMP part 1 (ISO 16684-1) for dc:subject and xmp:Rating, IPTC IIM 4.2 for 2:25, Windows for the tags of EXIF.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, cast

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.IptcImagePlugin import getiptcinfo

from similar_images.inputs.names import fold_case

SEPARATOR = ";"  # between keywords in a text; Windows separates them so too
MAX_KEYWORD_CHARS, MAX_KEYWORDS_CHARS = 200, 2_000  # of one keyword, which is cut, and of all of an image
MAX_XMP_BYTES = 4 * 2**20  # larger ones, such as histories of Photoshop, are not parsed
REJECTED, UNRATED, BEST = -1, 0, 5  # of xmp:Rating
WINDOWS_RATING, WINDOWS_KEYWORDS, XMP = 0x4746, 0x9C9E, 700  # tags of EXIF
IPTC_KEYWORDS = 2, 25
SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}
RDF, RATING = f"{{{SPACES['rdf']}}}RDF", f"{{{SPACES['xmp']}}}Rating"


class Labels(NamedTuple):
    """What somebody has said about a photograph."""

    keywords: str = ""  # separated by "; "
    rating: int = UNRATED  # 1 to 5, or REJECTED


def split_keywords(text: str) -> list[str]:
    """Return the keywords in a text."""
    return [word for part in text.split(SEPARATOR) if (word := part.strip())]


def read_labels(image: Image.Image, exif: Image.Exif) -> Labels:
    """Return the keywords and the rating of an opened image; damaged parts count as missing."""
    words, ratings = _read_xmp(image.info.get("xmp") or getattr(image, "xmp", None) or exif.get(XMP))
    words += [*_read_iptc(image), *_read_windows(exif.get(WINDOWS_KEYWORDS))]
    return Labels(_join(words), next(map(_rating, [*ratings, exif.get(WINDOWS_RATING, UNRATED)])))


def _read_xmp(content: object) -> tuple[list[str], list[str]]:
    """Return the keywords and the ratings of an XMP packet."""
    words: list[str] = []
    ratings: list[str] = []
    if not isinstance(content, bytes) or len(content) > MAX_XMP_BYTES:
        return words, ratings
    if b"subject" not in content and b"Rating" not in content:
        return words, ratings
    from defusedxml import ElementTree

    with suppress(ElementTree.ParseError, ValueError):  # damaged, or with entities, which may expand without limit
        root = ElementTree.fromstring(content.strip(b"\0 \t\r\n"))
        rdf = root if root.tag == RDF else root.find("rdf:RDF", SPACES)
        for part in () if rdf is None else rdf.iterfind("rdf:Description", SPACES):
            words += [word.text or "" for word in part.iterfind("dc:subject/*/rdf:li", SPACES)]
            ratings += filter(None, (part.get(RATING), part.findtext("xmp:Rating", None, SPACES)))
    return words, ratings


def _read_iptc(image: Image.Image) -> list[str]:
    with suppress(Exception):  # of any type for damaged data
        values = (getiptcinfo(cast(ImageFile, image)) or {}).get(IPTC_KEYWORDS, [])
        return [_decode(value) for value in (values if isinstance(values, list) else [values])]
    return []


def _decode(value: bytes) -> str:
    """Return a text of IPTC, whose encoding is often not stated."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def _read_windows(value: object) -> list[str]:
    """Return the keywords of Windows, UTF-16 in a tag of bytes."""
    with suppress(TypeError, ValueError):
        content = bytes(value) if isinstance(value, (bytes, tuple)) else b""
        return [content[: 4 * MAX_KEYWORDS_CHARS].decode("utf-16-le", "replace")]
    return []


def _join(texts: Iterable[str]) -> str:
    """Return each different keyword once, as many as fit."""
    words: dict[str, str] = {}
    for word in (word for text in texts for word in split_keywords(text.replace("\0", " "))):
        short = " ".join(word[: 4 * MAX_KEYWORD_CHARS].split())[:MAX_KEYWORD_CHARS].strip()
        words.setdefault(fold_case(short), short)
        if sum(map(len, words.values())) + 2 * len(words) > MAX_KEYWORDS_CHARS:
            words.popitem()
            break
    return f"{SEPARATOR} ".join(words.values())


def _rating(value: object) -> int:
    """Return a stated rating, UNRATED if it is none."""
    with suppress(TypeError, ValueError, OverflowError):
        number = float(value)  # type: ignore[arg-type]
        return round(number) if REJECTED <= number <= BEST else UNRATED
    return UNRATED
