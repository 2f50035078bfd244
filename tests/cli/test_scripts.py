"""The commands for images, from a folder to hits, with broken files, bad input and interrupts."""

import builtins
import csv
import hashlib
import json
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from collection_files import save_vectors
from commands import one_line, program
from conditions import rows_done, wait_until
from PIL import Image

import similar_images.__main__
from similar_images.cli.options import this_command

VECTORS, INDEX = "photos_file_list.txt.saved_predictions.npy", "photos_file_list.faiss.index"
EXTRACT = ("extract", "-d", "photos", "--network", "hog-colour")


def listing(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_whole_way(photos, run, tmp_path):
    extracted = run(*EXTRACT)
    assert (extracted.returncode, extracted.stdout) == (0, f"{VECTORS}\n")
    assert "12 of 12 images, 0 skipped" in extracted.stderr
    built = run("build", "-i", VECTORS, "-v")
    assert (built.returncode, built.stdout) == (0, f"{INDEX}\n")
    assert "12 of 12 vectors, recipe flat" in built.stderr
    found = run("search", "red/0.jpg", "-k", "3")
    assert found.returncode == 0
    lines = found.stdout.splitlines()
    assert len(lines) == 3 and all(re.fullmatch(r"0\.\d{4}  red/[123]\.jpg", line) for line in lines)


def test_three_hundred_images_with_twelve_broken_ones(run, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(288):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number:03}.jpg")
    noise = Image.fromarray(random.integers(0, 256, (99, 99, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "gif", "tiff", "webp", "avif", "bmp"):
        noise.save(folder / f"cut.{suffix}")
        content = (folder / f"cut.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "page.jpg").write_text("<html>404</html>")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    names = sorted(path.name for path in folder.iterdir())
    names.insert(77, "absent.jpg")
    assert len(names) == 300
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    done = run("extract", "-l", "list.txt", "-d", "images", "--network", "hog-colour")
    assert done.returncode == 0
    assert "288 of 300 images, 12 skipped: see list.txt.saved_predictions.skipped.csv" in done.stderr
    assert "Warning" not in done.stderr
    with (tmp_path / "list.txt.saved_predictions.skipped.csv").open(newline="") as file:
        listed = {line["name"]: line for line in csv.DictReader(file)}
    assert len(listed) == 12
    text = listed["text.jpg"]
    assert (text["bytes"], text["sha256"]) == ("8", hashlib.sha256(b"no image").hexdigest())
    assert (listed["absent.jpg"]["reason"], listed["absent.jpg"]["bytes"]) == ("no such file", "")
    vectors = np.load(tmp_path / "list.txt.saved_predictions.npy")
    skipped = json.loads((tmp_path / "list.txt.saved_predictions.json").read_text())["skipped"]
    assert len(skipped) == 12 and all(entry["reason"] and names[entry["row"]] == entry["name"] for entry in skipped)
    assert vectors.any(axis=1).sum() == 288
    for entry in skipped:
        assert f"skipped {entry['name']}: {entry['reason']}" in done.stderr
    (tmp_path / "one.txt").write_text("287.jpg\n")
    assert run("extract", "-l", "one.txt", "-d", "images", "--network", "hog-colour").returncode == 0
    alone = np.load(tmp_path / "one.txt.saved_predictions.npy")[0]
    np.testing.assert_allclose(alone, vectors[names.index("287.jpg")], rtol=1e-5)


def test_a_grown_folder_costs_only_its_new_images(photos, run, tmp_path):
    run(*EXTRACT)
    before = np.load(tmp_path / VECTORS)
    (photos / "red" / "0.jpg").write_text("broken since")
    Image.new("RGB", (20, 20), "yellow").save(photos / "a.png")
    done = run(*EXTRACT)
    assert done.returncode == 0 and "13 of 14 images, 1 skipped" in done.stderr and "1 new, 1 changed" in done.stderr
    after = np.load(tmp_path / VECTORS)
    assert np.array_equal(after[:12], before) and after[12].any() and not after[13].any()
    assert (tmp_path / "photos_file_list.txt").read_text().splitlines()[12:] == ["a.png", "red/0.jpg"]
    again = run(*EXTRACT)
    assert again.returncode == 0 and "already complete" in again.stderr


def test_bad_input_gives_one_line_and_changes_no_file(indexed, run, tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "list.txt").write_text("red/0.jpg\n")
    (tmp_path / "elsewhere.txt").write_text("nowhere/0.jpg\n")
    (tmp_path / "latin.txt").write_bytes("gr\xfcn.jpg\n".encode("latin-1"))
    (tmp_path / "there.npy").write_text("somebody's")
    (tmp_path / "text.npy").write_text("only text\n" * 100)
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((9, 4), np.nan, dtype=np.float32))
    (tmp_path / "hollow").mkdir()
    (tmp_path / "cut.index").write_bytes((tmp_path / INDEX).read_bytes()[:200])
    (tmp_path / "cut.npy").write_bytes((tmp_path / VECTORS).read_bytes()[:-5])
    before = listing(tmp_path)
    hog = ("--network", "hog-colour")
    listed = ("extract", "-l", "list.txt", "-d", "photos", *hog, "-o")
    build = ("build", "-i", VECTORS, "-o")
    for arguments, said in (
        (("extract",), "expected a list of images (-l), a folder or archive of images (-d), or both"),
        (("extract", "-l", "absent.txt"), "'absent.txt' does not exist"),
        (("extract", "-l", "empty.txt", *hog), "empty.txt is empty"),
        (("extract", "-l", "latin.txt", *hog), "expected UTF-8"),
        (("extract", "-l", "elsewhere.txt", *hog), "name their folder with -d"),
        (("extract", "-d", "hollow", *hog), "no image in hollow"),
        (("extract", "-d", "photos", "--gpus-per-worker", "1"), "--gpus-per-worker is for --ray"),
        (("extract", "-d", "absent"), "absent does not exist: expected a folder or an archive"),
        ((*listed, "there.npy"), "use --overwrite"),
        ((*listed, "no/o.npy"), "there is no folder"),
        ((*listed, "/proc/o.npy"), "cannot write /proc/o.npy"),
        ((*listed, "hollow"), "is a folder"),
        (("extract", "-d", "photos", "--network", "alexnet"), "or a folder with config.json, got alexnet"),
        ((*EXTRACT, "--resampling", "nearest"), "was made with resampling box instead of nearest"),
        ((*EXTRACT, "--weights", "list.txt"), "hog-colour has no weights"),
        (("extract", "-d", "photos", "-o", "new.npy", "-m", "list.txt"), "is not an HDF5 file"),
        ((*EXTRACT, "-b", "0"), "0 is not in the range"),
        (("build",), "Missing option '-i'"),
        (("build", "-i", "absent.npy"), "does not exist"),
        (("build", "-i", VECTORS), "use --overwrite"),
        ((*build, "o.index", "-d", "4096"), "expected vectors of 4096 numbers (-d)"),
        ((*build, "o.index", "--recipe", "best"), "expected a recipe of auto"),
        ((*build, "no/o.index"), "there is no folder"),
        (("build", "-i", "nan.npy", "-o", "o.index"), "NaN or infinity in row 0"),
        (("build", "-i", "text.npy", "-o", "o.index"), "not a .npy file"),
        (("build", "-i", "pickled.npy", "-o", "o.index"), "cannot be read as vectors"),
        (("build", "-i", "cut.npy", "-o", "o.index"), "truncated"),
        (("search",), "Missing argument 'QUERY...'"),
        (("search", "red/0.jpg", "--index", "cut.index"), "cut.index cannot be used as an index"),
        (("search", "red/0.jpg", "-i", "nan.npy"), "there is no list of names"),
        (("search", "red/0.jpg", "-k", "0"), "0 is not in the range"),
        (("search", "absent.jpg"), "absent.jpg: no such file"),
        (("search", "list.txt"), "list.txt: not an image"),
    ):
        assert said in one_line(run(*arguments)), arguments
        assert listing(tmp_path) == before, arguments


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_names_the_command_to_resume(photos, tmp_path, sent):
    names = "".join(f"{path.relative_to(photos)}\n" for path in sorted(photos.rglob("*.jpg")))
    (tmp_path / "list.txt").write_text(names * 2000)  # so many that it is still at work when it is stopped
    command = program("extract", "-l", "list.txt", "-d", "photos", "--network", "hog-colour")
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    manifest = tmp_path / "list.txt.saved_predictions.json"
    wait_until(lambda: process.poll() is not None or rows_done(manifest))
    process.send_signal(sent)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    stopped = re.search(r"Error: stopped after (\d+) of 24000 images; to resume: (.+)\n$", said)
    assert stopped[2] == shlex.join(command) and "Traceback" not in said
    assert rows_done(manifest) == int(stopped[1]) > 0


def test_in_a_notebook_the_resume_command_is_a_cell(monkeypatch):
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    monkeypatch.setattr(sys, "argv", ["extract_image_vectors.py", "-d", "my photos"])
    assert this_command() == "%run extract_image_vectors.py -d 'my photos'"
    monkeypatch.setattr(sys, "argv", [similar_images.__main__.__file__, "extract-texts", "my table.csv"])
    assert this_command() == "%run -m similar_images extract-texts 'my table.csv'"


def test_resume_command_keeps_finished_rows(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["similar-images", "extract-texts", "notes.txt", "--overwrite"])
    assert this_command() == "similar-images extract-texts notes.txt"


def test_assumed_network_is_reported(run, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(20, 4096)).astype(np.float32)
    save_vectors(tmp_path / "v.npy", vectors)
    assumed = "v.npy has no manifest: vectors of 4,096 numbers are assumed to be from VGG16"
    assert assumed in run("build", "-i", "v.npy").stderr
    for script in ("search", "evaluate", "duplicates"):
        query = ("-i", "v.npy", "3.jpg") if script == "search" else ("v.npy",)
        more = {"evaluate": ("--alterations", "0"), "duplicates": ("--threshold", "0.9")}.get(script, ())
        done = run(script, *query, *more)
        assert (done.returncode, done.stderr.count(f"{assumed}; use --network to name another")) == (0, 1), done.stderr
    named = run("search", "-i", "v.npy", "3.jpg", "--network", "vgg19")
    assert named.returncode == 0 and "assumed" not in named.stderr
