"""The similarity threshold of near-duplicates: measured for a network, or calibrated on a collection."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from similar_images.collection.images import Collection
from similar_images.evaluation.alterations import ALTERATIONS
from similar_images.evaluation.duplicates import NEIGHBOURS
from similar_images.evaluation.evaluation import can_encode
from similar_images.events import Event, Progress, ignore
from similar_images.index.exact import normalise, rows_except
from similar_images.index.index import Index
from similar_images.index.neighbours import nearest_rows
from similar_images.inputs import images
from similar_images.networks.description import NetworkDescription

# Network -> the lowest cosine similarity of near-duplicates, from benchmarks/near_duplicates.py with 200 photographs of
# COCO, five altered copies of each, and 1,515 photographs of Caltech-101. MobileNetV2 and hog-colour join 2,490 and 930
# pairs of one COCO photograph, none of two, and 85 and 49 pairs of Caltech. By eye, 36 and 15 of the Caltech pairs are
# different pictures, mostly motorbikes and one man's face (mirrored pairs and frames of one drawing count as the same):
# a precision of 0.986 and 0.985. EfficientNet-Lite0 and Lite2 join 2,157 and 1,643 pairs of one photograph, none of
# two, and 86 and 65 of Caltech, with 43 and 29 different pictures: 0.980 and 0.983.
THRESHOLDS = {"efficientnetlite0": 0.88, "efficientnetlite2": 0.91, "mobilenetv2": 0.86, "hog-colour": 0.88}
CALIBRATION_IMAGES = 100  # altered by default
MIN_PRECISION = 0.99  # of a calibrated threshold
PICTURE_SIDE = 32  # pixels, of the pictures compared pixel by pixel
SAME_PIXELS = 0.95  # correlation; most mirrored pairs in Caltech-101 have 0.96 to 1, different motorbikes up to 0.97
SEED = 1234


class Inseparable(ValueError):
    """No threshold separates altered copies from other images of a collection."""


class Choice(NamedTuple):
    """A threshold and its source."""

    threshold: float
    note: str  # its source and limits, in one line
    recalls: dict[str, float]  # alteration -> share of its copies that the threshold finds; empty if not calibrated


def default_threshold(network: NetworkDescription | None) -> float:
    """Return the threshold measured for a network. Raises ValueError, with the alternatives, if there is none."""
    name = network.name if network else "an unknown network"
    if name not in THRESHOLDS:
        raise ValueError(
            f"no threshold was measured for the vectors of {name}, only for {', '.join(THRESHOLDS)}: "
            f"calibrate one on your images with --calibrate {CALIBRATION_IMAGES}, or set one with --threshold"
        )
    return THRESHOLDS[name]


def choose_threshold(
    collection: Collection,
    index: Index | None = None,
    count: int | None = None,
    progress: Progress = ignore,
) -> Choice:
    """Return a threshold calibrated on `count` images, by default on CALIBRATION_IMAGES.

    A calibration needs readable images and a network without a download. Otherwise the threshold measured for the
    network on other photographs is used. If no threshold separates copies from other images, only images with equal
    vectors are near-duplicates. Measured with two copies each of 40 photographs, one at 300 pixels (150 for a smaller
    photograph) and a grey one: copies found of 80, pairs of two photographs.

    network            photographs           threshold of the network    calibrated
    hog-colour         256 of COCO           0.88: 46, 0                 0.666: 80, 0
    efficientnetlite0  256 of COCO           0.88: 52, 0                 0.743: 73, 4
    hog-colour         758 of Caltech-101    0.88: 52, 21                0.886: 51, 16
    efficientnetlite0  758 of Caltech-101    0.88: 47, 18                0.891: 43, 13

    Raises ValueError, with the alternatives, if there is no threshold.
    """
    if count:
        return calibrate(collection, count, index, progress)
    reason = "images or network not available for a calibration"
    if can_encode(collection):
        try:
            return calibrate(collection, CALIBRATION_IMAGES, index, progress)
        except Inseparable as error:
            return Choice(1.0, f"threshold 1, only equal images: {error}", {})
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())
    if not collection.similarity.is_cosine:
        raise ValueError(
            f"no threshold was measured for the {collection.similarity.name} similarity ({reason}): set one with --threshold"
        )
    threshold = default_threshold(collection.network)
    return Choice(
        threshold,
        f"threshold {threshold:.2f}, measured for the network ({reason}): strongly reduced, cropped or recoloured copies "
        f"may be missed, find them with a lower --threshold",
        {},
    )


def calibrate(
    collection: Collection,
    count: int,
    index: Index | None = None,
    progress: Progress = ignore,
) -> Choice:
    """Return the lowest threshold with a precision of MIN_PRECISION on altered copies of `count` images.

    The precision assumes one altered copy of every image: a pair of an image and its copy is true, a pair of either
    with another image is false. Images with a copy in the collection, by their pixels, are left out, because these
    pairs would count as false.
    Raises ValueError if no image is left or no threshold is high enough.
    """
    rows, copies, pictures = _alter_images(collection, count, progress)
    originals = normalise(collection.compared[rows])
    true = np.einsum("id,iad->ia", originals, copies)  # images, alterations
    queries = np.concatenate([originals[:, None], copies], axis=1)
    false, neighbours = nearest_rows(
        collection.compared, index, queries.reshape(-1, queries.shape[2]), NEIGHBOURS, collection.removed
    )
    false, neighbours = (found.reshape(*queries.shape[:2], -1) for found in (false, neighbours))
    false[(neighbours == rows[:, None, None]) | (neighbours < 0)] = -1
    likely = [neighbours[i, 0][false[i, 0] >= true[i].min()] for i in range(len(rows))]
    single = [not _has_copy(collection, *one) for one in zip(pictures, likely, strict=True)]
    if not any(single):
        raise ValueError(f"all {len(rows)} sampled images have copies in the collection: sample more with --calibrate")
    true, false = true[single], false[single]
    for threshold in np.unique(true):
        recalls = (true >= threshold).mean(axis=0)
        false_pairs = (false >= threshold).sum(axis=2).mean(axis=0)  # of an image, of each of its copies
        precision = recalls.mean() / (recalls.mean() + false_pairs[0] + false_pairs[1:].mean())
        if precision >= MIN_PRECISION:
            note = (
                f"threshold {threshold:.4f}: precision {precision:.3f} on {len(true)} images without a copy in the "
                f"collection, share of their altered copies found:"
            )
            return Choice(float(threshold), note, dict(zip(ALTERATIONS, recalls.tolist(), strict=True)))
    raise Inseparable(
        f"no threshold separates copies from other images of {collection.vectors.path} with a precision of {MIN_PRECISION}: "
        f"the images are too similar for this network; set --threshold and check the result"
    )


def _alter_images(collection: Collection, count: int, progress: Progress) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows int64 (i,) of up to `count` random images with their altered copies, one per alteration.

    The copies are unit vectors (i, a, d). The third array holds small pictures of image and copies, (i, 1 + a, p).
    """
    rows: list[int] = []
    vectors: list[np.ndarray] = []
    pictures: list[np.ndarray] = []
    for row in np.random.default_rng(SEED).permutation(rows_except(len(collection), collection.removed)).tolist():
        if len(rows) == count:
            break
        try:
            image = images.open_image(collection.image(row))
        except (OSError, ValueError):
            continue
        if not collection.was_skipped(row) and _picture(image).any():  # in a blank image, every part is a copy
            image, *copies = _with_copies(image)
            rows.append(row)
            unit = normalise(np.stack([collection.encode(copy).vector for copy in copies]))
            vectors.append(collection.similarity.transform(unit))
            pictures.append(_pictures([image, *copies]))
            progress(Event("altered images", len(rows), count))
    if not rows:
        raise ValueError(
            f"no image of the collection can be read in {collection.source.path if collection.source else 'its folder'}: "
            f"give the folder or archive of the images with -d"
        )
    return np.array(rows), np.stack(vectors), np.stack(pictures)


def _has_copy(collection: Collection, pictures: np.ndarray, rows: np.ndarray) -> bool:
    """Return whether one of the rows, or an alteration of it, equals one of the pictures (1 + a, p).

    Unreadable rows count as copies.
    """
    for row in rows.tolist():
        try:
            image = images.open_image(collection.image(row))
        except (OSError, ValueError):
            return True  # a missing file may be a copy
        if (pictures @ _pictures(_with_copies(image)).T).max() >= SAME_PIXELS:
            return True
    return False


def _with_copies(image: Image.Image) -> list[Image.Image]:
    return [image, *(alter(image) for alter in ALTERATIONS.values())]


def _pictures(copies: list[Image.Image]) -> np.ndarray:
    return np.stack([_picture(copy) for copy in copies])


def _picture(image: Image.Image) -> np.ndarray:
    """Return the image small and grey, float32 (p,), with mean 0 and length 1: products are correlations."""
    small = np.asarray(image.convert("L").resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX), dtype=np.float32)
    centred = small.ravel() - small.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6))
