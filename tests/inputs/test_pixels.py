"""Pixels by depth, sign, photometric interpretation, transparency and byte order.

The oracles are the definitions of the formats, applied to the samples, and ImageMagick.
"""

import io
import struct
import zlib
from typing import NamedTuple

import image_files
import magick
import numpy as np
import pytest
import tifffile
from image_files import chunk, tiff_by_hand, write_tiff
from PIL import Image
from sample_images import encoded

from similar_images.inputs import images

SIDE = 16
BITS = {  # stored bits by the name of a depth, with the lowest and highest sample
    "1": (1, 0, 1),
    "2": (2, 0, 3),
    "4": (4, 0, 15),
    "8": (8, 0, 255),
    "8 signed": (8, -128, 127),
    "10 in 16": (16, 0, 1023),
    "12 in 16": (16, 0, 4095),
    "14 in 16": (16, 0, 16383),
    "16": (16, 0, 65535),
    "16 signed": (16, -32768, 32767),
    "32": (32, 0, 2**32 - 1),
    "32 signed": (32, -(2**31), 2**31 - 1),
    "float": (32, -3.0, 7.0),
}
COLOURS = {"white is 0": 1, "black is 0": 1, "RGB": 3, "palette": 1, "CMYK": 4, "YCbCr": 3, "LAB": 3}  # bands
PHOTOMETRIC = dict(
    zip(COLOURS, ("miniswhite", "minisblack", "rgb", "palette", "separated", "ycbcr", "cielab"), strict=True)
)
PNG_KINDS = {"black is 0": 0, "RGB": 2, "palette": 3}
PALETTE = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint16)
PALETTE[::2] //= 2  # dark colours, so that drawings are put on white


class Case(NamedTuple):
    form: str
    depth: str
    colours: str
    alpha: str = "none"
    order: str = ">"
    compression: str | None = None
    planes: str = "contig"

    def __str__(self) -> str:
        return "-".join(str(part) for part in self if part is not None)


def tiff_cases() -> list[Case]:
    cases = []
    for order in "<>":
        for compression in (None, "deflate"):
            for depth in BITS:
                if depth not in ("2", "4"):
                    cases.append(Case("TIFF", depth, "black is 0", "none", order, compression))
                if depth not in ("2", "4", "32") and "signed" not in depth:
                    cases.append(Case("TIFF", depth, "white is 0", "none", order, compression))
            for depth in ("8", "10 in 16", "12 in 16", "14 in 16", "16"):
                for planes in ("contig", "separate"):
                    for alpha in ("none", "associated", "unassociated", "unspecified"):
                        cases.append(Case("TIFF", depth, "RGB", alpha, order, compression, planes))
                    cases.append(Case("TIFF", depth, "CMYK", "none", order, compression, planes))
            for alpha in ("associated", "unassociated", "unspecified"):
                cases.append(Case("TIFF", "8", "black is 0", alpha, order, compression))
            for colours in ("palette", "YCbCr", "LAB"):
                cases.append(Case("TIFF", "8", colours, "none", order, compression))
    return cases


def is_unknown_to_pillow(case: Case) -> bool:
    """Return whether Pillow refuses this kind; the image is skipped with a reason."""
    if case.depth == "32" or (case.depth.endswith("16") and case.colours == "white is 0"):
        return case.order == ">"
    return case[1:] == ("8", "RGB", "unspecified", case.order, None, "separate")


def png_cases() -> list[Case]:
    grey = [Case("PNG", depth, "black is 0", "tRNS") for depth in ("1", "2", "4", "8", "10 in 16", "12 in 16", "16")]
    wide = [
        Case("PNG", depth, colours, alpha)
        for depth in ("8", "10 in 16", "12 in 16", "16")
        for colours, alpha in (("black is 0", "unassociated"), ("RGB", "unassociated"), ("RGB", "tRNS"))
    ]
    palette = [Case("PNG", depth, "palette", alpha) for depth in "1248" for alpha in ("none", "tRNS")]
    opaque = [case._replace(alpha="none") for case in grey + wide]
    return list(dict.fromkeys(grey + wide + palette + opaque))


def other_cases() -> list[Case]:
    jpeg = [Case("JPEG", "8", colours) for colours in ("black is 0", "YCbCr", "CMYK")]
    bmp = [Case("BMP", "1", "black is 0"), Case("BMP", "8", "palette"), Case("BMP", "8", "RGB")]
    gif = [Case("GIF", "8", "palette"), Case("GIF", "8", "palette", "tRNS")]
    return [
        *(*jpeg, *bmp, *gif),
        *(Case(form, "8", "RGB", alpha) for form in ("WEBP", "AVIF") for alpha in ("none", "unassociated")),
    ]


def samples_of(case: Case) -> np.ndarray:
    """Return samples (SIDE, SIDE, bands) over the full range; associated colours do not exceed the alpha."""
    bits, low, high = BITS[case.depth]
    random, bands = np.random.default_rng(0), COLOURS[case.colours]
    has_alpha = case.alpha in ("associated", "unassociated", "unspecified")
    shares = random.random((SIDE, SIDE, bands + has_alpha))
    shares[0, 0], shares[0, 1] = 0, 1
    if case.colours == "LAB":  # inside of sRGB
        shares = np.stack([random.uniform(0.4, 0.6, (SIDE, SIDE)), *random.uniform(-0.05, 0.05, (2, SIDE, SIDE))], -1)
        return (shares * 255).round().astype(np.int8).view(np.uint8)
    if case.alpha == "associated":
        shares[..., :-1] *= shares[..., -1:]
    if case.depth == "float":
        return (low + shares * (high - low)).astype(np.float32)
    kind = np.int64 if low < 0 else np.uint64
    samples = np.clip(low + np.floor(shares * (high - low + 1)), low, high).astype(kind)
    if case.alpha == "tRNS" and (case.form, case.colours) != ("PNG", "palette"):
        most = samples.max(axis=(0, 1))
        samples[1, 2] = samples[0, 2:6] = most - most // 4  # the transparent value
    return samples.astype(f"{'i' if low < 0 else 'u'}{max(8, bits) // 8}")


def expected_colours(case: Case, samples: np.ndarray) -> np.ndarray:
    """Return RGB, float (SIDE, SIDE, 3) from 0 to 255, by the definitions of the formats."""
    low, high = BITS[case.depth][1:]
    if case.depth == "float":
        low, high = samples.min(), samples.max()
    shares = (samples.astype(np.float64) - low) / (high - low)
    bands, opacity = COLOURS[case.colours], 1.0
    colours = shares[..., :bands]
    if case.colours == "white is 0":
        colours = 1 - colours
    elif case.colours == "palette":
        colours = PALETTE[samples[..., 0]] / 255
    elif case.colours == "CMYK":
        colours = (1 - colours[..., :3]) * (1 - colours[..., 3:])
    elif case.colours == "YCbCr":
        colours = of_ycbcr(samples.astype(float)) / 255
    elif case.colours == "LAB":
        colours = of_lab(samples)
    if case.alpha == "associated":
        opacity = shares[..., bands:]
        colours = np.divide(colours, opacity, out=np.zeros_like(colours), where=opacity > 0)
    elif case.alpha == "unassociated":
        opacity = shares[..., bands:]
    elif case.alpha == "tRNS" and (case.form, case.colours) == ("PNG", "palette"):
        opacity = palette_alpha(case)[samples] / 255
    elif case.alpha == "tRNS":
        opacity = (samples != samples[1, 2]).any(axis=-1, keepdims=True).astype(float)
    on_white = colours * opacity + 1 - opacity
    return 255 * np.broadcast_to(np.clip(on_white, 0, 1), (SIDE, SIDE, 3))


def of_ycbcr(samples: np.ndarray) -> np.ndarray:
    """Return RGB from 0 to 255 of YCbCr, by ITU-R BT.601."""
    luma, blue, red = samples[..., 0], samples[..., 1] - 128, samples[..., 2] - 128
    rgb = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    return np.clip(np.stack(rgb, axis=-1), 0, 255)


def of_lab(samples: np.ndarray) -> np.ndarray:
    """Return sRGB from 0 to 1 of CIE L*a*b* with the white D50."""
    lightness = samples[..., 0] / 2.55
    a, b = (samples[..., band].view(np.int8).astype(float) for band in (1, 2))
    fy = (lightness + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.96422, 1, 0.82521]
    to_rgb = [  # from XYZ with the white D50, by Bradford
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = np.clip(xyz @ np.transpose(to_rgb), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def palette_alpha(case: Case) -> np.ndarray:
    return np.linspace(0, 255, 2 ** BITS[case.depth][0]).astype(np.uint8)


def tiff(case: Case, samples: np.ndarray) -> bytes:
    extra = {"associated": "assocalpha", "unassociated": "unassalpha", "unspecified": "unspecified"}.get(case.alpha)
    options = {"planarconfig": case.planes} if samples.shape[-1] > 1 else {}
    if case.colours == "palette":
        options["colormap"] = (PALETTE.T * 257).astype(np.uint16)
    if case.colours == "YCbCr":
        options["subsampling"] = (1, 1)
    if extra:
        options["extrasamples"] = [extra]
    stored = samples.astype(bool) if case.depth == "1" else samples
    stored = stored[..., 0] if samples.shape[-1] == 1 else stored
    stored = np.moveaxis(stored, -1, 0) if case.planes == "separate" and samples.shape[-1] > 1 else stored
    options |= {"byteorder": case.order, "compression": case.compression}
    content = write_tiff(stored, PHOTOMETRIC[case.colours], **options)
    with tifffile.TiffFile(io.BytesIO(content)) as file:  # check the writer
        assert np.array_equal(file.pages[0].asarray(), stored)
    return content


def png(case: Case, samples: np.ndarray) -> bytes:
    bits = BITS[case.depth][0]
    kind = PNG_KINDS[case.colours] + 4 * (case.alpha == "unassociated")
    if bits == 16:
        rows = samples.astype(">u2").reshape(SIDE, -1).view(np.uint8)
    else:
        digits = np.unpackbits(samples.astype(np.uint8).reshape(SIDE, -1, 1), axis=-1)[..., 8 - bits :]
        rows = np.packbits(digits.reshape(SIDE, -1), axis=-1)
    chunks = []
    if case.colours == "palette":
        chunks.append(chunk(b"PLTE", PALETTE[: 2**bits].astype(np.uint8).tobytes()))
    if case.alpha == "tRNS":
        clear = palette_alpha(case) if case.colours == "palette" else samples[1, 2].astype(">u2")
        chunks.append(chunk(b"tRNS", clear.tobytes()))
    chunks.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    return image_files.png(SIDE, SIDE, *chunks, depth=bits, colours=kind)


def by_pillow(case: Case, samples: np.ndarray) -> bytes:
    """Return a file written by Pillow."""
    modes = {"black is 0": "L", "palette": "P"}
    mode = "RGBA" if case.alpha == "unassociated" else modes.get(case.colours, case.colours)
    image = Image.frombytes(mode, (SIDE, SIDE), (samples * (255 if case.depth == "1" else 1)).tobytes())
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    if case.colours == "palette":
        image.putpalette(PALETTE.astype(np.uint8).tobytes())
    if case.alpha == "tRNS":
        image.info["transparency"] = int(samples[1, 2, 0])
    image = image.convert("1") if case.depth == "1" else image
    return encoded(image, case.form, **options.get(case.form, {"lossless": True} if case.form == "WEBP" else {}))


MAKERS = {"TIFF": tiff, "PNG": png}


@pytest.mark.parametrize("case", tiff_cases() + png_cases() + other_cases(), ids=str)
def test_pixels_equal_the_stored_samples(case):
    samples = samples_of(case)
    content = MAKERS.get(case.form, by_pillow)(case, samples)
    if is_unknown_to_pillow(case):
        with pytest.raises(images.UnreadableImage, match="this variant of TIFF is not supported"):
            images.open_image(content)
        return
    pixels = np.asarray(images.open_image(content)).astype(float)
    assert np.abs(pixels - expected_colours(case, samples)).max() <= tolerance(case)
    if magick.PROGRAM and is_known_to_magick(case):
        assert np.abs(pixels.reshape(-1, 3) - magick.read(content, case.form)).max() <= tolerance(case)


def tolerance(case: Case) -> int:
    """Return the tolerance in levels of 255."""
    if case.form in ("JPEG", "AVIF"):
        return 6  # lossy
    return 1 if case.alpha == "none" and case.colours not in ("CMYK", "YCbCr", "LAB") else 3


def is_known_to_magick(case: Case) -> bool:
    """Return whether ImageMagick follows the definition of this kind."""
    if case.compression or case.planes == "separate":
        return False  # no difference, to save time
    if case.form == "AVIF" or case.colours == "LAB" or case.alpha == "unspecified":
        return False  # it halves the resolution of colours, has another white, or takes the band for an alpha
    return case.depth in ("1", "2", "4", "8", "16", "32")  # it has no range of fewer bits than the file's


def levels(content: bytes) -> list[int]:
    """Return the red levels of an image, row after row."""
    return np.asarray(images.open_image(content))[..., 0].ravel().tolist()


def grey_tiff(values: object, dtype: str, **tags: object) -> bytes:
    """Return a TIFF of one row of values; tags are the largest sample and GDAL's no data."""
    numbers = {"max_sample": (281, 3, 1), "nodata": (42113, 2, None)}
    extra = [(*numbers[name], value, True) for name, value in tags.items()]
    return write_tiff(np.array([values], dtype), extratags=extra)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_range_of_floats_ignores_missing_and_infinite_values(missing):
    shown = levels(grey_tiff([500, 628, 755.5, 1010, missing], "f4"))
    assert shown == [0, 64, 128, 255, 255 if missing == np.inf else 0]


def test_floats_without_finite_values_are_black():
    assert levels(grey_tiff([np.nan, np.nan], "f4")) == [0, 0]


@pytest.mark.parametrize(
    ("values", "dtype", "nodata", "expected"),
    [
        ([500, 628, 755.5, 1010, -9999], "f4", "-9999", [0, 64, 128, 255, 0]),
        ([500, 628, 755.5, 1010, -3.4028234663852886e38], "f4", "-3.4028234663852886e+38", [0, 64, 128, 255, 0]),
        ([500, 628, 755.5, 1010, np.nan], "f4", "nan", [0, 64, 128, 255, 0]),
        ([-10, 0, 10, 41, -32768], "i2", "-32768", [0, 50, 100, 255, 0]),
        ([-10, 0, 10, 41, -9999], "i4", "-9999 ", [0, 50, 100, 255, 0]),
        ([0, 1023, 65535], "u2", "65535", [0, 255, 0]),
        ([0, 1023, 65535], "u2", "no number", [0, 4, 255]),
        ([0, 7, 255], "u1", "255", [0, 7, 255]),  # 8 bits have no range
        ([0, 128 * 257, 65535], "i4", "-1", [0, 128, 255]),  # 16 bits in 32
    ],
)
def test_nodata_is_black_and_outside_the_range(values, dtype, nodata, expected):
    assert levels(grey_tiff(values, dtype, nodata=nodata)) == expected


@pytest.mark.parametrize(
    ("largest", "max_sample", "expected"),
    [
        (255, None, 255),
        (256, None, 64),  # of 10 bits
        (1023, None, 255),
        (1024, None, 64),
        (4095, None, 255),
        (4096, None, 64),
        (16383, None, 255),
        (16384, None, 64),
        (1000, 4095, 62),
        (1028, 65535, 4),
        (1000, 500, 249),  # ignored: less than the largest value
    ],
)
@pytest.mark.parametrize("bands", [1, 3])
def test_white_is_the_stated_maximum_or_of_the_fewest_bits(largest, max_sample, expected, bands):
    tags = [] if max_sample is None else [(281, 3, 1, max_sample, True)]
    samples = np.full((4, 4, bands) if bands > 1 else (4, 4), largest, np.uint16)
    content = write_tiff(samples, "rgb" if bands > 1 else "minisblack", extratags=tags)
    assert set(levels(content)) == {expected}


def test_packed_12_bits_keep_their_depth():
    samples = np.array([0, 100, 1000, 900])  # packed: two samples in three bytes
    packed = b"".join(struct.pack(">I", a << 12 | b)[1:] for a, b in samples.reshape(-1, 2))
    content = tiff_by_hand(packed, 4, 1, bits=12, photometric=1, samples=1)
    assert levels(content) == (samples * 255 / 4095).round().tolist()


def test_tiff_palette_of_8_bits_is_scaled():
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    content = write_tiff(indices, "palette", colormap=np.tile(np.arange(256, dtype="u2"), (3, 1)))
    assert levels(content) == list(range(256))


def test_uncompressed_subsampled_ycbcr_is_decoded():
    luma, blue, red = 120, 90, 160
    block = bytes([luma] * 4 + [blue, red])  # of 2 x 2 pixels
    content = tiff_by_hand(block * 4, 4, 4, bits=8, photometric=6, samples=3)
    expected = of_ycbcr(np.array([[luma, blue, red]], float))
    assert np.abs(np.asarray(images.open_image(content)) - expected).max() <= 2


def test_bright_16_bit_colours_keep_their_high_bytes():
    samples = np.random.default_rng(0).integers(0, 2**16, (8, 8, 3), dtype=np.uint16)
    assert np.array_equal(np.asarray(images.open_image(write_tiff(samples, "rgb"))), samples >> 8)


def test_blocks_equal_the_whole(monkeypatch):
    samples = np.random.default_rng(0).integers(0, 4096, (9, 7, 3), dtype=np.uint16)
    contents = [write_tiff(samples, "rgb"), write_tiff(samples[..., 0].astype(np.float32))]
    whole = [levels(content) for content in contents]
    monkeypatch.setattr("similar_images.inputs.decoding.BLOCK_PIXELS", 14)  # pixels: two rows
    assert [levels(content) for content in contents] == whole


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_rotated_12_bit_colours_are_upright(planes, compression):
    samples = np.random.default_rng(0).integers(0, 4096, (6, 9, 3), dtype=np.uint16)
    samples[0, 0] = 4095
    stored = np.rot90(samples)  # orientation 6 turns it clockwise
    stored = np.moveaxis(stored, -1, 0) if planes == "separate" else stored
    options = {"planarconfig": planes, "compression": compression, "extratags": [(274, 3, 1, 6, True)]}
    shown = np.asarray(images.open_image(write_tiff(np.ascontiguousarray(stored), "rgb", **options)))
    assert np.array_equal(shown, (samples * (255 / 4095)).round())


@pytest.mark.parametrize(
    ("colour", "alpha", "expected"),
    [
        (900, 4095, 56),  # a dark image of 12 bits
        (4095, 65535, 255),
        (2048, 65535, 128),
        (20000, 65535, 78),
        (900, 0, 255),
    ],
)
def test_alpha_has_the_depth_of_the_colours_or_16_bits(colour, alpha, expected):
    samples = np.full((4, 4, 4), (colour, 0, 0, alpha), np.uint16)
    assert set(levels(write_tiff(samples, "rgb", extrasamples=["unassalpha"]))) == {expected}
