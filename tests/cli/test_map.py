"""Commands for a map and clusters of a collection."""

import csv

import numpy as np
import pytest

from similar_images import files
from similar_images.collection.create import create_files

pytest.importorskip("openTSNE", reason="the map is not installed")
pytest.importorskip("sknetwork", reason="the clusters are not installed")


@pytest.fixture
def collection(photos, tmp_path) -> str:
    return create_files(photos, tmp_path, "hog-colour").name


def test_map_prints_its_path_and_is_computed_once(run, collection, tmp_path):
    done = run("map", collection, "--csv", "places.csv")
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    file = tmp_path / printed.strip()
    places, made = np.load(file)["places"], file.stat().st_mtime_ns
    assert places.shape == (12, 2) and places.dtype == np.float32
    rows = list(csv.DictReader((tmp_path / "places.csv").read_text().splitlines()))
    assert [row["name"] for row in rows][:2] == ["blue/0.jpg", "blue/1.jpg"]
    assert float(rows[5]["y"]) == pytest.approx(places[5, 1], abs=1e-5)
    assert run("map", collection).stdout == printed
    assert file.stat().st_mtime_ns == made
    assert run("map", collection, "--fresh").returncode == 0 and file.stat().st_mtime_ns > made
    refused = run("map", collection, "--csv", "places.csv")
    assert refused.returncode == 1 and "places.csv exists" in refused.stderr


def refuse(*_: object) -> None:
    raise OSError("cannot write photos.map.npz: Permission denied")


def test_unwritable_folder_fails_map_but_not_clusters(run, collection, monkeypatch):
    monkeypatch.setattr(files, "check_writeable", refuse)
    failed = run("map", collection)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "Error: cannot write photos.map.npz: Permission denied\n"
    assert run("clusters", collection).returncode == 0


def test_existing_map_is_shown_in_unwritable_folder(run, collection, monkeypatch):
    made = run("map", collection).stdout
    monkeypatch.setattr(files, "check_writeable", refuse)
    assert run("map", collection).stdout == made
    assert run("map", collection, "--fresh").returncode == 1


def test_clusters_prints_every_image_once_and_writes_a_page(run, collection, tmp_path):
    done = run("clusters", collection, "--html", "clusters.html", "-k", "2")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert sorted(int(row["row"]) for row in rows) == list(range(12))
    page = (tmp_path / "clusters.html").read_text()
    first = next(row for row in rows if row["place"] == "0")
    assert f"<h2>{first['name']} <small>" in page
    sizes = [
        sum(row["cluster"] == number for row in rows) for number in sorted({row["cluster"] for row in rows} - {""})
    ]
    assert f"<small>{sizes[0]} images</small>" in page and sizes == sorted(sizes, reverse=True)
    assert [f"<h2>{title} <small>" in page for title in ("Outliers", "Typical", "Spread")] == [True] * 3
    assert "data:image/jpeg;base64," in page and 'href="photos/' in page and "http" not in page
    assert "12 images in " in done.stderr


def test_clusters_writes_its_csv_to_a_file_and_overwrites_none(run, collection, tmp_path):
    assert run("clusters", collection, "--csv", "clusters.csv").stdout == ""
    before = (tmp_path / "clusters.csv").read_bytes()
    assert before.startswith(b"cluster,place,row,name\n")
    done = run("clusters", collection, "--csv", "clusters.csv")
    assert (done.returncode, done.stdout) == (1, "") and "clusters.csv exists" in done.stderr
    run("clusters", collection, "--csv", "clusters.csv", "--overwrite")
    assert (tmp_path / "clusters.csv").read_bytes() == before


def test_missing_images_are_shown_by_their_names(run, collection, photos, tmp_path):
    for file in photos.rglob("*.jpg"):
        file.unlink()
    assert run("clusters", collection, "--html", "clusters.html").returncode == 0
    assert "cannot be read" in (tmp_path / "clusters.html").read_text()
