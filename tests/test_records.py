"""Records are written to JSON and read back, and a damaged file is refused with the place and the remedy."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import pytest

from similar_images.records import OMIT_NONE, read_record, write_record


class Gap(NamedTuple):
    row: int
    reason: str = "truncated"


@dataclass(frozen=True, kw_only=True)
class Names:
    file: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    FORMAT: ClassVar[str] = "example 1"
    n: int
    is_done: bool = False
    recall: float = 0.5
    names: Names
    gaps: tuple[Gap, ...] = ()
    counts: dict[str, int] | None = field(default=None, metadata=OMIT_NONE)
    previous: Names | int | None = None
    settings: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if len(self.gaps) > self.n:
            raise ValueError("more gaps than rows")


EXAMPLE = Example(n=2, names=Names(file="a.txt"), gaps=(Gap(1, "é"),), recall=1, previous=Names(file="b.txt"))


@pytest.mark.parametrize("record", [EXAMPLE, replace(EXAMPLE, counts={"a": 1}, previous=3, settings={"x": [1, None]})])
def test_written_record_is_read_back(tmp_path, record):
    write_record(tmp_path / "a.json", record)
    assert read_record(tmp_path / "a.json", Example) == record


def test_keys_keep_the_order_of_the_fields(tmp_path):
    write_record(tmp_path / "a.json", EXAMPLE)
    written = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert list(written) == ["format", "n", "is_done", "recall", "names", "gaps", "previous", "settings"]
    assert written["gaps"] == [{"row": 1, "reason": "é"}]
    assert '"recall": 1,' in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_missing_keys_have_defaults_and_unknown_keys_are_ignored(tmp_path):
    content = {"format": "example 1", "n": 0, "names": {"file": "a", "unknown": 1}, "unknown": 2}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_record(tmp_path / "a.json", Example) == Example(n=0, names=Names(file="a"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"n": "3"}, "n: expected int, got '3'"),
        ({"n": True}, "n: expected int, got True"),
        ({"n": -1}, "n: expected a number of at least 0, got -1"),
        ({"is_done": 1}, "is_done: expected bool, got 1"),
        ({"recall": None}, "recall: expected a number, got None"),
        ({"names": []}, "names: expected an object, got []"),
        ({"names": {}}, "names.file is missing"),
        ({"names": {"file": "a", "sha256": 1}}, "names.sha256: expected str, got 1"),
        ({"gaps": {}}, "gaps: expected a list, got {}"),
        ({"gaps": [{"row": 1}, {"row": "b"}]}, "gaps[1].row: expected int, got 'b'"),
        ({"gaps": [{"row": 1}] * 5}, "more gaps than rows"),
        ({"counts": {"a": "b"}}, "counts.a: expected int, got 'b'"),
        ({"counts": []}, "counts: expected an object, got []"),
    ],
)
def test_damaged_record_is_refused_with_place_and_remedy(tmp_path, change, fault):
    path = tmp_path / "a.json"
    content = {"format": "example 1", "n": 3, "names": {"file": "a"}} | change
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as error:
        read_record(path, Example, "rebuild it")
    assert str(error.value) == f"{path} is damaged, {fault}; rebuild it"


def test_other_format_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"format": "example 2"}')
    with pytest.raises(ValueError, match="expected the format 'example 1', got 'example 2'; rebuild it"):
        read_record(tmp_path / "a.json", Example, "rebuild it")
