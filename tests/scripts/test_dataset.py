"""get_ms_coco_dataset.sh: COCO's images, complete and listed."""

import hashlib
import io
import re
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from downloads import (
    DATASET,
    IMAGES,
    LIMIT,
    LIST,
    NAMES,
    NPY,
    SORTED,
    VECTORS,
    assert_dataset_is_complete,
    assert_fails,
    files,
    images_zip,
    ranges,
    run,
    vectors_zip,
    write_tool,
)
from PIL import Image

from similar_images import Collection
from similar_images.vectors.store import open_vectors


def test_the_dataset_is_downloaded_unpacked_and_listed_sorted_once(folder, path, server):
    server.content = images_zip()
    result = run(DATASET, folder, path, server)
    assert_dataset_is_complete(result, folder)
    assert server.requests == [("GET", "/zips/val2014.zip", None)]
    assert "removed val2014.zip; KEEP_ZIP=1 keeps it" in result.stderr
    server.requests.clear()
    again = run(DATASET, folder, path, server)
    assert_dataset_is_complete(again, folder)
    assert "already complete" in again.stderr
    assert server.requests == []


def test_val2017_has_a_list_of_its_own_and_its_zip_is_kept_on_request(folder, curl, server):
    server.content = images_zip({"000000000139.jpg": b"one", "000000000285.jpg": b"two"}, "val2017")
    result = run(DATASET, folder, curl, server, "val2017", COCO_COUNT="2", KEEP_ZIP="1")
    assert result.returncode == 0, result.stderr
    assert (folder / "val2017.zip").read_bytes() == server.content
    assert (folder / "ms_coco_val2017_file_list.txt").read_text() == "000000000139.jpg\n000000000285.jpg\n"
    assert server.requests == [("GET", "/zips/val2017.zip", None)]
    assert not (folder / LIST).exists()


def test_killed_unpacking_never_looks_complete(folder, curl, server):
    server.content = images_zip()
    unzip = (curl / "unzip").resolve()
    write_tool(curl, "unzip", f'"{unzip}" "$@"; rm val2014.part/val2014/{NAMES[3]}; kill -KILL 0')
    assert run(DATASET, folder, curl, server).returncode == -signal.SIGKILL
    assert not (folder / "val2014").exists() and not (folder / LIST).exists()
    (curl / "unzip").unlink()
    (curl / "unzip").symlink_to(unzip)
    server.requests.clear()
    assert_dataset_is_complete(run(DATASET, folder, curl, server), folder)
    assert server.requests == []


def test_a_wrong_sum_unpacks_nothing_and_the_next_run_starts_over(folder, path, server):
    server.content = images_zip()
    got, expected = hashlib.md5(server.content).hexdigest(), "0" * 32
    result = run(DATASET, folder, path, server, COCO_MD5=expected)
    assert_fails(result, f"val2014.zip: expected the MD5 checksum {expected}, got {got}", "Rerun to start over")
    assert files(folder) == []
    assert_dataset_is_complete(run(DATASET, folder, path, server), folder)
    assert ranges(server) == [None, None]


def test_a_zip_that_someone_put_there_is_checked_too_and_not_removed(folder, curl, server):
    server.content = images_zip()
    (folder / "val2014.zip").write_bytes(server.content[:-1])
    assert_fails(run(DATASET, folder, curl, server), "got", "move it away and rerun")
    assert files(folder) == ["val2014.zip"]
    (folder / "val2014.zip").write_bytes(server.content)
    assert_dataset_is_complete(run(DATASET, folder, curl, server), folder)
    assert server.requests == []


def test_a_zip_with_other_images_is_refused(folder, curl, server):
    server.content = images_zip()
    assert_fails(run(DATASET, folder, curl, server, COCO_COUNT="6"), "expected 6 images in val2014/, got 5")
    assert files(folder) == ["val2014.zip"]


def test_the_sum_is_checked_with_the_tool_of_macos_too(folder, curl, server):
    server.content = images_zip()
    write_tool(curl, "md5", f'[ "$1" = -q ] && "{shutil.which("md5sum")}" "$2" | cut -c 1-32')
    (curl / "md5sum").unlink()
    assert_fails(run(DATASET, folder, curl, server, COCO_MD5="0" * 32), "expected the MD5 checksum")
    assert_dataset_is_complete(run(DATASET, folder, curl, server), folder)


def test_incomplete_folder_is_filled_without_loss(folder, curl, server):
    server.content = images_zip()
    (folder / "val2014").mkdir()
    (folder / "val2014" / NAMES[0]).write_bytes(b"")
    (folder / "val2014" / NAMES[1]).write_bytes(IMAGES[NAMES[1]])
    (folder / "val2014" / "mine.jpg").write_bytes(b"mine")
    assert_dataset_is_complete(run(DATASET, folder, curl, server), folder)
    assert (folder / "val2014" / "mine.jpg").read_bytes() == b"mine"


def test_a_complete_folder_without_a_list_gets_one_without_a_download(folder, curl, server):
    server.content = images_zip()
    (folder / "val2014").mkdir()
    for name, content in IMAGES.items():
        (folder / "val2014" / name).write_bytes(content)
    assert_dataset_is_complete(run(DATASET, folder, curl, server), folder)
    assert server.requests == []
    (folder / "val2014" / NAMES[2]).write_bytes(b"")  # does not count
    (folder / LIST).unlink()
    assert_dataset_is_complete(run(DATASET, folder, curl, server), folder)
    assert len(server.requests) == 1


def test_a_list_keeps_its_order_and_a_list_of_other_images_is_never_overwritten(folder, curl, server):
    server.content = images_zip()
    (folder / LIST).write_text("mine.jpg\n")
    assert_fails(run(DATASET, folder, curl, server), f"{LIST}: expected 5 lines, got 1; move it away")
    assert server.requests == []
    other = SORTED.replace(NAMES[2], "mine.jpg")
    (folder / LIST).write_text(other)
    assert_fails(run(DATASET, folder, curl, server), f"{LIST} names mine.jpg, but val2014/ lacks it")
    assert (folder / LIST).read_text() == other
    reverse = "".join(f"{name}\n" for name in reversed(NAMES))
    (folder / LIST).write_text(reverse)
    assert run(DATASET, folder, curl, server).returncode == 0
    assert (folder / LIST).read_text() == reverse


def test_full_disk_keeps_the_download(folder, path, server, small_disk):
    server.content = images_zip({**IMAGES, NAMES[0]: bytes(2_000_000)})
    result = run(DATASET, folder, path, server, COCO_BYTES="0")
    assert_fails(result, "cannot write val2014.zip.part: is the disk full? Free some space and rerun")
    assert files(folder) == ["val2014.zip.part"]
    small_disk("8m")
    assert run(DATASET, folder, path, server).returncode == 0
    assert re.fullmatch(r"bytes=\d{6,}-", ranges(server)[-1])
    assert (folder / "val2014" / NAMES[0]).read_bytes() == bytes(2_000_000)


def test_a_disk_that_fills_up_while_unpacking_leaves_no_half_folder(folder, curl, server, small_disk):
    server.content = images_zip({**IMAGES, NAMES[0]: bytes(600_000)})
    result = run(DATASET, folder, curl, server, COCO_BYTES="0")
    assert_fails(result, "cannot unpack val2014.zip: the disk is full. Free some space and rerun")
    assert files(folder) == ["val2014.zip"]
    small_disk("8m")
    assert run(DATASET, folder, curl, server).returncode == 0
    assert len(server.requests) == 1 and (folder / LIST).read_text() == SORTED


def test_images_in_the_folder_of_2022_are_found(folder, curl, server):
    old = folder / "ms_coco" / "val2014"
    old.mkdir(parents=True)
    for name, content in IMAGES.items():
        (old / name).write_bytes(content)
    (folder / LIST).write_text(SORTED)
    result = run(DATASET, folder, curl, server)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"ms_coco/val2014: 5 images, named in {LIST}\n"
    server.content = vectors_zip()
    assert run(VECTORS, folder, curl, server).returncode == 0
    assert open_vectors(folder / NPY).images == old
    assert not (folder / "val2014").exists()
    assert [path for _, path, _ in server.requests] == ["/vectors.zip?dl=1"]


@pytest.mark.parametrize(("there", "used"), [("", "val2014"), ("ms_coco/val2014", "ms_coco/val2014")])
def test_make_coco_extracts_images_in_place(there, used, tmp_path):
    for file in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    command = ["make", "--dry-run", "coco"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert f" -d {used} " in made.stdout


def test_make_coco_indexes_the_small_set_with_the_fast_network(folder, curl, server):
    pictures = {}
    for number in range(6):
        buffer = io.BytesIO()
        Image.new("RGB", (64, 48), (40 * number, 90, 200 - 30 * number)).save(buffer, "JPEG")
        pictures[f"{number:012}.jpg"] = buffer.getvalue()
    server.content = images_zip(pictures, "val2017")
    for name in ("Makefile", DATASET, "scripts", "extract_image_vectors.py", "build_search_db.py", "requirements.txt"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    write_tool(folder / ".venv" / "bin", "python", f'exec "{sys.executable}" "$@"')
    (curl / "test").symlink_to(shutil.which("test"))
    command = (shutil.which("make"), "-o", ".venv/installed", "coco", "SET=val2017", "NETWORK=efficientnetlite0")
    for _ in range(2):  # the second run finds that all is there
        made = run(*command[:1], folder, curl, server, *command[1:], COCO_COUNT="6")
        assert made.returncode == 0, made.stderr
    collection = Collection.open(folder / "ms_coco_val2017_efficientnetlite0.npy")
    assert collection.network.name == "efficientnetlite0" and collection.not_indexed == 0
    assert collection.index is not None and len(collection.nearest(folder / "val2017" / "000000000003.jpg", k=3)) == 3
    assert [path for _, path, _ in server.requests] == ["/zips/val2017.zip"]


def test_make_coco_uses_the_set_of_2022_by_default(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    command = ["make", "--no-print-directory", "--dry-run", "-o", ".venv/installed", "coco"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert made.stdout.splitlines() == [
        "./get_ms_coco_dataset.sh val2014",
        ".venv/bin/python extract_image_vectors.py -l ms_coco_file_list.txt -d val2014 "
        "-o ms_coco_file_list.txt.saved_predictions.npy -m vgg_4096.h5",
        "test -e ms_coco_file_list.faiss.index.json || .venv/bin/python build_search_db.py "
        "-i ms_coco_file_list.txt.saved_predictions.npy -o ms_coco_file_list.faiss.index --overwrite",
    ]
