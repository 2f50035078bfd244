"""The default threshold of `duplicates`, and its output for moved files, archives and strange names."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from extraction import extract_images
from PIL import Image

from similar_images.collection.images import Collection
from similar_images.evaluation import duplicate_threshold, duplicates
from similar_images.evaluation.duplicates import Group
from similar_images.vectors.store import manifest_path, vectors_path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve pictures in a folder; of the first a grey copy, of the second one at a third of its size, and a file twice."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        grey, colour = random.integers(0, 256, (9, 12, 1)), random.integers(-32, 32, (9, 12, 3))
        coarse = Image.fromarray((grey + colour).clip(0, 255).astype(np.uint8))
        coarse.resize((240, 180), Image.Resampling.BICUBIC).save(folder / f"{number:02}#.jpg", quality=90)
    with Image.open(folder / "00#.jpg") as image:
        image.convert("L").save(folder / "grey.jpg")
    with Image.open(folder / "01#.jpg") as image:
        image.resize((80, 60)).save(folder / "small.jpg")
    shutil.copyfile(folder / "02#.jpg", folder / "twice.jpg")
    return folder


@pytest.fixture
def names(folder, tmp_path) -> Path:
    names = tmp_path / "photos_file_list.txt"
    listed = sorted(path.name for path in folder.iterdir())
    extract_images(folder, names, listed)
    return names


def groups(output: str) -> list[list[str]]:
    rows = list(csv.DictReader(io.StringIO(output)))
    return [
        [row["name"] for row in rows if row["group"] == number] for number in sorted({row["group"] for row in rows})
    ]


def test_default_calibration_finds_grey_and_small_copies(run, names):
    done = run("duplicates", names.name)
    assert done.returncode == 0, done.stderr
    assert {frozenset(group) for group in groups(done.stdout)} == {
        frozenset(pair) for pair in (("00#.jpg", "grey.jpg"), ("01#.jpg", "small.jpg"), ("02#.jpg", "twice.jpg"))
    }
    assert re.search(r"threshold 0\.\d+: precision (0\.99\d|1\.000) on \d+ images without a copy", done.stderr)
    fixed = run("duplicates", names.name, "--threshold", "0.88")
    assert "grey.jpg" not in fixed.stdout, "the earlier threshold missed it"


def test_calibration_replaces_network_threshold(names, monkeypatch):
    collection = Collection.open(names)
    found = duplicate_threshold.calibrate(collection, duplicate_threshold.CALIBRATION_IMAGES)
    assert 0.4 < found.threshold < 0.95
    monkeypatch.setattr(duplicate_threshold, "calibrate", lambda *arguments: found)
    for of_network in (0.4, 0.999):  # below and above it
        monkeypatch.setitem(duplicate_threshold.THRESHOLDS, "hog-colour", of_network)
        chosen = duplicate_threshold.choose_threshold(collection)
        assert (chosen.threshold, chosen.recalls) == (found.threshold, found.recalls)
        assert str(of_network) not in chosen.note and "lower" not in chosen.note


def test_inseparable_images_must_be_equal(names, monkeypatch):
    monkeypatch.setattr(duplicate_threshold, "MIN_PRECISION", 1.1)  # impossible
    monkeypatch.setattr(duplicate_threshold, "CALIBRATION_IMAGES", 3)
    chosen = duplicate_threshold.choose_threshold(Collection.open(names))
    assert chosen.threshold == 1 and chosen.note.startswith("threshold 1, only equal images: no threshold separates")
    with pytest.raises(ValueError, match="set --threshold"):
        duplicate_threshold.choose_threshold(Collection.open(names), count=3)


def test_network_threshold_is_used_without_images(names, folder):
    shutil.rmtree(folder)
    collection = Collection.open(names)
    chosen = duplicate_threshold.choose_threshold(collection)
    assert (chosen.threshold, chosen.recalls) == (0.88, {}) and "measured for the network" in chosen.note
    with pytest.raises(ValueError, match="no threshold was measured for the centred similarity"):
        duplicate_threshold.choose_threshold(collection.with_similarity("centred"))


def test_unmeasured_network_is_calibrated(names, monkeypatch):
    monkeypatch.delitem(duplicate_threshold.THRESHOLDS, "hog-colour")
    assert 0.4 < duplicate_threshold.choose_threshold(Collection.open(names)).threshold < 0.95


def test_moved_photos_are_reported_unreadable(run, names, folder, tmp_path):
    folder.rename(tmp_path / "moved")
    done = run("duplicates", names.name, "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    assert "0 of them the same file" not in done.stderr
    assert re.search(r"their files cannot be read in .*my photos, so equal files are unknown", done.stderr)
    assert "with -d" in done.stderr and "threshold 0.88, measured for the network" in done.stderr
    assert "<a href" not in (tmp_path / "sheet.html").read_text()
    back = run("duplicates", names.name, "-d", "moved")
    assert "1 of them the same file" in back.stderr


def test_page_links_are_relative(run, names, folder, tmp_path):
    (tmp_path / "pages").mkdir()
    done = run("duplicates", names.name, "-t", "0.9", "--html", "pages/sheet.html")
    assert done.returncode == 0, done.stderr
    links = re.findall(r'<a href="([^"]+)"', (tmp_path / "pages" / "sheet.html").read_text())
    assert "../my%20photos/02%23.jpg" in links
    assert all((tmp_path / "pages" / unquote(link)).is_file() for link in links)


def test_archive_page_has_no_links(run, names, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    done = run("duplicates", names.name, "-t", "0.9", "-d", "photos.zip", "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    sheet = (tmp_path / "sheet.html").read_text()
    assert sheet.count('src="data:image/jpeg') >= 2 and "<a href" not in sheet


def test_moved_archive_is_no_error(run, names, folder, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "02#.jpg", "02#.jpg")
    collection = Collection.open(names, images=archive)
    archive.unlink()
    rows = np.array([2, 3])
    members = duplicates.read_members(collection, [Group(rows, np.ones(2, np.float32))])
    assert [member.bytes for member in members] == [None, None]


def test_formulas_and_escape_codes_are_written_safely(names):
    member = duplicates.Member(1, 0, "=1+1.jpg", 1.0, 5, 1, 1, None)
    file = io.StringIO()
    duplicates.write_csv(file, [member, member._replace(name="b.jpg", same_file_as="=1+1.jpg")])
    assert file.getvalue().splitlines()[1:] == ["1,0,'=1+1.jpg,1.0000,5,1,1,,", "1,0,b.jpg,1.0000,5,1,1,'=1+1.jpg,"]
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    duplicates.write_csv(terminal, [member._replace(name="\x1b[31mred.jpg")])
    assert "\x1b" not in terminal.getvalue() and "\\x1b[31mred.jpg" in terminal.getvalue()


def test_texts_are_refused_in_one_line(run, names):
    manifest = manifest_path(vectors_path(names))
    content = json.loads(manifest.read_text())
    content["network"] |= {"name": "all-MiniLM-L6-v2", "reads": "text"}
    manifest.write_text(json.dumps(content))
    for script, *options in (("duplicates",), ("evaluate", "--alterations", "2")):
        done = run(script, names.name, *options)
        assert done.returncode == 1 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "texts" in done.stderr
