"""Uploads in parts: memory, order, and refusals."""

import random

import pytest

from similar_images.inputs.images import UnreadableImage
from similar_images.widgets.background import read_fields
from similar_images.widgets.uploads import MAX_BYTES, MAX_IMAGES, MAX_NAME, MAX_TOTAL_BYTES, Upload, UploadPart

FILES = [("a.png", b"aaaaa"), ("b.png", b"bbbbbbbb"), ("c.png", b"c")]


def parts(upload: str, files: list[tuple[str, bytes]], step: int = 3) -> list[UploadPart]:
    return [
        UploadPart(name, start, len(content), content[start : start + step], upload, at, len(files))
        for at, (name, content) in enumerate(files)
        for start in range(0, len(content), step)
    ]


def kept(upload: Upload) -> int:
    """Return the bytes of images in memory."""
    return len(upload._part) + sum(len(content) for _, content in upload._files)


def test_files_are_returned_after_the_last_part():
    upload, sent = Upload(), parts("1", FILES)
    found = [upload.receive(one) for one in sent]
    assert found[:-1] == [None] * (len(sent) - 1) and found[-1] == FILES and kept(upload) == 0


@pytest.mark.parametrize("seed", range(20))
def test_mixed_uploads_return_only_complete_files(seed):
    draw, upload, whole = random.Random(seed), Upload(), []
    files = {name: [(f"{name} {file}", content * 3) for file, content in FILES] for name in "xyz"}
    left = {name: parts(name, files[name]) for name in files}
    begun = []
    while left:
        name = draw.choice(sorted(left))
        if name not in begun:
            begun.append(name)
        if found := upload.receive(left[name].pop(0)):
            whole.append(found)
        if not left[name]:
            del left[name]
    assert whole[-1] == files[begun[-1]]
    assert all(one in files.values() for one in whole) and kept(upload) == 0


def test_buffered_bytes_are_limited():
    upload, block, most = Upload(), bytes(MAX_BYTES), 0
    for at in range(40):  # 1 GB
        try:
            upload.receive(UploadPart("x", 0, MAX_BYTES, block, "1", at, 900))
        except UnreadableImage as error:
            assert str(error) == "the images are larger than 100 MB together"
        most = max(most, kept(upload))
    assert most <= MAX_TOTAL_BYTES and kept(upload) == 0


def test_growing_size_does_not_raise_the_limit():
    upload = Upload()
    for at in range(4):
        upload.receive(UploadPart("x", 0, MAX_BYTES - 1, bytes(MAX_BYTES - 1), at=at, of=9))
    upload.receive(UploadPart("x", 0, 4, b"12", at=4, of=9))
    with pytest.raises(UnreadableImage, match="larger than 100 MB together"):
        upload.receive(UploadPart("x", 2, MAX_BYTES, bytes(9), at=4, of=9))


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
def test_refused_part_drops_the_rest_of_its_upload(wrong, message):
    upload, right = Upload(), {"upload": "1", "name": "x", "start": 0, "size": 9, "at": 0, "of": 1}

    def receive(content: bytes, **fields: object) -> list[tuple[str, bytes]] | None:
        return upload.receive(UploadPart(**read_fields(UploadPart, right | fields, [content])))

    with pytest.raises(ValueError, match=message):
        receive(b"123", **wrong)
    if "upload" not in wrong:
        assert receive(b"456789", start=3) is None
    assert kept(upload) == 0
    assert receive(b"123456789", upload="2") == [("x", b"123456789")]


def test_message_without_bytes_is_refused():
    with pytest.raises(ValueError, match="expected a message with bytes, got none"):
        read_fields(UploadPart, {"name": "x", "start": 0, "size": 9}, [])


def test_long_name_is_cut():
    assert Upload().receive(UploadPart("x" * 10_000, 0, 1, b"1")) == [("x" * MAX_NAME, b"1")]
