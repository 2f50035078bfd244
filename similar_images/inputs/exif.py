"""EXIF of photographs: date, camera and location, with the keywords and ratings of `keywords.py`.

Shape letter: n images.
"""

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import IO, Any, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import ExifTags, Image

from similar_images.events import Event, Progress, ignore
from similar_images.inputs.decoding import open_header
from similar_images.inputs.keywords import UNRATED, read_labels
from similar_images.inputs.sources import Folder, Location, Source, open_source

BLOCK = 256  # images that a process reads at once
TAGS, GPS = ExifTags.Base, ExifTags.GPS
MAX_CHARS = 200  # of a camera; longer texts are cut
DEGREE_DIGITS = 6  # decimals, 0.1 m
MOMENT = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)")


class Photograph(NamedTuple):
    """The metadata of a photograph; the defaults mean unknown."""

    date: datetime | None = None  # in the local time of the camera
    camera: str = ""  # maker and model
    latitude: float = math.nan  # degrees, positive in the north
    longitude: float = math.nan  # degrees, positive in the east
    keywords: str = ""  # separated by "; "
    rating: int = UNRATED  # 1 to 5; -1: rejected


EXIF_COLUMNS = Photograph._fields
DTYPES: tuple[Any, ...] = (
    "datetime64[s]",
    object,
    float,
    float,
    object,
    np.int8,
)  # of these columns; texts are str in objects
Exif = Mapping[str, np.ndarray]  # EXIF_COLUMNS (n,): NaT, "", NaN and UNRATED are unknown


def read_exif(source: Source, names: list[str], progress: Progress = ignore) -> Exif:
    """Return the EXIF of images, read on all cores in blocks."""
    from joblib import Parallel, cpu_count, delayed

    blocks = [names[start : start + BLOCK] for start in range(0, len(names), BLOCK)]
    workers = min(cpu_count(), len(blocks)) or 1
    found: list[Photograph] = []
    progress(Event("exif", 0, len(names)))
    tasks = (delayed(_read_block)(_picklable(source), block) for block in blocks)
    results: Iterator[list[Photograph]] = Parallel(workers, return_as="generator", batch_size=1)(tasks)
    for block in results:
        found += block
        progress(Event("exif", len(found), len(names)))
    return as_columns(found)


def as_columns(photographs: Sequence[Photograph]) -> Exif:
    """Return the metadata of photographs as columns."""
    values: list[tuple[Any, ...]] = [*zip(*photographs, strict=True)] or [()] * len(EXIF_COLUMNS)
    columns = zip(EXIF_COLUMNS, values, DTYPES, strict=True)
    return {name: np.array(each, dtype) for name, each, dtype in columns}  # None is NaT


def parse_exif(file: IO[bytes]) -> Photograph:
    """Return the metadata of an image file; missing or damaged values are unknown."""
    try:
        with warnings.catch_warnings(), open_header(cast(BinaryIO, file)) as image:
            warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF
            # Of a PNG without EXIF before its pixels, Pillow would decode all pixels to see whether EXIF comes after them.
            has_exif = image.format != "PNG" or {"exif", "Raw profile type exif"} & image.info.keys()
            exif = image.getexif() if has_exif else Image.Exif()
            details, gps = (exif.get_ifd(part) for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
            labels = read_labels(image, exif)
    except Exception:  # decoders raise anything for a broken file
        return Photograph()
    stated = (details.get(TAGS.DateTimeOriginal), details.get(TAGS.DateTimeDigitized), exif.get(TAGS.DateTime))
    moment = next((found for value in stated if (found := _moment(value))), None)
    maker, model = (_text(exif.get(tag)) for tag in (TAGS.Make, TAGS.Model))
    is_repeated = maker and model.casefold().startswith(maker.split()[0].casefold())
    camera = (model if is_repeated else f"{maker} {model}".strip())[:MAX_CHARS].strip()
    return Photograph(moment, camera, *_location(gps), *labels)


def _picklable(source: Source) -> Location | Source:
    """Return an argument of open_source for the same source in another process."""
    return source if isinstance(source, Folder) else source.path


def _read_block(place: Location | Source, names: list[str]) -> list[Photograph]:
    source, found = _source(place), list[Photograph]()
    for name in names:
        found.append(Photograph())
        with suppress(OSError, ValueError), source.open(name) as file:  # missing, or an invalid name
            found[-1] = parse_exif(file)
    return found


@lru_cache(1)
def _source(place: Location | Source) -> Source:
    return open_source(place)


def _moment(value: object) -> datetime | None:
    match = MOMENT.match(_text(value))
    with suppress(ValueError):  # 0000:00:00, of a camera whose clock was not set
        return datetime.strptime(match[0].replace("T", " "), "%Y:%m:%d %H:%M:%S") if match else None
    return None


def _location(gps: Mapping[int, Any]) -> tuple[float, float]:
    """Return latitude and longitude; NaN unless both are valid."""
    latitude = _degrees(gps.get(GPS.GPSLatitude), _text(gps.get(GPS.GPSLatitudeRef)), {"N": 1, "S": -1}, 90)
    longitude = _degrees(gps.get(GPS.GPSLongitude), _text(gps.get(GPS.GPSLongitudeRef)), {"E": 1, "W": -1}, 180)
    return (math.nan, math.nan) if math.isnan(latitude + longitude) else (latitude, longitude)


def _degrees(parts: Any, side: str, signs: Mapping[str, int], most: int) -> float:
    """Return an angle of degrees, minutes and seconds as decimal degrees; NaN if it is invalid."""
    with suppress(KeyError, TypeError, ValueError, ArithmeticError):
        degrees = sum(float(part) / 60.0**place for place, part in enumerate(parts[:3]))
        if 0 <= degrees <= most:
            return round(float(signs[side.upper()] * degrees), DEGREE_DIGITS)
    return math.nan


def _text(value: object) -> str:
    """Return a value of EXIF as one line."""
    part = value[: 4 * MAX_CHARS] if isinstance(value, (bytes, str)) else value  # UTF-8 has up to 4 bytes a character
    text = part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part or "")
    return " ".join(text.replace("\0", " ").split())
