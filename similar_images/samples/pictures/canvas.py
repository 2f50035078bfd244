"""The canvas and the pen that the pictures are painted with."""

import colorsys
import math
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 320, 240  # pixels
FINE = 2  # painted at this multiple of the size, then reduced: smooth edges

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

KINDS: dict[str, Callable[["Picture"], None]] = {}


def kind(paint: Callable[["Picture"], None]) -> Callable[["Picture"], None]:
    """Register a function that paints a kind."""
    KINDS[paint.__name__.replace("_", "-")] = paint
    return paint


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour of a hue in degrees, saturation and value from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(255 * red), round(255 * green), round(255 * blue)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return `one` with a share of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


WHITE, BLACK = (255, 255, 255), (12, 12, 16)


class Picture:
    """A canvas with the random generator that varies what is painted on it."""

    def __init__(self, seed: str):
        self.random = Random(seed)
        self.image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE))
        self.draw = ImageDraw.Draw(self.image)

    def vary(self, hue: float, saturation: float, value: float, by: float = 1) -> Colour:
        """Return a colour near the given one; at `by` 1 the hue varies by 10 degrees."""
        shift = self.random.uniform
        return hsv(hue + shift(-10, 10) * by, saturation + shift(-0.1, 0.1) * by, value + shift(-0.1, 0.1) * by)

    def backdrop(self, *stops: Colour) -> None:
        """Fill the picture from top to bottom with colours that run into each other."""
        rows = np.linspace(0, len(stops) - 1, HEIGHT * FINE)
        channels = [np.interp(rows, range(len(stops)), [stop[channel] for stop in stops]) for channel in range(3)]
        column = np.stack(channels, axis=1).round().astype(np.uint8)
        self.image.paste(Image.fromarray(np.repeat(column[:, None], WIDTH * FINE, axis=1)))

    def ground(self, y: float, near: Colour, far: Colour) -> None:
        """Fill what is below y, darker or lighter towards the viewer."""
        for top in range(int(y), HEIGHT):
            share = (top - y) / (HEIGHT - y)
            self.draw.rectangle(fine_points((0, top), (WIDTH, top + 1)), fill=mix(far, near, share))

    def pen(self, x: float, y: float, scale: float = 1, angle: float = 0, mirror: bool = False) -> "Pen":
        """Return a pen whose (0, 0) is at x, y of the picture; the angle is in degrees."""
        return Pen(self, x, y, scale, math.radians(angle), -1 if mirror else 1)

    def soft(self, outlines: list[Points], colour: Colour, blur: float, opacity: float = 1) -> None:
        """Paint polygons without sharp edges: a shadow, a glow, a cloud."""
        around = 3 * blur + 2
        xs, ys = ([point[axis] for outline in outlines for point in outline] for axis in (0, 1))
        left, top = math.floor(min(xs) - around), math.floor(min(ys) - around)
        size = math.ceil(max(xs) + around) - left, math.ceil(max(ys) + around) - top
        mask = Image.new("L", size)  # blurred edges need no finer pixels than the picture's
        for outline in outlines:
            ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in outline], fill=round(255 * opacity))
        mask = mask.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur))
        mask = mask.resize((size[0] * FINE, size[1] * FINE))
        self.image.paste(colour, (left * FINE, top * FINE, (left + size[0]) * FINE, (top + size[1]) * FINE), mask)

    def cloud(self, x: float, y: float, size: float, colour: Colour) -> None:
        puffs = [(-1, 0.1, 0.5), (-0.4, -0.2, 0.7), (0.3, -0.1, 0.8), (1, 0.1, 0.5), (0, 0.2, 0.9)]
        outlines = [ellipse_points(x + dx * size, y + dy * size, r * size, r * size * 0.45) for dx, dy, r in puffs]
        self.soft(outlines, colour, size * 0.08, 0.95)

    def stars(self, count: int, below: float = HEIGHT) -> None:
        for _ in range(count):
            x, y, radius = self.random.uniform(0, WIDTH), self.random.uniform(0, below), self.random.uniform(0.4, 1.1)
            self.pen(x, y).ellipse(0, 0, radius, radius, hsv(50, 0.1, self.random.uniform(0.6, 1)))

    def finished(self) -> Image.Image:
        """Return the picture in its own size, with the light, the grain and the darker corners of a photograph."""
        image = self.image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
        light = self.random.uniform(0.82, 1.12)
        tint = np.array([self.random.uniform(0.95, 1.05) for _ in range(3)])
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        corners = 1 - self.random.uniform(0.05, 0.2) * (x**2 + y**2) / 2
        grain = np.random.default_rng(self.random.getrandbits(32)).normal(
            0, self.random.uniform(1.5, 4), (HEIGHT, WIDTH, 1)
        )
        pixels = np.asarray(image) * (light * tint * corners[..., None]) + grain
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


class Pen:
    """Paints a thing in its own coordinates: moved, scaled, turned, mirrored."""

    def __init__(self, picture: Picture, x: float, y: float, scale: float, angle: float, side: int):
        self.picture, self.x, self.y, self.scale, self.side = picture, x, y, scale, side
        self.cos, self.sin = math.cos(angle), math.sin(angle)

    def at(self, points: Points) -> Points:
        """Return where points of the thing are in the picture."""
        return [
            (
                self.x + self.scale * (self.side * u * self.cos - v * self.sin),
                self.y + self.scale * (self.side * u * self.sin + v * self.cos),
            )
            for u, v in points
        ]

    def polygon(self, points: Points, colour: Colour) -> None:
        self.picture.draw.polygon(fine_points(*self.at(points)), fill=colour)

    def ellipse(self, u: float, v: float, ru: float, rv: float, colour: Colour, turn: float = 0) -> None:
        self.polygon(ellipse_points(u, v, ru, rv, turn), colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Paint a line with round ends and corners."""
        across = max(1, round(width * self.scale * FINE))
        path = fine_points(*self.at(points))
        self.picture.draw.line(path, fill=colour, width=across, joint="curve")
        for x, y in (path[0], path[-1]):
            radius = across / 2
            self.picture.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def ball(self, u: float, v: float, ru: float, colour: Colour, rv: float | None = None, shade: float = 0.45) -> None:
        """Paint a round body, lit from the upper left."""
        rv = ru if rv is None else rv
        steps = 14
        for step in range(steps):
            share = step / (steps - 1)
            tone = mix(mix(colour, BLACK, shade), mix(colour, WHITE, 0.35), share)
            size = 1 - 0.85 * share
            self.ellipse(u - 0.32 * ru * share, v - 0.34 * rv * share, ru * size, rv * size, tone)

    def shadow(self, u: float, v: float, ru: float, rv: float, opacity: float = 0.45) -> None:
        self.picture.soft([self.at(ellipse_points(u, v, ru, rv))], BLACK, 0.1 * ru * self.scale, opacity)

    def glow(self, u: float, v: float, radius: float, colour: Colour, opacity: float = 0.6) -> None:
        self.picture.soft([self.at(ellipse_points(u, v, radius, radius))], colour, 0.4 * radius * self.scale, opacity)


def fine_points(*points: tuple[float, float]) -> Points:
    return [(x * FINE, y * FINE) for x, y in points]


def ellipse_points(u: float, v: float, ru: float, rv: float, turn: float = 0) -> Points:
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    round_ = [(ru * math.cos(t), rv * math.sin(t)) for t in (2 * math.pi * step / 48 for step in range(48))]
    return [(u + x * cos - y * sin, v + x * sin + y * cos) for x, y in round_]


def star_points(radius: float, inner: float, points: int, turn: float = 0) -> Points:
    """Return a star's corners, or with inner = 0.9 a coin's edge."""
    angles = [math.radians(turn) + math.pi * step / points for step in range(2 * points)]
    return [
        (r * math.sin(angle), -r * math.cos(angle))
        for angle, r in zip(angles, [radius, radius * inner] * points, strict=True)
    ]


def smooth_points(corners: Points) -> Points:
    """Return a closed outline with its corners rounded (Chaikin 1974)."""
    for _ in range(3):
        pairs = list(zip(corners, [*corners[1:], corners[0]], strict=True))
        corners = [(a[0] * s + b[0] * (1 - s), a[1] * s + b[1] * (1 - s)) for a, b in pairs for s in (0.75, 0.25)]
    return corners


def table_top(picture: Picture, hue: float = 28) -> float:
    """Paint a wall and a wooden table; return the height of its edge."""
    edge = picture.random.uniform(120, 150)
    wall = picture.vary(picture.random.choice((35, 45, 200, 150)), 0.2, 0.8, 1.5)
    picture.backdrop(mix(wall, WHITE, 0.2), mix(wall, BLACK, 0.15))
    wood = picture.vary(hue, 0.55, 0.55)
    picture.ground(edge, mix(wood, WHITE, 0.12), mix(wood, BLACK, 0.2))
    for _ in range(9):
        y, x = picture.random.uniform(edge, HEIGHT), picture.random.uniform(-60, 200)
        picture.pen(x, y).line([(0, 0), (160, picture.random.uniform(-2, 2))], 0.8, mix(wood, BLACK, 0.28))
    return edge


def somewhere(picture: Picture, y: float = 120, scale: tuple[float, float] = (0.85, 1.3), tilt: float = 8) -> Pen:
    """Return a pen near the middle of the picture, of some size and some tilt."""
    random = picture.random
    return picture.pen(
        160 + random.uniform(-45, 45), y + random.uniform(-14, 14), random.uniform(*scale), random.uniform(-tilt, tilt)
    )
