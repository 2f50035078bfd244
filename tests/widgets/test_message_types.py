"""js/messages.js declares the requests that widgets answer, and their replies."""

import re
from dataclasses import MISSING, fields
from inspect import signature
from typing import Any

from conftest import ROOT

from similar_images import BlindTest, DuplicateReview, Gallery, Map, Overview, TextGallery
from similar_images.collection.session import Box
from similar_images.widgets import replies
from similar_images.widgets.uploads import UploadPart

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


def declared_fields(declared: str) -> dict[str, str]:
    """Return name -> type of the fields of a message, such as `row: number, at?: number`."""
    return dict(re.findall(r"(\w+\??): ((?:[^,<\[{]|<[^>]*>|\[\]|\[[^\]]*\])+)", declared))


def answered_requests() -> dict[str, list[dict[str, object]]]:
    """Return the fields of each request, once for each widget that answers it, without the content of uploads."""
    found: dict[str, list[dict[str, object]]] = {}
    for kind in KINDS:
        for name in dir(kind):
            if name.startswith("_answer_"):
                parameters = {**signature(getattr(kind, name)).parameters}
                if "part" in parameters and parameters["part"].annotation is UploadPart:
                    parameters = {**signature(UploadPart).parameters}
                types = {name: one.annotation for name, one in parameters.items() if name not in ("self", "content")}
                found.setdefault(name.removeprefix("_answer_"), []).append(types)
    return found


def test_requests_are_the_same():
    declared = {do: declared_fields(rest) for do, rest in re.findall(r'\{ do: "(\w+)"(?:, )?(.*?) \}', SCRIPT)}
    answered = answered_requests()
    assert declared.keys() == answered.keys()
    for do, fields_of_widgets in answered.items():
        expected = {name: TYPES[kind.strip()] for name, kind in declared[do].items()}
        assert all(types == expected for types in fields_of_widgets), do


def test_replies_are_the_same():
    found = re.findall(r'\{\{ show: "(\w+)", (.*?) \}\} (\w+) \*/', SCRIPT)
    declared = {name: (show, declared_fields(rest).keys()) for show, rest, name in found}
    kinds = replies.Reply.__subclasses__()
    assert declared.keys() == {kind.__name__ for kind in kinds}
    for kind in kinds:
        optional = {field.name for field in fields(kind) if field.default is not MISSING}
        names = {f"{field.name}?" if field.name in optional else field.name for field in fields(kind)}
        assert declared[kind.__name__] == (kind.show, names), kind
