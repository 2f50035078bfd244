"""Near-duplicates: pairs, groups, thresholds, and the script as people run it."""

import csv
import hashlib
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from extraction import extract_images
from PIL import Image

from similar_images.collection.images import Collection
from similar_images.evaluation import duplicate_threshold
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.duplicate_threshold import default_threshold
from similar_images.evaluation.duplicates import find_pairs, group
from similar_images.index.builder import BuildRequest, build
from similar_images.index.index import open_index
from similar_images.networks.description import NetworkDescription
from similar_images.networks.loader import LoadOptions, load
from similar_images.vectors.store import open_vectors, vectors_path

COLUMNS = ["group", "row", "name", "similarity", "bytes", "width", "height", "same_file_as", "sha256"]


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
    np.save(tmp_path / "v.npy", with_copies(3000, 64))
    vectors = open_vectors(tmp_path / "v.npy")
    build(vectors, tmp_path / "v.index", BuildRequest(recipe))
    index = open_index(tmp_path / "v.index")
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


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twenty soft pictures; the first four with a copy each: the same bytes, JPEG, recoloured, half the size."""
    folder = tmp_path / "photos"
    (folder / "copies").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(20):
        coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize((240, 180), Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg", quality=90)
    shutil.copyfile(folder / "00.jpg", folder / "copies" / '<b> & "same".jpg')
    for number, name in enumerate(["jpeg", "colour", "resize"], 1):
        with Image.open(folder / f"{number:02}.jpg") as image:
            ALTERATIONS[name](image).save(folder / "copies" / f"{name}.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def collection(folder, tmp_path) -> Path:
    """The list of the folder's images, with their vectors of hog-colour beside it."""
    names = tmp_path / "photos_file_list.txt"
    listed = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    extract_images(folder, names, listed)
    return names


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def pairs_of(output: str) -> set[tuple[str, str]]:
    rows = list(csv.DictReader(io.StringIO(output)))
    return {
        tuple(sorted((one["name"], other["name"])))
        for one in rows
        for other in rows
        if one["group"] == other["group"] and one["row"] < other["row"]
    }


PLANTED = {
    ("00.jpg", 'copies/<b> & "same".jpg'),
    ("01.jpg", "copies/jpeg.png"),
    ("02.jpg", "copies/colour.png"),
    ("03.jpg", "copies/resize.png"),
}


def test_planted_copies_are_found_and_files_stay_unchanged(run, collection, tmp_path):
    before = digests(tmp_path)
    done = run("duplicates", collection.name, "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    assert {tuple(sorted(pair)) for pair in PLANTED} == pairs_of(done.stdout)
    said = re.search(
        r"8 of 25 images are near-duplicates \(similarity (0\.\d+) or more\), in 4 groups: 4 beyond", done.stderr
    )
    assert 0.5 < float(said[1]) < 1
    sheet = (tmp_path / "sheet.html").read_text()
    (tmp_path / "sheet.html").unlink()
    assert digests(tmp_path) == before

    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == COLUMNS
    same = dict(zip(COLUMNS, rows[2], strict=True))
    assert (same["group"], same["similarity"], same["same_file_as"]) == ("1", "1.0000", "00.jpg")
    with Image.open(tmp_path / "photos" / "00.jpg") as image:
        assert (int(same["width"]), int(same["height"])) == image.size
    assert same["sha256"] == hashlib.sha256((tmp_path / "photos" / "00.jpg").read_bytes()).hexdigest()
    assert int(same["bytes"]) == (tmp_path / "photos" / "00.jpg").stat().st_size

    assert sheet.count("<img") == sheet.count('src="data:image/jpeg;base64,') == 8
    assert not re.search(r"https?://|<script src|<link", sheet)
    assert "&lt;b&gt; &amp; &#34;same&#34;.jpg" in sheet
    assert "<b> &" not in sheet


def test_csv_file_and_index_are_not_overwritten(run, collection, tmp_path):
    vectors = open_vectors(vectors_path(collection))
    build(vectors, tmp_path / "photos.faiss.index")
    first = run("duplicates", vectors.path.name, "--csv", "groups.csv")
    assert (first.returncode, first.stdout) == (0, "")
    exact = run("duplicates", collection.name, "--exact")
    assert (tmp_path / "groups.csv").read_text() == exact.stdout
    again = run("duplicates", collection.name, "--csv", "groups.csv")
    assert_one_line(again, "use --overwrite")
    assert run("duplicates", collection.name, "--csv", "groups.csv", "--overwrite").returncode == 0


def test_missing_file_is_still_listed(run, collection, tmp_path):
    (tmp_path / "photos" / "copies" / "jpeg.png").unlink()
    done = run("duplicates", collection.name, "--html", "sheet.html")
    assert done.returncode == 0, done.stderr
    assert re.search(r"copies/jpeg\.png,0\.9\d+,,,,,\n", done.stdout)
    assert "cannot be read" in (tmp_path / "sheet.html").read_text()


def test_calibrated_threshold_finds_copies(run, collection):
    done = run("duplicates", collection.name, "--calibrate", "12")
    assert done.returncode == 0, done.stderr
    threshold = float(re.search(r"threshold (0\.\d+): precision (0\.99|1\.0)", done.stderr)[1])
    assert 0.5 < threshold < 0.98
    assert re.search(r"resize +100%", done.stderr)
    assert pairs_of(done.stdout) >= {tuple(sorted(pair)) for pair in PLANTED}


def test_calibration_leaves_out_images_with_copies(collection):
    opened = Collection.open(collection)
    assert duplicate_threshold.calibrate(opened, 100).images <= 20 - 4


def test_calibration_needs_images(run, collection, folder):
    shutil.rmtree(folder)
    done = run("duplicates", collection.name, "--calibrate", "5")
    assert_one_line(done, "no image of the collection can be read")


def test_index_without_new_rows_is_refused(run, tmp_path):
    array = with_copies(40, 8)
    names = [f"{row}.jpg" for row in range(40)]
    np.save(tmp_path / "v.npy", array[:30])
    (tmp_path / "v.txt").write_text("\n".join(names[:30]))
    build(open_vectors(tmp_path / "v.npy"), tmp_path / "v.faiss.index")
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "v.txt").write_text("\n".join(names))
    assert_one_line(run("duplicates", "v.npy", "-t", "0.9"), "contains only the first 30 of 40 rows")
    done = run("duplicates", "v.npy", "-t", "0.9", "--exact")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1] == "1,0,0.jpg,1.0000,,,,,"
    assert_one_line(run("duplicates", "v.npy", "--exact"), "no threshold was measured")


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
    assert_one_line(run("duplicates", *arguments), message)


def assert_one_line(done, message: str) -> None:
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert message in done.stderr


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
