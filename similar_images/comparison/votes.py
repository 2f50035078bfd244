"""The votes of blind comparisons: what one is, and their CSV file, which a kill cannot damage."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import portalocker

CHOICES = ("left", "right", "tie", "neither")
VOTER = re.compile(r"\w[\w .,'@+-]{0,79}")  # nothing that a spreadsheet would take for a formula


class Vote(NamedTuple):
    """What a person said of the lists that two systems, a and b, gave for one query."""

    time: str  # as `timestamp` gives it
    voter: str
    query: str  # name
    a: str
    b: str
    left: str  # the one of a and b whose list was on the left
    list_a: tuple[str, ...]  # names, the most similar first
    list_b: tuple[str, ...]
    vote: str  # one of CHOICES

    @property
    def winner(self) -> str | None:
        """The system that was preferred; None where it is a tie or neither."""
        right = self.b if self.left == self.a else self.a
        return {"left": self.left, "right": right}.get(self.vote)


HEADER = ",".join(Vote._fields).encode() + b"\n"


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment, by default now, as ISO 8601 in UTC with milliseconds; sorted as text they are in order."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


def append(file: Path, vote: Vote) -> None:
    """Add a vote to a file, which need not exist; on return it is on the disk. What a kill left of a line is cut off.

    Raises OSError, and ValueError where the file is something else or the vote is none.
    """
    line = _as_line(vote)
    with file.open("ab+") as votes:
        portalocker.lock(votes, portalocker.LockFlags.EXCLUSIVE)
        votes.seek(0)
        content = votes.read()
        mended = _mended(content, file)
        votes.truncate(min(len(content), len(mended)))
        votes.write(mended[len(content) :] + line)
        votes.flush()
        os.fsync(votes.fileno())


def read(file: Path) -> list[Vote]:
    """Return the votes in a file, as they were given. Raises OSError, and ValueError where it is something else."""
    votes = []
    for number, line in enumerate(_mended(file.read_bytes(), file).splitlines()[1:], start=2):
        try:
            votes.append(_parsed(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is not a vote: {error}; mend or remove that line") from error
    return votes


def join(files: Iterable[str | Path]) -> list[Vote]:
    """Return the votes of several files, each voter's last word on a query and two systems, in order of time.

    Raises as `read` does.
    """
    return latest([vote for file in files for vote in read(Path(file))])


def latest(votes: Iterable[Vote]) -> list[Vote]:
    """Return of each voter, query and pair of systems the last vote, in order of time."""
    last = {}
    for vote in sorted(votes, key=lambda vote: vote.time):
        last[vote.voter, vote.query, frozenset((vote.a, vote.b))] = vote
    return sorted(last.values(), key=lambda vote: vote.time)


def check_voter(voter: str) -> None:
    """Raise ValueError for a voter's name that does not belong into the file."""
    if not VOTER.fullmatch(voter):
        raise ValueError(f"expected a voter's name of up to 80 letters, digits, spaces and . , ' @ + -, got {voter!r}")


def check(vote: Vote) -> None:
    """Raise ValueError where the parts of a vote do not go together."""
    check_voter(vote.voter)
    if vote.vote not in CHOICES:
        raise ValueError(f"expected one of {', '.join(CHOICES)}, got {vote.vote!r}")
    if vote.a == vote.b or vote.left not in (vote.a, vote.b):
        raise ValueError(f"expected two systems, one of them on the left, got {vote.a!r}, {vote.b!r}, {vote.left!r}")


def _mended(content: bytes, file: Path) -> bytes:
    """Return the content with its header and whole lines only. Raises ValueError where it is of something else."""
    if HEADER.startswith(content):
        return HEADER
    first = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].rstrip(b"\r")  # as a spreadsheet may save it
    if first != HEADER.rstrip():
        raise ValueError(
            f"{file} is not a file of votes: expected the columns {', '.join(Vote._fields)}, "
            f"got {first[:200].decode(errors='replace')!r}; name another file"
        )
    whole, _, last = content.rpartition(b"\n")
    if not last:
        return content
    try:
        _parsed(last)  # an editor may leave out the end of the last line
    except ValueError:
        return whole + b"\n"
    return content + b"\n"


def _as_line(vote: Vote) -> bytes:
    check(vote)
    text = io.StringIO()
    lists = {name: json.dumps(getattr(vote, name), ensure_ascii=False) for name in ("list_a", "list_b")}
    csv.writer(text, lineterminator="\n").writerow(vote._replace(**lists))
    line = text.getvalue().encode()
    if len(line.splitlines()) != 1:
        raise ValueError(f"expected names without line breaks, got {vote.query!r} of {vote.a!r} and {vote.b!r}")
    return line


def _parsed(line: bytes) -> Vote:
    """Raises ValueError where the line is not a whole vote."""
    try:
        (cells,) = csv.reader([line.decode()])
        if len(cells) != len(Vote._fields):
            raise ValueError(f"expected {len(Vote._fields)} cells, got {len(cells)}")
        vote = Vote(*cells)
        vote = vote._replace(list_a=_names(vote.list_a), list_b=_names(vote.list_b))
    except (csv.Error, RecursionError) as error:
        raise ValueError(str(error)) from error
    check(vote)
    return vote


def _names(cell: str) -> tuple[str, ...]:
    names = json.loads(cell)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a JSON list of names, got {cell[:80]}")
    return tuple(names)
