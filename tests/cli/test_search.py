"""Search from the shell: collection, query, output."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from collection_files import save_texts, save_vectors
from commands import one_line
from PIL import Image
from sample_images import encoded

from similar_images.inputs import web
from similar_images.vectors.store import index_path

VECTORS = "photos_file_list.txt.saved_predictions.npy"


@pytest.fixture
def collection(indexed):
    return indexed.parent


def test_printed_paths_open_in_the_next_command(collection, run):
    done = run("search", "--paths", "-k", "3", "red/0.jpg")
    paths = done.stdout.splitlines()
    assert sorted(paths) == [f"photos/red/{number}.jpg" for number in (1, 2, 3)]
    for path in paths:
        with Image.open(collection / path) as image:
            assert image.size == (80, 60)
    assert run("search", "-k", "1", *paths).returncode == 0


def test_paths_in_an_archive_lead_back_to_its_images(photos, run, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(photos.rglob("*.jpg")):
            archive.write(file, file.relative_to(photos))
    shutil.rmtree(photos)
    assert run("extract", "-d", "all.zip", "--network", "hog-colour").returncode == 0
    paths = run("search", "--paths", "-k", "2", "red/0.jpg").stdout.splitlines()
    assert all(path.startswith("all.zip/red/") for path in paths)
    assert "all.zip/red/0.jpg" in run("search", "--paths", paths[0]).stdout


def test_paths_need_the_folder_of_the_images(run, tmp_path):
    save_vectors(tmp_path / "v.npy", np.eye(2, dtype=np.float32), ["a.jpg", "b.jpg"])
    assert "folder of the images is unknown: give it" in one_line(run("search", "-i", "v.npy", "--paths", "a.jpg"))
    assert "left out b.jpg: its file is missing" in run("search", "-i", "v.npy", "-d", ".", "--paths", "a.jpg").stderr
    (tmp_path / "b.jpg").touch()
    assert run("search", "-i", "v.npy", "-d", ".", "--paths", "a.jpg").stdout == "b.jpg\n"


def test_json_has_percentiles_and_with_paths_the_paths(collection, run):
    queries = ["red/0.jpg", str(collection / "photos" / "blue" / "3.jpg")]
    answer, other = json.loads(run("search", "--json", "-k", "11", *queries).stdout)
    assert [answer["query"], other["query"]] == queries
    assert [hit["name"].split("/")[0] for hit in other["hits"][:3]] == ["blue"] * 3
    percentiles = [hit["percentile"] for hit in answer["hits"]]
    assert percentiles == sorted(percentiles, reverse=True) and 0 <= percentiles[-1] < percentiles[0] <= 100
    assert answer["hits"][0].keys() == {"row", "name", "similarity", "percentile"}
    index_path(collection / VECTORS).unlink()
    ((answer),) = json.loads(run("search", "--json", "--paths", "-k", "1", "red/0.jpg").stdout)
    assert answer["hits"][0]["percentile"] is None and answer["hits"][0]["path"].startswith("photos/red/")


def test_several_collections_are_named_with_the_command_that_chooses_one(collection, run):
    for suffix in (".npy", ".json"):
        name = VECTORS.replace(".npy", suffix)
        shutil.copy(collection / name, collection / f"other {name}")
    shutil.copy(collection / "photos_file_list.txt", collection / "other photos_file_list.txt")
    assert one_line(run("search", "red/0.jpg")) == (
        "Error: expected one collection of images in this folder, found 2: other photos_file_list.txt, "
        "photos_file_list.txt. Choose one with -i: similar-images search -i 'other photos_file_list.txt' QUERY\n"
    )


def test_vectors_with_another_name_are_chosen_by_a_file_that_exists(run, tmp_path):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.saved_predictions.npy", np.eye(2, dtype=np.float32))
    assert "Choose one with -i: similar-images search -i a.saved_predictions.npy QUERY" in one_line(run("search", "x"))


def test_no_collection_says_how_to_make_one(run):
    assert "found 0: make one with similar-images extract -d FOLDER" in one_line(run("search", "a.jpg"))
    assert "found 0: make one with similar-images extract-texts FILE" in one_line(run("search-texts", "train"))


def test_an_address_is_fetched_and_searched_for(collection, run, monkeypatch):
    monkeypatch.setattr(web, "fetch", lambda address: (collection / "photos" / "blue" / "1.jpg").read_bytes())
    assert run("search", "-k", "1", "https://example.org/1.jpg").stdout == "1.0000  blue/1.jpg\n"


def test_texts_and_images_are_refused_by_each_others_commands(collection, run):
    save_texts(collection / "said.txt", ["late train", "cat"])
    for arguments in (
        ("search", "-i", "said.txt", "red/0.jpg"),
        ("search", "-i", "said.txt.saved_predictions.npy", "red/0.jpg"),
        ("duplicates", "said.txt"),
    ):
        assert (
            "got one of texts, said.txt.saved_predictions.npy: search it with similar-images search-texts"
            in one_line(run(*arguments))
        )
    refused = one_line(run("search-texts", "-i", "photos_file_list.txt", "train"))
    assert f"got one of images, {VECTORS}: search it with similar-images search" in refused
    assert "omit --alterations" in one_line(run("evaluate", "said.txt", "--alterations", "2"))


def test_a_damaged_query_is_one_line_and_costs_no_other_query(collection, run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    content = bytearray(encoded(Image.fromarray(noise), "TIFF", compression="tiff_lzw"))
    content[30:200] = bytes(170)
    (tmp_path / "noisy.tiff").write_bytes(content)
    assert "Error: noisy.tiff: damaged or truncated" in one_line(run("search", "noisy.tiff"))
    several = run("search", "noisy.tiff", "absent.jpg", "red/0.jpg")
    assert several.returncode == 1 and "red/1.jpg" in several.stdout
    assert several.stderr.endswith("\nError: absent.jpg: no such file\n")  # stderr is back
    assert several.stderr.count("\n") == 2


def test_limits_are_options_of_some_commands_only(collection, run, tmp_path):
    Image.new("1", (12_000, 9_500)).save(tmp_path / "large.png")
    refused = one_line(run("search", "large.png"))
    assert "large.png: 12000 x 9500 pixels: more than the limit of" in refused and "--max" not in refused
    (tmp_path / "large").mkdir()
    (tmp_path / "large.png").rename(tmp_path / "large" / "large.png")
    done = run("extract", "-d", "large", "--network", "hog-colour")
    assert "raise --max-pixels or --max-bytes to include oversized images" in done.stderr


def test_several_images_as_one_query_are_not_said_to_be_like_nothing(collection, run):
    done = run("search", "-k", "2", "red/0.jpg", "+", "blue/1.jpg", "-", "green/2.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


def test_a_weight_of_the_only_query_changes_nothing(collection, run):
    plain, weighted = (run("search", "-k", "2", *query) for query in (["red/0.jpg"], ["+", "0.5", "red/0.jpg"]))
    assert (weighted.returncode, weighted.stdout, weighted.stderr) == (0, plain.stdout, "")


def test_a_collection_is_found_by_its_manifest_whatever_its_name(photos, run, tmp_path):
    assert run("extract", "-d", "photos", "-o", "v.npy", "--network", "hog-colour").returncode == 0
    np.save(tmp_path / "foreign.npy", np.eye(3, dtype=np.float32))  # neither of these is a collection
    np.save(tmp_path / "other.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "other.json").write_text('{"format": "of somebody else"}')
    (tmp_path / "text.npy").write_text("no array")
    found = run("search", "red/0.jpg", "-k", "3")
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 3, found.stderr
    for path in (*tmp_path.glob("v.*"),):
        (tmp_path / path.name.replace("v.", "w.txt.saved_predictions.", 1)).write_bytes(path.read_bytes())
    assert "found 2: v.npy, w.txt.saved_predictions.npy" in one_line(run("search", "red/0.jpg"))


def test_the_manifest_of_a_large_collection_is_not_read_to_find_it(tmp_path):
    from similar_images.vectors.store import vectors_in

    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))
    with (tmp_path / "v.json").open("wb") as file:
        file.write(b'{\n "format": "similar-images vectors 1",')
        file.truncate(4 * 10**12)
    assert vectors_in(tmp_path) == [tmp_path / "v.npy"]
