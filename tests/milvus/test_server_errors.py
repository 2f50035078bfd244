"""Full or slow Milvus server: one line with a remedy, and it works again afterwards."""

import signal
import time

import pytest
from arrays import clustered
from milvus_collections import opened, saved
from milvus_server import MilvusServer, why_not

from similar_images.index.builder import BuildRequest
from similar_images.milvus import build as building
from similar_images.vectors.store import open_vectors

pytestmark = pytest.mark.cluster
COSINE = BuildRequest(similarity="cosine")
QUOTA = 2  # MB on the server's disk
N, D = 6000, 256  # vectors that exceed it


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Server with a small disk quota."""
    if reason := why_not():
        pytest.skip(reason)
    server = MilvusServer(
        tmp_path_factory.mktemp("small") / "server", f"quotaAndLimits.limitWriting.diskProtection.diskQuota={QUOTA}"
    )
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def filled(small, tmp_path_factory):
    """Collection that exceeds the disk quota; the server notices after loading it."""
    folder = tmp_path_factory.mktemp("filled")
    vectors = saved(folder, clustered(N, D))
    building.build(open_vectors(vectors), folder / "v.milvus.json", building.Target(small.uri()), {}, COSINE)
    return opened(vectors, folder / "v.milvus.json")


def test_full_server_is_reported_and_stays_searchable(small, filled, tmp_path):
    vectors, manifest = saved(tmp_path, clustered(2000, D)), tmp_path / "v.milvus.json"
    until, failure = time.monotonic() + 60, None
    while failure is None and time.monotonic() < until:  # its quota is checked every few seconds
        try:
            building.build(open_vectors(vectors), manifest, building.Target(small.uri()), {}, COSINE)
            manifest.unlink()
        except OSError as error:
            failure = str(error)
    assert failure is not None and "\n" not in failure
    assert failure.startswith(f"Milvus at {small.uri()} is full (") and failure.endswith("then rerun to resume")
    assert not manifest.exists()
    assert len(filled.nearest(3, 5)) == 5


def test_slow_server_times_out_and_answers_later(small, filled, monkeypatch):
    expected = filled.nearest(4, 3)
    monkeypatch.setenv("MILVUS_TIMEOUT", "2")
    small.signal(signal.SIGSTOP)
    try:
        with pytest.raises(
            TimeoutError, match=r"did not answer within 2 s: try again, or allow more with MILVUS_TIMEOUT"
        ):
            filled.nearest(4, 3)
    finally:
        small.signal(signal.SIGCONT)
    monkeypatch.setenv("MILVUS_TIMEOUT", "30")
    assert filled.nearest(4, 3) == expected
