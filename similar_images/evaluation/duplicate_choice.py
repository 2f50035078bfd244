"""Which near-duplicates to keep: a proposal, and the choice as CSV or as a shell script that moves the rest."""

import csv
import io
import shlex
from collections.abc import Collection as Rows
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from similar_images.events import Event, Progress
from similar_images.inputs.names import to_csv_cell
from similar_images.inputs.sources import Folder, Source, digest_image
from similar_images.templates import pages

COLUMNS = "name,action,group,bytes,sha256\n"
SCRIPT = "duplicates.sh"  # with the folders and the moves left out


class Member(NamedTuple):
    """An image of a group, with facts for choosing the copy to keep; None: its file cannot be read."""

    group: int  # from 1
    row: int
    name: str
    similarity: float  # cosine, to the group's first
    bytes: int | None
    width: int | None  # pixels
    height: int | None  # pixels
    same_file_as: str | None  # the group's earlier image with the same bytes
    sha256: str | None = None


def propose(members: Iterable[Member]) -> list[int]:
    """Return the row to keep of each group: the most pixels, then the most bytes, then the earliest."""
    groups = groupby(members, lambda member: member.group)
    return [max(group, key=_quality).row for _, group in groups]


def to_csv(members: Iterable[Member], kept: Rows[int]) -> str:
    """Return name, action (keep or move), group, bytes and SHA-256 of each image, below the names of the columns."""
    lines = [
        f"{csv_cell(one.name)},{'keep' if one.row in kept else 'move'},{one.group},{_file_cells(one)}\n"
        for one in members
    ]
    return COLUMNS + "".join(lines)


def to_script(members: Iterable[Member], kept: Rows[int], source: Source | None) -> str:
    """Return a script for POSIX sh that moves the other images into a folder beside the images.

    Raises ValueError for an archive or an unknown folder, and for a group without a kept image.
    """
    parts = script_parts(source)
    if parts is None:
        raise ValueError("expected the images in a folder, which a script can move: export the choice as CSV")
    lines = []
    for number, group in groupby(members, lambda member: member.group):
        images = list(group)
        first = next((one for one in images if one.row in kept), None)
        if first is None:
            raise ValueError(f"expected an image to keep of group {number}, got none")
        moves = [one for one in images if one.row not in kept]
        lines += [f"move {quoted(one)} {quoted(first)}\n" for one in moves]
    head, tail = parts
    return head + "".join(lines) + tail


def script_parts(source: Source | None) -> tuple[str, str] | None:
    """Return the script for images in a folder, before and after its moves; None for other sources."""
    if not isinstance(source, Folder):
        return None
    folder: Path = source.path.resolve()
    to = folder.with_name(f"{folder.name}_duplicates")
    head, tail = pages.source(SCRIPT).split("@moves@\n")
    return head.replace("@from@", shlex.quote(str(folder))).replace("@to@", shlex.quote(str(to))), tail


def drop_changed(members: Iterable[Member], kept: Rows[int], source: Source | None, progress: Progress) -> list[Member]:
    """Return the images whose files have the same size and SHA-256 as at the comparison; the others become notes.

    A group without an unchanged image to keep is left out. Files unreadable at the comparison are not checked.
    """
    left: list[Member] = []
    for number, group in groupby(members, lambda member: member.group):
        images = list(group)
        if source is not None and (changed := [one for one in images if _has_changed(one, source)]):
            for one in changed:
                progress(Event(note=f"left out {one.name}: it has changed since the comparison"))
            images = [one for one in images if one not in changed]
            if not any(one.row in kept for one in images):
                progress(Event(note=f"left out group {number}: no unchanged image to keep"))
                continue
        left += images
    return left


def quoted(member: Member) -> str:
    """Return name, bytes and SHA-256 of an image as arguments of a shell; without digest if its file was unreadable."""
    return shlex.join([member.name, str(member.bytes or 0), member.sha256 or ""])


def csv_cell(name: str) -> str:
    """Return a name as a cell of a CSV file."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerow([to_csv_cell(name)])  # both are quoted within a name
    return file.getvalue().removesuffix("\r\n")


def _quality(member: Member) -> tuple[int, int, int]:
    return (member.width or 0) * (member.height or 0), member.bytes or 0, -member.row


def _file_cells(member: Member) -> str:
    return f"{member.bytes},{member.sha256}" if member.sha256 else ","


def _has_changed(member: Member, source: Source) -> bool:
    if member.sha256 is None:
        return False
    try:
        return digest_image(source, member.name) != (member.bytes, member.sha256)
    except (OSError, ValueError):
        return True
