"""What a page sends to a gallery, and what the gallery shows."""

from similar_images.widgets.search import SearchWidget


def tell(shown: SearchWidget, *buffers: bytes, **message: object) -> None:
    """Handle a message as if a page had sent it, and wait until its work is done."""
    shown._handle_custom_msg(message, [memoryview(buffer) for buffer in buffers])
    shown.wait()


def sent(shown: SearchWidget, **message: object) -> tuple[dict, bytes]:
    """Return what a gallery sends to the page in reply to a message."""
    out = []
    shown.send = lambda content, buffers: out.append((content, bytes(buffers[0])))
    tell(shown, **message)
    ((content, buffer),) = out
    return content, buffer


def query(shown: SearchWidget) -> str:
    """Return the name of the query that is shown."""
    return shown.shown["query"]["name"]


def hits(shown: SearchWidget) -> list[tuple[int, str, float]]:
    """Return the hits that are shown: row, name, similarity."""
    return [(hit["row"], hit["name"], hit["similarity"]) for hit in shown.shown["hits"]]


def refusal(shown: SearchWidget) -> str:
    """Return the message of the failure that is shown."""
    assert shown.status["kind"] == "failure"
    return shown.status["text"]
