"""Refuse names and symbolic links that lead out of the image folder, unless the user allows them."""

import csv
import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.evaluation.duplicate_choice import Member, to_script
from similar_images.evaluation.report import _tile
from similar_images.inputs import images
from similar_images.inputs.exif import read_exif
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.sources import Address, open_source
from similar_images.widgets.thumbnails import Thumbnails

SECRETS = ("../secret.jpg", "{folder}/secret.jpg", "red/../../secret.jpg", "link.jpg", "linked/secret.jpg")


@pytest.fixture
def secret(photos, tmp_path, monkeypatch) -> bytes:
    """The bytes of a file beside the folder, linked from the folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    Image.effect_noise((90, 70), 80).convert("RGB").save("secret.jpg")
    (tmp_path / "elsewhere" / "secret.jpg").write_bytes((tmp_path / "secret.jpg").read_bytes())
    (photos / "link.jpg").symlink_to("../secret.jpg")
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    return (tmp_path / "secret.jpg").read_bytes()


def named(names: tuple[str, ...], folder: Path) -> list[str]:
    return [name.format(folder=folder) for name in names]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def extract(*arguments: object) -> Result:
    done = command("extract", "--network", "hog-colour", *arguments)
    assert done.exit_code == 0, done.output
    return done


def foreign(photos: Path, secret: bytes, tmp_path: Path) -> Path:
    """Return a stranger's list; on the stranger's machine all names were images."""
    names = ["red/0.jpg", "red/1.jpg", *named(SECRETS, tmp_path)]
    (tmp_path / "foreign.txt").write_text("".join(f"{name}\n" for name in names))
    extract("-l", "foreign.txt", "-d", "photos", "--allow-outside")
    return tmp_path / "foreign.txt"


@pytest.mark.parametrize("address", [False, True])
def test_list_cannot_lead_out_of_the_folder(address, photos, secret, tmp_path):
    names = named(SECRETS, tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in ["red/0.jpg", *names, "/etc/passwd"]))
    done = extract("-l", "list.txt", "-d", f"file://{photos}" if address else "photos")
    assert "1 of 7 images, 6 skipped" in done.stderr
    assert done.stderr.count("outside the image folder: not read without --allow-outside") == 6
    assert np.load("list.txt.saved_predictions.npy").any(axis=1).tolist() == [True] + [False] * 6
    with Path("list.txt.saved_predictions.skipped.csv").open(newline="") as file:
        assert [(line["bytes"], line["sha256"]) for line in csv.DictReader(file)] == [("", "")] * 6
    source = open_source(Address(f"file://{photos}") if address else photos)
    for name in names:
        assert not source.exists(name) and not source.has_any([name])
        for read in source.image, source.size, source.locate:
            with pytest.raises(UnreadableImage, match="outside the image folder"):
                read(name)


def test_outside_files_are_read_if_allowed(photos, secret, tmp_path):
    collection = Collection.open(foreign(photos, secret, tmp_path))  # recorded by the manifest of the user's own run
    assert collection.vectors.array.any(axis=1).all()
    for opened in (collection, Collection.open("foreign.txt", images="photos", allow_outside=True)):
        for row in range(2, 7):
            assert Path(opened.image(row)).read_bytes() == opened.path(row).read_bytes() == secret
            assert opened.nearest(row, k=2)[0].path is not None


def test_list_without_a_folder_names_files_as_in_2022(photos, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Image.new("RGB", (9, 9), "red").save("c.png")
    names = [f"{photos}/red/0.jpg", "../photos/red/1.jpg", "c.png"]
    Path("list.txt").write_text("".join(f"{name}\n" for name in names))
    assert "3 of 3 images, 0 skipped" in extract("-l", "list.txt").stderr
    collection = Collection.open("list.txt")
    assert [collection.path(row).read_bytes() for row in range(3)] == [Path(name).read_bytes() for name in names]
    found = command("search", "-i", "list.txt", "--paths", "c.png")
    assert {*found.stdout.split()} == {*names[:2]}, found.output
    monkeypatch.chdir(tmp_path)  # the current folder does not matter
    assert all(images.open_image(Collection.open("here/list.txt").image(row)) for row in range(3))


def test_outside_files_are_neither_shown_nor_exported(photos, secret, tmp_path):
    foreign(photos, secret, tmp_path)
    collection = Collection.open("foreign.txt", images="photos")
    rows = range(2, 7)
    for row in rows:
        for shown in (collection.image, collection.path):
            with pytest.raises(UnreadableImage, match="outside the image folder"):
                shown(row)
        with pytest.raises(UnreadableImage, match="outside the image folder"):
            collection.explain(0, row)
        assert _tile(collection, row, "", None)[-1] is None
    (made,) = Thumbnails(collection, 32).get([0, *rows])
    assert isinstance(made[0], bytes)
    assert all("outside the image folder" in made[row] for row in rows)
    assert {hit.name: hit.path for hit in collection.nearest(0, 6)} == {
        "red/1.jpg": photos.relative_to(tmp_path) / "red/1.jpg",
        **dict.fromkeys(named(SECRETS[:3], tmp_path)),
        **{name: Path("photos", name) for name in SECRETS[3:]},  # hits read no file
    }
    with_dates = read_exif(collection.source, collection.names)
    assert with_dates["camera"].tolist() == [""] * 7


def test_paths_of_outside_hits_are_not_printed(photos, secret, tmp_path):
    foreign(photos, secret, tmp_path)
    options = ("search", "-i", "foreign.txt", "-d", "photos", "red/0.jpg", "--paths")
    found = command(*options)
    assert found.exit_code == 0 and found.stdout == "photos/red/1.jpg\n", found.output
    assert found.stderr.count("outside the image folder") == 5
    hits = json.loads(command(*options, "--json").stdout)[0]["hits"]
    assert [hit["path"] for hit in hits if hit["path"]] == ["photos/red/1.jpg"] and len(hits) == 6
    assert len(command(*options, "--allow-outside").stdout.splitlines()) == 6


def test_outside_near_duplicates_are_not_read(photos, secret, tmp_path):
    foreign(photos, secret, tmp_path)
    options = ("duplicates", "foreign.txt", "-t", "0.99", "--csv", "d.csv", "--html", "d.html", "--overwrite")
    done = command(*options, "-d", "photos")
    assert done.exit_code == 0, done.output
    with Path("d.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["name"]: line["bytes"] for line in lines} == dict.fromkeys(named(SECRETS, tmp_path), "")
    page = Path("d.html").read_text()
    assert "data:image/jpeg" not in page and 'href="' not in page.replace('href="#', "")
    assert command(*options, "-d", "photos", "--allow-outside").exit_code == 0
    assert "data:image/jpeg" in Path("d.html").read_text()


def test_script_moves_nothing_outside_the_folder(photos, secret, tmp_path):
    (photos / "same").symlink_to("red")
    moved = ["red/0.jpg", "same/1.jpg", "-a b'.jpg"]
    (photos / moved[2]).write_bytes(secret)
    names = ["green/0.jpg", *named((SECRETS[0], SECRETS[1], SECRETS[2], SECRETS[4]), tmp_path), *moved]
    contents = [(photos / name).read_bytes() for name in names]
    members = [
        Member(1, row, name, 1.0, len(content), 9, 9, None, hashlib.sha256(content).hexdigest())
        for row, (name, content) in enumerate(zip(names, contents, strict=True))
    ]
    (tmp_path / "move.sh").write_text(to_script(members, {0}, open_source(photos)))
    done = subprocess.run(["sh", "move.sh"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.count("outside the folder of the images") == 4, done.stderr
    assert f"3 moved to {tmp_path}/photos_duplicates, 0 moved before, 4 not moved" in done.stdout
    assert [(tmp_path / "photos_duplicates" / name).exists() for name in moved] == [True] * 3
    assert (tmp_path / "secret.jpg").read_bytes() == (tmp_path / "elsewhere" / "secret.jpg").read_bytes() == secret
    members[0] = members[0]._replace(name="../secret.jpg")
    (tmp_path / "move.sh").write_text(to_script(members[:1] + members[5:6], {0}, open_source(photos)))
    done = subprocess.run(["sh", "move.sh"], cwd=tmp_path, capture_output=True, text=True)
    assert "outside the folder of the images" in done.stderr and "0 moved" in done.stdout


def test_names_of_an_archive_cannot_reach_the_disk(photos, secret, tmp_path):
    import zipfile

    with zipfile.ZipFile("a.zip", "w") as file:
        file.write("secret.jpg", "good.jpg")
    source = open_source(Path("a.zip"))
    for name in ("/etc/passwd", "../secret.jpg"):
        assert source.join(name) is None
        with pytest.raises(UnreadableImage):
            source.locate(name)
        with pytest.raises(UnreadableImage):
            source.image(name)


def test_links_inside_the_folder_are_read(photos):
    (photos / "again.jpg").symlink_to("red/0.jpg")
    (photos / "again").symlink_to("red")
    source = open_source(photos)
    for name in ("again.jpg", "again/0.jpg", "red/../red/0.jpg", f"{photos.absolute()}/red/0.jpg"):
        assert source.image(name).read_bytes() == (photos / "red/0.jpg").read_bytes()


def test_folder_may_be_a_link(photos, tmp_path):
    (tmp_path / "shortcut").symlink_to("photos")
    assert open_source(tmp_path / "shortcut").image("red/0.jpg").read_bytes() == (photos / "red/0.jpg").read_bytes()
