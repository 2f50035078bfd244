"""Write files atomically, and lock them."""

import os
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT

from similar_images.files import STALE_SECONDS, hold_lock, replace_file, replace_folder, write_json

HOLD = "import sys, time; from pathlib import Path; from similar_images.files import hold_lock\nwith hold_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def names(folder) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_two_writers_are_independent(tmp_path):
    path = tmp_path / "a.txt"
    with replace_file(path) as one:
        one.write_text("one")
        with replace_file(path) as other:
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one" and names(tmp_path) == ["a.txt"]


def test_many_threads_leave_one_complete_file(tmp_path):
    path = tmp_path / "a.json"
    threads = [threading.Thread(target=write_json, args=(path, {"n": n, "x": "y" * 9999})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text().endswith("}\n") and names(tmp_path) == ["a.json"]


def test_stale_partial_file_is_removed(tmp_path):
    old, new = tmp_path / ".a.0123.part.txt", tmp_path / ".a.4567.part.txt"
    for partial in (old, new):
        partial.touch()
    before = time.time() - STALE_SECONDS - 60
    os.utime(old, (before, before))
    with replace_file(tmp_path / "a.txt") as partial:
        partial.write_text("a")
    assert not old.exists() and new.exists()


def test_lock_names_its_holder_and_is_removed(tmp_path):
    path = tmp_path / "index"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(
                BlockingIOError, match=f"index is being written by another run, process {holder.pid}, started"
            ),
            hold_lock(path),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with hold_lock(path):
        pass
    assert names(tmp_path) == []


def test_folder_is_replaced_and_stale_folders_are_removed(tmp_path):
    folder, left, new = tmp_path / "network", tmp_path / ".network-killed", tmp_path / ".network-running"
    for one in (folder, left, new):
        one.mkdir()
        (one / "part").touch()
    os.utime(left, (0, 0))
    with pytest.raises(RuntimeError), replace_folder(folder):
        raise RuntimeError
    assert (folder / "part").exists() and not left.exists() and (new / "part").exists()
    with replace_folder(folder) as partial:
        (partial / "whole").touch()
    assert [one.name for one in folder.iterdir()] == ["whole"]
    assert sorted(one.name for one in tmp_path.iterdir()) == [".network-running", "network"]
