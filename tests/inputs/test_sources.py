"""Where images are: folders, and archives that are read in place, whole, damaged or hostile."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from similar_images.collection.images import Collection
from similar_images.inputs import images
from similar_images.inputs.images import UnreadableImage
from similar_images.inputs.sources import Archive, Folder, check_source, digest_image, location_title, open_source

KINDS = (".zip", ".tar", ".tar.gz", ".tgz")


def pack(folder: Path, archive: Path, below: str = "") -> Path:
    """Put the files of a folder into an archive, with names that begin with `below`."""
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


def test_a_folder_is_searched_in_depth_sorted_by_name_and_without_hidden_files(tmp_path):
    for name in (
        "b/2.PNG",
        "b/1.jpeg",
        "a.webp",
        ".hidden.jpg",
        ".git/x.jpg",
        "notes.txt",
        "b/ü ö.avif",
        "b/line\nfeed.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = open_source(tmp_path).find()
    assert found.names == ["a.webp", "b/1.jpeg", "b/2.PNG", "b/ü ö.avif"]
    assert found.unlistable == ["b/line\nfeed.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_the_folder_that_was_packed(kind, photos, tmp_path):
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


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_from_an_archive_are_those_from_its_folder(kind, photos, run, tmp_path):
    (photos / "red" / "damaged.jpg").write_bytes((photos / "red" / "0.jpg").read_bytes()[:500])
    archive = pack(photos, tmp_path / f"packed{kind}", below="below/")
    for place, list_file in (photos, "photos_file_list.txt"), (archive / "below", "below_file_list.txt"):
        done = run("extract", "-d", place, "--network", "hog-colour")
        assert done.returncode == 0, done.stderr
        assert "skipped red/damaged.jpg: damaged or truncated" in done.stderr
        assert run("build", "-i", f"{list_file}.saved_predictions.npy").returncode == 0
    for suffix in ".txt", ".txt.saved_predictions.npy", ".txt.saved_predictions.skipped.csv":
        one, other = (tmp_path / f"{name}_file_list{suffix}" for name in ("photos", "below"))
        assert one.read_bytes() == other.read_bytes()
    collection = Collection.open(tmp_path / "below_file_list.txt")
    assert images.open_image(collection.image(0)).size == (80, 60)
    hits = collection.nearest(photos / "green" / "2.jpg", k=4)
    assert {hit.name.split("/")[0] for hit in hits} == {"green"}
    found = run("search", "-i", "below_file_list.txt", archive / "below" / "green" / "2.jpg")
    assert found.returncode == 0 and "green/2.jpg" not in found.stdout  # the image itself is known and left out
    found = run("duplicates", "below_file_list.txt", "--threshold", "0.5", "--html", "sheet.html")
    assert found.returncode == 0 and "data:image/jpeg" in (tmp_path / "sheet.html").read_text()


def test_the_list_of_a_whole_archive_takes_its_name_and_the_run_goes_on_as_it_grows(photos, run, tmp_path):
    archive = pack(photos, tmp_path / "val2014.zip")
    command = "extract", "-d", archive, "--network", "hog-colour"
    assert run(*command).returncode == 0
    with zipfile.ZipFile(archive, "a") as file:
        file.write(photos / "red" / "0.jpg", "again.jpg")
    done = run(*command)
    assert "13 of 13 images" in done.stderr
    collection = Collection.open(tmp_path / "val2014_file_list.txt")
    assert collection.names[12] == "again.jpg"
    assert np.array_equal(collection.vector(12), collection.vector(collection.row("red/0.jpg")))


def test_names_that_lead_out_of_an_archive_are_left_out_and_hidden_ones_ignored(tmp_path):
    names = ["../up.jpg", "/root.jpg", "a/../../up.jpg", "line\nfeed.jpg", "good.jpg", "__MACOSX/._good.jpg", "a/b.PNG"]
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in names:
            file.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("device.jpg")
        link.type = tarfile.CHRTYPE
        file.addfile(link)
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    found = open_source(tmp_path / "a.tar").find()
    assert found.names == ["a/b.PNG", "good.jpg"]
    assert found.unlistable == ["../up.jpg", "/root.jpg", "a/../../up.jpg", "line\nfeed.jpg"]


def test_of_two_files_of_one_name_the_later_holds_and_hard_links_are_followed(tmp_path):
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


def test_a_file_in_an_archive_is_held_to_the_limit_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.jpg", bytes(30_000_000))
    with pytest.raises(UnreadableImage, match=r"30000000 bytes: more than the limit of 1000000 bytes$"):
        open_source(tmp_path / "bomb.zip").image("bomb.jpg", images.Limits(bytes=1_000_000))


def test_a_size_that_lies_does_not_unpack_more(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.jpg", bytes(30_000_000))
    content = (tmp_path / "bomb.zip").read_bytes().replace(struct.pack("<I", 30_000_000), struct.pack("<I", 1000))
    (tmp_path / "bomb.zip").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"damaged in bomb\.zip"):
        open_source(tmp_path / "bomb.zip").image("bomb.jpg")


def test_what_is_encrypted_or_damaged_in_an_archive_is_told(photos, tmp_path):
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
def test_what_is_no_archive_or_is_cut_off_is_refused(kind, photos, run, tmp_path):
    content = pack(photos, tmp_path / f"a{kind}").read_bytes()
    for name, bad in ("cut", content[: len(content) // 2]), ("text", b"no archive" * 100), ("empty", b""):
        (tmp_path / f"{name}{kind}").write_bytes(bad)
        done = run("extract", "-d", f"{name}{kind}", "--network", "hog-colour")
        assert done.returncode == 1, name
        assert f"{name}{kind} is damaged or not a {kind} file" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*.npy"))


def test_a_place_without_images_is_refused_with_what_was_expected(photos, run, tmp_path):
    with pytest.raises(
        ValueError, match=r"expected a folder or an archive \(.zip, .tar, .tar.gz, .tgz\), got the file"
    ):
        check_source(photos / "red" / "0.jpg")
    with pytest.raises(ValueError, match=r"nowhere does not exist: expected a folder or an archive"):
        check_source(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"nowhere.zip does not exist"):
        check_source(tmp_path / "nowhere.zip")
    pack(photos, tmp_path / "a.zip")
    done = run("extract", "-d", "a.zip/nowhere", "--network", "hog-colour")
    assert done.returncode == 1 and "a.zip/nowhere is empty or missing: expected a folder of the archive" in done.stderr


def test_threads_may_share_an_archive(photos, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    for kind in KINDS[:3]:
        source = open_source(pack(photos, tmp_path / f"a{kind}"))
        names = source.find().names * 20
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(source.image, names)) == [(photos / name).read_bytes() for name in names]


def test_a_tar_whose_long_names_follow_each_other_without_end_is_damaged(tmp_path):
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 5
    (tmp_path / "links.tar").write_bytes((link.tobuf() + b"a.jpg".ljust(512, b"\0")) * 5000 + bytes(1024))
    with pytest.raises(
        ValueError, match=r"links\.tar is damaged or not a \.tar file: long names follow each other without a file$"
    ):
        open_source(tmp_path / "links.tar").find()


def test_a_source_is_passed_on_as_it_is(photos, tmp_path):
    source = open_source(pack(photos, tmp_path / "a.zip"))
    assert open_source(source) is source
    assert source.size("red/0.jpg") == open_source(photos).size("red/0.jpg") == (photos / "red/0.jpg").stat().st_size
