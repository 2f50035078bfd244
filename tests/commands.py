"""Commands that several tests run."""

import sys

from conftest import ROOT


def extraction_command(*options: str, names: str = "list.txt") -> list[str]:
    script = str(ROOT / "extract_image_vectors.py")
    return [sys.executable, script, "-l", names, "-d", "photos", "--network", "hog-colour", "-b", "8", *options]
