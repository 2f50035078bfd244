import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from similar_images import extraction, images
from similar_images.networks import load
from similar_images.vectors import Writer, open_vectors


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
    names, calls = [*images.find(photos).names], []
    extract(photos, names, tmp_path / "v.npy", progress=lambda rows, skipped: calls.append((rows, len(skipped))))
    assert [rows for rows, _ in calls] == [4, 4, 4, 1]
    assert sum(skipped for _, skipped in calls) == 1


def test_a_network_that_gives_nan_stops_the_run_with_the_images_name(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "similar_images.hog_colour.encode",
        lambda pixels: np.full((len(pixels), load("hog-colour").network.dimension), np.nan),
    )
    with pytest.raises(ValueError, match=r"NaN or infinity for blue/0\.jpg"):
        extract(photos, images.find(photos).names, tmp_path / "v.npy")


def test_the_listed_images_of_a_folder_keep_their_rows_when_it_grows(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = extraction.list_images(None, photos)
    assert first.list_file.name == "photos_file_list.txt" and len(first.names) == 12
    first.list_file.write_text("".join(f"{name}\n" for name in first.names))
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    assert extraction.list_images(None, photos).names == [*first.names, "a.png"]


def test_a_run_killed_at_any_moment_ends_with_the_bytes_of_an_unbroken_one(photos, tmp_path):
    moments = random.Random(5)
    names = [name for name in images.find(photos).names for _ in range(40)]  # 480 rows
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

    began = time.monotonic()
    subprocess.run(command("whole.npy"), cwd=tmp_path, check=True, capture_output=True)
    seconds = time.monotonic() - began
    killed = 0
    for _ in range(8):
        process = subprocess.Popen(
            command("killed.npy"),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(moments.uniform(0.3, 0.6) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed, "the run was too fast to be killed"
    subprocess.run(command("killed.npy"), cwd=tmp_path, check=True, capture_output=True)
    for suffix in (".npy", ".json"):
        assert (tmp_path / f"whole{suffix}").read_bytes() == (tmp_path / f"killed{suffix}").read_bytes()
