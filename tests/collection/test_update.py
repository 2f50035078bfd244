"""Collections follow their folder: files that are added, deleted, renamed, edited and restored."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from commands import one_line, program
from photo_library import Library

from similar_images.cli.main import main
from similar_images.collection.images import Collection
from similar_images.collection.session import SearchSession
from similar_images.index import builder
from similar_images.vectors.file_records import records_path
from similar_images.vectors.store import index_path, open_vectors, vectors_path

UPDATES = [pytest.param(24, 3, 4, 2, id="short"), pytest.param(400, 40, 5, 8, id="long", marks=pytest.mark.slow)]


def live_rows(collection: Collection) -> dict[str, int]:
    return {collection.names[row]: row for row in range(len(collection)) if row not in collection.removed}


def check_follows(library: Library) -> None:
    """Assert that the collection finds all photographs of the library, and nothing else."""
    collection, names = library.collection(), library.names()
    rows = live_rows(collection)
    assert set(rows) ^ set(names) == set() and collection.not_indexed == 0
    for name in names:
        hits = collection.nearest(library.content(name), k=3)
        assert hits[0].similarity > 0.9999 and library.content(hits[0].name) == library.content(name)
        assert {hit.name for hit in hits} <= set(names)
    check_overviews(collection, names, rows)
    check_like_fresh(library, collection, rows)


def check_overviews(collection: Collection, names: list[str], rows: dict[str, int]) -> None:
    """Assert that map, clusters and export contain present files only."""
    places = collection.map()
    assert {row for row in range(len(collection)) if not np.isnan(places[row]).any()} >= set(rows.values())
    labels = collection.clusters().labels
    assert all(labels[row] < 0 for row in collection.removed)
    exported = collection.vectors.path.with_name("all.csv")
    collection.export(exported)
    with exported.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert sorted(row["name"] for row in table) == names


def check_like_fresh(library: Library, collection: Collection, rows: dict[str, int]) -> None:
    """Assert that hits by the cosine equal the hits of a new collection; other similarities are fitted on each."""
    fresh, collection = (each.with_similarity("cosine") for each in (library.fresh_collection(), collection))
    for name in library.random.sample(sorted(rows), min(10, len(rows))):
        expected, hits = (each.nearest(each.row_named(name), k=5) for each in (fresh, collection))
        assert [hit.similarity for hit in hits] == pytest.approx([hit.similarity for hit in expected], abs=1e-3)
        assert {hit.name for hit in hits[:1]} <= {
            hit.name for hit in expected if hit.similarity > hits[0].similarity - 1e-3
        }


@pytest.mark.parametrize(("photos", "updates", "changes", "kills"), UPDATES)
def test_collection_follows_random_changes(tmp_path, photos, updates, changes, kills):
    library = Library(tmp_path, photos, seed=photos)
    assert library.update().returncode == 0
    library.decoded()
    for number in range(updates):
        known = library.contents()
        kinds = [library.change() for _ in range(changes)]
        if number % 10 == 2:
            library.move_root()
        for _ in range(library.random.randrange(kills)):
            library.update(kill_after=library.random.uniform(0.1, 3))
            kinds.append("killed")
        done = library.update()
        assert done.returncode == 0, done.stderr
        print(kinds, done.stdout, done.stderr)
        names = library.names()
        decoded = [name for name in library.decoded() if name in names]
        assert not [name for name in decoded if library.content(name) in known], (kinds, done.stdout)
        check_follows(library)


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path, 8, seed=1)
    assert update(library) == "8 new; 8 images"
    return library


def update(library: Library, *options: str) -> str:
    """Update the collection in this process; return the summary."""
    output = str(vectors_path(library.names_file))
    arguments = ["update", str(library.root), "-o", output, "--network", "hog-colour", *options]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def search(library: Library, *options: str) -> subprocess.CompletedProcess:
    command = program("search", "-i", vectors_path(library.names_file), *options)
    return subprocess.run(command, capture_output=True, text=True, cwd=library.home)


def test_each_kind_of_change_is_counted(library):
    assert update(library) == "no changes; 8 images"
    first, second, third, *_ = library.names()
    library.add()
    (library.root / first).rename(library.root / "renamed.png")
    content = library.content(second)
    (library.root / second).unlink()
    (library.root / third).write_bytes(library.content("renamed.png"))
    said = "1 new, 1 changed, 1 missing, 1 renamed"
    assert update(library, "--dry-run") == f"{said} (dry run)"
    assert update(library) == f"{said}; 8 images"
    (library.root / second).write_bytes(content)
    assert update(library) == "1 returned; 9 images"
    check_follows(library)


def test_renamed_one_of_equal_files_is_counted_as_renamed(library):
    name = library.names()[0]
    for number in range(3):
        library._write(f"copy {number}.png", library.content(name))
    assert update(library) == "3 new; 11 images"
    (library.root / "copy 1.png").rename(library.root / "renamed.png")
    assert update(library) == "1 renamed; 11 images"


def test_only_new_content_is_decoded(library):
    library.update()
    library.decoded()
    one = library.names()[0]
    os.utime(library.root / one)
    library.rename_folder()
    assert library.update().stdout.count("renamed") == 1
    assert library.decoded() == []
    names = library.names()
    library.edit()
    library.swap()
    assert library.update().returncode == 0
    assert len(library.decoded()) <= 1 and library.names() == names


def test_edit_of_equal_size_a_nanosecond_later_is_noticed(library):
    library.edit()
    assert update(library) == "1 changed; 8 images"
    check_follows(library)


def test_removed_image_stays_removed_under_a_new_name_and_after_an_edit(library):
    path, (one, other, *_) = vectors_path(library.names_file), library.names()
    rows = [library.collection().row_named(name) for name in (one, other)]
    builder.remove(open_vectors(path), index_path(path), rows)
    (library.root / one).rename(library.root / "renamed.png")
    (library.root / other).write_bytes(library._picture())
    update(library)
    collection = library.collection()
    assert not {"renamed.png", other} & set(live_rows(collection))
    found = {hit.name for hit in collection.nearest(library.content("renamed.png"), k=8)}
    assert not found & {"renamed.png", other} and len(found) == 6


def test_collection_without_records_gets_them_and_keeps_its_vectors(library):
    path = vectors_path(library.names_file)
    before = path.read_bytes()
    records_path(path).unlink()
    library.decoded()
    assert library.update().stdout == "no changes; 8 images\n"
    assert library.decoded() == [] and path.read_bytes() == before
    library.rename_file()
    assert update(library) == "1 renamed; 8 images"


def test_row_of_an_index_that_is_not_updated_is_not_found(library):
    name, path = library.names()[0], vectors_path(library.names_file)
    content = library.content(name)
    (library.root / name).unlink()
    extracted = program("extract", "-d", library.root, "-o", path, "--network", "hog-colour")
    done = subprocess.run(extracted, capture_output=True, text=True)
    assert "1 missing: run similar-images update" in done.stderr
    collection = library.collection()
    for exact in (False, True):
        assert name not in {hit.name for hit in collection.nearest(content, k=8, exact=exact)}
    assert collection.row_named(name) is None and collection.not_indexed == 0
    assert update(library) == "no changes; 7 images"
    assert builder.find_skipped(open_vectors(path)) == []


def test_missing_and_changed_files_are_marked(library):
    one, other, query, *_ = library.names()
    (library.root / one).unlink()
    (library.root / other).write_bytes(library._picture(7000))
    os.utime(library.root / query)
    collection = library.collection()
    states = {name: collection.file_state(collection.row_named(name)) for name in (one, other, query)}
    assert states == {one: "missing", other: "changed", query: ""}
    hits = collection.nearest(collection.row_named(query), k=7)
    marked = collection.hits_to_pandas(hits).set_index("name")["file"].dropna()
    assert marked.to_dict() == {one: "missing", other: "changed"}
    printed = search(library, "-k", "7", query).stdout
    assert f"{one}  (missing)\n" in printed and f"{other}  (changed)\n" in printed
    answers = json.loads(search(library, "-k", "7", "--json", query).stdout)
    assert {hit["name"]: hit["file"] for hit in answers[0]["hits"] if "file" in hit} == {
        one: "missing",
        other: "changed",
    }
    paths = search(library, "-k", "7", "--paths", query)
    assert one not in paths.stdout and f"left out {one}: its file is missing" in paths.stderr
    assert other in paths.stdout


def test_closed_pipe_ends_a_command_quietly(library):
    command = program("search", "-i", vectors_path(library.names_file), library.names()[0])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()


def test_query_by_a_changed_file_uses_its_new_content(library):
    one, other, *_ = library.names()
    (library.root / one).write_bytes(library.content(other))
    done = search(library, "-k", "1", one)
    assert done.stdout.split() == ["1.0000", other] and "has changed since its vector was made" in done.stderr


def test_moved_folder_is_named_and_its_new_place_is_recorded(library):
    name, old = library.names()[0], library.root
    library.move_root()
    done = search(library, name)
    assert f"the images of this collection were in {old}" in done.stderr and "-d" in done.stderr
    assert search(library, "-d", str(library.root), name).returncode == 0
    assert not search(library, name).stderr
    library.move_root()
    assert update(library) == "no changes; 8 images"
    assert not search(library, name).stderr


@pytest.mark.parametrize("kind", ["zip", "tar", "address"])
def test_archive_and_address_are_followed(library, kind):
    def place() -> str:
        return (
            f"file://{library.root}"
            if kind == "address"
            else shutil.make_archive(library.home / "kept", kind, library.root)
        )

    def changes() -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=library.home)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    output = library.home / "other.npy"
    command = program("update", place(), "-o", output, "--network", "hog-colour")
    assert changes() == "8 new; 8 images" and changes() == "no changes; 8 images"
    records_path(output).unlink()
    assert changes() == "no changes; 8 images"
    one, other, *_ = library.names()
    (library.root / one).rename(library.root / "renamed.png")
    (library.root / other).write_bytes(library._picture(7000))
    place()
    assert changes() == "1 changed, 1 renamed; 8 images"
    assert live_rows(Collection.open(output)).keys() == set(library.names())


def test_names_and_folders_of_earlier_files_are_not_offered(library):
    name = library.names()[0]
    folder = name.split("/")[0]
    (library.root / folder).rename(library.root / "moved")
    update(library)
    collection, new = library.collection(), name.replace(folder, "moved", 1)
    session = SearchSession(collection)
    assert [collection.names[row] for row in session.find_names(name.split("/")[1], 9)] == [new]
    done = search(library, "--where", f"folder={folder}", library.names()[3])
    assert one_line(done).startswith("Error: no image matches --where folder=")


def test_empty_or_missing_folder_changes_nothing(library):
    path = vectors_path(library.names_file)
    before = records_path(path).read_bytes()
    shutil.rmtree(library.root)
    command = program("update", library.root, "-o", path)
    assert "does not exist" in one_line_of(command)
    library.root.mkdir()
    assert "no image in" in one_line_of(command)
    assert records_path(path).read_bytes() == before


def one_line_of(command: list[str]) -> str:
    return one_line(subprocess.run(command, capture_output=True, text=True))


def test_collection_opens_while_it_grows(library):
    for _ in range(40):
        library.add()
    command = [sys.executable, "-c", SLOW, "update", str(library.root), "-o", str(vectors_path(library.names_file))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    opened, pending = 0, set()
    while opened < 1000 or process.poll() is None:
        collection = library.collection()
        pending.add(collection.vectors.pending)
        assert len(collection) == 48 or len(collection.nearest(0, k=48)) == 7
        opened += 1
    assert process.wait() == 0 and pending == {0, 40} and len(library.collection()) == 48


SLOW = """
import sys, time
from similar_images.cli.main import main
from similar_images.vectors import writer

append = writer.Writer.append

def slow(self, *arguments):
    append(self, *arguments)
    self.checkpoint()
    time.sleep(0.5)

writer.Writer.append = slow
main()
"""
