"""The near-duplicates of a collection, with the facts about each file, as CSV and as a page."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from similar_images.collection.images import Collection
from similar_images.evaluation import duplicate_choice
from similar_images.evaluation.duplicate_choice import Member
from similar_images.evaluation.duplicate_groups import Group, Pairs, find_pairs, group
from similar_images.evaluation.duplicate_threshold import (
    CALIBRATION_IMAGES,
    THRESHOLDS,
    Calibration,
    calibrate,
    choose_threshold,
    default_threshold,
)
from similar_images.events import Event, Progress, ignore
from similar_images.index.index import Index
from similar_images.inputs import images
from similar_images.inputs.names import csv_cell_for, names_digest
from similar_images.inputs.sources import digest_image
from similar_images.templates import pages

__all__ = [
    "CALIBRATION_IMAGES",
    "THRESHOLDS",
    "Calibration",
    "Group",
    "Member",
    "Pairs",
    "calibrate",
    "choice",
    "choose_threshold",
    "default_threshold",
    "facts",
    "find_pairs",
    "group",
    "read_members",
    "summary",
    "whole_index",
    "write_csv",
    "write_html",
]

THUMBNAIL = 240  # pixels


def whole_index(collection: Collection) -> Index | None:
    """Return the collection's index; None if it has none. Raises ValueError if the index lacks rows."""
    index, n = collection.index, len(collection)
    if index is not None and index.manifest and index.manifest["vectors"]["n"] < n:
        raise ValueError(
            f"{index.path} contains only the first {index.manifest['vectors']['n']} of {n} rows: rebuild it with "
            f"similar-images build --overwrite, or use --exact"
        )
    return index


def read_members(collection: Collection, groups: list[Group], progress: Progress = ignore) -> list[Member]:
    """Return the images of the groups, with the sizes of their files."""
    members: list[Member] = []
    total = sum(len(one.rows) for one in groups)
    for number, one in enumerate(groups, 1):
        first: dict[str, str] = {}  # SHA-256 -> name
        for row, similarity in zip(one.rows.tolist(), one.similarities.tolist(), strict=True):
            members.append(_read_member(collection, number, row, similarity, first))
            progress(Event("files read", len(members), total))
    return members


def summary(collection: Collection, members: list[Member], threshold: float) -> str:
    """Return the result in one line."""
    groups = len({member.group for member in members})
    found = (
        f"{len(members)} of {len(collection) - len(collection.removed)} images are near-duplicates (similarity {threshold:.3f} or more), "
        f"in {groups} group{'s' * (groups != 1)}: {len(members) - groups} beyond the first of each"
    )
    unread = sum(member.bytes is None for member in members)
    same = f"{sum(bool(member.same_file_as) for member in members)} of them the same file"
    if not unread:
        return f"{found}, {same}"
    place = f"in {collection.source.path}" if collection.source else "because their folder is not known"
    if unread < len(members):
        return f"{found}, {same}; {unread} cannot be read {place}"
    return (
        f"{found}; their files cannot be read {place}, so equal files are unknown: "
        f"give the folder or archive of the images with -d"
    )


def write_csv(file: TextIO, members: list[Member]) -> None:
    """Write one line per member below the names of the columns; on stdout without control characters."""
    cell = csv_cell_for(file)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Member._fields)
    for member in members:
        shown = {"name": cell(member.name), "similarity": f"{member.similarity:.4f}"}
        shown["same_file_as"] = cell(member.same_file_as or "")
        writer.writerow((member._asdict() | shown).values())


def write_html(path: Path, collection: Collection, members: list[Member], title: str) -> None:
    """Write a page to choose which images to keep, with thumbnails and links to the files of a folder, whole or not at all."""
    pages.write(
        path,
        "duplicates.html",
        title=title,
        groups=_cards(path, collection, members),
        id=names_digest([one.name for one in members]),
        proposed=duplicate_choice.propose(members),
        columns=duplicate_choice.COLUMNS,
        script=duplicate_choice.script_parts(collection.source),
    )


def _read_member(collection: Collection, number: int, row: int, similarity: float, first: dict[str, str]) -> Member:
    """Return a member; `first` holds the names of the group's files so far by their SHA-256."""
    name = collection.names[row]
    unread = Member(number, row, name, similarity, None, None, None, None)
    if collection.source is None:
        return unread
    try:
        size, sha256 = digest_image(collection.source, name)
    except (OSError, ValueError):  # moved or damaged since its vector was made
        return unread
    same = first.setdefault(sha256, name)
    member = unread._replace(bytes=size, same_file_as=same if same != name else None, sha256=sha256)
    try:
        width, height = images.open_image(collection.image(row)).size
    except (OSError, ValueError):
        return member
    return member._replace(width=width, height=height)


def _cards(page: Path, collection: Collection, members: list[Member]) -> Iterator[list[dict[str, Any]]]:
    """Yield the groups of the page one at a time: all thumbnails together may not fit into memory."""
    for _, members_of_group in groupby(members, lambda member: member.group):
        yield [_card(page, collection, member, place == 0) for place, member in enumerate(members_of_group)]


def facts(member: Member, is_first: bool) -> list[str]:
    """Return the facts about an image of a group, in words; the others are similar to the first."""
    known = ["most similar to the others" if is_first else f"similarity {member.similarity:.3f}"]
    if member.same_file_as:
        known = ["same file"]
    if member.width and member.height and member.bytes is not None:
        known.append(f"{member.width} x {member.height}, {_size(member.bytes)}")
    return known


def choice(member: Member) -> dict[str, Any]:
    """Return the fields of an image for the JavaScript that writes a choice."""
    return {
        "row": member.row,
        "name": member.name,
        "bytes": member.bytes or 0,
        "sha256": member.sha256 or "",
        "cell": duplicate_choice.csv_cell(member.name),
        "quoted": duplicate_choice.quoted(member),
    }


def _card(page: Path, collection: Collection, member: Member, is_first: bool) -> dict[str, Any]:
    return choice(member) | {
        "picture": pages.picture(collection.image(member.row), THUMBNAIL) if member.width else None,
        "facts": facts(member, is_first),
        "link": pages.link(page, collection.source, member.name) if member.bytes is not None else None,
    }


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
