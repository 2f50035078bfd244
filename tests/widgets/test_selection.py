"""A gallery and Python: hits, query, ticked rows, marks, names, several images, further hits."""

import pytest
from galleries import hits, outbox, query, refusal, tell
from traitlets import TraitError

from similar_images import Collection
from similar_images.widgets import search


def of(collection: Collection, kind: str) -> list[int]:
    return [row for row, name in enumerate(collection.names) if name.startswith(kind)]


def test_hits_and_query_are_readable_in_python(collection, shown):
    assert [tuple(hit)[:3] for hit in shown.hits] == [(row, name, pytest.approx(one)) for row, name, one in hits(shown)]
    row = collection.names.index(query(shown))
    assert (shown.query.name, shown.query.row) == (query(shown), row)
    assert [hit.row for hit in shown.query.hits] == [row] and shown.query.hits[0].similarity == pytest.approx(
        1, abs=1e-5
    )


def test_selection_outlives_queries_and_is_observed(collection, shown):
    seen = []
    shown.observe(lambda change: seen.append(list(change["new"])), "selection")
    shown.set_state({"selection": [3, 5, 3]})  # from the page
    tell(shown, do="random")
    assert shown.selection == [3, 5] and seen == [[3, 5]]
    assert shown.get_state()["selection"] == [3, 5]
    row = collection.names.index(query(shown))
    whole = {hit.row: hit for hit in collection.nearest(row, 11)} | {row: shown.query.hits[0]}
    for hit in shown.selection.hits:
        assert hit.similarity == pytest.approx(whole[hit.row].similarity, abs=1e-5)
    with pytest.raises(TraitError, match="expected rows from 0 to 11, got 12"):
        shown.selection = [12]
    assert shown.selection == [3, 5]


def test_marks_search_at_once_and_are_in_the_history(collection, shown):
    first = collection.names.index(query(shown))
    like, unlike = hits(shown)[4][0], hits(shown)[0][0]
    tell(shown, do="mark", row=like, sign=1)
    tell(shown, do="mark", row=unlike, sign=-1)
    assert (shown.positives, shown.negatives) == ([like], [unlike])
    expected = collection.nearest([first, like], 8, negatives=[unlike])
    assert [row for row, _, _ in hits(shown)] == [hit.row for hit in expected]
    assert query(shown) == collection.names[first] and "like 2 and unlike 1" in shown.status["text"]
    assert [mark["row"] for mark in shown.shown["positives"] + shown.shown["negatives"]] == [like, unlike]
    assert all(mark["picture"] for mark in shown.shown["positives"] + shown.shown["negatives"])
    tell(shown, do="go", steps=-2)
    assert (shown.positives, shown.negatives, shown.shown["positives"]) == ([], [], [])
    tell(shown, do="go", steps=2)
    assert (shown.positives, shown.negatives) == ([like], [unlike])
    tell(shown, do="mark", row=like, sign=-1)  # the other way
    assert (shown.positives, shown.negatives) == ([], [unlike, like])
    tell(shown, do="unmark", name="negatives", at=0)
    assert shown.negatives == [like]
    tell(shown, do="row", row=5)
    assert (shown.positives, shown.negatives) == ([], [])


def test_marks_set_in_python_search(collection, shown):
    first = collection.names.index(query(shown))
    rows = [row for row in range(12) if row != first][:3]
    shown.positives = rows
    shown.wait()
    assert [row for row, _, _ in hits(shown)] == [hit.row for hit in collection.nearest([first, *rows], 8)]
    assert [hit.row for hit in shown.query.hits] == [first, *rows]
    with pytest.raises(TraitError, match="expected rows from 0 to 11"):
        shown.negatives = [99]


def test_several_images_are_several_positives(collection, shown):
    rows = [of(collection, "sea")[0], of(collection, "wine")[0]]
    contents = [collection.image(row).read_bytes() for row in rows]
    for at, content in enumerate(contents):
        tell(shown, content, do="upload", name=f"{at}.jpg", start=0, size=len(content), at=at, of=2)
    assert query(shown) == "0.jpg" and [mark["name"] for mark in shown.shown["positives"]] == ["1.jpg"]
    assert {row for row, _, _ in hits(shown)[:2]} == set(rows)
    tell(shown, do="mark", row=hits(shown)[5][0], sign=-1)
    assert [mark["name"] for mark in shown.shown["positives"]] == ["1.jpg"]  # stays
    tell(shown, do="unmark", name="positives", at=0)
    assert shown.shown["positives"] == [] and len(shown.shown["negatives"]) == 1


def test_typed_name_searches_by_its_image(collection, shown):
    name = collection.names[of(collection, "wine")[1]]
    for typed in (name, f" {name} ", name.upper(), name.split("/")[1]):
        tell(shown, do="row", row=0)
        tell(shown, do="address", address=typed)
        assert query(shown) == name
    tell(shown, do="address", address="wine")
    assert "wine: several names contain it: type more" in refusal(shown)
    tell(shown, do="address", address="cat.jpg")
    assert "cat.jpg: no name of the collection contains it; an address begins with http:// or https://" in refusal(
        shown
    )


def test_names_are_proposed_while_typing(collection, shown):
    out = outbox(shown)
    tell(shown, do="names", text="INE")
    ((message, _),) = out
    assert message["names"] == [name for name in collection.names if "ine" in name]


def test_more_hits_follow_up_to_the_entire_collection(collection, shown, monkeypatch):
    monkeypatch.setattr(search, "MORE_HITS", 3)
    shown.k = 2
    shown.wait()
    row, out = collection.names.index(query(shown)), outbox(shown)
    number, found = shown.shown["number"], [one[0] for one in hits(shown)]
    while not (out and out[-1][0].get("is_all")):
        tell(shown, do="more", number=number, start=len(found))
        messages = [message for message, _ in out if message["show"] == "more"]
        found += [hit["row"] for hit in messages[-1]["hits"]]
        assert len(out[-1][1]) == len(out[-1][0]["pictures"])
    assert found == [hit.row for hit in collection.nearest(row, 11)]
    assert [hit.row for hit in shown.hits] == found
    out.clear()
    tell(shown, do="more", number=number, start=2)  # again, for a reloaded page
    assert [hit["row"] for hit in out[0][0]["hits"]] == found[2:5]
    tell(shown, do="more", number=number - 1, start=2)  # of an older answer
    assert len(out) == 1
