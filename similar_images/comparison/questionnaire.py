"""A blind comparison as one page of HTML for people who have no notebook, and their answers as votes."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from similar_images.comparison.comparison import Comparison
from similar_images.comparison.votes import Vote, append, check, read, timestamp
from similar_images.files import check_writeable, read_json, write_json
from similar_images.inputs.images import UnreadableImage
from similar_images.templates import pages

KEY_FORMAT = "similar-images questionnaire 1"
ANSWERS_FORMAT = "similar-images answers 1"
SIDE = 240  # pixels, of a thumbnail: twice what a list shows, for dense screens


def export_questionnaire(
    comparison: Comparison,
    page: str | Path,
    n: int = 20,
    seed: int = 0,
    queries: Iterable[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page, and beside it the key that says which system gave which list; return the key's path.

    The page holds thumbnails but no name, of a system or an image; the key stays at home. Raises OSError where
    files cannot be written or are there, and ValueError where there is nothing to ask.
    """
    page = Path(page)
    key = page.with_suffix(".key.json")
    for file in (page, key):
        check_writeable(file)
        if file.exists() and not overwrite:
            raise FileExistsError(f"{file} exists, and answers to it may come: name another page, or overwrite=True")
    trials = list(comparison.trials(n, seed, queries, again=True))
    if not trials:
        raise ValueError("there is nothing to ask: the two lists of every query are identical")
    unblinded = [comparison.unblinded(trial) for trial in trials]
    names = {name for trial in trials for name in (trial.query, *trial.left, *trial.right)}
    pictures = {name: _picture(comparison, name) for name in names}
    if not any(pictures.values()):
        raise ValueError("no image can be read: give the comparison the folder or archive of them with images=")
    write_json(key, {"format": KEY_FORMAT, "id": _id(unblinded), "trials": unblinded})
    pages.write(page, "questionnaire.html", id=_id(unblinded), format=ANSWERS_FORMAT, trials=trials, pictures=pictures)
    return key


def import_answers(comparison: Comparison, answers: str | Path, key: str | Path) -> int:
    """Add the answers that a page gave to the comparison's file of votes; return how many are new.

    Raises OSError, and ValueError where the answers are damaged, or belong to another page or other systems.
    """
    answers, key = Path(answers), Path(key)
    known = read_json(key, KEY_FORMAT, "take the key that was written with the page")
    given = read_json(answers, ANSWERS_FORMAT, "take the file that the page's button downloads")
    if known.get("id") != _id(known.get("trials")):
        raise ValueError(f"{key} was altered: take the key that was written with the page")
    if given.get("questionnaire") != known["id"]:
        raise ValueError(f"{answers} belongs to another page than {key}: take the key that was written with its page")
    trials = known["trials"]
    if systems := {name for trial in trials for name in (trial["a"], trial["b"])} - set(comparison.names):
        raise ValueError(f"expected answers on {' and '.join(comparison.names)}, got some on {', '.join(systems)}")
    try:
        votes = [_vote(given["voter"], answer, trials) for answer in given["answers"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{answers} was altered ({error}): take the file that the page's button downloads") from error
    there = set(read(comparison.file)) if comparison.file.exists() else set()
    new = [vote for vote in votes if vote not in there]
    for vote in new:
        append(comparison.file, vote)
    return len(new)


def _vote(voter: str, answer: dict, trials: list[dict]) -> Vote:
    """Raises KeyError, TypeError, ValueError or OverflowError where the answer is none to one of the trials."""
    number = answer["trial"]
    if number not in range(1, len(trials) + 1):
        raise ValueError(f"expected a trial from 1 to {len(trials)}, got {number!r}")
    trial = {name: tuple(value) if isinstance(value, list) else value for name, value in trials[number - 1].items()}
    vote = Vote(timestamp(datetime.fromisoformat(answer["time"])), voter, **trial, vote=answer["vote"])
    check(vote)
    return vote


def _picture(comparison: Comparison, name: str) -> str | None:
    try:
        return pages.picture(comparison.image(name), SIDE)
    except UnreadableImage:
        return None


def _id(trials: object) -> str:
    """Return what tells one questionnaire from another and an altered key from a whole one."""
    return hashlib.sha256(json.dumps(trials, sort_keys=True).encode()).hexdigest()[:16]
