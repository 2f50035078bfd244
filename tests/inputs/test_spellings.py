"""Match names with composed and decomposed accents, and decode names in zip and tar archives."""

import io
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

from similar_images.collection.columns import name_columns
from similar_images.collection.images import Collection
from similar_images.evaluation.labels import read_labels
from similar_images.index.builder import read_rows
from similar_images.inputs.names import NameRows
from similar_images.inputs.sources import open_source
from similar_images.milvus.fields import FOLDED_NAME, choose_fields, iter_entities
from similar_images.vectors.items import list_images

COMPOSED, DECOMPOSED = "Zürich/Ångström é.jpg", normalize("NFD", "Zürich/Ångström é.jpg")
FORMS = {"composed": (COMPOSED, DECOMPOSED), "decomposed": (DECOMPOSED, COMPOSED)}
EXTENDED = "äöüÄÖÜßéñ£.jpg"  # in code page 437


@pytest.fixture(params=FORMS)
def stored_and_typed(request) -> tuple[str, str]:
    return FORMS[request.param]


@pytest.fixture
def collection(stored_and_typed, tmp_path) -> Collection:
    names = ["a.jpg", stored_and_typed[0], "b.jpg"]
    (tmp_path / "v.txt").write_text("".join(f"{name}\n" for name in names))
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32) + 0.1)
    (tmp_path / "v.columns.csv").write_text(f"name,kind\n{stored_and_typed[1]},{stored_and_typed[1]}\n")
    return Collection.open(tmp_path / "v.npy", images=tmp_path)


def test_name_finds_its_row_in_both_forms(collection, stored_and_typed):
    kept, typed = stored_and_typed
    for name in (kept, typed):
        assert collection.row_named(name) == collection.row(name) == collection.row(collection.source.path / name) == 1
    assert collection.row_named("Zurich/Angstrom e.jpg") is None
    assert collection.names[1] == kept


def test_filters_match_both_forms(collection, stored_and_typed):
    typed = stored_and_typed[1]
    for where in (
        {"name": typed},
        {"name": typed.split("/")[1].split()[0].upper()},
        {"folder": typed.split("/")[0]},
        {"kind": typed},
        {"kind": stored_and_typed[0]},
    ):
        assert np.flatnonzero(collection.matching(where)).tolist() == [1], where
    assert not collection.matching({"name": "angstrom"}).any()  # accents count


def test_lists_match_both_forms(collection, stored_and_typed, tmp_path):
    (tmp_path / "remove.txt").write_text(f"b.jpg\n\n{stored_and_typed[1]}\n  \n")
    assert read_rows(collection.vectors, tmp_path / "remove.txt") == [2, 1]
    (tmp_path / "labels.csv").write_text(f"image,labels\n{stored_and_typed[1]},town\n")
    assert read_labels(tmp_path / "labels.csv", collection.names) == [set(), {"town"}, set()]


def test_files_in_both_forms_keep_their_rows():
    rows = NameRows([COMPOSED, DECOMPOSED, COMPOSED, "a"])
    assert rows[COMPOSED] == [0, 2] and rows[DECOMPOSED] == [1] and rows["a"] == [3] and rows["ü"] == []
    assert len(rows) == 3 and "ü" not in rows


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('"b.jpg"', r'remove\.txt: 1 names are not in .*, such as "b\.jpg", line 2, which has quotes around the path'),
        (" b.jpg", "line 2, which has spaces around the path"),
        ("b.jpg,why", "line 2, which has several columns"),
        ("c.jpg", r"such as c\.jpg, line 2$"),
    ],
)
def test_line_of_an_unknown_name_is_reported(line, fault, collection, tmp_path):
    (tmp_path / "remove.txt").write_text(f"b.jpg\n{line}\n")
    with pytest.raises(ValueError, match=fault):
        read_rows(collection.vectors, tmp_path / "remove.txt")


def test_milvus_gets_composed_casefolded_names():
    for name in (COMPOSED, DECOMPOSED):
        columns = name_columns([name], folders=True)
        fields = choose_fields(columns)
        (entity,) = iter_entities(np.array([0]), np.ones((1, 2)), columns, fields)
        assert entity[FOLDED_NAME] == COMPOSED.casefold() and entity["name"] == name
        assert fields["name"].has_values(columns["name"])
    earlier = fields["name"]._replace(digest=choose_fields({"folder": columns["name"]})["folder"].digest)
    assert not earlier.has_values(columns["name"])  # as recorded with names that Milvus folded


def test_file_is_read_by_both_forms(stored_and_typed, tmp_path):
    on_disk, typed = stored_and_typed
    folder = tmp_path / "photos"
    (folder / on_disk).parent.mkdir(parents=True)
    (folder / on_disk).write_bytes(b"content")
    source = open_source(folder)
    for name in (on_disk, typed, f"./{typed}"):
        assert source.exists(name) and source.has_any([name]) and source.size(name) == 7
        assert source.locate(name).read_bytes() == source.image(name).read_bytes() == b"content"
    (tmp_path / "list.txt").write_text(f"{typed}\n")
    assert list_images(tmp_path / "list.txt", folder).names == [typed]


def test_folder_copied_to_a_mac_and_back_has_no_new_images(stored_and_typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed, on_disk = stored_and_typed
    folder = tmp_path / "photos"
    (folder / on_disk).parent.mkdir(parents=True)
    (folder / on_disk).touch()
    Path("photos_file_list.txt").write_text(f"{listed}\n")
    assert list_images(None, folder).names == [listed]
    (folder / listed).parent.mkdir()
    (folder / listed).touch()  # now there are two files
    assert list_images(None, folder).names == [listed, on_disk]


def zipped(
    path: Path, raw: bytes, flag: bool = False, system: int = 3, extra: bytes = b"", content: bytes = b"x"
) -> None:
    """Write a zip by hand with one stored file named `raw`, with or without the flag for UTF-8."""
    common = struct.pack(
        "<HHHHHIIIHH", 20, 0x800 * flag, 0, 0, 33, zlib.crc32(content), len(content), len(content), len(raw), len(extra)
    )
    local = b"PK\3\4" + common + raw + extra + content
    entry = b"PK\1\2" + struct.pack("<BB", 20, system) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + raw + extra
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)


def unicode_path(raw: bytes, name: str) -> bytes:
    field = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH4sHH", 0x5455, 4, b"time", 0x7075, len(field)) + field


CP437 = EXTENDED.encode("cp437")
ZIPS = {
    "macOS, UTF-8 without the flag, decomposed": (DECOMPOSED.encode(), {}, DECOMPOSED),
    "UTF-8 without the flag, composed": (COMPOSED.encode(), {}, COMPOSED),
    "UTF-8 without the flag, other scripts": ("写真/日本 😀.jpg".encode(), {}, "写真/日本 😀.jpg"),
    "UTF-8 with the flag": (COMPOSED.encode(), {"flag": True}, COMPOSED),
    "Windows, code page 437": (CP437, {"system": 0}, EXTENDED),
    "code page 437 on Unix": (CP437, {}, EXTENDED),
    "Unicode Path of Info-ZIP and WinRAR": (
        b"Z_rich.jpg",
        {"extra": unicode_path(b"Z_rich.jpg", "Zürich.jpg")},
        "Zürich.jpg",
    ),
    "Unicode Path beside code page 437": (CP437, {"extra": unicode_path(CP437, EXTENDED)}, EXTENDED),
    "Unicode Path of another name": (b"new.jpg", {"extra": unicode_path(b"old.jpg", "old.jpg")}, "new.jpg"),
    "backslashes from Windows": (rb"2019\may\a.jpg", {"system": 0}, "2019/may/a.jpg"),
    "backslashes from Windows, NTFS": (rb"2019\a.jpg", {"system": 10}, "2019/a.jpg"),
    "a backslash from Unix": (rb"2019\a.jpg", {"system": 3}, "2019\\a.jpg"),
    "a backslash and slashes": (rb"a/b\c.jpg", {"system": 0}, "a/b\\c.jpg"),
    "./ and //": (b"./a//./b.jpg", {}, "a/b.jpg"),
}


@pytest.mark.parametrize("case", ZIPS)
def test_zip_names_equal_unpacked_names(case, tmp_path):
    raw, options, name = ZIPS[case]
    zipped(tmp_path / "a.zip", raw, **options)
    source = open_source(tmp_path / "a.zip")
    assert source.find().names == [name] and source.image(name) == b"x"
    for form in ("NFC", "NFD"):
        assert source.exists(normalize(form, name)) and source.image(normalize(form, name)) == b"x"


def test_list_with_undecoded_names_keeps_its_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zipped(Path("a.zip"), COMPOSED.encode())
    (mojibake,) = zipfile.ZipFile("a.zip").namelist()
    assert mojibake != COMPOSED
    Path("a_file_list.txt").write_text(f"{mojibake}\n")
    images = list_images(None, Path("a.zip"))
    assert images.names == [mojibake] and images.source.image(mojibake) == images.source.image(COMPOSED) == b"x"
    folder = open_source(Path("a.zip", mojibake.split("/")[0]))
    assert folder.find().names == [COMPOSED.split("/")[1]]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_folder_in_an_archive_is_found_in_both_forms(form, tmp_path):
    zipped(tmp_path / "a.zip", DECOMPOSED.encode())
    source = open_source(tmp_path / "a.zip" / normalize(form, "Zürich"))
    assert source.find().names == [DECOMPOSED.split("/")[1]]


@pytest.mark.skipif(not shutil.which("zip"), reason="Info-ZIP's zip is not installed")
def test_names_of_info_zip_equal_the_folder(tmp_path):
    folder = tmp_path / "photos"
    for name in (COMPOSED, normalize("NFD", "é.jpg"), "写真.jpg", "a b.jpg", "back\\slash.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    subprocess.run(
        ["zip", "-qr", "../a.zip", "."], cwd=folder, check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin"}
    )
    source = open_source(tmp_path / "a.zip")
    assert source.find() == open_source(folder).find()
    assert all(source.image(name) == name.encode() for name in source.find().names)


@pytest.mark.skipif(not shutil.which("tar"), reason="tar is not installed")
@pytest.mark.parametrize("form", ["v7", "ustar", "pax", "gnu", "oldgnu"])
@pytest.mark.parametrize("start", [".", "photos"])
def test_names_of_gnu_tar_equal_the_folder(form, start, tmp_path):
    folder = tmp_path / "photos"
    names = [COMPOSED, normalize("NFD", "é.jpg"), "写真.jpg", "back\\slash.jpg", f"{'long' * 10}/{'er' * 35}.jpg"]
    names += [f"{'very' * 20}/{'long' * 30}.jpg"] if form in ("pax", "gnu", "oldgnu") else []
    names = names[:-1] if form == "v7" else names
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    where = folder if start == "." else tmp_path
    subprocess.run(["tar", "--format", form, "-cf", tmp_path / "a.tar", start], cwd=where, check=True)
    source = open_source(tmp_path / "a.tar" / ("" if start == "." else start))
    assert source.find() == open_source(folder).find()
    assert all(source.image(name) == name.encode() for name in names)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_names_in_latin_1_are_decoded(form, tmp_path):
    names = ["Zürich.jpg", "Grüße/ß é.jpg", "10 €.jpg", "plain.jpg"]
    with tarfile.open(tmp_path / "a.tar", "w", format=form, encoding="cp1252") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            file.addfile(member, io.BytesIO(b"x"))
    found = open_source(tmp_path / "a.tar").find()
    assert found.names == sorted(names) and not found.unlistable


def test_dots_and_double_slashes_in_a_tar_are_removed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in ("./././a.jpg", "b//c.jpg", "d/./e.jpg"):
            file.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("./link.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "./b//c.jpg"
        file.addfile(link)
    assert open_source(tmp_path / "a.tar").find().names == ["a.jpg", "b/c.jpg", "d/e.jpg", "link.jpg"]
