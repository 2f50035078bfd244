"""Files of an index in parts, and the same index in one file."""

from pathlib import Path

import faiss
import numpy as np

from similar_images.index.backend import FaissBackend
from similar_images.index.exact import normalise
from similar_images.index.index import open_index

KILLED = """
import os, signal, sys
from pathlib import Path
from similar_images.index import builder, parts
from similar_images.vectors.store import open_vectors
folder, part, step = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
replace_file = builder.replace_file
def killed(path):
    if path.name == part:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace_file(path)
def keep(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
if step == "filling":
    builder.replace_file = killed
else:
    parts.keep = keep
request = builder.BuildRequest("reduced", similarity=sys.argv[4], part_size=1500)
builder.build(open_vectors(folder / "v.npy"), folder / "v.faiss.index", request)
"""


def part_files(path: Path) -> dict[str, int]:
    """Return the parts of an index with their times of change."""
    return {file.name: file.stat().st_mtime_ns for file in path.parent.glob(f"{path.name}.*.part")}


def same_hits(one, other, queries, array, tolerance=0.0) -> bool:
    """Return whether two indexes give the same rows and similarities, with re-ranking and without."""
    for given in (None, array):
        (found, rows), (expected, expected_rows) = (index.search(queries, 20, given) for index in (one, other))
        if not np.array_equal(rows, expected_rows) or np.abs(found - expected).max() > tolerance:
            return False
    return True


def in_one_piece(index, vectors):
    """Return an index with the same trained quantizer, filled at once."""
    whole = faiss.clone_index(open_index(index.path, with_parts=False).backend.index)
    array = vectors.array if index.vectors is None else index.vectors
    kept = np.setdiff1d(np.flatnonzero(np.any(array, axis=1)), index.removed)
    whole.add_with_ids(normalise(array[kept]), kept)
    return index._replace(backend=FaissBackend(whole))
