"""Gallery on Milvus: it shows hits, survives an outage of the server, and works again afterwards."""

import time

import pytest
from arrays import clustered
from galleries import hits, query, refusal, tell
from milvus_collections import Milvus, opened, saved

from similar_images import Gallery
from similar_images.milvus import connection as connections


@pytest.fixture
def gallery(milvus: Milvus, tmp_path):
    vectors = saved(tmp_path, clustered(600, 24))
    with_index = opened(vectors, milvus.build(vectors, "shown", "HNSW", similarity="whitened"))
    shown = Gallery(with_index, k=5, seed=0)
    shown.wait()
    yield shown
    shown.close()


def expected(gallery: Gallery, row: int) -> list[int]:
    return [hit.row for hit in gallery.collection.nearest(row, 5, exact=True)]


def test_gallery_shows_hits_of_milvus(gallery):
    gallery.search_row(17)
    gallery.wait()
    assert query(gallery) == gallery.collection.names[17]
    assert [row for row, _, _ in hits(gallery)] == expected(gallery, 17)
    assert "Milvus HNSW index of 600 images" in gallery.status["text"]
    assert gallery.offers_exact


def test_gallery_combines_several_images_in_a_query(gallery):
    gallery.search_row(17)
    gallery.wait()
    tell(gallery, do="mark", number=gallery.shown["number"], row=hits(gallery)[1][0], sign=1)
    assert gallery.status["kind"] == "done", gallery.status


def test_gallery_survives_server_outage(gallery, milvus, monkeypatch):
    if milvus.server is None:
        pytest.skip("Milvus Lite ends with this process")
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 3.0)
    gallery.search_row(17)
    gallery.wait()
    milvus.server.kill()
    gallery.search_row(18)
    gallery.wait()
    assert refusal(gallery).startswith(f"Not searched: no Milvus answers at {milvus.uri}: start it")
    milvus.server.start()
    until = time.monotonic() + 60
    while gallery.status["kind"] != "done" and time.monotonic() < until:
        time.sleep(0.5)
        gallery.search_row(18)
        gallery.wait()
    assert [row for row, _, _ in hits(gallery)] == expected(gallery, 18)
