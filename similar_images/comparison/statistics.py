"""The result of a blind comparison: win rate, confidence interval, test, and the number of missing votes."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, binomtest, norm

from similar_images.comparison.votes import Vote

LEVEL = 0.05  # of significance, two-sided
POWER = 0.8  # the probability to detect a real preference (Cohen 1988)


class Result(NamedTuple):
    """The result for the first of two systems; ties and "neither" count for the overlap only."""

    wins: int
    losses: int
    ties: int
    neither: int
    win_rate: float | None  # wins / (wins + losses); None without either
    interval: tuple[float, float]  # of the win rate, 95%
    p_value: float  # of the sign test
    overlap: float | None  # mean overlap@k of the lists; None without votes
    more_votes: int | None  # needed for significance at this win rate; 0: significant; None: wins equal losses
    skipped_identical: int  # queries not shown, because both lists are the same


def preference(votes: Iterable[Vote], first: str, second: str, skipped: int = 0) -> Result:
    """Return the result of the votes on these two systems; votes on other systems are ignored."""
    votes = [vote for vote in votes if {vote.a, vote.b} == {first, second}]
    winners = [vote.winner for vote in votes]
    wins, losses = winners.count(first), winners.count(second)
    given = [vote.vote for vote in votes]
    p_value = sign_test(wins, losses)
    return Result(
        wins,
        losses,
        given.count("tie"),
        given.count("neither"),
        wins / (wins + losses) if wins + losses else None,
        wilson(wins, losses),
        p_value,
        float(np.mean([overlap(vote.list_a, vote.list_b) for vote in votes])) if votes else None,
        0 if p_value < LEVEL else more_votes(wins, losses, len(votes)),
        skipped,
    )


def wilson(wins: int, losses: int) -> tuple[float, float]:
    """Return the 95% interval of the share of wins (Wilson 1927)."""
    if not wins + losses:
        return 0.0, 1.0
    interval = binomtest(wins, wins + losses).proportion_ci(1 - LEVEL, "wilson")
    return float(interval.low), float(interval.high)


def sign_test(wins: int, losses: int) -> float:
    """Return the p-value of the exact two-sided sign test, which ignores ties (Dixon & Mood 1946)."""
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the number of common names divided by the length of the longer list, 0 to 1."""
    return len(set(one) & set(other)) / max(len(one), len(other), 1)


def more_votes(wins: int, losses: int, votes: int) -> int | None:
    """Return how many more votes make the result significant, if the shares of wins, losses and ties stay the same.

    None if wins equal losses.
    """
    if wins == losses:
        return None
    decided = wins + losses
    return max(1, math.ceil(votes_needed(wins / decided) * votes / decided) - votes)


def votes_needed(rate: float) -> int:
    """Return the number of wins and losses from which the exact power of the sign test for a win rate stays at least
    POWER.

    The normal approximation (Fleiss, Levin & Paik 2003, ch. 2) gives the range to search. The exact power oscillates
    from one number to the next (Chernick & Liu 2002), by less than the continuity correction, 1 / |rate - 0.5|.
    """
    difference = abs(rate - 0.5)
    spread = norm.isf(LEVEL / 2) / 2 + norm.isf(1 - POWER) * math.sqrt(rate * (1 - rate))
    middle, margin = (spread / difference) ** 2, 3 / difference
    numbers = np.arange(max(1, math.floor(middle - margin)), math.ceil(middle + margin) + 1)
    weak = numbers[power(rate, numbers) < POWER]
    return int(weak.max()) + 1


def power(rate: float, numbers: np.ndarray) -> np.ndarray:
    """Return the power of the sign test for this win rate, for numbers of wins and losses int (m,)."""
    critical = binom.isf(LEVEL / 2, numbers, 0.5) + 1  # the fewest wins, or losses, that are significant
    return binom.sf(critical - 1, numbers, rate) + binom.cdf(numbers - critical, numbers, rate)
