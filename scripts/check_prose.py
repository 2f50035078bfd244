#!/usr/bin/env python3
"""Fail if the English of the project contains too many convoluted phrases.

    scripts/check_prose.py          rates of each group; lists the places of a group above the limit
    scripts/check_prose.py --list   lists all places

It reads docstrings, comments, messages and test names of tracked files, and the text of the documentation. A match is
not always a mistake, so only the rate counts.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_RATE = 2.0  # matches per 1,000 words in each group
MIN_STRING_WORDS = 4  # shorter strings are keys and names, not prose
WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")
VERB = r"(?:is|are|was|were|has|have|had|do|does)"
PHRASES = re.compile(
    "|".join(
        (
            # "What reads a file": name the thing.
            rf"\bwhat (?:{VERB}|can|cannot|must|may|the|it|its|they|this|a|an|no|each|every|else|[a-z]{{2,}}(?:s|ed))\b",
            # "an image that is damaged": use an adjective, or a second sentence.
            rf"\b(?:that|which) {VERB}\b",
            # "the recall and that of exact search": repeat the noun.
            r"\b(?:those|that) (?:of|that|which|with|without|in|from|whose)\b",
            # "an error where there is no file": write "if" or "when".
            rf"\bwhere (?:it|they|there|the|an?|no|that|this|those|one|its|only|not|[a-z]+ (?:{VERB}|exists?|fails?))\b",
            # Archaic or personified words.
            r"\b(?:anew|begun|hence|thus|lest|of before|came or went|mend(?:s|ed)?|as a whole|whole again|so much as)\b",
            r"\b(?:go|goes|went) on\b|\b(?:is|are|was|were) told\b|\bgives? back\b|\bat once after\b|\bways? on\b",
            r"\bstands? (?:where|in|for|beside)\b|\bheld against\b|\bmakes? up for\b|\bnothing (?:is|was|has)\b",
        )
    ),
    re.IGNORECASE,
)


def group_of(path: Path) -> str | None:
    """Return the group in which a file's words count; None if they do not count."""
    if path.suffix == ".md":
        return None if "reference" in path.parts else "docs"  # generated from the package
    if path.suffix in {".py", ".js", ".sh", ".html", ".j2"} or path.name == "Makefile":
        return "tests" if path.parts[0] == "tests" else "package"
    return None


def iter_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each piece of prose in a file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".py":
        yield from _python_texts(text)
        return
    is_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix == ".md" and line.lstrip().startswith("```"):
            is_code = not is_code
        elif path.suffix in {".js", ".sh"} and not re.search(r"//|/\*|^\s*\*|#|[\"'`].*\s.*\s.*[\"'`]", line):
            continue
        elif not is_code:
            yield number, line


def _python_texts(source: str) -> Iterator[tuple[int, str]]:
    strings = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
        elif token.type in strings and len(WORD.findall(token.string)) >= MIN_STRING_WORDS:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")


def count_phrases(paths: Iterable[Path]) -> tuple[int, list[str]]:
    """Return the number of words in files, and a line for each phrase."""
    words, places = 0, []
    for path in paths:
        for number, text in iter_texts(path):
            words += len(WORD.findall(text))
            places += [f"{path}:{number}: {match[0]}" for match in PHRASES.finditer(" ".join(text.split()))]
    return words, places


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode()
    groups: dict[str, list[Path]] = {"package": [], "docs": [], "tests": []}
    for path in map(Path, filter(None, listed.split("\0"))):
        if (group := group_of(path)) and path.is_file():
            groups[group].append(path)
    is_above = False
    for group, paths in groups.items():
        words, places = count_phrases(paths)
        rate = 1000 * len(places) / max(words, 1)
        is_above |= rate > MAX_RATE
        print(f"{group}: {rate:.1f} convoluted phrases per 1,000 words, at most {MAX_RATE} allowed")
        if rate > MAX_RATE or "--list" in sys.argv:
            print("".join(f"  {place}\n" for place in places), end="")
    return int(is_above)


if __name__ == "__main__":
    sys.exit(main())
