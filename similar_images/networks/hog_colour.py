"""A network without weights: histograms of oriented gradients and of colour, from scikit-image.

It compares colours and shapes, not the objects in a picture. Shape letters: b images, d numbers in a vector.
"""

import numpy as np

SIDE = 128  # pixels
CELLS = (16, 32)  # pixels; gradients are counted in cells of both sizes
ORIENTATIONS = 8
BLOCK = 2  # cells; histograms are normalised over blocks of 2 x 2 cells (Dalal & Triggs 2005)
BINS = (8, 3, 3)  # of hue, saturation and value
GRIDS = (1, 2)  # colours are counted in the whole picture and in its quarters
SHAPE_WEIGHT = 4  # of a part for shape, relative to one for colour; measured on Caltech-101 and the sample

DIMENSION = sum((SIDE // cell - BLOCK + 1) ** 2 * BLOCK**2 * ORIENTATIONS for cell in CELLS) + sum(
    grid**2 * int(np.prod(BINS)) for grid in GRIDS
)


def encode(pixels: np.ndarray) -> np.ndarray:
    """Return float32 vectors (b, d) for RGB uint8 pixels (b, SIDE, SIDE, 3)."""
    return np.stack([_encode(image) for image in pixels]).astype(np.float32)


def _encode(image: np.ndarray) -> np.ndarray:
    shapes = [_shape(image, cell) for cell in CELLS]
    colours = _colours(image)
    return np.concatenate(
        [np.sqrt(SHAPE_WEIGHT) * shape for shape in shapes] + [_counts(colours, grid) for grid in GRIDS]
    )


def _shape(image: np.ndarray, cell: int) -> np.ndarray:
    from skimage.feature import hog

    blocks = hog(
        image / np.float32(255),
        orientations=ORIENTATIONS,
        pixels_per_cell=(cell, cell),
        cells_per_block=(BLOCK, BLOCK),
        transform_sqrt=True,
        channel_axis=-1,
    )
    return _part(blocks.reshape(-1, BLOCK**2 * ORIENTATIONS))


def _colours(image: np.ndarray) -> np.ndarray:
    """Return the bin of hue, saturation and value of each pixel, int (side, side)."""
    from skimage.color import rgb2hsv

    bins = np.minimum((rgb2hsv(image) * BINS).astype(int), np.subtract(BINS, 1))
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(bins, -1, 0)), BINS))


def _counts(colours: np.ndarray, grid: int) -> np.ndarray:
    """Return the square roots of the counts of each colour in each field of a grid (Hellinger kernel)."""
    fields = [field for row in np.split(colours, grid) for field in np.split(row, grid, axis=1)]
    return _part(np.sqrt([np.bincount(field.ravel(), minlength=int(np.prod(BINS))) for field in fields]))


def _part(histograms: np.ndarray) -> np.ndarray:
    """Return histograms (h, bins), less their mean, as one unit vector.

    All counts are positive: with their means, the vectors of any two pictures would be similar.
    """
    part: np.ndarray = (histograms - histograms.mean(axis=1, keepdims=True)).ravel()
    length = np.linalg.norm(part)
    return part / length if length > 0 else part
