"""Read the full image of a TIFF with several pages."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from sample_images import encoded

from similar_images.inputs import images

FULL = np.full((40, 60, 3), (200, 40, 60), np.uint8)
SMALL = FULL[::4, ::4] // 2
PREVIEW = 1  # NewSubfileType


def tiff(*pages: tuple[np.ndarray, int | dict], **options: object) -> bytes:
    """Return a TIFF of pages with their NewSubfileType, or with options of tifffile."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as file:
        for pixels, kind in pages:
            photometric = "rgb" if pixels.ndim == 3 else "minisblack"
            page = kind if isinstance(kind, dict) else {"subfiletype": kind}
            file.write(pixels, photometric=photometric, metadata=None, **page)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
@pytest.mark.parametrize(
    "pages",
    [
        [(FULL, 0), (SMALL, PREVIEW)],
        [(SMALL, PREVIEW), (FULL, 0)],
        [(SMALL[::2], PREVIEW), (SMALL, PREVIEW), (FULL, 0), (SMALL, 0)],
        [(SMALL, {"extratags": [(255, 3, 1, 2, True)]}), (FULL, {"extratags": [(255, 3, 1, 1, True)]})],  # SubfileType
    ],
)
def test_previews_are_passed_over(pages, options):
    content = tiff(*pages, **options)
    assert np.array_equal(np.asarray(images.open_image(content)), FULL)
    assert images.read_original(content)[2] == (60, 40)


@pytest.mark.parametrize("order", "<>")
def test_sub_ifd_is_read(order):
    content = tiff((SMALL, {"subfiletype": PREVIEW, "subifds": 1}), (FULL, 0), byteorder=order)
    assert np.array_equal(np.asarray(images.open_image(content)), FULL)


def test_preview_is_read_without_a_full_image():
    unknown = np.zeros((40, 60), np.float64)  # 64 bits are unsupported
    for content in (tiff((SMALL, PREVIEW)), tiff((SMALL, PREVIEW), (unknown, 0))):
        assert np.array_equal(np.asarray(images.open_image(content)), SMALL)


def test_first_of_equal_pages_is_read():
    assert np.array_equal(np.asarray(images.open_image(tiff((SMALL, 0), (FULL, 0)))), SMALL)
    frames = encoded(Image.fromarray(SMALL), "TIFF", save_all=True, append_images=[Image.fromarray(FULL)])
    assert np.array_equal(np.asarray(images.open_image(frames)), SMALL)


def test_pixel_limit_applies_to_the_full_image():
    content = tiff((SMALL, PREVIEW), (FULL, 0))
    with pytest.raises(images.UnreadableImage, match="60 x 40 pixels: more than the limit of 2000 pixels"):
        images.open_image(content, images.Limits(pixels=2000))
