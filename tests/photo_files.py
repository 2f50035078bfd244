"""Photographs in the formats of phones and cameras, made by libraries: HEIC, JPEG XL, DNG."""

import io
import struct

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 - registers its format
import tifffile
from PIL import Image

pillow_heif.register_heif_opener()

ACME, DATE = "Acme One", "2019:07:01 12:30:00"
XYZ_TO_RGB = (3.2404542, -1.5371385, -0.4985314, -0.9692660, 1.8760108, 0.0415560, 0.0556434, -0.2040259, 1.0572252)
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # inverse of the transforms of EXIF
WHITE = 4095  # of 12 bits


def exif_of(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[271], exif[272], exif[274], exif[306] = "Acme", ACME, orientation, DATE
    return exif.tobytes()


def stored_as(upright: Image.Image, orientation: int) -> Image.Image:
    """Return the pixels that a camera stores with this orientation."""
    return upright if orientation == 1 else upright.transpose(Image.Transpose(TURNS[orientation]))


def heic(image: Image.Image, orientation: int = 1, **options: object) -> bytes:
    """Return an upright image as HEIC, stored in this orientation."""
    stored, buffer = stored_as(image, orientation).copy(), io.BytesIO()
    stored.info["exif"] = exif_of(orientation)  # from here, Pillow's plugin also writes the transforms of HEIF
    stored.save(buffer, "HEIF", **options)
    return buffer.getvalue()


def heic_of_10_bits(image: Image.Image) -> bytes:
    samples = np.asarray(image).astype(np.uint16) * 257
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", image.size, samples.tobytes()).save(buffer, quality=95)
    return buffer.getvalue()


def jpeg_xl(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JXL", exif=exif_of(), **options)
    return buffer.getvalue()


def dng(image: Image.Image, orientation: int = 1, preview: bytes | None = None, xmp: bytes = b" ") -> bytes:
    """Return an image as DNG: 12-bit samples of a sensor with a colour filter array, and perhaps a JPEG as preview."""
    pixels = np.asarray(image.convert("RGB")) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    samples = (linear * WHITE).round().astype(np.uint16)
    mosaic = samples[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = samples[::2, ::2, 0], samples[1::2, 1::2, 2]
    matrix = [part for number in XYZ_TO_RGB for part in (round(number * 10_000), 10_000)]
    sensor = [  # code, type, count, value: DNG 1.4
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes([0, 1, 1, 2]), True),
        (50714, 4, 1, 0, True),
        (50717, 4, 1, WHITE, True),
    ]
    camera = [
        (271, 2, 0, "Acme", True),
        (272, 2, 0, ACME, True),
        (274, 3, 1, orientation, True),
        (306, 2, 0, DATE, True),
        (700, 1, len(xmp), xmp, True),
        (50706, 1, 4, bytes([1, 4, 0, 0]), True),
        (50707, 1, 4, bytes([1, 1, 0, 0]), True),
        (50708, 2, 0, ACME, True),
        (50721, 10, 9, matrix, True),
        (50728, 5, 3, [1, 1] * 3, True),
        (50778, 3, 1, 21, True),
    ]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        options: dict = {"metadata": None, "software": False}
        file.write(mosaic, photometric=32803, extratags=camera + sensor, **options)
    return buffer.getvalue() if preview is None else _with_preview(buffer.getvalue(), preview)


def _with_preview(content: bytes, preview: bytes) -> bytes:
    """Return a DNG with a JPEG in a second directory."""
    with Image.open(io.BytesIO(preview)) as image:
        width, height = image.size
    at = len(content) + len(content) % 2
    end = at + len(preview) + len(preview) % 2
    short, long = 3, 4
    entries = (
        (254, long, 1),
        (256, long, width),
        (257, long, height),
        (258, short, 8),
        (259, short, 7),
        (262, short, 6),
    )
    entries += ((273, long, at), (277, short, 3), (278, long, height), (279, long, len(preview)))
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    changed = bytearray(content.ljust(at, b"\0") + preview.ljust(end - at, b"\0") + directory)
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", changed, first + 2 + 12 * count, end)
    return bytes(changed)
