"""A Milvus server that is full, or slow once it is connected: one clear line with the remedy, and it goes on afterwards."""

import signal
import time

import pytest
from arrays import clustered
from milvus_collections import opened, saved
from milvus_server import MilvusServer, why_not

from similar_images.milvus import build as building
from similar_images.vectors.store import open_vectors

pytestmark = pytest.mark.cluster
QUOTA = 2  # MB on the server's disk
N, D = 6000, 256  # vectors of more


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server whose disk holds little."""
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
    """A collection that takes more than the server's disk may hold; the server notices after it is loaded."""
    folder = tmp_path_factory.mktemp("filled")
    vectors = saved(folder, clustered(N, D))
    building.build(
        open_vectors(vectors), folder / "v.milvus.json", building.Target(small.uri()), {}, similarity="cosine"
    )
    return opened(vectors, folder / "v.milvus.json")


def test_a_server_that_is_full_is_said_and_what_it_holds_is_still_found(small, filled, tmp_path):
    vectors, manifest = saved(tmp_path, clustered(2000, D)), tmp_path / "v.milvus.json"
    until, failure = time.monotonic() + 60, None
    while failure is None and time.monotonic() < until:  # its quota is checked every few seconds
        try:
            building.build(open_vectors(vectors), manifest, building.Target(small.uri()), {}, similarity="cosine")
            manifest.unlink()
        except OSError as error:
            failure = str(error)
    assert failure is not None and "\n" not in failure
    assert failure.startswith(f"Milvus at {small.uri()} is full (") and failure.endswith("then rerun to resume")
    assert not manifest.exists()
    assert len(filled.nearest(3, 5)) == 5


def test_a_server_that_becomes_slow_is_given_up_and_answers_again_later(small, filled, monkeypatch):
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
