"""Damaged copies of a file, seeded, as by disks, transfers and editors."""

import json
from collections.abc import Iterator
from random import Random


def mutants(content: bytes, n: int, within: int | None = None) -> Iterator[bytes]:
    """Yield n damaged versions of the bytes; the damage begins within the first `within` bytes."""
    random, end = Random(0), min(within or len(content), len(content))
    for _ in range(n):
        at, kind = random.randrange(end), random.randrange(4)
        if kind == 0:
            yield content[:at]
        elif kind == 1:
            yield content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]
        elif kind == 2:
            yield content[:at] + content[at + random.randrange(1, 9) :]
        else:
            yield content[:at] + random.randbytes(random.randrange(1, 9)) + content[at:]


WRONG = (None, -1, 3, 2**70, 0.5, True, "", "x", [], [1], {}, {"a": 1})


def wrong_values(content: dict) -> Iterator[dict]:
    """Yield copies of a JSON object with each of its values, nested ones too, replaced by each wrong one or removed."""
    for path in list(_paths(content)):
        for wrong in (*WRONG, ...):
            copy = json.loads(json.dumps(content))
            inner = copy
            for key in path[:-1]:
                inner = inner[key]
            if wrong is ...:
                del inner[path[-1]]
            else:
                inner[path[-1]] = wrong
            yield copy


def _paths(content: object, before: tuple = ()) -> Iterator[tuple]:
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        yield (*before, key)
        yield from _paths(value, (*before, key))
