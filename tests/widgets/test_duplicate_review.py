"""The review of near-duplicates: in Python, and as the written page."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import SERIOUS, chromium_path, reload_until_stored
from galleries import sent
from near_duplicates import COPY, LARGE, OTHER, SAME, THRESHOLD, keeps, make_copies, saved
from playwright.sync_api import Browser, Page, expect
from traitlets import TraitError

from similar_images import Collection, DuplicateReview
from similar_images.evaluation import duplicate_threshold, duplicates

in_browser = pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    make_copies(folder)
    return folder


@pytest.fixture
def review(folder) -> Iterator[DuplicateReview]:
    review = DuplicateReview(Collection.open(folder / "sample_file_list.txt"), THRESHOLD)
    review.wait()
    yield review
    review.close()


@pytest.fixture
def moved(review) -> list[str]:
    return [review.collection.names[row] for row in review.moved]


def test_largest_image_of_each_group_is_proposed(moved):
    assert sorted(moved) == sorted([COPY, SAME, OTHER])  # the PNG has as many pixels as its original, and more bytes


def test_kept_rows_need_one_of_each_group(review):
    row = review.collection.names.index(COPY)
    review.kept = [*review.kept, row]
    assert row not in review.moved and "keep,1," in review.to_csv()
    with pytest.raises(TraitError, match="expected an image to keep of group 1, got none"):
        review.kept = []
    with pytest.raises(TraitError, match="expected rows of the groups"):
        review.kept = [*review.kept, review.collection.names.index("wine/wine-0.jpg")]
    assert review.to_script().count("\nmove ") == 2


def test_changed_file_is_left_out_with_a_warning(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    review = DuplicateReview(Collection.open(tmp_path / "sample_file_list.txt"), THRESHOLD)
    review.wait()
    before = review.to_csv()
    (tmp_path / "sample" / SAME).write_bytes(b"another picture")
    for made in (review.to_csv, review.to_script):
        with pytest.warns(UserWarning, match=f"left out {SAME}: it has changed since the comparison"):
            text = made()
        assert SAME not in text
    assert SAME in before
    for form in ("csv", "script"):
        message, (content,) = sent(review, do="save", form=form)
        assert message["show"] == "file" and SAME not in content.decode()
        assert review.status["kind"] == "done" and f"left out {SAME}" in review.status["text"]
    review.close()


def test_threshold_above_one_is_refused(folder):
    with pytest.raises(ValueError, match="expected a threshold from 0 to 1"):
        DuplicateReview(Collection.open(folder / "sample_file_list.txt"), 1.5)


def test_missing_threshold_fails_on_page_and_in_python(folder, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no threshold was measured")

    monkeypatch.setattr(duplicate_threshold, "choose_threshold", fail)
    review = DuplicateReview(Collection.open(folder / "sample_file_list.txt"))
    review.wait()
    assert review.status == {"kind": "failure", "text": "Failed: no threshold was measured"}
    with pytest.raises(ValueError, match="no threshold was measured"):
        review.to_csv()


def test_status_summarises_the_groups(review):
    review.wait()
    assert review.status["kind"] == "done"
    assert review.status["text"].startswith(
        "5 of 15 images are near-duplicates (similarity 0.900 or more), in 2 groups"
    )


@pytest.fixture
def written(browser: Browser, folder, tmp_path) -> Iterator[Page]:
    """The written page, opened as a file, without a server."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    collection = Collection.open(tmp_path / "sample_file_list.txt")
    found = duplicates.group(collection.compared, duplicates.find_pairs(collection.compared, THRESHOLD), THRESHOLD)
    duplicates.write_html(tmp_path / "page.html", collection, duplicates.read_members(collection, found), "Found")
    context = browser.new_context(accept_downloads=True)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(error.message))
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    context.close()
    assert not wrong


@in_browser
def test_written_page_works_with_the_keyboard(written):
    first, second = (written.get_by_role("region", name=f"Group {number}").get_by_role("checkbox") for number in (1, 2))

    def kept() -> list[bool]:
        return [box.is_checked() for box in (*first.all(), *second.all())]

    proposed = kept()
    assert proposed.count(True) == 2
    while not first.first.evaluate("one => one === document.activeElement"):
        written.keyboard.press("Tab")
    written.keyboard.press("2")
    assert kept() == [False, True, False, *proposed[3:]]
    written.keyboard.press("a")
    assert kept() == [True, True, True, *proposed[3:]]
    written.keyboard.press("p")
    assert kept() == proposed
    written.keyboard.press("ArrowRight")
    expect(first.nth(1)).to_be_focused()
    written.keyboard.press("ArrowDown")
    expect(second.first).to_be_focused()
    written.keyboard.press("1")
    written.keyboard.press("Space")
    assert kept()[3:] == [True, False], "one of each group is kept"


@in_browser
def test_script_of_written_page_moves_the_other_images(written, tmp_path):
    keeps(written, COPY).check()
    keeps(written, LARGE).uncheck()
    reload_until_stored(written)
    expect(keeps(written, COPY)).to_be_checked()
    expect(written.get_by_role("status")).to_contain_text("3 images to move")
    csv = saved(written, written, "Save as CSV")

    def file_of(name: str) -> str:
        content = (tmp_path / "sample" / name).read_bytes()
        return f"{len(content)},{hashlib.sha256(content).hexdigest()}"

    assert f"{LARGE},move,1,{file_of(LARGE)}\n" in csv and f"{COPY},keep,1,{file_of(COPY)}\n" in csv
    script = tmp_path / "move.sh"
    script.write_text(saved(written, written, "Save as shell script"))
    done = subprocess.run(["sh", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert {file.name for file in (tmp_path / "sample_duplicates").rglob("*.*")} >= {"grass-0.jpg", "same.jpg"}
    assert (tmp_path / "sample" / COPY).exists() and not (tmp_path / "sample" / LARGE).exists()


@in_browser
def test_axe_finds_nothing_serious_in_the_written_page(written):
    keeps(written, COPY).check()
    for theme in ("light", "dark"):
        written.emulate_media(color_scheme=theme)
        assert not [one for one in Axe().run(written).response["violations"] if one["impact"] in SERIOUS]
