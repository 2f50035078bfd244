"""Why an image is similar: a heat map over the query and one over the hit, of the parts that match.

A network's last feature map has few places, 7 x 7 of 224 pixels, and each has seen much around it. So the windows of an
image are encoded too, in halves and thirds of its sides.

Shape letters: b windows, r rows and c columns of a feature map, n places of all windows, d numbers at a place.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image

from similar_images.index.similarity import COSINE, Similarity
from similar_images.inputs import images
from similar_images.inputs.images import Preparation
from similar_images.networks.catalog import Encoder

SCALES = (2, 3)  # windows have the image's sides divided by these, and overlap by half
GRID = 48  # rows and columns of a heat map: each window has a whole number of them
POOLED = 0.999  # the least cosine between a pooled vector and the mean over its places
BLENDED = 0.75  # opacity of the hottest place
INFERNO = (  # black to yellow, perceptually uniform; CC0, Smith & van der Walt, "A better default colormap", 2015
    *((0, 0, 4), (33, 12, 74), (87, 16, 110), (138, 34, 106), (188, 55, 84), (228, 90, 49), (249, 142, 9)),
    *((249, 203, 53), (252, 255, 164)),
)


class HeatMap(NamedTuple):
    """Which parts of an image match another one."""

    values: np.ndarray  # float32 (rows, columns), 0 to 1, over the visible box of the image
    preparation: Preparation  # gives the visible box

    def on(self, width: int, height: int) -> np.ndarray:
        """Return the heat of each pixel of the image at some size, float32 (height, width); cropped pixels have none."""
        left, top, right, bottom = map(round, self.preparation.visible_box(width, height))
        heat = Image.fromarray(self.values).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        whole = Image.new("F", (width, height))
        whole.paste(heat, (left, top))
        return np.asarray(whole).clip(0, 1)

    def peak(self, width: int, height: int) -> tuple[float, float]:
        """Return the x and y of the hottest place, in pixels of the image at some size."""
        left, top, right, bottom = self.preparation.visible_box(width, height)
        row, column = np.unravel_index(self.values.argmax(), self.values.shape)
        across, down = (column + 0.5) / self.values.shape[1], (row + 0.5) / self.values.shape[0]
        return float(left + across * (right - left)), float(top + down * (bottom - top))

    def over(self, image: images.ImageSource) -> Image.Image:
        """Return an image with the heat map blended over it. Raises UnreadableImage."""
        below = images.open_image(image)
        heat = self.on(*below.size)
        channels = np.array(INFERNO, np.float32).T
        colours = np.stack([np.interp(heat, np.linspace(0, 1, len(one)), one) for one in channels], axis=-1)
        opacity = Image.fromarray((255 * BLENDED * heat).astype(np.uint8))
        return Image.composite(Image.fromarray(colours.astype(np.uint8)), below, opacity)


class Explanation(NamedTuple):
    """Which parts of a query and of a hit match."""

    query: HeatMap | None  # None: the query has no image
    hit: HeatMap


class Seen(NamedTuple):
    """Feature maps of the windows of an image."""

    scales: tuple[int, ...]
    maps: list[np.ndarray]  # float32 (b, r, c, d), of each scale
    is_pooled: bool  # whether the vector of an image is the mean over its places

    @property
    def places(self) -> np.ndarray:
        """All of them, float32 (n, d)."""
        return np.concatenate([one.reshape(-1, one.shape[-1]) for one in self.maps])

    def heat(self, values: np.ndarray, preparation: Preparation) -> HeatMap:
        """Return the heat map of values (n,): their mean over the scales; negative ones are 0, the largest is 1."""
        total, begin = np.zeros((GRID, GRID), np.float32), 0
        for scale, maps in zip(self.scales, self.maps, strict=True):
            own = values[begin : begin + maps[..., 0].size].reshape(maps.shape[:3])
            begin += own.size
            total += _joined(own, scale)
        total = np.maximum(total, 0)
        return HeatMap(total / max(float(total.max()), 1e-12), preparation)


def look(encoder: Encoder, image: Image.Image, scales: tuple[int, ...] = SCALES) -> Seen:
    """Return the feature maps of the windows of an upright RGB image.

    Raises ValueError for a network without feature maps.
    """
    maps = [encoder.positions(np.stack([*_cut(encoder.preparation, image, scale)])) for scale in scales]
    whole = encoder.preparation(image)[None]
    mean, vector = encoder.positions(whole).mean(axis=(0, 1, 2)), encoder.encode(whole)[0]
    is_pooled = mean.shape == vector.shape and mean @ vector > POOLED * np.linalg.norm(mean) * np.linalg.norm(vector)
    return Seen(scales, maps, bool(is_pooled))


def explain(encoder: Encoder, similarity: Similarity, query: Image.Image | np.ndarray, hit: Image.Image) -> Explanation:
    """Return which parts of a query, an image or a vector (d,), and of a hit match; images are upright and RGB.

    Raises ValueError for a network without feature maps, and for a vector that cannot be the mean of one.
    """
    second, preparation = look(encoder, hit), encoder.preparation
    if isinstance(query, np.ndarray):
        if not second.is_pooled:
            raise ValueError(
                f"expected the image of the query: the parts of an image cannot be compared with a vector of "
                f"{encoder.description.name}"
            )
        return Explanation(None, second.heat(matches(query[None], second.places, similarity)[1], preparation))
    first = look(encoder, query)
    if first.is_pooled and second.is_pooled:
        one, other = matches(first.places, second.places, similarity)
    else:
        one, other = matches(*_alike_in_length(first.places, second.places), COSINE)
    return Explanation(first.heat(one, preparation), second.heat(other, preparation))


def matches(one: np.ndarray, other: np.ndarray, similarity: Similarity) -> tuple[np.ndarray, np.ndarray]:
    """Return how well each place of two images (n, d), (m, d) matches one of the other: float32 (n,), (m,).

    The match is its greatest similarity to a place there, squared, times its length: its share in the vector of the image.

    benchmarks/why.py chose this among what heat maps of networks show. With 40 objects in photographs (EfficientNet-Lite0,
    whitened), the peak is on the object in 100% of the pairs of an object's own picture and a photograph, and in 94% of the pairs of two photographs; not squared 97% and 93%, the best match alone 85% and 70%, the mutual best match 53% and 26%,
    the similarity to the vector of the other image 97% and 61%, the contribution to that of the vectors 100% and 76%. With
    the whole images instead of their windows it is 70% and 57%; by the cosine 93% and 94%, centred 97% and 93%.
    Source: Stylianou et al., "Visualizing deep similarity networks", 2019, after Zhou et al., "Learning deep features for
    discriminative localization", 2016, for the sum over places.
    """
    lengths = [np.linalg.norm(each, axis=1) for each in (one, other)]
    units = [
        similarity.transform(each / np.maximum(length, 1e-12)[:, None])
        for each, length in zip((one, other), lengths, strict=True)
    ]
    products = units[0] @ units[1].T
    best = (np.maximum(products.max(axis=axis), 0) ** 2 for axis in (1, 0))
    first, second = (each * length for each, length in zip(best, lengths, strict=True))
    return first, second


def _alike_in_length(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of two images, less the mean of both, as unit vectors.

    Transformers have places of great length without local meaning.
    Source: Darcet et al., "Vision transformers need registers", 2023.
    """
    mean = np.concatenate([one, other]).mean(axis=0)
    first, second = (
        (each - mean) / np.maximum(np.linalg.norm(each - mean, axis=1, keepdims=True), 1e-12) for each in (one, other)
    )
    return first, second


def _cut(preparation: Preparation, image: Image.Image, scale: int) -> Iterator[np.ndarray]:
    """Yield the windows of the visible box of an image, as pixels (height, width, 3)."""
    left, top, right, bottom = preparation.visible_box(*image.size)
    left, top, right, bottom = max(0, left), max(0, top), min(image.width, right), min(image.height, bottom)
    width, height = (right - left) / scale, (bottom - top) / scale
    for across, down in _windows(scale):
        x, y = left + across * (right - left), top + down * (bottom - top)
        box = x, y, min(x + width, image.width), min(y + height, image.height)
        yield np.asarray(
            image.resize((preparation.width, preparation.height), Image.Resampling[preparation.resampling.upper()], box)
        )


def _joined(values: np.ndarray, scale: int) -> np.ndarray:
    """Blend values (b, r, c) of windows into one map (GRID, GRID), weighted by the distance to the middle of each window."""
    side = GRID // scale
    tent = np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) / side
    weight, (sums, weights) = np.outer(tent, tent), np.zeros((2, GRID, GRID), np.float32)
    for (across, down), window in zip(_windows(scale), values, strict=True):
        spread = Image.fromarray(window.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
        x, y = round(across * GRID), round(down * GRID)
        area = np.s_[y : y + side, x : x + side]
        sums[area] += weight * np.asarray(spread)
        weights[area] += weight
    return sums / weights


def _windows(scale: int) -> Iterator[tuple[float, float]]:
    """Yield the left and top of windows, as shares of the sides."""
    starts = [start / (2 * scale) for start in range(2 * scale - 1)]
    return ((left, top) for top, left in product(starts, starts))
