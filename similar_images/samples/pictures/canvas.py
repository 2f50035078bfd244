"""The canvas and the pen that the pictures are painted with. Points are complex numbers: x + y j, y downwards."""

import colorsys
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from similar_images.samples.pictures.scenes import LAYERS

WIDTH, HEIGHT = 320, 240  # pixels
FINE = 2  # shapes are drawn at this multiple of the size, then reduced: smooth edges

Colour = tuple[int, ...]  # red, green and blue
WHITE, BLACK = (248, 248, 246), (20, 20, 24)


def tone(colour: Colour, by: float) -> Colour:
    """Return a colour, lighter up to white at `by` 1 or darker down to black at -1."""
    return tuple(round(channel + ((255 if by > 0 else 0) - channel) * abs(by)) for channel in colour)


@lru_cache
def outline(text: str, cuts: int = 3, closed: bool = True) -> np.ndarray:
    """Return the corners "x,y x,y ...", rounded by cuts (Chaikin 1974); an open line keeps its ends."""
    points = np.array([complex(*map(float, point.split(","))) for point in text.split()])
    for _ in range(cuts):
        after = np.roll(points, -1)
        cut = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1).ravel()
        points = cut if closed else np.concatenate([points[:1], cut[1:-3], points[-1:]])
    return points


def oval(rx: float, ry: float | None = None, at: complex = 0, turn: float = 0) -> np.ndarray:
    """Return an ellipse, turned by degrees, or a circle."""
    t = np.linspace(0, 2 * np.pi, 40)
    flat = rx * np.cos(t) + 1j * (rx if ry is None else ry) * np.sin(t)
    shape: np.ndarray = at + flat * np.exp(1j * np.radians(turn))
    return shape


@lru_cache
def limb(text: str, *widths: float) -> np.ndarray:
    """Return the outline of a smooth line with round ends; its width runs through `widths`."""
    path = outline(text, closed=False)
    across = 1j * np.gradient(path)
    across *= np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, len(widths)), widths) / 2 / np.abs(across)
    cap = np.exp(-1j * np.linspace(0, np.pi, 9))
    first, last = path[0] - across[0] * cap, path[-1] + across[-1] * cap
    return np.concatenate([path + across, last, (path - across)[::-1], first])


def ring(count: int, *shapes: np.ndarray, start: float = 0) -> list[np.ndarray]:
    """Return copies of shapes, turned around (0, 0)."""
    return [shape * np.exp(2j * np.pi * (step + start) / count) for step in range(count) for shape in shapes]


def both(*shapes: np.ndarray) -> list[np.ndarray]:
    """Return shapes and their mirror images."""
    return [side for shape in shapes for side in (shape, -shape.conjugate())]


@lru_cache
def noise(across: float, along: float) -> np.ndarray:
    """Return patches of about this width and height: numbers of mean 0 and deviation 1, twice as large as a picture."""
    made, random = np.zeros((2 * HEIGHT, 2 * WIDTH), np.float32), np.random.default_rng(0)
    for octave in (1, 2, 4):
        size = round(2 * HEIGHT * octave / along), round(2 * WIDTH * octave / across)
        grid = Image.fromarray(random.normal(0, 1 / octave, size).astype(np.float32))
        made += np.asarray(grid.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.BICUBIC))
    standard: np.ndarray = (made - made.mean()) / made.std()
    return standard


class Picture:
    """A canvas with the random generator that varies the painting."""

    def __init__(self, seed: str):
        self.random = Random(seed)
        self.between, self.pick = self.random.uniform, self.random.choice
        self.image = Image.new("RGB", (WIDTH, HEIGHT))

    def colour(self, hue: float, saturation: float, value: float, by: float = 1) -> Colour:
        """Return a colour near the given one; at `by` 1 the hue varies by 10 degrees."""
        rest = (min(max(share + by * self.between(-0.1, 0.1), 0), 1) for share in (saturation, value))
        shares = colorsys.hsv_to_rgb((hue + by * self.between(-10, 10)) % 360 / 360, *rest)
        return tuple(round(255 * share) for share in shares)

    def patches(self, patch: tuple[float, float], width: int, height: int) -> np.ndarray:
        """Return a random part of the noise, float (height, width, 1)."""
        left, top = self.random.randint(0, 2 * WIDTH - width), self.random.randint(0, 2 * HEIGHT - height)
        return noise(*patch)[top : top + height, left : left + width, None]

    def place(
        self, *scenes: str, y: float = 120, low: float = 0.9, high: float = 1.3, tilt: float = 8, spread: float = 40
    ) -> "Pen":
        """Paint one of the scenes, named by its layers; return a pen for a thing near its middle, of some size and tilt."""
        for layer in (LAYERS[name] for name in self.pick(scenes).split()):
            top, hue = int(self.between(*layer.top)), self.pick(layer.hues)
            first, last = (self.colour(hue, saturation, value) for saturation, value in (layer.far, layer.near))
            pattern = self.patches(layer.patch, WIDTH, HEIGHT - top)
            ink = np.linspace(first, last, HEIGHT - top)[:, None] * (1 + layer.rough * pattern)
            ink += (250 - ink) * (layer.glow * pattern).clip(0, 1)
            self.image.paste(Image.fromarray(ink.clip(0, 255).astype(np.uint8)), (0, top))
        where = complex(WIDTH / 2 + self.between(-spread, spread), y + self.between(-14, 14))
        turn = self.between(low, high) * np.exp(1j * np.radians(self.between(-tilt, tilt)))
        return Pen(self, where, complex(turn), self.pick((True, False)))

    def finished(self) -> Image.Image:
        """Return the picture with the light, the grain and the darker corners of a photograph."""
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        light = self.between(0.85, 1.12) * (1 - self.between(0.02, 0.1) * (x**2 + y**2))[..., None]
        light = light * [self.between(0.95, 1.05) for _ in range(3)]
        pixels = np.asarray(self.image) * light + self.between(1.5, 4) * self.patches((1, 1), WIDTH, HEIGHT)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


class Pen:
    """Paints a thing in its own coordinates: moved, scaled, turned, mirrored."""

    def __init__(self, picture: Picture, place: complex, turn: complex, mirror: bool):
        self.picture, self.place, self.turn, self.mirror = picture, place, turn, mirror

    def fill(
        self,
        colour: Colour,
        *shapes: np.ndarray,
        bulge: float = 1,
        rough: float = 0.07,
        patch: tuple[float, float] = (7, 7),
        blur: float = 0,
        opacity: float = 1,
    ) -> None:
        """Fill shapes; `bulge` lights them from the upper left as round bodies, `rough` gives them a texture."""
        placed = [self.place + self.turn * (-shape.conjugate() if self.mirror else shape) for shape in shapes]
        every, margin = np.concatenate(placed), 2 * blur + 2
        left, top = max(0, int(every.real.min() - margin)), max(0, int(every.imag.min() - margin))
        width = max(2, min(WIDTH, int(every.real.max() + margin)) - left)
        height = max(2, min(HEIGHT, int(every.imag.max() + margin)) - top)
        mask = Image.new("L", (FINE * width, FINE * height))
        for shape in placed:
            points = (FINE * (shape - complex(left, top))).view(float).tolist()
            ImageDraw.Draw(mask).polygon(points, fill=round(255 * opacity))
        mask = mask.reduce(FINE).filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur))
        light = 1 + rough * self.picture.patches(patch, width, height)
        if bulge:
            radius = 0.1 * min(width, height)
            soft = mask.filter(ImageFilter.BoxBlur(radius)).filter(ImageFilter.BoxBlur(radius))
            depth = np.asarray(soft, np.float32) / 255
            light[..., 0] += bulge * (radius * sum(np.gradient(depth)) - 0.5 * (1 - depth))
        self.picture.image.paste(Image.fromarray((light * colour).clip(0, 255).astype(np.uint8)), (left, top), mask)

    def mark(self, colour: Colour, *shapes: np.ndarray, blur: float = 0, opacity: float = 1) -> None:
        """Fill shapes with an even colour."""
        self.fill(colour, *shapes, bulge=0, rough=0, blur=blur, opacity=opacity)

    def soft(self, rx: float, ry: float, at: complex = 0, colour: Colour = BLACK) -> None:
        """Paint a shadow, or a light."""
        self.mark(colour, oval(rx, ry, at), blur=0.25 * ry * abs(self.turn) + 1, opacity=0.6)

    def inside(self, shape: np.ndarray, count: int) -> np.ndarray:
        """Return random points within a shape, complex (count,)."""
        mask = Image.new("L", (320, 320))
        ImageDraw.Draw(mask).polygon((shape + 160 + 160j).view(float).tolist(), fill=1)
        y, x = np.nonzero(np.asarray(mask))
        return (x + 1j * y - 160 - 160j)[self.picture.random.choices(range(len(x)), k=count)]
