"""The overview without a browser: groups, ticks, pictures."""

import pytest
from galleries import outbox, tell

from similar_images import Gallery
from similar_images.widgets.overview import Overview

pytest.importorskip("sknetwork")


@pytest.fixture
def overview(collection, shown) -> Overview:
    overview = Overview(collection, shown, k=4)
    overview.wait()
    return overview


def members(group: dict) -> list[int]:
    return [image["row"] for image in group["images"]]


def test_groups_match_the_collection(collection, overview):
    spread, typical, isolated, *clusters = overview.groups
    assert members(spread) == [hit.row for hit in collection.spread(4)]
    assert members(typical) == [hit.row for hit in collection.typical(4)]
    assert members(isolated) == [hit.row for hit in collection.outliers(4)]
    assert [(one["title"], one["count"], members(one)) for one in clusters] == [
        (cluster.name, cluster.size, cluster.rows[:4].tolist()) for cluster in collection.clusters()
    ]
    assert overview.status["text"].startswith(f"{len(clusters)} clusters of 12 images")


def test_ticked_group_is_selected_in_the_gallery(collection, overview, shown):
    rows = [hit.row for hit in collection.spread(4)]
    shown.selection = before = [row for row in range(12) if row not in rows][:1]
    tell(overview, do="tick", group=0, on=True)
    assert list(overview.selection) == list(shown.selection) == before + rows
    tell(overview, do="tick", group=0, on=False)
    assert list(shown.selection) == before


def test_click_searches_in_the_gallery_and_pictures_are_sent(collection, overview, shown):
    tell(overview, do="row", row=5)
    shown.wait()
    assert shown.query.row == 5
    out = outbox(overview)
    tell(overview, do="pictures", rows=[1, 2])
    assert sorted(row for message, _ in out for row in message["pictures"]) == [1, 2]


def test_clusters_of_many_images_start_on_request(collection, shown, monkeypatch):
    monkeypatch.setattr("similar_images.widgets.background.MAX_UNASKED_IMAGES", 11)
    overview, seen = Overview(collection, shown), []
    assert overview.status == {"kind": "offer", "text": "The clusters of 12 images take minutes to find."}
    assert overview.groups == [] and collection.kept_clusters() is None
    overview.observe(lambda change: seen.append(change["new"]), "status")
    overview._handle_custom_msg({"do": "begin"}, [])
    overview._handle_custom_msg({"do": "begin"}, [])
    overview.wait()
    assert overview.status["kind"] == "done" and overview.groups
    assert seen[0] == {"kind": "busy", "text": "Finding the clusters …"}
    assert [one["share"] for one in seen[1:-1]] == [1.0]
    overview.close()


def test_failure_is_shown_and_closed_overview_ignores_the_gallery(collection, shown, monkeypatch):
    monkeypatch.setattr(type(collection), "clusters", lambda *_: (_ for _ in ()).throw(ValueError("no vectors")))
    overview = Overview(collection, shown)
    overview.wait()
    assert overview.status == {"kind": "failure", "text": "Failed: no vectors"}
    overview.close()
    shown.selection = [1]
    assert list(overview.selection) == []
    assert isinstance(shown, Gallery)
