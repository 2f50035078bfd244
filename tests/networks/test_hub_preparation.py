"""Prepare images for a network with the same pixels as the library transformers."""

import numpy as np
import pytest
from PIL import Image

from similar_images.inputs.images import Preparation, UnreadableImage
from similar_images.networks.hub_preparation import parse_config, parse_scaling

SIZES = ((50, 70), (71, 33), (20, 20), (300, 223), (1, 9), (224, 224), (64, 47))  # height and width
CASES = (  # the library's class, its options
    ("clip.CLIP", {}),
    ("clip.CLIP", {"size": {"shortest_edge": 40}, "crop_size": {"height": 64, "width": 48}}),
    ("clip.CLIP", {"size": {"height": 30, "width": 50}, "crop_size": {"height": 20, "width": 41}, "resample": 2}),
    ("clip.CLIP", {"do_resize": False, "crop_size": {"height": 65, "width": 40}}),
    ("clip.CLIP", {"do_center_crop": False, "size": {"height": 31, "width": 31}, "resample": 0}),
    ("chinese_clip.ChineseCLIP", {}),
    ("siglip.Siglip", {}),
    ("siglip.Siglip", {"size": {"height": 33, "width": 47}, "resample": 1}),
    ("vit.ViT", {}),
    ("vit.ViT", {"resample": 4, "size": {"height": 40, "width": 30}}),
    ("blip.Blip", {}),
    ("bit.Bit", {"size": {"shortest_edge": 256}}),
    ("bit.Bit", {"resample": 5}),
    ("convnext.ConvNext", {}),
    ("convnext.ConvNext", {"size": {"shortest_edge": 224}}),
    ("convnext.ConvNext", {"size": {"shortest_edge": 64}, "crop_pct": 0.9}),
)


def library(name: str, options: dict):
    pytest.importorskip("transformers")
    from importlib import import_module

    folder, kind = name.split(".")
    module = import_module(f"transformers.models.{folder}.image_processing_pil_{folder}")
    return getattr(module, f"{kind}ImageProcessorPil")(**options)


def shown(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_pixels_equal_the_library(name, options):
    plain = library(name, {**options, "do_rescale": False, "do_normalize": False})
    preparation = parse_config(plain.to_dict())
    for size in SIZES:
        pixels = preparation(shown(size))
        expected = plain(shown(size), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        assert pixels.shape == preparation.shape and pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_scaled_pixels_equal_the_library(name, options):
    processor = library(name, options)
    factor, mean, std = parse_scaling(processor.to_dict())
    pixels = parse_config(processor.to_dict())(shown((50, 70)))
    expected = processor(shown((50, 70)), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_allclose((pixels * factor - mean) / std, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["clip.CLIP", "siglip.Siglip", "vit.ViT", "bit.Bit", "convnext.ConvNext", "blip.Blip"])
def test_defaults_equal_the_library(name):
    kind = name.split(".")[1]
    for suffix in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"):
        bare, whole = {"image_processor_type": kind + suffix}, library(name, {}).to_dict()
        assert parse_config(bare) == parse_config(whole)
        np.testing.assert_allclose(np.hstack(parse_scaling(bare)), np.hstack(parse_scaling(whole)))


def test_old_configuration_with_scalar_sizes():
    old = {  # openai/clip-vit-base-patch32
        **{"crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True},
        **{"feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224},
        **{"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]},
    }
    assert (
        parse_config(old)
        == Preparation(224, 224, "bicubic", shorter=224)
        == parse_config(library("clip.CLIP", {}).to_dict())
    )
    square = {"feature_extractor_type": "ViTFeatureExtractor", "size": 384, "resample": 2}
    assert parse_config(square) == Preparation(384, 384, "bilinear", resized=(384, 384))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "has no size"),
        ({"image_processor_type": "PoolFormerImageProcessor"}, "is of the type PoolFormerImageProcessor"),
        ({"image_processor_type": "Siglip2ImageProcessor", "max_num_patches": 256}, "any shape (NaFlex)"),
        ({"image_processor_type": "CLIPImageProcessor", "resample": 9}, "has the resampling 9"),
        ({"image_processor_type": "CLIPImageProcessor", "resample": [3]}, "has the resampling [3]"),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 0}},
            "expected numbers of pixels up to",
        ),
        ({"image_processor_type": "CLIPImageProcessor", "crop_size": 99_999}, "expected numbers of pixels up to 1024"),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"longest_edge": 9}},
            "expected shortest_edge, or height",
        ),
        ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": "9"}}, "expected numbers of pixels"),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"height": 4096, "width": 4096}},
            "expected numbers of pixels up to 1024",
        ),
        *(
            (
                {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 300}, "crop_pct": share},
                "expected a number from 0.292969 to 1",
            )
            for share in (0, 0.01, 2, "x", float("nan"))
        ),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "gives images of any shape"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 9}}, "gives images of any shape"),
    ],
)
def test_unsupported_configuration_is_refused(config, message):
    with pytest.raises(ValueError) as raised:
        parse_config(config)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [({"image_mean": [1, 2]}, "expected 3 means"), ({"image_std": 0}, "standard deviation of 0")],
)
def test_invalid_scaling_is_refused(entries, message):
    with pytest.raises(ValueError, match=message):
        parse_scaling({"image_processor_type": "CLIPImageProcessor"} | entries)


def test_scalar_mean_applies_to_all_colours():
    known = parse_scaling({"image_processor_type": "ViTImageProcessor", "image_mean": 0.25, "do_rescale": False})
    assert known == (1.0, [0.25] * 3, [0.5] * 3)


def test_narrow_image_is_skipped():
    preparation = Preparation(224, 224, "bicubic", shorter=224)
    assert preparation(Image.new("RGB", (1, 140))).shape == (224, 224, 3)
    with pytest.raises(UnreadableImage, match="2 x 9000 pixels are too narrow for this network"):
        preparation(Image.new("RGB", (2, 9000)))
