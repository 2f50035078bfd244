"""The statistics of votes, compared with their formulas and with simulated voters."""

import math
from fractions import Fraction

import numpy as np
import pytest

from similar_images.comparison.statistics import (
    confidence_sequence,
    more_votes,
    overlap,
    power,
    preference,
    sequential_p_value,
    votes_needed,
)
from similar_images.comparison.votes import Vote


def given(preferred: str, vote: str | None = None) -> Vote:
    lists = {"list_a": ("1", "2", "3", "4"), "list_b": ("4", "5", "6", "7")}
    return Vote("t", "ann", "q", "a", "b", "b", **lists, vote=vote or {"a": "right", "b": "left"}[preferred])


def votes(wins: int, losses: int, ties: int = 0, neither: int = 0) -> list[Vote]:
    return [
        *[given("a")] * wins,
        *[given("b")] * losses,
        *[given("", "tie")] * ties,
        *[given("", "neither")] * neither,
    ]


def test_power_matches_simulated_test():
    for n, rate in ((5, 0.9), (20, 0.75), (67, 0.4), (199, 0.6)):
        found = [count for count in range(n + 1) if sequential_p_value(count, n - count) < 0.05]
        chance = sum(math.comb(n, count) * rate**count * (1 - rate) ** (n - count) for count in found)
        assert power(rate, np.array([n])) == pytest.approx([chance])


@pytest.mark.parametrize("rate", [0.52, 0.55, 0.6, 0.4, 0.7, 0.8, 0.95, 0.0, 1.0])
def test_votes_needed_give_enough_power(rate):
    numbers = np.arange(1, 20_000)
    weak = numbers[power(rate, numbers) < 0.8]
    assert votes_needed(rate) == weak.max() + 1


def test_60_percent_preference_is_found_within_predicted_votes():
    random = np.random.default_rng(0)
    pilot = votes(12, 8, 3, 2)
    more = preference(pilot, "a", "b").more_votes
    assert len(pilot) + more == math.ceil(votes_needed(0.6) * 25 / 20) == 567
    voters = random.multinomial(len(pilot) + more, [0.48, 0.32, 0.12, 0.08], 2000).tolist()
    found = [sequential_p_value(wins, losses) < 0.05 for wins, losses, _, __ in voters]
    assert np.mean(found) > 0.8 - 2 * math.sqrt(0.8 * 0.2 / 2000)  # two standard errors


def test_p_value_and_interval_agree_with_exact_fractions():
    for wins, losses in [(0, 0), (1, 0), (0, 7), (8, 0), (6, 2), (30, 12), (55, 60), (400, 300)]:
        n, orders = wins + losses, math.comb(wins + losses, wins)
        assert sequential_p_value(wins, losses) == pytest.approx(float(min(1, Fraction((n + 1) * orders, 2**n))))
        bounds = confidence_sequence(wins, losses)
        for bound in set(bounds) - {0, 1}:
            assert (n + 1) * orders * bound**wins * (1 - bound) ** losses == pytest.approx(0.05)
        assert bounds[0] <= wins / max(n, 1) <= bounds[1]
        assert (sequential_p_value(wins, losses) < 0.05) == (not bounds[0] <= 0.5 <= bounds[1])


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.7, 0.97])
def test_repeated_looks_mislead_in_at_most_5_percent(rate):
    """The true win rate is outside the interval at some look; without a preference, one is announced."""
    most, runs = 300, 4000
    wins = np.cumsum(np.random.default_rng(0).random((runs, most)) < rate, axis=1)
    misled = np.zeros(runs, bool)
    for n in range(1, most + 1):
        for count in np.unique(wins[:, n - 1]).tolist():
            low, high = confidence_sequence(count, n - count)
            is_wrong = not low <= rate <= high
            if rate == 0.5:
                assert is_wrong == (sequential_p_value(count, n - count) < 0.05)
            if is_wrong:
                misled |= wins[:, n - 1] == count
    assert 0.01 < misled.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)  # two standard errors


def test_fair_coin_decides_in_at_most_5_percent_by_exact_counting():
    paths, decided = {0: Fraction(1)}, Fraction(0)  # wins -> probability, before a decision
    for n in range(1, 151):
        following: dict[int, Fraction] = {}
        for wins, chance in paths.items():
            for more in (wins, wins + 1):
                following[more] = following.get(more, Fraction(0)) + chance / 2
        paths = {wins: chance for wins, chance in following.items() if sequential_p_value(wins, n - wins) >= 0.05}
        decided += sum(chance for wins, chance in following.items() if wins not in paths)
    assert 0.02 < decided <= 0.05


def test_a_result_counts_each_kind_of_vote():
    result = preference(votes(6, 2, 1, 3), "a", "b", skipped=5)
    assert result[:5] == (6, 2, 1, 3, 0.75) and result.skipped_identical == 5
    assert result.interval == pytest.approx((0.2680, 0.9853), abs=1e-4)
    assert result.p_value == pytest.approx(9 * 28 / 256)
    assert result.overlap == 0.25
    assert result.more_votes == math.ceil(votes_needed(0.75) * 12 / 8) - 12
    turned = preference(votes(6, 2, 1, 3), "b", "a")
    assert turned[:5] == (2, 6, 1, 3, 0.25) and turned.p_value == result.p_value


def test_more_votes_is_zero_if_decided_and_none_if_even():
    assert preference(votes(9, 0), "a", "b").more_votes == 0
    assert preference(votes(5, 5), "a", "b").more_votes is None
    assert more_votes(1, 0, 1) == 7  # 8 of 8
    nothing = preference(votes(0, 0, 2), "a", "b")
    assert (nothing.win_rate, nothing.interval, nothing.p_value, nothing.more_votes) == (None, (0, 1), 1, None)
    assert preference([], "a", "b").overlap is None
    assert preference(votes(3, 0), "a", "third").wins == 0


def test_overlap_is_the_share_of_the_longer_list():
    assert overlap("abcd", "dcba") == 1
    assert overlap("abcd", "ab") == 0.5
    assert overlap("", "") == overlap("ab", "cd") == 0
