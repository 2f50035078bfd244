"""The notebook's blind comparison: two lists side by side, no names, a vote by click or key."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition
from typing import Any

from traitlets import Bool, Dict, Int

from similar_images import forks
from similar_images.comparison.comparison import Comparison, Trial
from similar_images.comparison.statistics import Result
from similar_images.inputs import images
from similar_images.widgets.background import BackgroundWidget
from similar_images.widgets.bundles import read_bundle

THUMBNAIL_SIDE = 320  # pixels


class BlindTest(BackgroundWidget):
    """Asks which of two lists is better, for up to n queries; every vote is on disk before the next question.

    Each list is searched once, ahead of the questions. After a restart the test continues with the remaining queries.
    """

    _esm, _css = read_bundle("blind_test")
    n = Int().tag(sync=True)  # queries to vote on; exact after all lists are searched
    voted = Int().tag(sync=True)  # of the n
    can_undo = Bool(False).tag(sync=True)
    asked = Dict().tag(sync=True)  # the query and its two lists, with their pictures; empty at the end
    result = Dict().tag(sync=True)  # on request: the winner, and the confidence

    def __init__(self, comparison: Comparison, n: int = 50, seed: int = 0, queries: Iterable[str] | None = None):
        super().__init__()
        queries = None if queries is None else list(queries)
        self.comparison = comparison
        self._ahead: deque[Trial] = deque()  # the next questions
        self._votes_before = 0  # of the n, in earlier sessions
        self._answered: list[Trial] = []  # in this session
        self._planned: int | None = None  # number of queries; None while lists are searched
        self._fault: Exception | None = None  # of the search of lists
        self._changed = Condition(forks.new_reentrant_lock())  # for all of the above
        self._trial: Trial | None = None
        self._lock = forks.new_lock()
        self._is_closed = False
        self.set_trait("n", n if queries is None else len(queries))
        super()._run(lambda: self._search_ahead(comparison.plan(n, seed, queries)))
        self._run(self._show_next)

    def vote(self, choice: str, number: int | None = None) -> None:
        """Vote left, right, tie or neither on the current question; a vote on an earlier `number` is ignored."""
        trial = self._trial
        if trial is not None and number in (None, self.asked.get("number")):
            self._run(lambda: self._vote(choice, trial, number))

    def undo(self) -> None:
        """Take back the last vote of this session, and ask its query again."""
        self._run(self._undo)

    def show_result(self) -> None:
        """Show the result of the votes, with the names of the systems."""
        self._run(self._show_result)

    def _free(self) -> None:
        self.unobserve_all()
        self._trial = None

    def _answer_vote(self, vote: str, number: int) -> None:
        self.vote(vote, number)

    _answer_undo, _answer_result = undo, show_result

    def _vote(self, choice: str, trial: Trial, number: int | None) -> None:
        if trial is self._trial and number in (None, self.asked.get("number")):  # not a second click
            self.comparison.vote(trial, choice)
            self._answered.append(trial)
            self._show_next()

    def _undo(self) -> None:
        if not self._answered:
            raise ValueError("there is no vote of this session to undo")
        self.comparison.undo()
        with self._changed:
            self._ahead.extendleft(filter(None, (self._trial, self._answered.pop())))
        self._show_next()

    def _search_ahead(self, plan: Iterator[Trial | None]) -> None:
        """Search the lists of all trials."""
        planned = 0
        try:
            for trial in plan:
                self._check_open()
                planned += 1
                with self._changed:
                    if trial is None:
                        self._votes_before += 1
                    else:
                        self._ahead.append(trial)
                    self._changed.notify_all()
        except Exception as error:
            self._fault = error  # replaces the first missing question
        finally:
            with self._changed:
                self._planned = planned
                self._changed.notify_all()
        self._count()

    def _count(self) -> None:
        """Show the number of votes and of queries."""
        with self._changed:
            self.voted = self._votes_before + len(self._answered)
            if self._planned is not None and self._fault is None:
                self.n = self._planned

    def _show_next(self) -> None:
        """Show the next query."""
        with self._changed:
            self._changed.wait_for(lambda: self._ahead or self._planned is not None)
            self._check_open()
            self._trial = self._ahead.popleft() if self._ahead else None
        self._count()
        self.can_undo = bool(self._answered)
        if self._trial is None and self._fault is not None:
            raise self._fault
        if self._trial is None:
            self.asked = {}
            self._show_result()
            return
        trial = self._trial
        pictures = {name: self._picture(name) for name in {trial.query, *trial.left, *trial.right}}
        self.asked = {
            "number": self.asked.get("number", 0) + 1,
            "query": pictures[trial.query],
            "left": [pictures[name] for name in trial.left],
            "right": [pictures[name] for name in trial.right],
        }

    def _picture(self, name: str) -> dict[str, Any]:
        try:
            return {"picture": images.make_thumbnail(self.comparison.image(name), THUMBNAIL_SIDE), "absent": ""}
        except ValueError as error:
            return {"picture": None, "absent": str(error)}

    def _show_result(self) -> None:
        result = self.comparison.result()
        votes = self.comparison.votes()
        self.result = {
            "sentence": verdict(result, *self.comparison.names),
            "rows": [list(row) for row in rows(result, *self.comparison.names)],
            "plot": str(self.comparison.plot()) if votes else "",
        }

    def _run(self, work: Callable[[], None]) -> None:
        def run_alone() -> None:
            with self._lock:
                self._set_status("busy")
                work()
                self._set_status("done")

        super()._run(run_alone)

    def _failure_text(self, error: Exception) -> str:
        return " ".join(str(error).split()) or type(error).__name__


def verdict(result: Result, first: str, second: str) -> str:
    """Return the result of the votes in one sentence."""
    if result.win_rate is None:
        return "No list was preferred so far."
    if result.more_votes == 0:
        return f"{first if result.wins > result.losses else second} is preferred."
    if result.more_votes is None:
        return "There is no preference so far, and no number of further votes would show one."
    more = f"{result.more_votes} more vote{'s' * (result.more_votes != 1)}"
    return f"Not decided yet: about {more} would decide it at this rate."


def rows(result: Result, first: str, second: str) -> list[tuple[str, str]]:
    """Return the figures of a result with their names, as text."""
    found = [(f"{first} preferred", str(result.wins)), (f"{second} preferred", str(result.losses))]
    found += [("ties", str(result.ties)), ("neither", str(result.neither))]
    if result.win_rate is not None:
        low, high = result.interval
        name = f"win rate of {first}, 95% interval at any number of votes"
        found.append((name, f"{result.win_rate:.2f}, {low:.2f} to {high:.2f}"))
        found.append(("p-value at any number of votes", f"{result.p_value:.3f}"))
    if result.overlap is not None:
        found.append(("overlap of the lists", f"{result.overlap:.2f}"))
    found.append(("queries skipped, both lists identical", str(result.skipped_identical)))
    return found
