"""The parts of uploads: what is kept of them, and what is refused."""

import random

import pytest

from similar_images.inputs.images import UnreadableImage
from similar_images.widgets.uploads import MAX_BYTES, MAX_IMAGES, MAX_NAME, MAX_TOTAL_BYTES, Upload

FILES = [("a.png", b"aaaaa"), ("b.png", b"bbbbbbbb"), ("c.png", b"c")]


def part(upload: str, files: list[tuple[str, bytes]], at: int, start: int, step: int = 3) -> tuple[dict, list[bytes]]:
    name, content = files[at]
    about = {"do": "upload", "upload": upload, "name": name, "size": len(content)}
    return about | {"start": start, "at": at, "of": len(files)}, [content[start : start + step]]


def parts(upload: str, files: list[tuple[str, bytes]], step: int = 3) -> list[tuple[dict, list[bytes]]]:
    places = [(at, start) for at, (_, content) in enumerate(files) for start in range(0, len(content), step)]
    return [part(upload, files, *place, step) for place in places]


def kept(upload: Upload) -> int:
    """Return how many bytes of images are held."""
    return len(upload._part) + sum(len(content) for _, content in upload._files)


def test_several_files_are_returned_once_the_last_is_complete():
    upload, sent = Upload(), parts("1", FILES)
    found = [upload.receive(*one) for one in sent]
    assert found[:-1] == [None] * (len(sent) - 1) and found[-1] == FILES and kept(upload) == 0


@pytest.mark.parametrize("seed", range(20))
def test_however_uploads_are_mixed_the_last_one_begun_comes_out_whole_and_no_other_is_mixed(seed):
    draw, upload, whole = random.Random(seed), Upload(), []
    files = {name: [(f"{name} {file}", content * 3) for file, content in FILES] for name in "xyz"}
    left = {name: parts(name, files[name]) for name in files}
    begun = []
    while left:
        name = draw.choice(sorted(left))
        if name not in begun:
            begun.append(name)
        if found := upload.receive(*left[name].pop(0)):
            whole.append(found)
        if not left[name]:
            del left[name]
    assert whole[-1] == files[begun[-1]]
    assert all(one in files.values() for one in whole) and kept(upload) == 0


def test_what_is_buffered_is_limited_whatever_a_page_sends():
    upload, block, most = Upload(), bytes(MAX_BYTES), 0
    for at in range(40):  # 1 GB
        message = {"do": "upload", "upload": "1", "name": "x", "start": 0, "size": MAX_BYTES, "at": at, "of": 900}
        try:
            upload.receive(message, [block])
        except UnreadableImage as error:
            assert str(error) == "the images are larger than 100 MB together"
        most = max(most, kept(upload))
    assert most <= MAX_TOTAL_BYTES and kept(upload) == 0


def test_a_size_that_grows_after_the_first_part_does_not_raise_the_limit():
    upload = Upload()
    for at in range(4):
        upload.receive({"name": "x", "start": 0, "size": MAX_BYTES - 1, "at": at, "of": 9}, [bytes(MAX_BYTES - 1)])
    upload.receive({"name": "x", "start": 0, "size": 4, "at": 4, "of": 9}, [b"12"])
    with pytest.raises(UnreadableImage, match="larger than 100 MB together"):
        upload.receive({"name": "x", "start": 2, "size": MAX_BYTES, "at": 4, "of": 9}, [bytes(9)])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": MAX_BYTES + 1}, "x is larger than 25 MB"),
        ({"size": 0}, r"x is empty \(0 bytes\)"),
        ({"size": -5}, "x is empty"),
        ({"of": 0}, f"expected 1 to {MAX_IMAGES} images, got 0"),
        ({"of": MAX_IMAGES + 1}, "expected 1 to"),
        ({"size": 2}, "x: its parts came out of order"),
        ({"size": "9"}, "expected size to be an integer, got '9'"),
        ({"size": None}, "expected size to be an integer, got none"),
        ({"name": 7}, "expected name to be text, got 7"),
        ({"at": 1.5}, "expected at to be an integer, got 1.5"),
        ({"start": False}, "expected start to be an integer, got False"),
        ({"upload": ["1"]}, r"expected upload to be text, got \['1'\]"),
    ],
)
def test_an_impossible_part_is_refused_and_the_rest_of_its_upload_is_dropped(wrong, message):
    upload, right = Upload(), {"upload": "1", "name": "x", "start": 0, "size": 9, "at": 0, "of": 1}
    with pytest.raises(ValueError, match=message):
        upload.receive(right | wrong, [b"123"])
    if "upload" not in wrong:
        assert upload.receive(right | {"start": 3}, [b"456789"]) is None
    assert kept(upload) == 0
    assert upload.receive(right | {"upload": "2"}, [b"123456789"]) == [("x", b"123456789")]


def test_a_message_without_bytes_is_refused():
    with pytest.raises(ValueError, match="expected a message with bytes, got none"):
        Upload().receive({"name": "x", "start": 0, "size": 9}, [])


def test_a_long_name_is_cut():
    assert Upload().receive({"name": "x" * 10_000, "start": 0, "size": 1}, [b"1"]) == [("x" * MAX_NAME, b"1")]
