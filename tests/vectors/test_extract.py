import csv
import signal
import tarfile

import numpy as np
import pytest
from extraction import extract_images
from PIL import Image

from similar_images import Collection
from similar_images.events import Skipped
from similar_images.inputs.sources import archive, open_source
from similar_images.networks import hog_colour
from similar_images.networks.catalog import default_batch
from similar_images.networks.loader import load
from similar_images.vectors import extract as extraction
from similar_images.vectors.items import list_images
from similar_images.vectors.store import open_vectors


def extract(folder, names, output, batch=4, **options):
    return extract_images(folder, output.with_suffix(".txt"), names, output=output, batch=batch, **options)


def test_workers_do_not_change_vectors(photos, run, tmp_path, monkeypatch):
    started, new_pool = [], extraction.DecodePool

    def count(*arguments):
        started.append(arguments[-1])
        return new_pool(*arguments)

    monkeypatch.setattr(extraction, "DecodePool", count)
    written = []
    for workers in (1, 3):
        options = ("-d", "photos", "--network", "hog-colour", "-o", f"{workers}.npy", "--workers", workers)
        assert run("extract", *options).returncode == 0
        written.append((tmp_path / f"{workers}.npy").read_bytes())
    assert started == [1, 3] and written[0] == written[1]


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


def test_progress_counts_rows_and_names_skipped_images(photos, tmp_path):
    (photos / "bad.jpg").write_text("no image")
    names, events = open_source(photos).find().names, []
    extract(photos, names, tmp_path / "v.npy", progress=events.append)
    assert [(event.done, event.total) for event in events if event.total] == [(4, 13), (8, 13), (12, 13), (13, 13)]
    assert [image.name for event in events for image in event.skipped] == ["bad.jpg"]
    assert events[-1].note.startswith("12 of 13 images, 1 skipped: see ")


def test_nan_stops_the_run_and_names_the_image(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "similar_images.networks.hog_colour.encode",
        lambda pixels: np.full((len(pixels), load("hog-colour").dimension), np.nan),
    )
    with pytest.raises(ValueError, match=r"NaN or infinity for blue/0\.jpg"):
        extract(photos, open_source(photos).find().names, tmp_path / "v.npy")


def test_listed_images_keep_their_rows_in_a_grown_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = list_images(None, photos)
    assert first.list_file.name == "photos_file_list.txt" and len(first.names) == 12
    first.list_file.write_text("".join(f"{name}\n" for name in first.names))
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    assert list_images(None, photos).names == [*first.names, "a.png"]


def test_retry_skipped_fills_readable_rows(photos, run, tmp_path):
    options = ("-l", "list.txt", "-d", "photos", "--network", "hog-colour", "-b", "8")
    good = (photos / "red" / "1.jpg").read_bytes()
    names = open_source(photos).find().names
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    assert run("extract", *options, "-o", "whole.npy").returncode == 0
    for name in ("red/1.jpg", "blue/2.jpg"):
        (photos / name).write_text("broken")
    assert run("extract", *options, "-o", "v.npy").returncode == 0
    assert [entry.name for entry in open_vectors(tmp_path / "v.npy").skipped] == ["blue/2.jpg", "red/1.jpg"]
    (photos / "red" / "1.jpg").write_bytes(good)
    again = run("extract", *options, "-o", "v.npy", "--retry-skipped")
    assert again.returncode == 0 and "11 of 12 images, 1 skipped" in again.stderr
    found = open_vectors(tmp_path / "v.npy")
    assert [entry.name for entry in found.skipped] == ["blue/2.jpg"]
    row = names.index("red/1.jpg")
    np.testing.assert_allclose(found.array[row], np.load(tmp_path / "whole.npy")[row], rtol=1e-5, atol=1e-6)


def test_float16_vectors_build_and_search(photos, run, tmp_path):
    for dtype in ("float32", "float16"):
        arguments = ("-d", "photos", "-o", f"{dtype}.npy", "--network", "hog-colour", "--dtype", dtype)
        assert run("extract", *arguments).returncode == 0
        assert run("build", "-i", f"{dtype}.npy").returncode == 0
    half, single = (Collection.open(tmp_path / f"{dtype}.npy") for dtype in ("float16", "float32"))
    assert half.vectors.array.dtype == np.float16
    np.testing.assert_allclose(half.vectors.array, single.vectors.array, rtol=1e-3, atol=1e-4)
    for row in range(12):
        assert [hit.row for hit in half.nearest(row, 3)] == [hit.row for hit in half.nearest(row, 3, exact=True)]
    other = run("extract", "-d", "photos", "-o", "float16.npy", "--network", "hog-colour", "--dtype", "float32")
    assert (other.returncode == 0 and "already complete" in other.stderr) or "made as float16" in other.stderr


def skipped_csv(path) -> dict[str, dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return {line["name"]: line for line in csv.DictReader(file)}


def test_hostile_names_are_reported_safely(photos, run, tmp_path):
    names = ["=1+1.jpg", "\x1b[31mred.jpg", "\0.jpg", "blue/0.jpg"]
    for name in names[:2]:
        (photos / name).write_text("no image")
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    done = run("extract", "-l", "list.txt", "-d", "photos", "--network", "hog-colour")
    assert done.returncode == 0, done.stderr
    assert "1 of 4 images, 3 skipped" in done.stderr
    assert "\x1b" not in done.stderr and r"skipped \x1b[31mred.jpg: not an image" in done.stderr
    written = skipped_csv(tmp_path / "list.txt.saved_predictions.skipped.csv")
    assert list(written) == ["'=1+1.jpg", "\x1b[31mred.jpg", "\0.jpg"]
    assert [line["bytes"] for line in written.values()] == ["8", "8", ""]


def test_file_beyond_the_limit_is_not_read(photos, tmp_path, monkeypatch):
    with (photos / "sparse.jpg").open("wb") as file:
        file.truncate(4 * 10**12)
    monkeypatch.setattr(extraction, "digest_image", lambda *_: pytest.fail("it was read"))
    entry = Skipped(0, "sparse.jpg", "too large")
    extraction.write_skipped(tmp_path / "skipped.csv", open_source(photos), [entry])
    line = skipped_csv(tmp_path / "skipped.csv")["sparse.jpg"]
    assert (line["bytes"], line["sha256"]) == (str(4 * 10**12), "")


def test_the_network_always_gets_a_full_batch(photos, tmp_path, monkeypatch):
    (photos / "green" / "2.jpg").write_text("no image")
    encode, sizes = hog_colour.encode, []
    monkeypatch.setattr(hog_colour, "encode", lambda pixels: sizes.append(len(pixels)) or encode(pixels))
    vectors = extract(photos, open_source(photos).find().names, tmp_path / "v.npy", batch=5)
    assert sizes == [5, 5, 5] and vectors.array.any(axis=1).sum() == 11


def test_an_archive_is_opened_once_in_a_run(photos, run, tmp_path, monkeypatch):
    (photos / "bad.jpg").write_text("no image")
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as file:
        file.add(photos, "photos")
    opened, open_archive = [], archive.open_archive
    monkeypatch.setattr(archive, "open_archive", lambda file: opened.append(file) or open_archive(file))
    done = run("extract", "-d", "photos.tar.gz", "--network", "hog-colour")
    assert done.returncode == 0, done.stderr
    assert "12 of 13 images, 1 skipped" in done.stderr and len(opened) == 1


def test_the_handler_of_sigterm_is_restored_after_a_run(photos, run):
    before = signal.getsignal(signal.SIGTERM)
    assert run("extract", "-d", "photos", "--network", "hog-colour").returncode == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_default_batch_depends_on_the_backend_and_the_memory_alone():
    assert default_batch("onnxruntime", 2 * 10**9) == 8
    assert default_batch("tensorflow", 2 * 10**9) == 32
    assert default_batch("tensorflow", 500_000_000) == 10
    assert default_batch("openvino", 1) == 1


@pytest.mark.parametrize("size", ["infM", "nanG", "-1k"])
def test_invalid_size_is_refused(size, run, photos):
    done = run("extract", "-d", "photos", "--max-bytes", size)
    assert done.returncode == 2 and "expected a size such as 500k, 8M or 2G" in done.stderr
