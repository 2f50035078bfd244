"""Decoding in processes: what hangs, crashes or is killed costs one image; files from archives share a limit."""

import io
import os
import queue
import signal
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from similar_images.inputs import images
from similar_images.inputs.sources import Archive, open_source
from similar_images.networks.loader import load
from similar_images.vectors import decode_pool as decoding
from similar_images.vectors import from_images as extraction
from similar_images.vectors.store import open_vectors
from similar_images.vectors.writer import Writer


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


prepare_process = decoding._prepare


def serve(*arguments):
    decoding._prepare = prepare
    serve_process(*arguments)


serve_process = decoding._serve


def test_an_image_whose_decoder_hangs_or_dies_is_skipped_and_its_neighbours_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_serve", serve)
    source, limits = open_source(tmp_path), images.Limits(seconds=3)
    with decoding.decoders(source, load("hog-colour"), 8, limits, workers=2) as pool:
        first = pool.begin(["a.jpg", "slow.jpg", "b.jpg"])
        second = pool.begin(["c.jpg", "crash.jpg", "killed.jpg", "once.jpg"])
        a, hung, b = pool.result(first)
        c, crashed, killed, once = pool.result(second)
    assert all((good == 7).all() for good in (a, b, c, once))
    assert str(hung) == "took longer than 3 s to decode"
    assert str(crashed) == "its decoder crashed (SIGSEGV)"
    assert str(killed) == "its decoder was killed (SIGKILL), probably because memory ran out"


def test_a_run_whose_decoders_are_killed_again_and_again_finishes(photos, tmp_path, monkeypatch):
    names = open_source(photos).find().names * 80
    encoder, output, decode = load("hog-colour"), tmp_path / "v.npy", decoding._Process.decode
    decoded, kills = queue.SimpleQueue(), []

    def counted(*arguments):
        reason = decode(*arguments)
        decoded.put(True)
        return reason

    def kill() -> None:
        """Kill the decoders after every hundred images, until the end is told."""
        while all(decoded.get() for _ in range(100)):
            for child in psutil.Process().children():
                with suppress(psutil.Error):  # it has ended
                    if any("spawn_main" in part for part in child.cmdline()):
                        child.kill()
                        kills.append(child.pid)

    monkeypatch.setattr(decoding._Process, "decode", counted)

    writer = Writer(output, tmp_path / "v.txt", names, photos)
    writer.begin(encoder.description)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        extraction.extract(names, photos, encoder, writer, workers=2)
    finally:
        decoded.put(False)
        killer.join()
    vectors = open_vectors(output)
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


def test_the_files_of_an_archive_are_in_memory_within_a_limit_however_large_the_batch(tmp_path, monkeypatch):
    source, inside, peaks = packed(tmp_path, 130), [], []
    size = source.size("0.tiff")
    monkeypatch.setattr(decoding, "BYTES_AHEAD", 2 * size)
    decode = decoding._Process.decode

    def counted(self, slot, image, seconds):
        inside.append(len(image))
        peaks.append(sum(inside))
        try:
            return decode(self, slot, image, seconds)
        finally:
            inside.remove(len(image))

    monkeypatch.setattr(decoding._Process, "decode", counted)
    with decoding.decoders(source, load("hog-colour"), 130, workers=4) as pool:
        pixels = pool.result(pool.begin(source.find().names))
    assert all(isinstance(image, np.ndarray) for image in pixels)
    assert max(peaks) <= 2 * size


def test_a_file_larger_than_the_limit_is_decoded_alone(tmp_path, monkeypatch):
    source = packed(tmp_path, 6)
    monkeypatch.setattr(decoding, "BYTES_AHEAD", 10)
    with decoding.decoders(source, load("hog-colour"), 6, workers=2) as pool:
        assert all(isinstance(image, np.ndarray) for image in pool.result(pool.begin(source.find().names)))


def test_decoding_writes_nothing_to_stderr(tmp_path, capfd):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_lzw")
    content = bytearray(buffer.getvalue())
    content[30:200] = bytes(170)
    (tmp_path / "noisy.tiff").write_bytes(content)
    with decoding.decoders(open_source(tmp_path), load("hog-colour"), 1, workers=1) as pool:
        (reason,) = pool.result(pool.begin(["noisy.tiff"]))
    assert isinstance(reason, images.UnreadableImage)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("cores", "threads", "workers"),
    [(1, None, 2), (2, None, 2), (16, None, 16), (16, 4, 12), (16, 16, 16), (96, None, 32)],
)
def test_as_many_processes_decode_as_the_cores_allow_beside_the_network(cores, threads, workers, monkeypatch):
    monkeypatch.setattr(decoding, "cpu_count", lambda: cores)
    assert decoding.default_workers(threads) == workers
