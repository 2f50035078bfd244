"""A widget answers any message of a page with one line, or a line of the log, and keeps working."""

import importlib.util
import logging
import math
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from inspect import signature
from types import MethodType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from sample_images import make_sample

from similar_images import (
    BlindTest,
    Collection,
    Comparison,
    DuplicateReview,
    Gallery,
    Map,
    Overview,
    TextCollection,
    TextGallery,
)
from similar_images.collection.session import Box
from similar_images.collection.texts import DOCSTRINGS
from similar_images.widgets import replies
from similar_images.widgets.background import BackgroundWidget, read_fields
from similar_images.widgets.uploads import UploadPart

WRONG = [
    *(None, True, -1, 2, 10**30, -(10**30), 10**5000, 1.5, math.nan, math.inf, "", "x", "\n\0", "9" * 10_000),
    *([], [[]], [None], [-1], [10**30], [10**5000], [1.5], [math.nan], ["x"], [{"a": []}], [0] * 2000),
    *({}, {"a": 1}, {"name": []}, {"name": {"a": [None]}}, {"folder": [[1, 2], [3]]}, {"date": [10**30, None]}),
]
REQUESTS = [  # of the pages of all widgets; each field is replaced by each of WRONG, and left out
    *(
        {"do": what}
        for what in ("random", "whole", "filters", "begin", "undo", "result", "dance", "", 7, None, ["row"])
    ),
    *({"do": what, "row": 3} for what in ("row", "original", "why", "search", "describe")),
    {"do": "go", "steps": -1},
    {"do": "mark", "row": 3, "sign": 1},
    {"do": "unmark", "name": "positives", "at": 0},
    {"do": "more", "number": 1, "start": 0},
    {"do": "where", "where": {"name": "sea"}},
    {"do": "export", "form": "csv"},
    {"do": "address", "address": "sea-1"},
    {"do": "names", "text": "sea"},
    {"do": "part", "box": [0, 0, 1, 1], "number": 1},
    {"do": "upload", "upload": "1", "name": "x.png", "start": 0, "size": 9, "at": 0, "of": 1},
    {"do": "text", "text": "flip", "provisional": False},
    {"do": "pictures", "rows": [1, 2]},
    {"do": "tick", "group": 0, "on": True},
    {"do": "save", "form": "csv"},
    {"do": "vote", "vote": "left", "number": 1},
]


KINDS = (Gallery, TextGallery, Map, Overview, DuplicateReview, BlindTest)


TYPES = {
    "string": str,
    "number": int,
    "boolean": bool,
    "number[]": list[int],
    "Box": Box,
    "Record<string, Condition>": dict[str, Any],
}
SCRIPT = (ROOT / "js" / "messages.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> Collection:
    folder = tmp_path_factory.mktemp("messages")
    make_sample(folder)
    return Collection.open(folder / "sample_file_list.txt")


def text_gallery(collection: Collection) -> TextGallery:
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("texts are not installed: make install-text")
    from sample_texts import MIRROR, QUERY, make_texts

    file = collection.vectors.path.with_name(DOCSTRINGS.name)
    make_texts(file, [MIRROR, QUERY, "blur an image", "open a file"])
    return TextGallery(TextCollection.open(file))


def blind_test(collection: Collection) -> BlindTest:
    systems = {"near": collection, "far": lambda query, k: collection.names[::-1]}
    return BlindTest(Comparison(systems, collection.vectors.path.with_name("votes.csv"), "ann"), 3)


WIDGETS: dict[str, Callable[[Collection], BackgroundWidget]] = {
    "gallery": lambda collection: Gallery(collection, seed=1),
    "texts": text_gallery,
    "map": lambda collection: Map(collection, np.zeros((len(collection), 2))),
    "map beside a gallery": lambda collection: Map(collection, np.zeros((len(collection), 2)), Gallery(collection)),
    "overview": Overview,
    "overview beside a gallery": lambda collection: Overview(collection, Gallery(collection)),
    "duplicates": lambda collection: DuplicateReview(collection, 0.9),
    "blind test": blind_test,
}


@pytest.fixture(params=WIDGETS)
def widget(request, opened) -> Iterator[BackgroundWidget]:
    made = WIDGETS[request.param](opened)
    made.wait()
    assert made.status["kind"] == "done"
    yield made
    made.wait()
    made.close()


def malformed() -> Iterator[object]:
    yield from (None, 7, "row", [], ["do"], {}, {"kind": "anywidget-command", "name": "x"})
    for request in REQUESTS:
        yield request
        for field in request:
            yield {name: value for name, value in request.items() if name != field}
            yield from (request | {field: wrong} for wrong in WRONG)


def answers(kind: type[BackgroundWidget]) -> dict[str, MethodType]:
    """Return the methods of a widget that answer requests of its page, by the requests' names."""
    names = (name for name in dir(kind) if name.startswith("_answer_"))
    return {name.removeprefix("_answer_"): MethodType(getattr(kind, name), object()) for name in names}


ANSWERS = [(do, answer) for kind in KINDS for do, answer in answers(kind).items()]


def parses(message: object) -> bool:
    """Return whether a widget accepts a message."""
    return isinstance(message, dict) and any(
        is_accepted(answer, message) for do, answer in ANSWERS if do == message.get("do")
    )


def is_accepted(answer: MethodType, message: dict) -> bool:
    try:
        read_fields(answer, message, [b"123456789"])
    except ValueError as error:
        assert str(error).startswith("expected ") and "\n" not in str(error) and len(str(error)) < 200
        return False
    return True


def test_requests_of_wrong_types_are_refused_in_one_line():
    assert sum(not parses(message) for message in malformed()) > 1000


def test_every_request_is_covered():
    assert {do for do, _ in ANSWERS} == {request["do"] for request in REQUESTS if parses(request)}


def check(widget: BackgroundWidget, caplog, sent: object) -> None:
    """Check that there is no traceback, and at most one line is shown."""
    widget.wait()
    assert [one for one in caplog.records if one.exc_info] == [], str(sent)[:200]
    assert set(widget.status) >= {"kind", "text"} and "\n" not in widget.status["text"]


def works(widget: BackgroundWidget) -> None:
    """Check the main function of a widget."""
    out = []
    widget.send = lambda content, buffers=None: out.append(content)

    def tell(**message: object) -> None:
        widget._handle_custom_msg(message, [])
        widget.wait()

    if isinstance(widget, (Gallery, TextGallery)):
        widget.where, widget.among = {}, []
        tell(do="row", row=2)
        assert widget.shown["query"]["row"] == 2 and widget.shown["hits"] and widget.status["kind"] == "done"
        widget.selection = [1]
        assert [*widget.selection] == [1] and len(widget.hits) == len(widget.shown["hits"])
    elif isinstance(widget, BlindTest):
        tell(do="result")
        assert widget.result["rows"] and widget.status["kind"] == "done"
    else:
        rows = [member.row for member in widget.members] if isinstance(widget, DuplicateReview) else [1, 2]
        tell(do="pictures", rows=rows)
        assert out or not rows
    if isinstance(widget, (Map, Overview)):
        widget.selection = [1, 2]
        assert [*widget.selection] == [1, 2]


def test_impossible_requests_leave_every_widget_working(widget, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    own = answers(type(widget))
    foreign = ({"do": do, "row": 3} for do, _ in ANSWERS if do not in own)
    for message in (None, {"do": "dance"}, *foreign, *(one for one in malformed() if parses(one) and one["do"] in own)):
        for buffers in ([], [memoryview(b"123456789")]) if isinstance(message, dict) and "upload" in message else ([],):
            widget._handle_custom_msg(message, buffers)
            check(widget, caplog, message)
    works(widget)
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:expected k from 1 to 200")
def test_malformed_state_leaves_every_widget_working(widget, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in [*widget._settable, "status", "nothing"]:  # one check refuses all others
        for wrong in WRONG:
            update(widget, {"method": "update", "state": {name: wrong}, "buffer_paths": []})
            check(widget, caplog, (name, wrong))
    works(widget)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        {"method": "update"},
        {"method": "update", "state": ["k"]},
        {"method": "update", "state": {}, "buffer_paths": [["k"]]},
        {"method": "custom"},
        {"method": "dance"},
        {},
        None,
    ],
)
def test_foreign_message_is_logged(opened, caplog, capfd, data):
    shown = Gallery(opened, seed=1)
    shown.wait()
    update(shown, data)
    assert [one.exc_info for one in caplog.records] == [None] and "Gallery ignores a message" in caplog.text
    works(shown)
    assert capfd.readouterr().err == ""


def test_failed_request_keeps_the_offer(opened, monkeypatch, caplog):
    monkeypatch.setattr("similar_images.widgets.background.MAX_UNASKED_IMAGES", 5)
    shown = Overview(opened)
    offer = shown.status
    assert offer["kind"] == "offer"
    shown._handle_custom_msg({"do": "tick", "group": 7}, [])
    assert shown.status == offer and "expected a group from 0 to -1, got 7" in caplog.text
    shown._handle_custom_msg({"do": "begin"}, [])
    shown.wait()
    assert shown.status["kind"] == "done" and shown.groups


def test_page_gets_read_only_state_back(opened, monkeypatch):
    shown, sent = Gallery(opened, seed=1), []
    shown.wait()
    monkeypatch.setattr(shown, "send_state", lambda key=None: sent.append(key))
    before = shown.shown
    update(shown, {"method": "update", "state": {"shown": {}, "selection": [99]}, "buffer_paths": []})
    assert shown.shown == before and [*shown.selection] == [] and ["selection"] in sent
    assert shown.status["text"] == "Failed: expected rows from 0 to 11, got 99"


def update(widget: BackgroundWidget, data: object) -> None:
    widget._handle_msg({"content": {"data": data}, "buffers": []})


def test_two_saves_at_once_work(opened, monkeypatch):
    review, sent, both = DuplicateReview(opened, 0.5), [], threading.Barrier(2, timeout=60)
    review.wait()
    monkeypatch.setattr(review, "send", lambda content, buffers=None: sent.append(content["name"]))
    members = type(review).members

    def at_once(review: DuplicateReview) -> list:
        both.wait()
        return members.fget(review)

    monkeypatch.setattr(type(review), "members", property(at_once))
    for form in ("csv", "script"):
        review._handle_custom_msg({"do": "save", "form": form}, [])
    review.wait()
    assert sorted(sent) == ["duplicates-choice.csv", "move-duplicates.sh"] and review.status["kind"] == "done"


def declared_fields(declared: str) -> dict[str, str]:
    """Return name -> type of the fields of a message, such as `row: number, at?: number`."""
    return dict(re.findall(r"(\w+\??): ((?:[^,<\[{]|<[^>]*>|\[\]|\[[^\]]*\])+)", declared))


def test_requests_are_declared_for_the_page():
    declared = {do: declared_fields(rest) for do, rest in re.findall(r'\{ do: "(\w+)"(?:, )?(.*?) \}', SCRIPT)}
    assert declared.keys() == {do for do, _ in ANSWERS}
    for do, answer in ANSWERS:
        parameters = signature(UploadPart if do == "upload" else answer).parameters
        types = {name: one.annotation for name, one in parameters.items() if one.annotation is not bytes}
        assert types == {name: TYPES[kind.strip()] for name, kind in declared[do].items()}, do


def test_replies_are_declared_for_the_page():
    found = re.findall(r'\{\{ show: "(\w+)", (.*?) \}\} (\w+) \*/', SCRIPT)
    declared = {name: (show, declared_fields(rest).keys()) for show, rest, name in found}
    kinds = replies.Reply.__subclasses__()
    assert declared.keys() == {kind.__name__ for kind in kinds}
    for kind in kinds:
        optional = {field.name for field in fields(kind) if field.default is not MISSING}
        names = {f"{field.name}?" if field.name in optional else field.name for field in fields(kind)}
        assert declared[kind.__name__] == (kind.show, names), kind
