"""Correlation of a network's similarities with human ratings: the STS benchmark (Cer et al. 2017)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from similar_images.index.exact import normalise
from similar_images.networks.text import TextEncoder

FIELDS = slice(4, 7)  # of a line: score from 0 to 5, and the two sentences


class SentencePairs(NamedTuple):
    """Pairs of sentences with human ratings of their similarity."""

    scores: np.ndarray  # float (n,), 0 to 5
    first: list[str]
    second: list[str]


class Agreement(NamedTuple):
    pairs: int
    spearman: float
    pearson: float


def read_pairs(file: Path) -> SentencePairs:
    """Return the pairs in a file of the STS benchmark: UTF-8, tab-separated, without header or quotes.

    Raises ValueError, with the line, if the file has another format.
    """
    rows: list[tuple[float, str, str]] = []
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            fields = line.split("\t")[FIELDS]
            if len(fields) != 3:
                raise ValueError(f"line {number}: expected a score and two sentences in fields 5 to 7")
            rows.append((float(fields[0]), fields[1], fields[2]))
    except ValueError as error:
        raise ValueError(f"{file} is not a file of the STS benchmark: {error}") from error
    if len(rows) < 2:
        raise ValueError(f"{file}: expected at least two pairs of sentences, got {len(rows)}")
    scores, first, second = zip(*rows, strict=True)
    return SentencePairs(np.array(scores), list(first), list(second))


def agreement(encoder: TextEncoder, pairs: SentencePairs) -> Agreement:
    """Return the correlations of the cosine similarities of the pairs with their human ratings."""
    from scipy import stats

    one, other = (normalise(encoder.encode(texts)) for texts in (pairs.first, pairs.second))
    cosines = np.einsum("nd,nd->n", one, other)
    spearman, pearson = (test(cosines, pairs.scores).statistic for test in (stats.spearmanr, stats.pearsonr))
    return Agreement(len(cosines), float(spearman), float(pearson))
