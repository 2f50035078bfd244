import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from similar_images import Collection
from similar_images.inputs import images
from similar_images.inputs.sources import open_source
from similar_images.networks.loader import load
from similar_images.vectors import decode_pool as decoding
from similar_images.vectors import from_images as extraction
from similar_images.vectors.store import open_vectors
from similar_images.vectors.writer import Writer


def extract(folder, names, output, batch=4, **options):
    encoder = load("hog-colour")
    writer = Writer(output, output.with_suffix(".txt"), names, folder)
    writer.begin(encoder.description)
    extraction.extract(names, folder, encoder, writer, batch, **options)
    return open_vectors(output)


def test_row_i_is_line_i_and_a_bad_image_is_zeros(photos, tmp_path):
    (photos / "bad.jpg").write_text("no image")
    names = ["blue/0.jpg", "bad.jpg", "", "red/3.jpg", "absent.jpg", "green/1.jpg"]
    vectors = extract(photos, names, tmp_path / "v.npy", batch=2)
    encoder = load("hog-colour")
    for row in (0, 3, 5):
        np.testing.assert_allclose(vectors.array[row], encoder.encode_image(photos / names[row]), rtol=1e-6)
    assert not vectors.array[[1, 2, 4]].any()
    reasons = {entry.row: entry.reason for entry in vectors.skipped}
    assert reasons.keys() == {1, 2, 4}
    assert "not an image" in reasons[1] and "empty line" in reasons[2] and reasons[4] == "no such file"


def test_progress_counts_every_row_and_names_what_was_skipped(photos, tmp_path):
    (photos / "bad.jpg").write_text("no image")
    names, calls = [*open_source(photos).find().names], []
    extract(photos, names, tmp_path / "v.npy", progress=lambda rows, skipped: calls.append((rows, len(skipped))))
    assert [rows for rows, _ in calls] == [4, 4, 4, 1]
    assert sum(skipped for _, skipped in calls) == 1


def test_a_network_that_gives_nan_stops_the_run_with_the_images_name(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "similar_images.networks.hog_colour.encode",
        lambda pixels: np.full((len(pixels), load("hog-colour").network.dimension), np.nan),
    )
    with pytest.raises(ValueError, match=r"NaN or infinity for blue/0\.jpg"):
        extract(photos, open_source(photos).find().names, tmp_path / "v.npy")


def test_the_listed_images_of_a_folder_keep_their_rows_when_it_grows(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = extraction.list_images(None, photos)
    assert first.list_file.name == "photos_file_list.txt" and len(first.names) == 12
    first.list_file.write_text("".join(f"{name}\n" for name in first.names))
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    assert extraction.list_images(None, photos).names == [*first.names, "a.png"]


def test_a_run_killed_at_any_moment_ends_with_the_bytes_of_an_unbroken_one(photos, tmp_path):
    moments = random.Random(5)
    names = [name for name in open_source(photos).find().names for _ in range(200)]  # 2,400 rows
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    (photos / "red" / "1.jpg").write_text("broken")

    def command(output: str) -> list[str]:
        script = str(ROOT / "extract_image_vectors.py")
        return [
            sys.executable,
            script,
            "-l",
            "list.txt",
            "-d",
            "photos",
            "-o",
            output,
            "--network",
            "hog-colour",
            "-b",
            "8",
        ]

    subprocess.run(command("whole.npy"), cwd=tmp_path, check=True, capture_output=True)
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(
            command("killed.npy"),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(moments.uniform(0.3, 1.9))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed == 30, "the run was too fast to be killed"
    subprocess.run(command("killed.npy"), cwd=tmp_path, check=True, capture_output=True)
    for suffix in (".npy", ".json"):
        assert (tmp_path / f"whole{suffix}").read_bytes() == (tmp_path / f"killed{suffix}").read_bytes()


def extracting(tmp_path, *options: str, names: str = "list.txt") -> list[str]:
    script = str(ROOT / "extract_image_vectors.py")
    return [sys.executable, script, "-l", names, "-d", "photos", "--network", "hog-colour", "-b", "8", *options]


def begun(tmp_path, photos, rows: int = 1200) -> subprocess.Popen:
    """Begin a long run and return once some of its rows are safe."""
    names = [name for name in open_source(photos).find().names for _ in range(rows // 12)]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    process = subprocess.Popen(extracting(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    manifest = tmp_path / "list.txt.saved_predictions.json"
    while process.poll() is None and not (manifest.exists() and json.loads(manifest.read_text())["rows_done"]):
        time.sleep(0.01)
    return process


def test_a_second_run_on_the_same_output_is_refused_with_the_first_ones_process(photos, tmp_path):
    first = begun(tmp_path, photos)
    second = subprocess.run(extracting(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode == 1 and f"by another run, process {first.pid}, started 20" in second.stderr
    assert second.stderr.count("\n") == 1
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert open_vectors(tmp_path / "list.txt.saved_predictions.npy").array.any(axis=1).all()


def test_a_folder_that_is_unplugged_stops_the_run_which_goes_on_once_it_is_back(photos, tmp_path):
    process = begun(tmp_path, photos)
    photos.rename(tmp_path / "unplugged")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "is gone: bring it back" in said and "skipped" not in said.splitlines()[-1]
    (tmp_path / "unplugged").rename(photos)
    subprocess.run(extracting(tmp_path), cwd=tmp_path, check=True, capture_output=True)
    whole = open_vectors(tmp_path / "list.txt.saved_predictions.npy")
    assert whole.array.any(axis=1).all() and whole.skipped == []


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a small file system is mounted as root")
def test_a_full_disk_is_one_line_and_after_space_is_made_the_run_goes_on_to_the_same_bytes(photos, tmp_path):
    names = [name for name in open_source(photos).find().names for _ in range(50)]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    subprocess.run(extracting(tmp_path, "-o", "whole.npy"), cwd=tmp_path, check=True, capture_output=True)
    small = tmp_path / "small"
    small.mkdir()
    size = (tmp_path / "whole.npy").stat().st_size + 100_000
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], capture_output=True
    ).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        command = extracting(tmp_path, "-o", str(small / "v.npy"))
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (small / "v.json").exists():
            time.sleep(0.01)
        time.sleep(0.3)
        with suppress(OSError), (small / "another").open("wb", buffering=0) as file:  # takes what is left
            while True:
                file.write(bytes(1024))
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1 and "No space left on device" in said.splitlines()[-1]
        assert "rerun the same command to resume" in said.splitlines()[-1] and "Traceback" not in said
        (small / "another").unlink()
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert (small / "v.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_what_was_skipped_is_tried_again_when_asked_for(photos, tmp_path):
    good = (photos / "red" / "1.jpg").read_bytes()
    names = open_source(photos).find().names
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    subprocess.run(extracting(tmp_path, "-o", "whole.npy"), cwd=tmp_path, check=True, capture_output=True)
    for name in ("red/1.jpg", "blue/2.jpg"):
        (photos / name).write_text("broken")
    command = extracting(tmp_path, "-o", "v.npy")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert [entry.name for entry in open_vectors(tmp_path / "v.npy").skipped] == ["blue/2.jpg", "red/1.jpg"]
    (photos / "red" / "1.jpg").write_bytes(good)
    again = subprocess.run([*command, "--retry-skipped"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "11 of 12 images, 1 skipped" in again.stderr
    found = open_vectors(tmp_path / "v.npy")
    assert [entry.name for entry in found.skipped] == ["blue/2.jpg"]
    row = names.index("red/1.jpg")
    np.testing.assert_allclose(found.array[row], np.load(tmp_path / "whole.npy")[row], rtol=1e-5, atol=1e-6)


def test_vectors_are_kept_as_float16_all_the_way(photos, run, tmp_path):
    for dtype in ("float32", "float16"):
        arguments = ("-d", "photos", "-o", f"{dtype}.npy", "--network", "hog-colour", "--dtype", dtype)
        assert run("extract_image_vectors.py", *arguments).returncode == 0
        assert run("build_search_db.py", "-i", f"{dtype}.npy").returncode == 0
    half, single = (Collection.open(tmp_path / f"{dtype}.npy") for dtype in ("float16", "float32"))
    assert half.vectors.array.dtype == np.float16
    np.testing.assert_allclose(half.vectors.array, single.vectors.array, rtol=1e-3, atol=1e-4)
    for row in range(12):
        assert [hit.row for hit in half.nearest(row, 3)] == [hit.row for hit in half.nearest(row, 3, exact=True)]
    other = run(
        "extract_image_vectors.py", "-d", "photos", "-o", "float16.npy", "--network", "hog-colour", "--dtype", "float32"
    )
    assert (other.returncode == 0 and "already complete" in other.stderr) or "made as float16" in other.stderr


def slow(source, side, resampling, limits):
    """Stands for images.read in a decoding process."""
    name = str(source)
    if "slow" in name:
        time.sleep(60)
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    return np.full((side, side, 3), 7, dtype=np.uint8)


def prepare(*arguments):
    prepare_process(*arguments)
    images.read = slow


prepare_process = decoding._prepare


def test_an_image_whose_decoder_hangs_or_crashes_is_skipped_and_its_neighbours_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_prepare", prepare)
    limits = images.Limits(seconds=1)
    with decoding.decoders(load("hog-colour"), 8, limits) as pool:
        first = pool.begin([tmp_path / name for name in ("a.jpg", "slow.jpg", "b.jpg")])
        second = pool.begin([tmp_path / name for name in ("c.jpg", "crash.jpg")])
        a, hung, b = pool.result(first)
        c, crashed = pool.result(second)
    assert all((good == 7).all() for good in (a, b, c))
    assert str(hung) == "took longer than 1 s to decode"
    assert str(crashed).startswith("its decoder crashed")
