"""The result of a blind comparison: win rate, confidence interval, test, and the number of missing votes.

People look at the result after any vote and stop when they like it. So interval and p-value hold at all numbers of votes
together: without a preference, the p-value ever falls below LEVEL in at most a share LEVEL of comparisons. They are
based on (n + 1) times the probability of n wins and losses. For the true win rate, this product falls to LEVEL or less at
any n with a probability of at most LEVEL (Robbins 1970, "Statistical methods related to the law of the iterated
logarithm", Annals of Mathematical Statistics 41; Howard et al. 2021, Annals of Statistics 49, treats such bounds).
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import binom

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
    interval: tuple[float, float]  # of the win rate, 95%, at all numbers of votes together
    p_value: float  # of no preference, at all numbers of votes together
    overlap: float | None  # mean overlap@k of the lists; None without votes
    more_votes: int | None  # needed for significance at this win rate; 0: significant; None: wins equal losses
    skipped_identical: int  # queries not shown, because both lists are the same


def preference(votes: Iterable[Vote], first: str, second: str, skipped: int = 0) -> Result:
    """Return the result of the votes on these two systems; votes on other systems are ignored."""
    votes = [vote for vote in votes if {vote.a, vote.b} == {first, second}]
    winners = [vote.winner for vote in votes]
    wins, losses = winners.count(first), winners.count(second)
    given = [vote.vote for vote in votes]
    p_value = sequential_p_value(wins, losses)
    return Result(
        wins,
        losses,
        given.count("tie"),
        given.count("neither"),
        wins / (wins + losses) if wins + losses else None,
        confidence_sequence(wins, losses),
        p_value,
        float(np.mean([overlap(vote.list_a, vote.list_b) for vote in votes])) if votes else None,
        0 if p_value < LEVEL else more_votes(wins, losses, len(votes)),
        skipped,
    )


def confidence_sequence(wins: int, losses: int) -> tuple[float, float]:
    """Return the 95% interval of the share of wins; at all numbers of votes together it misses the true one in 5%."""
    if not wins + losses:
        return 0.0, 1.0
    constant = _log_constant(wins, losses)

    def excess(share: float) -> float:
        """Return how far above LEVEL a share of wins is, in logarithms."""
        return constant + wins * math.log(share) + losses * math.log1p(-share) - math.log(LEVEL)

    most, least, last = wins / (wins + losses), 1e-300, 1 - 2**-53
    low = brentq(excess, least, min(most, last)) if wins else 0.0
    high = brentq(excess, max(most, least), last) if losses else 1.0
    return low, high


def sequential_p_value(wins: int, losses: int) -> float:
    """Return the p-value of no preference, at all numbers of votes together; it ignores ties."""
    return math.exp(min(0.0, _log_constant(wins, losses) - (wins + losses) * math.log(2)))


def _log_constant(wins: int, losses: int) -> float:
    """Return the logarithm of (n + 1) times the number of orders of the wins and losses: of 1 / B(wins + 1, losses + 1)."""
    return -float(betaln(wins + 1, losses + 1))


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the number of common names divided by the length of the longer list, 0 to 1."""
    return len(set(one) & set(other)) / max(len(one), len(other), 1)


def more_votes(wins: int, losses: int, votes: int) -> int | None:
    """Return the number of further votes for significance at the present shares; None if wins equal losses."""
    if wins == losses:
        return None
    decided = wins + losses
    return max(1, math.ceil(votes_needed(wins / decided) * votes / decided) - votes)


def votes_needed(rate: float) -> int:
    """Return the number of wins and losses from which the power of the test for a win rate stays at least POWER.

    The power oscillates from one number to the next (Chernick & Liu 2002), over a range below 3 / |rate - 0.5|. So all
    numbers within this range of a sufficient one are examined.
    """
    weak, enough = 0, 1
    while power(rate, np.array([enough]))[0] < POWER:
        weak, enough = enough, 2 * enough
    while enough - weak > 1:
        middle = (weak + enough) // 2
        weak, enough = (middle, enough) if power(rate, np.array([middle]))[0] < POWER else (weak, middle)
    margin = math.ceil(3 / abs(rate - 0.5))
    numbers = np.arange(max(1, enough - margin), enough + margin + 1)
    return int(numbers[power(rate, numbers) < POWER].max(initial=0)) + 1


def power(rate: float, numbers: np.ndarray) -> np.ndarray:
    """Return the probability that the test shows a win rate after numbers of wins and losses int (m,)."""
    critical = _critical(numbers)
    return np.asarray(binom.sf(critical - 1, numbers, rate) + binom.cdf(numbers - critical, numbers, rate))


def _critical(numbers: np.ndarray) -> np.ndarray:
    """Return the fewest significant wins, or losses, for each number of votes; one more than all if none are."""
    low, high = numbers // 2, numbers + 1  # not significant, and significant or one more than all
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_enough = -betaln(middle + 1, numbers - middle + 1) - numbers * math.log(2) < math.log(LEVEL)
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
    return high
