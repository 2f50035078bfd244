"""Read images at addresses that fsspec opens."""

import json

import fsspec
import pytest
from click.testing import CliRunner, Result

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.inputs.images import Limits, UnreadableImage
from similar_images.inputs.sources import (
    Address,
    Remote,
    check_source,
    digest_image,
    location_title,
    open_source,
    parse_location,
)

HARD = ("a b.jpg", "a#1.jpg", "a?b.jpg", "a*[b].jpg", "ü.jpg", "100%25.jpg")


@pytest.fixture(params=["file", "memory"])
def address(request, photos) -> Address:
    """The address of the photos, on disk or in memory, some with names that look like patterns or addresses."""
    for name in HARD:
        (photos / "red" / name).write_bytes((photos / "red" / "0.jpg").read_bytes())
    (photos / ".hidden.jpg").touch()
    if request.param == "file":
        return Address(f"file://{photos}")
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in photos.rglob("*.jpg"):
        system.pipe_file(f"/bucket/photos/{path.relative_to(photos)}", path.read_bytes())
    return Address("memory://bucket/photos")


def test_address_equals_its_folder(address, photos):
    folder, remote = open_source(photos), open_source(address)
    assert isinstance(remote, Remote) and location_title(address) == "photos"
    assert remote.find() == folder.find() and len(remote.find().names) == 12 + len(HARD)
    for name in folder.find().names:
        assert remote.exists(name) and remote.image(name) == (photos / name).read_bytes()
        assert digest_image(remote, name) == digest_image(folder, name)
    assert remote.has_any(["no.jpg", "red/0.jpg"]) and not remote.has_any(["no.jpg", ""])


def test_missing_and_oversized_images_are_unreadable(address):
    remote = open_source(address)
    for name in ("no.jpg", "red", "red/*.jpg"):
        with pytest.raises(UnreadableImage, match="no such file"):
            remote.image(name)
    with pytest.raises(UnreadableImage, match="more than the limit of 10 bytes"):
        remote.image("red/0.jpg", Limits(bytes=10))
    assert not remote.exists("no.jpg") and not open_source(address / "no").exists()


def test_address_gives_the_vectors_of_its_folder(photos, tmp_path, monkeypatch):
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [*map(str, arguments)])

    monkeypatch.chdir(tmp_path)
    (photos / "red" / "1.jpg").write_text("broken")
    address = f"file://{photos}"
    for place, output in ((photos, "folder.npy"), (address, "address.npy")):
        done = run("extract", "-d", place, "-o", output, "--network", "hog-colour")
        assert done.exit_code == 0 and "11 of 12 images, 1 skipped" in done.stderr, done.stderr
    for suffix in (".npy", ".txt", ".skipped.csv"):
        assert (tmp_path / f"folder{suffix}").read_bytes() == (tmp_path / f"address{suffix}").read_bytes()
    folder, remote = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("folder", "address"))
    assert remote == folder | {"images": address, "names": folder["names"] | {"file": "address.txt"}}
    assert run("build", "-i", "address.npy").exit_code == 0
    collection = Collection.open(tmp_path / "address.npy")
    assert collection.row(f"{address}/red/0.jpg") == collection.row("red/0.jpg") is not None
    assert collection.image(0) == (photos / collection.names[0]).read_bytes()
    assert collection.nearest(0, k=2)[0].path == f"{address}/{collection.nearest(0, k=2)[0].name}"
    assert run("duplicates", "address.npy", "--html", "pairs.html").exit_code == 0
    again = run("extract", "-d", address, "-o", "address.npy")
    assert "already complete, 12 rows" in again.stderr
    other = run("extract", "-d", photos, "-o", "address.npy")
    assert other.exit_code == 1 and f"exists for the images in {address}, not " in other.stderr


def test_run_stops_when_its_address_disappears(photos, monkeypatch):
    from similar_images.networks import loader
    from similar_images.vectors.extract import ImageEncoder, split_into_blocks
    from similar_images.vectors.manifest import Runtime

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
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
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
