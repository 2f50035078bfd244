"""The questionnaire for people without a notebook: the page, its answers, and their import."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import chromium_path, reload_until_stored
from PIL import Image
from playwright.sync_api import expect

from similar_images.comparison.comparison import Comparison
from similar_images.comparison.questionnaire import export_questionnaire, import_answers
from similar_images.comparison.votes import read

NAMES = [f"kind-{number % 3}/{number}.png" for number in range(12)]


def step(size: int):
    """Return a ranking that goes round the names in steps of this size."""
    return lambda query, k: [NAMES[(NAMES.index(query) + size * rank) % 12] for rank in range(1, k + 1)]


@pytest.fixture
def folder(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for name in NAMES[1:]:  # the first is missing
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def comparison(folder) -> Comparison:
    return Comparison({"hog-colour": step(1), "mobilenetv2": step(5)}, folder / "votes.csv", "me", 4, images=folder)


def answers(key: Path, **changes: object) -> Path:
    """Write a file as the page does, with a vote for the system hog-colour in each trial."""
    content = json.loads(key.read_text())
    sides = ["left" if trial["left"] == "hog-colour" else "right" for trial in content["trials"]]
    given = [
        {"trial": number, "vote": side, "time": f"2030-01-01T00:00:{number:02}.000Z"}
        for number, side in enumerate(sides, start=1)
    ]
    file = key.with_name("answers.json")
    file.write_text(
        json.dumps(
            {
                "format": "similar-images answers 1",
                "questionnaire": content["id"],
                "voter": "Zoë",
                "answers": given,
            }
            | changes
        )
    )
    return file


def test_page_is_one_file_without_names(comparison, folder):
    key = export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    page = (folder / "page.html").read_text()
    assert key == folder / "page.key.json"
    assert not re.search(r"hog|mobile|kind-|\.png", page)
    assert not re.search(r'(src|href)="(?!data:)', page) and "http" not in page
    assert page.count('<section class="trial"') == 12
    assert page.count('src="data:image/jpeg;base64,') + page.count("cannot be shown") == 12 * 9
    assert "cannot be shown" in page
    again = export_questionnaire(comparison, folder / "again.html", queries=NAMES)
    assert again.read_bytes() == key.read_bytes() and (folder / "again.html").read_text() == page


def test_answers_become_votes_once(comparison, folder):
    key = export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    assert import_answers(comparison, answers(key), key) == 12
    assert import_answers(comparison, answers(key), key) == 0
    assert comparison.result()[:5] == (12, 0, 0, 0, 1)
    first = read(folder / "votes.csv")[0]
    assert (first.time, first.voter, first.query) == ("2030-01-01T00:00:01.000+00:00", "Zoë", NAMES[0])
    assert first.list_a == tuple(step(1)(NAMES[0], 4)) and first.list_b == tuple(step(5)(NAMES[0], 4))


def test_page_includes_queries_with_votes(comparison, folder):
    comparison.vote(next(comparison.trials(queries=NAMES)), "tie")
    export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    assert (folder / "page.html").read_text().count('<section class="trial"') == 12


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "holiday"}, "expected the format .* use the file that the page's button downloads"),
        ({"questionnaire": "0"}, "does not belong to the page of"),
        ({"voter": "=1+1"}, "altered .*expected a voter's name"),
        ({"voter": None}, "damaged, voter: expected str, got None; use the file"),
        ({"answers": [{"trial": 0, "vote": "tie", "time": "2030-01-01T00:00:00Z"}]}, "a trial from 1 to 12, got 0"),
        ({"answers": [{"trial": "1", "vote": "tie", "time": "2030-01-01T00:00:00Z"}]}, "trial: expected int"),
        ({"answers": [{"trial": 1, "vote": "up", "time": "2030-01-01T00:00:00Z"}]}, "expected one of left"),
        ({"answers": [{"trial": 1, "vote": ["tie"], "time": "2030-01-01T00:00:00Z"}]}, "vote: expected str"),
        ({"answers": [{"trial": 1, "vote": "tie", "time": "soon"}]}, "altered"),
        ({"answers": [{"trial": 1, "vote": "tie", "time": "0001-01-01T00:00:00+14:00"}]}, "altered"),
        ({"answers": 3}, "answers: expected a list, got 3"),
    ],
)
def test_foreign_answers_are_refused_without_a_vote(comparison, folder, changes, reason):
    key = export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    with pytest.raises(ValueError, match=reason):
        import_answers(comparison, answers(key, **changes), key)
    assert not comparison.file.exists()


def test_altered_or_foreign_key_is_refused(comparison, folder):
    key = export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    given = answers(key)
    other = Comparison({"hog-colour": step(1), "vgg16": step(2)}, folder / "votes.csv", "me", 4)
    with pytest.raises(ValueError, match="expected answers on hog-colour and vgg16, got answers on mobilenetv2"):
        import_answers(other, given, key)
    key.write_text(key.read_text().replace('"left": "hog-colour"', '"left": "mobilenetv2"', 1))
    with pytest.raises(ValueError, match="was altered: use the key"):
        import_answers(comparison, given, key)


def test_export_refuses_existing_pages_and_empty_questionnaires(comparison, folder):
    export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    with pytest.raises(
        FileExistsError, match=r"page.html exists and answers .* choose another page, or set overwrite=True"
    ):
        export_questionnaire(comparison, folder / "page.html", queries=NAMES)
    export_questionnaire(comparison, folder / "page.html", queries=NAMES[:2], overwrite=True)
    alike = Comparison({"a": step(1), "b": step(1)}, folder / "votes.csv", "me", images=folder)
    with pytest.raises(ValueError, match="nothing to ask"):
        export_questionnaire(alike, folder / "alike.html", queries=NAMES)
    unseen = Comparison({"a": step(1), "b": step(2)}, folder / "votes.csv", "me")
    with pytest.raises(ValueError, match="images="):
        export_questionnaire(unseen, folder / "unseen.html", queries=NAMES)
    assert not (folder / "unseen.html").exists() and not (folder / "unseen.key.json").exists()


@pytest.mark.skipif(chromium_path() is None, reason="no chromium or google-chrome is installed")
def test_page_is_answered_by_keys_reloaded_and_sent(comparison, folder, browser):
    key = export_questionnaire(comparison, folder / "page.html", queries=NAMES[1:7])
    wrong: list[str] = []

    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(error.message))
        page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:", "blob:")) or wrong.append(request.url),
        )
        page.goto((folder / "page.html").as_uri())
        expect(page.get_by_role("status")).to_have_text("Picture 1 of 6; 0 answered")
        expect(page.get_by_role("listitem")).to_have_count(8)
        assert page.evaluate("localStorage.length") == 0, "an early reload must not replace answers by none"
        for pressed in ("1", "ArrowRight", "t"):
            page.keyboard.press(pressed)
        expect(page.get_by_role("status")).to_have_text("Picture 4 of 6; 3 answered")

        reload_until_stored(page)
        expect(page.get_by_role("status")).to_have_text("Picture 4 of 6; 3 answered")
        page.keyboard.press("b")
        expect(page.get_by_role("button", name="Equally good")).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("n")
        page.get_by_role("button", name="List 2").click()
        page.keyboard.press("2")
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_text("That was the last one")).to_be_visible()
        expect(page.get_by_label("Your name")).to_be_focused()
        page.keyboard.type("bob 1t")
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        assert download.value.suggested_filename == "answers bob 1t.json"
        download.value.save_as(folder / "answers.json")
    assert not wrong

    assert import_answers(comparison, folder / "answers.json", key) == 6
    votes = read(folder / "votes.csv")
    assert [vote.vote for vote in votes] == ["left", "right", "neither", "right", "right", "left"]
    assert [vote.query for vote in votes] == NAMES[1:7] and {vote.voter for vote in votes} == {"bob 1t"}
