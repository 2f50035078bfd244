"""The votes of blind comparisons and their CSV file, safe against killed processes."""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import portalocker

from similar_images.files import replace_file
from similar_images.inputs.names import from_csv_cell, to_csv_cell

CHOICES = ("left", "right", "tie", "neither")
VOTER = re.compile(r"\w[\w .,'@+-]{0,79}")  # never a spreadsheet formula


class Vote(NamedTuple):
    """A person's vote on the lists that two systems, a and b, gave for one query."""

    time: str  # as `timestamp` gives it
    voter: str
    query: str  # name
    a: str
    b: str
    left: str  # the system, a or b, whose list was on the left
    list_a: tuple[str, ...]  # names, the most similar first
    list_b: tuple[str, ...]
    vote: str  # one of CHOICES

    @property
    def winner(self) -> str | None:
        """The preferred system; None for a tie or neither."""
        right = self.b if self.left == self.a else self.a
        return {"left": self.left, "right": right}.get(self.vote)


class UnblindedTrial(NamedTuple):
    """A query with the names of both systems and their lists, as in Vote."""

    query: str
    a: str
    b: str
    left: str
    list_a: tuple[str, ...]
    list_b: tuple[str, ...]

    def as_vote(self, time: str, voter: str, choice: str) -> Vote:
        return Vote(time=time, voter=voter, **self._asdict(), vote=choice)


HEADER = ",".join(Vote._fields).encode() + b"\n"


def timestamp(moment: datetime | None = None) -> str:
    """Return a time, by default now, as ISO 8601 in UTC with milliseconds: text order is time order."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


def append(file: Path, vote: Vote) -> None:
    """Add a vote to a file, created if missing, and flush it to disk. An incomplete last line is removed first.

    Raises OSError, and ValueError if the file is not a file of votes or the vote is not valid.
    """
    line = _as_line(vote)
    with _locked(file) as votes:
        content = votes.read()
        repaired = _repaired(content, file)
        votes.truncate(min(len(content), len(repaired)))
        votes.write(repaired[len(content) :] + line)
        votes.flush()
        os.fsync(votes.fileno())


def remove_last(file: Path, matches: Callable[[Vote], bool]) -> Vote | None:
    """Remove the last matching vote from a file and return it; without a match, return None and keep the file.

    The file is replaced at once. Raises OSError or ValueError, as `read` does.
    """
    if not file.exists():
        return None
    with _locked(file) as votes:
        lines = _repaired(votes.read(), file).splitlines(keepends=True)
        given = _parsed_lines(lines, file)
        last = next((at for at in reversed(range(len(given))) if matches(given[at])), None)
        if last is None:
            return None
        del lines[last + 1]  # below the header
        with replace_file(file) as partial:
            partial.write_bytes(b"".join(lines))
        return given[last]


def read(file: Path) -> list[Vote]:
    """Return the votes in a file, in their order. Raises OSError, and ValueError if it is not a file of votes."""
    return _parsed_lines(_repaired(file.read_bytes(), file).splitlines(), file)


def join(files: Iterable[str | Path]) -> list[Vote]:
    """Return the latest votes of several files, in order of time. Raises OSError or ValueError, as `read` does."""
    return latest([vote for file in files for vote in read(Path(file))])


def latest(votes: Iterable[Vote]) -> list[Vote]:
    """Return the last vote for each voter, query and pair of systems, in order of time."""
    last = {}
    for vote in sorted(votes, key=lambda vote: vote.time):
        last[vote.voter, vote.query, frozenset((vote.a, vote.b))] = vote
    return sorted(last.values(), key=lambda vote: vote.time)


def check_voter(voter: str) -> None:
    """Raise ValueError for an invalid voter's name."""
    if not VOTER.fullmatch(voter):
        raise ValueError(f"expected a voter's name of up to 80 letters, digits, spaces and . , ' @ + -, got {voter!r}")


def check(vote: Vote) -> None:
    """Raise ValueError for an invalid vote."""
    check_voter(vote.voter)
    if vote.vote not in CHOICES:
        raise ValueError(f"expected one of {', '.join(CHOICES)}, got {vote.vote!r}")
    if vote.a == vote.b or vote.left not in (vote.a, vote.b):
        raise ValueError(f"expected two systems, one of them on the left, got {vote.a!r}, {vote.b!r}, {vote.left!r}")


@contextmanager
def _locked(file: Path) -> Iterator[BinaryIO]:
    """Yield the file at its start, open for reading and appending, with an exclusive lock; create it if missing."""
    while True:
        with file.open("ab+") as votes:
            portalocker.lock(votes, portalocker.LockFlags.EXCLUSIVE)
            if not file.exists() or not os.path.samestat(os.fstat(votes.fileno()), file.stat()):
                continue  # another process replaced the file while this one waited for the lock
            votes.seek(0)
            yield votes
            return


def _repaired(content: bytes, file: Path) -> bytes:
    """Return the header and the complete lines. Raises ValueError if it is not a file of votes."""
    if HEADER.startswith(content):
        return HEADER
    first = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].rstrip(b"\r")  # as a spreadsheet may save it
    if first != HEADER.rstrip():
        raise ValueError(
            f"{file} is not a file of votes: expected the columns {', '.join(Vote._fields)}, "
            f"got {first[:200].decode(errors='replace')!r}; choose another file"
        )
    whole, _, last = content.rpartition(b"\n")
    if not last:
        return content
    try:
        _parsed(last)  # an editor may omit the last line break
    except ValueError:
        return whole + b"\n"
    return content + b"\n"


def _as_line(vote: Vote) -> bytes:
    check(vote)
    text = io.StringIO()
    cells = {name: to_csv_cell(getattr(vote, name)) for name in ("query", "a", "b", "left")}
    cells |= {name: json.dumps(getattr(vote, name), ensure_ascii=False) for name in ("list_a", "list_b")}
    csv.writer(text, lineterminator="\n").writerow((vote._asdict() | cells).values())
    line = text.getvalue().encode()
    if len(line.splitlines()) != 1:
        raise ValueError(f"expected names without line breaks, got {vote.query!r} of {vote.a!r} and {vote.b!r}")
    return line


def _parsed_lines(lines: list[bytes], file: Path) -> list[Vote]:
    """Return the votes in lines below a header. Raises ValueError with the number of the first bad line."""
    votes = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            votes.append(_parsed(line.rstrip(b"\r\n")))
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is not a vote: {error}; correct or remove that line") from error
    return votes


def _parsed(line: bytes) -> Vote:
    """Return the vote in a line. Raises ValueError if the line is not a complete vote."""
    try:
        (cells,) = csv.reader([line.decode()])
        if len(cells) != len(Vote._fields):
            raise ValueError(f"expected {len(Vote._fields)} cells, got {len(cells)}")
        time, voter, query, a, b, left, list_a, list_b, choice = cells
        query, a, b, left = (from_csv_cell(cell) for cell in (query, a, b, left))
        vote = Vote(time, voter, query, a, b, left, _names(list_a), _names(list_b), choice)
    except (csv.Error, RecursionError) as error:
        raise ValueError(str(error)) from error
    check(vote)
    return vote


def _names(cell: str) -> tuple[str, ...]:
    names = json.loads(cell)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a JSON list of names, got {cell[:80]}")
    return tuple(names)
