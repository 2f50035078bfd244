"""--where and export: the commands as they are run."""

import json
import subprocess

import numpy as np
import pytest
from labelled_files import PARIS, RIO, exif, photograph, xmp
from PIL import ExifTags, Image
from sample_images import extract_and_index


@pytest.fixture
def collection(photos, tmp_path):
    """The photographs, two of them with a date, and a table beside their list."""
    for number, moment in enumerate(["2019:07:31 18:30:00", "2020:01:01 00:00:00"]):
        taken = Image.Exif()
        taken[ExifTags.Base.DateTime] = moment
        with Image.open(photos / "red" / f"{number}.jpg") as image:
            image.copy().save(photos / "red" / f"{number}.jpg", exif=taken)
    (tmp_path / "photos_file_list.columns.csv").write_text("name,stars\nblue/1.jpg,5\nblue/2.jpg,2\nred/3.jpg,4\n")
    extract_and_index(photos, tmp_path / "photos_file_list.txt")
    return tmp_path


def names(done: subprocess.CompletedProcess) -> set[str]:
    assert done.returncode == 0, done.stderr
    return {line.split()[1] for line in done.stdout.splitlines()}


def test_only_matching_rows_are_found(collection, run):
    def found(*conditions: str) -> set[str]:
        where = [part for condition in conditions for part in ("--where", condition)]
        return names(run("search", "-k", "12", "green/0.jpg", *where))

    assert found("folder=red") == {f"red/{number}.jpg" for number in range(4)}
    assert found("folder=green", "name=/1") == {"green/1.jpg"}
    assert found("stars=4..") == {"blue/1.jpg", "red/3.jpg"}
    assert found("stars=5", "stars=2") == {"blue/1.jpg", "blue/2.jpg"}
    assert found("date=2019-01-01..2019-07-31") == {"red/0.jpg"}  # EXIF is read for it
    assert (collection / "photos_file_list.exif.npz").is_file()
    assert found("date=2019..", "folder=red", "stars=") == {"red/0.jpg", "red/1.jpg"}
    assert found("folder!=Red", "name!=/1", "stars!=4..") == {
        "blue/0.jpg", "blue/2.jpg", "blue/3.jpg", "green/2.jpg", "green/3.jpg"
    }  # fmt: skip
    assert found("date!=2019", "folder=RED") == {"red/1.jpg", "red/2.jpg", "red/3.jpg"}
    assert found("date!=", "date!=2020") == {"red/0.jpg"}


def test_exif_is_read_from_new_images(collection, photos, run):
    assert names(run("search", "green/0.jpg", "--where", "date=2019")) == {"red/0.jpg"}
    taken = Image.Exif()
    taken[ExifTags.Base.DateTime] = "2019:01:01 00:00:00"
    Image.new("RGB", (80, 60), "red").save(photos / "red" / "9.jpg", exif=taken)
    assert run("extract", "-d", "photos").returncode == 0
    assert run("build", "-i", "photos_file_list.txt", "--add").returncode == 0
    assert names(run("search", "green/0.jpg", "--where", "date=2019")) == {"red/0.jpg", "red/9.jpg"}


def test_a_folder_is_found_by_the_end_of_its_path(photos, tmp_path, run):
    (photos / "warm").mkdir()
    (photos / "red").rename(photos / "warm" / "Red")
    extract_and_index(photos, tmp_path / "photos_file_list.txt")
    for folder in ("red", "warm/red", "Warm"):
        found = names(run("search", "green/0.jpg", "--where", f"folder={folder}"))
        assert found == {f"warm/Red/{number}.jpg" for number in range(4)}, folder
    done = run("search", "green/0.jpg", "--where", "folder=read")
    assert done.stderr == "Error: no image matches --where folder=read; folder: expected warm/Red\n"


def test_location_keywords_and_rating_are_read_for_a_filter(photos, tmp_path, run):
    for number, (place, words, rating) in enumerate(
        [(PARIS, ["Beach", "sea"], 5), (RIO, ["beach"], 3), (None, [], None)]
    ):
        (photos / "red" / f"{number}.jpg").write_bytes(photograph(exif=exif(place), xmp=xmp(words, rating)))
    extract_and_index(photos, tmp_path / "photos_file_list.txt")

    def found(*conditions: str) -> set[str]:
        where = [part for condition in conditions for part in ("--where", condition)]
        return names(run("search", "-k", "12", "green/0.jpg", *where))

    assert found("keywords=BEACH") == {"red/0.jpg", "red/1.jpg"}
    assert found("keywords!=sea", "rating!=") == {"red/1.jpg"}
    assert found("rating=4..") == {"red/0.jpg"}
    assert found("latitude=-30..0", "longitude=-50..-40") == {"red/1.jpg"}
    done = run("search", "green/0.jpg", "--where", "keywords=beech")
    assert done.stderr == "Error: no image matches --where keywords=beech; keywords: expected Beach\n"


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("colour=red", "there is no column colour: expected one of name, folder, stars"),
        ("red", "expected COLUMN=VALUE, COLUMN!=VALUE or COLUMN=LOW..HIGH, got red"),
        ("stars=many", "stars: expected a number, got 'many'"),
        ("folder=violet", "no image matches --where folder=violet; folder: expected blue, green, red"),
        ("folder=gren", "no image matches --where folder=gren; folder: expected green"),
        ("camera=Canon", "no image here has a camera"),
        ("camera!=", "no image here has a camera"),
    ],
)
def test_unsuitable_condition_gives_one_line(collection, run, condition, error):
    done = run("search", "green/0.jpg", "--where", condition)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {error}\n")


def test_json_and_paths_with_a_filter(collection, run):
    done = run("search", "--json", "--paths", "green/0.jpg", "--where", "folder=blue")
    ((answer),) = json.loads(done.stdout)
    assert {hit["path"] for hit in answer["hits"]} == {f"photos/blue/{number}.jpg" for number in range(4)}
    assert list(answer["hits"][0]) == ["row", "name", "similarity", "percentile", "path"]


@pytest.fixture
def export(run):
    return lambda *arguments: run("export", "photos_file_list.txt", *arguments)


def test_export_writes_the_table(collection, export):
    done = export("-o", "out.csv", "--exif")
    assert done.stdout == "out.csv: 12 rows\n", done.stderr
    lines = (collection / "out.csv").read_text().splitlines()
    assert lines[0] == "name,folder,date,camera,latitude,longitude,keywords,rating,stars"
    assert lines[9] == "red/0.jpg,red,2019-07-31T18:30:00,,,,,,"
    assert "out.csv exists: choose another name, or use --overwrite" in export("-o", "out.csv").stderr
    assert export("-o", "out.csv", "--overwrite").returncode == 0


def test_export_writes_vectors(collection, export):
    pq = pytest.importorskip("pyarrow.parquet")
    assert export("-o", "out.parquet", "--vectors").returncode == 0
    vectors = pq.read_table(collection / "out.parquet")["vector"].to_pylist()
    assert np.allclose(vectors, np.load(collection / "photos_file_list.txt.saved_predictions.npy"))
    refused = export("-o", "out.csv", "--vectors")
    assert (refused.returncode, refused.stderr) == (1, "Error: out.csv cannot hold vectors: export to a .parquet\n")
