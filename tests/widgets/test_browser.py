"""The notebook as a person sees it: served by Notebook 7 and by Voila, used and looked at with Chromium."""

import io
import re
from base64 import b64encode
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbformat
import psutil
import pytest
from browser import (
    barriers,
    chromium,
    chromium_path,
    opened_notebook,
    run_all,
    wait_for_gallery,
    wait_for_pictures,
)
from conftest import committed
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from sample_images import make_sample

from similar_images.comparison.votes import read

NOTEBOOK = "Similar image.ipynb"
BLIND_TEST = """\
systems = {"near": collection, "far": lambda query, k: sorted(collection.names, reverse=True)[:k]}
BlindTest(Comparison(systems, "voted.csv", voter="ann", k=4), n=5)"""

pytestmark = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The notebook beside a sample, with two cells more.

    A gallery that may ask the server of the tests, and a blind test of two that differ.
    """
    folder = tmp_path_factory.mktemp("served")
    make_sample(folder)
    notebook = nbformat.reads(committed(NOTEBOOK), as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("Gallery(collection, allow_private=True)"))
    notebook.cells.append(nbformat.v4.new_code_cell(BLIND_TEST))
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def web(folder) -> Iterator[str]:
    """A server on loopback of the folder's files."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module", params=["notebook", "voila"])
def opened(request, browser, folder) -> Iterator[tuple[Page, list[str]]]:
    """The page with all cells run, and a list of what went wrong in the browser or left the machine."""
    (folder / "voted.csv").unlink(missing_ok=True)
    with opened_notebook(browser, folder, NOTEBOOK, request.param) as opened:
        yield opened


@pytest.fixture
def page(opened) -> Iterator[Page]:
    page, wrong = opened
    yield page
    assert not wrong


@pytest.fixture
def gallery(page) -> Locator:
    """The first gallery, with the hits of a random image."""
    gallery = page.locator(".similar-images").first
    press(gallery, "Random image")
    expect(gallery.locator("[role=alert]")).to_have_count(0)
    return gallery


def press(gallery: Locator, button: str | re.Pattern) -> None:
    """Click, and wait until an answer is there."""
    before = gallery.get_attribute("data-number")
    gallery.get_by_role("button", name=button, exact=isinstance(button, str)).click()
    expect(gallery).not_to_have_attribute("data-number", before)
    settle(gallery)


def settle(gallery: Locator) -> None:
    expect(gallery).to_have_attribute("aria-busy", "false")
    wait_for_pictures(gallery.page)


def query(gallery: Locator) -> Locator:
    return gallery.locator(".similar-images-query figcaption")


def name_of(gallery: Locator) -> str:
    return query(gallery).get_attribute("title")


def hits(gallery: Locator) -> Locator:
    return gallery.locator(".similar-images-card")


def names(gallery: Locator) -> list[str]:
    return [one.get_attribute("title") for one in gallery.locator(".similar-images-card .name").all()]


def upload(gallery: Locator, file: Path) -> None:
    with gallery.page.expect_file_chooser() as chooser:
        gallery.get_by_role("button", name="Upload image").click()
    chooser.value.set_files(file)


def hand_over(gallery: Locator, event: str, name: str, content: bytes) -> None:
    """Do what the browser does when a file is dropped or pasted."""
    gallery.evaluate(
        """(root, [event, name, content]) => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, {type: "image/jpeg"}));
            const options = {bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer};
            root.dispatchEvent(event === "drop" ? new DragEvent(event, options) : new ClipboardEvent(event, options));
        }""",
        [event, name, b64encode(content).decode()],
    )


def encoded(image: Image.Image, form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def test_run_all_shows_eight_hits_with_their_pictures(page, gallery):
    expect(hits(gallery)).to_have_count(8)
    expect(gallery.locator(".similar-images-answer img:visible")).to_have_count(9)
    expect(hits(gallery).first).to_contain_text(re.compile(r"-\d\.jpg\d\.\d\d"))
    expect(gallery.locator(".status")).to_contain_text("flat index of 12 images: stored vector, search")
    expect(gallery.locator(".status")).to_contain_text("recall 1.000 when built")
    expect(gallery.get_by_text("This collection was made with hog-colour, which compares colour")).to_be_visible()
    expect(page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)


def test_voila_shows_no_code(page):
    if "/notebooks/" not in page.url:
        expect(page.get_by_text("from similar_images import")).to_have_count(0)
        expect(page.locator(".jp-CodeMirrorEditor, .highlight pre:visible")).to_have_count(0)


def test_the_random_button_shows_another_query(gallery):
    before = name_of(gallery)
    press(gallery, "Random image")
    assert name_of(gallery) != before


def test_a_click_on_a_hit_searches_by_it(gallery):
    name = names(gallery)[3]
    hits(gallery).nth(3).get_by_role("button", name=re.compile("^Search by")).click()
    expect(query(gallery)).to_have_attribute("title", name)
    settle(gallery)
    assert name not in names(gallery)


def test_an_uploaded_image_is_searched_and_its_twin_is_marked(gallery, folder):
    upload(gallery, folder / "sample" / "sea" / "sea-1.jpg")
    expect(query(gallery)).to_have_attribute("title", "sea-1.jpg")
    settle(gallery)
    assert names(gallery)[0] == "sea/sea-1.jpg"
    expect(hits(gallery).first).to_contain_text("the same image")
    expect(gallery.locator(".status")).to_contain_text("network")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_an_image_that_is_dropped_or_pasted_is_searched(gallery, folder, event):
    hand_over(gallery, event, f"{event}.jpg", (folder / "sample" / "wine" / "wine-2.jpg").read_bytes())
    expect(query(gallery)).to_have_attribute("title", f"{event}.jpg")
    settle(gallery)
    assert names(gallery)[0] == "wine/wine-2.jpg"


def test_an_address_on_loopback_is_refused_unless_it_is_allowed(page, gallery, web):
    address, allowed = f"{web}/sample/sun/sun-2.jpg", page.locator(".similar-images", has_text="Hits").nth(1)
    before = name_of(gallery)
    for one in (gallery, allowed):
        one.get_by_label("Web address").fill(address)
        one.get_by_label("Web address").press("Enter")
    expect(gallery.get_by_role("alert")).to_contain_text("127.0.0.1 is not on the public internet")
    assert name_of(gallery) == before
    expect(query(allowed)).to_have_attribute("title", address)
    settle(allowed)
    assert names(allowed)[0] == "sun/sun-2.jpg"


def test_a_file_address_is_refused_and_the_gallery_goes_on(gallery):
    gallery.get_by_label("Web address").fill("file:///etc/passwd")
    gallery.get_by_role("button", name="Search", exact=True).click()
    expect(gallery.get_by_role("alert")).to_contain_text("begins with http:// or https://")
    press(gallery, "Random image")
    expect(gallery.get_by_role("alert")).to_have_count(0)


def test_a_box_searches_by_that_part_and_the_whole_is_a_click_away(gallery):
    name, whole = name_of(gallery), names(gallery)
    gallery.locator(".similar-images-frame").scroll_into_view_if_needed()
    area = gallery.locator(".similar-images-frame img").bounding_box()
    mouse = gallery.page.mouse
    mouse.move(area["x"] + 0.2 * area["width"], area["y"] + 0.2 * area["height"])
    mouse.down()
    mouse.move(area["x"] + 0.8 * area["width"], area["y"] + 0.9 * area["height"], steps=4)
    mouse.up()
    expect(query(gallery)).to_contain_text("part")
    settle(gallery)
    assert name_of(gallery) == name
    outline = gallery.locator(".similar-images-box").bounding_box()
    assert outline["width"] == pytest.approx(0.6 * area["width"], abs=3)
    assert name in names(gallery)  # the image that the part is of is a hit like any other
    press(gallery, "Search by the whole image")
    assert names(gallery) == whole
    expect(gallery.locator(".similar-images-box")).to_be_hidden()


def test_a_box_is_made_moved_and_given_up_with_the_keyboard(gallery):
    frame = gallery.locator(".similar-images-frame")
    frame.focus()
    keys = gallery.page.keyboard
    keys.press("Enter")
    left = gallery.locator(".similar-images-box").evaluate("box => box.style.left")
    keys.press("ArrowRight")
    keys.press("Shift+ArrowDown")
    style = gallery.locator(".similar-images-box").evaluate("box => [box.style.left, box.style.height]")
    assert (left, [round(float(one[:-1])) for one in style]) == ("25%", [30, 55])
    keys.press("Enter")
    expect(query(gallery)).to_contain_text("part")
    keys.press("Escape")
    expect(query(gallery)).to_contain_text("query")


def test_history_goes_back_and_forward(gallery):
    first = name_of(gallery)
    press(gallery, "Random image")
    second, found = name_of(gallery), names(gallery)
    press(gallery, "← Back")
    assert name_of(gallery) == first
    press(gallery, "Forward →")
    assert (name_of(gallery), names(gallery)) == (second, found)
    expect(gallery.get_by_role("button", name="Forward →")).to_be_disabled()
    gallery.get_by_role("button", name="Random image").press("Alt+ArrowLeft")
    expect(query(gallery)).to_have_attribute("title", first)


def test_the_number_of_hits_and_the_exact_search_can_be_set(gallery):
    before = gallery.get_attribute("data-number")
    gallery.get_by_label("Hits", exact=True).first.fill("5")
    gallery.get_by_label("Hits", exact=True).first.press("Enter")
    expect(hits(gallery)).to_have_count(5)
    gallery.get_by_label("Exact search").check()
    expect(gallery.locator(".status")).to_contain_text("exact search in 12 images")
    expect(gallery.locator(".changes")).to_have_text("The index finds the same.")
    gallery.get_by_label("Exact search").uncheck()
    gallery.get_by_label("Hits", exact=True).first.fill("8")
    gallery.get_by_label("Hits", exact=True).first.press("Enter")
    expect(hits(gallery)).to_have_count(8)
    assert gallery.get_attribute("data-number") != before


def test_a_hit_is_opened_its_name_copied_and_ticked_ones_are_taken_away(gallery):
    name = names(gallery)[0]
    gallery.get_by_role("button", name=f"Open {name}").click()
    dialog = gallery.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{name}, 80 x 60 pixels")
    gallery.page.wait_for_function("() => document.querySelector('dialog[open] img').naturalWidth === 80")
    gallery.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    gallery.get_by_role("button", name=f"Copy name {name}").click()
    expect(hits(gallery).first).to_contain_text("Copied")
    assert gallery.page.evaluate("() => navigator.clipboard.readText()") == name
    for ticked in names(gallery)[:3]:
        gallery.get_by_label(f"Tick {ticked}").check()
    expect(gallery.get_by_text("3 ticked")).to_be_visible()
    taken = {}
    for form in ("CSV", "PNG", "HTML"):
        with gallery.page.expect_download() as download:
            gallery.get_by_role("button", name=re.compile(form)).click()
        taken[form] = Path(download.value.path()).read_bytes()
    lines = taken["CSV"].decode().splitlines()
    assert lines[0] == "name,similarity" and [line.split(",")[0] for line in lines[1:]] == names(gallery)[:3]
    assert Image.open(io.BytesIO(taken["PNG"])).width > 700
    assert taken["HTML"].count(b"data:image/jpeg") == 3


def test_ten_quick_clicks_end_with_one_answer(gallery):
    button = gallery.get_by_role("button", name="Random image")
    for _ in range(10):
        button.click(no_wait_after=True)
    gallery.page.wait_for_timeout(500)
    settle(gallery)
    expect(gallery.locator("[role=alert]")).to_have_count(0)
    assert name_of(gallery) not in names(gallery)
    expect(hits(gallery)).to_have_count(8)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.jpg", b"milk, bread and eggs", "notes.jpg: not an image of a supported format"),
        ("half.jpg", encoded(Image.effect_noise((300, 300), 90))[:9000], "half.jpg: damaged or truncated"),
        ("film.jpg", bytes(25_000_001), "film.jpg is larger than 25 MB"),
        ("nothing.jpg", b"", "nothing.jpg is empty"),
    ],
    ids=["text", "broken", "too large", "empty"],
)
def test_what_is_no_image_is_told_and_the_gallery_goes_on(gallery, tmp_path, name, content, reason):
    before = name_of(gallery), names(gallery)
    (tmp_path / name).write_bytes(content)
    upload(gallery, tmp_path / name)
    expect(gallery.get_by_role("alert")).to_contain_text(f"Not searched: {reason}")
    assert (name_of(gallery), names(gallery)) == before
    press(gallery, "Random image")
    expect(gallery.get_by_role("alert")).to_have_count(0)


def test_a_photograph_of_sixty_megapixels_arrives_whole(gallery, tmp_path):
    coarse = Image.effect_noise((600, 400), 60).resize((9480, 6330), Image.Resampling.BICUBIC).convert("RGB")
    coarse.save(tmp_path / "large.jpg", quality=97)
    assert (tmp_path / "large.jpg").stat().st_size > 11_000_000  # more than Jupyter's server takes in one message
    upload(gallery, tmp_path / "large.jpg")
    expect(query(gallery)).to_have_attribute("title", "large.jpg", timeout=60_000)
    settle(gallery)


def test_every_control_is_reached_and_pressed_with_the_keyboard(gallery):
    press(gallery, "Random image")
    gallery.get_by_role("button", name="← Back").focus()
    first = hits(gallery).first
    for control in (
        gallery.get_by_role("button", name="Random image"),
        gallery.get_by_role("button", name="Upload image"),
        gallery.get_by_label("Web address"),
        gallery.get_by_role("button", name="Search", exact=True),
        gallery.locator("input[type=number]"),
        gallery.get_by_label("Exact search"),
        gallery.locator(".similar-images-frame"),
        gallery.get_by_role("button", name="Tick all"),
        first.get_by_role("button", name=re.compile("^Search by")),
        first.get_by_role("checkbox"),
        first.get_by_role("button", name=re.compile("^Open")),
        first.get_by_role("button", name=re.compile("^Copy")),
    ):
        gallery.page.keyboard.press("Tab")
        expect(control).to_be_focused()
    name = names(gallery)[0]
    first.get_by_role("button", name=re.compile("^Search by")).press("Enter")
    expect(query(gallery)).to_have_attribute("title", name)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, gallery, theme):
    gallery.get_by_label(f"Tick {names(gallery)[0]}").check()
    assert not barriers(page, theme)


def test_a_page_that_is_loaded_anew_shows_what_was_asked(page, gallery):
    if "/notebooks/" in page.url:
        before = name_of(gallery), names(gallery)
        with page.expect_response(lambda response: response.request.method == "PUT"):
            gallery.get_by_role("button", name="Random image").press("Control+s")  # the notebook's, from here too
        page.reload()
        gallery = page.locator(".similar-images").first
        expect(query(gallery)).to_have_attribute("title", before[0], timeout=60_000)
        wait_for_pictures(page)
        assert names(gallery) == before[1]
        press(gallery, "Random image")


def test_five_votes_with_a_killed_kernel_in_between(opened, folder):
    page, wrong = opened

    def test() -> Locator:
        return page.get_by_role("region", name="Blind test").last

    def voted(count: int) -> None:
        expect(test()).to_contain_text(f"{count} of 5 done", timeout=30_000)
        expect(test()).to_have_attribute("aria-busy", "false")

    voted(0)
    assert not {"near", "far"} & set(re.findall(r"\w+", test().inner_text()))
    expect(test().locator("li img")).to_have_count(8)
    test().get_by_role("button", name="Left is better").click()
    voted(1)
    test().get_by_role("group").focus()
    for count, key in ((2, "2"), (3, "t")):
        page.keyboard.press(key)
        voted(count)
    wait_for_pictures(page)
    kernels = [
        one for one in psutil.process_iter(["cmdline"]) if "ipykernel_launcher" in " ".join(one.info["cmdline"] or [])
    ]
    ours = [one for one in kernels if one.cwd() == str(folder)]
    assert ours
    for kernel in ours:
        kernel.kill()
    if "/notebooks/" in page.url:
        page.get_by_role("dialog").get_by_role("button", name=re.compile("OK|Ok")).click(timeout=30_000)
        run_all(page)
    else:
        page.reload()
        wait_for_gallery(page)
    wrong.clear()  # the browser complains of the connection that broke
    voted(3)
    test().get_by_role("group").focus()
    for count, key in ((4, "ArrowRight"), (5, "n")):
        page.keyboard.press(key)
        voted(count)
    expect(test()).to_contain_text("near preferred")
    expect(test().locator("svg")).to_be_visible()
    votes = read(folder / "voted.csv")
    assert [vote.vote for vote in votes] == ["left", "right", "tie", "right", "neither"]
    assert len({vote.query for vote in votes}) == 5
    assert not wrong
