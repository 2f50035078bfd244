"""One thread imports Keras, and other threads keep their stderr."""

import subprocess
import sys

from conftest import ROOT

THREADS = """
import sys, threading
from similar_images.networks.keras import import_keras
faults = []
def use():
    try:
        import_keras().applications.mobilenet_v2.preprocess_input
    except BaseException as error:
        faults.append(repr(error))
threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(faults)
"""
WRITER = """
import os, threading, time
from similar_images.networks.keras import import_keras
done, written = threading.Event(), 0
def write():
    global written
    while not done.is_set():
        os.write(2, b"a line of another thread\\n")
        written += 1
        time.sleep(0.01)
thread = threading.Thread(target=write)
thread.start()
import_keras()
done.set()
thread.join()
print(written)
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_threads_wait_for_the_complete_import():
    done = run(THREADS)
    assert done.stdout == "[]\n", done.stderr


def test_other_threads_keep_their_stderr():
    done = run(WRITER)
    assert int(done.stdout) > 10
    assert done.stderr.count("a line of another thread\n") == int(done.stdout)


def test_single_thread_hides_the_log_of_tensorflow():
    done = run("from similar_images.networks.keras import import_keras; import_keras()")
    assert (done.returncode, done.stderr) == (0, "")
