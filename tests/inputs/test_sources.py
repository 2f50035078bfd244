"""Read images from folders, from whole, damaged and hostile archives, and at addresses that fsspec opens."""

import io
import json
import struct
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.inputs import images
from similar_images.inputs.images import Limits, UnreadableImage
from similar_images.inputs.sources import (
    Address,
    Archive,
    Folder,
    Location,
    Remote,
    Source,
    check_source,
    digest_image,
    location_title,
    open_source,
    parse_location,
)
from similar_images.networks import loader
from similar_images.vectors.extract import ImageEncoder, split_into_blocks
from similar_images.vectors.manifest import Runtime

KINDS = (".zip", ".tar", ".tar.gz", ".tgz")
HARD = ("a b.jpg", "a#1.jpg", "a?b.jpg", "a*[b].jpg", "ü.jpg", "100%25.jpg")  # look like patterns or addresses


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


def copy_to(kind: str, folder: Path) -> Location:
    """Copy the photos into an archive beside their folder, or into a storage in memory; or return their address."""
    if kind == "file":
        return Address(f"file://{folder}")
    if kind != "memory":
        return pack(folder, folder.with_name(f"photos{kind}"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in folder.rglob("*.jpg"):
        system.pipe_file(f"/bucket/photos/{path.relative_to(folder)}", path.read_bytes())
    return Address("memory://bucket/photos")


@pytest.fixture(params=[*KINDS, "file", "memory"])
def copied(request, photos) -> Source:
    """The photos in each kind of archive, on disk by an address and in memory, some with unusual names."""
    for name in HARD:
        (photos / "red" / name).write_bytes((photos / "red" / "0.jpg").read_bytes())
    (photos / ".hidden.jpg").touch()
    return open_source(copy_to(request.param, photos))


def test_source_equals_its_folder(copied, photos):
    folder = open_source(photos)
    assert isinstance(folder, Folder) and isinstance(copied, Remote if isinstance(copied.path, Address) else Archive)
    assert location_title(copied.path) == "photos"
    names = folder.find().names
    assert copied.find() == folder.find() and len(names) == 12 + len(HARD)
    for name in [*names, *reversed(names)]:  # back and forth
        assert copied.exists(name) and copied.image(name) == (photos / name).read_bytes()
        assert copied.size(name) == folder.size(name) == (photos / name).stat().st_size
        assert digest_image(copied, name) == digest_image(folder, name)
    assert copied.has_any(["no.jpg", "red/0.jpg"]) and not copied.has_any(["no.jpg", ""])


def test_missing_and_oversized_images_are_unreadable(copied):
    for name in ("no.jpg", "red", "red/*.jpg"):
        with pytest.raises(UnreadableImage, match="no such file"):
            copied.image(name)
    with pytest.raises(UnreadableImage, match="more than the limit of 10 bytes"):
        copied.image("red/0.jpg", Limits(bytes=10))
    assert not copied.exists("no.jpg")


def test_missing_folder_of_an_address_does_not_exist(photos):
    assert not open_source(Address(f"file://{photos}") / "no").exists()


@pytest.mark.parametrize("place", ["photos.zip/below", "photos.tar.gz/below", "file"])
def test_source_gives_the_vectors_of_its_folder(place, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (photos / "red" / "1.jpg").write_bytes((photos / "red" / "1.jpg").read_bytes()[:500])
    if place == "file":
        place = f"file://{photos}"
    else:
        pack(photos, tmp_path / place.split("/")[0], below="below/")
    for each, output in (("photos", "folder.npy"), (place, "other.npy")):
        done = invoke("extract", "-d", each, "-o", output, "--network", "hog-colour")
        assert "skipped red/1.jpg: damaged or truncated" in done.stderr and "11 of 12 images, 1 skipped" in done.stderr
    for suffix in (".npy", ".txt", ".skipped.csv"):
        assert Path(f"folder{suffix}").read_bytes() == Path(f"other{suffix}").read_bytes()
    folder, other = (json.loads(Path(f"{name}.json").read_text()) for name in ("folder", "other"))
    assert other == folder | {"images": place, "names": folder["names"] | {"file": "other.txt"}}
    invoke("build", "-i", "other.npy")
    collection = Collection.open("other.npy")
    assert collection.image(0) == (photos / collection.names[0]).read_bytes()
    assert collection.row(f"{place}/red/0.jpg") == collection.row("red/0.jpg") is not None
    hits = collection.nearest(photos / "green" / "2.jpg", k=4)
    assert {hit.name.split("/")[0] for hit in hits} == {"green"}
    assert str(hits[0].path) == f"{place}/{hits[0].name}"
    found = invoke("search", "-i", "other.npy", f"{place}/green/2.jpg")
    assert "green/2.jpg" not in found.stdout  # the query is known and left out
    invoke("duplicates", "other.npy", "--threshold", "0.5", "--html", "sheet.html")
    assert "data:image/jpeg" in Path("sheet.html").read_text()
    assert "already complete, 12 rows" in invoke("extract", "-d", place, "-o", "other.npy").stderr
    refused = invoke("extract", "-d", "photos/red", "-o", "other.npy", exit_code=1)
    assert f"exists for the images in {place}, not " in refused.stderr


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


def test_threads_share_a_source(copied, photos):
    names = copied.find().names * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(copied.image, names)) == [(photos / name).read_bytes() for name in names]


def test_tar_with_endless_long_names_is_damaged(tmp_path):
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 5
    (tmp_path / "links.tar").write_bytes((link.tobuf() + b"a.jpg".ljust(512, b"\0")) * 5000 + bytes(1024))
    with pytest.raises(
        ValueError, match=r"links\.tar is damaged or not a \.tar file: long names follow each other without a file$"
    ):
        open_source(tmp_path / "links.tar").find()


def test_open_source_returns_a_source_unchanged(photos):
    source = open_source(photos)
    assert open_source(source) is source


def test_run_stops_when_its_address_disappears(
    photos,
):
    source = open_source(Address(f"file://{photos}"))
    names = source.find().names
    photos.rename(photos.with_name("away"))
    with (
        ImageEncoder(source, loader.load("hog-colour"), Runtime(batch=4)) as images,
        pytest.raises(OSError, match="is missing: restore it and rerun to resume"),
    ):
        list(images.encode(split_into_blocks(names, 4)))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("s3://key:secret@bucket/photos", "without a user and password"),
        ("https://example.org/photos", "expected a folder or an address such as s3://"),
        ("zip://*::s3://bucket/photos.zip", "expected a folder or an address such as s3://"),
        ("s3://bucket/photos.zip", "is an archive: copy it to a disk"),
    ],
)
def test_unsupported_address_is_refused(address, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        check_source(parse_location(address))
    with pytest.raises(ValueError, match=reason):  # also from a manifest
        open_source(parse_location(address)).find()
    assert "secret" not in str(raised.value)


def test_missing_package_and_unknown_protocol_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(OSError, match="cannot open s3://bucket/photos: Install s3fs"):
        open_source(Address("s3://bucket/photos")).find()
    with pytest.raises(OSError, match="cannot open nope://x/y: Protocol not known: nope"):
        open_source(Address("nope://x/y")).find()


def test_storage_error_is_one_line(monkeypatch):
    def refuse(self, path, **options):
        raise PermissionError("Access\nDenied")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", refuse)
    with pytest.raises(OSError, match=r"^cannot read memory://bucket: Access Denied\. Check the address, and the cred"):
        open_source(Address("memory://bucket")).find()
