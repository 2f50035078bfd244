"""The kept map: of a collection that grows, in folders that cannot be written to, of several threads and processes."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from collection_files import save_indexed, save_vectors
from PIL import Image

from similar_images.collection import column_files, overview
from similar_images.collection.create import create_files
from similar_images.collection.images import Collection
from similar_images.index import builder
from similar_images.index.builder import BuildRequest
from similar_images.overview import layout
from similar_images.vectors.store import index_path, open_vectors

pytest.importorskip("openTSNE", reason="the map is not installed")
pytest.importorskip("sknetwork", reason="the clusters are not installed")

N, GROWN = 300, 330
VECTORS = clustered(GROWN, 32)


@pytest.fixture
def path(tmp_path) -> Path:
    return save_indexed(tmp_path / "photos.npy", VECTORS[:N], similarity="whitened")


def grow(path: Path) -> None:
    save_vectors(path, VECTORS)
    builder.add(open_vectors(path), index_path(path))


def remove(path: Path, rows: list[int]) -> None:
    builder.remove(open_vectors(path), index_path(path), rows)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if ".map." in file.name or ".clusters." in file.name)


def moved(places: np.ndarray, others: np.ndarray) -> float:
    return float(np.nanmedian(np.linalg.norm(places - others, axis=1)))


def test_grown_collection_keeps_its_map(path):
    before = Collection.open(path).map()
    grow(path)
    collection = Collection.open(path)
    assert collection.kept_map() is None
    places = collection.map()
    assert np.isfinite(places).all() and moved(places[:N], before) < 0.15
    assert moved(collection.map(fresh=True)[:N], before) > 2 * moved(places[:N], before)
    assert files(path.parent) == ["photos.faiss.index.map.npz"]


def test_the_same_history_gives_the_same_bytes(path):
    file, before = Collection.open(path).map_file(), Collection.open(path).map()
    kept = file.read_bytes()
    grow(path)
    places, grown = Collection.open(path).map(), file.read_bytes()
    file.write_bytes(kept)
    assert Collection.open(path).map().tobytes() == places.tobytes() and file.read_bytes() == grown
    fresh = Collection.open(path).map(fresh=True)
    file.unlink()
    assert Collection.open(path).map().tobytes() == fresh.tobytes() != places.tobytes()
    assert moved(places[:N], before) > 0


def test_removed_rows_lose_their_places_and_others_stay(path, monkeypatch):
    places = Collection.open(path).map()
    remove(path, [3, 5])
    monkeypatch.setattr(layout, "lay_out", None)
    less = Collection.open(path).map()
    assert np.flatnonzero(np.isnan(less[:, 0])).tolist() == [3, 5]
    places[[3, 5]] = np.nan
    assert less.tobytes() == places.tobytes() == Collection.open(path).kept_map().tobytes()


def test_removed_and_then_grown_or_restored_the_others_stay_near(path):
    before = Collection.open(path).map()
    remove(path, [3, 5])
    grow(path)
    places = Collection.open(path).map()
    assert np.flatnonzero(np.isnan(places[:, 0])).tolist() == [3, 5] and moved(places[:N], before) < 0.15
    builder.build(open_vectors(path), index_path(path), BuildRequest(similarity="whitened", restore=True))
    collection = Collection.open(path)
    assert collection.kept_map() is None
    restored = collection.map()
    assert np.isfinite(restored).all() and moved(restored, places) < 0.15


def test_map_made_before_the_index_is_reused_by_it(tmp_path):
    path = save_vectors(tmp_path / "photos.npy", VECTORS[:N])
    before = Collection.open(path).map()
    Collection.open(path).clusters()
    builder.build(open_vectors(path), index_path(path), BuildRequest(similarity="whitened"))
    collection = Collection.open(path)
    assert collection.kept_map() is None and collection.kept_clusters() is None
    places = collection.map()
    collection.clusters()
    assert 0 < moved(places, before) < 0.15
    assert files(tmp_path) == ["photos.faiss.index.clusters.npz", "photos.faiss.index.map.npz"]


@pytest.mark.parametrize("other", ["names", "vectors", "seed"])
def test_a_map_of_other_rows_or_of_another_seed_is_not_started_from(path, monkeypatch, other):
    Collection.open(path).map(seed=1 if other == "seed" else 0)
    if other == "names":
        path.with_suffix(".txt").write_text("".join(f"other {row}.jpg\n" for row in range(N)))
    if other == "vectors":
        np.save(path, VECTORS[N - 1 :: -1])
    builder.build(open_vectors(path), index_path(path), BuildRequest(similarity="cosine"))
    started = []
    lay_out = layout.lay_out
    monkeypatch.setattr(layout, "lay_out", lambda *given: (started.append(given[4]), lay_out(*given))[1])
    Collection.open(path).map()
    assert started == [None]


def test_where_nothing_can_be_written_map_and_clusters_are_made_with_a_warning(path, monkeypatch):
    places, clusters = Collection.open(path).map(), Collection.open(path).clusters()
    for file in files(path.parent):
        (path.parent / file).unlink()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(overview, "replace_file", refuse)
    monkeypatch.setattr(overview, "hold_lock", refuse)
    collection = Collection.open(path)
    with pytest.warns(UserWarning, match=r"^map made but not kept: cannot write .*\.map\.npz: Permission denied$"):
        made = collection.map()
    with pytest.warns(UserWarning, match="clusters made but not kept"):
        found = collection.clusters()
    assert made.tobytes() == places.tobytes() and found.labels.tolist() == clusters.labels.tolist()
    assert files(path.parent) == []
    monkeypatch.setattr(overview, "find_neighbours", None)  # neither is made again
    assert collection.map().tobytes() == places.tobytes() and collection.clusters().labels.tolist()
    assert collection.to_arrow().schema.names[-3:] == ["x", "y", "cluster"]


def at_once(*calls: Callable[[], object]) -> list:
    """Return the results of simultaneous calls, each in a thread."""
    start, results = threading.Barrier(len(calls)), {}

    def run(place: int) -> None:
        start.wait()
        results[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return [results[place] for place in range(len(calls))]


def counted(monkeypatch, module: object, name: str) -> list:
    calls, original = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given: (calls.append(name), original(*given))[1])
    return calls


@pytest.mark.parametrize("opened", [1, 2])
def test_threads_that_ask_at_once_make_nothing_twice(path, monkeypatch, opened):
    from similar_images.overview import clusters

    searched = counted(monkeypatch, overview, "find_neighbours")
    laid, grouped = counted(monkeypatch, layout, "lay_out"), counted(monkeypatch, clusters, "find_clusters")
    collections = [Collection.open(path) for _ in range(opened)] * (3 - opened)
    calls = [call for one in collections for call in (one.map, one.clusters, one.neighbours)]
    results = at_once(*calls)
    assert results[0].tobytes() == results[3].tobytes() == Collection.open(path).kept_map().tobytes()
    assert results[1].labels.tolist() == results[4].labels.tolist()
    assert results[2].rows.tolist() == results[5].rows.tolist()
    assert (len(laid), len(grouped), len(searched)) == (1, 1, opened)


MAKE = """
import sys
from similar_images.overview import layout
from similar_images.collection.images import Collection

def made(*given, lay_out=layout.lay_out):
    print("made")
    return lay_out(*given)

layout.lay_out = made
collection = Collection.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(collection.map().tobytes().hex())
"""


def test_processes_that_make_the_same_map_make_it_once(path):
    command = [sys.executable, "-W", "error::UserWarning", "-c", MAKE, str(path)]
    runs = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        for _ in range(3)
    ]
    assert [run.stdout.readline() for run in runs] == ["ready\n"] * 3
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    printed = [run.communicate(timeout=300)[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sum("made" in lines for lines in printed) == 1
    assert {lines[-1] for lines in printed} == {Collection.open(path).kept_map().tobytes().hex()}
    assert [file.name for file in path.parent.glob(".*")] == []


def test_threads_that_read_exif_at_once_read_it_once(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        taken = Image.Exif()
        taken[0x0110] = f"camera {number}"
        Image.new("RGB", (20, 20), (80 * number, 9, 9)).save(tmp_path / "photos" / f"{number}.jpg", exif=taken)
    path = create_files(tmp_path / "photos", tmp_path, "hog-colour")
    read = counted(monkeypatch, column_files, "read_exif")
    collection = Collection.open(path)
    at_once(collection.read_exif, collection.read_exif, Collection.open(path).read_exif)
    assert len(read) == 1
    assert collection.columns["camera"].tolist() == ["camera 0", "camera 1", "camera 2"]
