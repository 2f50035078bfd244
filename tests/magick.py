"""ImageMagick, an independent reader of image files."""

import shutil
import subprocess

import numpy as np

PROGRAM = shutil.which("magick") or shutil.which("convert")  # None: not installed


def read(content: bytes, form: str, *operations: str) -> np.ndarray:
    """Return the first frame of a file on white, RGB uint8 (pixels, 3)."""
    on_white = ["-background", "white", "-alpha", "remove", "-alpha", "off"]
    command = [str(PROGRAM), f"{form}:-[0]", *operations, *on_white, "-depth", "8", "rgb:-"]
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 3)
