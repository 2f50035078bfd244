"""Near-duplicates: pairs, groups, thresholds, and the command as people run it."""

import csv
import hashlib
import io
import re
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_indexed, save_vectors
from commands import one_line
from extraction import extract_images
from PIL import Image

from similar_images.collection.images import Collection
from similar_images.evaluation import duplicate_threshold, duplicates
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.duplicate_threshold import choose_threshold, default_threshold
from similar_images.evaluation.duplicates import Group, find_pairs, group
from similar_images.index.builder import build
from similar_images.index.index import open_index
from similar_images.networks.description import NetworkDescription
from similar_images.networks.loader import LoadOptions, load
from similar_images.vectors.store import open_vectors

LIST = "photos_file_list.txt"
COLUMNS = ["group", "row", "name", "similarity", "bytes", "width", "height", "same_file_as", "sha256"]
SAME = 'copies/<b> & "same".jpg'
PLANTED = [
    ("00.jpg", SAME),
    ("01.jpg", "copies/jpeg.png"),
    ("02.jpg", "copies/colour.png"),
    ("03.jpg", "copies/resize.png"),
    ("04.jpg", "copies/grey.jpg"),
    ("05.jpg", "copies/small.jpg"),
]


def at(*degrees: float) -> np.ndarray:
    """Return vectors in a plane, of different lengths, at these angles."""
    angles = np.radians(degrees)
    lengths = 1 + np.arange(len(degrees))[:, None]
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths).astype(np.float32)


def cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def groups_of(vectors: np.ndarray, threshold: float) -> list[list[int]]:
    return [one.rows.tolist() for one in group(vectors, find_pairs(vectors, threshold), threshold)]


def test_groups_list_the_centre_then_the_nearest():
    vectors = at(90, 0, 10, 92, -12, 200)
    found = group(vectors, find_pairs(vectors, cosine(15)), cosine(15))
    assert [one.rows.tolist() for one in found] == [[0, 3], [1, 2, 4]]
    assert found[1].similarities == pytest.approx([1, cosine(10), cosine(12)], abs=1e-6)


def test_rows_of_zeros_are_in_no_group():
    vectors = at(0, 0, 0, 50)
    vectors[[1, 3]] = 0
    assert groups_of(vectors, 0.9) == [[0, 2]]
    assert groups_of(np.zeros((3, 2), np.float32), 0.9) == []


def test_equal_vectors_are_found_at_a_threshold_of_one():
    vectors = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    vectors[7] = 3 * vectors[40]
    assert groups_of(vectors, 1.0) == [[7, 40]]


def test_a_chain_is_not_one_group():
    chain = at(*range(0, 181, 10))
    groups = group(chain, find_pairs(chain, cosine(10)), cosine(10))
    assert max(len(one.rows) for one in groups) == 3
    for one in groups:
        assert np.isclose(one.similarities[1:], cosine(10), atol=1e-5).all()
    rows = np.concatenate([one.rows for one in groups])
    assert len(set(rows.tolist())) == len(rows), "a row is in one group at most"


def test_a_group_may_be_larger_than_the_neighbours_of_a_row():
    random = np.random.default_rng(0)
    vectors = np.concatenate([np.full((100, 8), 1), random.normal(size=(20, 8))]).astype(np.float32)
    vectors[:100] += random.normal(scale=1e-3, size=(100, 8))
    assert [sorted(rows) for rows in groups_of(vectors, 0.999)] == [list(range(100))]


def test_blocks_equal_one_pass(monkeypatch):
    vectors = with_copies(300, 16)
    whole = groups_of(vectors, 0.95)
    monkeypatch.setattr("similar_images.vectors.store.BLOCK_BYTES", 40 * 4 * 16)
    monkeypatch.setattr("similar_images.evaluation.duplicates.BLOCK_BYTES", 40 * 4 * 16)
    assert groups_of(vectors, 0.95) == whole


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_groups_from_index_match_exact_search(tmp_path, recipe):
    vectors = open_vectors(save_indexed(tmp_path / "v.npy", with_copies(3000, 64), recipe=recipe))
    index = open_index(tmp_path / "v.faiss.index")
    events = []
    through = find_pairs(vectors.array, 0.95, index, progress=events.append)
    exact = find_pairs(vectors.array, 0.95)
    assert events[-1].done == events[-1].total == len(vectors.array)
    assert len(exact.rows) > 500
    assert set(map(tuple, through.rows)) == set(map(tuple, exact.rows))
    one, other = group(vectors.array, through, 0.95), group(vectors.array, exact, 0.95)
    assert [x.rows.tolist() for x in one] == [x.rows.tolist() for x in other]


def with_copies(n: int, d: int) -> np.ndarray:
    """Return n random vectors; every tenth has one to three copies of it behind it, slightly off."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(n, d)).astype(np.float32)
    for row in range(0, n - 10, 10):
        copies = 1 + row // 10 % 3
        vectors[row + 1 : row + 1 + copies] = vectors[row] + random.normal(scale=0.15, size=(copies, d))
    return vectors


def test_unmeasured_network_has_no_default_threshold():
    assert 0 < default_threshold(NetworkDescription("hog-colour", dimension=252)) < 1
    for network in (NetworkDescription("vgg19", dimension=4096), None):
        with pytest.raises(ValueError, match="--calibrate"):
            default_threshold(network)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Twenty soft pictures, the first six with an altered copy each, and their vectors of hog-colour."""
    place = tmp_path_factory.mktemp("duplicates")
    folder = place / "photos"
    (folder / "copies").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(20):
        grey, colour = random.integers(0, 256, (9, 12, 1)), random.integers(-64, 64, (9, 12, 3))
        coarse = Image.fromarray((grey + colour).clip(0, 255).astype(np.uint8))
        coarse.resize((240, 180), Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg", quality=90)
    shutil.copyfile(folder / "00.jpg", folder / SAME)
    for one, other in PLANTED[1:4]:
        with Image.open(folder / one) as image:
            ALTERATIONS[Path(other).stem](image).save(folder / other)
    with Image.open(folder / "04.jpg") as image:
        image.convert("L").save(folder / "copies" / "grey.jpg")
    with Image.open(folder / "05.jpg") as image:
        image.resize((80, 60)).save(folder / "copies" / "small.jpg")
    (folder / "broken.jpg").write_bytes(b"no image")
    extract_images(folder, place / LIST, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")))
    return place


@pytest.fixture
def folder(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "photos"


@pytest.fixture
def collection(folder) -> Collection:
    return Collection.open(folder.parent / LIST)


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def groups_in(table: str) -> list[list[str]]:
    rows = list(csv.DictReader(io.StringIO(table)))
    numbers = dict.fromkeys(row["group"] for row in rows)
    return [sorted(row["name"] for row in rows if row["group"] == number) for number in numbers]


def test_planted_copies_are_found_and_files_stay_unchanged(run, folder, tmp_path):
    before = digests(tmp_path)
    done = run("duplicates", LIST, "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    assert groups_in(done.stdout) == [sorted(pair) for pair in PLANTED]
    assert re.search(r"threshold 0\.\d+: precision (0\.99\d|1\.000) on \d+ images without a copy", done.stderr)
    assert re.search(r"resize +100%", done.stderr)
    said = re.search(
        r"12 of 27 images are near-duplicates \(similarity (0\.\d+) or more\), in 6 groups: 6", done.stderr
    )
    assert 0.5 < float(said[1]) < 0.98
    sheet = (tmp_path / "sheet.html").read_text()
    (tmp_path / "sheet.html").unlink()
    assert digests(tmp_path) == before

    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == COLUMNS
    same = dict(zip(COLUMNS, rows[2], strict=True))
    assert (same["group"], same["similarity"], same["same_file_as"]) == ("1", "1.0000", "00.jpg")
    assert (same["width"], same["height"]) == ("240", "180")
    assert same["sha256"] == before[str(folder / "00.jpg")]
    assert int(same["bytes"]) == (folder / "00.jpg").stat().st_size

    assert sheet.count("<img") == sheet.count('src="data:image/jpeg;base64,') == 12
    assert not re.search(r"https?://|<script src|<link", sheet)
    assert "&lt;b&gt; &amp; &#34;same&#34;.jpg" in sheet
    assert "<b> &" not in sheet


def test_csv_file_and_index_are_not_overwritten(run, collection, tmp_path):
    build(collection.vectors, tmp_path / "photos.faiss.index")
    first = run("duplicates", collection.vectors.path.name, "-t", "0.88", "--csv", "groups.csv")
    assert (first.returncode, first.stdout) == (0, "")
    assert (tmp_path / "groups.csv").read_text() == run("duplicates", LIST, "-t", "0.88", "--exact").stdout
    assert "use --overwrite" in one_line(run("duplicates", LIST, "-t", "0.88", "--csv", "groups.csv"))
    assert run("duplicates", LIST, "-t", "0.88", "--csv", "groups.csv", "--overwrite").returncode == 0


def test_missing_file_is_still_listed(run, folder, tmp_path):
    (folder / "copies" / "jpeg.png").unlink()
    done = run("duplicates", LIST, "-t", "0.88", "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    assert re.search(r"copies/jpeg\.png,0\.9\d+,,,,,\n", done.stdout)
    assert "cannot be read" in (tmp_path / "sheet.html").read_text()


def test_calibration_leaves_out_images_with_copies(collection):
    found = duplicate_threshold.calibrate(collection, 100)
    assert int(re.search(r"on (\d+) images", found.note)[1]) <= 20 - 6


def test_calibration_replaces_network_threshold(collection, monkeypatch):
    found = duplicate_threshold.calibrate(collection, 12)
    assert 0.4 < found.threshold < 0.95
    monkeypatch.setattr(duplicate_threshold, "calibrate", lambda *arguments: found)
    for of_network in (0.4, 0.999):  # below and above it
        monkeypatch.setitem(duplicate_threshold.THRESHOLDS, "hog-colour", of_network)
        assert choose_threshold(collection) == found
        assert str(of_network) not in found.note and "lower" not in found.note
    monkeypatch.delitem(duplicate_threshold.THRESHOLDS, "hog-colour")
    assert choose_threshold(collection) == found


def test_inseparable_images_must_be_equal(collection, monkeypatch):
    monkeypatch.setattr(duplicate_threshold, "MIN_PRECISION", 1.1)  # impossible
    monkeypatch.setattr(duplicate_threshold, "CALIBRATION_IMAGES", 3)
    chosen = choose_threshold(collection)
    assert chosen.threshold == 1 and chosen.note.startswith("threshold 1, only equal images: no threshold separates")
    with pytest.raises(ValueError, match="set --threshold"):
        choose_threshold(collection, count=3)


def test_network_threshold_is_used_without_images(run, folder):
    shutil.rmtree(folder)
    collection = Collection.open(folder.parent / LIST)
    chosen = choose_threshold(collection)
    assert (chosen.threshold, chosen.recalls) == (0.88, {}) and "measured for the network" in chosen.note
    with pytest.raises(ValueError, match="no threshold was measured for the centred similarity"):
        choose_threshold(collection.with_similarity("centred"))
    refused = one_line(run("duplicates", LIST, "--calibrate", "5"))
    assert "no image of the collection can be read" in refused


def test_moved_photos_are_reported_unreadable(run, folder, tmp_path):
    folder.rename(tmp_path / "moved")
    done = run("duplicates", LIST, "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    assert "0 of them the same file" not in done.stderr
    assert re.search(r"their files cannot be read in .*photos, so equal files are unknown", done.stderr)
    assert "with -d" in done.stderr and "threshold 0.88, measured for the network" in done.stderr
    assert "<a href" not in (tmp_path / "sheet.html").read_text()
    back = run("duplicates", LIST, "-t", "0.88", "-d", "moved")
    assert "1 of them the same file" in back.stderr


def test_page_links_are_relative(run, folder, tmp_path):
    (tmp_path / "pages").mkdir()
    done = run("duplicates", LIST, "-t", "0.9", "--html", "pages/sheet.html")
    assert done.returncode == 0, done.stderr
    links = re.findall(r'<a href="([^"]+)"', (tmp_path / "pages" / "sheet.html").read_text())
    assert "../photos/copies/%3Cb%3E%20%26%20%22same%22.jpg" in links
    assert all((tmp_path / "pages" / unquote(link)).is_file() for link in links)


def test_archive_page_has_no_links_and_a_moved_archive_is_no_error(run, folder, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("00.jpg", SAME):
            file.write(folder / name, name)
    done = run("duplicates", LIST, "-t", "0.9", "-d", "photos.zip", "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    sheet = (tmp_path / "sheet.html").read_text()
    assert sheet.count('src="data:image/jpeg') == 2 and "<a href" not in sheet
    collection = Collection.open(tmp_path / LIST, images=archive)
    archive.unlink()
    members = duplicates.read_members(collection, [Group(np.array([0, 1]), np.ones(2, np.float32))])
    assert [member.bytes for member in members] == [None, None]


def test_formulas_and_escape_codes_are_written_safely():
    member = duplicates.Member(1, 0, "=1+1.jpg", 1.0, 5, 1, 1, None)
    file = io.StringIO()
    duplicates.write_csv(file, [member, member._replace(name="b.jpg", same_file_as="=1+1.jpg")])
    assert file.getvalue().splitlines()[1:] == ["1,0,'=1+1.jpg,1.0000,5,1,1,,", "1,0,b.jpg,1.0000,5,1,1,'=1+1.jpg,"]
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    duplicates.write_csv(terminal, [member._replace(name="\x1b[31mred.jpg")])
    assert "\x1b" not in terminal.getvalue() and "\\x1b[31mred.jpg" in terminal.getvalue()


@pytest.mark.parametrize("indexed", ["cosine", "whitened"])
@pytest.mark.parametrize("compared", ["cosine", "whitened"])
def test_copies_are_found_in_any_similarity_with_any_index(run, tmp_path, indexed, compared):
    array = clustered(600, 96)
    array[500:520] = array[100:120] + 0.01 * np.random.default_rng(1).normal(size=(20, 96))
    save_indexed(tmp_path / "v.npy", array, similarity=indexed)
    command = ("duplicates", "v.npy", "-t", "0.999", "--similarity", compared)
    found = groups_in(run(*command).stdout)
    assert found == [[f"{row}.jpg", f"{row + 400}.jpg"] for row in range(100, 120)]
    assert groups_in(run(*command, "--exact").stdout) == found


def test_index_without_new_rows_is_refused(run, tmp_path):
    array = with_copies(40, 8)
    save_indexed(tmp_path / "v.npy", array[:30])
    save_vectors(tmp_path / "v.npy", array)
    assert "contains only the first 30 of 40 rows" in one_line(run("duplicates", "v.npy", "-t", "0.9"))
    done = run("duplicates", "v.npy", "-t", "0.9", "--exact")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1] == "1,0,0.jpg,1.0000,,,,,"
    assert "no threshold was measured" in one_line(run("duplicates", "v.npy", "--exact"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.npy"], "does not exist"),
        (["text.npy"], "not a .npy file"),
        (["text.npy", "-t", "1.5"], "range"),
        (["text.npy", "-t", "0.9", "--calibrate", "5"], "got both"),
        (["text.npy", "--calibrate", "0"], "range"),
        (["text.npy", "--html", "nowhere/sheet.html"], "no folder"),
    ],
)
def test_bad_input_gives_one_line(run, tmp_path, arguments, message):
    (tmp_path / "text.npy").write_text("no vectors")
    assert message in one_line(run("duplicates", *arguments))


def test_real_network_separates_copies_from_other_photographs(data):
    weights = data / "weights" / "mobilenetv2_imagenet_notop.weights.h5"
    encoder = load("mobilenetv2", LoadOptions(weights_file=weights))
    names = sorted((data / "photos" / "coco").rglob("*.jpg"))[:12]
    vectors = []
    for path in names:
        with Image.open(path) as image:
            image = image.convert("RGB")
        copies = [image, *(ALTERATIONS[name](image) for name in ("flip", "rotation", "jpeg", "colour", "resize"))]
        vectors += [encoder.encode_image(copy) for copy in copies]
    threshold = default_threshold(encoder.description)
    family = np.repeat(np.arange(len(names)), 6)
    groups = groups_of(np.stack(vectors), threshold)
    assert all(len(set(family[rows])) == 1 for rows in groups)
    assert sum(map(len, groups)) >= 0.95 * len(family)
