"""Read EXIF in folders and archives once, keep it beside the list, and treat damage as unknown."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile
from sample_images import encoded

from similar_images import Collection
from similar_images.collection import column_files
from similar_images.collection.column_files import EXIF, beside
from similar_images.inputs import exif
from similar_images.inputs.exif import EXIF_COLUMNS, MAX_CHARS, Photograph, as_columns, parse_exif
from similar_images.inputs.keywords import MAX_KEYWORDS_CHARS
from similar_images.inputs.names import names_digest
from similar_images.widgets.filters import offer

TAGS = ExifTags.Base


def photograph(form: str = "JPEG", moment: str | None = None, **tags: str) -> bytes:
    """Return a small image file with EXIF tags and DateTimeOriginal `moment`."""
    written = Image.Exif()
    for name, value in tags.items():
        written[TAGS[name]] = value
    if moment:
        written.get_ifd(ExifTags.IFD.Exif)[TAGS.DateTimeOriginal] = moment
    return encoded(Image.new("RGB", (32, 24), "red"), form, exif=written)


PHOTOGRAPHS = {
    "2019/a.jpg": photograph(
        moment="2019:07:31 18:30:00", DateTime="2022:01:01 00:00:00", Make="Canon", Model="Canon EOS 5D"
    ),
    "2019/b.png": photograph("PNG", moment="2019:08:01 00:00:00", Make="NIKON CORPORATION", Model="D70\0"),
    "c.webp": photograph("WEBP", DateTime="2020:02:03 04:05:06"),
    "d.jpg": photograph(moment="0000:00:00 00:00:00"),
    "e.jpg": encoded(Image.new("RGB", (32, 24), "blue"), "JPEG"),
    "f.jpg": b"no image",
}
DATES = ["2019-07-31T18:30:00", "2019-08-01T00:00:00", "2020-02-03T04:05:06", "NaT", "NaT", "NaT"]
CAMERAS = ["Canon EOS 5D", "NIKON CORPORATION D70", "", "", "", ""]
NEW = Photograph(camera="new")


@pytest.fixture
def opened(tmp_path):
    """Save the photographs in a folder or archive, with vectors of the first n, and open the collection."""

    def open_first(n: int = len(PHOTOGRAPHS), archive: bool = False) -> Collection:
        if archive:
            with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
                for name, content in PHOTOGRAPHS.items():
                    file.writestr(name, content)
        for name, content in PHOTOGRAPHS.items():
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / name).write_bytes(content)
        np.save(tmp_path / "v.npy", np.eye(6, dtype=np.float32)[:n])
        (tmp_path / "v.txt").write_text("".join(f"{name}\n" for name in list(PHOTOGRAPHS)[:n]))
        return Collection.open(tmp_path / "v.npy", images=tmp_path / ("photos.zip" if archive else "photos"))

    return open_first


@pytest.mark.parametrize("archive", [False, True])
def test_dates_and_cameras_become_columns(opened, archive, tmp_path):
    collection = opened(archive=archive)
    assert "date" not in collection.columns
    said = []
    collection.read_exif(lambda done, n: said.append((done, n)))
    assert said[0] == (0, 6) and said[-1] == (6, 6)
    assert collection.columns["date"].astype(str).tolist() == DATES
    assert collection.columns["camera"].tolist() == CAMERAS
    assert np.flatnonzero(collection.matching({"date": ("2019-07-31", "2019-12-31")})).tolist() == [0, 1]
    again = opened(archive=archive)
    assert again.columns["date"].astype(str).tolist() == DATES
    assert beside(tmp_path / "v.txt", EXIF).is_file()


def test_only_new_images_are_read(opened, monkeypatch):
    read = []
    monkeypatch.setattr(exif, "_read_block", lambda place, names: read.extend(names) or [NEW] * len(names))
    monkeypatch.setattr(exif, "BLOCK", 1)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    opened(4).read_exif()
    collection = opened(6)
    assert collection.columns["camera"].tolist() == ["new"] * 4 + [""] * 2
    collection.read_exif()
    collection.read_exif()
    assert read == list(PHOTOGRAPHS)
    assert collection.columns["camera"].tolist() == ["new"] * 6


def test_file_of_other_names_or_damaged_is_ignored(opened, tmp_path):
    opened().read_exif()
    names = list(PHOTOGRAPHS)
    (tmp_path / "v.txt").write_text("".join(f"{name}\n" for name in names[::-1]))
    other = Collection.open(tmp_path / "v.npy", images=tmp_path / "photos")
    assert "date" not in other.columns
    other.read_exif()
    assert other.columns["date"].astype(str).tolist() == DATES[::-1]
    path = beside(tmp_path / "v.txt", EXIF)
    for content in (b"", b"PK", path.read_bytes()[:-30], path.read_bytes()[:200] + bytes(100)):
        path.write_bytes(content)
        assert "date" not in Collection.open(tmp_path / "v.npy").columns


def test_second_reading_writes_the_same_bytes(opened, tmp_path):
    path = beside(tmp_path / "v.txt", EXIF)
    opened().read_exif()
    first = path.read_bytes()
    path.unlink()
    opened().read_exif()
    assert path.read_bytes() == first


def test_columns_of_the_user_take_precedence(opened, tmp_path):
    (tmp_path / "v.columns.csv").write_text("name,camera\nd.jpg,phone\n")
    collection = opened()
    collection.read_exif()
    assert collection.columns["camera"].tolist() == ["", "", "", "phone", "", ""]


def test_pixels_are_not_decoded(monkeypatch):
    files = [content for content in PHOTOGRAPHS.values() if content != b"no image"]
    files.append(encoded(Image.new("RGB", (32, 24)), "PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert [parse_exif(io.BytesIO(content)).camera for content in files] == [*CAMERAS[:5], ""]


def test_damaged_exif_is_unknown():
    content = PHOTOGRAPHS["2019/a.jpg"]
    place = content.index(b"Exif")
    for damage in range(place, place + 60):
        found = parse_exif(io.BytesIO(content[:damage] + b"\xff\xff" + content[damage + 2 :]))
        assert isinstance(found.camera, str)


@pytest.mark.parametrize("length", [1_000, 60_000])
def test_long_text_is_cut(opened, tmp_path, length):
    collection = opened()
    (tmp_path / "photos" / "e.jpg").write_bytes(photograph(Model="x" * length))
    collection.read_exif()
    assert collection.columns["camera"].tolist() == [*CAMERAS[:4], "x" * MAX_CHARS, ""]
    assert [field["column"] for field in offer(collection.columns)] == ["name", "folder", "date", "camera"]


@pytest.mark.parametrize("length", [MAX_CHARS, 60_000])
def test_memory_does_not_grow_with_the_longest_camera(tmp_path, length):
    names = [f"{row}.jpg" for row in range(20_000)]
    written = as_columns(
        [
            Photograph(camera="x" * length, keywords="y" * MAX_KEYWORDS_CHARS),
            *(Photograph(camera=f"Camera {row % 7}", keywords=f"sea; {row % 5_000}") for row in range(19_999)),
        ]
    )
    tracemalloc.start()
    try:
        column_files._write_exif(tmp_path / "v.exif.npz", names, written)
        read = column_files.known_exif(tmp_path / "v.txt", names)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read["camera"].tolist() == ["x" * MAX_CHARS, *written["camera"][1:]]
    assert read["keywords"].tolist() == written["keywords"].tolist()
    assert peak < 8e6, (
        f"{peak / 1e6:.1f} MB"
    )  # 16 MB for cameras, or 40 for keywords, of 4 bytes a character and equal lengths


def write_first_version(path: Path, names: list[str]) -> None:
    """Write the file of EXIF as earlier versions did, with date and camera only."""
    np.savez(
        path,
        format=np.array("similar-images-exif 1"),
        names=np.array(names_digest(names)),
        dates=np.array(["2001-01-01", *["NaT"] * (len(names) - 1)], "datetime64[s]"),
        cameras=np.array(["", "old"]),
        codes=np.arange(len(names), dtype=np.int32) % 2,
    )


@pytest.mark.parametrize("n", [4, 6])
def test_a_file_of_the_first_version_is_used_until_all_columns_are_read(opened, tmp_path, n):
    collection = opened()
    path = beside(tmp_path / "v.txt", EXIF)
    write_first_version(path, collection.names[:n])
    assert collection.columns["camera"].tolist() == (["", "old"] * 3)[:n] + [""] * (6 - n)
    assert np.flatnonzero(collection.matching({"date": "2001"})).tolist() == [0]
    with pytest.raises(ValueError, match=r"no column rating: expected one of .*, camera; read_exif\(\) reads it from"):
        collection.matching({"rating": 5})
    collection.read_exif()
    assert collection.columns["camera"].tolist() == CAMERAS
    assert [column for column in EXIF_COLUMNS if column not in opened().columns] == []


def test_unknown_and_missing_folders_are_reported(opened, tmp_path):
    opened()
    with pytest.raises(ValueError, match="the folder of the images is unknown"):
        Collection.open(tmp_path / "v.npy").read_exif()
    with pytest.raises(FileNotFoundError, match="give their folder with images=FOLDER"):
        Collection.open(tmp_path / "v.npy", images=tmp_path / "gone").read_exif()
