"""EXIF of photographs: the date and the camera.

Shape letter: n images.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import IO, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import ExifTags

from similar_images.events import Event, Progress, ignore
from similar_images.inputs.decoding import open_header
from similar_images.inputs.sources import Folder, Location, Source, open_source

BLOCK = 256  # images that a process reads at once
TAGS = ExifTags.Base
MAX_CHARS = 200  # of a camera; longer texts are cut
MOMENT = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)")


class Exif(NamedTuple):
    dates: np.ndarray  # datetime64[s] (n,), in the local time of the camera; NaT: unknown
    cameras: np.ndarray  # str in objects (n,), maker and model; "": unknown


def read_exif(source: Source, names: list[str], progress: Progress = ignore) -> Exif:
    """Return the EXIF of images, read on all cores in blocks."""
    from joblib import Parallel, cpu_count, delayed

    blocks = [names[start : start + BLOCK] for start in range(0, len(names), BLOCK)]
    workers = min(cpu_count(), len(blocks)) or 1
    found: list[tuple[datetime | None, str]] = []
    progress(Event("exif", 0, len(names)))
    tasks = (delayed(_read_block)(_picklable(source), block) for block in blocks)
    results: Iterator[list[tuple[datetime | None, str]]] = Parallel(workers, return_as="generator", batch_size=1)(tasks)
    for block in results:
        found += block
        progress(Event("exif", len(found), len(names)))
    dates = np.array([moment or np.datetime64("NaT") for moment, _ in found], "datetime64[s]")
    cameras = np.empty(len(found), object)
    cameras[:] = [camera for _, camera in found]
    return Exif(dates, cameras)


def parse_exif(file: IO[bytes]) -> tuple[datetime | None, str]:
    """Return the date and the camera of an image file; None and "" if they are missing or damaged."""
    try:
        with warnings.catch_warnings(), open_header(cast(BinaryIO, file)) as image:
            warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF
            if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
                return None, ""  # Pillow would decode all pixels to see whether EXIF comes after them
            exif = image.getexif()
            details = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # decoders raise anything for a broken file
        return None, ""
    stated = (details.get(TAGS.DateTimeOriginal), details.get(TAGS.DateTimeDigitized), exif.get(TAGS.DateTime))
    moment = next((found for value in stated if (found := _moment(value))), None)
    maker, model = (_text(exif.get(tag)) for tag in (TAGS.Make, TAGS.Model))
    is_repeated = maker and model.casefold().startswith(maker.split()[0].casefold())
    return moment, (model if is_repeated else f"{maker} {model}".strip())[:MAX_CHARS].strip()


def _picklable(source: Source) -> Location | Source:
    """Return an argument of open_source for the same source in another process."""
    return source if isinstance(source, Folder) else source.path


def _read_block(place: Location | Source, names: list[str]) -> list[tuple[datetime | None, str]]:
    source, found = _source(place), list[tuple[datetime | None, str]]()
    for name in names:
        found.append((None, ""))
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


def _text(value: object) -> str:
    """Return a value of EXIF as one line."""
    part = value[: 4 * MAX_CHARS] if isinstance(value, (bytes, str)) else value  # UTF-8 has up to 4 bytes a character
    text = part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part or "")
    return " ".join(text.replace("\0", " ").split())
