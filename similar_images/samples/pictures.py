"""The sample collection: pictures of things that a person recognises at once, painted by code.

A picture is 320 x 240. What is painted is given in a thing's own coordinates: its middle is (0, 0), up is negative,
it is some 100 units tall; a `Pen` puts it where the picture wants it. Everything comes from a random generator
seeded by kind and number, so each run gives the same bytes.
"""

import colorsys
import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from similar_images.files import replacing

WIDTH, HEIGHT = 320, 240  # pixels
FINE = 2  # painted so many times larger, then reduced: smooth edges
EACH = 24  # pictures of a kind
QUALITY = 88  # of the JPEGs

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]

KINDS: dict[str, Callable[["Picture"], None]] = {}


def kind(paint: Callable[["Picture"], None]) -> Callable[["Picture"], None]:
    """Enter a function that paints into the table of kinds."""
    KINDS[paint.__name__.replace("_", "-")] = paint
    return paint


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour of a hue in degrees, saturation and value from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(255 * red), round(255 * green), round(255 * blue)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return `one` with a share of `other` in it."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


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
            self.draw.rectangle(_fine((0, top), (WIDTH, top + 1)), fill=mix(far, near, share))

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
        outlines = [_ellipse(x + dx * size, y + dy * size, r * size, r * size * 0.45) for dx, dy, r in puffs]
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
        self.picture.draw.polygon(_fine(*self.at(points)), fill=colour)

    def ellipse(self, u: float, v: float, ru: float, rv: float, colour: Colour, turn: float = 0) -> None:
        self.polygon(_ellipse(u, v, ru, rv, turn), colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Paint a line with round ends and corners."""
        across = max(1, round(width * self.scale * FINE))
        path = _fine(*self.at(points))
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
        self.picture.soft([self.at(_ellipse(u, v, ru, rv))], BLACK, 0.1 * ru * self.scale, opacity)

    def glow(self, u: float, v: float, radius: float, colour: Colour, opacity: float = 0.6) -> None:
        self.picture.soft([self.at(_ellipse(u, v, radius, radius))], colour, 0.4 * radius * self.scale, opacity)


def paint(name: str, number: int) -> Image.Image:
    """Return picture `number` of a kind: RGB, 320 x 240, the same on each run."""
    picture = Picture(f"{name} {number}")
    KINDS[name](picture)
    return picture.finished()


def write(folder: Path) -> int:
    """Paint the collection into `folder`, a folder a kind, and return the number of pictures.

    Raises FileExistsError where there is something else in the folder.
    """
    wanted = [folder / name / f"{name}-{number:02}.jpg" for name in sorted(KINDS) for number in range(EACH)]
    if folder.exists():
        files = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}
        if foreign := files - set(wanted):
            raise FileExistsError(f"{folder} holds other files, such as {min(foreign)}: name a new folder")
    for path in wanted:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            number = int(path.stem.rpartition("-")[2])
            with replacing(path) as partial:
                paint(path.parent.name, number).save(partial, "JPEG", quality=QUALITY)
    return len(wanted)


def _fine(*points: tuple[float, float]) -> Points:
    return [(x * FINE, y * FINE) for x, y in points]


def _ellipse(u: float, v: float, ru: float, rv: float, turn: float = 0) -> Points:
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    round_ = [(ru * math.cos(t), rv * math.sin(t)) for t in (2 * math.pi * step / 48 for step in range(48))]
    return [(u + x * cos - y * sin, v + x * sin + y * cos) for x, y in round_]


def _star(radius: float, inner: float, points: int, turn: float = 0) -> Points:
    """Return a star's corners, or with inner = 0.9 a coin's edge."""
    angles = [math.radians(turn) + math.pi * step / points for step in range(2 * points)]
    return [
        (r * math.sin(angle), -r * math.cos(angle))
        for angle, r in zip(angles, [radius, radius * inner] * points, strict=True)
    ]


def _table(picture: Picture, hue: float = 28) -> float:
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


def _somewhere(picture: Picture, y: float = 120, scale: tuple[float, float] = (0.85, 1.3), tilt: float = 8) -> Pen:
    """Return a pen near the middle of the picture, of some size and some tilt."""
    random = picture.random
    return picture.pen(
        160 + random.uniform(-45, 45), y + random.uniform(-14, 14), random.uniform(*scale), random.uniform(-tilt, tilt)
    )


@kind
def sailing_boat(picture: Picture) -> None:
    random = picture.random
    horizon = random.uniform(125, 160)
    evening = picture.vary(18, 0.75, 0.95)
    picture.backdrop(picture.vary(255, 0.45, 0.5), picture.vary(330, 0.4, 0.8), evening, picture.vary(45, 0.6, 0.98))
    sun = picture.pen(random.uniform(60, 260), horizon - random.uniform(0, 30))
    sun.glow(0, 0, 60, (255, 220, 150), 0.7)
    sun.ellipse(0, 0, 20, 20, (255, 240, 190))
    sea = picture.vary(225, 0.5, 0.35)
    picture.ground(horizon, mix(sea, BLACK, 0.4), mix(sea, evening, 0.6))
    for _ in range(60):
        y = random.uniform(horizon + 2, HEIGHT)
        spread = 8 + (y - horizon) * 0.45
        x = random.gauss(sun.x, spread)
        picture.pen(x, y).line(
            [(-random.uniform(3, 14), 0), (random.uniform(3, 14), 0)], 1.3, mix(sea, (255, 205, 140), 0.65)
        )
    boat = picture.pen(
        random.uniform(80, 240), horizon + random.uniform(12, 30), random.uniform(0.9, 1.45), random.uniform(-5, 5),
        random.random() < 0.5,
    )  # fmt: skip
    boat.shadow(0, 16, 48, 6, 0.5)
    sail = picture.vary(40, 0.12, 0.93)
    boat.polygon([(4, -92), (4, -4), (52, -6), (24, -45)], sail)
    boat.polygon([(-3, -84), (-3, -4), (-38, -6), (-14, -46)], mix(sail, (220, 120, 80), 0.35))
    boat.line([(0, -95), (0, 4)], 2.2, (70, 40, 30))
    boat.polygon([(-46, 0), (52, 0), (36, 17), (-32, 17)], picture.vary(random.choice((5, 20, 210)), 0.6, 0.35))
    boat.line([(-45, 1), (51, 1)], 2.5, (235, 225, 210))


@kind
def chessboard(picture: Picture) -> None:
    random = picture.random
    table = picture.vary(random.choice((25, 100, 210)), 0.4, 0.45, 1.5)
    picture.backdrop(mix(table, WHITE, 0.1), mix(table, BLACK, 0.25))
    board = _somewhere(picture, 120, (0.95, 1.3), 30)
    board.shadow(4, 6, 98, 98, 0.5)
    dark, light = picture.vary(25, 0.6, 0.32), picture.vary(40, 0.25, 0.93)
    board.polygon([(-88, -88), (88, -88), (88, 88), (-88, 88)], mix(dark, BLACK, 0.35))
    for row in range(8):
        for column in range(8):
            x, y = -80 + 20 * column, -80 + 20 * row
            board.polygon([(x, y), (x + 20, y), (x + 20, y + 20), (x, y + 20)], dark if (row + column) % 2 else light)
    for _ in range(random.randint(4, 12)):
        x, y = -70 + 20 * random.randrange(8), -70 + 20 * random.randrange(8)
        piece = random.choice(((245, 235, 215), (35, 30, 30)))
        board.ellipse(x + 2, y + 2, 7.5, 7.5, mix(dark, BLACK, 0.6))
        board.ball(x, y, 7.5, mix(piece, BLACK, 0.15))
        board.ball(x, y, 4, piece)


@kind
def apple(picture: Picture) -> None:
    random = picture.random
    _table(picture)
    fruit = _somewhere(picture, 140, (0.95, 1.35))
    fruit.shadow(8, 50, 58, 13)
    skin = picture.vary(random.choice((0, 4, 8, 75, 85)), 0.8, 0.75)
    fruit.ball(-17, 2, 36, skin, 45)
    fruit.ball(17, 2, 36, skin, 45)
    fruit.ball(0, 6, 42, skin, 43)
    fruit.ellipse(0, -38, 16, 5, mix(skin, BLACK, 0.55))
    fruit.line([(0, -36), (3, -50), (8, -60)], 4, (80, 50, 25))
    fruit.polygon([(6, -52), (22, -68), (44, -66), (34, -52), (18, -47)], picture.vary(110, 0.65, 0.5))
    fruit.line([(8, -52), (38, -63)], 1.2, (190, 220, 150))
    fruit.glow(-18, -18, 7, WHITE, 0.85)


@kind
def house_by_night(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(232, 0.75, 0.14), picture.vary(225, 0.6, 0.36))
    picture.stars(70, 150)
    moon = picture.pen(random.choice((50, 270)) + random.uniform(-25, 25), random.uniform(28, 60))
    moon.glow(0, 0, 38, (230, 230, 200), 0.45)
    moon.ball(0, 0, 15, (235, 232, 205), shade=0.1)
    grass = picture.vary(150, 0.5, 0.16)
    picture.ground(185, mix(grass, BLACK, 0.4), grass)
    house = picture.pen(160 + random.uniform(-45, 45), 140 + random.uniform(-8, 8), random.uniform(0.9, 1.25))
    wall = picture.vary(random.choice((20, 35, 210)), 0.35, 0.34)
    house.polygon([(-58, -22), (58, -22), (58, 55), (-58, 55)], wall)
    house.polygon([(30, -72), (44, -72), (44, -40), (30, -40)], mix(wall, BLACK, 0.4))
    house.polygon([(-72, -20), (-38, -66), (38, -66), (72, -20)], picture.vary(8, 0.5, 0.24))
    lamp = picture.vary(46, 0.65, 1, 0.5)
    for x in (-42, 18):
        house.glow(x + 12, 2, 30, lamp, 0.5)
        house.polygon([(x, -10), (x + 24, -10), (x + 24, 16), (x, 16)], lamp)
        house.line([(x + 12, -10), (x + 12, 16)], 2, mix(wall, BLACK, 0.3))
        house.line([(x, 3), (x + 24, 3)], 2, mix(wall, BLACK, 0.3))
    house.polygon([(-9, 8), (9, 8), (9, 55), (-9, 55)], picture.vary(20, 0.6, 0.25))
    house.glow(0, 70, 30, lamp, 0.3)


@kind
def snowman(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(210, 0.3, 0.75), picture.vary(205, 0.12, 0.92))
    picture.ground(random.uniform(165, 185), (250, 252, 255), picture.vary(210, 0.15, 0.85, 0.5))
    for _ in range(random.randint(1, 3)):
        _fir(picture.pen(random.uniform(10, 310), 160, random.uniform(0.5, 0.9)), picture.vary(150, 0.35, 0.4), 0.5)
    man = _somewhere(picture, 128, (0.85, 1.15), 5)
    man.shadow(10, 82, 52, 10, 0.3)
    for v, radius in ((50, 38), (0, 28), (-40, 20)):
        man.ball(0, v, radius, (240, 244, 250), shade=0.22)
    cloth = picture.vary(random.choice((0, 120, 220, 300)), 0.75, 0.7)
    man.polygon([(-22, -26), (22, -26), (24, -17), (-24, -17)], cloth)
    man.polygon([(8, -20), (20, -20), (24, 14), (13, 14)], mix(cloth, BLACK, 0.15))
    man.polygon([(-24, -58), (24, -58), (24, -53), (-24, -53)], BLACK)
    man.polygon([(-15, -88), (15, -88), (16, -57), (-16, -57)], (35, 35, 42))
    man.polygon([(-16, -66), (16, -66), (16, -59), (-16, -59)], cloth)
    for u, v in ((-7, -45), (7, -45), (0, -8), (0, 4), (0, 36)):
        man.ellipse(u, v, 2.6, 2.6, BLACK)
    man.polygon([(0, -41), (24, -36), (0, -35)], (235, 125, 35))
    for side in (-1, 1):
        man.line([(side * 25, -4), (side * 58, -24)], 3, (90, 60, 35))
        man.line([(side * 50, -19), (side * 62, -14)], 2, (90, 60, 35))
    for _ in range(60):
        radius = random.uniform(0.8, 2)
        picture.pen(random.uniform(0, WIDTH), random.uniform(0, HEIGHT)).ellipse(0, 0, radius, radius, WHITE)


@kind
def lighthouse(picture: Picture) -> None:
    random = picture.random
    horizon = random.uniform(150, 175)
    picture.backdrop(picture.vary(208, 0.55, 0.8), picture.vary(200, 0.2, 0.95))
    for _ in range(3):
        picture.cloud(random.uniform(0, 320), random.uniform(20, 90), random.uniform(18, 34), WHITE)
    sea = picture.vary(205, 0.65, 0.5)
    picture.ground(horizon, mix(sea, BLACK, 0.3), mix(sea, WHITE, 0.25))
    for _ in range(30):
        x, y = random.uniform(0, WIDTH), random.uniform(horizon + 4, HEIGHT)
        picture.pen(x, y).line([(0, 0), (random.uniform(6, 22), 0)], 1.1, mix(sea, WHITE, 0.5))
    tower = picture.pen(160 + random.uniform(-80, 80), horizon - 50, random.uniform(0.95, 1.2), random.uniform(-2, 2))
    rock = picture.vary(30, 0.2, 0.4)
    tower.polygon([(-85, 75), (-52, 52), (-24, 44), (30, 46), (58, 56), (88, 78)], rock)
    tower.polygon([(-40, 75), (-15, 50), (10, 60), (40, 76)], mix(rock, BLACK, 0.25))
    stripe = picture.vary(random.choice((2, 5, 358, 215)), 0.8, 0.75, 0.6)
    for step in range(6):
        top, bottom = -50 + 16 * step, -34 + 16 * step
        wide, wider = 13 + 1.7 * step, 13 + 1.7 * (step + 1)
        colour = stripe if step % 2 == 0 else (242, 240, 234)
        tower.polygon([(-wide, top), (wide, top), (wider, bottom), (-wider, bottom)], colour)
        tower.polygon(
            [(wide * 0.35, top), (wide, top), (wider, bottom), (wider * 0.35, bottom)], mix(colour, BLACK, 0.2)
        )
    tower.polygon([(-19, -55), (19, -55), (19, -49), (-19, -49)], (50, 50, 55))
    tower.glow(0, -64, 22, (255, 240, 170), 0.6)
    tower.polygon([(-10, -74), (10, -74), (10, -55), (-10, -55)], (255, 240, 170))
    for u in (-10, 0, 10):
        tower.line([(u, -74), (u, -55)], 1.5, (50, 50, 55))
    tower.polygon([(-14, -73), (14, -73), (0, -90)], stripe)


@kind
def hot_air_balloon(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(212, 0.6, 0.85), picture.vary(200, 0.25, 0.95), picture.vary(45, 0.2, 0.95))
    for _ in range(4):
        picture.cloud(random.uniform(0, 320), random.uniform(60, 230), random.uniform(20, 40), WHITE)
    hue = random.uniform(0, 360)
    far = picture.pen(random.choice((55, 265)), random.uniform(60, 100), random.uniform(0.35, 0.5))
    for balloon, turn in ((far, 150), (_somewhere(picture, 105, (1, 1.3), 6), 0)):
        one, other = hsv(hue + turn, 0.8, 0.85), hsv(hue + turn + random.choice((40, 120, 180)), 0.65, 0.95)
        for strip, colour in zip(range(6), (one, other) * 3, strict=True):
            wide = 46 * math.cos(strip * math.pi / 12)
            lower = [(wide * math.cos(t), -25 + 46 * math.sin(t)) for t in (0.35, 0.0)]
            dome = [(wide * math.cos(t), -25 - 48 * math.sin(t)) for t in (step * math.pi / 24 for step in range(25))]
            lower_left = [(-wide, -25), (-wide * math.cos(0.35), -25 + 46 * math.sin(0.35))]
            balloon.polygon(
                [(-9 * wide / 46, 40), *reversed(lower_left), *reversed(dome), *reversed(lower), (9 * wide / 46, 40)],
                colour,
            )
        balloon.glow(-16, -42, 14, WHITE, 0.35)
        for u in (-7, 7):
            balloon.line([(u, 40), (u * 0.9, 54)], 1, (70, 50, 40))
        balloon.polygon([(-8, 53), (8, 53), (7, 66), (-7, 66)], (125, 85, 45))
        balloon.line([(-8, 54), (8, 54)], 2, (90, 60, 30))


@kind
def fish(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(190, 0.6, 0.8), picture.vary(205, 0.8, 0.55), picture.vary(215, 0.85, 0.3))
    sand = picture.vary(42, 0.4, 0.7)
    picture.ground(212, sand, mix(sand, (40, 90, 130), 0.4))
    for _ in range(5):
        weed = picture.pen(random.uniform(0, WIDTH), 225, random.uniform(0.6, 1.2))
        sway = random.uniform(-12, 12)
        for lean in (-8, 0, 9):
            weed.line(
                [(lean, 0), (lean + sway / 2, -25), (lean - sway / 2, -50), (lean + sway, -75)],
                5,
                picture.vary(130, 0.6, 0.4),
            )
    animal = picture.pen(
        160 + random.uniform(-40, 40), 115 + random.uniform(-20, 20), random.uniform(0.95, 1.4), random.uniform(-12, 12),
        random.random() < 0.5,
    )  # fmt: skip
    body = picture.vary(random.choice((20, 28, 35, 48)), 0.9, 0.95)
    animal.polygon([(38, 0), (78, -30), (70, 0), (78, 30)], mix(body, BLACK, 0.12))
    animal.polygon([(-14, -24), (6, -48), (34, -40), (26, -16)], mix(body, BLACK, 0.18))
    animal.polygon([(-6, 24), (10, 42), (26, 18)], mix(body, BLACK, 0.18))
    animal.ball(0, 0, 52, body, 30, 0.3)
    for u, wide in ((-24, 6), (8, 7), (34, 4)):
        tall = 29 * math.sqrt(max(0, 1 - (u / 52) ** 2))
        animal.polygon(
            [
                (u - wide, -tall),
                (u + wide, -tall),
                (u + wide + 2, 0),
                (u + wide, tall),
                (u - wide, tall),
                (u - wide + 2, 0),
            ],
            (250, 250, 245),
        )
    animal.ellipse(-37, -6, 6, 6, WHITE)
    animal.ellipse(-38, -6, 3.4, 3.4, BLACK)
    animal.line([(-50, 6), (-43, 8)], 1.6, mix(body, BLACK, 0.6))
    for _ in range(9):
        radius = random.uniform(1.5, 5)
        bubble = picture.pen(random.uniform(0, WIDTH), random.uniform(5, 200))
        bubble.ellipse(0, 0, radius, radius, (170, 215, 235))
        bubble.ellipse(0.3, 0.3, radius * 0.75, radius * 0.75, (80, 150, 195))


@kind
def cactus(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.5, 0.85), picture.vary(40, 0.3, 0.97))
    sun = picture.pen(random.uniform(30, 290), random.uniform(25, 60))
    sun.glow(0, 0, 32, (255, 245, 200), 0.7)
    sun.ellipse(0, 0, 14, 14, (255, 250, 220))
    sand = picture.vary(34, 0.5, 0.85)
    for base, shade in ((140, 0.2), (165, 0.08), (190, 0)):
        hills = [(x, base + 12 * math.sin(x / 45 + random.uniform(0, 0.4) + base)) for x in range(0, WIDTH + 20, 20)]
        picture.pen(0, 0).polygon([*hills, (WIDTH, HEIGHT), (0, HEIGHT)], mix(sand, (150, 80, 60), shade * 2))
    plant = picture.pen(
        160 + random.uniform(-60, 60), 130 + random.uniform(-8, 8), random.uniform(0.95, 1.3), 0, random.random() < 0.5
    )
    plant.shadow(28, 66, 50, 6, 0.4)
    green = picture.vary(125, 0.55, 0.45)
    arms = ([(0, 64), (0, -58)], [(0, 20), (-34, 18), (-34, -22)], [(0, 4), (30, 2), (30, -40)])
    for tone, width in ((mix(green, BLACK, 0.35), 1.0), (green, 0.78), (mix(green, WHITE, 0.22), 0.25)):
        for arm, thick in zip(arms, (26, 17, 17), strict=True):
            plant.line([(u - (1 - width) * 5, v) for u, v in arm], thick * width, tone)
    for v in range(-50, 60, 12):
        for u in (-8, 0, 8):
            plant.line([(u, v), (u + 2.5, v - 3)], 0.9, (225, 235, 200))
    if random.random() < 0.6:
        plant.ellipse(0, -72, 7, 5, picture.vary(330, 0.6, 0.9))


@kind
def traffic_light(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(210, 0.25, 0.75), picture.vary(40, 0.1, 0.85))
    for x in range(-20, WIDTH, 45):
        top, tone = random.uniform(60, 140), picture.vary(random.choice((20, 210)), 0.15, 0.6)
        picture.pen(x, 0).polygon([(0, top), (44, top), (44, HEIGHT), (0, HEIGHT)], tone)
        for v in range(int(top) + 10, 215, 20):
            for u in (8, 20, 32):
                picture.pen(x, v).polygon([(u, 0), (u + 6, 0), (u + 6, 9), (u, 9)], mix(tone, BLACK, 0.3))
    picture.ground(215, (70, 70, 74), (100, 100, 104))
    light = _somewhere(picture, 105, (0.95, 1.25), 4)
    light.polygon([(-5, 70), (5, 70), (5, 150), (-5, 150)], (55, 58, 60))
    light.polygon([(-32, -80), (32, -80), (32, 74), (-32, 74)], (38, 42, 42))
    light.polygon([(-28, -76), (28, -76), (28, 70), (-28, 70)], (52, 57, 56))
    on = random.randrange(3)
    for step, hue in enumerate((2, 45, 140)):
        v = -52 + 49 * step
        light.ellipse(0, v, 22, 22, (25, 27, 27))
        if step == on:
            light.glow(0, v, 38, hsv(hue, 0.8, 1), 0.75)
            light.ball(0, v, 19, hsv(hue, 0.9, 1), shade=0.1)
        else:
            light.ball(0, v, 19, hsv(hue, 0.7, 0.28))
        light.polygon(
            [(-24, v - 16), (-18, v - 25), (18, v - 25), (24, v - 16), (18, v - 20), (-18, v - 20)], (25, 27, 27)
        )


@kind
def rainbow(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(215, 0.3, 0.6), picture.vary(205, 0.25, 0.85))
    arch = picture.pen(160 + random.uniform(-50, 50), random.uniform(185, 215), random.uniform(0.95, 1.25))
    sky = (165, 195, 220)
    for step, hue in enumerate((0, 28, 55, 120, 200, 240, 280)):
        radius = 138 - 7 * step
        bow = [(radius * math.cos(t), -radius * math.sin(t)) for t in (step * math.pi / 40 for step in range(41))]
        arch.line(bow, 7.6, mix(hsv(hue, 0.75, 0.98), sky, 0.22))
    for _ in range(3):
        picture.cloud(random.uniform(0, 320), random.uniform(25, 75), random.uniform(20, 36), (240, 243, 248))
    for base, value in ((165, 0.55), (185, 0.48), (210, 0.42)):
        phase, green = random.uniform(0, 6), picture.vary(110, 0.6, value)
        hill = [(x, base + 14 * math.sin(x / 60 + phase)) for x in range(0, WIDTH + 10, 10)]
        picture.pen(0, 0).polygon([*hill, (WIDTH, HEIGHT), (0, HEIGHT)], green)


def _fir(pen: Pen, green: Colour, snow: float) -> None:
    pen.polygon([(-4, 30), (4, 30), (4, 48), (-4, 48)], (85, 60, 40))
    for step in range(4):
        top, wide = -50 + 18 * step, 16 + 7 * step
        pen.polygon([(0, top), (wide, top + 32), (-wide, top + 32)], green)
        pen.polygon([(0, top), (wide, top + 32), (wide * 0.3, top + 32)], mix(green, BLACK, 0.25))
        if snow:
            pen.polygon(
                [(0, top), (wide * 0.5, top + 15), (0, top + 11), (-wide * 0.5, top + 15)],
                mix(green, WHITE, snow + 0.4),
            )


@kind
def pine_forest(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.35, 0.85), picture.vary(30, 0.12, 0.95))
    for _ in range(3):
        peak = picture.pen(random.uniform(0, WIDTH), random.uniform(60, 90), random.uniform(0.9, 1.5))
        rock = picture.vary(225, 0.25, 0.55)
        peak.polygon([(-100, 90), (0, -40), (110, 90)], rock)
        peak.polygon([(0, -40), (110, 90), (30, 90)], mix(rock, BLACK, 0.2))
        peak.polygon([(-28, -4), (0, -40), (30, -6), (14, -12), (4, 2), (-10, -10)], (245, 248, 252))
    picture.ground(150, (250, 252, 255), picture.vary(210, 0.15, 0.88, 0.5))
    for y, scale in sorted((random.uniform(120, 185), random.uniform(0.7, 1.25)) for _ in range(13)):
        _fir(picture.pen(random.uniform(0, WIDTH), y, scale * (0.35 + y / 220)), picture.vary(150, 0.5, 0.3), 0.5)


@kind
def sunflower(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.55, 0.9), picture.vary(200, 0.25, 0.95), picture.vary(100, 0.5, 0.5))
    for _ in range(7):
        blur = picture.pen(random.uniform(0, WIDTH), random.uniform(170, 225))
        blur.glow(0, 0, random.uniform(8, 16), picture.vary(50, 0.8, 0.9), 0.6)
    flower = _somewhere(picture, 105, (0.9, 1.25), 25)
    green = picture.vary(105, 0.6, 0.4)
    flower.line([(0, 0), (4, 80), (-4, 190)], 8, green)
    flower.polygon([(2, 95), (30, 70), (66, 78), (40, 98)], green)
    flower.polygon([(0, 115), (-28, 92), (-62, 104), (-34, 122)], mix(green, BLACK, 0.15))
    petal = picture.vary(47, 0.9, 0.97, 0.5)
    for layer, long in ((0.5, 66), (0, 58)):
        for step in range(16):
            angle = 360 / 16 * (step + layer)
            u, v = math.sin(math.radians(angle)), -math.cos(math.radians(angle))
            flower.ellipse(
                u * long * 0.68, v * long * 0.68, 9, long * 0.36, mix(petal, (200, 110, 0), 0.35 * layer * 2), angle
            )
    flower.ball(0, 0, 30, picture.vary(25, 0.65, 0.35), shade=0.5)
    for ring in (9, 16, 23):
        for step in range(ring):
            t = 2 * math.pi * step / ring
            flower.ellipse(ring * math.cos(t), ring * math.sin(t), 1.5, 1.5, (200, 140, 50))


@kind
def pizza(picture: Picture) -> None:
    random = picture.random
    wood = picture.vary(random.choice((28, 30, 215)), 0.45, 0.5, 1.5)
    picture.backdrop(wood, mix(wood, BLACK, 0.2))
    for y in range(15, HEIGHT, 40):
        picture.pen(0, y).line([(0, 0), (WIDTH, random.uniform(-3, 3))], 1.5, mix(wood, BLACK, 0.4))
    pie = _somewhere(picture, 120, (0.95, 1.25), 180)
    pie.shadow(4, 6, 90, 88, 0.5)
    pie.ellipse(0, 0, 90, 90, (240, 238, 232))
    pie.ball(0, 0, 84, picture.vary(32, 0.6, 0.75), shade=0.25)
    pie.ellipse(0, 0, 73, 73, picture.vary(8, 0.8, 0.7))
    pie.ellipse(0, 0, 70, 70, picture.vary(44, 0.6, 0.93))
    for _ in range(35):
        angle, far = random.uniform(0, 6.28), 68 * math.sqrt(random.random())
        pie.glow(far * math.cos(angle), far * math.sin(angle), random.uniform(3, 6), picture.vary(25, 0.7, 0.85), 0.6)
    topping = random.choice(((3, 0.75, 0.7), (8, 0.7, 0.6), (355, 0.7, 0.65)))
    for step in range(11):
        angle, far = step * 2.4 + random.uniform(-0.2, 0.2), 18 * math.sqrt(step + 0.4)
        pie.ball(far * math.cos(angle), far * math.sin(angle), 10.5, picture.vary(*topping, 0.5), shade=0.25)
    for _ in range(12):
        angle, far = random.uniform(0, 6.28), 64 * math.sqrt(random.random())
        u, v = far * math.cos(angle), far * math.sin(angle)
        if random.random() < 0.5:
            pie.ellipse(u, v, 7, 4, picture.vary(115, 0.7, 0.4), random.uniform(0, 180))
        else:
            pie.ellipse(u, v, 4.5, 4.5, (40, 38, 45))
            pie.ellipse(u, v, 2, 2, picture.vary(44, 0.6, 0.85))
    if random.random() < 0.7:
        for angle in (0, 60, 120):
            u, v = 84 * math.cos(math.radians(angle)), 84 * math.sin(math.radians(angle))
            pie.line([(-u, -v), (u, v)], 1.4, (150, 95, 40))


@kind
def clock(picture: Picture) -> None:
    random = picture.random
    wall = picture.vary(random.choice((30, 90, 200, 340)), 0.3, 0.8, 1.5)
    picture.backdrop(mix(wall, WHITE, 0.15), mix(wall, BLACK, 0.12))
    face = _somewhere(picture, 120, (0.85, 1.2), 4)
    face.shadow(8, 10, 92, 92, 0.4)
    face.ball(0, 0, 92, picture.vary(random.choice((20, 210, 0, 45)), 0.55, 0.4, 1.5), shade=0.4)
    face.ellipse(0, 0, 80, 80, (215, 213, 205))
    face.ellipse(0, 0, 78, 78, (250, 248, 240))
    for step in range(60):
        t = math.pi * step / 30
        inner, width = (62, 4) if step % 5 == 0 else (70, 1.3)
        face.line([(inner * math.sin(t), -inner * math.cos(t)), (73 * math.sin(t), -73 * math.cos(t))], width, BLACK)
    minutes = random.uniform(0, 720)
    for t, long, width in ((minutes / 720, 40, 6), (minutes / 60, 60, 4)):
        u, v = math.sin(2 * math.pi * t), -math.cos(2 * math.pi * t)
        face.line([(-10 * u, -10 * v), (long * u, long * v)], width, (30, 30, 35))
    second = random.uniform(0, 6.28)
    face.line(
        [(-14 * math.sin(second), 14 * math.cos(second)), (66 * math.sin(second), -66 * math.cos(second))],
        1.5,
        (205, 40, 35),
    )
    face.ellipse(0, 0, 5, 5, (205, 40, 35))


@kind
def umbrella(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(215, 0.2, 0.45), picture.vary(210, 0.15, 0.62))
    picture.ground(200, picture.vary(215, 0.2, 0.32), picture.vary(210, 0.15, 0.45))
    for _ in range(90):
        x, y, long = random.uniform(-20, WIDTH), random.uniform(-20, HEIGHT), random.uniform(8, 20)
        picture.pen(x, y).line([(0, 0), (long * 0.25, long)], 0.9, (175, 190, 205))
    shade = _somewhere(picture, 115, (0.95, 1.3), 18)
    hue = random.uniform(0, 360)
    one, other = hsv(hue, 0.8, 0.8), hsv(hue + random.choice((0, 30, 180)), 0.75, 0.62)
    shade.line([(0, -64), (0, 72)], 3, (60, 50, 45))
    hook = [(9 * math.cos(t) - 9, 72 + 11 * math.sin(t)) for t in (step * math.pi / 10 for step in range(11))]
    shade.line(hook, 4.5, (110, 70, 35))
    for strip, colour in zip(range(4), (one, other) * 2, strict=True):
        wide = 84 * (1 - strip * 0.27)
        dome = [(wide * math.cos(t), 2 - 62 * math.sin(t)) for t in (step * math.pi / 24 for step in range(25))]
        scallops = [(-wide + 2 * wide * step / 8, 2 - (5 if step % 2 else 0)) for step in range(9)]
        shade.polygon([*dome, *scallops], colour)
    shade.glow(-28, -34, 13, WHITE, 0.3)
    for _ in range(7):
        picture.pen(random.uniform(0, WIDTH), random.uniform(210, 236)).ellipse(
            0, 0, random.uniform(6, 16), 2.2, (140, 150, 165)
        )


@kind
def skyscrapers(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(245, 0.6, 0.16), picture.vary(265, 0.5, 0.34), picture.vary(320, 0.45, 0.5))
    picture.stars(25, 90)
    for layer, tone in ((0, 0.24), (1, 0.14)):
        x = random.uniform(-30, 0)
        while x < WIDTH:
            wide, top = random.uniform(28, 52), random.uniform(25, 110) + 35 * layer
            wall = picture.vary(235, 0.4, tone, 0.4)
            tower = picture.pen(x, top)
            tower.polygon([(0, 0), (wide, 0), (wide, HEIGHT), (0, HEIGHT)], wall)
            if random.random() < 0.4:
                tower.line([(wide / 2, 0), (wide / 2, -18)], 1.6, wall)
            lamp = picture.vary(random.choice((45, 50, 200)), 0.5, 0.95)
            for v in np.arange(6, HEIGHT - top - 6, 9):
                for u in np.arange(4, wide - 5, 7.5):
                    if random.random() < 0.55:
                        tower.polygon(
                            [(u, v), (u + 4, v), (u + 4, v + 5), (u, v + 5)], mix(lamp, wall, random.uniform(0, 0.5))
                        )
            x += wide + random.uniform(-4, 8)


@kind
def butterfly(picture: Picture) -> None:
    random = picture.random
    leaf = picture.vary(random.choice((85, 110, 140)), 0.45, 0.65)
    picture.backdrop(mix(leaf, WHITE, 0.35), mix(leaf, BLACK, 0.2))
    for _ in range(9):
        spot = picture.pen(random.uniform(0, WIDTH), random.uniform(0, HEIGHT))
        spot.glow(0, 0, random.uniform(12, 32), mix(leaf, random.choice((WHITE, BLACK, (250, 220, 120))), 0.35), 0.55)
    insect = _somewhere(picture, 120, (0.95, 1.3), 30)
    hue = random.choice((22, 28, 35, 205, 215, 48))
    wing, edge = picture.vary(hue, 0.85, 0.92), (35, 28, 30)
    for side in (-1, 1):
        for colour, size in ((edge, 1), (wing, 0.84)):
            fore = [(6, -6), (18, -42), (48, -66), (78, -62), (82, -40), (62, -10), (30, 6)]
            hind = [(6, 2), (32, 8), (60, 14), (66, 38), (48, 58), (26, 52), (12, 28)]
            for part, u, v in ((hind, 38, 30), (fore, 46, -32)):
                insect.polygon([(side * (u + (x - u) * size), v + (y - v) * size) for x, y in _smooth(part)], colour)
        for u, v, radius in ((60, -46, 7), (46, -24, 5), (46, 34, 6)):
            insect.ellipse(side * u, v, radius, radius, edge)
            insect.ellipse(side * u, v, radius * 0.55, radius * 0.55, (250, 245, 230))
        insect.line([(0, -34), (side * 10, -58), (side * 20, -70)], 1.8, edge)
    insect.ball(0, 4, 6, (60, 45, 40), 38)
    insect.ball(0, -36, 6.5, (60, 45, 40))


def _smooth(corners: Points) -> Points:
    """Return a closed outline with its corners rounded (Chaikin 1974)."""
    for _ in range(3):
        pairs = list(zip(corners, corners[1:] + corners[:1], strict=True))
        corners = [(a[0] * s + b[0] * (1 - s), a[1] * s + b[1] * (1 - s)) for a, b in pairs for s in (0.75, 0.25)]
    return corners


@kind
def mushroom(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(110, 0.4, 0.3), picture.vary(95, 0.45, 0.5))
    for _ in range(7):
        trunk = picture.pen(random.uniform(0, WIDTH), 0)
        trunk.polygon([(-7, 0), (7, 0), (9, 175), (-9, 175)], picture.vary(30, 0.35, 0.25))
    moss = picture.vary(90, 0.55, 0.4)
    picture.ground(random.uniform(165, 185), mix(moss, BLACK, 0.3), moss)
    plant = _somewhere(picture, 130, (0.95, 1.25), 8)
    plant.shadow(6, 72, 42, 9)
    plant.polygon(_smooth([(-13, -12), (13, -12), (15, 40), (26, 72), (-26, 72), (-15, 40)]), (240, 234, 215))
    plant.polygon(_smooth([(3, -12), (13, -12), (15, 40), (26, 72), (8, 72)]), (212, 203, 180))
    plant.polygon(_smooth([(-22, 6), (22, 6), (26, 16), (-26, 16)]), (228, 220, 198))
    cap = picture.vary(random.choice((0, 4, 8, 355)), 0.88, 0.8, 0.7)
    dome = [(66 * math.cos(t), -8 - 62 * math.sin(t)) for t in (step * math.pi / 30 for step in range(31))]
    plant.polygon([*dome, (-58, 4), (-20, 9), (20, 9), (58, 4)], mix(cap, BLACK, 0.2))
    inner = [(60 * math.cos(t) - 4, -12 - 56 * math.sin(t)) for t in (step * math.pi / 30 for step in range(31))]
    plant.polygon([*inner, (-40, -4), (30, -4)], cap)
    plant.glow(-24, -46, 12, WHITE, 0.4)
    for u, v, radius in ((-42, -20, 8), (-14, -50, 9), (18, -28, 10), (40, -14, 7), (32, -52, 6), (-12, -14, 7)):
        plant.ellipse(u, v, radius * random.uniform(0.8, 1.1), radius * 0.8, (248, 246, 238))
    for _ in range(40):
        x, y = random.uniform(0, WIDTH), random.uniform(195, HEIGHT)
        picture.pen(x, y).line([(0, 0), (random.uniform(-4, 4), -random.uniform(8, 18))], 1.2, mix(moss, WHITE, 0.25))


@kind
def rocket(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(250, 0.75, 0.1), picture.vary(235, 0.7, 0.22))
    picture.stars(110)
    planet = picture.pen(random.choice((40, 280)), random.choice((40, 205)), random.uniform(0.7, 1.2))
    planet.ball(0, 0, 32, picture.vary(random.uniform(0, 360), 0.5, 0.7))
    ship = _somewhere(picture, 118, (0.9, 1.15), 40)
    ship.glow(0, 82, 26, (255, 170, 60), 0.7)
    for wide, long, colour in ((14, 112, (255, 120, 30)), (9, 96, (255, 210, 70)), (5, 82, (255, 250, 210))):
        ship.polygon(_smooth([(-wide, 54), (wide, 54), (wide * 0.6, 75), (0, long), (-wide * 0.6, 75)]), colour)
    paint_ = picture.vary(random.choice((0, 5, 215, 140)), 0.8, 0.8)
    for side in (-1, 1):
        ship.polygon([(side * 18, 18), (side * 42, 52), (side * 40, 66), (side * 16, 52)], mix(paint_, BLACK, 0.1))
    hull = _smooth([(0, -92), (20, -50), (24, 0), (17, 56), (-17, 56), (-24, 0), (-20, -50)])
    ship.polygon(hull, (232, 234, 240))
    ship.polygon([(u * 0.5 + 11, v) for u, v in hull], (198, 202, 212))
    ship.polygon(_smooth([(0, -92), (0, -92), (17, -50), (0, -46), (-17, -50)]), paint_)
    ship.polygon([(-21, 34), (21, 34), (20, 42), (-20, 42)], paint_)
    ship.ellipse(0, -16, 12, 12, mix(paint_, BLACK, 0.2))
    ship.ball(0, -16, 9, (110, 190, 230))
    ship.polygon([(-12, 54), (12, 54), (15, 62), (-15, 62)], (75, 78, 85))


@kind
def football(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.4, 0.9), picture.vary(110, 0.3, 0.7))
    grass = picture.vary(110, 0.65, 0.5)
    edge = random.uniform(85, 115)
    picture.ground(edge, mix(grass, BLACK, 0.15), mix(grass, WHITE, 0.15))
    for step in range(0, WIDTH + 160, 64):
        picture.pen(step - 80, edge).polygon([(20, 0), (50, 0), (30, 160), (-40, 160)], mix(grass, BLACK, 0.12))
    for _ in range(130):
        x, y = random.uniform(0, WIDTH), random.uniform(edge + 4, HEIGHT)
        picture.pen(x, y).line([(0, 0), (random.uniform(-2, 2), -4)], 1, mix(grass, WHITE, random.uniform(0.05, 0.3)))
    ball = _somewhere(picture, 138, (0.85, 1.2), 180)
    picture.pen(ball.x, ball.y, ball.scale).shadow(10, 60, 58, 11)
    ball.ball(0, 0, 62, (240, 240, 240), shade=0.3)
    black = (32, 32, 36)
    ball.polygon(_star(21, 0.81, 5), black)
    for step in range(5):
        t = math.radians(72 * step)
        u, v = math.sin(t), -math.cos(t)
        ball.line([(21 * u, 21 * v), (38 * u, 38 * v)], 2, black)
        across = (v, -u)
        patch = [(38, 0), (46, 13), (60, 12), (60, -12), (46, -13)]
        ball.polygon([(u * r + across[0] * s, v * r + across[1] * s) for r, s in patch], black)
        next_ = math.radians(72 * step + 36)
        ball.line(
            [
                (u * 46 + across[0] * 13, v * 46 + across[1] * 13),
                (50 * math.sin(next_ - 0.63), -50 * math.cos(next_ - 0.63)),
            ],
            2,
            black,
        )
        ball.line(
            [(u * 46 - across[0] * 13, v * 46 - across[1] * 13), (44 * math.sin(next_), -44 * math.cos(next_))],
            2,
            black,
        )
        ball.line(
            [
                (u * 46 + across[0] * 13, v * 46 + across[1] * 13),
                (44 * math.sin(next_ - 1.2566), -44 * math.cos(next_ - 1.2566)),
            ],
            2,
            black,
        )
    ball.glow(-20, -24, 13, WHITE, 0.5)


@kind
def castle(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(205, 0.45, 0.9), picture.vary(35, 0.15, 0.96))
    for _ in range(2):
        picture.cloud(random.uniform(0, 320), random.uniform(20, 60), random.uniform(18, 30), WHITE)
    hill = picture.vary(100, 0.5, 0.5)
    slope = [(x, 205 - 35 * math.exp(-(((x - 160) / 110) ** 2))) for x in range(0, WIDTH + 10, 10)]
    picture.pen(0, 0).polygon([*slope, (WIDTH, HEIGHT), (0, HEIGHT)], hill)
    fort = picture.pen(160 + random.uniform(-35, 35), 122 + random.uniform(-8, 8), random.uniform(0.9, 1.15))
    stone, roof = (
        picture.vary(random.choice((35, 40, 220)), 0.15, 0.68),
        picture.vary(random.choice((5, 220, 355)), 0.65, 0.6),
    )

    def battlements(left: float, right: float, top: float, colour: Colour) -> None:
        fort.polygon([(left, top), (right, top), (right, 62), (left, 62)], colour)
        count = round((right - left) / 14)
        for step in range(count):
            u = left + (right - left) * step / count
            fort.polygon([(u + 1.5, top - 8), (u + 9, top - 8), (u + 9, top), (u + 1.5, top)], colour)

    battlements(-66, 66, -8, mix(stone, BLACK, 0.1))
    for u, top, wide in ((-72, -36, 15), (72, -36, 15), (0, -58, 20)):
        battlements(u - wide, u + wide, top, stone)
        fort.polygon(
            [(u + wide * 0.3, top), (u + wide, top), (u + wide, 62), (u + wide * 0.3, 62)], mix(stone, BLACK, 0.18)
        )
        fort.polygon([(u - wide - 4, top - 6), (u + wide + 4, top - 6), (u, top - 44)], roof)
        fort.line([(u, top - 44), (u, top - 60)], 1.5, (70, 60, 55))
        fort.polygon([(u, top - 60), (u + 16, top - 55), (u, top - 50)], picture.vary(50, 0.85, 0.95))
        for v in (top + 12, top + 40):
            fort.polygon([(u - 3, v), (u + 3, v), (u + 3, v + 12), (u - 3, v + 12)], (50, 42, 42))
    gate = [(14 * math.cos(t), 32 - 16 * math.sin(t)) for t in (step * math.pi / 16 for step in range(17))]
    fort.polygon([*gate, (-14, 62), (14, 62)], (62, 42, 30))


@kind
def cat(picture: Picture) -> None:
    random = picture.random
    wall = picture.vary(random.choice((15, 45, 180, 260)), 0.3, 0.75, 1.5)
    picture.backdrop(mix(wall, WHITE, 0.2), mix(wall, BLACK, 0.2))
    head = _somewhere(picture, 128, (0.95, 1.25), 14)
    fur = random.choice((hsv(28, 0.7, 0.85), hsv(30, 0.15, 0.5), hsv(25, 0.4, 0.45), hsv(35, 0.2, 0.88)))
    dark = mix(fur, BLACK, 0.4)
    head.ball(0, 88, 70, mix(fur, BLACK, 0.12), 48)
    for side in (-1, 1):
        head.polygon([(side * 22, -42), (side * 60, -84), (side * 64, -14)], fur)
        head.polygon([(side * 32, -42), (side * 54, -68), (side * 57, -26)], (230, 160, 160))
    head.ball(0, 0, 66, fur, 56, 0.25)
    for u in (-16, 0, 16):
        head.polygon([(u - 4, -52), (u + 4, -52), (u * 0.7, -26)], dark)
    for side in (-1, 1):
        for v in (4, 16):
            head.polygon([(side * 64, v - 4), (side * 62, v + 4), (side * 40, v)], dark)
    head.ball(0, 28, 28, mix(fur, WHITE, 0.75), 20, 0.12)
    eye = picture.vary(random.choice((95, 50, 195)), 0.65, 0.85)
    for side in (-1, 1):
        head.ellipse(side * 26, -6, 14, 12, BLACK)
        head.ellipse(side * 26, -6, 12.5, 10.5, eye)
        head.ellipse(side * 26, -6, 4.5, 10, BLACK)
        head.ellipse(side * 26 - 4, -10, 2.6, 2.6, WHITE)
        for v in (22, 30, 38):
            head.line([(side * 22, v), (side * 84, v + (v - 30) * 1.2)], 1.1, (250, 250, 250))
    head.polygon([(-8, 16), (8, 16), (0, 25)], (225, 125, 130))
    head.line([(0, 25), (0, 32), (-10, 38)], 2, (90, 55, 55))
    head.line([(0, 32), (10, 38)], 2, (90, 55, 55))


@kind
def cup_of_coffee(picture: Picture) -> None:
    random = picture.random
    _table(picture, random.choice((22, 30, 35)))
    cup = picture.pen(
        160 + random.uniform(-45, 45), 138 + random.uniform(-10, 10), random.uniform(0.95, 1.3), random.uniform(-2, 2),
        random.random() < 0.5,
    )  # fmt: skip
    glaze = random.choice((hsv(0, 0, 0.95), hsv(0, 0, 0.93), picture.vary(200, 0.45, 0.8), picture.vary(5, 0.7, 0.75)))
    cup.shadow(6, 54, 84, 15)
    cup.ellipse(0, 50, 80, 15, mix(glaze, BLACK, 0.25))
    cup.ellipse(0, 47, 80, 15, glaze)
    cup.ellipse(0, 47, 52, 9, mix(glaze, BLACK, 0.12))
    ring = [(50 + 22 * math.cos(t), 2 + 20 * math.sin(t)) for t in (math.pi * (step / 12 - 0.5) for step in range(13))]
    cup.line(ring, 8, mix(glaze, BLACK, 0.12))
    sides = _smooth([(-54, -32), (-50, 10), (-32, 48), (32, 48), (50, 10), (54, -32), (0, -30)])
    cup.polygon(sides, glaze)
    cup.polygon([(u * 0.42 + 26, v) for u, v in sides], mix(glaze, BLACK, 0.1))
    cup.ellipse(0, -30, 54, 14, mix(glaze, WHITE, 0.3))
    cup.ellipse(0, -29, 49, 11.5, mix(glaze, BLACK, 0.3))
    cup.ellipse(0, -27, 46, 9.5, picture.vary(22, 0.7, 0.26, 0.5))
    cup.ellipse(-10, -28, 17, 3.2, picture.vary(28, 0.5, 0.5, 0.5))
    for u in (-18, 2, 22):
        sway = random.uniform(5, 11)
        path = [(u + sway * math.sin(v / 9), -42 - v) for v in range(0, 52, 4)]
        wide = [(x + 4, y) for x, y in path]
        picture.soft([cup.at(path + wide[::-1])], WHITE, 2, 0.75)


@kind
def ringed_planet(picture: Picture) -> None:
    random = picture.random
    picture.backdrop(picture.vary(260, 0.7, 0.08), picture.vary(240, 0.6, 0.15))
    picture.stars(130)
    planet = _somewhere(picture, 120, (0.85, 1.25), 30)
    body = picture.vary(random.choice((35, 40, 25, 200)), 0.45, 0.82)
    ring = mix(body, WHITE, 0.3)

    def arc(first: int, last: int) -> None:
        for far, width, tone in ((98, 9, 0), (86, 7, 0.25), (76, 5, 0.45)):
            path = [
                (far * math.cos(t), far * 0.28 * math.sin(t))
                for t in (math.pi * step / 30 for step in range(first, last))
            ]
            planet.line(path, width, mix(ring, BLACK, tone))

    arc(30, 61)
    planet.ball(0, 0, 54, body, shade=0.6)
    for v, tall, tone in ((-26, 4, 0.18), (-10, 6, 0.1), (12, 5, 0.2), (28, 4, 0.12)):
        wide = math.sqrt(54**2 - v**2) * 0.96
        planet.polygon(
            _smooth([(-wide, v - tall / 2), (wide, v - tall / 2), (wide, v + tall / 2), (-wide, v + tall / 2)]),
            mix(body, BLACK, tone),
        )
    arc(0, 31)
