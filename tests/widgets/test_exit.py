"""A script ends while a widget works: without a message, and with exit status 0."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from sample_images import make_sample

from similar_images import Collection

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

DELAYS = (0, 0.2, 0.7)  # seconds from the widget's creation to the script's end
ROWS = 10_000  # of the large collection: its map, clusters and near-duplicates take longer than any delay

# One process imports the package; each child is a whole script, which ends as any script does.
SCRIPT = """
import os, sys, time
from similar_images import *
for delay in {delays}:
    if not (child := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    sys.exit()
{made}
time.sleep(delay)
if shown.status["kind"] == "failure":
    print(shown.status["text"])
"""
WIDGETS = {
    "gallery": "shown = Gallery(Collection.open('large.npy'))",
    "upload": """
shown = Gallery(Collection.open("deep/sample_file_list.txt"))
shown.search_files([(name, open(f"sample/{name}", "rb").read()) for name in shown.collection.names * 9])""",
    "why": """
shown = Gallery(Collection.open("deep/sample_file_list.txt"))
shown.wait()
shown._handle_custom_msg({"do": "why", "row": 1}, [])""",
    "map": "shown = Map(Collection.open('large.npy'))",
    "overview": "shown = Overview(Collection.open('large.npy'))",
    "duplicates": "shown = DuplicateReview(Collection.open('large.npy'), 0.9)",
    "blind test": """
systems = {"near": Collection.open("large.npy"), "none": lambda query, k: []}
shown = BlindTest(Comparison(systems, "votes.csv", "ann"), 10_000)""",
    "texts": """
shown = TextGallery(TextCollection.open("docstrings_list.txt"))
shown.search_text("flip")""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exit")
    np.save(folder / "large.npy", np.random.default_rng(0).normal(size=(ROWS, 32)).astype(np.float32))
    (folder / "large.txt").write_text("".join(f"{row}.jpg\n" for row in range(ROWS)))
    make_sample(folder)
    Collection.create(folder / "sample", folder / "deep", "efficientnetlite0")
    return folder


@pytest.mark.parametrize("name", WIDGETS)
def test_a_script_that_ends_while_a_widget_works_ends_well(folder, name):
    if name == "texts":
        pytest.importorskip("sentence_transformers", reason="texts are not installed: make install-text")
        from sample_texts import MIRROR, QUERY, make_texts

        make_texts(folder / "docstrings_list.txt", [MIRROR, QUERY, "blur an image"])
    script = SCRIPT.format(delays=DELAYS, made=WIDGETS[name])
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a process with threads is not to fork
    environment |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["0"] * len(DELAYS) + [""]
