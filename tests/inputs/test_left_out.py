"""Report left-out files of folders, archives and lists by kind, with a remedy."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.evaluation.networks import compare
from similar_images.events import Event
from similar_images.inputs import listing as kinds
from similar_images.inputs.names import find_line_error
from similar_images.inputs.sources import Address, open_source
from similar_images.vectors.items import list_images

FILES = {
    "a.JPG": None,
    "b/c.webp": None,
    "b/d.tga": kinds.UNSUPPORTED,
    "b/e.TGA": kinds.UNSUPPORTED,
    "f.psd": kinds.UNSUPPORTED,
    "b/g.svg": kinds.UNSUPPORTED,
    "h.zip": kinds.NESTED,
    "b/i.tar.gz": kinds.NESTED,
    ".j.jpg": kinds.HIDDEN,
    "notes.txt": kinds.OTHER,
    ".DS_Store": kinds.SYSTEM,
    "README": kinds.OTHER,
}
KINDS = ("red", "green", "blue")


@pytest.fixture
def mixed(tmp_path) -> Path:
    folder = tmp_path / "mixed"
    for name in (*FILES, ".git/k.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")
    return folder


def expected() -> dict:
    left_out: dict = {kinds.HIDDEN: [".git/"]}
    for name, kind in FILES.items():
        if kind:
            left_out.setdefault(kind, []).append(name)
    return {kind: sorted(names) for kind, names in left_out.items()}


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "address"])
def test_every_file_is_classified(form, mixed, tmp_path):
    place = mixed
    if form == "zip":
        place = tmp_path / "a.zip"
        with zipfile.ZipFile(place, "w") as file:
            for path in sorted(mixed.rglob("*")):
                file.write(path, path.relative_to(mixed))
    elif form == "tar":
        place = tmp_path / "a.tar"
        with tarfile.open(place, "w") as file:
            file.add(mixed, ".")
    found = open_source(Address(f"file://{mixed}") if form == "address" else place).find()
    assert found.names == ["a.JPG", "b/c.webp"] and found.unlistable == []
    assert found.left_out == expected()


def test_note_has_count_kind_and_remedy(mixed):
    notes = open_source(mixed).find().notes()
    assert len(notes) == 5
    assert "left out: images of unsupported formats: 4 (2 .tga, 1 .psd, 1 .svg); convert them to JPEG or PNG" in notes
    assert "left out: archives: 2 (b/i.tar.gz, h.zip); extract each on its own, with -d" in notes
    assert "left out: hidden files or folders: 2 (.git/, .j.jpg); rename them without the leading dot" in notes
    assert any(note.startswith("left out: other files: 2 (1 .txt, 1 no suffix)") for note in notes)


def test_names_in_notes_have_no_control_characters(tmp_path):
    (tmp_path / "\x1b[31m.zip").touch()
    (tmp_path / "a.\x1b[31m").touch()
    (tmp_path / "caf\udce9.jpg").touch()
    notes = open_source(tmp_path).find().notes()
    assert len(notes) == 3 and not any("\x1b" in note or "\udce9" in note for note in notes)


def test_links_are_followed_or_reported(photos, tmp_path):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for name in ("x.jpg", "deep/y.jpg", "notes.txt"):
        (outside / name).touch()
    for name, target in {
        "again": "red",
        "elsewhere": outside,
        "file.jpg": outside / "x.jpg",
        "inside.jpg": "red/0.jpg",
        "missing.jpg": "nowhere.jpg",
        "notes.txt": outside / "notes.txt",
        "up": "..",
        "self": "self",
    }.items():
        (photos / name).symlink_to(target)
    (outside / "deep" / "back").symlink_to(outside)
    (outside / "deep" / "home").symlink_to(photos)
    own = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*.jpg") if path.parts[-2] in KINDS)
    found = open_source(photos).find()
    assert found.names == sorted([*own, "inside.jpg"])
    assert found.left_out[kinds.SPECIAL] == ["missing.jpg"]
    assert found.left_out[kinds.OUTSIDE_LINKS] == ["elsewhere", "file.jpg", "up"]
    assert found.left_out[kinds.INSIDE_LINKS] == ["again"]
    assert any("symbolic links that lead outside: 3" in note and "--allow-outside" in note for note in found.notes())
    allowed = open_source(photos, allow_outside=True).find()
    linked = ["elsewhere/x.jpg", "elsewhere/deep/y.jpg", "file.jpg"]
    assert allowed.names == sorted([*found.names, *linked])
    assert allowed.left_out[kinds.INSIDE_LINKS] == ["again", "elsewhere/deep/back", "elsewhere/deep/home", "up"]
    assert kinds.OUTSIDE_LINKS not in allowed.left_out


def test_unreadable_folder_is_reported(photos, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("red"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = open_source(photos).find()
    assert len(found.names) == 8 and found.left_out == {kinds.UNREADABLE: ["red/"]}


def test_links_devices_and_absolute_names_in_archives_are_reported(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name, kind, target in (
            ("a.jpg", tarfile.REGTYPE, ""),
            ("/b.jpg", tarfile.REGTYPE, ""),
            ("c.jpg", tarfile.SYMTYPE, "a.jpg"),
            ("d", tarfile.DIRTYPE, ""),
            ("e.jpg", tarfile.CHRTYPE, ""),
            ("f.jpg", tarfile.LNKTYPE, "nowhere.jpg"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            file.addfile(member, io.BytesIO())
    found = open_source(tmp_path / "a.tar").find()
    assert found.names == ["a.jpg"] and found.unlistable == ["/b.jpg"]
    assert found.left_out == {kinds.ARCHIVED_LINKS: ["c.jpg"], kinds.SPECIAL: ["e.jpg", "f.jpg"]}
    assert any("absolute names, names with .." in note and "/b.jpg" in note for note in found.notes())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        link = zipfile.ZipInfo("link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("a.jpg", "")
    found = open_source(tmp_path / "a.zip").find()
    assert (found.names, found.left_out) == (["a.jpg"], {kinds.ARCHIVED_LINKS: ["link.jpg"]})


def test_folder_without_images_reports_left_out_files(tmp_path):
    (tmp_path / "a.tga").touch()
    with pytest.raises(
        ValueError, match=r"no image in .*: expected files ending in .*images of unsupported formats: 1"
    ):
        list_images(None, tmp_path)


def test_comparison_of_networks_reports_left_out_files(photos):
    (photos / "a.tga").touch()
    events: list[Event] = []
    compare(photos, ["hog-colour"], progress=events.append)
    note = "left out: images of unsupported formats: 1 (1 .tga); convert them to JPEG or PNG"
    assert note in [event.note for event in events]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["", '"red/0.jpg"', '"red/1.jpg"'], "line 2, '\"red/0.jpg\"', has quotes around the path: remove them"),
        ([" red/0.jpg", "red/1.jpg\t"], "line 1, ' red/0.jpg', has spaces around the path: remove them"),
        (["name,label", "red/0.jpg,red"], "line 1, 'name,label', has several columns: keep only the paths"),
        (['"red/0.jpg","red"'], "has several columns: keep only the paths"),
        (["red/0.jpg;red"], "has several columns: keep only the paths"),
        (["red/0.jpg\tred"], "has several columns: keep only the paths"),
        (["absent.jpg"], "line 1 is 'absent.jpg'; is there another folder for -d?"),
        (["../absent.jpg"], "line 1, '../absent.jpg', leads outside; --allow-outside reads it"),
    ],
)
def test_faulty_line_of_a_list_is_named(lines, fault, photos, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(ValueError, match="expected paths of images in") as raised:
        list_images(tmp_path / "list.txt", photos)
    assert fault in str(raised.value) and "name their folder with -d" not in str(raised.value)
    with pytest.raises(ValueError, match="name their folder with -d"):
        (tmp_path / "list.txt").write_text("absent.jpg\n")
        list_images(tmp_path / "list.txt", None)


@pytest.mark.parametrize("name", ["a, b.jpg", "it's.jpg", "a;b.png", "größe.jpg", "x\ty.jpg", "'", '"a" b.jpg', ""])
def test_unusual_names_are_valid_lines(name):
    assert find_line_error(name) is None


def test_blank_lines_keep_their_rows(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["red/0.jpg", "", "red/1.jpg", "   ", "red/2.jpg ", ""]
    (tmp_path / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    done = CliRunner().invoke(main, ["extract", "-l", "list.txt", "-d", "photos", "--network", "hog-colour"])
    assert done.exit_code == 0, done.output
    assert "ignored 3 blank lines of list.txt: line 2, line 4, line 6\n" in done.stderr
    assert "2 of 3 images, 1 skipped" in done.stderr
    assert "skipped red/2.jpg : no such file: line 5 has spaces around the path: remove them\n" in done.stderr
    assert done.stderr.count("\nskipped ") == 1
    table = Path("list.txt.saved_predictions.skipped.csv").read_text()
    assert len(table.splitlines()) == 2 and "red/2.jpg " in table
    assert Path("list.txt").read_text() == "".join(f"{line}\n" for line in lines)
    collection = Collection.open("list.txt")
    assert collection.vectors.array.any(axis=1).tolist() == [True, False, True, False, False, False]
    assert [collection.row_named(name) for name in ("red/0.jpg", "red/1.jpg")] == [0, 2]
    assert [hit.row for hit in collection.nearest(0)] == [2]
    again = CliRunner().invoke(main, ["extract", "-l", "list.txt", "-d", "photos"])
    assert "already complete" in again.stderr
    assert np.load("list.txt.saved_predictions.npy").shape[0] == 6
