"""What the votes of a blind comparison say: win rate, interval, test, and how many votes are wanting."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, binomtest, norm

from similar_images.comparison.votes import Vote

LEVEL = 0.05  # of significance, two-sided
POWER = 0.8  # the chance to find a preference that is there (Cohen 1988)


class Result(NamedTuple):
    """What the votes say of the first of two systems; a tie and neither prefer none and count for overlap only."""

    wins: int
    losses: int
    ties: int
    neither: int
    win_rate: float | None  # wins of wins and losses; None: there are none
    interval: tuple[float, float]  # of the win rate, 95%
    p_value: float  # of the sign test
    overlap: float | None  # overlap@k, the mean of the lists voted on; None: there are none
    more_votes: int | None  # that would settle it if it went on alike; 0: it is settled; None: no end is in sight
    skipped_identical: int  # queries that were not asked, both lists being the same


def preference(votes: Iterable[Vote], first: str, second: str, skipped: int = 0) -> Result:
    """Return what the votes on these two systems say; those on others are left out."""
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
    """Return the chance of a difference this large or larger where none is preferred: the exact two-sided sign
    test, which leaves ties out (Dixon & Mood 1946).
    """
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the share of the names that both lists hold, from 0 to 1; the longer one counts."""
    return len(set(one) & set(other)) / max(len(one), len(other), 1)


def more_votes(wins: int, losses: int, votes: int) -> int | None:
    """Return how many more votes would settle it, if wins, losses and the others among them went on alike.

    None where wins equal losses.
    """
    if wins == losses:
        return None
    decided = wins + losses
    return max(1, math.ceil(votes_needed(wins / decided) * votes / decided) - votes)


def votes_needed(rate: float) -> int:
    """Return how many wins and losses it takes for the sign test to find a win rate other than 0.5: from that number
    on its exact power is at least POWER.

    The normal approximation (Fleiss, Levin & Paik 2003, ch. 2) says where to look; the exact power goes up and down
    from one number to the next (Chernick & Liu 2002), by less than the continuity correction, 1 / |rate - 0.5|.
    """
    difference = abs(rate - 0.5)
    spread = norm.isf(LEVEL / 2) / 2 + norm.isf(1 - POWER) * math.sqrt(rate * (1 - rate))
    middle, margin = (spread / difference) ** 2, 3 / difference
    numbers = np.arange(max(1, math.floor(middle - margin)), math.ceil(middle + margin) + 1)
    weak = numbers[power(rate, numbers) < POWER]
    return int(weak.max()) + 1


def power(rate: float, numbers: np.ndarray) -> np.ndarray:
    """Return for numbers of wins and losses int (m,) the chance that the sign test finds this win rate."""
    critical = binom.isf(LEVEL / 2, numbers, 0.5) + 1  # wins, or losses, that are too many to be chance
    return binom.sf(critical - 1, numbers, rate) + binom.cdf(numbers - critical, numbers, rate)
