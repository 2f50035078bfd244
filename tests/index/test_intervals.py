"""95% intervals of shares and of differences cover the true mean."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from similar_images.index.quality import confidence_interval

RUNS = 1000


def binary(random: np.random.Generator, n: int, p: float) -> np.ndarray:
    return (random.random(n) < p).astype(float)


def of_ten_hits(random: np.random.Generator, n: int, p: float) -> np.ndarray:
    return random.binomial(10, p, n) / 10


def of_uneven_queries(random: np.random.Generator, n: int, p: float) -> np.ndarray:
    return random.binomial(10, random.beta(2 * p, 2 - 2 * p, n)) / 10


def with_few_misses(random: np.random.Generator, n: int, p: float) -> np.ndarray:
    """At most one of ten hits is missed."""
    return 1 - 0.1 * (random.random(n) < 10 * (1 - p))


@pytest.mark.parametrize("n", [20, 30, 31, 50, 64, 100, 300, 1000])
def test_intervals_of_binary_values_cover_mean(n):
    counts = np.arange(n + 1)
    low, high = np.array([confidence_interval((np.arange(n) < count).astype(float))[1:] for count in counts]).T
    ends = np.concatenate([low - 1e-9, low + 1e-9, high - 1e-9, high + 1e-9])  # the coverage is lowest beside them
    shares = np.concatenate([np.linspace(0.02, 0.98, 97), ends[(ends > 0.02) & (ends < 0.98)]])
    covers = (low[:, None] <= shares) & (shares <= high[:, None])
    assert (binom.pmf(counts[:, None], n, shares) * covers).sum(axis=0).min() >= 0.93


@pytest.mark.parametrize("n", [30, 100, 300])
@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("values", [binary, of_ten_hits, of_uneven_queries])
def test_simulated_intervals_cover_mean(values, n, p):
    random = np.random.default_rng(0)
    found = [confidence_interval(values(random, n, p)) for _ in range(RUNS)]
    assert np.mean([low <= p <= high for _, low, high in found]) >= 0.93
    assert all(0 <= low <= mean <= high <= 1 for mean, low, high in found)


@pytest.mark.parametrize("p", [0.998, 0.99, 0.95])
def test_few_small_misses_keep_interval_wide(p):
    random = np.random.default_rng(0)
    found = [confidence_interval(with_few_misses(random, 50, p)) for _ in range(RUNS)]
    assert np.mean([low <= p <= high for _, low, high in found]) >= 0.93


def test_interval_of_binary_values_matches_scipy():
    for hits, n in ((50, 50), (49, 50), (0, 20), (7, 30), (990, 1000)):
        expected = binomtest(hits, n).proportion_ci(method="exact")
        assert confidence_interval(np.arange(n) < hits) == pytest.approx((hits / n, expected.low, expected.high))
    assert confidence_interval(np.ones(50)) == pytest.approx((1, 0.9289, 1), abs=1e-4)


def test_low_variance_gives_narrow_interval():
    random = np.random.default_rng(0)
    each = of_ten_hits(random, 1000, 0.95)
    mean, low, high = confidence_interval(each)
    student = 1.96 * each.std() / 1000**0.5
    assert student < mean - low < 1.5 * student and student < high - mean < 1.5 * student


def test_interval_rises_with_hits():
    lows = [confidence_interval(np.where(np.arange(1000) < misses, 0.9, 1.0))[1] for misses in range(50)]
    assert np.all(np.diff(lows) < 2e-4)


@pytest.mark.parametrize("n", [30, 50, 300])
@pytest.mark.parametrize(("more", "fewer"), [(0.05, 0.05), (0.1, 0.3), (0.5, 0.4), (0.01, 0.01)])
def test_intervals_of_differences_cover_mean(n, more, fewer):
    random = np.random.default_rng(0)
    found = [
        confidence_interval(random.choice([1.0, -1.0, 0.0], n, p=[more, fewer, 1 - more - fewer]), minimum=-1)
        for _ in range(RUNS)
    ]
    assert np.mean([low <= more - fewer <= high for _, low, high in found]) >= 0.93
    assert all(-1 <= low <= mean <= high <= 1 for mean, low, high in found)


def test_equal_differences_have_an_interval():
    for each in (np.zeros(50), np.ones(50), np.full(30, -1.0)):
        mean, low, high = confidence_interval(each, minimum=-1)
        assert high - low > 0.02 and low <= mean <= high
