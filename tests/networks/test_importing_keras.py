"""Keras is imported once, by whichever thread comes first, and the other threads' stderr stays their own."""

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


def test_no_thread_gets_a_half_imported_keras():
    done = run(THREADS)
    assert done.stdout == "[]\n", done.stderr


def test_what_other_threads_write_to_stderr_meanwhile_is_not_lost():
    done = run(WRITER)
    assert int(done.stdout) > 10
    assert done.stderr.count("a line of another thread\n") == int(done.stdout)


def test_the_only_thread_sees_nothing_of_tensorflows_log():
    done = run("from similar_images.networks.keras import import_keras; import_keras()")
    assert (done.returncode, done.stderr) == (0, "")
