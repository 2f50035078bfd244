"""The gallery without a browser: the kernel's answers to requests of a page."""

import io
import threading

import pytest
from galleries import GREEN, expected, hits, query, refusal, tell, upload
from PIL import Image
from sample_images import encoded, extract_and_index

from similar_images import Collection, Gallery
from similar_images.collection.session import MAX_HISTORY, History, QueryState, SearchSession, shuffle_rows
from similar_images.inputs import web as fetching
from similar_images.networks import catalog
from similar_images.networks.catalog import Network
from similar_images.widgets.gallery import NETWORK_THREAD


def test_gallery_starts_with_a_random_image(collection, shown):
    assert hits(shown) == expected(collection, collection.names.index(query(shown)))
    assert shown.status["kind"] == "done"


def test_random_image_has_a_vector(tmp_path, collection):
    (tmp_path / "sample" / "broken.jpg").write_text("no picture")
    extract_and_index(tmp_path / "sample", tmp_path / "with_broken.txt")
    collection = Collection.open(tmp_path / "with_broken.txt")
    rows = shuffle_rows(collection, seed=0)
    assert sorted(next(rows) for _ in range(12)) == list(range(1, 13))  # row 0 is broken.jpg


def test_rows_need_no_network(collection, monkeypatch):
    monkeypatch.setattr(Collection, "load_network", lambda self: pytest.fail("the network was loaded"))
    shown = Gallery(collection)
    shown.wait()
    row, name, _ = hits(shown)[2]
    tell(shown, do="row", row=row)
    assert query(shown) == name and name not in [hit[1] for hit in hits(shown)]


def test_pictures_are_small_upright_jpegs(shown):
    turned = Image.Exif()
    turned[0x0112] = 6
    upload(shown, "x.png", encoded(Image.new("RGB", (3000, 2000)), exif=turned))
    assert Image.open(io.BytesIO(shown.shown["query"]["picture"])).size == (683, 1024)
    for hit in shown.shown["hits"]:
        picture = Image.open(io.BytesIO(hit["picture"]))
        assert (picture.format, max(picture.size)) == ("JPEG", 80)


def test_page_chooses_the_thumbnail_side(collection, shown, tmp_path):
    assert shown.side == 320
    for row in range(12):
        Image.new("RGB", (900, 600)).save(collection.image(row))
    for wanted, made in ((100, 160), (500, 640), (5000, 640)):
        shown.side = wanted
        shown.wait()
        assert shown.side == made
        assert {max(Image.open(io.BytesIO(hit["picture"])).size) for hit in shown.shown["hits"]} == {made}


def test_status_has_network_recipe_size_times_and_recall(collection, shown):
    assert shown.status["text"].startswith("hog-colour, flat index of 12 images: stored vector, search ")
    assert shown.status["text"].endswith(" ms, recall 1.000 when built")
    upload(shown, "mine.png", GREEN)
    assert "12 images: network " in shown.status["text"]
    exact = Gallery(Collection(collection.vectors))
    exact.wait()
    assert exact.status["text"].startswith("hog-colour, exact search in 12 images: ") and not exact.offers_exact


def test_upload_is_searched_and_its_copy_is_the_same(tmp_path, collection, shown):
    content = (tmp_path / "sample" / "sea" / "sea-1.jpg").read_bytes()
    upload(shown, "holiday.jpg", content)
    assert query(shown) == "holiday.jpg"
    assert hits(shown) == expected(collection, content)
    assert [hit["same"] for hit in shown.shown["hits"]] == [True, *[False] * 7]
    assert shown.shown["hits"][0]["meaning"] == "the same image"
    assert shown.shown["hits"][1]["meaning"].startswith("closer than ")


def test_newer_upload_cancels_an_older_search(shown, monkeypatch):
    began, go_on, encode = threading.Event(), threading.Event(), []

    def slow(session: SearchSession, name: str, content: bytes) -> QueryState:
        encode.append(name)
        if name == "old 0.png":
            began.set()
            go_on.wait(10)
        return query_image(session, name, content)

    query_image = SearchSession.query_image
    monkeypatch.setattr(SearchSession, "query_image", slow)
    shown.search_files([(f"old {number}.png", GREEN) for number in range(5)])
    assert began.wait(10)
    shown.search_bytes("new.png", GREEN)
    while query(shown) != "new.png":
        threading.Event().wait(0.01)
    go_on.set()
    shown.wait()
    assert encode == ["old 0.png", "new.png"] and query(shown) == "new.png"


def test_refused_upload_is_shown_and_keeps_the_hits(shown):
    before = shown.shown
    tell(shown, b"12345", do="upload", name="mine.png", start=1, size=10)
    assert "parts came out of order" in refusal(shown)
    upload(shown, "notes.jpg", b"milk, bread and eggs")
    assert refusal(shown).startswith("Not searched: notes.jpg: not an image of a supported format")
    assert shown.shown == before
    tell(shown, do="random")
    assert shown.status["kind"] == "done"


def test_private_addresses_need_permission(collection, monkeypatch):
    seen = []
    monkeypatch.setattr(fetching, "fetch", lambda address, allow_private: seen.append(allow_private) or GREEN)
    for allowed in (False, True):
        shown = Gallery(collection, allow_private=allowed)
        shown.search_address("http://127.0.0.1/a.png")
        shown.wait()
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (catalog.NetworkUnavailable("the weights could not be downloaded"), "the weights could not be downloaded"),
        (RuntimeError("out of\nmemory"), "RuntimeError: out of memory"),
    ],
)
def test_failed_network_is_shown_as_failure(shown, monkeypatch, error, sentence):
    def fail(collection: Collection) -> None:
        raise error

    monkeypatch.setattr(Collection, "load_network", fail)
    upload(shown, "mine.png", GREEN)
    assert refusal(shown) == f"Not searched: {sentence}"


def test_new_query_cancels_the_last_one(collection, shown, monkeypatch):
    began, go_on, said = threading.Event(), threading.Event(), []
    shown.observe(lambda change: said.append(change["new"]["text"]), "status")

    def slow(address: str, allow_private: bool) -> bytes:
        began.set()
        go_on.wait(10)
        return GREEN

    monkeypatch.setattr(fetching, "fetch", slow)
    shown.search_address("http://example.org/slow.png")
    began.wait(10)
    assert shown.status == {"kind": "busy", "text": "Fetching http://example.org/slow.png …"}
    shown.search_row(3)  # is shown at once, though the other still waits
    while shown.shown["query"]["name"] != collection.names[3] or shown.status["kind"] != "done":
        threading.Event().wait(0.01)
    go_on.set()
    shown.wait()
    assert query(shown) == collection.names[3]
    assert len(shown.session.history.states) == 2
    assert "Loading hog-colour" not in "".join(said)


@pytest.mark.parametrize("is_here", [True, False])
def test_network_loads_after_the_first_hits_without_download(collection, monkeypatch, is_here):
    monkeypatch.setattr(Network, "is_here", property(lambda network: is_here))
    gallery = Gallery(collection, seed=1)
    gallery.wait()
    for thread in threading.enumerate():
        if thread.name == NETWORK_THREAD:
            thread.join()
    assert collection.is_loaded == is_here and gallery.status["kind"] == "done"


def test_part_of_a_query_is_searched_and_undone(collection, shown):
    both = Image.new("RGB", (200, 100), (30, 80, 190))
    both.paste((250, 200, 40), (100, 0, 200, 100))
    upload(shown, "both.png", encoded(both))
    whole = shown.shown["hits"]
    tell(shown, do="part", box=[0.5, 0, 1, 1])
    assert shown.shown["query"]["box"] == (0.5, 0, 1, 1) and query(shown) == "both.png"
    assert {hit[1].split("/")[0] for hit in hits(shown)[:3]} == {"sun"}
    tell(shown, do="part", box=[0, 0, 0.5, 1])  # of the whole image, not of the last part
    assert {hit[1].split("/")[0] for hit in hits(shown)[:3]} == {"sea"}
    tell(shown, do="whole")
    assert shown.shown["hits"] == whole and shown.shown["query"]["box"] is None
    tell(shown, do="row", row=4)
    tell(shown, do="part", box=[0, 0, 0.5, 0.5])
    assert hits(shown)[0][0] == 4  # the image that it is a part of
    tell(shown, do="part", box=[0, 0, 0.1, 0.1])
    assert "expected a part of at least 16 x 16 pixels of 80 x 60" in refusal(shown)


def test_history_is_limited():
    history = History()
    for row in range(MAX_HISTORY + 10):
        history.add(QueryState(str(row), row))
    assert len(history.states) == MAX_HISTORY and history.current.name == str(MAX_HISTORY + 9)


def test_k_is_clipped_with_a_warning(collection, shown):
    for wanted, held, shown_hits in ((3, 3, 3), (0, 1, 1), (1000, 200, 11)):
        if wanted == held:
            shown.k = wanted
        else:
            with pytest.warns(UserWarning, match=f"expected k from 1 to 200, got {wanted}: using {held}"):
                shown.k = wanted
        shown.wait()
        assert (shown.k, len(hits(shown))) == (held, shown_hits)
