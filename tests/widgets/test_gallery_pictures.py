"""The gallery's pictures, originals and exports, without a browser."""

import io
import threading

import pytest
from extraction import extract_images
from galleries import hits, query, refusal, sent, tell
from photo_files import dng, heic, jpeg_xl
from PIL import Image
from sample_images import encoded

from similar_images import Collection, Gallery
from similar_images.collection.searcher import Hit, Searcher
from similar_images.collection.session import QueryState, SearchSession
from similar_images.inputs.images import UnreadableImage
from similar_images.widgets import export


def test_hit_without_file_keeps_its_card(collection, shown):
    row = hits(shown)[0][0]
    asked = collection.names.index(query(shown))
    collection.image(row).unlink()
    shown = Gallery(collection)
    tell(shown, do="row", row=asked)
    first = shown.shown["hits"][0]
    assert (first["row"], first["picture"], first["absent"]) == (row, None, "no such file")
    tell(shown, do="row", row=row)  # its vector is there
    assert query(shown) == collection.names[row] and len(hits(shown)) == 8
    assert shown.shown["query"]["absent"] == "no such file"


def test_slow_pictures_come_later(collection, monkeypatch):
    from similar_images.widgets import thumbnails

    monkeypatch.setattr(thumbnails, "PATIENCE", 0.01)
    make, go_on = thumbnails.Thumbnails._make, threading.Event()

    def slow(self, row: int):
        if row % 2:
            go_on.wait(10)
        return make(self, row)

    monkeypatch.setattr(thumbnails.Thumbnails, "_make", slow)
    shown = Gallery(collection, k=11, seed=0)
    while not shown.shown:
        threading.Event().wait(0.01)
    early = {hit["row"] for hit in shown.shown["hits"] if hit["picture"]}
    late = []
    shown.observe(lambda change: late.extend(change["new"][1:]), "late")
    go_on.set()
    shown.wait()
    rows = {hit["row"] for hit in shown.shown["hits"]} | {shown.shown["query"]["row"]}
    assert early | {one["row"] for one in late} | {shown.shown["query"]["row"]} >= rows
    assert all(one["picture"] for one in late)


def test_thumbnail_cache_is_limited(collection):
    from similar_images.widgets.thumbnails import Thumbnails

    (made,) = Thumbnails(collection, 160).get([0])
    limited = Thumbnails(collection, 160, cache_bytes=3 * len(made[0]))
    for row in range(12):
        (_,) = limited.get([row])
    assert sum(len(one) for one in limited._cache.values()) <= 3 * len(made[0])


def test_original_is_sent_in_a_browser_format(collection, shown):
    message, (content,) = sent(shown, do="original", row=3)
    assert message == {"show": "original", "row": 3, "name": collection.names[3], "size": "80 x 60 pixels"}
    assert content == collection.image(3).read_bytes()
    collection.image(3).write_bytes(encoded(Image.new("RGB", (50, 40)), "TIFF"))
    message, (content,) = sent(shown, do="original", row=3)
    assert message["size"] == "50 x 40 pixels" and Image.open(io.BytesIO(content)).format == "JPEG"
    for make in (heic, jpeg_xl, dng):
        collection.image(3).write_bytes(make(Image.new("RGB", (50, 40))))
        message, (content,) = sent(shown, do="original", row=3)
        assert message["size"] == "50 x 40 pixels" and Image.open(io.BytesIO(content)).format == "JPEG"
    collection.image(3).unlink()
    tell(shown, do="original", row=3)
    assert refusal(shown).startswith("Failed: no such file")


def test_ticked_hits_are_exported(shown):
    shown.selection = rows = [hits(shown)[i][0] for i in (0, 2)]
    message, (content,) = sent(shown, do="export", form="csv")
    assert (message["name"], message["type"]) == ("similar-images.csv", "text/csv")
    assert content.decode().splitlines() == [
        "name,similarity",
        *(f"{name},{similarity:.4f}" for row, name, similarity in hits(shown) if row in rows),
    ]
    message, (content,) = sent(shown, do="export", form="png")
    assert Image.open(io.BytesIO(content)).size == (12 + 2 * 252, 12 + 268)
    message, (content,) = sent(shown, do="export", form="html")
    assert content.count(b"data:image/jpeg;base64,") == 2 and query(shown).encode() in content
    shown.selection = []
    tell(shown, do="export", form="csv")
    assert "expected ticked hits" in refusal(shown)


def test_exported_page_escapes_names(collection, shown):
    from similar_images.collection.searcher import Hit
    from similar_images.widgets import export

    page = export.contact_page("<b>", [Hit(0, "<script>", 0.5)], {0: "no such file"})
    assert b"<script>" not in page and b"&lt;b&gt;" in page


def test_query_without_close_match_is_shown(shown, monkeypatch):
    for answer in (True, False):
        monkeypatch.setattr(Searcher, "has_no_close_match", lambda *_, answer=answer: answer)
        tell(shown, do="row", row=0)
        assert shown.shown["unlike"] is answer


def test_collection_without_vectors_is_shown_as_failure(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("no picture")
    names = tmp_path / "a.txt"
    extract_images(tmp_path / "photos", names, ["a.jpg"])
    assert "was skipped" in refusal(Gallery(Collection.open(names)))


def test_missing_image_has_no_parts(collection):
    collection.image(0).unlink()
    with pytest.raises(UnreadableImage, match="no such file"):
        SearchSession(collection).query_part(QueryState("x", 0, row=0), (0, 0, 1, 1))


def test_exported_csv_quotes_formulas():
    content = export.names_csv([Hit(0, "=1+1.jpg", 1.0), Hit(1, "a.jpg", 0.5)])
    assert content.decode() == "name,similarity\n'=1+1.jpg,1.0000\na.jpg,0.5000\n"
