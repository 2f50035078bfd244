"""Which words of a text a query has too."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
import snowballstemmer

SAMPLE = 2000  # texts, to learn which words are common
COMMON = 0.05  # of the texts; a word that more of them have says nothing: the, I, returns
REMEMBERED = 100_000  # words with their stems
WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
HUMP = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")  # RandomFlip is Random and Flip, too

Piece = tuple[str, bool]  # of a text, and whether it matches


class Words:
    """The words of a collection: alike where Snowball (Porter 2001) leaves the same stem of them."""

    def __init__(self, texts: list[str], language: str = "english", seed: int = 0):
        """Raises ValueError for a language that Snowball does not know."""
        if language not in snowballstemmer.algorithms():
            known = ", ".join(sorted(snowballstemmer.algorithms()))
            raise ValueError(f"expected a language of {known}, got {language}")
        self._stem: Callable[[str], str] = lru_cache(REMEMBERED)(snowballstemmer.stemmer(language).stemWord)
        rows = np.random.default_rng(seed).permutation(len(texts))[:SAMPLE]
        counts = Counter(stem for row in rows for stem in self.stems(texts[row]))
        self.common = {stem for stem, count in counts.items() if count > COMMON * len(rows) and count > 1}

    def stems(self, text: str) -> set[str]:
        """Return the stems of the words of a text, and of the humps in them."""
        return {self._stem(text[start:end].casefold()) for start, end in _spans(text)}

    def marked(self, text: str, query: str) -> list[Piece]:
        """Return a text in pieces: those that match are words which the query has too, and few texts."""
        wanted = self.stems(query) - self.common
        matching = [span for span in _spans(text) if self._stem(text[slice(*span)].casefold()) in wanted]
        pieces, at = [], 0
        for start, end in sorted(matching):
            if start < at:  # a hump in a word that matches whole
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
