"""ICC profiles, version 2, and the sRGB colours that follow from them by arithmetic (ICC.1:2001-04, IEC 61966-2-1)."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

D50 = np.array([0.9642, 1, 0.8249])  # XYZ of the white that profiles are relative to
D65 = (0.3127, 0.3290)  # xy
PRIMARIES = {  # xy of red, green and blue, of the white, and gamma
    "Display P3": ([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], D65, 2.2),
    "Adobe RGB": ([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], D65, 2.19921875),
    "ProPhoto RGB": ([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], (0.3457, 0.3585), 1.8),
}
SRGB = ([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)], D65)


def rgb_profile(name: str) -> bytes:
    """Return the profile of an RGB space of PRIMARIES."""
    primaries, white, gamma = PRIMARIES[name]
    columns = to_xyz(primaries, white).T
    tags = {tag: xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    return profile(b"mntr", b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


def grey_profile(gamma: float) -> bytes:
    return profile(b"mntr", b"GRAY", {b"kTRC": curve(gamma)})


def cmyk_profile() -> bytes:
    """Return the profile of a printer with inks less pure than plain arithmetic, as a table of 2^4."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    lightness = 95 - corners @ [35, 45, 8, 75]
    a, b = corners @ [-30, 70, -5, 0], corners @ [-45, -5, 85, 0]
    lab = np.stack([lightness * 2.55, a * 0.6 + 128, b * 0.6 + 128], axis=-1).clip(0, 255).round().astype(np.uint8)
    identity = np.arange(256, dtype=np.uint8).tobytes()
    matrix = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + lab.tobytes() + identity * 3
    return profile(b"prtr", b"CMYK", dict.fromkeys((b"A2B0", b"A2B1"), table), b"Lab ")


def srgb_profile() -> bytes:
    """Return the profile of sRGB that littlecms makes."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def expected_rgb(colours: np.ndarray, name: str) -> np.ndarray:
    """Return sRGB, float from 0 to 255, of colours uint8 (..., 3) in an RGB space."""
    primaries, white, gamma = PRIMARIES[name]
    linear = (colours / 255) ** gamma @ to_xyz(primaries, white).T @ np.linalg.inv(to_xyz(*SRGB)).T
    return encode(linear)


def expected_grey(levels: np.ndarray, gamma: float) -> np.ndarray:
    return encode((levels / 255) ** gamma)


def encode(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def to_xyz(primaries: list[tuple[float, float]], white: tuple[float, float]) -> np.ndarray:
    """Return the matrix (3, 3) from linear RGB to XYZ relative to D50, adapted by Bradford."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    x, y = white
    white_xyz = np.array([x / y, 1, (1 - x - y) / y])
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.inv(bradford) @ np.diag(bradford @ D50 / (bradford @ white_xyz)) @ bradford
    return adapt @ columns @ np.diag(np.linalg.solve(columns, white_xyz))


def profile(kind: bytes, space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    text = b"made for a test\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + text, b"wtpt": xyz(D50)} | tags
    start, directory, values = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        directory += struct.pack(">4sII", tag, start + len(values), len(value))
        values += value + bytes(-len(value) % 4)
    header = struct.pack(">II4s4s4s4s", 0, 0, b"\2\x40\0\0", kind, space, connection)
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", *fixed(D50))
    content = header + bytes(128 - len(header)) + directory + values
    return struct.pack(">I", len(content)) + content[4:]


def xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *fixed(values))


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma))


def fixed(values: np.ndarray) -> list[int]:
    return (np.asarray(values) * 65536).round().astype(int).tolist()


def with_profile(pixels: np.ndarray, icc_profile: bytes | None, form: str = "PNG", mode: str | None = None) -> bytes:
    """Return an image file with a colour profile."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels) if mode is None else Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    options |= {"quality": 100, "subsampling": "4:4:4"} if form == "AVIF" else {}
    image.save(buffer, form, icc_profile=icc_profile, **options)
    return buffer.getvalue()
