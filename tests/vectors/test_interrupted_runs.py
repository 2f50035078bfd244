"""Interrupted extraction: killed, on a full disk or without its folder, and resumed."""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from commands import extraction_command
from conditions import paused, rows_done, wait_until

from similar_images.inputs.sources import open_source
from similar_images.vectors.store import open_vectors


def test_killed_runs_end_with_the_same_bytes(photos, tmp_path):
    moments = random.Random(5)
    names = [name for name in open_source(photos).find().names for _ in range(200)]  # 2,400 rows
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    (photos / "red" / "1.jpg").write_text("broken")

    subprocess.run(extraction_command("-o", "whole.npy"), cwd=tmp_path, check=True, capture_output=True)
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(extraction_command("-o", "killed.npy"), cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.3, 1.9))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed == 30, "the run was too fast to be killed"
    subprocess.run(extraction_command("-o", "killed.npy"), cwd=tmp_path, check=True, capture_output=True)
    for suffix in (".npy", ".json"):
        assert (tmp_path / f"whole{suffix}").read_bytes() == (tmp_path / f"killed{suffix}").read_bytes()


def start_run(tmp_path, photos, rows: int = 1200) -> subprocess.Popen:
    """Start a long run and return after its first checkpoint."""
    names = [name for name in open_source(photos).find().names for _ in range(rows // 12)]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    process = subprocess.Popen(extraction_command(), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    manifest = tmp_path / "list.txt.saved_predictions.json"
    wait_until(lambda: process.poll() is not None or rows_done(manifest))
    return process


def test_second_run_on_the_same_output_names_the_first_process(photos, tmp_path):
    first = start_run(tmp_path, photos)
    with paused(first), (tmp_path / "list.txt.saved_predictions.npy").open("rb"):  # this process only reads
        second = subprocess.run(extraction_command(), cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode == 1 and f"by another run, process {first.pid}, started 20" in second.stderr
    assert second.stderr.count("\n") == 1
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert open_vectors(tmp_path / "list.txt.saved_predictions.npy").array.any(axis=1).all()


def test_missing_folder_stops_the_run_and_a_rerun_resumes(photos, tmp_path):
    process = start_run(tmp_path, photos)
    with paused(process):
        photos.rename(tmp_path / "unplugged")
    _, said = process.communicate(timeout=300)
    assert (
        process.returncode == 1
        and "is missing: restore it and rerun to resume" in said
        and "skipped" not in said.splitlines()[-1]
    )
    (tmp_path / "unplugged").rename(photos)
    subprocess.run(extraction_command(), cwd=tmp_path, check=True, capture_output=True)
    whole = open_vectors(tmp_path / "list.txt.saved_predictions.npy")
    assert whole.array.any(axis=1).all() and whole.skipped == []


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a small file system is mounted as root")
def test_full_disk_is_one_line_and_a_rerun_ends_with_the_same_bytes(photos, tmp_path):
    names = [name for name in open_source(photos).find().names for _ in range(50)]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    subprocess.run(extraction_command("-o", "whole.npy"), cwd=tmp_path, check=True, capture_output=True)
    small = tmp_path / "small"
    small.mkdir()
    size = (tmp_path / "whole.npy").stat().st_size + 100_000
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        command = extraction_command("-o", str(small / "v.npy"))
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: process.poll() is not None or rows_done(small / "v.json"))
        with (
            paused(process),
            suppress(OSError),
            (small / "another").open("wb", buffering=0) as file,
        ):  # takes the rest
            while True:
                file.write(bytes(1024))
        _, said = process.communicate(timeout=300)
        assert process.returncode == 1 and "No space left on device" in said.splitlines()[-1]
        assert "rerun the same command to resume" in said.splitlines()[-1] and "Traceback" not in said
        (small / "another").unlink()
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert (small / "v.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    finally:
        subprocess.run(["umount", str(small)], check=True)
