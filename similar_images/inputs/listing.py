"""Sort the files of a source into images and left-out kinds with a remedy."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from similar_images.inputs.exclusions import HIDDEN, SYSTEM, Exclusions, Kind, is_ignore_file
from similar_images.inputs.formats import (
    EXTRA_OF_SUFFIX,
    SUFFIXES,
    UNSUPPORTED_SUFFIXES,
    archive_suffix,
    is_hidden,
    is_image,
)
from similar_images.inputs.names import escape_line, show_examples

PARTS_SHOWN = 6  # in a message

UNSUPPORTED = ("images of unsupported formats", "convert them to JPEG or PNG")
EXTRA_NEEDED = ("images whose decoder is not installed", "pip install 'similar-images[{}]' reads them")
NESTED = ("archives", "extract each on its own, with -d")
OUTSIDE_LINKS = ("symbolic links that lead outside", "--allow-outside follows them")
INSIDE_LINKS = ("symbolic links to folders", "their images are found in the folders")
ARCHIVED_LINKS = ("symbolic links in an archive", "unpack it to follow them")
UNREADABLE = ("folders without permission to read", "change their permissions")
SPECIAL = ("devices, pipes or links to missing files", "they hold no image")
UNLISTABLE = ("absolute names, names with .. or not one line of UTF-8", "rename them")
OTHER = ("other files", "their suffix is not of an image")


class Listing(NamedTuple):
    names: list[str]  # images: paths relative to the source, with /, sorted
    unlistable: list[str]  # images whose names do not fit on a line of a list, or lead outside
    left_out: dict[Kind, list[str]]  # sorted names of all other files

    def notes(self) -> list[str]:
        """Return a sentence for each kind of left-out files."""
        return [_note(kind, names) for kind, names in {UNLISTABLE: self.unlistable, **self.left_out}.items() if names]


def classify(names: Iterable[str], left_out: Mapping[Kind, Iterable[str]], exclusions: Exclusions) -> Listing:
    """Return the images among the names of all files, and the other files by kind, added to `left_out`."""
    images, names = set[str](), list(names)  # a generator of names may fill left_out
    others = {kind: set(some) for kind, some in left_out.items()}
    for name in names:
        if is_ignore_file(name):
            continue
        excluded = exclusions.find(name)
        kind, part = excluded or (_kind(name), name)
        (images if kind is None else others.setdefault(kind, set())).add(part)
    listable = sorted(filter(_is_listable, images))
    return Listing(
        listable, sorted(images.difference(listable)), {kind: sorted(others[kind]) for kind in sorted(others)}
    )


def _kind(name: str) -> Kind | None:
    """Return the kind of a left-out file; None for an image."""
    if is_image(name):
        return None
    path = PurePosixPath(name)
    if is_hidden(path.name) and path.suffix.lower() in SUFFIXES | UNSUPPORTED_SUFFIXES | EXTRA_OF_SUFFIX.keys():
        return HIDDEN
    if extra := EXTRA_OF_SUFFIX.get(path.suffix.lower()):
        return EXTRA_NEEDED[0], EXTRA_NEEDED[1].format(extra)
    if path.suffix.lower() in UNSUPPORTED_SUFFIXES:
        return UNSUPPORTED
    return NESTED if archive_suffix(name) else OTHER


def _note(kind: Kind, names: list[str]) -> str:
    title, remedy = kind
    if kind in (UNSUPPORTED, OTHER) or title == EXTRA_NEEDED[0]:
        examples = _count(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    elif kind == SYSTEM:
        examples = _count(PurePosixPath(name).name for name in names)
    else:
        examples = show_examples(names)
    return f"left out: {title}: {len(names)} ({examples}); {remedy}"


def _count(parts: Iterable[str]) -> str:
    """Return the most frequent parts of names with their counts, for a message."""
    counts = Counter(parts).most_common()
    counts.sort(key=lambda count: (-count[1], count[0]))
    shown = [f"{count} {escape_line(part)}" for part, count in counts[:PARTS_SHOWN]]
    if rest := sum(count for _, count in counts[PARTS_SHOWN:]):
        shown.append(f"{rest} others")
    return ", ".join(shown)


def _is_listable(name: str) -> bool:
    if "\n" in name or "\r" in name or name.startswith("/") or (".." in name and ".." in name.split("/")):
        return False
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)
