"""Commands as users start them, and their refusals."""

import sys
from subprocess import CompletedProcess


def program(*arguments: object) -> list[str]:
    """Return `similar-images` with arguments, for a process of its own."""
    return [sys.executable, "-m", "similar_images", *map(str, arguments)]


def extraction_command(*options: object, names: str = "list.txt") -> list[str]:
    return program("extract", "-l", names, "-d", "photos", "--network", "hog-colour", "-b", "8", *options)


def one_line(done: CompletedProcess) -> str:
    """Return the one line that a failed command prints."""
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr
