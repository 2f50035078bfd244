"""A blind A/B test of two systems that rank images: which list does a person prefer?"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from similar_images.collection.base import BaseCollection
from similar_images.comparison.statistics import Result, preference
from similar_images.comparison.votes import (
    UnblindedTrial,
    Vote,
    append,
    check_voter,
    latest,
    read,
    remove_last,
    timestamp,
)
from similar_images.evaluation.evaluation import SearchConfig
from similar_images.files import check_writeable
from similar_images.index.exact import check_k
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.sources import open_source, parse_location
from similar_images.networks.extras import need

Ranking = Callable[[str, int], Iterable[str]]  # a query's name and k -> names, the most similar first


class Trial(NamedTuple):
    """A query and the lists of two unnamed systems: names, the most similar first."""

    query: str
    left: tuple[str, ...]
    right: tuple[str, ...]


class Comparison:
    """Two named systems that rank images, and the file of the votes on them.

    >>> systems = {"hog-colour": Collection.open("hog.npy"), "mobilenetv2": Collection.open("mobile.npy")}
    >>> comparison = Comparison(systems, votes="votes.csv", voter="ann")
    >>> for trial in comparison.trials(n=50):
    ...     comparison.vote(trial, "left")  # or right, tie, neither
    >>> comparison.result()
    """

    def __init__(
        self,
        systems: Mapping[str, BaseCollection[Any] | SearchConfig | Ranking],
        votes: str | Path,
        voter: str,
        k: int = 8,
        images: str | Path | None = None,
    ):
        """`images` is the folder or archive of the images, by default the source of the collections.

        Raises OSError, and ValueError if the file is not a file of votes.
        """
        if len(systems) != 2:
            raise ValueError(f"expected two systems, got {len(systems)}: {', '.join(systems) or 'none'}")
        check_k(k)
        check_voter(voter)
        self.names, self.file, self.voter, self.k = tuple(systems), Path(votes), voter, k
        configs = {name: SearchConfig(one) if isinstance(one, BaseCollection) else one for name, one in systems.items()}
        self._rankings = {
            name: _rank_by(one) if isinstance(one, SearchConfig) else one for name, one in configs.items()
        }
        self._collections = [one.collection for one in configs.values() if isinstance(one, SearchConfig)]
        sources = [open_source(parse_location(images))] if images else [one.source for one in self._collections]
        self._sources = [source for source in sources if source]
        self._left: dict[Trial, str] = {}  # the system whose list is on the left
        self._identical: set[str] = set()  # queries
        check_writeable(self.file)
        self.votes()

    def trials(
        self, n: int = 50, seed: int = 0, queries: Iterable[str] | None = None, again: bool = False
    ) -> Iterator[Trial]:
        """Yield trials for n random images common to both systems, or for all `queries` in their order.

        Queries with two identical lists are skipped. Queries with a vote of this voter count towards n, but are only
        repeated with `again`. The seed determines queries and sides. Raises ValueError for an unknown query.
        """
        yield from (trial for trial in self.plan(n, seed, queries, again) if trial is not None)

    def plan(
        self, n: int = 50, seed: int = 0, queries: Iterable[str] | None = None, again: bool = False
    ) -> Iterator[Trial | None]:
        """Yield trials like `trials`, and None for each query with a vote of this voter."""
        voted = set() if again else {vote.query for vote in self.votes() if vote.voter == self.voter}
        names = self._common_names() if queries is None else list(dict.fromkeys(queries))
        random = np.random.default_rng(seed)
        order = random.permutation(len(names)) if queries is None else range(len(names))
        sides = random.integers(2, size=len(names))
        wanted = n if queries is None else len(names)
        for place in order:
            query = names[place]
            if not wanted:
                return
            if queries is None and not all(_has_query(collection, query) for collection in self._collections):
                continue
            trial = None if query in voted else self._trial(query, self.names[sides[place]])
            if trial is None and query not in voted:
                continue
            yield trial
            wanted -= 1

    def vote(self, trial: Trial, choice: str) -> Vote:
        """Save a vote on a trial: left, right, tie or neither. The last vote on a query counts.

        Raises OSError or ValueError.
        """
        vote = self.unblind(trial).as_vote(timestamp(), self.voter, choice)
        append(self.file, vote)
        return vote

    def undo(self) -> Vote:
        """Remove the voter's last vote on these two systems from the file and return it; call again to undo more.

        An earlier vote on the same query counts again. Raises OSError, and ValueError if no vote is left.
        """
        vote = remove_last(self.file, lambda vote: vote.voter == self.voter and {vote.a, vote.b} == set(self.names))
        if vote is None:
            raise ValueError(f"expected a vote of {self.voter} to undo, got none in {self.file}")
        return vote

    def unblind(self, trial: Trial) -> UnblindedTrial:
        """Return a trial with the names of its systems."""
        if trial not in self._left:
            raise ValueError(f"expected a trial of this comparison, got another of {trial.query}")
        left = self._left[trial]
        a, b = self.names
        lists = (trial.left, trial.right) if left == a else (trial.right, trial.left)
        return UnblindedTrial(trial.query, a, b, left, *lists)

    def votes(self) -> list[Vote]:
        """Return the votes of all voters on these two systems. Raises OSError or ValueError."""
        given = latest(read(self.file)) if self.file.exists() else []
        return [vote for vote in given if {vote.a, vote.b} == set(self.names)]

    def result(self) -> Result:
        """Return the result of all votes in the file, for the first system against the second."""
        first, second = self.names
        return preference(self.votes(), first, second, skipped=len(self._identical))

    def plot(self) -> Markup:
        """Return an SVG of the win rate of the first system with its interval. Raises OSError without Matplotlib."""
        need("matplotlib", "evaluate", "the plot of a comparison")
        from similar_images.comparison.plots import win_rate
        from similar_images.evaluation.plots import in_page_style

        return in_page_style(win_rate, self.votes(), *self.names)

    def image(self, name: str) -> Path | bytes:
        """Return an image as images.open_image takes it. Raises UnreadableImage if it is not found."""
        for source in self._sources:
            if source.exists(name):
                return source.image(name)
        raise UnreadableImage("not in the folder or archive of the images: set it with images=")

    def _trial(self, query: str, left: str) -> Trial | None:
        """Return a trial with the list of the system `left` on the left; None if both lists are equal."""
        right = self.names[left == self.names[0]]
        trial = Trial(query, *(tuple(self._rankings[name](query, self.k))[: self.k] for name in (left, right)))
        if trial.left == trial.right:
            self._identical.add(query)
            return None
        self._left[trial] = left
        return trial

    def _common_names(self) -> list[str]:
        """Return the names common to all collections, in the order of the first."""
        if not self._collections:
            raise ValueError("expected queries=, a list of names, because neither system is a collection")
        first, *others = [collection.names for collection in self._collections]
        common = set(first).intersection(*others)
        if not common:
            raise ValueError(f"expected collections of the same images, got {first[0]} here and {others[0][0]} there")
        return [name for name in first if name in common]


def _rank_by(config: SearchConfig) -> Ranking:
    def rank(query: str, k: int) -> list[str]:
        row = config.collection.row_named(query)
        if row is None:
            raise ValueError(f"expected the name of an image in {config.collection.vectors.path}, got {query}")
        return [hit.name for hit in config.collection.nearest(row, k, config.exact, config.reranked)]

    return rank


def _has_query(collection: BaseCollection[Any], name: str) -> bool:
    """Return whether the collection has a vector of this image, and did not remove it."""
    row = collection.row_named(name)
    return row is not None and row not in collection.removed and not collection.was_skipped(row)
