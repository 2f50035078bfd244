"""The choice among near-duplicates: the proposal, the CSV, and the script in several shells."""

import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from similar_images.evaluation import duplicate_choice
from similar_images.evaluation.duplicate_choice import Member
from similar_images.inputs.names import from_csv_cell
from similar_images.inputs.sources import Folder

SHELLCHECK = shutil.which("shellcheck") or shutil.which("shellcheck", path=Path(sys.executable).parent)
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]
NAMES = [
    "a.jpg",
    "-rf",
    "--",
    "it's.jpg",
    'say "no".jpg',
    "two\nlines.jpg",
    "ends in a line\n",
    "carriage\rreturn",
    "$(touch hacked).jpg",
    "`touch hacked`",
    "back\\slash.jpg",
    "star *.jpg",
    "sub folder/-x/é ü 图.jpg",
    "sub folder\n/y.jpg",
    "=1+1.jpg",
    "; touch hacked",
    "{}@to@.jpg",
    "~",
    "!",
]


def member(group: int, row: int, name: str, size: int | None = 1, width: int | None = 1) -> Member:
    return Member(group, row, name, 1.0, size, width, width, None)


def readable(one: Member) -> Member:
    """Return an image whose file holds its name."""
    content = one.name.encode()
    return one._replace(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def pairs(names: list[str]) -> tuple[list[Member], list[int]]:
    """Return a group for each name, with another image to keep, and the rows to keep."""
    members = []
    for i, name in enumerate(names):
        members += [readable(member(i + 1, 2 * i, f"kept {i}.jpg")), readable(member(i + 1, 2 * i + 1, name))]
    return members, [one.row for one in members[::2]]


def folder_of(place: Path, members: list[Member]) -> Path:
    folder = place / "it's {photos}"
    for one in members:
        file = folder / one.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(one.name, newline="")
    return folder


def prepare(place: Path, names: list[str]) -> tuple[Path, str]:
    """Write a folder of `pairs`; return it with the script that moves the images of these names."""
    members, kept = pairs(names)
    folder = folder_of(place, members)
    return folder, duplicate_choice.to_script(members, kept, Folder(folder))


def run(shell: str, script: str, place: Path, *arguments: str) -> subprocess.CompletedProcess:
    file = place / "move.sh"
    file.write_text(script, newline="")
    command = [shell, *(["sh"] if shell == "busybox" else []), str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=place)


def contents(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes().decode() for file in files}


def test_proposal_prefers_pixels_then_bytes_then_order():
    members = [
        member(1, 9, "wide.jpg", 10, 300),
        member(1, 3, "narrow.jpg", 99, 200),
        member(2, 4, "small.jpg", 10, 100),
        member(2, 8, "many bytes.jpg", 20, 100),
        member(3, 7, "late.jpg", 10, 100),
        member(3, 5, "early.jpg", 10, 100),
        member(4, 0, "gone.jpg", None, None),
        member(4, 1, "there.jpg", 1, 1),
    ]
    assert duplicate_choice.propose(members) == [9, 8, 5, 1]


def test_csv_lists_every_image_with_its_action():
    members, kept = pairs(NAMES)
    written = duplicate_choice.to_csv(members, kept)
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert list(rows[0]) == ["name", "action", "group", "bytes", "sha256"]
    assert [from_csv_cell(row["name"]) for row in rows] == [one.name for one in members]
    assert [row["action"] for row in rows] == ["keep", "move"] * len(NAMES)
    assert [int(row["group"]) for row in rows] == [one.group for one in members]
    assert [(int(row["bytes"]), row["sha256"]) for row in rows] == [(one.bytes, one.sha256) for one in members]
    assert duplicate_choice.to_csv([member(1, 0, "gone.jpg", None)], []).endswith("gone.jpg,move,1,,\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_script_moves_other_images_of_any_name_once(tmp_path, shell):
    folder, script = prepare(tmp_path, NAMES)
    done = run(shell, script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{len(NAMES)} moved to ")
    kept = [f"kept {number}.jpg" for number in range(len(NAMES))]
    assert contents(folder) == {name: name for name in kept}
    assert contents(tmp_path / "it's {photos}_duplicates") == {name: name for name in NAMES}
    assert not (tmp_path / "hacked").exists()
    before = contents(tmp_path)
    again = run(shell, script, tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"{len(NAMES)} moved before, 0 not moved" in again.stdout
    assert contents(tmp_path) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_script_never_overwrites(tmp_path, shell):
    folder, script = prepare(tmp_path, ["a.jpg", "b.jpg", "link.jpg"])
    target = tmp_path / "it's {photos}_duplicates"
    target.mkdir()
    (target / "a.jpg").write_text("another")
    (target / "link.jpg").symlink_to(tmp_path / "nowhere")
    done = run(shell, script, tmp_path)
    assert done.returncode == 1
    assert "not moved: a.jpg: a file of this name was moved before" in done.stderr
    assert (target / "a.jpg").read_text() == "another" and (target / "b.jpg").read_text() == "b.jpg"
    assert (folder / "a.jpg").exists() and (folder / "link.jpg").exists() and (target / "link.jpg").is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_image_stays_if_kept_image_is_missing(tmp_path):
    folder, script = prepare(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    (folder / "kept 0.jpg").unlink()
    (folder / "c.jpg").unlink()
    done = run("sh", script, tmp_path)
    assert done.returncode == 1
    assert "not moved: a.jpg: the image to keep is missing: kept 0.jpg" in done.stderr
    assert "not moved: c.jpg: it is missing" in done.stderr
    assert (folder / "a.jpg").exists() and not (folder / "b.jpg").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_script_leaves_changed_files(tmp_path, shell):
    members, kept = pairs(["a.jpg", "b.jpg", "c.jpg", "two\nlines.jpg", "unread.jpg"])
    members[-1] = members[-1]._replace(bytes=None, sha256=None)
    folder = folder_of(tmp_path, members)
    script = duplicate_choice.to_script(members, kept, Folder(folder))
    (folder / "a.jpg").write_text("A.jpg")  # as many bytes
    (folder / "b.jpg").write_text("longer")
    (folder / "kept 2.jpg").write_text("KEPT 2.jpg")
    done = run(shell, script, tmp_path)
    assert done.returncode == 1 and done.stdout.startswith("1 moved to ") and "4 not moved" in done.stdout
    assert done.stderr.splitlines() == [
        "not moved: a.jpg: it has changed since the comparison",
        "not moved: b.jpg: it has changed since the comparison",
        "not moved: c.jpg: the image to keep has changed since the comparison: kept 2.jpg",
        "not moved: unread.jpg: it has changed since the comparison",
    ]
    assert list(contents(tmp_path / "it's {photos}_duplicates")) == ["two\nlines.jpg"]


@pytest.mark.parametrize("program", ["sha256sum", "shasum", "openssl", None])
def test_script_uses_any_available_digest_program(tmp_path, program):
    if program and not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    folder, script = prepare(tmp_path, ["a.jpg", "back\\slash.jpg"])
    before = contents(folder)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in filter(None, ("wc", "mv", "mkdir", "perl", program)):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    file = tmp_path / "move.sh"
    file.write_text(script, newline="")
    done = subprocess.run(["/bin/sh", file], capture_output=True, text=True, env=os.environ | {"PATH": str(programs)})
    if program:
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("2 moved")
    else:
        assert done.returncode == 1 and "expected sha256sum, shasum or openssl" in done.stderr
        assert contents(folder) == before


def test_changed_files_are_left_out_with_a_note(tmp_path):
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    members, kept = pairs(names)
    folder = folder_of(tmp_path, members)
    (folder / "a.jpg").write_text("A.jpg")
    (folder / "kept 1.jpg").unlink()
    events = []
    left = duplicate_choice.drop_changed(members, kept, Folder(folder), events.append)
    assert [one.name for one in left] == ["kept 0.jpg", "kept 2.jpg", "c.jpg", "kept 3.jpg", "d.jpg"]
    assert [event.note for event in events] == [
        "left out a.jpg: it has changed since the comparison",
        "left out kept 1.jpg: it has changed since the comparison",
        "left out group 2: no unchanged image to keep",
    ]
    assert duplicate_choice.drop_changed(members, kept, None, events.append) == members


def test_script_takes_folders_as_arguments(tmp_path):
    folder, script = prepare(tmp_path, ["a.jpg"])
    folder.rename(tmp_path / "-moved")
    done = run("sh", script, tmp_path, "-moved", "-aside")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "-aside" / "a.jpg").exists()


def test_each_group_keeps_at_least_one_image(tmp_path):
    members = [member(1, 0, "a"), member(1, 1, "b"), member(1, 2, "c"), member(2, 3, "d"), member(2, 4, "e")]
    script = duplicate_choice.to_script(members, [1, 2, 3, 4], Folder(tmp_path))
    assert [line for line in script.splitlines() if line.startswith("move ")] == ["move a 1 '' b 1 ''"]
    with pytest.raises(ValueError, match="expected an image to keep of group 2, got none"):
        duplicate_choice.to_script(members, [0], Folder(tmp_path))


def test_images_outside_a_folder_have_no_script():
    with pytest.raises(ValueError, match="export the choice as CSV"):
        duplicate_choice.to_script([], [], None)


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed")
def test_the_script_is_posix(tmp_path):
    members, kept = pairs(NAMES)
    (tmp_path / "move.sh").write_text(duplicate_choice.to_script(members, kept, Folder(tmp_path)), newline="")
    # Names with $ and = are meant literally.
    done = subprocess.run(
        [SHELLCHECK, "-s", "sh", "-e", "SC2016,SC2283", tmp_path / "move.sh"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
