"""The items of an extraction: images of a list, folder or archive, or texts. Row i is line i."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from similar_images.inputs.formats import FORMATS
from similar_images.inputs.images import LIMITS, Limits
from similar_images.inputs.names import escape_line, find_line_error, is_blank, read_names, show_examples
from similar_images.inputs.sources import Location, Source, location_title, open_source
from similar_images.vectors.file_records import FileRecord
from similar_images.vectors.manifest import read_excluded
from similar_images.vectors.store import list_path, vectors_path

MAX_CHECKED_LINES = 1000  # of a list without images, in search of a fault


class Copy(NamedTuple):
    """A new row whose file has the content of an earlier row: its vector is copied."""

    row: int  # the earlier one
    record: FileRecord  # of the new file


@dataclass(frozen=True)
class Items:
    """Images or texts, one per row."""

    list_file: Path
    names: list[str]  # line i is row i
    source: Source | None = None  # of the images, opened once; None: the names are texts
    notes: tuple[str, ...] = ()  # one sentence for each kind of omitted file or line
    limits: Limits = LIMITS  # larger images are skipped
    exclude: tuple[str, ...] | None = None  # patterns of left-out files; None: not from a folder
    found: Sequence[str] | None = None  # the images that a source has now, sorted; None: not from a folder
    copies: Mapping[int, Copy] = field(default_factory=dict)  # new rows with the content of earlier ones

    @property
    def kind(self) -> str:
        return "images" if self.source else "texts"

    @property
    def place(self) -> Location | None:
        return self.source.path if self.source else None

    @property
    def allow_outside(self) -> bool:
        return bool(self.source and self.source.allow_outside)


def list_images(
    list_file: Path | None,
    place: Location | None,
    output: Path | None = None,
    allow_outside: bool = False,
    limits: Limits = LIMITS,
    exclude: Sequence[str] | None = None,
) -> Items:
    """Return the images of a list, or of a folder or archive: first its existing list, then its new images, sorted.

    The list of a folder is beside the `output`, or in the current folder, and is not written here. Names and links that
    lead outside the `place` are read only with `allow_outside`; without a `place` all paths of a list are read.
    `exclude` are patterns of new images to leave out, by default as recorded with the existing vectors.
    Raises ValueError if there are no images.
    """
    if list_file is not None and exclude:
        raise ValueError("--exclude (exclude=) applies to a folder: remove the lines from the list instead")
    source = open_source(place or Path(), allow_outside or place is None)
    if list_file is not None:
        names, notes = _read_list(list_file, source, place is not None)
        return Items(list_file, names, source, notes, limits)
    if place is None:
        raise ValueError("expected a list of images (-l), a folder or archive of images (-d), or both")
    list_file = list_path(output) if output else Path(f"{location_title(place)}_file_list.txt")
    patterns = read_excluded(output or vectors_path(list_file)) if exclude is None else tuple(exclude)
    found = source.find(patterns)
    if not found.names:
        expected = f"expected files ending in a suffix of {', '.join(FORMATS)}"
        raise ValueError("; ".join([f"no image in {place}: {expected}", *found.notes()]))
    listed = read_names(list_file) if list_file.exists() else []
    existing = set(found.names)
    known = {name if name in existing else source.match_name(name) for name in listed}
    names = listed + [name for name in found.names if name not in known]
    return Items(list_file, names, source, tuple(found.notes()), limits, patterns, found.names)


def _read_list(list_file: Path, source: Source, has_place: bool) -> tuple[list[str], tuple[str, ...]]:
    """Return the names in a list, and a note on its blank lines. Raises ValueError if none is an image."""
    names = read_names(list_file)
    if not source.has_any(names):
        raise ValueError(
            f"expected paths of images in {source.path.absolute()}, got none in {list_file}: "
            f"{_find_fault(names, source, has_place)}"
        )
    blank = [f"line {row + 1}" for row, name in enumerate(names) if is_blank(name)]
    notes = (f"ignored {len(blank)} blank lines of {list_file}: {show_examples(blank)}",) if blank else ()
    return names, notes


def _find_fault(names: list[str], source: Source, has_place: bool) -> str:
    """Return the reason why no name of a list is an image, from its first faulty line, and the remedy."""
    lines = [(row + 1, name) for row, name in enumerate(names[:MAX_CHECKED_LINES]) if not is_blank(name)]
    for line, name in lines:
        if fault := find_line_error(name):
            return f"line {line}, {escape_line(name)!r:.200}, has {fault}"
    line, name = lines[0] if lines else (1, "")
    if source.join(name) is None:
        return f"line {line}, {escape_line(name)!r:.200}, leads outside; --allow-outside reads it"
    remedy = "is there another folder for -d?" if has_place else "name their folder with -d"
    return f"line {line} is {escape_line(name)!r:.200}; {remedy}"
