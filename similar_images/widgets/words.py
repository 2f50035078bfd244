"""Find the words that a text shares with a query."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
import snowballstemmer

SAMPLE = 2000  # texts, to find common words
MAX_SHARE = 0.05  # of the texts; more frequent words are common, such as: the, I, returns
CACHED_STEMS = 100_000  # words
WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
HUMP = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")  # RandomFlip also contains Random and Flip

Piece = tuple[str, bool]  # a piece of a text, and whether it matches


class Words:
    """The words of a collection, equal if their Snowball stems (Porter 2001) are equal."""

    def __init__(self, texts: list[str], language: str = "english", seed: int = 0):
        """Raises ValueError for a language without Snowball stemmer."""
        if language not in snowballstemmer.algorithms():
            known = ", ".join(sorted(snowballstemmer.algorithms()))
            raise ValueError(f"expected a language of {known}, got {language}")
        self._stem: Callable[[str], str] = lru_cache(CACHED_STEMS)(snowballstemmer.stemmer(language).stemWord)
        rows = np.random.default_rng(seed).permutation(len(texts))[:SAMPLE]
        counts = Counter(stem for row in rows for stem in self.stems(texts[row]))
        self.common = {stem for stem, count in counts.items() if count > MAX_SHARE * len(rows) and count > 1}

    def stems(self, text: str) -> set[str]:
        """Return the stems of the words of a text, and of the parts of CamelCase words."""
        return {self._stem(text[start:end].casefold()) for start, end in _spans(text)}

    def mark(self, text: str, query: str) -> list[Piece]:
        """Return a text in pieces; the uncommon words shared with the query match."""
        wanted = self.stems(query) - self.common
        matching = [span for span in _spans(text) if self._stem(text[slice(*span)].casefold()) in wanted]
        pieces, at = [], 0
        for start, end in sorted(matching):
            if start < at:  # a part of a matching word
                continue
            pieces += [(text[at:start], False), (text[start:end], True)]
            at = end
        return [piece for piece in (*pieces, (text[at:], False)) if piece[0]]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for word in WORD.finditer(text):
        yield word.span()
        cuts = [word.start(), *(word.start() + hump.start() for hump in HUMP.finditer(word[0])), word.end()]
        if len(cuts) > 2:
            yield from pairwise(cuts)
