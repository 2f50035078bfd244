"""Index and manifest change together despite readers, writers and kills."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import faiss
import numpy as np
import pytest
from arrays import clustered
from conditions import repeated
from conftest import ROOT
from damage import mutants, wrong_values
from notes import Notes

from similar_images.collection.images import Collection
from similar_images.collection.searcher import MIN_MEASURED_QUERIES, Hit
from similar_images.index.builder import BuildRequest, add, build, remove
from similar_images.index.index import open_index
from similar_images.networks.description import NetworkDescription
from similar_images.vectors.store import open_vectors

N, D = 60, 8
KILLED = """
import os, sys
from pathlib import Path
from similar_images import files
from similar_images.index import builder
from similar_images.vectors.store import open_vectors
folder, step = Path(sys.argv[1]), int(sys.argv[2])
steps = 0
def counted(function):
    def call(*arguments, **options):
        global steps
        if steps == step:
            os._exit(9)
        steps += 1
        return function(*arguments, **options)
    return call
files.os.fsync = counted(os.fsync)
Path.replace = counted(Path.replace)
vectors, path = open_vectors(folder / "v.npy"), folder / "v.faiss.index"
builder.remove(vectors, path, [3]) if sys.argv[3] == "remove" else builder.build(vectors, path, builder.BuildRequest("flat"))
"""


@pytest.fixture
def vectors(save):
    return save(clustered(N, D))


@pytest.fixture
def index(vectors, tmp_path):
    build(vectors, tmp_path / "v.faiss.index", BuildRequest("flat"))
    return tmp_path / "v.faiss.index"


def killed(folder: Path, change: str) -> Iterator[Path]:
    """Yield a copy of the files for each step of a change, whose process was killed before that step."""
    for step in count():
        copy = folder / f"{change} {step}"
        copy.mkdir()
        for file in folder.glob("v.*"):
            shutil.copy(file, copy)
        done = subprocess.run([sys.executable, "-c", KILLED, str(copy), str(step), change], cwd=ROOT)
        if done.returncode == 0:  # it has no more steps
            return
        assert done.returncode == 9
        yield copy


def test_kill_leaves_old_or_new_index(index, tmp_path):
    left = []
    for folder in killed(tmp_path, "remove"):
        opened = open_index(folder / index.name)
        assert opened.manifest is not None
        left.append((opened.backend.ntotal, opened.removed))
        remove(open_vectors(folder / "v.npy"), folder / index.name, [4])  # and it can be changed
        assert 4 in open_index(folder / index.name).removed
    old, new = (N, []), (N - 1, [3])
    assert left == [old] * left.count(old) + [new] * left.count(new) and new in left and old in left


def test_reader_sees_old_or_new_pair(vectors, index):
    def read() -> None:
        opened = open_index(index)
        assert opened.manifest is not None and opened.backend.ntotal == N - len(opened.removed)

    with repeated(read) as wait:
        for row in range(40):
            remove(vectors, index, [row])
            wait()


def test_parallel_changes_are_not_lost(vectors, index, tmp_path):
    done, refused = [], []

    def change(row: int) -> None:
        try:
            remove(vectors, index, [row])
            done.append(row)
        except BlockingIOError as error:
            refused.append(str(error))

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(change, range(12)))
    assert done and len(done) + len(refused) == 12
    assert all("is being written by another run" in message for message in refused)
    assert open_index(index).removed == sorted(done)
    assert not list(tmp_path.glob(".*"))


def test_kill_while_replacing_foreign_index_leaves_readable_index(index, tmp_path):
    index.with_name(index.name + ".json").unlink()
    opened = [open_index(folder / index.name) for folder in killed(tmp_path, "build")]
    assert [one.backend.ntotal for one in opened] == [N] * len(opened)
    assert opened[0].manifest is None and opened[-1].manifest is not None


def test_rebuild_keeps_removed_rows_until_restored(vectors, index):
    remove(vectors, index, [3, 5])
    notes = Notes()
    build(vectors, index, BuildRequest("flat"), progress=notes)
    opened = open_index(index)
    assert opened.removed == [3, 5] and notes == ["2 removed images stay removed; --restore brings them back"]
    assert not {3, 5} & set(opened.search(faiss.rand((1, D)), N)[1].ravel().tolist())
    build(vectors, index, BuildRequest("flat", restore=True))
    assert open_index(index).backend.ntotal == N


def test_remove_and_add_with_grown_list_of_texts(save, index):
    manifest = index.with_name(index.name + ".json")
    content = json.loads(manifest.read_text())
    network = NetworkDescription("a", dimension=D, reads="text")
    content["vectors"] |= {"network": network.to_json()}
    manifest.write_text(json.dumps(content))
    grown = save(np.concatenate([clustered(N, D), clustered(3, D)]))._replace(network=network)
    remove(grown, index, [3])
    add(grown, index)
    assert open_index(index).backend.ntotal == N + 2


def test_removing_every_image_is_refused(vectors, index):
    before = index.read_bytes()
    with pytest.raises(ValueError, match="no image would be left; delete the index instead"):
        remove(vectors, index, list(range(N)))
    assert index.read_bytes() == before and open_index(index).removed == []


@pytest.mark.parametrize("replaced", [False, True], ids=["complete", "while it is replaced"])
def test_damaged_manifests_are_refused(vectors, index, replaced):
    manifest = index.with_name(index.name + ".json")
    content = json.loads(manifest.read_bytes())
    content["measured"]["queries"] = MIN_MEASURED_QUERIES  # enough to say that there is no close match
    whole = json.dumps(content | ({"previous": content} if replaced else {})).encode()
    contents = [*mutants(whole, 150), *(json.dumps(one).encode() for one in wrong_values(json.loads(whole)))]
    refused = 0
    for content in contents:
        manifest.write_bytes(content)
        try:
            opened = open_index(index)
            assert isinstance(opened.recipe, str) and opened.reranked >= 0 and isinstance(opened.removed, list)
            collection = Collection(vectors, opened)
            assert collection.percentile(0.5) is None or collection.percentile(0.5) >= 0
            assert collection.is_like_nothing([Hit(0, "0.jpg", 0.5)]) in (False, True)
        except ValueError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 150


def test_command_accepts_list(vectors, run, tmp_path):
    (tmp_path / "v.npy").rename(tmp_path / "v.txt.saved_predictions.npy")
    built = run("build", "-i", "v.txt")
    assert (built.returncode, built.stdout) == (0, "v.faiss.index\n"), built.stderr
