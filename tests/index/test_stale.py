"""An index is refused with other vectors or names than it was built from."""

import json
from pathlib import Path

import numpy as np
import pytest
from arrays import clustered
from click.testing import CliRunner

from similar_images import Collection
from similar_images.cli.build import main as build_command
from similar_images.cli.search import main as search_command
from similar_images.events import Skipped
from similar_images.files import read_json
from similar_images.index import builder
from similar_images.index.index import open_index
from similar_images.index.manifest import IndexManifest, manifest_path
from similar_images.networks.description import NetworkDescription
from similar_images.vectors import store
from similar_images.vectors.store import Vectors, open_vectors
from similar_images.vectors.writer import Writer

N, D = 2500, 16  # three blocks of rows, the last one shorter
HOG = NetworkDescription("hog-colour", dimension=D)


class Folder:
    """Vectors in a folder, extracted with a manifest or made by another tool without one, and their index."""

    def __init__(self, folder: Path, has_manifest: bool):
        self.folder, self.has_manifest = folder, has_manifest
        self.path, self.index = folder / "v.npy", folder / "v.faiss.index"
        self.array = clustered(N, D)

    def save(self, skipped: tuple[int, ...] = (), names: list[str] | None = None) -> Vectors:
        """Write the vectors as they are now."""
        n = len(self.array)
        names = names or [f"{row}.jpg" for row in range(n)]
        (self.folder / "v.txt").write_text("".join(f"{name}\n" for name in names))
        if not self.has_manifest:
            np.save(self.path, self.array)
        else:
            writer = Writer(self.path, self.folder / "v.txt", names, self.folder, overwrite=True)
            writer.begin(HOG)
            writer.append(self.array, [Skipped(row, names[row], "broken") for row in skipped])
            writer.finish()
        return open_vectors(self.path)

    def refusal(self) -> str:
        """Return why the index is refused: by an open collection, by `add` and by `remove`."""
        said = set()
        for use in (
            lambda: Collection.open(self.path),
            lambda: builder.add(open_vectors(self.path), self.index),
            lambda: builder.remove(open_vectors(self.path), self.index, [5]),
        ):
            with pytest.raises(ValueError, match="was built from other vectors than") as raised:
                use()
            said.add(str(raised.value))
        (only,) = said
        return only


@pytest.fixture(params=[True, False], ids=["extracted", "without a manifest"])
def folder(request, tmp_path) -> Folder:
    return Folder(tmp_path, request.param)


@pytest.mark.parametrize(("row", "rows"), [(3, "0 to 1,023"), (1500, "1,024 to 2,047"), (N - 1, "2,048 to 2,499")])
def test_index_is_refused_after_one_row_changed(folder, row, rows):
    builder.build(folder.save(), folder.index)
    folder.array[row, 0] += 0.1
    folder.save()
    assert folder.refusal() == (
        f"{folder.index} was built from other vectors than {folder.path}: rows {rows} have changed; "
        "rebuild it with similar-images build"
    )


def test_index_is_refused_after_names_changed(folder):
    builder.build(folder.save(), folder.index)
    folder.save(names=[f"{row + row % 2}.jpg" for row in range(N)])
    assert "names have changed; rebuild it" in folder.refusal()


@pytest.mark.parametrize("row", [None, 1500, 2300])
def test_grown_collection_is_refused_only_if_indexed_row_changed(folder, row):
    builder.build(folder.save(), folder.index)
    folder.array = np.concatenate([folder.array, clustered(1000, D, seed=1)])
    folder.array[-1] += 1
    if row is not None:
        folder.array[row] += 0.1
    folder.save()
    if row is not None:
        assert "have changed" in folder.refusal()
    else:
        assert Collection.open(folder.path).not_indexed == 1000
        assert builder.add(open_vectors(folder.path), folder.index).n == N + 1000
        assert Collection.open(folder.path).not_indexed == 0


def test_repaired_rows_are_no_change(tmp_path):
    folder = Folder(tmp_path, has_manifest=True)
    whole = folder.array.copy()
    folder.array[[7, 2000]] = 0
    builder.build(folder.save(skipped=(7, 2000)), folder.index)
    folder.array[7] = whole[7]
    folder.save(skipped=(2000,))
    assert Collection.open(folder.path).not_indexed == 1
    builder.remove(open_vectors(folder.path), folder.index, [8])
    assert Collection.open(folder.path).not_indexed == 1
    assert builder.add(open_vectors(folder.path), folder.index).n == N - 2
    folder.array[9] += 0.1
    folder.save(skipped=(2000,))
    assert "rows 0 to 1,023 have changed" in folder.refusal()


def test_removed_rows_stay_removed_when_a_stale_index_is_rebuilt(folder):
    builder.build(folder.save(), folder.index)
    builder.remove(open_vectors(folder.path), folder.index, [3, 40])
    folder.array[1500] += 0.1
    assert builder.build(folder.save(), folder.index).removed == [3, 40]
    folder.save(names=[f"other/{row}.jpg" for row in range(N)])
    assert builder.build(open_vectors(folder.path), folder.index).removed == []


def test_digests_in_manifests_are_compared_without_vectors(tmp_path, monkeypatch):
    folder = Folder(tmp_path, has_manifest=True)
    builder.build(folder.save(), folder.index)
    monkeypatch.setattr(store.hashlib, "blake2b", None)
    assert len(Collection.open(folder.path)) == N


def test_large_vectors_without_manifest_are_sampled(tmp_path, monkeypatch):
    folder = Folder(tmp_path, has_manifest=False)
    folder.array = clustered(5 * store.DIGEST_ROWS, D)
    builder.build(folder.save(), folder.index)
    monkeypatch.setattr("similar_images.index.index.WHOLE_BYTES", 3 * store.DIGEST_ROWS * 4 * D)
    for row, is_sampled in ((1500, False), (5, True), (2500, True), (5000, True)):
        before = folder.array[row].copy()
        folder.array[row] += 0.1
        folder.save()
        if is_sampled:
            assert "have changed" in folder.refusal()
        else:
            assert Collection.open(folder.path).index is not None
            with pytest.raises(ValueError, match="rows 1,024 to 2,047 have changed"):
                builder.add(open_vectors(folder.path), folder.index)
        folder.array[row] = before


def test_index_of_earlier_version_is_checked(folder):
    builder.build(folder.save(), folder.index)
    manifest = read_json(manifest_path(folder.index), IndexManifest.FORMAT)
    for key in ("blocks", "modified"):
        del manifest["vectors"][key]
    manifest_path(folder.index).write_text(json.dumps(manifest))
    folder.array[1500] += 0.1
    folder.save()
    assert Collection.open(folder.path).index is not None
    folder.array[2] += 0.1
    folder.save()
    assert "was built from other vectors" in folder.refusal()


def test_damaged_digests_are_refused(folder):
    builder.build(folder.save(), folder.index)
    path = manifest_path(folder.index)
    manifest = json.loads(path.read_text())
    for blocks in (manifest["vectors"]["blocks"][:-1], [1, 2, 3]):
        vectors = manifest["vectors"] | {"blocks": blocks}
        path.write_text(json.dumps(manifest | {"vectors": vectors}))
        with pytest.raises(ValueError, match=r"its manifest is damaged, vectors\.blocks"):
            open_index(folder.index)


def test_commands_refuse_stale_index(folder, monkeypatch):
    builder.build(folder.save(), folder.index)
    monkeypatch.chdir(folder.folder)
    folder.array[1500] += 0.1
    folder.save()
    for command, arguments in (
        (search_command, ["-i", "v.npy", "5.jpg"]),
        (build_command, ["-i", "v.npy", "--add"]),
    ):
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 1
        assert done.stderr.splitlines()[-1].startswith(
            "Error: v.faiss.index was built from other vectors than v.npy: rows"
        )
    assert CliRunner().invoke(build_command, ["-i", "v.npy", "--overwrite"]).exit_code == 0
    assert Collection.open("v.npy").nearest(1500, 1)
