"""Tests that run side by side share out the cores."""

import os
import subprocess
import sys

from conftest import ROOT

TEST = """
import faiss
import numpy
from threadpoolctl import threadpool_info

def test_threads():
    assert {{pool["num_threads"] for pool in threadpool_info()}} == {{{threads}}}
"""


def test_each_of_two_processes_gets_half_of_the_cores(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_threads.py").write_text(TEST.format(threads=max(1, (os.cpu_count() or 1) // 2)))
    unset = ("OMP_NUM_THREADS", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_WORKER")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "test_threads.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
