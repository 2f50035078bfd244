"""Leave out files by patterns, ignore files and the names of systems."""

import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.inputs.exclusions import EXCLUDED, HIDDEN, IGNORE_FILE, SYSTEM, Exclusions
from similar_images.inputs.sources import Address, open_source
from similar_images.vectors.items import list_images

SYSTEM_FILES = (
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "b/@eaDir/b.jpg",
    "#recycle/c.jpg",
    "#snapshot/GMT/d.jpg",
    "b/.thumbnails/e.png",
    "$RECYCLE.BIN/S-1/f.jpg",
    "System Volume Information/g.jpg",
    ".Trash-1000/files/h.jpg",
    "lost+found/i.jpg",
    "Lightroom Previews.lrdata/1/j.jpg",
    "__MACOSX/k.jpg",
    "b/._l.jpg",
    "Thumbs.db",
    "b/.DS_Store",
    "Library.photoslibrary/resources/derivatives/m.jpg",
)
PHOTOS = ("a.jpg", "b/c.jpg", "Library.photoslibrary/originals/0/n.jpg")
TREE = ("a.jpg", "a.png", "keep/a.jpg", "keep/b.png", "x/y/a.jpg", "x/y/keep.png", "x/z.jpg", "z z/1.jpg", "[a]/b.jpg")
FORMS = ("folder", "zip", "tar", "address")


def write(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")
    return folder


def packed(folder: Path, form: str) -> Path | Address:
    """Return the same files in an archive, or their address."""
    target = folder.with_suffix(f".{form}")
    if form == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
    elif form == "tar":
        with tarfile.open(target, "w") as archive:
            archive.add(folder, ".")
    return {"folder": folder, "address": Address(f"file://{folder}")}.get(form, target)


@pytest.mark.parametrize("form", FORMS)
def test_files_of_systems_are_left_out_and_counted(form, tmp_path):
    folder = write(tmp_path / "photos", (*PHOTOS, *SYSTEM_FILES))
    found = open_source(packed(folder, form)).find()
    assert found.names == sorted(PHOTOS)
    assert set(found.left_out) == {SYSTEM} and len(found.left_out[SYSTEM]) == len(SYSTEM_FILES)
    (note,) = found.notes()
    assert "previews, trash and other files of systems: 15 (2 @eaDir, 1 #recycle" in note


@pytest.mark.parametrize("form", FORMS)
def test_ignore_files_and_patterns_are_obeyed(form, tmp_path):
    folder = write(tmp_path / "photos", (*PHOTOS, *TREE, "b/d.jpg", "b/deep/e.jpg", "@eaDir/f.jpg", "private/g.jpg"))
    (folder / IGNORE_FILE).write_text("# comment\nprivate/\n*.png\n!@eaDir/\n", "utf-8")
    (folder / "keep" / IGNORE_FILE).write_text("!b.png\n", "utf-8")
    (folder / "b" / IGNORE_FILE).write_text("/d.jpg\ndeep\n", "utf-8")
    found = open_source(packed(folder, form)).find(["/x/", "Library*"])
    assert found.names == ["@eaDir/f.jpg", "[a]/b.jpg", "a.jpg", "b/c.jpg", "keep/a.jpg", "keep/b.png", "z z/1.jpg"]
    expected = ["Library.photoslibrary/", "a.png", "b/d.jpg", "b/deep/", "private/", "x/"]
    assert found.left_out == {EXCLUDED: expected}
    assert "left out: excluded files or folders: 6" in found.notes()[0] and "--exclude" in found.notes()[0]


@pytest.mark.parametrize(
    "patterns",
    [
        ["*.png"],
        ["x"],
        ["x/"],
        ["/a.jpg"],
        ["x/*"],
        ["x/**/*.png", "!keep.png"],
        ["/*", "!/keep/"],
        ["*", "!*/", "!keep.*"],
        ["*.jpg", "!keep/"],
        ["**/y"],
        ["z z", r"\[a]"],
        ["[ax].???", "y/a*"],
        ["x/", "!x/z.jpg"],
        ["keep/", "!/keep/"],
        ["x/**", "!x/z.jpg"],
        ["x/**", "!x/y/"],
        ["**", "!a.jpg"],
        ["*", "!*.jpg", "!*/"],
        ["**/keep*", "!x/**/keep*"],
        ["a.jpg/", "x/y/*.png"],
    ],
)
def test_patterns_mean_the_same_as_in_git(patterns, tmp_path):
    if not shutil.which("git"):
        pytest.skip("no git to compare with")
    folder = write(tmp_path / "photos", TREE)
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / ".gitignore").write_text("".join(f"{pattern}\n" for pattern in patterns))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    expected = sorted(name for name in listed.stdout.split("\0") if name.endswith((".jpg", ".png")))
    assert open_source(folder).find(patterns).names == expected


def test_hidden_folders_stay_hidden(tmp_path):
    folder = write(tmp_path / "photos", ("a.jpg", ".git/b.jpg", ".c.jpg"))
    found = open_source(folder).find(["!*"])
    assert found.names == ["a.jpg"] and found.left_out == {HIDDEN: [".c.jpg", ".git/"]}


def test_accents_match_in_any_form():
    assert Exclusions(["caf\u00e9/"]).find("cafe\u0301/a.jpg") == (EXCLUDED, "cafe\u0301/")


@pytest.mark.parametrize("pattern", ["!", "\\", "[z-a]"])
def test_invalid_pattern_is_an_error(pattern, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["extract", "-d", "photos", "--network", "hog-colour", "--exclude", pattern])
    assert done.exit_code == 1 and "--exclude: expected a pattern as in a .gitignore, got" in done.stderr
    (photos / "red" / IGNORE_FILE).write_text(f"*.png\n{pattern}\n")
    with pytest.raises(ValueError, match=rf"red/{IGNORE_FILE}: expected a pattern as in a .gitignore, got"):
        list_images(None, photos)


def test_unreadable_ignore_file_is_an_error(photos, tmp_path):
    (photos / IGNORE_FILE).write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=f"{IGNORE_FILE}: expected patterns in UTF-8"):
        list_images(None, photos)
    (photos / IGNORE_FILE).unlink()
    (tmp_path / "secret").write_text("[z-a]")
    (photos / IGNORE_FILE).symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="outside the image folder") as raised:
        list_images(None, photos)
    assert "z-a" not in str(raised.value)


def extract(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["extract", "-d", "photos", "--network", "hog-colour", *arguments])
    assert done.exit_code == 0, done.output
    return done.stderr


def recorded() -> list[str]:
    return json.loads(Path("photos_file_list.txt.saved_predictions.json").read_text())["exclude"]


def test_patterns_are_recorded_for_later_runs(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "left out: excluded files or folders: 2 (blue/, red/)" in extract("--exclude", "red/", "--exclude", "blue")
    assert recorded() == ["red/", "blue"]
    names = Path("photos_file_list.txt").read_text().splitlines()
    assert len(names) == 4 and all(name.startswith("green/") for name in names)
    assert "already complete" in extract()
    extract("--exclude", "blue")
    assert len(Path("photos_file_list.txt").read_text().splitlines()) == 8
    assert "already complete" in extract("--exclude", "blue", "--exclude", "green")  # rows that exist stay
    assert recorded() == ["blue", "green"]
    assert Collection.open("photos_file_list.txt").nearest(0)
    extract("--exclude", "")
    assert len(Path("photos_file_list.txt").read_text().splitlines()) == 12
    refused = CliRunner().invoke(main, ["extract", "-l", "photos_file_list.txt", "-d", "photos", "--exclude", "red"])
    assert refused.exit_code == 1 and "--exclude (exclude=) applies to a folder" in refused.stderr


def test_vectors_of_earlier_versions_have_no_patterns(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extract("--exclude", "red")
    path = Path("photos_file_list.txt.saved_predictions.json")
    manifest = json.loads(path.read_text())
    del manifest["exclude"]
    path.write_text(json.dumps(manifest))
    assert "12 of 12 images" in extract()


def test_collection_is_created_without_excluded_images(photos, tmp_path):
    collection = Collection.create(photos, tmp_path, "hog-colour", exclude=["red/", "!*.png"])
    assert len(collection.names) == 8 and not any(name.startswith("red/") for name in collection.names)
    assert len(Collection.create(photos, tmp_path, "hog-colour").names) == 8
    assert len(Collection.create(photos, tmp_path, "hog-colour", exclude="blue").names) == 12
