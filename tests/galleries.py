"""A widget without a browser: send it a message, read its replies and its state."""

import pytest
from PIL import Image
from sample_images import encoded

from similar_images import Collection, Gallery
from similar_images.widgets.background import BackgroundWidget
from similar_images.widgets.search import SearchWidget

GREEN = encoded(Image.new("RGB", (80, 60), (40, 160, 60)))


def tell(shown: BackgroundWidget, *buffers: bytes, **message: object) -> None:
    """Send a message of a page, and wait until its work is done."""
    shown._handle_custom_msg(message, [memoryview(buffer) for buffer in buffers])
    shown.wait()


def outbox(shown: BackgroundWidget) -> list[tuple[dict, list[bytes]]]:
    """Return a list of the replies that a widget sends from now on, with their buffers."""
    out: list[tuple[dict, list[bytes]]] = []
    shown.send = lambda content, buffers: out.append((content, [bytes(one) for one in buffers]))
    return out


def sent(shown: BackgroundWidget, **message: object) -> tuple[dict, list[bytes]]:
    """Return the only reply of a widget to a message, and its buffers."""
    out = outbox(shown)
    tell(shown, **message)
    (reply,) = out
    return reply


def query(shown: SearchWidget) -> str:
    """Return the name of the displayed query."""
    return shown.shown["query"]["name"]


def hits(shown: SearchWidget) -> list[tuple[int, str, float]]:
    """Return row, name and similarity of the displayed hits."""
    return [(hit["row"], hit["name"], hit["similarity"]) for hit in shown.shown["hits"]]


def refusal(shown: BackgroundWidget) -> str:
    """Return the text of the displayed failure."""
    assert shown.status["kind"] == "failure"
    return shown.status["text"]


def upload(shown: Gallery, name: str, content: bytes) -> None:
    tell(shown, content, do="upload", name=name, start=0, size=len(content))


def expected(collection: Collection, query: object, k: int = 8) -> list[tuple[int, str, float]]:
    return [(hit.row, hit.name, pytest.approx(hit.similarity, abs=1e-6)) for hit in collection.nearest(query, k)]
