"""The map without a browser: places, colours, the selection, and requests of the page."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import traitlets
from galleries import outbox, sent, tell
from traitlets import TraitError

from similar_images import Collection, Map
from similar_images.widgets import map_colours
from similar_images.widgets.map import QUERY

PLACES = np.arange(24, dtype=np.float64).reshape(12, 2)


@pytest.fixture
def shown_map(collection, shown):
    shown_map = Map(collection, PLACES, shown)
    yield shown_map
    shown_map.close()


def test_places_are_sent_as_float32_with_nan(collection):
    places = PLACES.copy()
    places[3, 1] = np.nan
    sent = np.frombuffer(Map(collection, places)._positions, "<f4").reshape(-1, 2)
    assert np.isnan(sent[3]).all()
    assert np.array_equal(np.delete(sent, 3, 0), np.delete(PLACES, 3, 0))


@pytest.mark.parametrize("places", [PLACES[:5], PLACES[:, :1], PLACES.ravel()])
def test_places_of_wrong_shape_are_refused(collection, places):
    with pytest.raises(ValueError, match=r"expected coordinates of shape \(12, 2\), got"):
        Map(collection, places)


def test_labels_are_coloured_by_frequency():
    colouring = map_colours.colour(["b", None, "a", "b"], 4)
    assert colouring.codes.tolist() == [1, 0, 2, 1]
    assert [(one["label"], one["count"]) for one in colouring.legend["entries"]] == [("b", 2), ("a", 1)]
    assert [colouring.describe(row) for row in range(4)] == ["b", "", "a", "b"]


def test_equally_frequent_labels_are_in_natural_order():
    labels = ["10: sun", "2: sea", "1: moon", "b", "a2", "a10"]
    entries = map_colours.colour(labels, 6).legend["entries"]
    assert [one["label"] for one in entries] == ["1: moon", "2: sea", "10: sun", "a2", "a10", "b"]


def test_rare_labels_share_a_colour():
    labels = [f"{i % 12:02}" for i in range(30)]  # of 12 labels the first 6 are more frequent
    colouring = map_colours.colour(labels, 30)
    entries = colouring.legend["entries"]
    assert [one["label"] for one in entries] == [*(f"{i:02}" for i in range(10)), "2 others"]
    assert len({one["colour"] for one in entries}) == 11
    assert sum(one["count"] for one in entries) == 30
    assert {labels[row] for row in np.flatnonzero(colouring.codes == 11)} == {"10", "11"}
    assert colouring.describe(11) == "11"


def test_ten_labels_have_different_colours():
    entries = map_colours.colour(range(10), 10).legend["entries"]
    assert [one["label"] for one in entries] == [str(i) for i in range(10)]
    assert len({one["colour"] for one in entries}) == 10


def test_floats_are_a_scale_without_nan():
    colouring = map_colours.colour([0.5, np.nan, -1.5, 2.5, np.inf], 5)
    assert colouring.codes.tolist() == [1 + round(0.5 * 253), 0, 1, 254, 0]
    assert (colouring.legend["low"], colouring.legend["high"]) == (-1.5, 2.5)
    assert [colouring.describe(row) for row in (0, 1)] == ["0.5", ""]
    assert set(map_colours.colour([2.0, 2.0], 2).codes) == {254}
    assert map_colours.colour([np.nan], 1).legend == {"entries": []}


def test_colours_are_chosen_by_name(collection):
    shown = Map(collection, PLACES, color={"kind": ["a"] * 12, "size": np.linspace(0, 1, 12)})
    assert (shown.color_by, shown._choices[:3]) == ("kind", ["", "kind", "size"])
    shown.color_by = "size"
    assert shown._codes[0] == 1 and shown._codes[11] == 254
    shown.color = range(12)
    assert (shown.color_by, shown._choices[:2]) == ("label", ["", "label"])
    shown.color = ["z"] * 12
    assert shown._legend["entries"][0]["label"] == "z", "the new values, of the same name"
    with pytest.raises(TraitError, match="expected color_by to be one of"):
        shown.color_by = "weight"
    with pytest.raises(ValueError, match="for each of 12 images, got 2"):
        shown.color = ["a", "b"]


def test_clusters_are_named_by_typical_images(collection, monkeypatch):
    class Clusters(list):
        labels = np.array([1, 0, 0, -1, *[0] * 8], np.int32)

    clusters = Clusters([SimpleNamespace(number=0, name="sea.jpg"), SimpleNamespace(number=1, name="sun.jpg")])
    monkeypatch.setattr(Collection, "clusters", lambda *_: clusters, raising=False)
    shown = Map(collection, PLACES, color={"kind": ["a"] * 12})
    assert shown._choices == ["", "kind", "cluster"]
    shown.color_by = "cluster"
    shown.wait()
    assert list(shown._codes) == [2, 1, 1, 0, *[1] * 8]
    assert [one["label"] for one in shown._legend["entries"]] == ["1: sea.jpg", "2: sun.jpg"]


def test_default_coordinates_are_computed_once_in_the_background(collection):
    pytest.importorskip("openTSNE")
    shown, seen = Map(collection), []
    shown.wait()
    assert shown.status == {"kind": "done", "text": ""}
    assert np.array_equal(np.frombuffer(shown._positions, "<f4").reshape(-1, 2), collection.kept_map())
    again = Map(collection)  # at once
    again.observe(seen.append, "_positions")
    assert again._positions == shown._positions
    again.wait()
    assert not seen


def test_missing_package_is_shown_as_failure(collection, monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    shown = Map(collection)
    shown.wait()
    text = "Failed: a map needs openTSNE: pip install 'similar-images[map]'"
    assert shown.status == {"kind": "failure", "text": text}


def test_similarity_to_the_query_matches_exact_search(collection, shown, shown_map):
    shown.search_row(4)
    shown.wait()
    shown_map.color_by = QUERY
    shown_map.wait()
    expected = {hit.row: hit.similarity for hit in collection.nearest(4, 12, exact=True)} | {4: 1.0}
    values = shown_map._shown.values
    assert [values[row] for row in range(12)] == pytest.approx([expected[row] for row in range(12)], abs=1e-6)
    assert shown_map._codes[4] == 254


def test_click_searches_in_the_gallery(shown, shown_map):
    tell(shown_map, do="search", row=7)
    shown.wait()
    assert shown.shown["query"]["row"] == shown_map.query == 7
    shown.search_row(2)
    shown.wait()
    assert shown_map.query == 2


def test_click_without_gallery_is_observed(collection):
    alone, seen = Map(collection, PLACES), []
    alone.observe(lambda change: seen.append(change["new"]), "query")
    alone.search(5)
    assert seen == [5]


def test_selection_has_each_row_once(shown_map):
    shown_map.selection = [np.int64(3), 1, 3]
    assert shown_map.selection == [3, 1]
    with pytest.raises(TraitError, match="expected rows from 0 to 11, got 12"):
        shown_map.selection = [0, 12]


def test_selection_is_shared_with_the_gallery(collection, shown):
    shown.add_traits(selection=traitlets.List())
    shared = Map(collection, PLACES, shown)
    shared.selection = [1, 2]
    assert shown.selection == [1, 2]
    shown.selection = [5]
    assert shared.selection == [5]
    shared.close()
    shown.selection = []
    assert shared.selection == [5]


def test_requested_pictures_and_names_are_sent(shown_map):
    messages = outbox(shown_map)
    tell(shown_map, do="pictures", rows=[0, 11])
    tell(shown_map, do="describe", row=3)
    pictures = {
        row: one
        for said, buffers in messages
        if said["show"] == "pictures"
        for row, one in zip(said["pictures"], buffers, strict=True)
    }
    assert set(pictures) == {0, 11} and all(one.startswith(b"\xff\xd8") for one in pictures.values())
    (described,) = [said for said, _ in messages if said["show"] == "described"]
    assert (described["row"], described["name"], described["absent"]) == (3, shown_map.collection.names[3], "")


def test_missing_image_has_a_reason(collection, shown_map):
    collection.image(0).unlink()
    said, buffers = sent(shown_map, do="pictures", rows=[0])
    assert (said["pictures"], said["absent"], buffers) == ([], [(0, "no such file")], [])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"do": "search", "row": 12}, "expected a row from 0 to 11, got 12"),
        ({"do": "describe", "row": -1}, "expected a row from 0 to 11, got -1"),
        ({"do": "pictures", "rows": list(range(1001))}, "expected up to 1000 rows, got 1001"),
        ({"do": "dance"}, "expected a request of Map's page, got {'do': 'dance'}"),
        ({"do": "undo"}, "expected a request of Map's page, got {'do': 'undo'}"),
    ],
)
def test_impossible_requests_are_shown_as_failures(shown_map, message, reason):
    shown_map._handle_custom_msg(message, [])
    assert shown_map.status["text"] == f"Failed: {reason}"


def test_closed_map_ignores_the_gallery(collection: Collection, shown):
    closed = Map(collection, PLACES, shown)
    closed.close()
    closed.close()
    before = closed.query
    shown.search_row((before + 1) % 12)
    shown.wait()
    assert closed.query == before
