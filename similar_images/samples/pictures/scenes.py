"""Backgrounds: layers, each from a height down to the lower edge of the picture."""

from typing import NamedTuple


class Layer(NamedTuple):
    """Two colours that run into each other, with patches lighter and darker than they are."""

    top: tuple[float, float]  # y, from and to
    hues: tuple[float, ...]  # degrees
    far: tuple[float, float]  # saturation and value at the top
    near: tuple[float, float]  # at the bottom
    patch: tuple[float, float]  # width and height, pixels
    rough: float  # how much darker and lighter the patches are
    glow: float = 0  # how white they are


LAYERS = {
    "sky": Layer((0, 0), (212,), (0.6, 0.8), (0.2, 0.95), (160, 50), 0, 0.5),
    "dusk": Layer((0, 0), (25, 35), (0.45, 0.7), (0.6, 0.98), (160, 30), 0.1),
    "rain": Layer((0, 0), (210,), (0.15, 0.55), (0.15, 0.75), (4, 40), 0.08),
    "leaves": Layer((0, 0), (75, 95, 115), (0.5, 0.45), (0.55, 0.25), (60, 60), 0.35, 0.12),
    "wood": Layer((0, 0), (80, 100), (0.3, 0.7), (0.4, 0.4), (40, 25), 0.3),
    "meadow": Layer((50, 110), (85, 95), (0.5, 0.5), (0.55, 0.45), (5, 16), 0.22),
    "savanna": Layer((50, 90), (45, 55, 70), (0.45, 0.6), (0.5, 0.5), (5, 16), 0.22),
    "lawn": Layer((70, 115), (105,), (0.55, 0.4), (0.6, 0.5), (3, 9), 0.15),
    "sea": Layer((60, 120), (205, 190), (0.45, 0.7), (0.65, 0.45), (40, 7), 0.2),
    "bay": Layer((140, 165), (215,), (0.35, 0.65), (0.5, 0.35), (40, 7), 0.25),
    "pond": Layer((0, 0), (150, 200), (0.4, 0.3), (0.5, 0.18), (50, 12), 0.3),
    "reef": Layer((0, 0), (200, 210), (0.7, 0.5), (0.8, 0.25), (60, 60), 0.3),
    "ground": Layer((0, 0), (32,), (0.3, 0.6), (0.35, 0.55), (8, 6), 0.2),
    "desert": Layer((150, 185), (36,), (0.45, 0.85), (0.5, 0.75), (50, 5), 0.08),
    "street": Layer((185, 205), (215,), (0.1, 0.5), (0.1, 0.3), (60, 6), 0.2),
    "white": Layer((0, 0), (210,), (0, 1), (0.05, 0.95), (60, 60), 0.01),
    "wall": Layer((0, 0), (35, 200, 150), (0.15, 0.8), (0.2, 0.65), (60, 60), 0.04),
    "table": Layer((115, 145), (28,), (0.55, 0.4), (0.5, 0.6), (200, 9), 0.1),
    "boards": Layer((0, 0), (26, 32), (0.5, 0.5), (0.5, 0.4), (250, 12), 0.15),
}
