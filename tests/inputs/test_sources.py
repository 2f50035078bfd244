"""Read images from folders and from whole, damaged and hostile archives."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.sources import Archive, Folder, check_source, digest_image, location_title, open_source

KINDS = (".zip", ".tar", ".tar.gz", ".tgz")


def invoke(*arguments: str, exit_code: int = 0) -> Result:
    done = CliRunner().invoke(main, [*arguments])
    assert done.exit_code == exit_code, done.output
    return done


def pack(folder: Path, archive: Path, below: str = "") -> Path:
    """Pack the files of a folder, prefixing their names with `below`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in files:
                file.write(path, below + path.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
            for path in files:
                file.add(path, below + path.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("kind", KINDS)
def test_archive_equals_its_packed_folder(kind, photos, tmp_path):
    folder, archive = open_source(photos), open_source(pack(photos, tmp_path / f"packed{kind}"))
    assert (type(folder), type(archive)) == (Folder, Archive)
    names = folder.find().names
    assert archive.find() == folder.find()
    for name in [*names, *reversed(names)]:  # back and forth
        assert archive.image(name) == (photos / name).read_bytes()
        assert digest_image(archive, name) == digest_image(folder, name)
    assert archive.has_any([names[0]]) and not archive.has_any(["other.jpg", ""])
    assert location_title(archive.path) == "packed"
    with pytest.raises(UnreadableImage, match="no such file"):
        archive.image("other.jpg")


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_archive_and_folder_give_the_same_vectors(kind, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (photos / "red" / "damaged.jpg").write_bytes((photos / "red" / "0.jpg").read_bytes()[:500])
    pack(photos, tmp_path / f"packed{kind}", below="below/")
    archived = f"packed{kind}/below"
    for place, list_file in ("photos", "photos_file_list.txt"), (archived, "below_file_list.txt"):
        done = invoke("extract", "-d", place, "--network", "hog-colour")
        assert "skipped red/damaged.jpg: damaged or truncated" in done.stderr
        invoke("build", "-i", f"{list_file}.saved_predictions.npy")
    for suffix in ".txt", ".txt.saved_predictions.npy", ".txt.saved_predictions.skipped.csv":
        one, other = (Path(f"{name}_file_list{suffix}") for name in ("photos", "below"))
        assert one.read_bytes() == other.read_bytes()
    collection = Collection.open("below_file_list.txt")
    assert images.open_image(collection.image(0)).size == (80, 60)
    hits = collection.nearest(photos / "green" / "2.jpg", k=4)
    assert {hit.name.split("/")[0] for hit in hits} == {"green"}
    found = invoke("search", "-i", "below_file_list.txt", f"{archived}/green/2.jpg")
    assert "green/2.jpg" not in found.stdout  # the query is known and left out
    invoke("duplicates", "below_file_list.txt", "--threshold", "0.5", "--html", "sheet.html")
    assert "data:image/jpeg" in Path("sheet.html").read_text()


def test_growing_archive_resumes_and_names_the_list(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pack(photos, tmp_path / "val2014.zip")
    command = "extract", "-d", "val2014.zip", "--network", "hog-colour"
    invoke(*command)
    with zipfile.ZipFile("val2014.zip", "a") as file:
        file.write(photos / "red" / "0.jpg", "again.jpg")
    assert "13 of 13 images" in invoke(*command).stderr
    collection = Collection.open("val2014_file_list.txt")
    assert collection.names[12] == "again.jpg"
    assert np.array_equal(collection.vector(12), collection.vector(collection.row("red/0.jpg")))


def test_names_outside_an_archive_are_unlistable(tmp_path):
    outside = ["../up.jpg", "/root.jpg", "a/../../up.jpg", "line\nfeed.jpg"]
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in [*outside, "good.jpg", "__MACOSX/._good.jpg", "a/b.PNG"]:
            file.addfile(tarfile.TarInfo(name), io.BytesIO())
    found = open_source(tmp_path / "a.tar").find()
    assert found.names == ["a/b.PNG", "good.jpg"] and found.unlistable == outside


def test_last_of_equal_names_wins_and_hard_links_are_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for content in b"first", b"second":
            member = tarfile.TarInfo("a.jpg")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo("b.jpg")
        member.type, member.linkname = tarfile.LNKTYPE, "a.jpg"
        file.addfile(member)
    source = open_source(tmp_path / "a.tar")
    assert (source.image("a.jpg"), source.image("b.jpg")) == (b"second", b"second")


@pytest.mark.parametrize(
    ("stated", "reason"),
    [(30_000_000, r"30000000 bytes: more than the limit of 1000000 bytes$"), (1000, r"damaged in bomb\.zip")],
)
def test_zip_bomb_is_not_unpacked(stated, reason, tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.jpg", bytes(30_000_000))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 30_000_000), struct.pack("<I", stated)))
    with pytest.raises(UnreadableImage, match=reason):
        open_source(path).image("bomb.jpg", images.Limits(bytes=1_000_000))


def test_encrypted_and_damaged_files_have_a_reason(photos, tmp_path):
    content = bytearray(pack(photos, tmp_path / "a.zip").read_bytes())
    encrypted = bytearray(content)
    encrypted[6] |= 1
    encrypted[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    with pytest.raises(UnreadableImage, match=r"cannot be read in encrypted\.zip.*password.*: unpack it"):
        open_source(tmp_path / "encrypted.zip").image("blue/0.jpg")
    content[200:220] = bytes(20)
    (tmp_path / "damaged.zip").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"damaged in damaged\.zip"):
        open_source(tmp_path / "damaged.zip").image("blue/0.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_archive_is_refused(kind, photos, tmp_path):
    content = pack(photos, tmp_path / f"a{kind}").read_bytes()
    for name, bad in ("cut", content[: len(content) // 2]), ("text", b"no archive" * 100), ("empty", b""):
        (tmp_path / f"{name}{kind}").write_bytes(bad)
        with pytest.raises(ValueError, match=rf"{name}{kind} is damaged or not a {kind} file"):
            open_source(tmp_path / f"{name}{kind}").find()


def test_missing_and_unsupported_locations_are_refused(photos, tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match=r"expected a folder or an archive \(.zip, .tar, .tar.gz, .tgz\), got the file"
    ):
        check_source(photos / "red" / "0.jpg")
    for name in ("nowhere", "nowhere.zip"):
        with pytest.raises(ValueError, match=rf"{name} does not exist: expected a folder or an archive"):
            check_source(tmp_path / name)
    pack(photos, tmp_path / "a.zip")
    monkeypatch.chdir(tmp_path)
    done = invoke("extract", "-d", "a.zip/nowhere", "--network", "hog-colour", exit_code=1)
    assert done.stderr == "Error: a.zip/nowhere is empty or missing: expected a folder of the archive\n"
    assert not list(tmp_path.glob("*.npy"))


def test_threads_share_an_archive(photos, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    for kind in KINDS[:3]:
        source = open_source(pack(photos, tmp_path / f"a{kind}"))
        names = source.find().names * 20
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(source.image, names)) == [(photos / name).read_bytes() for name in names]


def test_tar_with_endless_long_names_is_damaged(tmp_path):
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 5
    (tmp_path / "links.tar").write_bytes((link.tobuf() + b"a.jpg".ljust(512, b"\0")) * 5000 + bytes(1024))
    with pytest.raises(
        ValueError, match=r"links\.tar is damaged or not a \.tar file: long names follow each other without a file$"
    ):
        open_source(tmp_path / "links.tar").find()


def test_open_source_returns_a_source_unchanged(photos, tmp_path):
    source = open_source(pack(photos, tmp_path / "a.zip"))
    assert open_source(source) is source
    assert source.size("red/0.jpg") == open_source(photos).size("red/0.jpg") == (photos / "red/0.jpg").stat().st_size
