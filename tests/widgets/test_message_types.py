"""js/messages.js declares the messages of similar_images/widgets/messages.py."""

import re
from dataclasses import MISSING, fields
from typing import get_type_hints

from conftest import ROOT

from similar_images.widgets import messages

TYPES = {
    "string": str,
    "number": int,
    "boolean": bool,
    "number[]": messages.Rows,
    "Box": messages.Box,
    "Record<string, Condition>": messages.Where,
}
SCRIPT = (ROOT / "js" / "messages.js").read_text(encoding="utf-8")


def read_fields(declared: str) -> dict[str, str]:
    """Return name -> type of the fields of a message, such as `row: number, at?: number`."""
    return dict(re.findall(r"(\w+\??): ((?:[^,<\[{]|<[^>]*>|\[\]|\[[^\]]*\])+)", declared))


def test_requests_are_the_same():
    declared = {do: read_fields(rest) for do, rest in re.findall(r'\{ do: "(\w+)"(?:, )?(.*?) \}', SCRIPT)}
    assert declared.keys() == messages.REQUESTS.keys()
    for do, kind in messages.REQUESTS.items():
        hints = get_type_hints(kind)
        expected = {field.name: hints[field.name] for field in fields(kind) if field.name != "do"}
        assert {name: TYPES[kind.strip()] for name, kind in declared[do].items()} == expected, do


def test_replies_are_the_same():
    found = re.findall(r'\{\{ show: "(\w+)", (.*?) \}\} (\w+) \*/', SCRIPT)
    declared = {name: (show, read_fields(rest).keys()) for show, rest, name in found}
    kinds = messages.Reply.__subclasses__()
    assert declared.keys() == {kind.__name__ for kind in kinds}
    for kind in kinds:
        optional = {field.name for field in fields(kind) if field.default is not MISSING}
        names = {
            f"{field.name}?" if field.name in optional else field.name for field in fields(kind) if field.name != "do"
        }
        assert declared[kind.__name__] == (kind.show, names), kind
