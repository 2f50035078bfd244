"""Preparation of images for a network of the hub, from its preprocessor_config.json.

Source: the image processors of the library transformers, with equal pixels.
"""

import re
from typing import Any

from PIL import Image

from similar_images.inputs.images import Preparation
from similar_images.networks.hub_checks import PREPARATIONS, Config
from similar_images.networks.hub_files import HubNetwork, Scaling

RESAMPLINGS = {one.value: one.name.lower() for one in Image.Resampling}  # names by Pillow's numbers
MIN_UNCROPPED_SIDE = 384  # pixels; ConvNeXt crops smaller inputs
BICUBIC, BILINEAR = Image.Resampling.BICUBIC.value, Image.Resampling.BILINEAR.value
HALF, IMAGENET = [0.5] * 3, ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
MAX_SIDE = 1024  # pixels of an input: 3 MB an image; a batch of larger ones would take gigabytes
# Defaults of a configuration by the type of image processor. Other types resize or scale differently; a configuration
# without a type has no defaults.
DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIP": {"size": 224, "crop_size": 224, "do_center_crop": True, "resample": BICUBIC, "mean_std": CLIP},
    "Bit": {"size": 224, "crop_size": 224, "do_center_crop": True, "resample": BICUBIC, "mean_std": CLIP},
    "Siglip": {"size": 224, "resample": BICUBIC, "mean_std": (HALF, HALF)},
    "ViT": {"size": 224, "resample": BILINEAR, "mean_std": (HALF, HALF)},
    "DINOv3ViT": {"size": 224, "resample": BILINEAR, "mean_std": IMAGENET},
    "ConvNext": {"size": {"shortest_edge": 384}, "resample": BICUBIC, "mean_std": (HALF, HALF)},
    "ChineseCLIP": {"size": 224, "crop_size": 224, "do_center_crop": True, "resample": BICUBIC, "mean_std": CLIP},
    "Blip": {"size": 384, "resample": BICUBIC, "mean_std": CLIP},
    "": {},
}


def read_preparation(network: HubNetwork) -> tuple[Preparation, Scaling]:
    """Return the preparation of images and the scaling of their pixels. Raises ValueError if unsupported."""
    config = network.config(*PREPARATIONS)
    if not config:
        raise ValueError(f"{network.name} lacks its preparation of images: expected a {PREPARATIONS[0]}")
    nested = config.get("image_processor")
    config = nested if isinstance(nested, dict) else config
    try:
        return parse_config(config), parse_scaling(config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{network.name}: its {PREPARATIONS[0]} {error}") from error


def parse_config(given: Config) -> Preparation:
    """Return the preparation of a configuration. Raises ValueError if it is not supported."""
    kind, config = _with_defaults(given)
    resampling, does_crop = _resampling(config["resample"]), config.get("do_center_crop", False)
    shorter, resized = (
        _sides(config["size"], is_square=not does_crop) if config.get("do_resize", True) else (None, None)
    )
    if kind == "ConvNext" and (shorter or resized):  # smaller inputs are resized to a margin and cropped
        side = shorter or (resized or (0,))[0]
        if side >= MIN_UNCROPPED_SIDE:
            return Preparation(side, side, resampling, resized=(side, side))
        share = config.get("crop_pct", 224 / 256)
        if not isinstance(share, int | float) or not side <= MAX_SIDE * share <= MAX_SIDE:
            raise ValueError(f"has the crop_pct {share!r:.100}: expected a number from {side / MAX_SIDE:g} to 1")
        return Preparation(side, side, resampling, shorter=int(side / share))
    if not does_crop:
        if resized is None:
            raise ValueError("gives images of any shape: expected a height and a width")
        return Preparation(*resized, resampling, resized=resized)
    _, crop = _sides(config.get("crop_size"), is_square=True)
    if crop is None:
        raise ValueError("has no crop_size: expected a height and a width")
    return Preparation(*crop, resampling, shorter, resized)


def parse_scaling(given: Config) -> Scaling:
    """Return the scaling of pixels. Raises ValueError if it is not supported."""
    _, config = _with_defaults(given)
    factor = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    if not config.get("do_normalize", True):
        return factor, [0.0] * 3, [1.0] * 3
    mean, std = (_three(config[key]) for key in ("image_mean", "image_std"))
    if not all(std):
        raise ValueError("has a standard deviation of 0")
    return factor, mean, std


def _three(value: Any) -> list[float]:
    """Return a number each for red, green and blue."""
    numbers = [float(one) for one in value] if isinstance(value, (list, tuple)) else [float(value)] * 3
    if len(numbers) != 3:
        raise ValueError(f"is not of RGB images: expected 3 means and standard deviations, got {len(numbers)}")
    return numbers


def _with_defaults(config: Config) -> tuple[str, dict[str, Any]]:
    """Return the type of an image processor and all its entries. Raises ValueError if one is missing."""
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = re.sub("(ImageProcessor(Fast|Pil)?|FeatureExtractor)$", "", name)
    if "max_num_patches" in config:
        raise ValueError("gives images of any shape (NaFlex): choose a variant of the network with a fixed size")
    if kind not in DEFAULTS:
        raise ValueError(f"is of the type {name}: expected {', '.join(filter(None, DEFAULTS))}")
    known = dict(DEFAULTS[kind])
    if mean_std := known.pop("mean_std", None):
        known |= {"image_mean": mean_std[0], "image_std": mean_std[1]}
    whole = known | {key: value for key, value in config.items() if value is not None}
    needed = ("size", "resample") + (("image_mean", "image_std") if whole.get("do_normalize", True) else ())
    if missing := [key for key in needed if key not in whole]:
        raise ValueError(f"has no {missing[0]}")
    return kind, whole


def _sides(size: Any, is_square: bool) -> tuple[int | None, tuple[int, int] | None]:
    """Return the shorter side, or height and width, of a size in a configuration.

    A number is the side of a square, or else the shorter side.
    """
    if size is None:
        return None, None
    numbers = (
        size if isinstance(size, dict) else {"height": size, "width": size} if is_square else {"shortest_edge": size}
    )
    if any(type(one) is not int or not 0 < one <= MAX_SIDE for one in numbers.values() if one is not None):
        raise ValueError(f"has the size {size!r:.100}: expected numbers of pixels up to {MAX_SIDE}")
    if {"height", "width"} <= numbers.keys():
        return None, (numbers["height"], numbers["width"])
    if numbers.keys() == {"shortest_edge"}:
        return numbers["shortest_edge"], None
    raise ValueError(f"has the size {size!r:.100}: expected shortest_edge, or height and width")


def _resampling(number: Any) -> str:
    if not isinstance(number, int) or number not in RESAMPLINGS:
        raise ValueError(f"has the resampling {number}: expected one of Pillow's")
    return RESAMPLINGS[number]
