"""Decoding in processes: a hanging, crashing or killed decoder costs one image; files from archives share a limit."""

import io
import os
import queue
import signal
import threading
import time
import zipfile
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path

import numpy as np
import psutil
import pytest
from extraction import extract_images
from PIL import Image

from similar_images.inputs import images
from similar_images.inputs.sources import Archive, open_source
from similar_images.networks.loader import load
from similar_images.vectors import decode_pool as decoding
from similar_images.vectors.decode_pool import DecodePool
from similar_images.vectors.file_records import UNSTABLE, read_record


def trouble(source, preparation, limits):
    """Replaces `read` in a decoding process."""
    name = Path(source).name
    if "slow" in name:
        time.sleep(60)
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "killed" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "once" in name and not Path(source).exists():
        Path(source).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full(preparation.shape, 7, dtype=np.uint8)


def prepare(*arguments):
    prepare_process(*arguments)
    decoding.read_pixels = trouble


prepare_process = decoding._prepare_process


def serve(*arguments):
    decoding._prepare_process = prepare
    serve_process(*arguments)


serve_process = decoding._serve
PREPARATION = load("hog-colour").preparation


def decode(source, *blocks, **options):
    """Return the pixels of each block of names, or the reasons why there are none."""
    with closing(DecodePool(source, PREPARATION, max(map(len, blocks)), **options)) as pool:
        decoded = [images for _, images in pool.decode([(None, block) for block in blocks])]
        return [[image.pixels for image in images] for images in decoded]


def test_only_the_image_of_a_hanging_or_dying_decoder_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_serve", serve)
    blocks = ["a.jpg", "slow.jpg", "b.jpg"], ["c.jpg", "crash.jpg", "killed.jpg", "once.jpg"]
    for name in chain(*blocks):
        (tmp_path / name).write_bytes(b"any")
    first, second = decode(open_source(tmp_path), *blocks, limits=images.Limits(seconds=3), workers=2)
    (a, hung, b), (c, crashed, killed, once) = first, second
    assert all((good == 7).all() for good in (a, b, c, once))
    assert str(hung) == "took longer than 3 s to decode"
    assert str(crashed) == "its decoder crashed (SIGSEGV)"
    assert str(killed) == "its decoder was killed (SIGKILL), probably because memory ran out"


def test_run_with_killed_decoders_finishes(photos, tmp_path, monkeypatch):
    names = open_source(photos).find().names * 80
    decode = decoding._Process.decode
    decoded, kills = queue.SimpleQueue(), []

    def counted(*arguments):
        reason = decode(*arguments)
        decoded.put(True)
        return reason

    def kill() -> None:
        """Kill the decoders after every hundred images, until the end."""
        while all(decoded.get() for _ in range(100)):
            for child in psutil.Process().children():
                with suppress(psutil.Error):  # it has ended
                    if any("spawn_main" in part for part in child.cmdline()):
                        child.kill()
                        kills.append(child.pid)

    monkeypatch.setattr(decoding._Process, "decode", counted)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        vectors = extract_images(photos, tmp_path / "v.txt", names, workers=2)
    finally:
        decoded.put(False)
        killer.join()
    assert kills
    assert vectors.array.any(axis=1).sum() == len(names) - len(vectors.skipped)
    assert all("decoder was killed" in entry.reason for entry in vectors.skipped)


def packed(tmp_path: Path, count: int) -> Archive:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")  # 11 kB
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(count):
            file.writestr(f"{number}.tiff", buffer.getvalue())
    return open_source(tmp_path / "large.zip")


def test_archived_files_in_memory_are_limited(tmp_path, monkeypatch):
    source, inside, peaks = packed(tmp_path, 130), [], []
    size = source.size("0.tiff")
    monkeypatch.setattr(decoding, "MAX_BYTES_AHEAD", 2 * size)
    decode_image = decoding._Process.decode

    def counted(self, slot, image, seconds):
        inside.append(len(image))
        peaks.append(sum(inside))
        try:
            return decode_image(self, slot, image, seconds)
        finally:
            inside.remove(len(image))

    monkeypatch.setattr(decoding._Process, "decode", counted)
    (pixels,) = decode(source, source.find().names, workers=4)
    assert all(isinstance(image, np.ndarray) for image in pixels)
    assert max(peaks) <= 2 * size


def test_file_above_the_limit_is_decoded_alone(tmp_path, monkeypatch):
    source = packed(tmp_path, 6)
    monkeypatch.setattr(decoding, "MAX_BYTES_AHEAD", 10)
    (pixels,) = decode(source, source.find().names, workers=2)
    assert all(isinstance(image, np.ndarray) for image in pixels)


def test_decoding_writes_nothing_to_stderr(tmp_path, capfd):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_lzw")
    content = bytearray(buffer.getvalue())
    content[30:200] = bytes(170)
    (tmp_path / "noisy.tiff").write_bytes(content)
    ((reason,),) = decode(open_source(tmp_path), ["noisy.tiff"], workers=1)
    assert isinstance(reason, images.UnreadableImage)
    assert capfd.readouterr().err == ""


def test_record_of_a_file_that_changes_meanwhile_equals_no_other(photos, monkeypatch):
    def change(pool, image, slot):
        image.write_bytes(image.read_bytes() + b"more")

    source = open_source(photos)
    monkeypatch.setattr(DecodePool, "_decode_in_process", change)
    with closing(DecodePool(source, PREPARATION, 1)) as pool:
        ((_, (image,)),) = pool.decode([(None, ["red/0.jpg"])])
    assert image.record.size == UNSTABLE
    monkeypatch.setattr(DecodePool, "_decode_in_process", lambda *_: None)
    with closing(DecodePool(source, PREPARATION, 1)) as pool:
        ((_, (image,)),) = pool.decode([(None, ["red/0.jpg"])])
    assert image.record == read_record(source, "red/0.jpg")


@pytest.mark.parametrize(
    ("cores", "threads", "workers"),
    [(1, None, 2), (2, None, 2), (16, None, 16), (16, 4, 12), (16, 16, 16), (96, None, 32)],
)
def test_default_workers_use_the_remaining_cores(cores, threads, workers, monkeypatch):
    monkeypatch.setattr(decoding, "cpu_count", lambda: cores)
    assert decoding.default_workers(threads) == workers
