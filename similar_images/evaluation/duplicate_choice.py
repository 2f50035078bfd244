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

COLUMNS = "name,action,group,bytes,sha256\n"
# POSIX sh. A path never begins with a dash: it begins with / or ./. `mv -n` is not in POSIX.
HEAD = """\
#!/bin/sh
# Moves near-duplicates out of the folder of the images: sh THIS_FILE [FOLDER_OF_THE_IMAGES [FOLDER_TO_MOVE_TO]]
# Nothing is deleted or overwritten. A file is moved only if it and the image to keep still have the size and
# SHA-256 of the comparison. Files moved before are left alone, so it can be run again.
set -u
from=@from@
to=@to@
[ "$#" -lt 1 ] || from=$1
[ "$#" -lt 2 ] || to=$2
case $from in /*) ;; *) from=./$from ;; esac
case $to in /*) ;; *) to=./$to ;; esac
moved=0 already=0 refused=0

if command -v sha256sum > /dev/null; then
    sha256() { sha256sum < "$1"; }
elif command -v shasum > /dev/null; then
    sha256() { shasum -a 256 < "$1"; }
elif command -v openssl > /dev/null; then
    sha256() { openssl dgst -sha256 -r < "$1"; }
else
    echo 'nothing moved: expected sha256sum, shasum or openssl, to verify the files' >&2
    exit 1
fi

is_unchanged() { # file, bytes, SHA-256
    [ -n "$3" ] || return 1
    size=$(wc -c < "$1") && [ "$((size))" -eq "$2" ] || return 1
    sum=$(sha256 "$1") && [ "${sum%% *}" = "$3" ]
}

exists() {
    [ -e "$1" ] || [ -L "$1" ]
}

leads_out() { # name; by .., as an absolute path, or through a symbolic link to a folder elsewhere
    case /$1/ in //* | */../*) return 0 ;; esac
    case $1 in */*) folder=$from/${1%/*} ;; *) return 1 ;; esac
    root=$(cd -P "$from" && pwd -P) && folder=$(cd -P "$folder" 2>/dev/null && pwd -P) || return 1
    case $folder/ in "${root%/}"/*) return 1 ;; esac
}

refuse() {
    printf 'not moved: %s: %s\\n' "$1" "$2" >&2
    refused=$((refused + 1))
}

move() { # name, bytes and SHA-256, then the same of the image to keep
    if leads_out "$1" || leads_out "$4"; then
        refuse "$1" 'it, or the image to keep, is outside the folder of the images'
    elif ! exists "$from/$1" && exists "$to/$1"; then
        already=$((already + 1))
    elif ! exists "$from/$1"; then
        refuse "$1" 'it is missing'
    elif exists "$to/$1"; then
        refuse "$1" 'a file of this name was moved before'
    elif ! [ -f "$from/$4" ]; then
        refuse "$1" "the image to keep is missing: $4"
    elif ! is_unchanged "$from/$1" "$2" "$3"; then
        refuse "$1" 'it has changed since the comparison'
    elif ! is_unchanged "$from/$4" "$5" "$6"; then
        refuse "$1" "the image to keep has changed since the comparison: $4"
    else
        target=$to/$1
        if mkdir -p "${target%/*}" && mv "$from/$1" "$target"; then
            moved=$((moved + 1))
        else
            refuse "$1" 'see above'
        fi
    fi
}

"""
TAIL = """
printf '%s moved to %s, %s moved before, %s not moved\\n' "$moved" "$to" "$already" "$refused"
[ "$refused" -eq 0 ]
"""


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
    head = script_head(source)
    if head is None:
        raise ValueError("expected the images in a folder, which a script can move: export the choice as CSV")
    lines = []
    for number, group in groupby(members, lambda member: member.group):
        images = list(group)
        first = next((one for one in images if one.row in kept), None)
        if first is None:
            raise ValueError(f"expected an image to keep of group {number}, got none")
        moves = [one for one in images if one.row not in kept]
        lines += [f"move {quoted(one)} {quoted(first)}\n" for one in moves]
    return head + "".join(lines) + TAIL


def script_head(source: Source | None) -> str | None:
    """Return the beginning of the script for images in a folder; None for other sources."""
    if not isinstance(source, Folder):
        return None
    folder: Path = source.path.resolve()
    to = folder.with_name(f"{folder.name}_duplicates")
    return HEAD.replace("@from@", shlex.quote(str(folder))).replace("@to@", shlex.quote(str(to)))


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
