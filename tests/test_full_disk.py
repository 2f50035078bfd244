"""Writers on a full disk report the file in one line, leave no partial file, and succeed once there is space."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from click.testing import CliRunner
from collection_files import save_texts
from PIL import Image

from similar_images import Collection, Comparison
from similar_images.cli.main import main
from similar_images.comparison.questionnaire import export_questionnaire
from similar_images.files import NoSpace, replace_file, replace_folder, reserve
from similar_images.index.builder import BuildRequest, build
from similar_images.inputs.names import write_names
from similar_images.samples import pictures
from similar_images.vectors.store import index_path, open_vectors, vectors_path

SIZE = 16 * 2**20  # bytes of the file system
N, GROWN, D = 1500, 1600, 64


@pytest.fixture
def disk(tmp_path):
    """A separate file system of SIZE bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system needs Linux and the right to mount one")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Files of collections: vectors with an index, an index without the newest vectors, and 6 photographs."""
    folder = tmp_path_factory.mktemp("prepared")
    array = clustered(GROWN, D)
    for name, n in (("grown", N), ("plain", GROWN)):
        path = vectors_path(folder / f"{name}.txt")
        for rows in (n, GROWN):
            np.save(path, array[:rows])
            (folder / f"{name}.txt").write_text("".join(f"{row}.jpg\n" for row in range(rows)))
            if rows == n:
                build(open_vectors(path), index_path(path), BuildRequest("reduced", similarity="whitened"))
    save_texts(folder / "notes.txt", ["abc", "bcd", "cde"])
    (folder / "names.txt").write_text("3.jpg\n")
    (folder / "photos").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.jpg")
    Collection.create(folder / "photos", folder, network="hog-colour")
    return folder


@pytest.fixture
def place(disk, prepared, monkeypatch):
    """The prepared files on the small file system, as the current folder."""
    shutil.copytree(prepared, disk / "work")
    monkeypatch.chdir(disk / "work")
    return disk / "work"


def fill(disk: Path, left: int) -> None:
    """Fill the file system except for `left` bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left)


def files(folder: Path) -> dict[str, tuple]:
    """Return the size and the time of change of each file, except files of an unfinished build."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".unfinished" not in str(path)
    }


def invoke(*arguments: str):
    return lambda: CliRunner().invoke(main, [*arguments], catch_exceptions=False)


COMMANDS = {
    "extract": ("extract", "-d", "photos", "--network", "hog-colour", "-o", "new.npy"),
    "build flat": ("build", "-i", "plain.txt", "-o", "new.faiss.index", "--recipe", "flat", "--similarity", "cosine"),
    "build reduced": ("build", "-i", "plain.txt", "-o", "new.faiss.index", "--similarity", "whitened"),
    "build classic": ("build", "-i", "plain.txt", "-o", "new.faiss.index", "--recipe", "classic"),
    "build again": ("build", "-i", "plain.txt", "--similarity", "whitened", "--overwrite"),
    "build in parts": (
        "build",
        "-i",
        "plain.txt",
        "-o",
        "new.faiss.index",
        "--recipe",
        "reduced",
        "--part-size",
        "400",
    ),
    "build --add": ("build", "-i", "grown.txt", "--add"),
    "build --remove": ("build", "-i", "plain.txt", "--remove", "names.txt"),
    "map": ("map", "plain.txt"),
    "map --csv": ("map", "plain.txt", "--csv", "map.csv"),
    "clusters --csv": ("clusters", "plain.txt", "--csv", "clusters.csv"),
    "duplicates --csv": ("duplicates", "plain.txt", "--threshold", "0.5", "--similarity", "cosine", "--csv", "d.csv"),
    "export csv": ("export", "plain.txt", "-o", "new.csv"),
    "export parquet": ("export", "plain.txt", "-o", "new.parquet", "--vectors"),
    "evaluate --report": ("evaluate", "plain.txt", "--queries", "20", "--report", "report.html"),
}
LARGE = [name for name in COMMANDS if name.split()[-1] in ("flat", "reduced", "classic", "again", "parts", "parquet")]
# Commands with large files also run with space for a header, because a sparse file would crash them.
CASES = [(name, 0) for name in COMMANDS] + [(name, 100_000) for name in LARGE]


@pytest.mark.parametrize(("name", "left"), CASES)
def test_command_on_a_full_disk_names_the_file(disk, place, name, left):
    run = invoke(*COMMANDS[name])
    fill(disk, left)
    before = files(place)
    done = run()
    kept = name in ("map --csv", "clusters --csv")  # a note adds that the map or the clusters are not kept
    assert done.exit_code == 1, done.output
    assert "no space on disk for " in (last := done.stderr.splitlines()[-1]) and last.startswith("Error: "), done.stderr
    assert done.stderr.count("no space on disk for ") == 1 + kept and "Errno" not in done.stderr, done.stderr
    assert files(place) == before
    (disk / "filler").unlink()
    done = run()
    assert done.exit_code == 0, done.output


def write_votes(place: Path) -> None:
    one = Collection.open(place / "photos_file_list.txt")
    comparison = Comparison(
        {"one": one, "other": lambda name, k: sorted(one.names, reverse=True)[:k]}, place / "votes.csv", "me"
    )
    export_questionnaire(comparison, place / "page.html", n=3, overwrite=True)


def write_numbers(place: Path) -> None:
    with replace_file(place / "new.npy") as partial:
        np.save(partial, np.zeros(1_000_000))


def write_folder(place: Path) -> None:
    with replace_folder(place / "new") as partial:
        (partial / "weights").write_bytes(bytes(1_000_000))


def write_reserved(place: Path) -> None:
    with replace_file(place / "new") as partial, partial.open("w+b") as file:
        reserve(file, partial, 1_000_000)


WRITERS = {
    "names": lambda place: write_names(place / "new.txt", ["a.jpg"] * 100_000),
    "numbers": write_numbers,
    "folder": write_folder,
    "reserved": write_reserved,
    "questionnaire": write_votes,
    "sample": lambda place: pictures.write(place / "sample"),
    "EXIF": lambda place: Collection.open(place / "photos_file_list.txt").read_exif(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writer_on_a_full_disk_names_the_file(disk, place, name):
    fill(disk, 0)
    before = files(place)
    with pytest.raises(OSError, match=r"no space on disk for .*: free some and run the same command again"):
        WRITERS[name](place)
    assert files(place) == before
    (disk / "filler").unlink()
    WRITERS[name](place)


def test_output_to_a_full_disk_is_reported_in_one_line(disk, place):
    command = [sys.executable, "-m", "similar_images", "search", "-i", "plain.txt", "-k", "1000", "7.jpg"]
    fill(disk, 0)
    with (disk / "output").open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == "Error: no space on disk for the output: free some and run the same command again"
    )


def test_error_has_number_and_file():
    error = NoSpace(Path("a.csv"))
    assert (error.errno, error.filename) == (28, "a.csv")
    assert str(error) == "no space on disk for a.csv: free some and run the same command again"
