import io
import re
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from similar_images import Collection, Gallery, building, gallery, images, networks
from similar_images.building import build
from similar_images.extraction import extract
from similar_images.gallery import shuffled
from similar_images.index import open_index
from similar_images.sources import open_source
from similar_images.vectors import Writer, index_path, open_vectors, vectors_path


def make_sample(folder: Path) -> None:
    """Put 12 pictures of four colours, their vectors and their index into a folder, named as `make sample` does."""
    random = np.random.default_rng(0)
    for kind, colour in {
        "grass": (40, 160, 60),
        "sea": (30, 80, 190),
        "sun": (250, 200, 40),
        "wine": (120, 0, 40),
    }.items():
        (folder / "sample" / kind).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(random.normal(colour, 30, (60, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "sample" / kind / f"{kind}-{number}.jpg")
    vectors_of(folder / "sample", folder / "sample_file_list.txt")


def vectors_of(pictures: Path, names_file: Path) -> None:
    names, path, encoder = open_source(pictures).find().names, vectors_path(names_file), networks.load("hog-colour")
    writer = Writer(path, names_file, names, pictures)
    writer.begin(encoder.description)
    extract(names, pictures, encoder, writer)
    build(open_vectors(path), index_path(path))


@pytest.fixture
def collection(tmp_path) -> Collection:
    make_sample(tmp_path)
    return Collection.open(tmp_path / "sample_file_list.txt")


@pytest.fixture
def shown(collection) -> Gallery:
    return Gallery(collection, seed=1)


@pytest.fixture
def address(tmp_path):
    """A server on loopback of the files in `tmp_path`."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def text(widget) -> str:
    return unescape(re.sub("<[^>]*>", "", widget.value))


def query(shown: Gallery) -> str:
    return text(shown.query).removesuffix("query")


def hits(shown: Gallery) -> list[tuple[str, str]]:
    """Return names and similarities as they are shown."""
    captions = [text(card.figure) for card in shown.hits.children]
    return [(caption[:-4], caption[-4:]) for caption in captions]


def expected(collection: Collection, query: object, k: int = 8) -> list[tuple[str, str]]:
    return [(hit.name, f"{hit.similarity:.2f}") for hit in collection.nearest(query, k)]


def upload(shown: Gallery, name: str, content: bytes) -> None:
    """Do what the browser does when a file was chosen."""
    file = {"name": name, "type": "", "size": len(content), "last_modified": 0, "content": memoryview(content)}
    shown.upload.set_state({"value": [file]})


def go_to(shown: Gallery, address: str) -> None:
    shown.address.value = address
    shown.search.click()


def is_ready(shown: Gallery) -> bool:
    buttons = [card.button for card in shown.cards]
    return not any(control.disabled for control in (shown.random, shown.address, shown.search, shown.upload, *buttons))


def refusal(shown: Gallery) -> str:
    """Return the sentence that says what failed, where one is shown and the gallery can be used on."""
    assert 'class="failure" role="alert"' in shown.status.value
    assert is_ready(shown)
    return text(shown.status)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_it_opens_with_the_hits_of_a_random_image(collection, shown):
    assert len(hits(shown)) == 8
    assert hits(shown) == expected(collection, collection.names.index(query(shown)))
    assert is_ready(shown)


def test_a_random_image_is_another_one_until_all_were_shown(collection, shown):
    seen = [query(shown)]
    for _ in collection.names[1:]:
        shown.random.click()
        seen.append(query(shown))
        assert hits(shown) == expected(collection, collection.names.index(query(shown)))
    assert sorted(seen) == collection.names
    shown.random.click()
    assert query(shown) == seen[0]


def test_a_seed_gives_the_same_images(collection):
    assert query(Gallery(collection, seed=5)) == query(Gallery(collection, seed=5))


def test_a_random_image_has_a_vector(tmp_path, collection):
    (tmp_path / "sample" / "broken.jpg").write_text("no picture")
    vectors_of(tmp_path / "sample", tmp_path / "with_broken.txt")
    collection = Collection.open(tmp_path / "with_broken.txt")
    rows = shuffled(collection, seed=0)
    assert sorted(next(rows) for _ in range(12)) == list(range(1, 13))  # row 0 is broken.jpg


def test_a_random_image_was_not_removed(tmp_path, collection):
    index = tmp_path / "i.index"
    building.build(collection.vectors, index)
    building.remove(collection.vectors, index, [3, 5])
    rows = shuffled(Collection(collection.vectors, open_index(index)), seed=0)
    assert sorted(next(rows) for _ in range(10)) == sorted({*range(12)} - {3, 5})


def test_a_hit_is_searched_by_its_row(collection, shown):
    name = hits(shown)[2][0]
    shown.cards[2].button.click()
    assert query(shown) == name
    assert hits(shown) == expected(collection, collection.names.index(name))
    assert name not in dict(hits(shown))


def test_rows_need_no_network(collection, monkeypatch):
    monkeypatch.setattr(Collection, "load_network", lambda self: pytest.fail("the network was loaded"))
    shown = Gallery(collection)
    shown.random.click()
    shown.cards[0].button.click()
    assert "failure" not in shown.status.value


def test_pictures_are_small_upright_jpegs_with_a_name(tmp_path, shown):
    for figure in (shown.query, *(card.figure for card in shown.hits.children)):
        assert 'src="data:image/jpeg;base64,' in figure.value
        assert re.search(r'alt="\w+/\w+-\d.jpg"', figure.value)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = gallery.ask_image(shown.collection, "x", encoded(Image.new("RGB", (900, 600)), exif=turned), 1).picture
    assert Image.open(io.BytesIO(picture)).size == (213, 320)


def test_the_status_tells_network_recipe_size_and_times(collection, shown):
    assert re.fullmatch(r"hog-colour, flat index of 12 images: stored vector, search \d+(\.\d)? ms", text(shown.status))
    upload(shown, "mine.png", encoded(Image.new("RGB", (80, 60), "green")))
    assert re.fullmatch(
        r"hog-colour, flat index of 12 images: network \d+(\.\d)? ms, search \d+(\.\d)? ms", text(shown.status)
    )
    exact = Gallery(Collection(collection.vectors))
    assert text(exact.status).startswith("hog-colour, exact search in 12 images: ")


def test_it_says_what_hog_colour_cannot_see(shown):
    assert text(shown.caveat).endswith("compares colour and shape only; VGG16 sees what is in a picture.")


def test_an_upload_is_searched(tmp_path, collection, shown):
    content = (tmp_path / "sample" / "sea" / "sea-1.jpg").read_bytes()
    upload(shown, "holiday.jpg", content)
    assert query(shown) == "holiday.jpg"
    assert hits(shown) == expected(collection, content)
    assert hits(shown)[0] == ("sea/sea-1.jpg", "1.00")
    assert shown.upload.value == ()  # ready for the same file once more
    assert is_ready(shown)


def test_an_upload_that_is_no_image_is_told_and_changes_nothing(shown):
    before = query(shown), hits(shown)
    upload(shown, "notes.jpg", b"milk, bread and eggs")
    assert refusal(shown).startswith("Not searched: notes.jpg: not an image of a known format")
    assert (query(shown), hits(shown)) == before
    shown.random.click()
    assert "failure" not in shown.status.value


def test_an_upload_is_limited(shown):
    upload(shown, "film.png", bytes(25_000_001))
    assert refusal(shown) == "Not searched: film.png is larger than 25 MB"


def test_an_address_is_searched(tmp_path, collection, shown, address):
    go_to(shown, f" {address}/sample/sun/sun-2.jpg ")
    assert query(shown) == f"{address}/sample/sun/sun-2.jpg"
    assert hits(shown) == expected(collection, tmp_path / "sample" / "sun" / "sun-2.jpg")


def test_enter_searches_the_address_too(shown, address):
    shown.address.value = f"{address}/sample/sun/sun-2.jpg"
    shown.address._handle_custom_msg({"event": "submit"}, [])  # what the browser sends
    assert hits(shown)[0] == ("sun/sun-2.jpg", "1.00")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/absent.jpg", r"cannot be fetched: 404"),
        ("/sample_file_list.txt", r"sample_file_list.txt: not an image of a known format"),
        ("/", r"a web page or other markup, not an image"),
    ],
    ids=["absent", "text", "web page"],
)
def test_an_address_without_an_image_is_told(shown, address, path, reason):
    go_to(shown, address + path)
    assert re.search(reason, refusal(shown))


@pytest.mark.parametrize(
    "wrong", ["", "cat.jpg", "file:///etc/passwd", "ftp://127.0.0.1/cat.jpg", "http://", "http://["]
)
def test_an_address_that_is_none_is_told(shown, wrong):
    go_to(shown, wrong)
    assert "http" in refusal(shown)


def test_controls_are_disabled_and_the_reason_is_told_while_it_waits(shown, monkeypatch):
    picture, seen = encoded(Image.new("RGB", (80, 60))), []

    def look(_: object) -> bytes:
        seen.append((text(shown.status), shown.random.disabled, shown.cards[0].button.disabled))
        return picture

    load = Collection.load_network
    monkeypatch.setattr(images, "fetch", look)
    monkeypatch.setattr(Collection, "load_network", lambda collection: look(collection) and load(collection))
    go_to(shown, "http://127.0.0.1/slow.png")
    assert seen[:2] == [
        ("Fetching http://127.0.0.1/slow.png …", True, True),
        ("Searching with hog-colour, which is loaded for the first search …", True, True),
    ]
    assert query(shown) == "http://127.0.0.1/slow.png"
    assert is_ready(shown)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (networks.NetworkUnavailable("the weights could not be downloaded"), "the weights could not be downloaded"),
        (RuntimeError("out of\nmemory"), "RuntimeError: out of memory"),
    ],
)
def test_a_network_that_cannot_be_loaded_is_told(shown, monkeypatch, error, sentence):
    def fail(collection: Collection) -> None:
        raise error

    monkeypatch.setattr(Collection, "load_network", fail)
    upload(shown, "mine.png", encoded(Image.new("RGB", (80, 60))))
    assert refusal(shown) == f"Not searched: {sentence}"


def test_a_hit_whose_file_is_missing_keeps_its_card(tmp_path, collection, shown):
    row = shown.cards[0].row
    collection.image(row).unlink()
    shown.search_row(collection.names.index(query(shown)))
    assert len(hits(shown)) == 8
    assert "no such file" in text(shown.cards[0].figure)
    shown.cards[0].button.click()  # its vector is there
    assert query(shown) == "no such file" + collection.names[row]
    assert len(hits(shown)) == 8


def test_names_are_text_not_markup(tmp_path, shown):
    name = "<img src=x onerror=alert(1)>&'\".png"
    upload(shown, name, encoded(Image.new("RGB", (80, 60))))
    assert query(shown) == name
    assert "<img src=x" not in shown.query.value
    upload(shown, name, b"text")
    assert "<img src=x" not in shown.status.value


def test_fewer_images_than_k_are_fewer_cards(collection):
    assert len(hits(Gallery(collection, k=50))) == 11


def test_a_long_name_keeps_its_end_and_has_its_whole_as_tooltip():
    html = gallery.figure(b"", "a/very/long/name/of/a/picture-0001.jpg", "0.93")
    assert "<span>a/very/long/name/of/a/pict</span><span>ure-0001.jpg</span><b>0.93</b>" in html
    assert '<figure title="a/very/long/name/of/a/picture-0001.jpg" aria-label=' in html


def test_a_query_that_is_like_nothing_in_the_collection_is_said(shown, monkeypatch):
    for answer, said in ((True, True), (False, False)):
        monkeypatch.setattr(Collection, "is_like_nothing", lambda *_, answer=answer: answer)
        shown.search_row(0)
        assert ("Nothing in this collection is like it" in shown.status.value) == said
