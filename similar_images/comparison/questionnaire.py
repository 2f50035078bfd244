"""A blind comparison as one HTML page for people without a notebook, and their answers as votes."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, NamedTuple

from similar_images.comparison.comparison import Comparison
from similar_images.comparison.votes import UnblindedTrial, Vote, append, check, read, timestamp
from similar_images.files import check_writeable
from similar_images.inputs.images import UnreadableImage
from similar_images.records import read_record, to_json, write_record
from similar_images.templates import pages

SIDE = 240  # pixels, of a thumbnail: twice its size on the page, for high-resolution screens


@dataclass(frozen=True)
class Key:
    """The systems behind each list of a page."""

    FORMAT: ClassVar[str] = "similar-images questionnaire 1"
    id: str  # digest of the trials
    trials: tuple[UnblindedTrial, ...]


class Answer(NamedTuple):
    trial: int  # from 1
    vote: str
    time: str


@dataclass(frozen=True)
class Answers:
    """The file that a page's button downloads."""

    FORMAT: ClassVar[str] = "similar-images answers 1"
    questionnaire: str  # id of the key
    voter: str
    answers: tuple[Answer, ...]


def export_questionnaire(
    comparison: Comparison,
    page: str | Path,
    n: int = 20,
    seed: int = 0,
    queries: Iterable[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page and, beside it, the key with the systems behind each list; return the key's path.

    The page has thumbnails but no names of systems or images. Do not share the key. Raises OSError if a file exists
    or cannot be written, and ValueError without a query to show.
    """
    page = Path(page)
    key = page.with_suffix(".key.json")
    for file in (page, key):
        check_writeable(file)
        if file.exists() and not overwrite:
            raise FileExistsError(
                f"{file} exists and answers to it may still arrive: choose another page, or set overwrite=True"
            )
    trials = list(comparison.trials(n, seed, queries, again=True))
    if not trials:
        raise ValueError("nothing to ask: the two lists of every query are identical")
    unblinded = tuple(comparison.unblind(trial) for trial in trials)
    names = {name for trial in trials for name in (trial.query, *trial.left, *trial.right)}
    pictures = {name: _picture(comparison, name) for name in names}
    if not any(pictures.values()):
        raise ValueError("no image can be read: give the comparison the folder or archive of the images with images=")
    record = Key(_id(unblinded), unblinded)
    write_record(key, record)
    pages.write(page, "questionnaire.html", id=record.id, format=Answers.FORMAT, trials=trials, pictures=pictures)
    return key


def import_answers(comparison: Comparison, answers: str | Path, key: str | Path) -> int:
    """Add the answers of a page to the comparison's file of votes; return how many are new.

    Raises OSError, and ValueError if the answers are damaged or belong to another page or to other systems.
    """
    known = read_record(Path(key), Key, "use the key written with the page")
    given = read_record(Path(answers), Answers, "use the file that the page's button downloads")
    if known.id != _id(known.trials):
        raise ValueError(f"{key} was altered: use the key written with the page")
    if given.questionnaire != known.id:
        raise ValueError(f"{answers} does not belong to the page of {key}: use the key written with its page")
    if systems := {name for trial in known.trials for name in (trial.a, trial.b)} - set(comparison.names):
        raise ValueError(f"expected answers on {' and '.join(comparison.names)}, got answers on {', '.join(systems)}")
    try:
        votes = [_vote(given.voter, answer, known.trials) for answer in given.answers]
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{answers} was altered ({error}): use the file that the page's button downloads") from error
    there = set(read(comparison.file)) if comparison.file.exists() else set()
    new = [vote for vote in votes if vote not in there]
    for vote in new:
        append(comparison.file, vote)
    return len(new)


def _vote(voter: str, answer: Answer, trials: Sequence[UnblindedTrial]) -> Vote:
    """Return an answer as a vote. Raises ValueError or OverflowError for an unknown trial or an invalid vote."""
    if not 1 <= answer.trial <= len(trials):
        raise ValueError(f"expected a trial from 1 to {len(trials)}, got {answer.trial}")
    vote = trials[answer.trial - 1].as_vote(timestamp(datetime.fromisoformat(answer.time)), voter, answer.vote)
    check(vote)
    return vote


def _picture(comparison: Comparison, name: str) -> str | None:
    try:
        return pages.picture(comparison.image(name), SIDE)
    except UnreadableImage:
        return None


def _id(trials: Sequence[UnblindedTrial]) -> str:
    """Return a digest of the trials, which identifies the questionnaire and detects an altered key."""
    return hashlib.sha256(json.dumps(to_json(trials), sort_keys=True).encode()).hexdigest()[:16]
