"""Raw photographs as a Pillow image: the preview of the camera if it is large enough, else decoding at half size.

LibRaw reads them. The tags of a TIFF show whether it is a raw photograph (DNG 1.7; TIFF/EP, ISO 12234-2).
"""

import io
from contextlib import suppress
from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from similar_images.inputs.formats import DRAFT_MARGIN

PHOTOMETRIC, SUB_IFDS, DNG_VERSION, ORIENTATION = 262, 330, 50706, 274  # tags
SENSOR, LINEAR = 32803, 34892  # values of PHOTOMETRIC: a colour filter array, or demosaiced raw samples
MAX_SUB_IFDS = 8
CANON = b"CR\x02"  # at byte 8 of a CR2
TIFF_STARTS = (b"II*\0", b"MM\0*")
TIFF_LIKE = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*", b"IIU\0": b"II*\0"}  # Olympus, Panasonic
TURNS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}  # by LibRaw's flip
GAMMA = (2.4, 12.92)  # of sRGB


class RawImage(ImageFile.ImageFile):
    format = "RAW"

    def _open(self) -> None:
        self._content = cast(BinaryIO, self.fp).read()
        self._min_side: int | None = None  # None: as large as half-size decoding
        sizes = self._parsed().sizes
        self._is_wide = sizes.width > sizes.height
        self._turn = TURNS.get(sizes.flip)
        is_turned = sizes.flip in (5, 6)
        self._size = (sizes.height, sizes.width) if is_turned else (sizes.width, sizes.height)
        self._mode = "RGB"

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Have the preview used if its shorter side, times DRAFT_MARGIN, has the smaller number of `size`."""
        self._min_side = min(size) // DRAFT_MARGIN if size else None

    def load(self) -> Any:
        if self._content:
            image = self._preview(self._wanted_side()) or self._decode()
            self._content = b""
            self.im, self._mode, self._size = image.im, image.mode, image.size
        return Image.Image.load(self)

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        start = TIFF_LIKE.get(self._content[:4], self._content[:4])
        if start in TIFF_STARTS:
            exif.load_from_fp(io.BytesIO(start + self._content[4:]))
        elif self._content and (preview := self._open_preview()):
            exif = preview.getexif()
        if ORIENTATION in exif:  # applied by `load`
            del exif[ORIENTATION]
        return exif

    def _parsed(self) -> Any:
        """Return LibRaw's object for the file; after its sizes are read, it decodes no pixels."""
        import rawpy

        raw = rawpy.RawPy()
        try:
            raw.open_buffer(io.BytesIO(self._content))
        except rawpy.LibRawError as error:
            raise SyntaxError(_message(error)) from error
        return raw

    def _open_preview(self) -> Image.Image | None:
        """Return the embedded JPEG before decoding, if there is one."""
        with suppress(Exception):  # LibRaw's errors have no common type
            preview = self._parsed().extract_thumb().data
            if isinstance(preview, bytes):
                return Image.open(io.BytesIO(preview), formats=["JPEG", "MPO"])
        return None

    def _wanted_side(self) -> int:
        half = min(self.size) // 2
        return half if self._min_side is None else min(self._min_side, half)

    def _preview(self, side: int) -> Image.Image | None:
        """Return the embedded JPEG, upright; None if it is missing, damaged, or its shorter side is below `side`."""
        preview = self._open_preview()
        if preview is None or min(preview.size) < side:
            return None
        target = self._wanted_side() * (1 if self._min_side is None else DRAFT_MARGIN)
        with suppress(Exception):  # decoders raise any type
            preview.draft(None, (target, target))
            preview.load()
            is_stored_as_raw = (preview.width > preview.height) == self._is_wide  # else the camera has rotated it
            return preview.transpose(self._turn) if self._turn is not None and is_stored_as_raw else preview
        return None

    def _decode(self) -> Image.Image:
        """Return the half-size image; if LibRaw cannot decode this variant, the preview."""
        import rawpy

        try:
            return Image.fromarray(self._parsed().postprocess(half_size=True, use_camera_wb=True, gamma=GAMMA))
        except rawpy.LibRawError as error:
            if preview := self._preview(1):
                return preview
            raise OSError(_message(error)) from error


def _message(error: Exception) -> str:
    """Return the message of LibRaw as text; LibRaw gives bytes."""
    message = error.args[0] if error.args else ""
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)


def is_raw_tiff(file: BinaryIO) -> bool:
    """Return whether a TIFF holds the samples of a camera's sensor."""
    file.seek(0)
    header = file.read(16)
    if header[:4] not in TIFF_STARTS:
        return False
    if header[8:11] == CANON:
        return True
    with suppress(Exception):  # a damaged TIFF
        first = ImageFileDirectory_v2(header[:8])
        file.seek(first.next)
        first.load(file)
        offsets = first.get(SUB_IFDS, ())
        if DNG_VERSION in first or first.get(PHOTOMETRIC) in (SENSOR, LINEAR):
            return True
        for offset in (offsets if isinstance(offsets, tuple) else (offsets,))[:MAX_SUB_IFDS]:
            part = ImageFileDirectory_v2(header[:8])
            file.seek(offset)
            part.load(file)
            if part.get(PHOTOMETRIC) in (SENSOR, LINEAR):
                return True
    return False
