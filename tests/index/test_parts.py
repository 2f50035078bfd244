"""An index in parts: hits, resuming, changes and damage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from arrays import clustered
from conditions import repeated
from conftest import ROOT
from damage import mutants, wrong_values
from notes import Notes
from part_files import KILLED, in_one_piece, part_files, same_hits

from similar_images import Collection
from similar_images.index import backend as backends
from similar_images.index import parts
from similar_images.index.builder import BuildRequest, add, build, remove
from similar_images.index.exact import exact_search, normalise
from similar_images.index.index import open_index
from similar_images.index.quality import recall
from similar_images.vectors.store import Vectors

N, D, SIZE = 6000, 32, 1500
MAPPED = "mapped"  # a recipe whose parts can stay on disk


@pytest.fixture
def store(save):
    """Save the first n of some vectors, three of them skipped, with their list, and open them."""
    array = clustered(N + 2000, D)
    array[[7, 1600, 5999]] = 0

    def store(n: int = N) -> Vectors:
        return save(array[:n], [f"{'even' if row % 2 == 0 else 'odd'}/{row}.jpg" for row in range(n)])

    store.unseen = normalise(clustered(N + 2100, D)[-100:])
    return store


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "v.faiss.index"


@pytest.mark.parametrize(
    ("recipe", "similarity"),
    [("reduced", "whitened"), ("reduced", "cosine"), (MAPPED, "cosine"), ("classic", "cosine")],
)
def test_parts_have_the_hits_of_one_file(store, path, recipe, similarity):
    vectors, whole = store(), path.with_name("whole.index")
    one = build(vectors, whole, BuildRequest(recipe, similarity=similarity))
    manifest = build(vectors, path, BuildRequest(recipe, similarity=similarity, part_size=SIZE))
    assert [part.n for part in manifest.parts.files] == [1499, 1499, 1500, 1499]
    assert manifest.n == one.n == N - 3
    for key in ("recipe", "parameters", "similarities", "removed", "built_recall"):
        assert getattr(manifest, key) == getattr(one, key), key
    index = open_index(path)
    assert index.backend.ntotal == N - 3 and faiss.read_index(str(path)).ntotal == 0
    assert same_hits(index, in_one_piece(index, vectors), store.unseen, vectors.array)
    # A transform gives other last digits in blocks of another size.
    assert same_hits(index, open_index(whole), store.unseen, vectors.array, 1e-5)
    true = exact_search(
        index.vectors if index.vectors is not None else vectors.array, index.similarity.transform(store.unseen), 10
    )[1]
    found = recall(index.search(store.unseen, 10, vectors.array)[1], true).mean()
    assert found == pytest.approx(manifest.measured.recall, abs=0.1)
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("recipe", [MAPPED, "IVF40,SQ8"])
def test_mapped_parts_have_the_hits_of_parts_in_memory(store, path, recipe, monkeypatch):
    vectors = store()
    manifest = build(vectors, path, BuildRequest(recipe, similarity="cosine", part_size=SIZE))
    mapped, copied = open_index(path, mapped=True), open_index(path, mapped=False)
    assert backends.is_mapped(mapped.backend) and not backends.is_mapped(copied.backend)
    assert same_hits(mapped, copied, store.unseen, vectors.array)
    assert not backends.is_mapped(open_index(path).backend)  # it fits into memory
    monkeypatch.setattr(parts, "MAX_MEMORY_SHARE", 0)
    assert backends.is_mapped(open_index(path).backend)
    grown = store(N + 100)
    assert add(grown, path).n == N + 97  # and all is measured so
    again = build(grown, path, BuildRequest(recipe, similarity="cosine", part_size=SIZE))
    assert again.measured.recall == pytest.approx(manifest.measured.recall, abs=0.02)


def test_mapping_fast_scan_codes_is_refused(store, path):
    build(store(), path, BuildRequest("reduced", part_size=SIZE))
    with pytest.raises(ValueError, match="fast scan cannot be memory-mapped: build with the recipe mapped"):
        open_index(path, mapped=True)


@pytest.mark.parametrize("similarity", ["whitened", "cosine"])
@pytest.mark.parametrize(("step", "part", "complete"), [("filling", "00002.part", 2), ("keeping", "", 4)])
def test_killed_build_resumes_with_complete_parts(store, path, step, part, complete, similarity):
    vectors = store()
    build(vectors, path, BuildRequest("reduced", similarity=similarity))
    whole, folder = open_index(path), path.with_name(f".{path.name}.unfinished")
    command = [sys.executable, "-c", KILLED, str(path.parent), part, step, similarity]
    assert subprocess.run(command, cwd=ROOT).returncode == -9
    assert same_hits(open_index(path), whole, store.unseen, vectors.array)  # readers see the old one
    before = {file.stat().st_mtime_ns for file in folder.glob("0*.part")}
    assert len(before) == complete and not part_files(path)
    notes = Notes()
    build(vectors, path, BuildRequest("reduced", similarity=similarity, part_size=SIZE), progress=notes)
    assert notes == [f"resuming: {complete} of 4 parts are complete"]
    assert before <= set(part_files(path).values())  # the same files, not written again
    assert len(part_files(path)) == 4 and not folder.exists()
    index = open_index(path)
    assert same_hits(index, in_one_piece(index, vectors), store.unseen, vectors.array)


def test_another_request_does_not_resume(store, path):
    store()
    subprocess.run([sys.executable, "-c", KILLED, str(path.parent), "00002.part", "filling", "cosine"], cwd=ROOT)
    notes = Notes()
    manifest = build(store(5500), path, BuildRequest("reduced", similarity="cosine", part_size=SIZE), progress=notes)
    assert notes == [] and manifest.n == 5498


def test_added_rows_fill_last_part_and_new_parts(store, path):
    build(store(4000), path, BuildRequest("reduced", part_size=SIZE))
    before = part_files(path)
    vectors = store(N + 1000)
    manifest = add(vectors, path)
    assert [part.n for part in manifest.parts.files] == [1499, 1499, 1500, 1500, 999]
    kept = set(before.items()) & set(part_files(path).items())
    on_disk = sum(path.with_name(name).stat().st_size for name in part_files(path))
    assert manifest.measured.bytes_on_disk == on_disk + open_index(path).similarity.bytes
    assert len(kept) == 2 and len(part_files(path)) == 5  # two were full; the first two lack a skipped row each
    index = open_index(path)
    assert same_hits(index, in_one_piece(index, vectors), store.unseen, vectors.array)


def test_removing_rewrites_only_parts_with_removed_rows(store, path):
    vectors = store()
    build(vectors, path, BuildRequest("reduced", part_size=SIZE))
    before = part_files(path)
    manifest = remove(vectors, path, [10, 20, 4600])
    assert manifest.removed == [10, 20, 4600] and manifest.n == N - 6
    assert len(set(before.items()) & set(part_files(path).items())) == 2 and len(part_files(path)) == 4
    index = open_index(path)
    rows = index.search(normalise(vectors.array[[10, 20, 4600]]), 10, vectors.array)[1]
    assert not {10, 20, 4600} & set(rows.ravel().tolist())
    manifest = remove(vectors, path, list(range(SIZE)))  # a whole part
    assert len(manifest.parts.files) == 3 == len(part_files(path))
    with pytest.raises(ValueError, match="no image would be left; delete the index instead"):
        remove(vectors, path, list(range(N)))
    assert open_index(path).backend.ntotal == manifest.n
    notes = Notes()
    assert build(vectors, path, BuildRequest("reduced", part_size=SIZE), progress=notes).n == manifest.n
    assert "removed images stay removed" in notes[0]


@pytest.mark.parametrize("mapped", [False, True])
def test_filters_search_parts(store, path, monkeypatch, mapped):
    from similar_images.collection import searcher

    vectors = store()
    build(vectors, path, BuildRequest(MAPPED, similarity="cosine", part_size=SIZE))
    monkeypatch.setattr(searcher, "MAX_EXACT_ELEMENTS", 0)  # search the index, however few rows match
    monkeypatch.setattr(parts, "MAX_MEMORY_SHARE", 0 if mapped else 1)
    collection = Collection.open(vectors.path, index=path)
    assert backends.is_mapped(collection.index.backend) is mapped
    found = []
    for query in store.unseen[:50]:
        hits = collection.nearest(query, k=10, where={"folder": "odd"})
        assert len(hits) == 10 and all(hit.row % 2 for hit in hits)
        exact = collection.nearest(query, k=10, where={"folder": "odd"}, exact=True)
        found.append(len({hit.row for hit in hits} & {hit.row for hit in exact}) / 10)
    assert np.mean(found) >= 0.95


def test_missing_or_damaged_part_is_named_with_remedy(store, path):
    vectors = store()
    build(vectors, path, BuildRequest("reduced", part_size=SIZE))
    name = next(iter(part_files(path)))
    part = path.with_name(name)
    whole = part.read_bytes()
    part.unlink()
    with pytest.raises(ValueError, match=rf"its part {name} is missing: restore that file; rebuild it with") as raised:
        open_index(path)
    assert "\n" not in str(raised.value)
    for damaged in mutants(whole, 60):
        part.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"its part {name} was altered or truncated: restore that file") as raised:
            open_index(path)
        assert "\n" not in str(raised.value)
    part.write_bytes(whole)  # a restored copy
    assert open_index(path).backend.ntotal == N - 3


def test_part_removed_after_check_is_named(store, path, monkeypatch):
    build(store(), path, BuildRequest("reduced", part_size=SIZE))
    gone = next(iter(part_files(path)))
    monkeypatch.setattr(parts, "_check", lambda *_: path.with_name(gone).unlink(missing_ok=True))
    with pytest.raises(ValueError, match=f"its part {gone} is missing: restore that file"):
        open_index(path)


def test_reader_sees_old_or_new_parts(store, path):
    vectors = store()
    build(vectors, path, BuildRequest("reduced", part_size=SIZE))

    def read() -> None:
        opened = open_index(path)
        assert opened.backend.ntotal == N - 3 - len(opened.removed)

    with repeated(read) as wait:
        for row in range(8, 14):
            remove(vectors, path, [row])
            wait()


def test_change_compares_complete_part(store, path, monkeypatch):
    vectors = store()
    build(vectors, path, BuildRequest("reduced", part_size=SIZE))
    part = path.with_name(open_index(path).manifest.parts.files[-1].file)
    content, changed = bytearray(part.read_bytes()), part.stat()
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    os.utime(part, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    with pytest.raises(ValueError, match="was altered or truncated"):
        add(store(N + 10), path)


def test_damaged_part_entries_are_refused(store, path):
    build(store(), path, BuildRequest("reduced", part_size=3000))
    manifest = path.with_name(path.name + ".json")
    content = json.loads(manifest.read_bytes())
    refused = 0
    for wrong in wrong_values(content["parts"]):
        manifest.write_text(json.dumps(content | {"parts": wrong}))
        try:
            open_index(path)
        except ValueError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100
    manifest.unlink()
    with pytest.raises(ValueError, match="it holds no vector: its manifest, which names its parts, may be missing"):
        open_index(path)


def test_rebuild_in_one_file_removes_parts(store, path):
    vectors = store()
    build(vectors, path, BuildRequest("reduced", part_size=SIZE))
    assert part_files(path)
    manifest = build(vectors, path, BuildRequest("reduced"))
    assert not part_files(path) and manifest.parts is None and open_index(path).backend.ntotal == N - 3


def test_open_parts_stay_searchable_after_a_change(store, path):
    vectors = store()
    build(vectors, path, BuildRequest(MAPPED, similarity="cosine", part_size=SIZE))
    opened = open_index(path, mapped=True)
    before = opened.search(store.unseen, 5)[1]
    remove(vectors, path, before[0].tolist())
    assert np.array_equal(opened.search(store.unseen, 5)[1], before)


@pytest.mark.parametrize("recipe", ["flat", "HNSW8"])
def test_recipe_without_lists_has_no_parts(store, path, recipe):
    with pytest.raises(ValueError, match="only an index of inverted lists has parts"):
        build(store(), path, BuildRequest(recipe, similarity="cosine", part_size=SIZE))
    assert not path.exists() and not list(path.parent.glob(".*"))


def test_part_of_another_index_is_refused(store, path):
    build(store(), path, BuildRequest("reduced", part_size=SIZE))
    other = path.with_name("other.index")
    build(store(), other, BuildRequest(MAPPED, part_size=SIZE))
    trained = backends.read_index(path)
    with pytest.raises(ValueError, match="Faiss cannot read its part"):
        parts.join_parts(trained, [next(other.parent.glob("other.index.*.part"))])


def test_command_builds_and_changes_parts(store, path, run):
    store(4000)
    built = run("build", "-i", "v.npy", "-o", path.name, "--part-size", "1.5k")
    assert (built.returncode, built.stdout) == (0, f"{path.name}\n"), built.stderr
    assert len(part_files(path)) == 3
    store()
    (path.parent / "gone.txt").write_text("even/4.jpg\n")
    changed = run("build", "-i", "v.npy", "-o", path.name, "--remove", "gone.txt", "--add")
    assert changed.returncode == 0 and open_index(path).backend.ntotal == N - 4, changed.stderr
    for options, message in (
        (("--part-size", "1k", "--add"), "omit --recipe, --similarity, --part-size"),
        (("--part-size", "1k", "--overwrite", "--target-recall", "0.9"), "a target builds several candidates"),
        (("--part-size", "2", "--overwrite"), "expected at most 1000 parts: use a --part-size of 6 or more"),
    ):
        refused = run("build", "-i", "v.npy", "-o", path.name, *options)
        assert refused.returncode == 1 and message in refused.stderr.splitlines()[-1]
