import subprocess
import sys

import faiss
import numpy as np
import pytest
from conftest import ROOT

from similar_images.index.builder import BuildRequest, build
from similar_images.index.exact import normalise
from similar_images.index.index import open_index

N, D = 600, 32

ATTACK = """
import random, sys
from pathlib import Path
import numpy as np
from similar_images.collection.images import Collection
from similar_images.index.index import open_index

folder = Path(sys.argv[1])
good, manifest = (folder / "good.index").read_bytes(), folder / "good.index.json"
random, refused, answered = random.Random(7), 0, 0
for attempt in range(400):
    content = bytearray(good)
    if attempt % 2:
        del content[random.randrange(len(good)):]
    else:  # half of the flips in the first bytes, which contain lengths
        content[random.randrange(len(good) if attempt % 4 else min(400, len(good)))] ^= 1 << random.randrange(8)
    (folder / "bad.index").write_bytes(content)
    if manifest.exists():
        (folder / "bad.index.json").write_bytes(manifest.read_bytes())
    try:
        hits = Collection.open(folder / "v.npy", index=folder / "bad.index").nearest(3, k=5)
        assert all(0 <= hit.row < 600 for hit in hits)
        answered += 1
    except ValueError as error:
        assert "\\n" not in str(error) and "bad.index" in str(error), error
        refused += 1
print(refused, answered)
"""


@pytest.fixture
def vectors(save):
    return save(np.random.default_rng(0).normal(size=(N, D)).astype(np.float32))


def attack(folder) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", ATTACK, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]  # an abort or a crash would be negative
    refused, answered = map(int, done.stdout.split())
    return refused, answered


@pytest.mark.parametrize("recipe", ["flat", "reduced"])
def test_altered_index_with_manifest_is_refused(vectors, tmp_path, recipe):
    build(vectors, tmp_path / "good.index", BuildRequest(recipe))
    assert attack(tmp_path) == (400, 0)


@pytest.mark.parametrize(
    ("factory", "metric"),
    [
        ("IVF24,PQ16x8np", faiss.METRIC_L2),  # of 2022, without polysemous codes, which only cost time
        ("IVF24,PQ16x8np", faiss.METRIC_INNER_PRODUCT),
        ("PCA16,IVF24,PQ8x4fs", faiss.METRIC_L2),
        ("HNSW8", faiss.METRIC_L2),
    ],
)
def test_altered_foreign_index_never_crashes(vectors, tmp_path, factory, metric):
    index = faiss.index_factory(D, factory, metric)
    if "PQ16" in factory:
        index.cp.niter = index.pq.cp.niter = 2
    index.train(normalise(vectors.array))
    index.add(normalise(vectors.array))
    faiss.write_index(index, str(tmp_path / "good.index"))
    refused, answered = attack(tmp_path)
    assert refused >= 200 and refused + answered == 400  # every truncated file


@pytest.mark.parametrize(
    "factory", ["Flat", "IDMap,Flat", "IVF24,PQ16x8np", "PCA16,IVF24,PQ8x4fs", "PCA16,IVF24,SQ8", "HNSW8"]
)
def test_known_index_types_open_without_manifest(vectors, tmp_path, factory):
    index = faiss.index_factory(D, factory)
    index.train(vectors.array)
    index.add_with_ids(vectors.array, np.arange(N)) if "IDMap" in factory else index.add(vectors.array)
    faiss.write_index(index, str(tmp_path / "i.index"))
    opened = open_index(tmp_path / "i.index").backend
    assert np.array_equal(opened.search(vectors.array[:9], 3)[1], index.search(vectors.array[:9], 3)[1])
