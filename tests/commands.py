"""Commands that several tests run."""

import sys


def extraction_command(*options: str, names: str = "list.txt") -> list[str]:
    return [
        sys.executable,
        "-m",
        "similar_images",
        "extract",
        "-l",
        names,
        "-d",
        "photos",
        "--network",
        "hog-colour",
        "-b",
        "8",
        *options,
    ]
